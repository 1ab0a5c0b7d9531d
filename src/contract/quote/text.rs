//! Invisible characters: told apart by byte first, because nearly every string has none.

use std::borrow::Cow;

use crate::engine::normalise::clean::is_invisible;

/// White space that is also a control or a separator of lines: becomes a space, or two words would grow together.
fn is_line_space(c: char) -> bool {
    c.is_whitespace() && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

fn is_stripped(c: char) -> bool {
    is_invisible(c) || is_line_space(c)
}

/// Bytes that occur in the UTF-8 form of a character that is stripped: the ASCII controls, and the lead bytes of the others.
/// Neither printable ASCII nor Cyrillic (lead bytes D0-D3) is among them.
const SUSPECT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    let others = [0x7F, 0xC2, 0xCD, 0xD8, 0xE1, 0xE2, 0xE3, 0xEF, 0xF3];
    let mut i = 0;
    while i < others.len() {
        table[others[i]] = true;
        i += 1;
    }
    table
};

/// True when `text` may hold a character that is stripped; false is certain.
fn is_suspect(text: &str) -> bool {
    text.bytes().fold(false, |found, byte| found | SUSPECT[byte as usize])
}

/// `text` without its invisible characters: borrowed when it has none.
pub(super) fn strip(text: &str) -> Cow<'_, str> {
    if !is_suspect(text) || !text.chars().any(is_stripped) {
        return Cow::Borrowed(text);
    }
    let kept = text.chars().filter_map(|c| if is_line_space(c) { Some(' ') } else { (!is_invisible(c)).then_some(c) });
    Cow::Owned(kept.collect())
}

/// Counts characters only when the bytes do not settle it.
pub(super) fn is_longer(text: &str, chars_max: usize) -> bool {
    text.len() > chars_max && text.chars().count() > chars_max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stripped_character_passes_the_byte_table() {
        for c in (0..=0x10_FFFFu32).filter_map(char::from_u32).filter(|c| is_stripped(*c)) {
            assert!(is_suspect(c.encode_utf8(&mut [0; 4])), "U+{:04X}", c as u32);
        }
    }

    #[test]
    fn invisible_characters_go_and_all_others_stay() {
        for (text, expected) in [
            ("Иванов", "Иванов"),
            ("Ёжик-Ünal «名» é", "Ёжик-Ünal «名» é"),
            ("Ива\u{200B}нов", "Иванов"),
            ("\u{202E}Иванов\u{202C}", "Иванов"),
            ("Ива\u{AD}нов\u{FEFF}", "Иванов"),
            ("Ива\u{2060}но\u{2064}в", "Иванов"),
            ("A\u{FE0F}B\u{E0041}C\u{E0100}", "ABC"),
            ("A\u{0}B\u{1B}C\u{7F}D\u{9B}", "ABCD"),
            ("ул. Мира\r\nд. 5", "ул. Мира  д. 5"),
            ("a\u{2028}b\tc", "a b c"),
            ("\u{200D}\u{3164}", ""),
        ] {
            assert_eq!(strip(text), expected, "{text:?}");
        }
    }

    #[test]
    fn length_is_counted_in_characters() {
        for (text, chars_max, expected) in
            [("абв", 3, false), ("абвг", 3, true), ("", 0, false), ("abc", 2, true), ("😀😀", 2, false)]
        {
            assert_eq!(is_longer(text, chars_max), expected, "{text}");
        }
    }
}
