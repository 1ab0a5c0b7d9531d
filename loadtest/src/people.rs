//! People and their relatives, composed from the word lists.

use crate::calendar::{Date, TODAY};
use crate::data::names::{ENDINGS, FEMALE, LATIN_FEMALE, LATIN_MALE, LATIN_SURNAMES, MALE, ROOTS, SURNAMES};
use crate::data::places::{CITIES, City, STREETS};
use crate::rng::Rng;
use crate::script::{is_cyrillic, romanise};
use crate::wire::Address;

#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub last: String,
    pub first: String,
    pub middle: String,
    pub birth: Date,
    pub passport: String,
    pub licence: String,
    pub licensed_since: Date,
    pub phone: String,
    pub email: String,
    pub address: Address,
    pub female: bool,
    /// The surname's masculine form, for relatives; not on the wire.
    pub family: String,
}

/// How often an applicant of the population leaves a field out.
const NO_PASSPORT: f64 = 0.12;
const NO_EMAIL: f64 = 0.15;
const NO_MIDDLE: f64 = 0.03;
const LATIN_CUSTOMER: f64 = 0.03;

impl Person {
    /// A random adult driver.
    pub fn random(rng: &mut Rng) -> Person {
        let city = rng.weighted(CITIES);
        Person::in_city(rng, city)
    }

    pub fn in_city(rng: &mut Rng, city: &City) -> Person {
        let age = (18.0 + rng.unit() * 30.0 + rng.unit() * 27.0) as i64;
        let birth = TODAY.plus_days(-(age * 365 + rng.between(10, 355)));
        let female = rng.chance(0.36);
        if rng.chance(LATIN_CUSTOMER) {
            let family = (*rng.pick(LATIN_SURNAMES)).to_string();
            let first = rng.pick::<&str>(if female { LATIN_FEMALE } else { LATIN_MALE });
            return Person::with(rng, Names { family, first, father: "" }, female, birth, city);
        }
        let family = surname(rng);
        let first = given(rng, female);
        let father = rng.weighted(MALE).1;
        Person::with(rng, Names { family, first, father }, female, birth, city)
    }

    fn with(rng: &mut Rng, names: Names, female: bool, birth: Date, city: &City) -> Person {
        let last = if female { feminine(&names.family) } else { names.family.clone() };
        let mut person = Person {
            middle: if rng.chance(NO_MIDDLE) { String::new() } else { patronymic(names.father, female) },
            last,
            first: names.first.to_string(),
            birth,
            passport: String::new(),
            licence: String::new(),
            licensed_since: birth,
            phone: phone(rng),
            email: String::new(),
            address: address(rng, city),
            female,
            family: names.family,
        };
        person.email = if rng.chance(NO_EMAIL) { String::new() } else { email(rng, &person.first, &person.last, birth) };
        person.new_documents(rng, city.issuer);
        if rng.chance(NO_PASSPORT) {
            person.passport.clear();
        }
        person
    }

    /// Another passport, licence and licence date, plausible for the age.
    fn new_documents(&mut self, rng: &mut Rng, issuer: &str) {
        let age = self.birth.years_until(TODAY);
        let issued = TODAY.year - if age >= 45 { age - 45 } else { (age - 20).max(0) };
        self.passport = format!("{issuer}{:02} {}", issued.rem_euclid(100), rng.digits(6));
        let experience = rng.between(0, i64::from((age - 18).clamp(0, 40)) * 365) * if rng.chance(0.7) { 1 } else { 0 }
            + i64::from((age - 18).max(0)) * 365 * i64::from(rng.chance(0.25));
        let earliest = self.birth.plus_years(18).to_days();
        self.licensed_since = Date::from_days((TODAY.to_days() - 5 - experience).clamp(earliest, TODAY.to_days() - 1));
        let plates = rng.weighted(CITIES).plates;
        let region = *rng.pick(plates);
        self.licence = if self.licensed_since.year < 2011 && rng.chance(0.15) {
            const LETTERS: [&str; 12] = ["А", "В", "Е", "К", "М", "Н", "О", "Р", "С", "Т", "У", "Х"];
            format!("{:0>2}{}{} {}", &region[region.len() - 2..], rng.pick(&LETTERS), rng.pick(&LETTERS), rng.digits(6))
        } else {
            format!("{issuer}{:02} {}", rng.between(11, 26), rng.digits(6))
        };
    }

    /// A relative of the same household: same surname and address, everything else his own.
    pub fn relative(&self, rng: &mut Rng, tie: Tie) -> Person {
        let age = self.birth.years_until(TODAY);
        let (female, years) = match tie {
            Tie::Spouse => (!self.female, rng.between(-6, 6)),
            Tie::Sibling => (rng.chance(0.5), rng.between(1, 9) * if rng.chance(0.5) { 1 } else { -1 }),
            Tie::Twin => (self.female, 0),
            Tie::Parent => (rng.chance(0.5), -rng.between(20, 34)),
            Tie::Child => (rng.chance(0.5), rng.between(19, 34)),
        };
        let days = if tie == Tie::Twin { 0 } else { years * 365 + rng.between(-170, 170) };
        let youngest = TODAY.plus_years(-18).plus_days(-20);
        let birth = self.birth.plus_days(days.max(-i64::from(95 - age) * 365)).min(youngest);
        let father = match tie {
            Tie::Child if !self.female => {
                MALE.iter().find(|((name, _), _)| *name == self.first).map_or("", |((_, stem), _)| stem)
            }
            Tie::Sibling | Tie::Twin => "",
            _ => rng.weighted(MALE).1,
        };
        let mut first = given_like(rng, female, &self.first);
        while first == self.first {
            first = given_like(rng, female, &self.first);
        }
        let city = CITIES.iter().find(|(city, _)| city.name == self.address.city).map_or(&CITIES[0].0, |(city, _)| city);
        let mut other = Person::with(rng, Names { family: self.family.clone(), first, father }, female, birth, city);
        if matches!(tie, Tie::Sibling | Tie::Twin) {
            other.middle = siblings_patronymic(&self.middle, self.female, female);
        }
        if !is_cyrillic(&self.family) {
            other.middle.clear();
        }
        other.address = self.address.clone();
        if tie == Tie::Twin {
            // Issued together: the numbers follow each other.
            other.passport = next_number(&self.passport);
        }
        other
    }

    pub fn city(&self) -> &'static City {
        CITIES.iter().find(|(city, _)| city.name == self.address.city).map_or(&CITIES[0].0, |(city, _)| city)
    }

    pub fn move_to(&mut self, rng: &mut Rng, city: &City) {
        self.address = address(rng, city);
    }
}

struct Names<'a> {
    family: String,
    first: &'a str,
    /// Stem of the father's patronymic; empty where the custom is unknown.
    father: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    Spouse,
    Sibling,
    Twin,
    Parent,
    Child,
}

pub fn surname(rng: &mut Rng) -> String {
    if rng.chance(0.62) { (*rng.weighted(SURNAMES)).to_string() } else { format!("{}{}", rng.pick(ROOTS), rng.pick(ENDINGS)) }
}

pub fn feminine(surname: &str) -> String {
    for (ending, changed) in [("ский", "ская"), ("цкий", "цкая"), ("ой", "ая"), ("ый", "ая")] {
        if let Some(stem) = surname.strip_suffix(ending) {
            return format!("{stem}{changed}");
        }
    }
    let declined = ["ов", "ёв", "ев", "ин", "ын"].iter().any(|ending| surname.ends_with(ending));
    if declined { format!("{surname}а") } else { surname.to_string() }
}

fn given(rng: &mut Rng, female: bool) -> &'static str {
    if female { rng.weighted::<&str>(FEMALE) } else { rng.weighted(MALE).0 }
}

/// A given name in the script of another.
fn given_like(rng: &mut Rng, female: bool, other: &str) -> &'static str {
    if is_cyrillic(other) { given(rng, female) } else { rng.pick::<&str>(if female { LATIN_FEMALE } else { LATIN_MALE }) }
}

/// Feminine patronymics that do not end in the stem and `на`.
const IRREGULAR: [(&str, &str); 2] = [("Иль", "Ильинична"), ("Никит", "Никитична")];

/// From the stem of the father's name; empty for an empty stem.
fn patronymic(stem: &str, female: bool) -> String {
    let irregular = IRREGULAR.iter().find(|(irregular, _)| *irregular == stem);
    match (stem, female, irregular) {
        ("", _, _) => String::new(),
        (_, true, Some((_, whole))) => (*whole).to_string(),
        (_, true, None) => format!("{stem}на"),
        (_, false, _) => format!("{stem}ич"),
    }
}

/// The patronymic of a brother or sister.
fn siblings_patronymic(middle: &str, from_female: bool, to_female: bool) -> String {
    let irregular = IRREGULAR.iter().find(|(_, whole)| *whole == middle).map(|(stem, _)| *stem);
    let stem = if from_female { irregular.or(middle.strip_suffix("на")) } else { middle.strip_suffix("ич") };
    stem.map_or(String::new(), |stem| patronymic(stem, to_female))
}

const OPERATORS: [&str; 20] = [
    "903", "905", "906", "909", "910", "912", "914", "915", "916", "917", "919", "920", "922", "925", "926", "937", "950", "961",
    "977", "999",
];

pub fn phone(rng: &mut Rng) -> String {
    format!("+7{}{}", rng.pick(&OPERATORS), rng.digits(7))
}

pub fn email(rng: &mut Rng, first: &str, last: &str, birth: Date) -> String {
    let scheme = 1 + rng.below(5);
    let plain = |text: &str| romanise(text, scheme).to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "");
    let (first, last) = (plain(first), plain(last));
    let initial = &first[..first.len().min(1)];
    let local = match rng.below(5) {
        0 => format!("{last}.{first}"),
        1 => format!("{initial}{last}{}", birth.year % 100),
        2 => format!("{last}{}", rng.between(1, 999)),
        3 => format!("{first}{}{}", birth.year, rng.between(1, 99)),
        _ => format!("{initial}.{last}{}", rng.between(10, 99)),
    };
    let domain =
        rng.weighted(&[("mail.ru", 35.0), ("yandex.ru", 30.0), ("gmail.com", 25.0), ("bk.ru", 5.0), ("rambler.ru", 5.0)]);
    format!("{local}@{domain}")
}

pub fn address(rng: &mut Rng, city: &City) -> Address {
    let number = rng.log_uniform(1.0, 140.0) as u32;
    let house = match rng.below(10) {
        0 => format!("{number}А"),
        1 => format!("{number}к{}", rng.between(1, 4)),
        2 => format!("{number}/{}", rng.between(1, 9)),
        _ => number.to_string(),
    };
    Address {
        postal_code: format!("{}{:03}", city.postal, rng.below(140)),
        region: city.region.to_string(),
        city: city.name.to_string(),
        street: (*rng.pick(STREETS)).to_string(),
        house,
        flat: if rng.chance(0.18) { String::new() } else { (rng.log_uniform(1.0, 320.0) as u32).to_string() },
        line: String::new(),
    }
}

/// The next serial number of a document `4+6`.
pub fn next_number(document: &str) -> String {
    match document.rsplit_once(' ').and_then(|(series, number)| Some((series, number.parse::<u32>().ok()?))) {
        Some((series, number)) => format!("{series} {:06}", (number + 1) % 1_000_000),
        None => document.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surnames_and_patronymics_are_declined() {
        for (masculine, expected) in [
            ("Иванов", "Иванова"),
            ("Вишневский", "Вишневская"),
            ("Толстой", "Толстая"),
            ("Шевченко", "Шевченко"),
            ("Королёв", "Королёва"),
        ] {
            assert_eq!(feminine(masculine), expected);
        }
        for (middle, from_female, to_female, expected) in [
            ("Иванович", false, true, "Ивановна"),
            ("Ивановна", true, false, "Иванович"),
            ("Ильич", false, true, "Ильинична"),
            ("Ильинична", true, false, "Ильич"),
            ("Никитична", true, true, "Никитична"),
            ("", false, true, ""),
        ] {
            assert_eq!(siblings_patronymic(middle, from_female, to_female), expected, "{middle}");
        }
    }

    #[test]
    fn people_are_adults_and_licensed_after_eighteen() {
        let mut rng = Rng::new(11);
        for i in 0..20_000 {
            let person = Person::random(&mut rng);
            let relative = person.relative(&mut rng, [Tie::Spouse, Tie::Sibling, Tie::Twin, Tie::Parent, Tie::Child][i % 5]);
            for p in [&person, &relative] {
                assert!((18..=110).contains(&p.birth.years_until(TODAY)), "born {}", p.birth);
                assert!(
                    p.licensed_since >= p.birth.plus_years(18).plus_days(-1) && p.licensed_since < TODAY,
                    "{} {}",
                    p.birth,
                    p.licensed_since
                );
            }
        }
    }
}
