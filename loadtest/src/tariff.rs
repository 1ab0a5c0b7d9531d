//! A deterministic tariff, so that each change of the form moves the price as it would at an insurer.
//!
//! Territory, age and experience, power, the vehicle's year and value, drivers, term and deductible are priced as in any
//! motor tariff. The claims history stands behind the exact VIN, licence and name with birth date: it is a factor drawn
//! from their hashes, so a changed character really may find a better history.

use crate::calendar::{Date, TODAY};
use crate::data::places::CITIES;
use crate::form::Form;
use crate::people::Person;
use crate::rng::hash_text;
use crate::wire::Address;

/// Roubles a year before factors.
const OSAGO_BASE: f64 = 5_200.0;
/// Share of the vehicle's value a year before factors.
const KASKO_RATE: f64 = 0.035;

/// Roubles, rounded.
pub fn premium(form: &Form) -> u32 {
    let base = if form.product == "kasko" { KASKO_RATE * value(form) } else { OSAGO_BASE * power(form.car.power) };
    let price = base
        * territory(&form.holder.address)
        * drivers(form)
        * vehicle_age(form.car.year)
        * history(form)
        * term(form.term_months)
        * deductible(form.deductible);
    price.round().max(0.0) as u32
}

fn value(form: &Form) -> f64 {
    let age = f64::from((TODAY.year - form.car.year).clamp(0, 25));
    f64::from(form.car.model().price) * 0.91_f64.powf(age) * (1.0 + f64::from(form.car.power) / 2_000.0)
}

fn power(hp: u32) -> f64 {
    match hp {
        0..=50 => 0.6,
        51..=70 => 1.0,
        71..=100 => 1.1,
        101..=120 => 1.2,
        121..=150 => 1.4,
        _ => 1.6,
    }
}

/// An unknown city is priced as the country's mean; free text is searched for a city.
fn territory(address: &Address) -> f64 {
    let found = CITIES
        .iter()
        .find(|(city, _)| city.name == address.city || (!address.line.is_empty() && address.line.contains(city.name)));
    found.map_or(1.3, |(city, _)| city.factor)
}

/// The dearest of those who drive.
fn drivers(form: &Form) -> f64 {
    let worst = form.driving().map(driver).fold(0.0, f64::max);
    if worst == 0.0 { 2.3 } else { worst }
}

fn driver(person: &Person) -> f64 {
    let age = person.birth.years_until(TODAY);
    let experience = years(person.licensed_since);
    let by_age = match age {
        ..=21 => 2.1,
        22..=24 => 1.9,
        25..=29 => 1.5,
        30..=39 => 1.15,
        40..=59 => 0.95,
        _ => 0.9,
    };
    let by_experience = match experience {
        ..=0 => 1.2,
        1..=2 => 1.12,
        3..=4 => 1.05,
        5..=9 => 1.0,
        _ => 0.95,
    };
    by_age * by_experience
}

fn years(since: Date) -> i32 {
    since.years_until(TODAY).max(0)
}

fn vehicle_age(year: i32) -> f64 {
    match TODAY.year - year {
        ..=3 => 1.0,
        4..=7 => 1.04,
        8..=12 => 1.1,
        _ => 1.18,
    }
}

/// Claims history: by vehicle, by licence and by person, each 1 for most and up to 1.45 for a few.
fn history(form: &Form) -> f64 {
    let person = format!("{}|{}|{}", form.holder.last, form.holder.first, form.holder.birth);
    claims("vin", &form.car.vin) * claims("licence", &form.holder.licence) * claims("person", &person)
}

fn claims(kind: &str, key: &str) -> f64 {
    match hash_text(&format!("{kind}|{key}")) % 100 {
        0..=24 => 0.86,
        25..=69 => 1.0,
        70..=89 => 1.17,
        _ => 1.45,
    }
}

fn term(months: u32) -> f64 {
    match months {
        ..=3 => 0.5,
        4..=6 => 0.7,
        7..=9 => 0.95,
        _ => 1.0,
    }
}

fn deductible(roubles: u32) -> f64 {
    1.0 - f64::from(roubles.min(60_000)) / 60_000.0 * 0.35
}
