//! Addresses: city, street words in any order, house and flat apart; a free line is taken to pieces first.

use super::clean::{Clean, clean, is_alphanumeric};
use super::hash32;
use super::name::fold;
use crate::engine::quote;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    pub city: String,
    /// Folded words, sorted, one space between.
    pub street: String,
    pub house: String,
    pub flat: String,
    /// Hash of the whole address as written; 0 when nothing was given.
    pub raw: u32,
    pub disguised: bool,
    pub mixed_script: bool,
}

const CITY_WORDS: &[&str] = &["Г", "ГОР", "ГОРОД", "С", "СЕЛО", "ДЕР", "ДЕРЕВНЯ", "П", "ПОС", "ПОСЕЛОК", "ПГТ", "CITY", "G"];
const STREET_WORDS: &[&str] = &[
    "УЛ",
    "УЛИЦА",
    "ПР",
    "ПРОСПЕКТ",
    "ПРТ",
    "ПРКТ",
    "ПЕР",
    "ПЕРЕУЛОК",
    "Ш",
    "ШОССЕ",
    "НАБ",
    "НАБЕРЕЖНАЯ",
    "БУЛ",
    "БУЛЬВАР",
    "БР",
    "ПЛ",
    "ПЛОЩАДЬ",
    "МКР",
    "МИКРОРАЙОН",
    "ПРОЕЗД",
    "ПРД",
    "АЛ",
    "АЛЛЕЯ",
    "ТУП",
    "ТУПИК",
    "UL",
    "ULITSA",
    "ULICA",
    "STREET",
    "ST",
    "PR",
    "PROSPEKT",
    "PER",
];
const HOUSE_WORDS: &[&str] = &["Д", "ДОМ", "HOUSE", "D", "ВЛ", "ВЛАДЕНИЕ"];
const BLOCK_WORDS: &[&str] = &["К", "КОРП", "КОРПУС", "СТР", "СТРОЕНИЕ", "ЛИТ", "ЛИТЕРА"];
const FLAT_WORDS: &[&str] = &["КВ", "КВАРТИРА", "ОФ", "ОФИС", "ПОМ", "ПОМЕЩЕНИЕ", "FLAT", "APT", "KV"];

pub fn address(given: &quote::Address) -> Address {
    let clean_of = |text: &quote::Text| text.as_deref().map(clean).unwrap_or_default();
    let city = clean_of(if given.city.is_some() { &given.city } else { &given.region });
    let parts = [city, clean_of(&given.street), clean_of(&given.house), clean_of(&given.flat)];
    let structured = parts[1..].iter().any(|part| part.raw != 0);
    if !structured && let Some(line) = given.line.as_deref() {
        let line = clean(line);
        let mut address = from_line(&line.text);
        if address.city.is_empty() {
            address.city = words(&parts[0].text, CITY_WORDS);
        }
        seal(&mut address, &[line]);
        return address;
    }
    let mut address = Address {
        city: words(&parts[0].text, CITY_WORDS),
        street: words(&parts[1].text, STREET_WORDS),
        house: number(&parts[2].text, HOUSE_WORDS),
        flat: number(&parts[3].text, FLAT_WORDS),
        ..Address::default()
    };
    seal(&mut address, &parts);
    address
}

/// Adds what is known of the address as written.
fn seal(address: &mut Address, parts: &[Clean]) {
    let raws: Vec<u8> = parts.iter().flat_map(|part| part.raw.to_le_bytes()).collect();
    address.raw = if parts.iter().all(|part| part.raw == 0) { 0 } else { hash32(&raws) };
    address.mixed_script = parts.iter().any(|part| part.text.split([' ', '-', '.', ',', '/']).any(mixes));
    address.disguised = address.mixed_script || parts.iter().any(|part| part.invisible);
}

fn mixes(word: &str) -> bool {
    word.chars().any(|c| c.is_ascii_alphabetic()) && word.chars().any(|c| c.is_alphabetic() && !c.is_ascii())
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(is_alphanumeric(c) || c == '/')).filter(|token| !token.is_empty())
}

/// Folded words without the type of the place, sorted.
fn words(text: &str, dropped: &[&str]) -> String {
    let mut folded: Vec<String> = tokens(text).filter(|token| !dropped.contains(token)).map(folded_word).collect();
    folded.sort();
    folded.join(" ")
}

fn folded_word(token: &str) -> String {
    let seen: String = if mixes(token) { super::name::name(token).value.canonical } else { String::new() };
    if !seen.is_empty() {
        return seen;
    }
    let mut word = String::with_capacity(token.len());
    fold(token, &mut word);
    word
}

/// A house or flat number: `д. 12, корп. 2` is `12K2`, as is `12 к2`.
fn number(text: &str, dropped: &[&str]) -> String {
    let mut out = String::new();
    for token in tokens(text).filter(|token| !dropped.contains(token)) {
        if BLOCK_WORDS.contains(&token) {
            out.push('K');
        } else {
            out.push_str(&folded_word(token));
        }
    }
    out
}

/// Takes `г. Тверь, ул. Новая, д. 5, кв. 7` to pieces; numbers without a mark are house, then flat.
fn from_line(text: &str) -> Address {
    let mut address = Address::default();
    let mut street = Vec::new();
    for (i, part) in text.split(',').enumerate() {
        let words_of: Vec<&str> = tokens(part).collect();
        let Some(first) = words_of.first() else { continue };
        let marked = |marks: &[&str]| words_of.iter().any(|word| marks.contains(word));
        let has_digit = part.chars().any(|c| c.is_ascii_digit());
        if marked(FLAT_WORDS) && has_digit {
            address.flat = number(part, FLAT_WORDS);
        } else if (marked(HOUSE_WORDS) || marked(BLOCK_WORDS)) && has_digit && !marked(STREET_WORDS) {
            address.house.push_str(&number(part, HOUSE_WORDS));
        } else if has_digit && words_of.len() <= 2 && first.starts_with(|c: char| c.is_ascii_digit()) && first.len() < 6 {
            let slot = if address.house.is_empty() { &mut address.house } else { &mut address.flat };
            *slot = number(part, &[]);
        } else if address.city.is_empty() && !marked(STREET_WORDS) && (marked(CITY_WORDS) || i == 0) {
            address.city = words(part, CITY_WORDS);
        } else if !(words_of.len() == 1 && first.len() == 6 && has_digit) {
            street.push(words(part, STREET_WORDS));
        }
    }
    street.sort();
    address.street = street.join(" ");
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::quote::Address as Given;

    fn given(city: &str, street: &str, house: &str, flat: &str) -> Given {
        let text = |s: &str| (!s.is_empty()).then(|| s.into());
        Given { city: text(city), street: text(street), house: text(house), flat: text(flat), ..Given::default() }
    }

    #[test]
    fn the_same_door_however_written() {
        let plain = address(&given("Тверь", "Новая", "5 к2", "7"));
        for other in [
            address(&given("г. Тверь", "ул. Новая", "д. 5, корп. 2", "кв. 7")),
            address(&given("ТВЕРЬ", "Новая улица", "5К2", "7")),
            address(&given("Tver", "ul. Novaya", "5 к 2", "7")),
            address(&Given {
                line: Some("г. Тверь, ул. Новая, д. 5 корп 2, кв. 7".into()), ..Given::default()
            }),
        ] {
            let key = |a: &Address| (a.city.clone(), a.street.clone(), a.house.clone(), a.flat.clone());
            assert_eq!(key(&other), key(&plain));
            assert!(!other.disguised);
        }
        assert!(address(&given("Tвepь", "Новая", "5", "7")).disguised);
    }
}
