//! Honest noise: the slips everybody makes while typing a form.
//!
//! The same slips serve the adversary as edits, so that one edit alone tells nothing.

use crate::calendar::Date;
use crate::form::{Form, Shape};
use crate::rng::Rng;
use crate::script::{disguise, is_cyrillic, other_script};
use crate::vehicle::VIN_LETTERS;

/// Share of wrong birth dates among typed ones.
const WRONG_BIRTH: f64 = 0.0175;
const WRONG_LICENCE_DATE: f64 = 0.012;
const WRONG_NUMBER: f64 = 0.01;
/// Chance that a field typed wrong is noticed and corrected at a later quote.
const NOTICED: f64 = 0.35;
/// Chance that a returning applicant types the whole form again instead of finding it filled in.
const RETYPED: f64 = 0.2;
/// Chance that a plate is typed with the Latin layout on.
const LATIN_PLATE: f64 = 0.04;

/// An applicant at the keyboard: what is true, and what stands in the form.
#[derive(Clone, Debug)]
pub struct Typist {
    pub real: Form,
    pub shown: Form,
    /// Chance of a slip in one field, 0.01-0.03 by person.
    care: f64,
}

impl Typist {
    /// Types `real` for the first time.
    pub fn new(rng: &mut Rng, real: Form) -> Typist {
        let care = 0.01 + 0.02 * rng.unit();
        let mut typist = Typist { shown: real.clone(), real, care };
        typist.type_all(rng);
        typist
    }

    fn type_all(&mut self, rng: &mut Rng) {
        self.shown = self.real.clone();
        for (shape, text) in self.shown.texts() {
            if !text.is_empty() && rng.chance(self.care) {
                *text = slip(text, shape, rng);
            }
            if shape == Shape::Plate && rng.chance(LATIN_PLATE) {
                *text = other_script(text);
            }
        }
        for (i, date) in self.shown.dates().into_iter().enumerate() {
            if rng.chance(if i % 2 == 0 { WRONG_BIRTH } else { WRONG_LICENCE_DATE }) {
                *date = slipped_date(*date, rng);
            }
        }
        if rng.chance(WRONG_NUMBER) {
            self.shown.car.year += if rng.chance(0.5) { 1 } else { -1 };
        }
        if rng.chance(WRONG_NUMBER) {
            self.shown.car.power = *rng.pick(self.real.car.model().powers);
        }
    }

    /// Comes back to the form: mostly it is filled in as it was left, sometimes a slip is noticed, sometimes all is typed again.
    pub fn come_back(&mut self, rng: &mut Rng) {
        if rng.chance(RETYPED) {
            self.type_all(rng);
        } else {
            self.notice(rng, NOTICED);
        }
    }

    /// Corrects each wrong field with this chance.
    pub fn notice(&mut self, rng: &mut Rng, chance: f64) {
        let mut real = self.real.clone();
        for ((_, shown), (_, real)) in self.shown.texts().into_iter().zip(real.texts()) {
            if shown != real && rng.chance(chance) {
                shown.clone_from(real);
            }
        }
        for (shown, real) in self.shown.dates().into_iter().zip(real.dates()) {
            if shown != real && rng.chance(chance) {
                *shown = *real;
            }
        }
        let (shown, real) = (&mut self.shown.car, &self.real.car);
        if (shown.year, shown.power) != (real.year, real.power) && rng.chance(chance) {
            (shown.year, shown.power) = (real.year, real.power);
        }
    }

    /// A change in life or in choice: it happens to the truth and to the form.
    pub fn change(&mut self, change: impl Fn(&mut Form)) {
        change(&mut self.real);
        change(&mut self.shown);
    }
}

/// One typing error that fits the kind of text; always another text than `text` when that is not empty.
pub fn slip(text: &str, shape: Shape, rng: &mut Rng) -> String {
    for _ in 0..16 {
        let slipped = match shape {
            Shape::Vin if rng.chance(0.25) => vin_look_alike(text, rng),
            Shape::Name if rng.chance(0.08) => disguise(text, rng).unwrap_or_else(|| text.to_string()),
            _ => keyboard_slip(text, shape, rng),
        };
        if slipped != text && !slipped.trim().is_empty() {
            return slipped;
        }
    }
    format!("{text}{}", if shape == Shape::Digits || shape == Shape::Phone { '1' } else { text.chars().last().unwrap_or('1') })
}

fn keyboard_slip(text: &str, shape: Shape, rng: &mut Rng) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let at = rng.below(chars.len());
    match rng.below(10) {
        0..=4 => chars[at] = neighbour(chars[at], shape, rng),
        5..=6 if at + 1 < chars.len() => chars.swap(at, at + 1),
        7..=8 if chars.len() > 2 => {
            chars.remove(at);
        }
        _ => chars.insert(at, chars[at]),
    }
    chars.into_iter().collect()
}

/// A letter beside `c`: of its alphabet, and for Cyrillic from the keyboard's rows.
fn neighbour(c: char, shape: Shape, rng: &mut Rng) -> char {
    const ROWS: [&str; 6] = ["йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю", "qwertyuiop", "asdfghjkl", "zxcvbnm"];
    if c.is_ascii_digit() {
        return char::from(b'0' + rng.below(10) as u8);
    }
    if shape == Shape::Vin {
        return char::from(*rng.pick(VIN_LETTERS));
    }
    let lower = c.to_lowercase().next().unwrap_or(c);
    let Some(row) = ROWS.iter().find(|row| row.contains(lower)) else { return c };
    let keys: Vec<char> = row.chars().collect();
    let at = keys.iter().position(|key| *key == lower).unwrap_or(0);
    let beside = if at == 0 || (at + 1 < keys.len() && rng.chance(0.5)) { at + 1 } else { at - 1 };
    let key = keys[beside.min(keys.len() - 1)];
    if c == lower { key } else { key.to_uppercase().next().unwrap_or(key) }
}

/// One character of a VIN read as another of the same look, all in Latin.
pub fn vin_look_alike(vin: &str, rng: &mut Rng) -> String {
    const PAIRS: [(char, char); 9] =
        [('0', 'O'), ('1', 'I'), ('8', 'B'), ('5', 'S'), ('2', 'Z'), ('6', 'G'), ('0', 'D'), ('U', 'V'), ('0', 'Q')];
    let other = |c: char, (a, b): (char, char)| if c == a { Some(b) } else { (c == b).then_some(a) };
    let mut chars: Vec<char> = vin.chars().collect();
    let options: Vec<(usize, char)> =
        chars.iter().enumerate().flat_map(|(i, c)| PAIRS.iter().filter_map(move |pair| Some((i, other(*c, *pair)?)))).collect();
    if !options.is_empty() {
        let (at, c) = *rng.pick(&options);
        chars[at] = c;
    }
    chars.into_iter().collect()
}

/// A date with day and month exchanged, one digit wrong, or a neighbouring year; always another date.
pub fn slipped_date(date: Date, rng: &mut Rng) -> Date {
    for _ in 0..32 {
        let slipped = match rng.below(4) {
            0 => Date::new(date.year, date.day, date.month),
            1 => Date::new(date.year, date.month, rng.between(1, 31) as u32),
            2 => Date::new(date.year, rng.between(1, 12) as u32, date.day),
            _ => Date::new(date.year + [-10, -1, 1, 10][rng.below(4)], date.month, date.day),
        };
        if let Some(slipped) = slipped.filter(|slipped| *slipped != date && (1925..=2026).contains(&slipped.year)) {
            return slipped;
        }
    }
    date.plus_days(1)
}

/// The same value in another honest style: case, spacing, phone prefix. Equal to any sensible reader.
pub fn restyle(form: &mut Form, rng: &mut Rng) {
    match rng.below(4) {
        0 if is_cyrillic(&form.holder.last) => {
            for person in std::iter::once(&mut form.holder).chain(&mut form.others) {
                person.last = person.last.to_uppercase();
                person.first = person.first.to_uppercase();
                person.middle = person.middle.to_uppercase();
            }
        }
        1 => form.holder.phone = form.holder.phone.replacen("+7", "8", 1),
        2 => form.holder.licence = form.holder.licence.replace(' ', ""),
        _ => form.holder.passport = form.holder.passport.replace(' ', ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_always_another_text() {
        let mut rng = Rng::new(5);
        for (text, shape) in [
            ("Петрова", Shape::Name),
            ("Ы", Shape::Name),
            ("1", Shape::Digits),
            ("XTA219010K0123456", Shape::Vin),
            ("А111АА77", Shape::Plate),
            ("+79161234567", Shape::Phone),
            ("a@mail.ru", Shape::Email),
        ] {
            for _ in 0..2_000 {
                let slipped = slip(text, shape, &mut rng);
                assert!(slipped != text && !slipped.trim().is_empty(), "{text} became {slipped:?}");
            }
        }
    }

    #[test]
    fn what_is_noticed_becomes_true_again() {
        let mut rng = Rng::new(9);
        for _ in 0..500 {
            let real = Form::random(&mut rng);
            let mut typist = Typist::new(&mut rng, real.clone());
            typist.notice(&mut rng, 1.0);
            let plate = typist.shown.car.plate.clone();
            assert!(plate == real.car.plate || other_script(&plate) == real.car.plate);
            typist.shown.car.plate.clone_from(&real.car.plate);
            assert_eq!(typist.shown, real);
        }
    }

    #[test]
    fn a_slipped_date_is_another_date_that_exists() {
        let mut rng = Rng::new(2);
        for day in 0..2_000 {
            let date = Date { year: 1960, month: 1, day: 1 }.plus_days(day * 7);
            let slipped = slipped_date(date, &mut rng);
            assert!(slipped != date && Date::parse(&slipped.to_string()) == Some(slipped));
        }
    }
}
