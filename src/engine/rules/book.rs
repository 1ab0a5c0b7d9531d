//! All rules together: ordered, numbered against one list of windows, and run over a quote's evidence.

mod canonical;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::{BTreeMap, BTreeSet};

use super::check::{self, Context, Parsed};
use super::condition::{Bool, Fault};
use super::source::{ApplicantText, BookSource, List, Mode, Part, Problem, RuleSource, Scoring, SourceError};
use super::template::Template;
use super::words::{self, Words};
use crate::engine::decision::{Reason, RuleBookRef, Verdict};
use crate::engine::evidence::Evidence;
use crate::engine::limits;
use crate::engine::matching::Matching;
use crate::engine::time::DAY;

/// A rule book, checked and compiled. Cheap to run, shared between threads.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleBook {
    version: u32,
    hash: u64,
    windows: Vec<i64>,
    /// Longest window of a live rule, microseconds.
    longest_live: i64,
    /// Strictest first, then priority, then id.
    rules: Vec<Rule>,
    lists: BTreeMap<Box<str>, List>,
    matching: Matching,
    scoring: Scoring,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    source: RuleSource,
    condition: Bool,
    template: Template,
    /// Number of the window its reports are over.
    window: u16,
}

/// A live rule that matched: it decides, and gives a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveHit(pub(in crate::engine) u16);

/// A shadow rule that matched: it can be counted, and nothing turns it into a reason or a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShadowHit(u16);

/// A rule that had no value for the quote, live or shadow. It did not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleFault {
    rule: u16,
    pub fault: Fault,
}

/// What the book says about one quote. Holds no memory while nothing matches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The strictest of the live rules that matched, or that of the band their sum is in.
    pub verdict: Verdict,
    /// The scores of the live rules that matched, summed in the order of evaluation.
    pub score: f64,
    /// Strictest first.
    pub live: Vec<LiveHit>,
    pub shadow: Vec<ShadowHit>,
    pub faults: Vec<RuleFault>,
}

impl RuleBook {
    /// The book without rules: it accepts everything.
    pub fn empty() -> RuleBook {
        RuleBook {
            version: 0,
            hash: canonical::hash(&BookSource::default()),
            windows: vec![DAY],
            longest_live: DAY,
            rules: Vec::new(),
            lists: BTreeMap::new(),
            matching: Matching::default(),
            scoring: Scoring::default(),
        }
    }

    /// Checks and compiles. `version` numbers the book as a whole (the control record that brought it) and is not part of
    /// the hash. All problems are reported, by the rule's place in the source.
    pub fn build(version: u32, source: impl Into<BookSource>) -> Result<RuleBook, Vec<SourceError>> {
        RuleBook::build_within(version, source, limits::WINDOW_SECS_MAX)
    }

    /// As [`RuleBook::build`], for a service that keeps quotes so many seconds: a longer window would see less than it says.
    pub fn build_within(version: u32, source: impl Into<BookSource>, window_secs_max: i64) -> Result<RuleBook, Vec<SourceError>> {
        RuleBook::assemble(version, source.into(), Some(window_secs_max))
    }

    /// A book that a log holds: what was taken then is compiled as it is, whatever is asked of new ones.
    pub fn recorded(version: u32, source: BookSource) -> Result<RuleBook, Vec<SourceError>> {
        RuleBook::assemble(version, source, None)
    }

    fn assemble(version: u32, source: BookSource, window_secs_max: Option<i64>) -> Result<RuleBook, Vec<SourceError>> {
        let mut problems = validate::book(&source);
        let mut windows = BTreeSet::from([DAY]);
        let mut checked = Vec::with_capacity(source.rules.len());
        for (place, rule) in source.rules.iter().enumerate() {
            let within = windows.len() <= limits::WINDOWS_MAX;
            match prepare(rule, &source.lists, window_secs_max, &mut windows) {
                Ok(prepared) => checked.push(prepared),
                Err(found) => problems.extend(found.into_iter().map(|problem| SourceError { rule: place, problem })),
            }
            if within && windows.len() > limits::WINDOWS_MAX {
                let message = format!("the book uses more than {} different windows", limits::WINDOWS_MAX);
                let help = Some("let rules share their windows: each costs work for every quote".into());
                problems.push(SourceError { rule: place, problem: Problem::new(Part::Rule, message).help(help) });
            }
        }
        if !problems.is_empty() {
            problems.sort_by_key(|error| error.rule);
            return Err(problems);
        }
        let windows: Vec<i64> = windows.into_iter().collect();
        let live = source.rules.iter().zip(&checked).filter(|(rule, _)| rule.mode == Mode::Live);
        let longest_live = live.flat_map(|(_, prepared)| &prepared.windows).copied().fold(DAY, i64::max);
        let hash = canonical::hash(&source);
        let BookSource { rules: sources, lists, matching, scoring } = source;
        let mut rules = Vec::with_capacity(sources.len());
        for (place, (rule, prepared)) in sources.into_iter().zip(checked).enumerate() {
            let compiled = compile(rule, prepared, &lists, window_secs_max, &windows);
            let placed = |problem| SourceError { rule: place, problem };
            rules.push(compiled.map_err(|found| found.into_iter().map(placed).collect::<Vec<_>>())?);
        }
        rules.sort_by(|a, b| order(&a.source).cmp(&order(&b.source)));
        Ok(RuleBook { version, hash, windows, longest_live, rules, lists, matching, scoring })
    }

    /// The same book under another number.
    pub fn renumbered(&self, version: u32) -> RuleBook {
        RuleBook { version, ..self.clone() }
    }

    /// What the book was built from, the rules in the order of evaluation.
    pub fn source(&self) -> BookSource {
        BookSource {
            rules: self.rules().cloned().collect(),
            lists: self.lists.clone(),
            matching: self.matching.clone(),
            scoring: self.scoring,
        }
    }

    pub fn lists(&self) -> &BTreeMap<Box<str>, List> {
        &self.lists
    }

    pub fn scoring(&self) -> Scoring {
        self.scoring
    }

    /// How attempts are compared while this book is in force.
    pub fn matching(&self) -> &Matching {
        &self.matching
    }

    /// Window lengths that evidence must be gathered for, microseconds, ascending. Always holds 24 h.
    pub fn windows(&self) -> &[i64] {
        &self.windows
    }

    /// The longest window of a live rule, microseconds: what an answer looks back on. Rules in shadow may look further.
    pub fn longest_live(&self) -> i64 {
        self.longest_live
    }

    /// The longest window, microseconds.
    pub fn longest(&self) -> i64 {
        self.windows.last().copied().unwrap_or(DAY)
    }

    /// The number of the 24 h window.
    pub fn day(&self) -> usize {
        self.windows.binary_search(&DAY).unwrap_or(0)
    }

    pub fn version(&self) -> u32 {
        self.version
    }

    /// xxh3-64 of everything the book says, whatever the files are called and in whatever order they came.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn reference(&self) -> RuleBookRef {
        RuleBookRef { version: self.version, hash: self.hash }
    }

    /// All rules, those switched off included, in the order of evaluation.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &RuleSource> {
        self.rules.iter().map(|rule| &rule.source)
    }

    pub fn rule(&self, id: &str) -> Option<&RuleSource> {
        self.rules().find(|source| &*source.id == id)
    }

    /// The same book with these rules in another mode; `None` when it does not compile so.
    pub fn with_mode(&self, rules: &[&str], mode: Mode) -> Option<RuleBook> {
        let mut source = self.source();
        source.rules.iter_mut().filter(|rule| rules.contains(&&*rule.id)).for_each(|rule| rule.mode = mode);
        RuleBook::recorded(self.version, source).ok()
    }

    /// What a rule asks, in words. A rule that is off reads no window of its book.
    pub fn words(&self, id: &str) -> Option<Words> {
        let rule = self.rules.iter().find(|rule| *rule.source.id == *id)?;
        Some(words::words(&rule.condition, &self.windows))
    }

    /// Each rule with a hash of what it says, its mode aside: what may not change under the version of a rule that was live. The mode
    /// may, so that a rule can be silenced at once.
    pub fn contents(&self) -> impl Iterator<Item = (&RuleSource, u64)> {
        self.rules().map(|rule| (rule, canonical::rule_content(rule)))
    }

    /// Each part of the book by its name, with a hash of what it says: rules by their ids, their modes included, `lists/x.csv`,
    /// `matching.yaml`, `book.yaml`.
    pub fn parts(&self) -> BTreeMap<Box<str>, u64> {
        canonical::parts(&self.source())
    }

    /// Runs every rule that is not off. `evidence.windows` must be parallel to [`RuleBook::windows`].
    ///
    /// A live match gives a reason:
    /// ```
    /// # use quoteguard::engine::{decision::Reason, evidence::Evidence, rules::RuleBook};
    /// # fn f(book: &RuleBook, evidence: &Evidence) -> Reason {
    /// let evaluation = book.evaluate(evidence);
    /// book.reason(evaluation.live[0], evidence)
    /// # }
    /// ```
    /// A shadow match cannot, so it never reaches the answer:
    /// ```compile_fail
    /// # use quoteguard::engine::{decision::Reason, evidence::Evidence, rules::RuleBook};
    /// # fn f(book: &RuleBook, evidence: &Evidence) -> Reason {
    /// let evaluation = book.evaluate(evidence);
    /// book.reason(evaluation.shadow[0], evidence)
    /// # }
    /// ```
    pub fn evaluate(&self, evidence: &Evidence) -> Evaluation {
        self.evaluate_without(&[], evidence)
    }

    /// [`RuleBook::evaluate`] as if the rules with these ids did not match.
    pub fn evaluate_without(&self, snoozed: &[&str], evidence: &Evidence) -> Evaluation {
        debug_assert_eq!(evidence.windows.len(), self.windows.len());
        let mut evaluation = Evaluation::default();
        for (number, rule) in (0u16..).zip(&self.rules) {
            if !rule.concerns(evidence) || snoozed.contains(&&*rule.source.id) {
                continue;
            }
            match rule.condition.eval(evidence) {
                Ok(false) => {}
                Ok(true) if rule.source.mode == Mode::Live => {
                    evaluation.verdict = evaluation.verdict.max(rule.source.then);
                    evaluation.score += rule.source.score.unwrap_or(0.0);
                    evaluation.live.push(LiveHit(number));
                }
                Ok(true) => evaluation.shadow.push(ShadowHit(number)),
                Err(fault) => evaluation.faults.push(RuleFault { rule: number, fault }),
            }
        }
        if let Scoring::Sum(bands) = self.scoring {
            evaluation.verdict = evaluation.verdict.max(bands.verdict(evaluation.score));
        }
        evaluation
    }

    /// The number of the window that a decision's top-level numbers are over: the strictest matched rule's, else 24 h.
    pub fn reported_window(&self, evaluation: &Evaluation) -> usize {
        evaluation.live.first().map_or(self.day(), |hit| self.window(*hit))
    }

    /// The number of the window of a matched rule: that of its first windowed feature, else 24 h.
    pub fn window(&self, hit: LiveHit) -> usize {
        usize::from(self.rules[usize::from(hit.0)].window)
    }

    /// Code, rule and the underwriter's sentence.
    pub fn reason(&self, hit: LiveHit, evidence: &Evidence) -> Reason {
        let rule = &self.rules[usize::from(hit.0)];
        let window = usize::from(rule.window);
        Reason {
            code: rule.source.reason_code.clone(),
            rule: rule.source.id.clone(),
            text: rule.template.render(evidence, window, self.windows[window]).into(),
        }
    }

    /// What the applicant is told where the rule of that number led to the verdict; `None` where it has no text of its own.
    pub fn applicant_text(&self, hit: LiveHit, verdict: Verdict) -> Option<&ApplicantText> {
        let rule = &self.rules.get(usize::from(hit.0))?.source;
        // Where the first match is a score, no rule led to a verdict itself: the sum did.
        rule.applicant.as_ref().filter(|_| rule.then == verdict || rule.score.is_some())
    }

    pub fn live_rule(&self, hit: LiveHit) -> &RuleSource {
        &self.rules[usize::from(hit.0)].source
    }

    pub fn shadow_rule(&self, hit: ShadowHit) -> &RuleSource {
        &self.rules[usize::from(hit.0)].source
    }

    pub fn faulty_rule(&self, fault: RuleFault) -> &RuleSource {
        &self.rules[usize::from(fault.rule)].source
    }
}

impl Rule {
    fn concerns(&self, evidence: &Evidence) -> bool {
        let listed = |list: &[Box<str>], value: &str| list.is_empty() || list.iter().any(|item| **item == *value);
        self.source.mode != Mode::Off
            && listed(&self.source.products, &evidence.product)
            && listed(&self.source.tenants, &evidence.tenant)
    }
}

/// Everything of a rule that does not depend on the other rules.
struct Prepared {
    parsed: Parsed,
    template: Template,
    /// Each once, microseconds.
    windows: Vec<i64>,
}

fn prepare(
    source: &RuleSource,
    lists: &BTreeMap<Box<str>, List>,
    window_secs_max: Option<i64>,
    windows: &mut BTreeSet<i64>,
) -> Result<Prepared, Vec<Problem>> {
    let is_recorded = window_secs_max.is_none();
    let mut problems = if is_recorded { Vec::new() } else { validate::rule(source) };
    let template = Template::parse(&source.underwriter, &source.params).map_err(|found| problems.extend(found)).ok();
    let parsed = check::parse(&source.when).map_err(|found| problems.extend(found)).ok();
    let mut own = Vec::new();
    if let Some(parsed) = &parsed {
        let mut number = |micros| place(&mut own, micros);
        if let Err(found) = check::check(parsed, &Context::of_rule(source, lists, window_secs_max), &mut number) {
            problems.extend(found);
        }
    }
    // A rule that is off is checked, but costs no window.
    if source.mode != Mode::Off {
        windows.extend(&own);
    }
    match (parsed, template) {
        (Some(parsed), Some(template)) if problems.is_empty() => Ok(Prepared { parsed, template, windows: own }),
        _ => Err(problems),
    }
}

/// The place of a window among those seen, which it joins.
fn place(seen: &mut Vec<i64>, micros: i64) -> u16 {
    let found = seen.iter().position(|one| *one == micros);
    found.unwrap_or_else(|| {
        seen.push(micros);
        seen.len() - 1
    }) as u16
}

fn compile(
    source: RuleSource,
    prepared: Prepared,
    lists: &BTreeMap<Box<str>, List>,
    window_secs_max: Option<i64>,
    windows: &[i64],
) -> Result<Rule, Vec<Problem>> {
    // Not found only for a rule that is off. It never runs, but two windows are two to whoever reads its condition.
    let mut absent = Vec::new();
    let mut number = |micros| match windows.binary_search(&micros) {
        Ok(found) => found as u16,
        Err(_) => windows.len() as u16 + place(&mut absent, micros),
    };
    let checked = check::check(&prepared.parsed, &Context::of_rule(&source, lists, window_secs_max), &mut number)?;
    let window = number(checked.first_window.unwrap_or(DAY));
    Ok(Rule { condition: checked.condition, template: prepared.template, window, source })
}

fn order(source: &RuleSource) -> impl Ord {
    (std::cmp::Reverse((source.then, source.priority)), source.id.clone())
}
