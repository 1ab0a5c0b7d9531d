//! The comparators once more, from their description and with another library for the distances.

use quoteguard::engine::field::{Field, Level};
use quoteguard::engine::fingerprint::{DriverPrint, Fingerprint, Text};
use quoteguard::engine::normalise::name::same_given;
use quoteguard::engine::time::Date;
use strsim::{jaro_winkler, osa_distance};

pub fn level(field: Field, a: &Fingerprint, b: &Fingerprint) -> Level {
    use Field::*;
    match field {
        LastName => name(field, Text::LastName, a, b),
        FirstName => name(field, Text::FirstName, a, b),
        MiddleName => name(field, Text::MiddleName, a, b),
        BirthDate => date(a.birth_date, b.birth_date),
        IdDocument => text(field, Text::IdDocument, a, b, paper),
        DriverLicence => text(field, Text::DriverLicence, a, b, paper),
        Phone => text(field, Text::Phone, a, b, |x, y| osa_distance(x, y) <= 1),
        Email => text(field, Text::Email, a, b, email),
        Address => address(a, b),
        Vin => text(field, Text::Vin, a, b, |x, y| osa_distance(x, y) <= 3),
        Plate => text(field, Text::Plate, a, b, plate),
        MakeModel => model(a.text(Text::Model), b.text(Text::Model)),
        Year => number(f64::from(a.year), f64::from(b.year), 0.0, |d, _| d <= 2.0),
        Power => number(f64::from(a.power), f64::from(b.power), 1.0, |d, most| d <= 0.3 * most),
        DriverData => drivers(&a.drivers, &b.drivers).0,
        DriverList => drivers(&a.drivers, &b.drivers).1,
        Term => choice(a.term >= 0.0, b.term >= 0.0, a.term == b.term),
        Deductible => choice(a.deductible >= 0.0, b.deductible >= 0.0, a.deductible == b.deductible),
        Extra => choice(a.extra != 0, b.extra != 0, a.extra == b.extra),
    }
}

fn near(is_near: bool) -> Level {
    if is_near { Level::Near } else { Level::Different }
}

/// Equal after normalising; a disguise when one of two different raw forms took a look-alike fold to get there.
fn equal(field: Field, a: &Fingerprint, b: &Fingerprint) -> Level {
    let i = field as usize;
    let folded = (a.disguised >> i) & 1 == 1 || (b.disguised >> i) & 1 == 1;
    if folded && a.raw[i] != b.raw[i] { Level::Disguised } else { Level::Same }
}

fn text(field: Field, slot: Text, a: &Fingerprint, b: &Fingerprint, is_near: fn(&str, &str) -> bool) -> Level {
    match (a.text(slot), b.text(slot)) {
        ("", _) | (_, "") => Level::Missing,
        (x, y) if x == y => equal(field, a, b),
        (x, y) => near(is_near(x, y)),
    }
}

fn paper(x: &str, y: &str) -> bool {
    osa_distance(x, y) <= if x.len() >= 8 && y.len() >= 8 { 2 } else { 1 }
}

/// One mailbox at another provider, or at most two edits when the mailbox is long enough to tell.
fn email(x: &str, y: &str) -> bool {
    let (left, right) = (x.split('@').next().unwrap_or(""), y.split('@').next().unwrap_or(""));
    left == right || (left.len() >= 5 && right.len() >= 5 && osa_distance(x, y) <= 2)
}

/// The region aside: one begins with the whole of the other, or one edit.
fn plate(x: &str, y: &str) -> bool {
    let (main, other) = (x.split(' ').next().unwrap_or(""), y.split(' ').next().unwrap_or(""));
    let cut = (main.len() >= 6 && y.starts_with(main)) || (other.len() >= 6 && x.starts_with(other));
    cut || osa_distance(main, other) <= 1
}

fn name(field: Field, slot: Text, a: &Fingerprint, b: &Fingerprint) -> Level {
    let (x, y) = (a.text(slot), b.text(slot));
    if x.is_empty() || y.is_empty() {
        return Level::Missing;
    }
    if x == y {
        // Two Russian spellings that romanise alike are two spellings; in another script it is only another way to write one.
        let i = field as usize;
        let both_cyrillic = (a.cyrillic >> i) & 1 == 1 && (b.cyrillic >> i) & 1 == 1;
        let respelt = both_cyrillic && a.raw[i] != b.raw[i];
        return match equal(field, a, b) {
            Level::Same if respelt => Level::Near,
            level => level,
        };
    }
    if a.visual[field as usize] == b.visual[field as usize] {
        return Level::Disguised;
    }
    let shorter = x.len().min(y.len());
    let edits = osa_distance(x, y);
    let typing = (shorter >= 3 && edits <= 1) || (shorter >= 8 && edits <= 2);
    let alike = shorter >= 6 && jaro_winkler(x, y) >= 0.93;
    let diminutive = field == Field::FirstName && same_given(x, y);
    let double = field == Field::LastName && (x.split(' ').any(|w| w == y) || y.split(' ').any(|w| w == x));
    near(typing || alike || diminutive || double || parts(a) == parts(b))
}

/// The parts of a name, wherever they were typed.
fn parts(print: &Fingerprint) -> Vec<&str> {
    let mut parts = vec![print.text(Text::LastName), print.text(Text::FirstName), print.text(Text::MiddleName)];
    parts.sort();
    parts
}

fn date(a: Date, b: Date) -> Level {
    if !a.is_given() || !b.is_given() {
        return Level::Missing;
    }
    if a == b {
        return Level::Same;
    }
    let (x, y) = (a.to_string().replace('-', ""), b.to_string().replace('-', ""));
    let same_parts = [a.year() == b.year(), a.month() == b.month(), a.day() == b.day()].iter().filter(|same| **same).count();
    let day_and_month_swapped = a.year() == b.year() && a.month() == b.day() && a.day() == b.month();
    let one_digit = strsim::hamming(&x, &y) == Ok(1);
    let two_digits_swapped = strsim::hamming(&x, &y) == Ok(2) && osa_distance(&x, &y) == 1;
    near(same_parts == 2 || day_and_month_swapped || one_digit || two_digits_swapped)
}

fn address(a: &Fingerprint, b: &Fingerprint) -> Level {
    if a.raw[Field::Address as usize] == 0 || b.raw[Field::Address as usize] == 0 {
        return Level::Missing;
    }
    let differs = |slot: Text, edits_forgiven: usize| {
        let (x, y) = (a.text(slot), b.text(slot));
        let slip = x.len() >= 5 && osa_distance(x, y) <= edits_forgiven;
        !x.is_empty() && !y.is_empty() && x != y && !slip
    };
    let parts = [differs(Text::City, 1), differs(Text::Street, 1), differs(Text::House, 0), differs(Text::Flat, 0)];
    match parts.iter().filter(|differs| **differs).count() {
        0 => equal(Field::Address, a, b),
        1 => Level::Near,
        _ => Level::Different,
    }
}

/// One description may be shorter than the other.
fn model(x: &str, y: &str) -> Level {
    if x.is_empty() || y.is_empty() {
        return Level::Missing;
    }
    let within = |x: &str, y: &str| x.split(' ').all(|word| y.split(' ').any(|other| other == word));
    let number = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let slips = if x.len() >= 8 && y.len() >= 8 { 2 } else { 1 };
    let slip = number(x) == number(y) && osa_distance(x, y) <= slips;
    if within(x, y) || within(y, x) || slip { Level::Same } else { Level::Different }
}

fn number(x: f64, y: f64, tolerance: f64, is_near: fn(f64, f64) -> bool) -> Level {
    let apart = (x - y).abs();
    match () {
        _ if x <= 0.0 || y <= 0.0 => Level::Missing,
        _ if apart == 0.0 || apart < tolerance => Level::Same,
        _ => near(is_near(apart, x.max(y))),
    }
}

fn choice(first_given: bool, second_given: bool, same: bool) -> Level {
    match (first_given && second_given, same) {
        (false, _) => Level::Missing,
        (true, true) => Level::Same,
        (true, false) => Level::Different,
    }
}

/// Each driver finds a partner: the equal one if there is one, else the first that is the same person. (data, list).
fn drivers(a: &[DriverPrint], b: &[DriverPrint]) -> (Level, Level) {
    if a.is_empty() || b.is_empty() {
        return (Level::Missing, Level::Missing);
    }
    let mut free: Vec<&DriverPrint> = b.iter().collect();
    let mut altered = false;
    let mut alone = 0;
    for driver in a {
        let found = free
            .iter()
            .position(|d| *d == driver && same_person(d, driver))
            .or_else(|| free.iter().position(|d| same_person(d, driver)));
        match found {
            Some(at) => altered |= differ(driver, free.remove(at)),
            None => alone += 1,
        }
    }
    let replaced = alone > 0 && !free.is_empty();
    let data = match (replaced, altered) {
        _ if a == b => Level::Same,
        (true, _) => Level::Different,
        (false, true) => Level::Near,
        (false, false) => Level::Same,
    };
    (data, if a.len() == b.len() { Level::Same } else { Level::Different })
}

fn same_person(a: &DriverPrint, b: &DriverPrint) -> bool {
    let agree = |x: u32, y: u32| x != 0 && x == y;
    agree(a.licence, b.licence) || agree(a.name, b.name) || (agree(a.given, b.given) && agree(a.birth_date.0, b.birth_date.0))
}

fn differ(a: &DriverPrint, b: &DriverPrint) -> bool {
    let data = |d: &DriverPrint| [d.licence, d.birth_date.0, d.licensed_since.0, d.name];
    data(a).into_iter().zip(data(b)).any(|(x, y)| x != 0 && y != 0 && x != y)
}
