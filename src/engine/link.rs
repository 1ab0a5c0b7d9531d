//! Match weight: is a pair of attempts the same applicant with the same vehicle?
//!
//! Fellegi-Sunter: each field's level adds log2(m/u), the likelihood ratio of seeing that level between two attempts of one
//! applicant (m) and of two strangers (u). The weights are those of the matching book.

use super::compare::{Levels, VinChange, level, levels, vin_change};
use super::field::{Field, Level};
use super::fingerprint::{Fingerprint, Text};
use super::matching::{Matching, Weights};

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

/// A linked pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Bits.
    pub weight: f64,
    pub levels: Levels,
}

/// Judges the quote against an earlier attempt; none when they are not linked. `hubs` are those of the later of the two.
pub fn judge(quote: &Fingerprint, earlier: &Fingerprint, hubs: &Hubs, matching: &Matching) -> Option<Pair> {
    // Most candidates are strangers with a car of their own, and a flood of forms from one device makes hundreds of them a quote.
    if another_vehicle(quote, earlier) {
        return None;
    }
    weigh(quote, earlier, levels(quote, earlier), hubs, matching)
}

/// [`judge`] where the levels are known.
pub fn weigh(quote: &Fingerprint, earlier: &Fingerprint, levels: Levels, hubs: &Hubs, matching: &Matching) -> Option<Pair> {
    let weight = weight(quote, earlier, &levels, hubs, matching);
    let linked = weight >= matching.threshold && same_vehicle(quote, earlier, &levels) && identified(&levels);
    linked.then_some(Pair { weight, levels })
}

/// Bits for and against the two being one applicant with one vehicle, linked or not.
pub fn weight(quote: &Fingerprint, earlier: &Fingerprint, levels: &Levels, hubs: &Hubs, matching: &Matching) -> f64 {
    person(quote, levels, matching)
        + contact(levels, hubs, matching)
        + vehicle(quote, earlier, levels, matching)
        + source(quote, earlier, hubs, matching)
}

fn bits(weights: &Weights, level: Level) -> f64 {
    match level {
        Level::Missing => 0.0,
        level => weights[level as usize - 1],
    }
}

fn at(levels: &Levels, field: Field) -> Level {
    levels[field as usize]
}

/// What the level of a field weighs.
fn of(matching: &Matching, levels: &Levels, field: Field) -> f64 {
    bits(&matching.weights[field as usize], at(levels, field))
}

fn person(quote: &Fingerprint, levels: &Levels, matching: &Matching) -> f64 {
    let weigh = |field| of(matching, levels, field);
    let surname = match matching.is_frequent(quote.text(Text::LastName)) {
        true => bits(&matching.frequent_last_name, at(levels, Field::LastName)),
        false => weigh(Field::LastName),
    };
    let papers = weigh(Field::IdDocument) + weigh(Field::DriverLicence);
    surname + weigh(Field::FirstName) + weigh(Field::MiddleName) + weigh(Field::BirthDate) + papers.min(matching.papers_most)
}

/// A hub takes from the agreement; disagreement says the same whoever shares the thing.
fn shared(bits: f64, share: f64) -> f64 {
    if bits > 0.0 { bits * share } else { bits }
}

fn contact(levels: &Levels, hubs: &Hubs, matching: &Matching) -> f64 {
    shared(of(matching, levels, Field::Phone), hubs.phone)
        + shared(of(matching, levels, Field::Email), hubs.email)
        + shared(of(matching, levels, Field::Address), hubs.address)
}

fn vehicle(quote: &Fingerprint, earlier: &Fingerprint, levels: &Levels, matching: &Matching) -> f64 {
    let vin = match at(levels, Field::Vin) {
        Level::Near if vin_change(quote.text(Text::Vin), earlier.text(Text::Vin)) == VinChange::Serial => matching.vin_serial,
        _ => of(matching, levels, Field::Vin),
    };
    (vin + of(matching, levels, Field::Plate)).min(matching.vehicle_most) + of(matching, levels, Field::MakeModel)
}

fn source(quote: &Fingerprint, earlier: &Fingerprint, hubs: &Hubs, matching: &Matching) -> f64 {
    let same = |a: u64, b: u64, bits: f64| if a != 0 && a == b { bits } else { 0.0 };
    let device = same(quote.device, earlier.device, matching.same_device * hubs.device);
    let session = same(quote.session, earlier.session, matching.same_session * hubs.session);
    (device + session + same(quote.ip, earlier.ip, matching.same_ip)).min(matching.source_most)
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
