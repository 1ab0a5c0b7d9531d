//! Match weight: is a pair of attempts the same applicant with the same vehicle?
//!
//! Fellegi-Sunter: each field's level adds log2(m/u), the likelihood ratio of seeing that level between two attempts of one
//! applicant (m) and of two strangers (u). The weights are constants of the matching book, in bits; halves and eighths, so that sums
//! are exact in any order.

use super::compare::{Levels, VinChange, level, levels, vin_change};
use super::field::{Field, Level};
use super::fingerprint::{Fingerprint, Text};

/// At or above: linked. With a million live attempts a prior of 2^-20 asks for about this much.
pub const THRESHOLD: f64 = 18.0;

/// Bits for same, disguised, near, different.
type Weights = [f64; 4];

const LAST_NAME: Weights = [8.0, 9.0, 4.0, -4.0];
const LAST_NAME_FREQUENT: Weights = [5.0, 8.0, 3.0, -4.0];
const FIRST_NAME: Weights = [4.0, 6.0, 2.0, -5.0];
const MIDDLE_NAME: Weights = [4.0, 6.0, 2.0, -3.0];
const BIRTH_DATE: Weights = [11.0, 11.0, 5.0, -6.0];
const DOCUMENT: Weights = [18.0, 19.0, 9.0, -6.0];
const LICENCE: Weights = [18.0, 19.0, 9.0, -5.0];
const PHONE: Weights = [12.0, 13.0, 5.0, -1.0];
const EMAIL: Weights = [11.0, 12.0, 5.0, -1.0];
const ADDRESS: Weights = [7.0, 9.0, 3.0, -1.0];
const VIN: Weights = [16.0, 18.0, 9.0, -8.0];
/// Only the serial differs between two possible VINs: dealers and fleets have thousands of such pairs.
const VIN_SERIAL: f64 = 2.0;
const PLATE: Weights = [14.0, 16.0, 5.0, -3.0];
const MODEL: Weights = [1.0, 1.0, 0.0, -3.0];
const DEVICE_SAME: f64 = 6.0;
const SESSION_SAME: f64 = 7.0;
const IP_SAME: f64 = 1.5;
/// Correlated evidence counts once: most that two papers, the car's two names, and the source can add.
const PAPERS_MOST: f64 = 26.0;
const VEHICLE_MOST: f64 = 22.0;
const SOURCE_MOST: f64 = 9.0;

/// How much of its weight each shared thing keeps, by how many surnames it has been seen with before the quote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hubs {
    pub phone: f64,
    pub email: f64,
    pub address: f64,
    pub device: f64,
    pub session: f64,
}

impl Default for Hubs {
    fn default() -> Hubs {
        Hubs { phone: 1.0, email: 1.0, address: 1.0, device: 1.0, session: 1.0 }
    }
}

/// The share of its weight that something shared by so many surnames keeps: a family shares a phone, a broker's office is a hub.
pub fn hub_share(surnames: usize) -> f64 {
    match surnames {
        0..=3 => 1.0,
        4..=6 => 0.5,
        _ => 0.125,
    }
}

/// Surnames that weigh less because one in a few hundred people has one; folded.
const FREQUENT: [&str; 40] = [
    "ALEKSEV",
    "ALEKSEVA",
    "ANDREV",
    "ANDREVA",
    "EGOROV",
    "EGOROVA",
    "FEDOROV",
    "FEDOROVA",
    "IVANOV",
    "IVANOVA",
    "KOZLOV",
    "KOZLOVA",
    "KUZNECOV",
    "KUZNECOVA",
    "LEBEDEV",
    "LEBEDEVA",
    "MAKAROV",
    "MAKAROVA",
    "MIHAILOV",
    "MIHAILOVA",
    "MOROZOV",
    "MOROZOVA",
    "NIKOLAEV",
    "NIKOLAEVA",
    "NOVIKOV",
    "NOVIKOVA",
    "ORLOV",
    "ORLOVA",
    "PAVLOV",
    "PAVLOVA",
    "PETROV",
    "PETROVA",
    "POPOV",
    "POPOVA",
    "SMIRNOV",
    "SMIRNOVA",
    "SOKOLOV",
    "SOKOLOVA",
    "VOLKOV",
    "VOLKOVA",
];

/// A linked pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Bits.
    pub weight: f64,
    pub levels: Levels,
}

/// Judges the quote against an earlier attempt; none when they are not linked. `hubs` are those of the later of the two.
pub fn judge(quote: &Fingerprint, earlier: &Fingerprint, hubs: &Hubs) -> Option<Pair> {
    // Most candidates are strangers with a car of their own, and a flood of forms from one device makes hundreds of them a quote.
    if another_vehicle(quote, earlier) {
        return None;
    }
    weigh(quote, earlier, levels(quote, earlier), hubs)
}

/// [`judge`] where the levels are known.
pub fn weigh(quote: &Fingerprint, earlier: &Fingerprint, levels: Levels, hubs: &Hubs) -> Option<Pair> {
    let weight =
        person(quote, &levels) + contact(&levels, hubs) + vehicle(quote, earlier, &levels) + source(quote, earlier, hubs);
    let linked = weight >= THRESHOLD && same_vehicle(quote, earlier, &levels) && identified(&levels);
    linked.then_some(Pair { weight, levels })
}

fn bits(weights: Weights, level: Level) -> f64 {
    match level {
        Level::Missing => 0.0,
        level => weights[level as usize - 1],
    }
}

fn at(levels: &Levels, field: Field) -> Level {
    levels[field as usize]
}

fn person(quote: &Fingerprint, levels: &Levels) -> f64 {
    let frequent = FREQUENT.binary_search(&quote.text(Text::LastName)).is_ok();
    let surname = if frequent { LAST_NAME_FREQUENT } else { LAST_NAME };
    let papers = bits(DOCUMENT, at(levels, Field::IdDocument)) + bits(LICENCE, at(levels, Field::DriverLicence));
    bits(surname, at(levels, Field::LastName))
        + bits(FIRST_NAME, at(levels, Field::FirstName))
        + bits(MIDDLE_NAME, at(levels, Field::MiddleName))
        + bits(BIRTH_DATE, at(levels, Field::BirthDate))
        + papers.min(PAPERS_MOST)
}

/// A hub takes from the agreement; disagreement says the same whoever shares the thing.
fn shared(weights: Weights, level: Level, share: f64) -> f64 {
    let bits = bits(weights, level);
    if bits > 0.0 { bits * share } else { bits }
}

fn contact(levels: &Levels, hubs: &Hubs) -> f64 {
    shared(PHONE, at(levels, Field::Phone), hubs.phone)
        + shared(EMAIL, at(levels, Field::Email), hubs.email)
        + shared(ADDRESS, at(levels, Field::Address), hubs.address)
}

fn vehicle(quote: &Fingerprint, earlier: &Fingerprint, levels: &Levels) -> f64 {
    let vin = match at(levels, Field::Vin) {
        Level::Near if vin_change(quote.text(Text::Vin), earlier.text(Text::Vin)) == VinChange::Serial => VIN_SERIAL,
        level => bits(VIN, level),
    };
    (vin + bits(PLATE, at(levels, Field::Plate))).min(VEHICLE_MOST) + bits(MODEL, at(levels, Field::MakeModel))
}

fn source(quote: &Fingerprint, earlier: &Fingerprint, hubs: &Hubs) -> f64 {
    let same = |a: u64, b: u64, bits: f64| if a != 0 && a == b { bits } else { 0.0 };
    let device = same(quote.device, earlier.device, DEVICE_SAME * hubs.device);
    let session = same(quote.session, earlier.session, SESSION_SAME * hubs.session);
    (device + session + same(quote.ip, earlier.ip, IP_SAME)).min(SOURCE_MOST)
}

/// Agreements that name a person or his vehicle: without one, shared places and devices link nobody.
fn identified(levels: &Levels) -> bool {
    let agrees = |field| matches!(at(levels, field), Level::Same | Level::Disguised | Level::Near);
    let named = agrees(Field::LastName) && agrees(Field::FirstName);
    named || [Field::IdDocument, Field::DriverLicence, Field::Vin, Field::Plate, Field::BirthDate].into_iter().any(agrees)
}

/// Independent agreements about the person: papers, birth date with name, phone, e-mail.
fn personal_agreements(levels: &Levels) -> usize {
    let equal = |field| matches!(at(levels, field), Level::Same | Level::Disguised);
    [
        equal(Field::IdDocument) || equal(Field::DriverLicence),
        equal(Field::BirthDate) && equal(Field::FirstName),
        equal(Field::Phone),
        equal(Field::Email),
    ]
    .into_iter()
    .filter(|agreement| *agreement)
    .count()
}

/// [`same_vehicle`] denies it, whatever the other fields are: asked without measuring how near two VINs are where that does not count.
fn another_vehicle(quote: &Fingerprint, earlier: &Fingerprint) -> bool {
    let (x, y) = (quote.text(Text::Vin), earlier.text(Text::Vin));
    let plate = level(Field::Plate, quote, earlier);
    if x.is_empty() || y.is_empty() || x == y || matches!(plate, Level::Same | Level::Disguised) {
        return false;
    }
    (plate == Level::Different && matches!(vin_change(x, y), VinChange::Serial | VinChange::Mixed))
        || level(Field::Vin, quote, earlier) == Level::Different
}

/// One applicant may quote two cars; versions are counted for one car only.
fn same_vehicle(quote: &Fingerprint, earlier: &Fingerprint, levels: &Levels) -> bool {
    let (vin, plate, model) = (at(levels, Field::Vin), at(levels, Field::Plate), at(levels, Field::MakeModel));
    let plate_equal = matches!(plate, Level::Same | Level::Disguised);
    match vin {
        Level::Same | Level::Disguised => true,
        Level::Near => {
            let change = vin_change(quote.text(Text::Vin), earlier.text(Text::Vin));
            match plate {
                Level::Same | Level::Disguised | Level::Near => true,
                Level::Missing => change != VinChange::Serial || personal_agreements(levels) >= 2,
                Level::Different => matches!(change, VinChange::Body | VinChange::Malformed),
            }
        }
        Level::Different => plate_equal,
        Level::Missing => plate_equal || (plate != Level::Different && model != Level::Different),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_frequent_surnames_is_sorted() {
        assert!(FREQUENT.is_sorted());
    }
}
