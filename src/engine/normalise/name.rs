//! Names: one lossy fold that makes Cyrillic and its common romanisations equal, and what remains as evidence of evasion.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

use super::clean::clean;
use super::{Value, hash32};

/// A part of a name (surname, given name, patronymic).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// `canonical` is the fold: Latin capitals, equal for passport 1997/2010/2013, BGN, GOST 7.79-B and informal spellings.
    pub value: Value,
    /// Hash of what the eye sees: letters that look alike in the two scripts are one. 0 when not given.
    pub visual: u32,
    /// Written in Cyrillic: two such names are compared as written, not through the fold, which forgives more than a
    /// spelling of one's own name should vary.
    pub cyrillic: bool,
}

pub fn name(raw: &str) -> Name {
    let cleaned = clean(raw);
    if cleaned.raw == 0 {
        return Name::default();
    }
    let mut canonical = String::with_capacity(cleaned.text.len());
    let mut mixed_script = false;
    for token in cleaned.text.split([' ', '-']).filter(|t| !t.is_empty()) {
        let (one_script, mixed) = to_one_script(token);
        mixed_script |= mixed;
        if !canonical.is_empty() {
            canonical.push(' ');
        }
        fold(&one_script, &mut canonical);
    }
    let seen: String = cleaned.text.chars().map(look).collect();
    Name {
        visual: hash32(seen.as_bytes()),
        cyrillic: cleaned.text.chars().any(is_cyrillic),
        value: Value { canonical, raw: cleaned.raw, disguised: mixed_script || cleaned.invisible, mixed_script },
    }
}

fn is_cyrillic(c: char) -> bool {
    ('\u{0400}'..='\u{052F}').contains(&c)
}

/// Turns the minority script of a mixed word into the majority's look-alikes.
fn to_one_script(token: &str) -> (std::borrow::Cow<'_, str>, bool) {
    let cyrillic = token.chars().filter(|c| is_cyrillic(*c)).count();
    let latin = token.chars().filter(char::is_ascii_alphanumeric).count();
    if cyrillic == 0 || latin == 0 {
        return (token.into(), false);
    }
    let to_cyrillic = cyrillic >= latin;
    let text: String = token.chars().map(|c| if to_cyrillic { latin_as_cyrillic(c) } else { look(c) }).collect();
    (text.into(), true)
}

/// The letter or digit that an upper-case `c` looks like, in Latin; `c` itself when there is none. Own table: Unicode's
/// confusables map whole families (m to rn) and miss lower-case Cyrillic letters.
pub fn look(c: char) -> char {
    match c {
        '0' => 'O',
        c if c.is_ascii() => c,
        'А' => 'A',
        'В' => 'B',
        'Е' => 'E',
        'К' => 'K',
        'М' => 'M',
        'Н' | 'Һ' => 'H',
        'О' => 'O',
        'Р' => 'P',
        'С' => 'C',
        'Т' => 'T',
        'У' | 'Ү' => 'Y',
        'Х' => 'X',
        'І' | 'Ї' => 'I',
        'Ј' => 'J',
        'Ѕ' => 'S',
        'Ԛ' => 'Q',
        'Ԝ' => 'W',
        'Ԍ' => 'G',
        'З' => '3',
        'Б' => '6',
        c => c,
    }
}

/// The reverse, for the Latin letters and digits in a Cyrillic word: N, U and R are what a keyboard trick leaves.
fn latin_as_cyrillic(c: char) -> char {
    match c {
        'A' => 'А',
        'B' => 'В',
        'E' => 'Е',
        'K' => 'К',
        'M' => 'М',
        'H' => 'Н',
        'O' | '0' => 'О',
        'P' => 'Р',
        'C' => 'С',
        'T' => 'Т',
        'Y' => 'У',
        'X' => 'Х',
        'I' => 'І',
        'J' => 'Ј',
        'S' => 'Ѕ',
        '3' => 'З',
        '6' => 'Б',
        'N' | 'U' => 'И',
        'R' => 'Я',
        c => c,
    }
}

/// Appends the fold of one upper-case word.
pub fn fold(word: &str, out: &mut String) {
    let mut latin = String::with_capacity(word.len() + 8);
    for c in word.chars() {
        transliterate(c, &mut latin);
    }
    let mut consonants = String::with_capacity(latin.len());
    fold_consonants(&latin, &mut consonants);
    fold_vowels(&consonants, out);
}

fn transliterate(c: char, out: &mut String) {
    let text = match c {
        'А' => "A",
        'Б' => "B",
        'В' => "V",
        'Г' | 'Ґ' => "G",
        'Д' => "D",
        'Е' | 'Ё' | 'Э' | 'Є' => "E",
        'Ж' => "ZH",
        'З' => "Z",
        'И' | 'Й' | 'І' | 'Ї' => "I",
        'К' => "K",
        'Л' => "L",
        'М' => "M",
        'Н' => "N",
        'О' => "O",
        'П' => "P",
        'Р' => "R",
        'С' => "S",
        'Т' => "T",
        'У' | 'Ў' => "U",
        'Ф' => "F",
        'Х' => "KH",
        'Ц' => "TS",
        'Ч' => "CH",
        'Ш' => "SH",
        'Щ' => "SHCH",
        'Ы' => "Y",
        'Ю' => "IU",
        'Я' => "IA",
        'Ъ' | 'Ь' | '\'' | '`' | '’' | 'ʹ' | 'ʺ' | '"' | '.' | ',' => "",
        _ if c.is_ascii() => {
            out.push(c);
            return;
        }
        _ => {
            // é, ł, ž ...: the base letter; other scripts stay as they are.
            let base = std::iter::once(c).nfd().next().filter(char::is_ascii_alphabetic);
            out.push(base.unwrap_or(c));
            return;
        }
    };
    out.push_str(text);
}

/// Groups of Latin letters that romanise one Cyrillic consonant become one letter of the fold's own: X for ш щ, Q for ж, 4 for ч,
/// C for ц, H for х.
fn fold_consonants(latin: &str, out: &mut String) {
    let mut rest = latin;
    while let Some(c) = rest.chars().next() {
        let (letter, length) = consonant(rest.as_bytes()).unwrap_or((c, c.len_utf8()));
        out.push(letter);
        rest = &rest[length..];
    }
}

/// The fold's letter for the longest group at the front, and the group's length; `None` for a letter that stands for itself.
fn consonant(rest: &[u8]) -> Option<(char, usize)> {
    Some(match rest {
        [b'S', b'H', b'C', b'H', ..] => ('X', 4),
        [b'S', b'C', b'H', ..] | [b'S', b'H', b'H', ..] => ('X', 3),
        [b'S', b'H', ..] => ('X', 2),
        [b'Z', b'H', ..] => ('Q', 2),
        [b'K', b'H', ..] => ('H', 2),
        [b'C', b'H', ..] => ('4', 2),
        [b'T', b'S' | b'C', ..] | [b'C', b'Z', ..] => ('C', 2),
        [b'P', b'H', ..] => ('F', 2),
        [b'C', b'K', ..] | [b'Q', ..] => ('K', if rest[0] == b'Q' { 1 } else { 2 }),
        [b'W', ..] => ('V', 1),
        [b'X', ..] => ('H', 1),
        [b'Y' | b'J', ..] => ('I', 1),
        _ => return None,
    })
}

/// Drops a glide before a vowel (ия, ья, ya, ja, ia are one), reads yo as e, and writes doubled letters once.
fn fold_vowels(text: &str, out: &mut String) {
    let start = out.len();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == 'I' {
            while chars.next_if_eq(&'I').is_some() {}
            match chars.peek() {
                Some('O') => {
                    chars.next();
                    out.push('E');
                    continue;
                }
                Some('A' | 'E' | 'U') => continue,
                _ => {}
            }
        }
        if !out[start..].ends_with(c) {
            out.push(c);
        }
    }
}

/// A phonetic code of a folded name, for blocking only: up to six consonant classes, an initial vowel as A. The gender of
/// an ending does not enter.
pub fn code(folded: &str) -> [u8; 6] {
    let mut code = [0u8; 6];
    let mut length = 0;
    for (i, c) in folded.chars().enumerate() {
        let class = match c {
            'B' | 'P' => b'P',
            'V' | 'F' => b'F',
            'D' | 'T' => b'T',
            'G' | 'K' | 'H' => b'K',
            'Z' | 'S' => b'S',
            'Q' | 'X' => b'X',
            'C' | '4' => b'C',
            'L' | 'M' | 'N' | 'R' => c as u8,
            'A' | 'E' | 'I' | 'O' | 'U' if i == 0 => b'A',
            c if c.is_ascii() => continue,
            c => (c as u32 % 251) as u8 | 0x80,
        };
        if length > 0 && code[length - 1] == class {
            continue;
        }
        code[length] = class;
        length += 1;
        if length == code.len() {
            break;
        }
    }
    code
}

/// Everyday forms of given names, by the full name.
const DIMINUTIVES: &[(&str, &str)] = &[
    ("АЛЕКСАНДР", "САША ШУРА САНЯ АЛЕКС ALEXANDER ALEX"),
    ("АЛЕКСАНДРА", "АЛЕКСА SASHA"),
    ("АЛЕКСЕЙ", "ЛЕША АЛЕША ЛЕХА ALEXEY ALEXEI ALEX"),
    ("АЛЕНА", "ЛЕНА"),
    ("АНАСТАСИЯ", "НАСТЯ АСЯ"),
    ("АНАТОЛИЙ", "ТОЛЯ"),
    ("АНДРЕЙ", "АНДРЮША ANDREW"),
    ("АННА", "АНЯ АНЮТА"),
    ("АНТОН", "ТОША ANTHONY"),
    ("АРТЕМ", "ТЕМА АРТЕМИЙ"),
    ("БОРИС", "БОРЯ"),
    ("ВАЛЕНТИНА", "ВАЛЯ"),
    ("ВАЛЕРИЙ", "ВАЛЕРА"),
    ("ВАСИЛИЙ", "ВАСЯ"),
    ("ВЕРОНИКА", "НИКА"),
    ("ВИКТОР", "ВИТЯ VICTOR"),
    ("ВИКТОРИЯ", "ВИКА"),
    ("ВЛАДИМИР", "ВОВА ВОЛОДЯ"),
    ("ВЛАДИСЛАВ", "ВЛАД СЛАВА"),
    ("ВЯЧЕСЛАВ", "СЛАВА"),
    ("ГАЛИНА", "ГАЛЯ"),
    ("ГЕОРГИЙ", "ЖОРА ГОША GEORGE"),
    ("ГРИГОРИЙ", "ГРИША"),
    ("ДАНИИЛ", "ДАНЯ ДАНИЛ ДАНИЛА DANIEL"),
    ("ДАРЬЯ", "ДАША"),
    ("ДЕНИС", "ДЕН"),
    ("ДМИТРИЙ", "ДИМА МИТЯ"),
    ("ЕВГЕНИЙ", "ЖЕНЯ EUGENE"),
    ("ЕВГЕНИЯ", "ЖЕНЯ"),
    ("ЕКАТЕРИНА", "КАТЯ CATHERINE"),
    ("ЕЛЕНА", "ЛЕНА АЛЕНА HELEN"),
    ("ЕЛИЗАВЕТА", "ЛИЗА ELIZABETH"),
    ("ИВАН", "ВАНЯ"),
    ("ИГОРЬ", "ГОША"),
    ("ИЛЬЯ", "ИЛЮША"),
    ("ИРИНА", "ИРА"),
    ("КОНСТАНТИН", "КОСТЯ"),
    ("КРИСТИНА", "КРИСТЯ CHRISTINA"),
    ("КСЕНИЯ", "КСЮША ОКСАНА"),
    ("ЛАРИСА", "ЛАРА"),
    ("ЛЮБОВЬ", "ЛЮБА"),
    ("ЛЮДМИЛА", "ЛЮДА МИЛА"),
    ("МАКСИМ", "МАКС MAX"),
    ("МАРГАРИТА", "РИТА"),
    ("МАРИНА", "МАРИША"),
    ("МАРИЯ", "МАША МАРЬЯ MARY"),
    ("МИХАИЛ", "МИША MICHAEL"),
    ("НАДЕЖДА", "НАДЯ"),
    ("НАТАЛЬЯ", "НАТАША НАТА НАТАЛИЯ"),
    ("НИКИТА", "НИК"),
    ("НИКОЛАЙ", "КОЛЯ NICHOLAS"),
    ("ОЛЕГ", "ОЛЕЖКА"),
    ("ОЛЬГА", "ОЛЯ"),
    ("ПАВЕЛ", "ПАША PAUL"),
    ("ПЕТР", "ПЕТЯ PETER"),
    ("ПОЛИНА", "ПОЛЯ"),
    ("РОМАН", "РОМА"),
    ("СВЕТЛАНА", "СВЕТА"),
    ("СЕМЕН", "СЕМА"),
    ("СЕРГЕЙ", "СЕРЕЖА СЕРЫЙ"),
    ("СОФИЯ", "СОНЯ СОФЬЯ SOPHIA"),
    ("СТАНИСЛАВ", "СТАС СЛАВА"),
    ("СТЕПАН", "СТЕПА STEPHAN"),
    ("ТАТЬЯНА", "ТАНЯ"),
    ("ТИМОФЕЙ", "ТИМА"),
    ("ФЕДОР", "ФЕДЯ THEODORE"),
    ("ЮЛИЯ", "ЮЛЯ JULIA"),
    ("ЮРИЙ", "ЮРА"),
    ("ЯКОВ", "ЯША"),
    ("ЯРОСЛАВ", "СЛАВА ЯРИК"),
];

/// (folded form, row of the table), sorted.
static GIVEN_FORMS: LazyLock<Vec<(String, usize)>> = LazyLock::new(|| {
    let mut forms = Vec::new();
    for (row, (full, short)) in DIMINUTIVES.iter().enumerate() {
        for form in std::iter::once(*full).chain(short.split(' ')) {
            let mut folded = String::new();
            fold(form, &mut folded);
            forms.push((folded, row));
        }
    }
    forms.sort();
    forms
});

fn rows(folded: &str) -> impl Iterator<Item = usize> {
    let from = GIVEN_FORMS.partition_point(|(form, _)| form.as_str() < folded);
    GIVEN_FORMS[from..].iter().take_while(move |(form, _)| form == folded).map(|(_, row)| *row)
}

/// Two folded given names are forms of one (Maria, Masha).
pub fn same_given(a: &str, b: &str) -> bool {
    a == b || rows(a).any(|row| rows(b).any(|other| other == row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_one_fold() {
        for (cyrillic, romanised) in [
            ("Щербаков", ["Shcherbakov", "Shherbakov", "Scherbakov"]),
            ("Юлия", ["Iuliia", "Yuliya", "Julija"]),
            ("Михаил", ["Mikhail", "Mixail", "Mihail"]),
            ("Царёв", ["Tsarev", "Czarev", "Carev"]),
            ("Жданов", ["Zhdanov", "ZHDANOV", "zhdanov"]),
            ("Васильев", ["Vasilev", "Vasilyev", "Vasil'ev"]),
            ("Дмитрий", ["Dmitrii", "Dmitriy", "Dmitrij"]),
            ("Соловьёва", ["Soloveva", "Solovyova", "Solov'jova"]),
            ("Татьяна", ["Tatiana", "Tatyana", "Tat'jana"]),
            ("Чайковский", ["Chaikovskii", "Chaykovskiy", "Chajkovskij"]),
        ] {
            for other in romanised {
                assert_eq!(name(cyrillic).value.canonical, name(other).value.canonical, "{cyrillic} {other}");
            }
            assert!(!name(cyrillic).value.disguised);
        }
    }

    #[test]
    fn a_foreign_letter_in_a_word_is_a_disguise() {
        let plain = name("Орехов");
        for disguise in ["Opeхов", "Орехо\u{200B}в", "0рехов"] {
            let other = name(disguise);
            assert_eq!(other.value.canonical, plain.value.canonical, "{disguise}");
            assert!(other.value.disguised, "{disguise}");
        }
        let latin_only = name("OPEXOB");
        assert_eq!(latin_only.visual, plain.visual);
        assert!(!latin_only.value.disguised);
    }

    #[test]
    fn codes_ignore_gender_and_voice() {
        let coded = |text: &str| code(&name(text).value.canonical);
        assert_eq!(coded("Иванов"), coded("Иванова"));
        assert_eq!(coded("Петров"), coded("Бетров"));
        assert_ne!(coded("Иванов"), coded("Смирнов"));
    }

    #[test]
    fn forms_of_a_given_name() {
        let same = |a: &str, b: &str| same_given(&name(a).value.canonical, &name(b).value.canonical);
        assert!(same("Мария", "Маша"));
        assert!(same("Mariya", "Маша"));
        assert!(same("Слава", "Станислав"));
        assert!(!same("Мария", "Марина"));
        assert!(!same("Станислав", "Вячеслав"));
    }
}
