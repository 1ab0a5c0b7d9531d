//! `lists/NAME.csv`: one value a line, and a note behind it that is for people only.

use std::collections::BTreeMap;

use super::error::RuleError;
use crate::engine::limits;
use crate::engine::rules::List;

/// The first line may say what the column is.
const HEADER: &str = "value";

/// Reads a list. Blank lines and those that begin with `#` say nothing.
pub(super) fn parse(file: &str, text: &str) -> Result<List, Vec<RuleError>> {
    if text.len() > limits::RULE_BOOK_BYTES_MAX {
        let message = format!("the file is longer than {} bytes", limits::RULE_BOOK_BYTES_MAX);
        return Err(vec![RuleError::at(file, text, 0, 0, message)]);
    }
    let mut seen: BTreeMap<Box<str>, usize> = BTreeMap::new();
    let mut errors = Vec::new();
    let mut start = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let at = start;
        start += line.len();
        // Spreadsheets write a byte order mark.
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut wrong = |message: String| errors.push(RuleError::at(file, text, at, line.len(), message));
        match value(line) {
            Ok(value) if seen.is_empty() && value == HEADER => {}
            Ok(value) => match seen.get(value.as_str()) {
                Some(first) => wrong(format!("`{value}` stands on line {first} already")),
                None => drop(seen.insert(value.into(), number)),
            },
            Err(message) => wrong(message),
        }
        if seen.len() > limits::LIST_VALUES_MAX {
            errors.push(RuleError::at(file, text, at, 1, format!("a list holds at most {} values", limits::LIST_VALUES_MAX)));
            break;
        }
    }
    if errors.is_empty() { Ok(List::new(seen.into_keys().collect())) } else { Err(errors) }
}

fn value(line: &str) -> Result<String, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .buffer_capacity(line.len())
        .from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).map_err(|error| error.to_string())?;
    let value = record.get(0).unwrap_or_default();
    match value.chars().count() {
        _ if record.len() > 2 => Err("a line holds a value and, after a comma, a note: write texts with commas in quotes".into()),
        _ if value.contains(';') => Err("a comma, not `;`, separates the value from its note".into()),
        1..=limits::STRING_CHARS_MAX => Ok(value.into()),
        _ => Err(format!("a value has 1 to {} characters", limits::STRING_CHARS_MAX)),
    }
}

/// Is it a name that conditions can use?
pub(super) fn check_name(file: &str, text: &str, name: &str) -> Result<(), RuleError> {
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    if letters && (1..=64).contains(&name.len()) {
        return Ok(());
    }
    Err(RuleError::at(file, text, 0, 1, "the name of a list has 1 to 64 of a-z, 0-9, - and _"))
}
