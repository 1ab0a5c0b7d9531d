//! Scripts: romanised forms, look-alike letters, invisible characters.

use crate::rng::Rng;

/// How a Cyrillic name may be written in Latin: passports of 2013 and 1997, BGN, GOST 7.79-B and two informal habits.
pub const SCHEMES: usize = 6;

/// Letters whose form differs between the schemes, in the order of [`SCHEMES`].
const VARYING: &[(char, [&str; SCHEMES])] = &[
    ('ё', ["e", "e", "yo", "yo", "yo", "e"]),
    ('ж', ["zh", "zh", "zh", "zh", "zh", "j"]),
    ('й', ["i", "y", "y", "j", "y", "i"]),
    ('х', ["kh", "kh", "kh", "x", "h", "h"]),
    ('ц', ["ts", "ts", "ts", "cz", "c", "ts"]),
    ('щ', ["shch", "shch", "shch", "shh", "sch", "sh"]),
    ('ъ', ["ie", "", "", "", "", ""]),
    ('ы', ["y", "y", "y", "y", "y", "i"]),
    ('ь', ["", "", "", "", "", ""]),
    ('э', ["e", "e", "e", "e", "e", "e"]),
    ('ю', ["iu", "yu", "yu", "yu", "ju", "u"]),
    ('я', ["ia", "ya", "ya", "ya", "ja", "ia"]),
];

#[rustfmt::skip]
const FIXED: &[(char, &str)] = &[
    ('а', "a"), ('б', "b"), ('в', "v"), ('г', "g"), ('д', "d"), ('е', "e"), ('з', "z"), ('и', "i"), ('к', "k"), ('л', "l"), ('м', "m"),
    ('н', "n"), ('о', "o"), ('п', "p"), ('р', "r"), ('с', "s"), ('т', "t"), ('у', "u"), ('ф', "f"), ('ч', "ch"), ('ш', "sh"),
];

/// Romanises Cyrillic letters, keeps everything else and the capital at the start of a word.
pub fn romanise(text: &str, scheme: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let lower = c.to_lowercase().next().unwrap_or(c);
        let latin = FIXED
            .iter()
            .find(|(from, _)| *from == lower)
            .map(|(_, to)| *to)
            .or_else(|| VARYING.iter().find(|(from, _)| *from == lower).map(|(_, to)| to[scheme % SCHEMES]));
        match latin {
            None => out.push(c),
            Some(latin) if c == lower => out.push_str(latin),
            Some(latin) => {
                let mut letters = latin.chars();
                out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                out.extend(letters);
            }
        }
    }
    out
}

/// Cyrillic and Latin letters that look the same in most typefaces.
#[rustfmt::skip]
const TWINS: &[(char, char)] = &[
    ('А', 'A'), ('В', 'B'), ('Е', 'E'), ('К', 'K'), ('М', 'M'), ('Н', 'H'), ('О', 'O'), ('Р', 'P'), ('С', 'C'), ('Т', 'T'), ('У', 'Y'), ('Х', 'X'),
    ('а', 'a'), ('е', 'e'), ('о', 'o'), ('р', 'p'), ('с', 'c'), ('у', 'y'), ('х', 'x'), ('к', 'k'), ('и', 'u'), ('п', 'n'), ('т', 'm'), ('г', 'r'),
];

/// The letter of the other script that looks like `c`.
pub fn twin(c: char) -> Option<char> {
    TWINS.iter().find_map(|&(cyrillic, latin)| match c {
        _ if c == cyrillic => Some(latin),
        _ if c == latin => Some(cyrillic),
        _ => None,
    })
}

/// Replaces a random non-empty part of the letters that have a twin; `None` when there is none.
pub fn disguise(text: &str, rng: &mut Rng) -> Option<String> {
    let mut places: Vec<usize> = text.chars().enumerate().filter(|(_, c)| twin(*c).is_some()).map(|(i, _)| i).collect();
    if places.is_empty() {
        return None;
    }
    rng.shuffle(&mut places);
    places.truncate(1 + rng.below(places.len().min(3)));
    Some(text.chars().enumerate().map(|(i, c)| if places.contains(&i) { twin(c).unwrap_or(c) } else { c }).collect())
}

/// Every letter in the other script, as typed with the wrong layout switched on (a plate typed in Latin).
pub fn other_script(text: &str) -> String {
    text.chars().map(|c| twin(c).unwrap_or(c)).collect()
}

const INVISIBLE: &[char] = &['\u{200B}', '\u{200C}', '\u{200D}', '\u{2060}', '\u{FEFF}'];

/// Inserts an invisible character.
pub fn hide_in(text: &str, rng: &mut Rng) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    chars.insert(rng.below(chars.len() + 1), *rng.pick(INVISIBLE));
    chars.into_iter().collect()
}

pub fn is_cyrillic(text: &str) -> bool {
    text.chars().any(|c| ('\u{0400}'..='\u{04FF}').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn romanises_by_scheme() {
        for (text, scheme, expected) in [
            ("Щербаков", 0, "Shcherbakov"),
            ("Юлия", 0, "Iuliia"),
            ("Юлия", 1, "Yuliya"),
            ("Хасанов", 3, "Xasanov"),
            ("Фёдор", 2, "Fyodor"),
            ("Smith", 4, "Smith"),
        ] {
            assert_eq!(romanise(text, scheme), expected, "{text} by scheme {scheme}");
        }
    }

    #[test]
    fn a_disguise_differs_and_reads_the_same() {
        let mut rng = Rng::new(7);
        for text in ["Петров", "XTA219010K0123456", "А123ВС77"] {
            let disguised = disguise(text, &mut rng).expect("has letters with twins");
            assert_ne!(disguised, text);
            assert_eq!(disguised.chars().count(), text.chars().count());
            let back: String = disguised.chars().zip(text.chars()).map(|(d, t)| if twin(d) == Some(t) { t } else { d }).collect();
            assert_eq!(back, text);
        }
        assert_eq!(disguise("17", &mut rng), None);
    }
}
