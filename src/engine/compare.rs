//! Comparators: how far two fingerprints agree, field by field.

use rapidfuzz::distance::{jaro_winkler, osa};

use super::field::{Field, Level};
use super::fingerprint::{DriverPrint, Fingerprint, Text};
use super::normalise::name::same_given;
use super::normalise::vehicle::well_formed;
use super::time::Date;

/// One level per [`Field`].
pub type Levels = [Level; Field::COUNT];

/// All fields, later quote first (the order does not change the result).
pub fn levels(a: &Fingerprint, b: &Fingerprint) -> Levels {
    Field::ALL.map(|field| level(field, a, b))
}

/// One field of two fingerprints.
pub fn level(field: Field, a: &Fingerprint, b: &Fingerprint) -> Level {
    match field {
        Field::LastName | Field::FirstName | Field::MiddleName => name_level(field, a, b),
        Field::BirthDate => date_level(a.birth_date, b.birth_date),
        Field::IdDocument => text_level(field, Text::IdDocument, a, b, paper_near),
        Field::DriverLicence => text_level(field, Text::DriverLicence, a, b, paper_near),
        Field::Phone => text_level(field, Text::Phone, a, b, |x, y| within(x, y, 1)),
        Field::Email => text_level(field, Text::Email, a, b, email_near),
        Field::Address => address_level(a, b),
        Field::Vin => text_level(field, Text::Vin, a, b, |x, y| within(x, y, 3)),
        Field::Plate => text_level(field, Text::Plate, a, b, plate_near),
        Field::MakeModel => model_level(a, b),
        Field::Year => year_level(a.year, b.year),
        Field::Power => power_level(a.power, b.power),
        Field::DriverData => drivers_level(&a.drivers, &b.drivers).0,
        Field::DriverList => drivers_level(&a.drivers, &b.drivers).1,
        Field::Term => choice_level(a.term, b.term),
        Field::Deductible => choice_level(a.deductible, b.deductible),
        Field::Extra => extra_level(a.extra, b.extra),
    }
}

fn text_level(field: Field, slot: Text, a: &Fingerprint, b: &Fingerprint, near: impl Fn(&str, &str) -> bool) -> Level {
    let (x, y) = (a.text(slot), b.text(slot));
    if x.is_empty() || y.is_empty() {
        return Level::Missing;
    }
    if x == y {
        return equal_level(field, a, b);
    }
    if near(x, y) { Level::Near } else { Level::Different }
}

/// Two equal canonical forms: disguised when the raw forms differ and one of them took a fold to get here.
fn equal_level(field: Field, a: &Fingerprint, b: &Fingerprint) -> Level {
    let i = field as usize;
    let folded = (a.disguised | b.disguised) & (1 << i) != 0;
    if folded && a.raw[i] != b.raw[i] { Level::Disguised } else { Level::Same }
}

/// Optimal string alignment distance at most `most` edits (a swap of neighbours is one).
pub fn within(x: &str, y: &str, most: usize) -> bool {
    // Bytes, of which a letter takes at most four.
    if x.len().abs_diff(y.len()) > most * 4 {
        return false;
    }
    let args = osa::Args::default().score_cutoff(most);
    if x.is_ascii() && y.is_ascii() {
        osa::distance_with_args(x.bytes(), y.bytes(), &args).is_some()
    } else {
        osa::distance_with_args(x.chars(), y.chars(), &args).is_some()
    }
}

fn paper_near(x: &str, y: &str) -> bool {
    within(x, y, if x.len().min(y.len()) >= 8 { 2 } else { 1 })
}

fn email_near(x: &str, y: &str) -> bool {
    let local = |email: &str| email.split('@').next().unwrap_or("").len();
    x.split('@').next() == y.split('@').next() || (local(x).min(local(y)) >= 5 && within(x, y, 2))
}

/// The region is left out, cut or another, or one character of the main part is wrong.
fn plate_near(x: &str, y: &str) -> bool {
    fn main(plate: &str) -> &str {
        plate.split(' ').next().unwrap_or("")
    }
    let begins = |plate: &str, main: &str| main.len() >= 6 && plate.starts_with(main);
    let (a, b) = (main(x), main(y));
    begins(x, b) || begins(y, a) || within(a, b, 1)
}

fn name_slot(field: Field) -> Text {
    match field {
        Field::LastName => Text::LastName,
        Field::FirstName => Text::FirstName,
        _ => Text::MiddleName,
    }
}

fn name_level(field: Field, a: &Fingerprint, b: &Fingerprint) -> Level {
    let slot = name_slot(field);
    let (x, y) = (a.text(slot), b.text(slot));
    if x.is_empty() || y.is_empty() {
        return Level::Missing;
    }
    let i = field as usize;
    if x == y {
        let respelt = a.raw[i] != b.raw[i] && a.cyrillic & b.cyrillic & (1 << i) != 0;
        let level = equal_level(field, a, b);
        return if level == Level::Same && respelt { Level::Near } else { level };
    }
    if a.visual[i] == b.visual[i] {
        return Level::Disguised;
    }
    if names_near(field, x, y) || names_swapped(a, b) { Level::Near } else { Level::Different }
}

fn names_near(field: Field, x: &str, y: &str) -> bool {
    let shorter = x.len().min(y.len());
    let edits = if shorter >= 8 { 2 } else { 1 };
    (shorter >= 3 && within(x, y, edits))
        || (field == Field::FirstName && same_given(x, y))
        || (field == Field::LastName && (part_of(x, y) || part_of(y, x)))
        || (shorter >= 6 && jaro_winkler::similarity(x.chars(), y.chars()) >= 0.93)
}

/// A double surname holds the single one.
fn part_of(part: &str, whole: &str) -> bool {
    whole.len() > part.len() && whole.split(' ').any(|word| word == part)
}

/// Surname and given name changed places.
fn names_swapped(a: &Fingerprint, b: &Fingerprint) -> bool {
    let names = [Text::LastName, Text::FirstName, Text::MiddleName];
    let (mut x, mut y) = (names.map(|name| a.text(name)), names.map(|name| b.text(name)));
    x.sort_unstable();
    y.sort_unstable();
    x == y
}

/// Near: day and month swapped, one digit changed, two neighbouring digits swapped, or two of day, month and year equal.
pub fn date_level(a: Date, b: Date) -> Level {
    if !a.is_given() || !b.is_given() {
        return Level::Missing;
    }
    if a == b {
        return Level::Same;
    }
    let equal = [a.year() == b.year(), a.month() == b.month(), a.day() == b.day()];
    let two_parts = equal.iter().filter(|e| **e).count() == 2;
    let swapped = a.year() == b.year() && a.month() == b.day() && a.day() == b.month();
    if two_parts || swapped || digits_near(&a, &b) { Level::Near } else { Level::Different }
}

fn digits_near(a: &Date, b: &Date) -> bool {
    let digits = |d: &Date| {
        let n = d.year() * 10_000 + d.month() * 100 + d.day();
        std::array::from_fn::<u8, 8, _>(|i| (n / 10u32.pow(7 - i as u32) % 10) as u8)
    };
    let (x, y) = (digits(a), digits(b));
    let wrong: Vec<usize> = (0..8).filter(|i| x[*i] != y[*i]).collect();
    match wrong[..] {
        [_] => true,
        [i, j] => j == i + 1 && x[i] == y[j] && x[j] == y[i],
        _ => false,
    }
}

fn address_level(a: &Fingerprint, b: &Fingerprint) -> Level {
    if a.raw[Field::Address as usize] == 0 || b.raw[Field::Address as usize] == 0 {
        return Level::Missing;
    }
    let differing = [Text::City, Text::Street, Text::House, Text::Flat]
        .into_iter()
        .filter(|slot| {
            let (x, y) = (a.text(*slot), b.text(*slot));
            let apart = !x.is_empty() && !y.is_empty() && x != y;
            let is_word = matches!(slot, Text::City | Text::Street);
            apart && !(is_word && x.len() >= 5 && within(x, y, 1))
        })
        .count();
    match differing {
        0 => equal_level(Field::Address, a, b),
        1 => Level::Near,
        _ => Level::Different,
    }
}

fn model_level(a: &Fingerprint, b: &Fingerprint) -> Level {
    words_level(a.text(Text::Model), b.text(Text::Model))
}

/// Make and model are typed in many ways: a slip of the pen is the same car, and a form that gives fewer of the words says less of
/// it. Another number is another model, however near: an X5 is no X3.
fn words_level(x: &str, y: &str) -> Level {
    if x.is_empty() || y.is_empty() {
        return Level::Missing;
    }
    let subset = |x: &str, y: &str| x.split(' ').all(|word| y.split(' ').any(|other| other == word));
    let same_digits = || x.bytes().filter(u8::is_ascii_digit).eq(y.bytes().filter(u8::is_ascii_digit));
    let slip = || within(x, y, if x.len().min(y.len()) >= 8 { 2 } else { 1 }) && same_digits();
    if x == y || subset(x, y) || subset(y, x) || slip() { Level::Same } else { Level::Different }
}

fn year_level(a: u16, b: u16) -> Level {
    match (a, b) {
        (0, _) | (_, 0) => Level::Missing,
        _ if a == b => Level::Same,
        _ if a.abs_diff(b) <= 2 => Level::Near,
        _ => Level::Different,
    }
}

fn power_level(a: f32, b: f32) -> Level {
    if a <= 0.0 || b <= 0.0 {
        return Level::Missing;
    }
    // A kilowatt figure converted twice moves by less than one horsepower.
    match (a - b).abs() {
        d if d < 1.0 => Level::Same,
        d if d <= 0.3 * a.max(b) => Level::Near,
        _ => Level::Different,
    }
}

fn choice_level(a: f32, b: f32) -> Level {
    if a < 0.0 || b < 0.0 {
        return Level::Missing;
    }
    if a == b { Level::Same } else { Level::Different }
}

fn extra_level(a: u64, b: u64) -> Level {
    match (a, b) {
        (0, _) | (_, 0) => Level::Missing,
        _ if a == b => Level::Same,
        _ => Level::Different,
    }
}

/// (data, list): a driver altered or replaced by another is a fact, one added or removed a choice.
fn drivers_level(a: &[DriverPrint], b: &[DriverPrint]) -> (Level, Level) {
    if a.is_empty() || b.is_empty() {
        return (Level::Missing, Level::Missing);
    }
    if a == b {
        return (Level::Same, Level::Same);
    }
    let mut taken = 0u32;
    let mut altered = false;
    let mut alone = 0;
    for driver in a {
        let partner = (0..b.len()).filter(|j| taken & (1 << j) == 0 && same_driver(driver, &b[*j])).max_by_key(|j| {
            // An exact partner first, then the first in the list.
            (b[*j] == *driver, std::cmp::Reverse(*j))
        });
        match partner {
            Some(j) => {
                taken |= 1 << j;
                altered |= driver_altered(driver, &b[j]);
            }
            None => alone += 1,
        }
    }
    let other_alone = b.len() - taken.count_ones() as usize;
    let data = match (alone.min(other_alone), altered) {
        (0, false) => Level::Same,
        (0, true) => Level::Near,
        _ => Level::Different,
    };
    (data, if a.len() == b.len() { Level::Same } else { Level::Different })
}

fn same_driver(a: &DriverPrint, b: &DriverPrint) -> bool {
    let both = |x: u32, y: u32| x != 0 && x == y;
    both(a.licence, b.licence) || both(a.name, b.name) || (both(a.given, b.given) && both(a.birth_date.0, b.birth_date.0))
}

fn driver_altered(a: &DriverPrint, b: &DriverPrint) -> bool {
    let changed = |x: u32, y: u32| x != 0 && y != 0 && x != y;
    changed(a.licence, b.licence)
        || changed(a.birth_date.0, b.birth_date.0)
        || changed(a.licensed_since.0, b.licensed_since.0)
        || changed(a.name, b.name)
}

/// Where two unequal VINs differ decides what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VinChange {
    /// Only the serial number (positions 12-17), both well-formed: a neighbour on the line as likely as a tweak.
    Serial,
    /// The same serial, other positions: the same car written differently.
    Body,
    /// One side is not a possible VIN.
    Malformed,
    /// Both the serial and other positions.
    Mixed,
}

/// Classifies a near pair of canonical VINs.
pub fn vin_change(x: &str, y: &str) -> VinChange {
    if !well_formed(x) || !well_formed(y) {
        return VinChange::Malformed;
    }
    let differs = |range: std::ops::Range<usize>| x.as_bytes()[range.clone()] != y.as_bytes()[range];
    match (differs(0..11), differs(11..17)) {
        (false, _) => VinChange::Serial,
        (true, false) => VinChange::Body,
        (true, true) => VinChange::Mixed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_by_kind_of_slip() {
        let date = |text| Date::parse(text).unwrap_or_default();
        for (a, b, expected) in [
            ("1984-03-07", "1984-03-07", Level::Same),
            ("1984-03-07", "1984-07-03", Level::Near),
            ("1984-03-07", "1985-03-07", Level::Near),
            ("1984-03-07", "1974-03-07", Level::Near),
            ("1984-03-07", "1948-03-07", Level::Near),
            ("1984-03-07", "1991-11-30", Level::Different),
            ("1984-03-07", "", Level::Missing),
        ] {
            assert_eq!(date_level(date(a), date(b)), expected, "{a} {b}");
        }
    }

    #[test]
    fn plates_are_near_whichever_came_first() {
        for (x, y, expected) in [
            ("A123BC 69", "A123BC 77", true),
            ("A123BC 69", "A128BC 77", true),
            ("A123BC 69", "A123BC6", true),
            ("A123BC 69", "A", false),
            ("A123BC 69", "K777KK 69", false),
        ] {
            assert_eq!((plate_near(x, y), plate_near(y, x)), (expected, expected), "{x} {y}");
        }
    }

    #[test]
    fn models_by_their_words_and_numbers() {
        for (x, y, expected) in [
            ("LADA GRANTA", "GRANTA LADA", Level::Same),
            ("LADA GRANTA", "LADA GRNATA", Level::Same),
            ("LADA GRANTA", "LADA", Level::Same),
            ("LADA GRANTA", "LADA VESTA", Level::Different),
            ("BMW X5", "BMW X3", Level::Different),
            ("MAZDA 3", "MAZDA 6", Level::Different),
            ("MAZDA 3", "MZADA 3", Level::Same),
            ("LADA 2107", "LADA 2170", Level::Different),
            ("VW UP", "VW ID", Level::Different),
            ("LADA", "", Level::Missing),
        ] {
            assert_eq!((words_level(x, y), words_level(y, x)), (expected, expected), "{x} {y}");
        }
    }

    #[test]
    fn our_distance_agrees_with_strsim() {
        let words =
            ["IVANOV", "IVANVO", "IVNOV", "IVANOVA", "PETROV", "XTA219010K0123456", "XTA219010K0123465", "李明", "李明华", ""];
        for x in words {
            for y in words {
                for most in 0..4 {
                    assert_eq!(within(x, y, most), strsim::osa_distance(x, y) <= most, "{x} {y} {most}");
                }
            }
        }
    }
}
