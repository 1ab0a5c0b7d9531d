//! A rule as its author wrote it, as plain data. The YAML form is in `contract::rule_file`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::decision::Verdict;
use crate::engine::matching::Matching;

/// All that a book is made of, as plain data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BookSource {
    pub rules: Vec<RuleSource>,
    /// By the name that conditions use.
    pub lists: BTreeMap<Box<str>, List>,
    pub matching: Matching,
    pub scoring: Scoring,
}

/// Before the ids of the rules, and the names of the lists, of a second book that runs in shadow beside the live one.
pub const SHADOW_BOOK: &str = "shadow/";

/// How live matches become a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scoring {
    /// The strictest of them decides.
    #[default]
    FirstMatch,
    /// The scores of them are summed, and bands of the sum decide; a rule that leads to a verdict itself still does.
    Sum(Bands),
}

/// From which sum on a quote is flagged and referred.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bands {
    pub flag: f64,
    pub refer: f64,
}

impl Bands {
    pub fn verdict(self, sum: f64) -> Verdict {
        match sum {
            sum if sum >= self.refer => Verdict::Refer,
            sum if sum >= self.flag => Verdict::Flag,
            _ => Verdict::Accept,
        }
    }
}

impl From<Vec<RuleSource>> for BookSource {
    /// Without lists, with the shipped matching.
    fn from(rules: Vec<RuleSource>) -> BookSource {
        BookSource { rules, ..BookSource::default() }
    }
}

/// Texts that `in list("name")` looks among: sorted, each once, shared by all conditions that use it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(Arc<[Box<str>]>);

impl List {
    pub fn new(mut values: Vec<Box<str>>) -> List {
        values.sort_unstable();
        values.dedup();
        List(values.into())
    }

    pub fn values(&self) -> &[Box<str>] {
        &self.0
    }

    pub fn contains(&self, value: &str) -> bool {
        self.0.binary_search_by(|listed| (**listed).cmp(value)).is_ok()
    }
}

/// What a rule's match leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Checked, never run.
    Off,
    /// Run and counted, without effect on the answer.
    #[default]
    Shadow,
    Live,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Off, Mode::Shadow, Mode::Live];

    pub fn name(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Shadow => "shadow",
            Mode::Live => "live",
        }
    }

    pub fn parse(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// A dial's value, of the type the dial declares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamValue {
    Int(i64),
    Double(f64),
    /// Microseconds.
    Duration(i64),
}

impl ParamValue {
    /// `int`, `double` or `duration`.
    pub fn type_name(self) -> &'static str {
        match self {
            ParamValue::Int(_) => "int",
            ParamValue::Double(_) => "double",
            ParamValue::Duration(_) => "duration",
        }
    }

    /// A number to order values of one type by.
    pub fn order(self) -> f64 {
        match self {
            ParamValue::Int(n) | ParamValue::Duration(n) => n as f64,
            ParamValue::Double(x) => x,
        }
    }
}

/// An analyst's dial: the value in force, its bounds, and what a backtest tries. All of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSource {
    pub value: ParamValue,
    pub min: Option<ParamValue>,
    pub max: Option<ParamValue>,
    pub sweep: Vec<ParamValue>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSource {
    /// `a-z 0-9 -`, unique in the book.
    pub id: Box<str>,
    /// From 1; an edit of a live rule needs a bump.
    pub version: u32,
    pub title: Box<str>,
    pub owner: Box<str>,
    pub mode: Mode,
    /// `A-Z 0-9 _`: the machine-readable reason on the wire.
    pub reason_code: Box<str>,
    pub params: BTreeMap<Box<str>, ParamSource>,
    /// The condition in CEL.
    pub when: Box<str>,
    /// `Flag` or `Refer`; `Accept` for a rule that has a score.
    pub then: Verdict,
    /// What a match adds to the sum of a book that sums scores.
    pub score: Option<f64>,
    /// Greater goes first among rules of one verdict; 0 when not given.
    pub priority: i32,
    /// Only these products; all when empty.
    pub products: Vec<Box<str>>,
    /// Only these tenants; all when empty.
    pub tenants: Vec<Box<str>>,
    /// The built-in text when none.
    pub applicant: Option<ApplicantText>,
    /// Template for the underwriter.
    pub underwriter: Box<str>,
    /// The author knows that the condition is always true.
    pub always: bool,
    /// Too important to be silenced by a circuit breaker, which may only alarm.
    pub critical: bool,
    /// The highest share of applicants the rule is expected to refer, per cent.
    pub referred_pct_max: Option<f64>,
}

impl RuleSource {
    /// Whether a live match can lead to a referral.
    pub fn may_refer(&self) -> bool {
        self.then == Verdict::Refer || self.score.is_some_and(|score| score > 0.0)
    }
}

/// What the applicant is told. Never holds a count, a threshold or a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicantText {
    pub ru: Box<str>,
    pub en: Box<str>,
}

/// Which part of a rule an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The rule as a whole.
    Rule,
    /// A top-level key by its name in the file.
    Key(&'static str),
    /// The dial of this name.
    Param(Box<str>),
    /// Byte offset and length within the condition.
    When {
        start: usize,
        len: usize,
    },
    /// Byte offset within the underwriter's template.
    Underwriter {
        start: usize,
    },
    Applicant,
}

/// What is wrong, and how to put it right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub part: Part,
    pub message: String,
    pub help: Option<String>,
}

impl Problem {
    pub fn new(part: Part, message: impl Into<String>) -> Problem {
        Problem { part, message: message.into(), help: None }
    }

    pub fn help(mut self, help: impl Into<Option<String>>) -> Problem {
        self.help = help.into();
        self
    }
}

/// A problem of the rule at `rule` in the list that was to become a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    pub rule: usize,
    pub problem: Problem,
}
