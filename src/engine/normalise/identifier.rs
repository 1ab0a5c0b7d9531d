//! Documents, licences, phones and e-mail addresses.

use super::Value;
use super::clean::{clean, is_alphanumeric};
use super::name::look;

/// A passport, licence or other numbered paper: Latin capitals and digits, nothing between them.
pub fn document(raw: &str) -> Value {
    let cleaned = clean(raw);
    let compact: String = cleaned.text.chars().filter(|c| is_alphanumeric(*c)).collect();
    let cyrillic = compact.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
    let latin = compact.chars().any(|c| c.is_ascii_alphabetic());
    let digits = compact.chars().filter(char::is_ascii_digit).count();
    // O among digits is a zero: papers of this market hold at most two letters, and never O beside eight digits.
    let canonical: String = compact
        .chars()
        .map(look)
        .map(|c| match c {
            'O' if digits >= 6 => '0',
            'I' | 'L' if digits >= 6 && !cyrillic => '1',
            c => c,
        })
        .collect();
    let digits_drawn = latin && canonical.bytes().all(|b| b.is_ascii_digit());
    Value {
        canonical,
        raw: cleaned.raw,
        disguised: cleaned.invisible || (cyrillic && latin) || digits_drawn,
        mixed_script: cyrillic && latin,
    }
}

/// The national ten digits of a Russian number (7 or 8 in front of eleven), else the digits of the international form.
pub fn phone(raw: &str) -> Value {
    let cleaned = clean(raw);
    let digits: String = cleaned.text.chars().filter(char::is_ascii_digit).collect();
    let canonical = match digits.as_bytes() {
        [b'7' | b'8', rest @ ..] if rest.len() == 10 => digits[1..].to_owned(),
        _ if digits.is_empty() => cleaned.text.clone(),
        _ => digits,
    };
    Value { canonical, raw: cleaned.raw, disguised: cleaned.invisible, mixed_script: false }
}

/// Lower case by way of upper; the part after + dropped, the dots of gmail too.
pub fn email(raw: &str) -> Value {
    let cleaned = clean(raw);
    let lower = cleaned.text.to_lowercase();
    let canonical = match lower.split_once('@') {
        Some((local, domain)) => {
            let local = local.split('+').next().unwrap_or(local);
            let gmail = matches!(domain, "gmail.com" | "googlemail.com");
            let local = if gmail { local.replace('.', "") } else { local.to_owned() };
            format!("{local}@{}", if gmail { "gmail.com" } else { domain })
        }
        None => lower,
    };
    let foreign = !canonical.is_ascii() && canonical.chars().any(|c| c.is_ascii_alphabetic());
    let canonical = if foreign { canonical.chars().map(look_lower).collect() } else { canonical };
    Value { canonical, raw: cleaned.raw, disguised: cleaned.invisible || foreign, mixed_script: foreign }
}

fn look_lower(c: char) -> char {
    if c.is_ascii() { c } else { c.to_uppercase().next().map_or(c, look).to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_for_what_is_written_the_same() {
        for (a, b, disguised) in
            [("45 10 123456", "4510123456", false), ("45 1O 123456", "4510123456", true), ("77АВ 123456", "77ав123456", false)]
        {
            assert_eq!(document(a).canonical, document(b).canonical);
            assert_eq!(document(a).disguised, disguised, "{a}");
        }
        for (a, b) in [("+7 (912) 345-67-89", "89123456789"), ("9123456789", "7 912 345 67 89")] {
            assert_eq!(phone(a).canonical, phone(b).canonical);
        }
        assert_eq!(phone("+44 20 7946 0958").canonical, "442079460958");
        for (a, b, same) in [
            ("Ivan.Petrov+osago@Gmail.com", "ivanpetrov@googlemail.com", true),
            ("ivan.petrov@mail.ru", "ivanpetrov@mail.ru", false),
            ("ivan@mail.ru", "ivаn@mail.ru", true),
        ] {
            assert_eq!(email(a).canonical == email(b).canonical, same, "{a} {b}");
        }
    }
}
