//! The files of a book: rules, lists, the matching; the shipped book; a book's stored form.

mod error;
mod list;
mod matching;
mod scoring;
mod shape;
mod tags;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_saphyr::{MessageFormatter, Options, UserMessageFormatter};

use super::rule_test::{PairTest, RuleTest};
use crate::engine::limits;
use crate::engine::rules::suggest::did_you_mean;
use crate::engine::rules::{BookSource, List, Mode, Part, Problem, RuleBook, RuleSource, SHADOW_BOOK};

pub use error::RuleError;
use matching::{MatchingFile, StoredMatching};
use scoring::ScoringFile;
use shape::RuleFile;
pub use shape::Scalar;

/// The book that is compiled in: every file of `rules/`.
pub const SHIPPED: &[(&str, &str)] = &[
    ("ghost-broker.yaml", include_str!("../../rules/ghost-broker.yaml")),
    ("matching.yaml", include_str!("../../rules/matching.yaml")),
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

/// A book with the tests that its files carry.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub book: RuleBook,
    /// In the order of the files.
    pub rules: Vec<LoadedRule>,
    /// Those of `matching.yaml`.
    pub pairs: Vec<PairTest>,
    /// The second book, as it were if it stood alone: its rules under their own names, in the modes that their files say.
    pub shadow: Option<Box<Loaded>>,
}

/// Compiles the `(file name, text)` pairs of a folder to a book: `lists/NAME.csv` is a list, `matching.yaml` the matching, `book.yaml`
/// the scoring, every other file a rule. Below `shadow/` lies a second book: its rules run in shadow beside the others, under names
/// that begin with `shadow/`, with lists of its own where it has them. Every problem of every file is reported, by file, line and column.
pub fn compile(version: u32, files: &[(&str, &str)]) -> Result<RuleBook, Vec<RuleError>> {
    load(version, files).map(|loaded| loaded.book)
}

/// As [`compile`], and gives the rules with their tests.
pub fn load(version: u32, files: &[(&str, &str)]) -> Result<Loaded, Vec<RuleError>> {
    load_within(version, files, limits::WINDOW_SECS_MAX)
}

/// As [`load`], for a service that keeps quotes so many seconds: a longer window is an error.
pub fn load_within(version: u32, files: &[(&str, &str)], retention_secs: i64) -> Result<Loaded, Vec<RuleError>> {
    let (mut bundle, mut shadow) = (Bundle { errors: twins(files), ..Bundle::default() }, Bundle::default());
    for (name, text) in files {
        let is_shadow = name.starts_with(SHADOW_BOOK);
        let into = if is_shadow { &mut shadow } else { &mut bundle };
        if let Err(errors) = into.add(name, text, is_shadow) {
            into.errors.extend(errors);
        }
    }
    let loaded = bundle.beside(shadow, retention_secs).and_then(|(bundle, shadow)| {
        let loaded = bundle.build(version, retention_secs)?;
        Ok(Loaded { shadow: shadow.map(Box::new), ..loaded })
    });
    loaded.map_err(|mut errors| {
        let place = |name: &str| files.iter().position(|(file, _)| *file == name);
        errors.sort_by_key(|error| (place(&error.file), error.line, error.column));
        errors
    })
}

/// Files that differ in nothing but how `.yaml` is written: which of them counts would be anybody's guess.
fn twins(files: &[(&str, &str)]) -> Vec<RuleError> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, text) in files {
        let Some((stem, "yaml" | "yml")) = name.rsplit_once('.') else { continue };
        if let Some(first) = seen.insert(stem, name) {
            let message = format!("`{first}` and `{name}` are two files of one name: keep one of them");
            errors.push(RuleError::at(name, text, 0, 1, message));
        }
    }
    errors
}

/// The files of a book as far as they were read.
#[derive(Clone, Default)]
struct Bundle<'a> {
    rules: Vec<(&'a str, &'a str, RuleFile)>,
    source: BookSource,
    pairs: Vec<PairTest>,
    errors: Vec<RuleError>,
}

impl<'a> Bundle<'a> {
    fn add(&mut self, name: &'a str, text: &'a str, is_shadow: bool) -> Result<(), Vec<RuleError>> {
        let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
        match base.rsplit_once('.') {
            Some(("matching" | "book", "yaml" | "yml")) if is_shadow => {
                let message = format!(
                    "a book in shadow has no {base} of its own: it is judged by the links and the scoring of the live one"
                );
                let help = "delete the file, and try it by `quoteguard backtest --rules`";
                return Err(vec![RuleError::at(name, text, 0, 1, message).help(help)]);
            }
            Some((list, "csv")) => {
                list::check_name(name, text, list).map_err(|error| vec![error])?;
                self.source.lists.insert(list.into(), list::parse(name, text)?);
                if self.source.lists.len() > limits::LISTS_MAX {
                    let message = format!("a book holds at most {} lists", limits::LISTS_MAX);
                    return Err(vec![RuleError::at(name, text, 0, 1, message)]);
                }
            }
            Some(("matching", "yaml" | "yml")) => {
                let file: MatchingFile = read(name, text, limits::RULE_FILE_BYTES_MAX).map_err(|error| vec![error])?;
                self.source.matching = file.to_matching(name, text)?;
                self.pairs = file.pairs;
            }
            Some(("book", "yaml" | "yml")) => {
                let file: ScoringFile = read(name, text, limits::RULE_FILE_BYTES_MAX).map_err(|error| vec![error])?;
                self.source.scoring = file.to_scoring(name, text).map_err(|error| vec![error])?;
            }
            _ => {
                let file: RuleFile = read(name, text, limits::RULE_FILE_BYTES_MAX).map_err(|error| vec![error])?;
                let located = |problem| file.locate(name, text, problem);
                let source = file.to_source().map_err(|problems| problems.into_iter().map(located).collect::<Vec<_>>())?;
                if source.id.contains('/') {
                    let problem = Problem::new(Part::Key("id"), "an id has 1 to 64 of a-z, 0-9 and -");
                    return Err(vec![file.locate(name, text, problem)]);
                }
                self.source.rules.push(source);
                self.rules.push((name, text, file));
            }
        }
        Ok(())
    }

    /// This book with the rules of another in shadow beside its own, and that one as it were alone, if it has any rule.
    fn beside(mut self, mut shadow: Bundle<'a>, retention_secs: i64) -> Result<(Bundle<'a>, Option<Loaded>), Vec<RuleError>> {
        let own = shadow.source.lists.clone();
        let BookSource { lists, matching, scoring, .. } = self.source.clone();
        shadow.source = BookSource { rules: shadow.source.rules, lists, matching, scoring };
        shadow.source.lists.extend(own.clone());
        let alone = match shadow.clone().build(1, retention_secs) {
            Ok(alone) => alone,
            Err(errors) => {
                self.errors.extend(errors);
                return Err(self.build(1, retention_secs).err().unwrap_or_default());
            }
        };
        let mode = |mode| if mode == Mode::Off { Mode::Off } else { Mode::Shadow };
        let named = |name: &str| format!("{SHADOW_BOOK}{name}").into();
        let renamed = |rule: RuleSource| RuleSource { id: named(&rule.id), mode: mode(rule.mode), ..rule };
        self.source.rules.extend(shadow.source.rules.into_iter().map(renamed));
        self.source.lists.extend(own.into_iter().map(|(name, list)| (named(&name), list)));
        self.rules.extend(shadow.rules);
        let alone = Some(alone).filter(|alone| !alone.rules.is_empty());
        Ok((self, alone))
    }

    fn build(mut self, version: u32, retention_secs: i64) -> Result<Loaded, Vec<RuleError>> {
        let sources = self.source.rules.clone();
        let book = RuleBook::build_within(version, self.source, retention_secs).map_err(|found| {
            self.errors.extend(found.into_iter().map(|error| {
                let (name, text, file) = &self.rules[error.rule.min(self.rules.len() - 1)];
                file.locate(name, text, error.problem)
            }));
        });
        let Ok(book) = book else { return Err(self.errors) };
        let bytes = canonical_source(&book).len();
        if bytes > limits::RULE_BOOK_BYTES_MAX {
            let message = format!("the book takes {bytes} bytes, at most {}", limits::RULE_BOOK_BYTES_MAX);
            self.errors.push(RuleError::at("the book", "", 0, 0, message).help("make its lists shorter"));
        }
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let loaded = self.rules.into_iter().zip(sources).filter(|(_, source)| !source.id.starts_with(SHADOW_BOOK));
        let rules = loaded.map(|((name, _, file), source)| LoadedRule { file: name.into(), source, tests: file.tests }).collect();
        Ok(Loaded { book, rules, pairs: self.pairs, shadow: None })
    }
}

/// Reads YAML of at most `bytes_max` bytes; aliases are refused long before they can multiply.
fn read<'de, T: Deserialize<'de>>(name: &str, text: &'de str, bytes_max: usize) -> Result<T, RuleError> {
    if text.len() > bytes_max {
        return Err(RuleError::at(name, text, 0, 0, format!("the file is longer than {bytes_max} bytes")));
    }
    tags::refuse(name, text)?;
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

/// A book as one text that can be stored and read again. Tests, notes and comments stay in the files. Parts that a book lacks are
/// left out, so that books of before there were such parts read alike.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    rules: Vec<RuleFile>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    lists: BTreeMap<String, Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    matching: Option<StoredMatching>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    book: Option<ScoringFile>,
}

/// JSON on one line; equal books give equal texts.
pub fn canonical_source(book: &RuleBook) -> String {
    let values = |list: &List| list.values().iter().map(|value| value.to_string()).collect();
    let stored = Stored {
        version: book.version(),
        rules: book.rules().map(RuleFile::from_source).collect(),
        lists: book.lists().iter().map(|(name, list)| (name.to_string(), values(list))).collect(),
        matching: StoredMatching::of(book.matching()),
        book: ScoringFile::of(book.scoring()),
    };
    serde_json::to_string(&stored).unwrap_or_else(|error| unreachable!("strings and numbers are JSON: {error}"))
}

/// Reads what [`canonical_source`] wrote: the same book, with the same hash.
pub fn from_canonical(text: &str) -> Result<RuleBook, Vec<RuleError>> {
    const NAME: &str = "stored rule book";
    let stored: Stored = read(NAME, text, limits::RULE_FILE_BYTES_MAX * 16).map_err(|error| vec![error])?;
    let mut errors = Vec::new();
    let mut rules = Vec::with_capacity(stored.rules.len());
    for file in &stored.rules {
        match file.to_source() {
            Ok(source) => rules.push(source),
            Err(problems) => errors.extend(problems.into_iter().map(|problem| file.locate(NAME, text, problem))),
        }
    }
    let list = |(name, values): (String, Vec<String>)| (name.into(), List::new(values.into_iter().map(Box::from).collect()));
    let matching = stored.matching.as_ref().map(StoredMatching::to_matching).transpose();
    let matching = matching.map_err(|message| errors.push(RuleError::at(NAME, text, 0, 0, message)));
    let scoring = stored.book.as_ref().map(|file| file.to_scoring(NAME, text)).transpose().map_err(|error| errors.push(error));
    let (Ok(matching), Ok(scoring), true) = (matching, scoring, errors.is_empty()) else { return Err(errors) };
    let lists = stored.lists.into_iter().map(list).collect();
    let (matching, scoring) = (matching.unwrap_or_default(), scoring.unwrap_or_default());
    let source = BookSource { rules, lists, matching, scoring };
    RuleBook::recorded(stored.version, source).map_err(|found| {
        let locate = |error: crate::engine::rules::SourceError| match stored.rules.get(error.rule) {
            Some(file) => file.locate(NAME, text, error.problem),
            None => RuleError::at(NAME, text, 0, 0, error.problem.message),
        };
        found.into_iter().map(locate).collect()
    })
}
