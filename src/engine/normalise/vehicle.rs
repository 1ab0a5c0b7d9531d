//! VIN and plate.

use super::Value;
use super::clean::{clean, is_alphanumeric};
use super::name::look;

/// Letters that no VIN holds; people and tweakers write them for the digits they look like (ISO 3779).
fn vin_letter(c: char) -> char {
    match look(c) {
        'I' => '1',
        'O' | 'Q' => '0',
        other => other,
    }
}

/// Latin capitals and digits, I as 1, O and Q as 0; spaces and hyphens dropped.
pub fn vin(raw: &str) -> Value {
    let cleaned = clean(raw);
    let mut disguised = cleaned.invisible;
    let mut canonical = String::with_capacity(17);
    for c in cleaned.text.chars().filter(|c| is_alphanumeric(*c)) {
        let letter = vin_letter(c);
        disguised |= letter != c;
        canonical.push(letter);
    }
    Value { raw: cleaned.raw, disguised, mixed_script: mixes_scripts(&cleaned.text), canonical }
}

fn mixes_scripts(text: &str) -> bool {
    text.chars().any(|c| c.is_ascii_alphabetic()) && text.chars().any(|c| c.is_alphabetic() && !c.is_ascii())
}

/// What the check digit (position 9) says. Only regions 1-5 (North America) and L (China) must keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckDigit {
    /// The region does not use it, or the VIN is not 17 characters long.
    Unused,
    Valid,
    Broken,
}

/// Weights of the check digit, ISO 3779 / 49 CFR 565.15(c).
const CHECK_WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];

pub fn check_digit(canonical: &str) -> CheckDigit {
    let b = canonical.as_bytes();
    if b.len() != 17 || !matches!(b[0], b'1'..=b'5' | b'L') {
        return CheckDigit::Unused;
    }
    let sum: Option<u32> = b.iter().zip(CHECK_WEIGHTS).try_fold(0, |sum, (c, weight)| Some(sum + letter_value(*c)? * weight));
    let expected = match sum.map(|sum| sum % 11) {
        Some(10) => b'X',
        Some(digit) => b'0' + digit as u8,
        None => return CheckDigit::Broken,
    };
    if b[8] == expected { CheckDigit::Valid } else { CheckDigit::Broken }
}

/// Transliteration of 49 CFR 565.15(c), table III.
fn letter_value(c: u8) -> Option<u32> {
    Some(match c {
        b'0'..=b'9' => u32::from(c - b'0'),
        b'A'..=b'H' => u32::from(c - b'A') + 1,
        b'J'..=b'N' => u32::from(c - b'J') + 1,
        b'P' => 7,
        b'R' => 9,
        b'S'..=b'Z' => u32::from(c - b'S') + 2,
        _ => return None,
    })
}

/// 17 letters and digits of the VIN alphabet.
pub fn well_formed(canonical: &str) -> bool {
    canonical.len() == 17 && canonical.bytes().all(|c| letter_value(c).is_some()) && check_digit(canonical) != CheckDigit::Broken
}

/// A plate: the part that stays with the car, and the region it was registered in.
///
/// `canonical` is the main part in Latin capitals, a space, and the region group (several codes of one region are one
/// group: 77, 97, 99, 177, 197, 199, 777, 799 and 977 are Moscow).
pub fn plate(raw: &str) -> Value {
    let cleaned = clean(raw);
    let compact: String = cleaned.text.chars().filter(|c| is_alphanumeric(*c)).collect();
    let mut disguised = cleaned.invisible;
    let letters: Vec<char> = compact.chars().map(look).collect();
    let mixed_script = mixes_scripts(&compact);
    disguised |= mixed_script;
    let canonical = match russian(&letters) {
        Some((main, region)) => {
            disguised |= compact.chars().take(6).zip(main.chars()).any(|(typed, read)| typed.is_ascii() && typed != read);
            format!("{main} {}", region_group(&region))
        }
        None => letters.into_iter().collect(),
    };
    Value { canonical, raw: cleaned.raw, disguised, mixed_script }
}

/// Letter, three digits, two letters, two or three digits of region: O typed for 0 (and back) is read by its place.
fn russian(letters: &[char]) -> Option<(String, String)> {
    if !(8..=9).contains(&letters.len()) {
        return None;
    }
    let mut main = String::with_capacity(6);
    for (i, c) in letters[..6].iter().enumerate() {
        let is_digit_place = (1..4).contains(&i);
        let read = match (is_digit_place, *c) {
            (true, 'O') => '0',
            (true, c) if c.is_ascii_digit() => c,
            (false, c) if "ABEKMHOPCTYX".contains(c) => c,
            _ => return None,
        };
        main.push(read);
    }
    let region: String = letters[6..].iter().map(|c| if *c == 'O' { '0' } else { *c }).collect();
    region.bytes().all(|b| b.is_ascii_digit()).then_some((main, region))
}

/// Region codes of which one region uses several: the first of the row stands for all.
const REGION_GROUPS: &[&[&str]] = &[
    &["77", "97", "99", "177", "197", "199", "777", "799", "977"],
    &["50", "90", "150", "190", "750", "790"],
    &["78", "98", "178", "198"],
    &["16", "116", "716"],
    &["23", "93", "123", "193"],
    &["61", "161", "761"],
    &["63", "163", "763"],
    &["66", "96", "196"],
    &["74", "174", "774"],
    &["02", "102", "702"],
    &["52", "152", "252"],
    &["54", "154"],
    &["59", "159"],
    &["24", "84", "88", "124"],
    &["34", "134"],
    &["36", "136"],
    &["64", "164"],
    &["25", "125"],
    &["38", "85", "138"],
    &["42", "142"],
    &["39", "91"],
    &["26", "126"],
    &["55", "155"],
];

fn region_group(region: &str) -> &str {
    REGION_GROUPS.iter().find(|group| group.contains(&region)).map_or(region, |group| group[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vins_fold_to_latin() {
        for (raw, expected, disguised) in [
            ("xta219010k0123456", "XTA219010K0123456", false),
            ("ХТА219010К0123456", "XTA219010K0123456", true),
            ("XTA219O10K0I23456", "XTA219010K0123456", true),
            ("XTA 219010-K0123456", "XTA219010K0123456", false),
        ] {
            let got = vin(raw);
            assert_eq!((got.canonical.as_str(), got.disguised), (expected, disguised), "{raw}");
        }
    }

    #[test]
    fn check_digits_bind_only_where_the_region_uses_them() {
        for (vin, expected) in [
            ("1M8GDM9AXKP042788", CheckDigit::Valid),
            ("1M8GDM9A1KP042788", CheckDigit::Broken),
            ("XTA219010K0123456", CheckDigit::Unused),
            ("11111111111111111", CheckDigit::Valid),
            ("1M8GDM9AXKP04278", CheckDigit::Unused),
        ] {
            assert_eq!(check_digit(vin), expected, "{vin}");
        }
    }

    #[test]
    fn plates_read_by_place_and_region_group() {
        for (raw, expected, disguised) in [
            ("А123ВС77", "A123BC 77", false),
            ("a123bc777", "A123BC 77", false),
            ("А 123 ВС 197", "A123BC 77", false),
            ("A123ВС77", "A123BC 77", true),
            ("АO23ВС77", "A023BC 77", true),
            ("AB1234", "AB1234", false),
        ] {
            let got = plate(raw);
            assert_eq!((got.canonical.as_str(), got.disguised), (expected, disguised), "{raw}");
        }
    }
}
