//! A compiled condition in plain words, with what it reads: for whoever did not write it.

use super::condition::{Arithmetic, Bool, Comparison, Double, Int, Read, Text, TextTest};
use super::duration;
use crate::engine::evidence::{Arguments, Feature, FeatureSpec};
use crate::engine::time::SECOND;

/// What a rule asks, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    /// One line for each part of the condition.
    pub parts: Vec<String>,
    /// One of the parts is enough; else all must hold.
    pub any: bool,
    /// Every feature that is read, over its window, once each, in the order of the parts.
    pub reads: Vec<(Feature, String)>,
}

/// `windows` are those of the book that compiled the condition, microseconds.
pub fn words(condition: &Bool, windows: &[i64]) -> Words {
    let mut speaker = Speaker { windows, reads: Vec::new() };
    let (parts, any) = match condition {
        Bool::All(terms) => (terms.iter().map(|term| speaker.bool(term)).collect(), false),
        Bool::Any(terms) => (terms.iter().map(|term| speaker.bool(term)).collect(), true),
        Bool::Const(true) => (vec!["always".to_owned()], false),
        one => (vec![speaker.bool(one)], false),
    };
    Words { parts, any, reads: speaker.reads }
}

struct Speaker<'a> {
    windows: &'a [i64],
    reads: Vec<(Feature, String)>,
}

impl Speaker<'_> {
    fn bool(&mut self, node: &Bool) -> String {
        match node {
            Bool::Const(value) => value.to_string(),
            Bool::Read(read) => self.read(*read),
            Bool::Not(inner) => match &**inner {
                Bool::Text(pair) => format!("{} is not {}", self.text(&pair.0), self.text(&pair.1)),
                Bool::Listed(parts) => format!("{} is not in the list \"{}\"", self.text(&parts.0), parts.1),
                inner => format!("not {}", self.bool(inner)),
            },
            Bool::All(terms) => self.joined(terms, " and "),
            Bool::Any(terms) => self.joined(terms, " or "),
            Bool::Equal(pair) => format!("({} is the same as {})", self.bool(&pair.0), self.bool(&pair.1)),
            Bool::Bound(comparison, read, value) => {
                let seconds = FeatureSpec::of(read.feature).unit == "s" && *value >= 0.0;
                let bound = if seconds { duration::format((value * SECOND as f64) as i64) } else { value.to_string() };
                format!("{} {} {bound}", self.read(*read), verb(*comparison))
            }
            Bool::Int(comparison, pair) => format!("{} {} {}", self.int(&pair.0), verb(*comparison), self.int(&pair.1)),
            Bool::Double(comparison, pair) => format!("{} {} {}", self.double(&pair.0), verb(*comparison), self.double(&pair.1)),
            Bool::Text(pair) => format!("{} is {}", self.text(&pair.0), self.text(&pair.1)),
            Bool::TextTest(pair) => {
                let (asks, part) = match &pair.1 {
                    TextTest::StartsWith(part) => ("starts with", &**part),
                    TextTest::EndsWith(part) => ("ends with", &**part),
                    TextTest::Contains(part) => ("contains", &**part),
                    TextTest::Matches(pattern) => ("matches the pattern", pattern.as_str()),
                };
                format!("{} {asks} \"{part}\"", self.text(&pair.0))
            }
            Bool::Listed(parts) => format!("{} is in the list \"{}\"", self.text(&parts.0), parts.1),
            Bool::If(parts) => self.choice(&parts.0, |s| s.bool(&parts.1), |s| s.bool(&parts.2)),
        }
    }

    fn joined(&mut self, terms: &[Bool], word: &str) -> String {
        let terms: Vec<String> = terms.iter().map(|term| self.bool(term)).collect();
        format!("({})", terms.join(word))
    }

    fn choice(&mut self, condition: &Bool, yes: impl Fn(&mut Self) -> String, no: impl Fn(&mut Self) -> String) -> String {
        format!("(if {} then {} else {})", self.bool(condition), yes(self), no(self))
    }

    fn int(&mut self, node: &Int) -> String {
        match node {
            Int::Const(value) => value.to_string(),
            Int::Read(read) => self.read(*read),
            Int::Arithmetic(operation, pair) => format!("({} {} {})", self.int(&pair.0), sign(*operation), self.int(&pair.1)),
            Int::Negate(inner) => format!("-{}", self.int(inner)),
            Int::Size(text) => format!("the length of {}", self.text(text)),
            Int::FromDouble(inner) => format!("the whole part of {}", self.double(inner)),
            Int::If(parts) => self.choice(&parts.0, |s| s.int(&parts.1), |s| s.int(&parts.2)),
        }
    }

    fn double(&mut self, node: &Double) -> String {
        match node {
            Double::Const(value) => value.to_string(),
            Double::Read(read) => self.read(*read),
            Double::Arithmetic(operation, pair) => {
                format!("({} {} {})", self.double(&pair.0), sign(*operation), self.double(&pair.1))
            }
            Double::Negate(inner) => format!("-{}", self.double(inner)),
            Double::FromInt(inner) => self.int(inner),
            Double::If(parts) => self.choice(&parts.0, |s| s.double(&parts.1), |s| s.double(&parts.2)),
        }
    }

    fn text(&mut self, node: &Text) -> String {
        match node {
            Text::Const(value) => format!("\"{value}\""),
            Text::Read(feature) => self.read(Read { feature: *feature, field: None, window: 0 }),
            Text::If(parts) => self.choice(&parts.0, |s| s.text(&parts.1), |s| s.text(&parts.2)),
        }
    }

    /// The feature by its name, with the field and the length of the window.
    fn read(&mut self, read: Read) -> String {
        let spec = FeatureSpec::of(read.feature);
        let field = read.field.map_or(String::new(), |field| format!(" of {}", field.name()));
        let window = match (spec.arguments, self.windows.get(usize::from(read.window))) {
            (Arguments::None, _) | (_, None) => String::new(),
            (_, Some(micros)) => format!(" over {}", duration::format(*micros)),
        };
        let words = format!("{}{field}{window}", spec.name);
        if !self.reads.iter().any(|(_, known)| *known == words) {
            self.reads.push((read.feature, words.clone()));
        }
        words
    }
}

fn verb(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "is",
        Comparison::NotEqual => "is not",
        Comparison::Less => "is below",
        Comparison::LessOrEqual => "is at most",
        Comparison::Greater => "is above",
        Comparison::GreaterOrEqual => "is at least",
    }
}

fn sign(operation: Arithmetic) -> &'static str {
    match operation {
        Arithmetic::Add => "+",
        Arithmetic::Subtract => "-",
        Arithmetic::Multiply => "*",
        Arithmetic::Divide => "/",
        Arithmetic::Remainder => "%",
    }
}
