//! The YAML of a rule, one rule a file; the shipped book; a book's stored form.

mod error;
mod shape;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_saphyr::{MessageFormatter, Options, UserMessageFormatter};

use super::rule_test::RuleTest;
use crate::engine::limits;
use crate::engine::rules::suggest::did_you_mean;
use crate::engine::rules::{RuleBook, RuleSource};

pub use error::RuleError;
use shape::RuleFile;
pub use shape::Scalar;

/// The rules that are compiled in: every file of `rules/`.
pub const SHIPPED: &[(&str, &str)] = &[
    ("ghost-broker.yaml", include_str!("../../rules/ghost-broker.yaml")),
    ("picking-24h.yaml", include_str!("../../rules/picking-24h.yaml")),
    ("picking-30d.yaml", include_str!("../../rules/picking-30d.yaml")),
    ("picking-many.yaml", include_str!("../../rules/picking-many.yaml")),
    ("picking-watch.yaml", include_str!("../../rules/picking-watch.yaml")),
    ("victim-watch.yaml", include_str!("../../rules/victim-watch.yaml")),
];

/// The book that is in force until another one is activated: version 1.
pub fn shipped() -> RuleBook {
    compile(1, SHIPPED).unwrap_or_else(|errors| unreachable!("the shipped rules are tested: {errors:?}"))
}

/// A rule as it was read, with its tests.
#[derive(Clone, Debug)]
pub struct LoadedRule {
    pub file: String,
    pub source: RuleSource,
    pub tests: Vec<RuleTest>,
}

/// Compiles `(file name, text)` pairs to a book. Every problem of every file is reported, by file, line and column.
pub fn compile(version: u32, files: &[(&str, &str)]) -> Result<RuleBook, Vec<RuleError>> {
    load(version, files).map(|(book, _)| book)
}

/// As [`compile`], and gives the rules with their tests, in the order of the files.
pub fn load(version: u32, files: &[(&str, &str)]) -> Result<(RuleBook, Vec<LoadedRule>), Vec<RuleError>> {
    let mut errors = Vec::new();
    let mut read = Vec::new();
    for (name, text) in files {
        match parse(name, text) {
            Ok((file, source)) => read.push((*name, *text, file, source)),
            Err(found) => errors.extend(found),
        }
    }
    let sources = read.iter().map(|(.., source)| source.clone()).collect();
    let book = RuleBook::build(version, sources).map_err(|found| {
        errors.extend(found.into_iter().map(|error| {
            let (name, text, file, _) = &read[error.rule.min(read.len() - 1)];
            file.locate(name, text, error.problem)
        }));
    });
    match book {
        Ok(book) if errors.is_empty() => {
            let loaded =
                read.into_iter().map(|(name, _, file, source)| LoadedRule { file: name.into(), source, tests: file.tests });
            Ok((book, loaded.collect()))
        }
        _ => {
            let place = |name: &str| files.iter().position(|(file, _)| *file == name);
            errors.sort_by_key(|error| (place(&error.file), error.line, error.column));
            Err(errors)
        }
    }
}

fn parse(name: &str, text: &str) -> Result<(RuleFile, RuleSource), Vec<RuleError>> {
    let file: RuleFile = read(name, text, limits::RULE_FILE_BYTES_MAX).map_err(|error| vec![error])?;
    let source = file.to_source();
    match source {
        Ok(source) => Ok((file, source)),
        Err(problems) => Err(problems.into_iter().map(|problem| file.locate(name, text, problem)).collect()),
    }
}

/// Reads YAML of at most `bytes_max` bytes; aliases are refused long before they can multiply.
fn read<'de, T: Deserialize<'de>>(name: &str, text: &'de str, bytes_max: usize) -> Result<T, RuleError> {
    if text.len() > bytes_max {
        return Err(RuleError::at(name, text, 0, 0, format!("the file is longer than {bytes_max} bytes")));
    }
    serde_saphyr::from_str_with_options(text, options(bytes_max)).map_err(|error| yaml_error(name, text, &error))
}

fn options(bytes_max: usize) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: 64,
            max_anchors: 64,
            max_recorded_anchor_events: 10_000,
            max_documents: 1,
            max_events: bytes_max,
            max_nodes: bytes_max,
            max_depth: 16,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000, max_replay_stack_depth: 8 },
    }
}

fn yaml_error(name: &str, text: &str, error: &serde_saphyr::Error) -> RuleError {
    let error = error.without_snippet();
    let (line, column) = error.location().map_or((1, 1), |place| (place.line() as usize, place.column() as usize));
    let start = error::offset(text, line, column);
    match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            let help = did_you_mean(field, expected.iter().copied())
                .unwrap_or_else(|| format!("the keys here are {}", expected.join(", ")));
            RuleError::at(name, text, start, field.len(), format!("unknown key `{field}`")).help(help)
        }
        serde_saphyr::Error::SerdeMissingField { field, .. } => {
            // The parser has read to the last key by then; a rule's own key is missing from the file as a whole.
            let start = if shape::REQUIRED_KEYS.contains(field) { 0 } else { start };
            RuleError::at(name, text, start, 1, format!("the key `{field}` is missing"))
        }
        _ => RuleError::at(name, text, start, 1, UserMessageFormatter.format_message(error).into_owned()),
    }
}

/// A book as one text that can be stored and read again. Tests stay in the files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    rules: Vec<RuleFile>,
}

/// JSON on one line; equal books give equal texts.
pub fn canonical_source(book: &RuleBook) -> String {
    let stored = Stored { version: book.version(), rules: book.rules().map(RuleFile::from_source).collect() };
    serde_json::to_string(&stored).unwrap_or_else(|error| unreachable!("strings and numbers are JSON: {error}"))
}

/// Reads what [`canonical_source`] wrote: the same book, with the same hash.
pub fn from_canonical(text: &str) -> Result<RuleBook, Vec<RuleError>> {
    const NAME: &str = "stored rule book";
    let stored: Stored = read(NAME, text, limits::RULE_FILE_BYTES_MAX * 16).map_err(|error| vec![error])?;
    let mut errors = Vec::new();
    let mut sources = Vec::with_capacity(stored.rules.len());
    for file in &stored.rules {
        match file.to_source() {
            Ok(source) => sources.push(source),
            Err(problems) => errors.extend(problems.into_iter().map(|problem| file.locate(NAME, text, problem))),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    RuleBook::build(stored.version, sources).map_err(|found| {
        let locate = |error: crate::engine::rules::SourceError| match stored.rules.get(error.rule) {
            Some(file) => file.locate(NAME, text, error.problem),
            None => RuleError::at(NAME, text, 0, 0, error.problem.message),
        };
        found.into_iter().map(locate).collect()
    })
}
