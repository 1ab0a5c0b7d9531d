//! The native form of a condition: a typed tree of small enums that is walked without allocation.
//!
//! The meaning is CEL's. `&&` and `||` absorb a fault when the other side decides alone. Integer overflow and division of
//! integers by zero are faults; doubles follow IEEE 754, but ordering against not-a-number is a fault, because a rule that
//! compares it means nothing.

use super::pattern::Pattern;
use super::source::List;
use crate::engine::evidence::{Facts, Feature};
use crate::engine::field::Field;

/// Why a condition had no value for a quote. The rule does not match, and the fault is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    Overflow,
    DivisionByZero,
    NotANumber,
}

impl Fault {
    pub const ALL: [Fault; 3] = [Fault::Overflow, Fault::DivisionByZero, Fault::NotANumber];

    /// The label in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Overflow => "overflow",
            Fault::DivisionByZero => "division_by_zero",
            Fault::NotANumber => "not_a_number",
        }
    }
}

type Outcome<T> = Result<T, Fault>;

/// One number of the evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Read {
    pub feature: Feature,
    pub field: Option<Field>,
    /// Number of the window in the book; 0 for features without one.
    pub window: u16,
}

impl Read {
    fn get(self, facts: &impl Facts) -> f64 {
        facts.number(self.feature, self.field, usize::from(self.window))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Bool {
    Const(bool),
    Read(Read),
    Not(Box<Bool>),
    All(Box<[Bool]>),
    Any(Box<[Bool]>),
    Equal(Box<(Bool, Bool)>),
    /// A numeric feature against a constant: the common case, in one step. Counts are exact as doubles.
    Bound(Comparison, Read, f64),
    Int(Comparison, Box<(Int, Int)>),
    Double(Comparison, Box<(Double, Double)>),
    Text(Box<(Text, Text)>),
    TextTest(Box<(Text, TextTest)>),
    /// A text among those of a list of the book, with the list's name.
    Listed(Box<(Text, Box<str>, List)>),
    If(Box<(Bool, Bool, Bool)>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Int {
    Const(i64),
    Read(Read),
    Arithmetic(Arithmetic, Box<(Int, Int)>),
    Negate(Box<Int>),
    /// Characters of a text.
    Size(Box<Text>),
    /// Towards zero.
    FromDouble(Box<Double>),
    If(Box<(Bool, Int, Int)>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Double {
    Const(f64),
    Read(Read),
    Arithmetic(Arithmetic, Box<(Double, Double)>),
    Negate(Box<Double>),
    FromInt(Box<Int>),
    If(Box<(Bool, Double, Double)>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    Const(Box<str>),
    Read(Feature),
    If(Box<(Bool, Text, Text)>),
}

/// What a text is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum TextTest {
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<str>),
    Matches(Pattern),
}

impl TextTest {
    fn holds(&self, text: &str) -> bool {
        match self {
            TextTest::StartsWith(part) => text.starts_with(&**part),
            TextTest::EndsWith(part) => text.ends_with(&**part),
            TextTest::Contains(part) => text.contains(&**part),
            TextTest::Matches(pattern) => pattern.is_match(text),
        }
    }
}

impl Bool {
    pub fn eval(&self, facts: &impl Facts) -> Outcome<bool> {
        match self {
            Bool::Const(value) => Ok(*value),
            Bool::Read(read) => Ok(read.get(facts) != 0.0),
            Bool::Not(inner) => inner.eval(facts).map(|value| !value),
            Bool::All(terms) => decided_by(false, terms, facts),
            Bool::Any(terms) => decided_by(true, terms, facts),
            Bool::Equal(pair) => Ok(pair.0.eval(facts)? == pair.1.eval(facts)?),
            Bool::Bound(comparison, read, value) => compare_doubles(*comparison, read.get(facts), *value),
            Bool::Int(comparison, pair) => Ok(compare(*comparison, pair.0.eval(facts)?, pair.1.eval(facts)?)),
            Bool::Double(comparison, pair) => compare_doubles(*comparison, pair.0.eval(facts)?, pair.1.eval(facts)?),
            Bool::Text(pair) => Ok(pair.0.eval(facts)? == pair.1.eval(facts)?),
            Bool::TextTest(pair) => Ok(pair.1.holds(pair.0.eval(facts)?)),
            Bool::Listed(parts) => Ok(parts.2.contains(parts.0.eval(facts)?)),
            Bool::If(parts) => if parts.0.eval(facts)? { &parts.1 } else { &parts.2 }.eval(facts),
        }
    }
}

/// `decisive` as soon as a term has that value, whatever faulted before it; else the first fault, if any.
fn decided_by(decisive: bool, terms: &[Bool], facts: &impl Facts) -> Outcome<bool> {
    let mut undecided = Ok(!decisive);
    for term in terms {
        match term.eval(facts) {
            Ok(value) if value == decisive => return Ok(decisive),
            Ok(_) => {}
            Err(fault) => undecided = undecided.and(Err(fault)),
        }
    }
    undecided
}

fn compare<T: PartialOrd>(comparison: Comparison, left: T, right: T) -> bool {
    match comparison {
        Comparison::Equal => left == right,
        Comparison::NotEqual => left != right,
        Comparison::Less => left < right,
        Comparison::LessOrEqual => left <= right,
        Comparison::Greater => left > right,
        Comparison::GreaterOrEqual => left >= right,
    }
}

fn compare_doubles(comparison: Comparison, left: f64, right: f64) -> Outcome<bool> {
    let orders = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    if orders && (left.is_nan() || right.is_nan()) {
        return Err(Fault::NotANumber);
    }
    Ok(compare(comparison, left, right))
}

impl Int {
    pub fn eval(&self, facts: &impl Facts) -> Outcome<i64> {
        match self {
            Int::Const(value) => Ok(*value),
            Int::Read(read) => Ok(read.get(facts) as i64),
            Int::Arithmetic(operation, pair) => {
                let (left, right) = (pair.0.eval(facts)?, pair.1.eval(facts)?);
                let result = match operation {
                    Arithmetic::Add => left.checked_add(right),
                    Arithmetic::Subtract => left.checked_sub(right),
                    Arithmetic::Multiply => left.checked_mul(right),
                    Arithmetic::Divide | Arithmetic::Remainder if right == 0 => return Err(Fault::DivisionByZero),
                    Arithmetic::Divide => left.checked_div(right),
                    Arithmetic::Remainder => left.checked_rem(right),
                };
                result.ok_or(Fault::Overflow)
            }
            Int::Negate(inner) => inner.eval(facts)?.checked_neg().ok_or(Fault::Overflow),
            Int::Size(text) => Ok(text.eval(facts)?.chars().count() as i64),
            Int::FromDouble(inner) => {
                let value = inner.eval(facts)?;
                // `i64::MAX as f64` is 2^63, one beyond the largest; CEL excludes both ends.
                let fits = value > i64::MIN as f64 && value < i64::MAX as f64;
                if fits { Ok(value as i64) } else { Err(Fault::Overflow) }
            }
            Int::If(parts) => if parts.0.eval(facts)? { &parts.1 } else { &parts.2 }.eval(facts),
        }
    }
}

impl Double {
    pub fn eval(&self, facts: &impl Facts) -> Outcome<f64> {
        match self {
            Double::Const(value) => Ok(*value),
            Double::Read(read) => Ok(read.get(facts)),
            Double::Arithmetic(operation, pair) => {
                let (left, right) = (pair.0.eval(facts)?, pair.1.eval(facts)?);
                Ok(match operation {
                    Arithmetic::Add => left + right,
                    Arithmetic::Subtract => left - right,
                    Arithmetic::Multiply => left * right,
                    Arithmetic::Divide => left / right,
                    Arithmetic::Remainder => left % right,
                })
            }
            Double::Negate(inner) => inner.eval(facts).map(|value| -value),
            Double::FromInt(inner) => inner.eval(facts).map(|value| value as f64),
            Double::If(parts) => if parts.0.eval(facts)? { &parts.1 } else { &parts.2 }.eval(facts),
        }
    }
}

impl Text {
    pub fn eval<'a>(&'a self, facts: &'a impl Facts) -> Outcome<&'a str> {
        match self {
            Text::Const(value) => Ok(value),
            Text::Read(feature) => Ok(facts.text(*feature)),
            Text::If(parts) => if parts.0.eval(facts)? { &parts.1 } else { &parts.2 }.eval(facts),
        }
    }
}
