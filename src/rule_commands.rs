//! `quoteguard rules check|test|explain|diff|schema`: what they find, and how it reads.

#[cfg(test)]
mod docs;
mod explain;
#[cfg(test)]
mod golden;
pub mod schema;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::io;
use std::path::Path;

use crate::contract::quote::decode;
use crate::contract::rule_diff::diff as diff_books;
use crate::contract::rule_file::{self, Loaded, RuleError};
use crate::contract::rule_test::{Expectation, PairTest, RuleTest};
use crate::engine::compare::levels;
use crate::engine::decision::Verdict;
use crate::engine::fingerprint::Fingerprint;
use crate::engine::limits;
use crate::engine::link::{Hubs, judge, weight};
use crate::engine::matching::Matching;
use crate::engine::rules::suggest::did_you_mean;
use crate::engine::rules::{Mode, RuleBook, RuleSource, SHADOW_BOOK, duration};

/// What a command prints on stdout, and whether it exits with 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub text: String,
    pub ok: bool,
}

/// What the engine said about one quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub decision: Verdict,
    /// Ids of the rules among the reasons.
    pub rules: Vec<String>,
}

/// Decides on quotes (JSON bodies, in the order of arrival) under a book, from an empty state; one answer for each, or why not.
pub trait Decide: FnMut(&RuleBook, &[Vec<u8>]) -> Result<Vec<Decided>, String> {}

impl<F: FnMut(&RuleBook, &[Vec<u8>]) -> Result<Vec<Decided>, String>> Decide for F {}

const YAML: &[&str] = &["yaml", "yml"];
const CSV: &[&str] = &["csv"];
/// Where the files of a book lie in its folder, and of what kind they are.
const PARTS: [(&str, &[&str]); 4] = [("", YAML), ("lists/", CSV), ("shadow/", YAML), ("shadow/lists/", CSV)];

/// The files of a book in a folder, rules, `matching.yaml`, `lists/NAME.csv` and those of a second book in `shadow/`: by name within
/// the folder, in the order of their names.
pub fn read_folder(folder: &Path) -> io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for (part, extensions) in PARTS {
        let within = folder.join(part);
        if part.is_empty() || within.is_dir() {
            let found = read_files(&within, extensions)?;
            files.extend(found.into_iter().map(|(name, text)| (format!("{part}{name}"), text)));
        }
    }
    files.sort();
    Ok(files)
}

fn read_files(folder: &Path, extensions: &[&str]) -> io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let is_wanted = path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted));
        if is_wanted && path.is_file() {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            files.push((entry.file_name().to_string_lossy().into_owned(), text));
        }
    }
    Ok(files)
}

/// Compiles the folder's book; `retention_secs` is how long the service keeps quotes, where that is known.
pub fn check(folder: &Path, retention_secs: Option<i64>) -> Report {
    match load(folder, retention_secs) {
        Ok(loaded) => Report { text: summary(&loaded.book), ok: true },
        Err(report) => report,
    }
}

/// Compiles the folder's rules and runs their tests.
pub fn test(folder: &Path, decide: impl Decide) -> Report {
    match load(folder, None) {
        Ok(loaded) => run_tests(&loaded, decide).report(),
        Err(report) => report,
    }
}

/// What the rules of a folder do, or one of them, in words.
pub fn explain(folder: &Path, id: Option<&str>) -> Report {
    match load(folder, None).map(|loaded| explain::explain(&loaded.book, id)) {
        Ok(Ok(text)) => Report { text, ok: true },
        Ok(Err(text)) => Report { text, ok: false },
        Err(report) => report,
    }
}

/// What the book of one folder says otherwise than another's, and whether they say the same.
pub fn diff(old: &Path, new: &Path) -> Result<(String, bool), Report> {
    let lines = diff_books(&load(old, None)?.book, &load(new, None)?.book);
    Ok((lines.iter().map(|line| format!("{line}\n")).collect(), lines.is_empty()))
}

fn load(folder: &Path, retention_secs: Option<i64>) -> Result<Loaded, Report> {
    let failed = |text: String| Report { text, ok: false };
    if folder.is_file() {
        return Err(failed(format!("{} is a file: give the folder of the book\n", folder.display())));
    }
    let files = read_folder(folder).map_err(|error| failed(format!("cannot read {}: {error}\n", folder.display())))?;
    if files.is_empty() {
        return Err(failed(format!("{} holds no .yaml file\n", folder.display())));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let retention_secs = retention_secs.unwrap_or(limits::WINDOW_SECS_MAX);
    rule_file::load_within(1, &files, retention_secs).map_err(|errors| failed(listing(&within(folder, errors))))
}

/// Errors as they are told about files of this folder.
pub fn within(folder: &Path, errors: Vec<RuleError>) -> Vec<RuleError> {
    errors.into_iter().map(|error| error.within(folder)).collect()
}

/// All errors, one after the other, and their number.
pub fn listing(errors: &[RuleError]) -> String {
    let mut text: String = errors.iter().map(|error| format!("{error}\n\n")).collect();
    let plural = if errors.len() == 1 { "" } else { "s" };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} error{plural}", errors.len());
    text
}

fn summary(book: &RuleBook) -> String {
    let mut text = String::new();
    for rule in book.rules() {
        let RuleSource { id, version, mode, then, score, title, .. } = rule;
        let effect = score.map_or_else(|| then.name().to_owned(), |score| format!("score {score}"));
        let _ = writeln!(text, "{:6} {effect:5} {id} v{version}: {title}", mode.name());
    }
    let windows: Vec<String> = book.windows().iter().map(|micros| duration::format(*micros)).collect();
    let _ = writeln!(text, "{} rules, windows {}, hash {:016x}", book.rules().len(), windows.join(" "), book.hash());
    text
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestReport {
    pub passed: usize,
    pub failures: Vec<TestFailure>,
    /// Rules without a test.
    pub untested: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure {
    pub rule: String,
    pub test: String,
    pub message: String,
}

/// Runs every test of every rule, and every pair of the matching. A rule that is off or in shadow is live in its own tests, so that
/// it can be seen to work; a second book in shadow is tested as if it stood alone.
pub fn run_tests(loaded: &Loaded, mut decide: impl Decide) -> TestReport {
    let mut report = TestReport::default();
    run_tests_of(loaded, "", &mut decide, &mut report);
    if let Some(shadow) = &loaded.shadow {
        run_tests_of(shadow, SHADOW_BOOK, &mut decide, &mut report);
    }
    report
}

fn run_tests_of(loaded: &Loaded, named: &str, decide: &mut impl Decide, report: &mut TestReport) {
    for rule in &loaded.rules {
        let id = format!("{named}{}", rule.source.id);
        if rule.tests.is_empty() {
            report.untested.push(id.clone());
        }
        let book = book_for(&loaded.book, &rule.source.id);
        for test in &rule.tests {
            let outcome = book.as_ref().map_err(Clone::clone).and_then(|book| run_test(book, test, decide));
            report.note(&id, &test.name, outcome);
        }
    }
    for pair in &loaded.pairs {
        report.note("matching", &pair.name, run_pair(loaded.book.matching(), pair));
    }
}

/// The book with the tested rule live.
fn book_for(book: &RuleBook, tested: &str) -> Result<RuleBook, String> {
    let mut source = book.source();
    source.rules.iter_mut().filter(|rule| &*rule.id == tested).for_each(|rule| rule.mode = Mode::Live);
    RuleBook::build(1, source)
        .map_err(|errors| errors.into_iter().map(|error| error.problem.message).collect::<Vec<_>>().join("; "))
}

fn run_pair(matching: &Matching, test: &PairTest) -> Result<(), String> {
    let print = |body: &[u8]| decode(body, None).map(|decoded| Fingerprint::new(&decoded.quote)).map_err(|e| e.to_string());
    let [earlier, later] = test.quotes()?;
    let (earlier, later) = (print(&earlier)?, print(&later)?);
    let hubs = Hubs::default();
    let linked = judge(&later, &earlier, &hubs, matching).is_some();
    if linked == test.linked {
        return Ok(());
    }
    let bits = weight(&later, &earlier, &levels(&later, &earlier), &hubs, matching);
    let not = if linked { "" } else { "not " };
    Err(format!("{not}linked, with {bits} bits of the {} that a link needs", matching.threshold))
}

fn run_test(book: &RuleBook, test: &RuleTest, decide: &mut impl Decide) -> Result<(), String> {
    let Expectation { decision, rules, rules_not } = &test.expect;
    let expected = Verdict::parse(decision).ok_or_else(|| format!("`{decision}` is not accept, flag or refer"))?;
    if let Some(stranger) = rules.iter().chain(rules_not).find(|id| book.rule(id).is_none()) {
        let help = did_you_mean(stranger, book.rules().map(|rule| &*rule.id)).unwrap_or_default();
        return Err(format!("the book has no rule `{stranger}` {help}").trim_end().to_string());
    }
    let quotes = test.quotes()?;
    let decided = decide(book, &quotes)?;
    let last = decided.last().filter(|_| decided.len() == quotes.len());
    let last = last.ok_or_else(|| format!("{} quotes got {} decisions", quotes.len(), decided.len()))?;
    let missing = rules.iter().any(|id| !last.rules.contains(id));
    let unwanted = rules_not.iter().any(|id| last.rules.contains(id));
    if last.decision == expected && !missing && !unwanted {
        return Ok(());
    }
    let mut message = format!("expected {decision}");
    if !rules.is_empty() {
        let _ = write!(message, " by {}", rules.join(", "));
    }
    if !rules_not.is_empty() {
        let _ = write!(message, " without {}", rules_not.join(", "));
    }
    let by = if last.rules.is_empty() { "no rule".into() } else { last.rules.join(", ") };
    let _ = write!(message, ", got {} by {by}", last.decision.name());
    Err(message)
}

impl TestReport {
    fn note(&mut self, rule: &str, test: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(message) => self.failures.push(TestFailure { rule: rule.into(), test: test.into(), message }),
        }
    }

    pub fn report(&self) -> Report {
        let mut text = String::new();
        for TestFailure { rule, test, message } in &self.failures {
            let _ = writeln!(text, "FAILED {rule}: {test}: {message}");
        }
        for rule in &self.untested {
            let _ = writeln!(text, "{rule} has no tests");
        }
        let _ = writeln!(text, "{} passed, {} failed", self.passed, self.failures.len());
        Report { text, ok: self.failures.is_empty() }
    }
}
