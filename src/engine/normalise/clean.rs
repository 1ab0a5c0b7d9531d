//! The first step for every text: NFKC, no invisible characters, single spaces, upper case, ё as е.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use super::hash32;
use crate::engine::limits::NORMALISED_BYTES_MAX;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clean {
    pub text: String,
    /// Hash of the form as written, case and spacing aside; 0 when empty.
    pub raw: u32,
    /// Zero-width, bidi, control or other invisible characters were dropped.
    pub invisible: bool,
}

/// Cleans one value. The text is cut at a character boundary at or below [`NORMALISED_BYTES_MAX`] bytes; the raw hash
/// covers all of it, so longer values still differ.
pub fn clean(raw: &str) -> Clean {
    if let Some(text) = plain(raw) {
        return finish_plain(text);
    }
    let invisible = raw.chars().any(is_invisible);
    let written = fold_case_and_space(raw.chars());
    let text = if !invisible && is_nfkc_quick(raw.chars()) == IsNormalized::Yes {
        written.clone()
    } else {
        fold_case_and_space(raw.chars().filter(|c| !is_invisible(*c)).nfkc().filter(|c| !is_invisible(*c)))
    };
    finish(text, &written, invisible)
}

/// Printable ASCII and Russian letters, nearly everything people type: NFKC as it stands, upper case by arithmetic.
fn plain(raw: &str) -> Option<String> {
    let mut text = String::with_capacity(raw.len());
    let mut gap = false;
    for c in raw.chars() {
        let upper = match c {
            ' ' => {
                gap = true;
                continue;
            }
            '!'..='~' => c.to_ascii_uppercase(),
            'А'..='Я' => c,
            'а'..='я' => char::from_u32(c as u32 - 0x20)?,
            'Ё' | 'ё' => 'Е',
            _ => return None,
        };
        if std::mem::take(&mut gap) && !text.is_empty() {
            text.push(' ');
        }
        text.push(upper);
    }
    Some(text)
}

/// As `char::is_alphanumeric`, which looks every letter beyond ASCII up in a table: cleaned letters are Russian capitals for the most.
pub fn is_alphanumeric(c: char) -> bool {
    matches!(c, 'А'..='Я') || c.is_alphanumeric()
}

fn finish_plain(mut text: String) -> Clean {
    let raw = if text.is_empty() { 0 } else { hash32(text.as_bytes()) };
    cut(&mut text);
    Clean { text, raw, invisible: false }
}

fn finish(mut text: String, written: &str, invisible: bool) -> Clean {
    let raw = if text.is_empty() { 0 } else { hash32(written.as_bytes()) };
    cut(&mut text);
    Clean { text, raw, invisible }
}

fn fold_case_and_space(chars: impl Iterator<Item = char>) -> String {
    let mut text = String::with_capacity(64);
    let mut gap = false;
    for c in chars {
        if c.is_whitespace() {
            gap = true;
            continue;
        }
        if gap && !text.is_empty() {
            text.push(' ');
        }
        gap = false;
        for upper in c.to_uppercase() {
            text.push(if upper == 'Ё' { 'Е' } else { upper });
        }
    }
    text
}

fn cut(text: &mut String) {
    if text.len() > NORMALISED_BYTES_MAX {
        let end = (0..=NORMALISED_BYTES_MAX).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
    }
}

/// Characters that show nothing: they make two texts differ for a machine and not for a person.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
        || (c.is_control() && !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_of_unicode() {
        let differs = |c: &char| is_alphanumeric(*c) != c.is_alphanumeric();
        assert_eq!(('\0'..=char::MAX).find(differs), None);
    }

    #[test]
    fn reads_the_same_when_it_looks_the_same() {
        for (raw, expected, invisible) in [
            ("  ivanov   ivan ", "IVANOV IVAN", false),
            ("Фёдоров", "ФЕДОРОВ", false),
            ("Ива\u{200B}нов", "ИВАНОВ", true),
            ("\u{202E}Иванов", "ИВАНОВ", true),
            ("Ｉｖａｎ", "IVAN", false),
            ("ФЕ\u{0308}ДОРОВ", "ФЕДОРОВ", false),
            ("", "", false),
            ("\u{200B}", "", true),
        ] {
            let got = clean(raw);
            assert_eq!((got.text.as_str(), got.invisible), (expected, invisible), "{raw:?}");
        }
    }

    #[test]
    fn the_raw_form_tells_disguises_apart() {
        assert_eq!(clean("Иванов").raw, clean(" ИВАНОВ ").raw);
        assert_ne!(clean("Иванов").raw, clean("Ива\u{200B}нов").raw);
        assert_ne!(clean("Ив\u{200B}анов").raw, clean("Ива\u{200B}нов").raw);
        assert_eq!(clean("").raw, 0);
    }

    #[test]
    fn an_expanding_text_stays_bounded() {
        let bomb = "\u{FDFA}".repeat(256);
        assert!(clean(&bomb).text.len() <= NORMALISED_BYTES_MAX);
    }
}
