//! Typed nodes, folded where their parts are constant.

use cel::common::ast::operators;

use super::Typed;
use crate::engine::evidence::{Evidence, FeatureSpec, Kind};
use crate::engine::field::Field;
use crate::engine::rules::condition::{Arithmetic, Bool, Comparison, Double, Fault, Int, Read, Text};
use crate::engine::rules::source::List;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operator {
    And,
    Or,
    Not,
    Negate,
    Compare(Comparison),
    Compute(Arithmetic),
    If,
    In,
    Index,
}

/// By the parser's name of it.
pub fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::LOGICAL_AND => Operator::And,
        operators::LOGICAL_OR => Operator::Or,
        operators::LOGICAL_NOT => Operator::Not,
        operators::NEGATE => Operator::Negate,
        operators::EQUALS => Operator::Compare(Comparison::Equal),
        operators::NOT_EQUALS => Operator::Compare(Comparison::NotEqual),
        operators::LESS => Operator::Compare(Comparison::Less),
        operators::LESS_EQUALS => Operator::Compare(Comparison::LessOrEqual),
        operators::GREATER => Operator::Compare(Comparison::Greater),
        operators::GREATER_EQUALS => Operator::Compare(Comparison::GreaterOrEqual),
        operators::ADD => Operator::Compute(Arithmetic::Add),
        operators::SUBSTRACT => Operator::Compute(Arithmetic::Subtract),
        operators::MULTIPLY => Operator::Compute(Arithmetic::Multiply),
        operators::DIVIDE => Operator::Compute(Arithmetic::Divide),
        operators::MODULO => Operator::Compute(Arithmetic::Remainder),
        operators::CONDITIONAL => Operator::If,
        operators::IN => Operator::In,
        operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT => Operator::Index,
        _ => return None,
    })
}

/// The operator as it is written.
pub fn symbol(operator: Operator) -> &'static str {
    match operator {
        Operator::And => "&&",
        Operator::Or => "||",
        Operator::Not => "!",
        Operator::Negate | Operator::Compute(Arithmetic::Subtract) => "-",
        Operator::Compare(Comparison::Equal) => "==",
        Operator::Compare(Comparison::NotEqual) => "!=",
        Operator::Compare(Comparison::Less) => "<",
        Operator::Compare(Comparison::LessOrEqual) => "<=",
        Operator::Compare(Comparison::Greater) => ">",
        Operator::Compare(Comparison::GreaterOrEqual) => ">=",
        Operator::Compute(Arithmetic::Add) => "+",
        Operator::Compute(Arithmetic::Multiply) => "*",
        Operator::Compute(Arithmetic::Divide) => "/",
        Operator::Compute(Arithmetic::Remainder) => "%",
        Operator::If => "?:",
        Operator::In => "in",
        Operator::Index => "[]",
    }
}

pub fn read(spec: &FeatureSpec, field: Option<Field>, window: u16) -> Typed {
    let read = Read { feature: spec.feature, field, window };
    match spec.kind {
        Kind::Int => Typed::Int(Int::Read(read)),
        Kind::Double => Typed::Double(Double::Read(read)),
        Kind::Bool => Typed::Bool(Bool::Read(read)),
        Kind::Text => Typed::Text(Text::Read(spec.feature)),
    }
}

/// `&&` (decisive: false) or `||` (decisive: true), flattened.
pub fn logical(decisive: bool, left: Bool, right: Bool) -> Bool {
    let mut terms = Vec::new();
    for side in [left, right] {
        match (side, decisive) {
            (Bool::Const(value), _) if value == decisive => return Bool::Const(decisive),
            (Bool::Const(_), _) => {}
            (Bool::All(inner), false) | (Bool::Any(inner), true) => terms.extend(inner),
            (other, _) => terms.push(other),
        }
    }
    match (terms.len(), decisive) {
        (0, _) => Bool::Const(!decisive),
        (1, _) => terms.remove(0),
        (_, false) => Bool::All(terms.into()),
        (_, true) => Bool::Any(terms.into()),
    }
}

pub fn not(inner: Bool) -> Bool {
    match inner {
        Bool::Const(value) => Bool::Const(!value),
        Bool::Not(inner) => *inner,
        inner => Bool::Not(inner.into()),
    }
}

pub fn to_double(inner: Int) -> Double {
    match inner {
        Int::Const(value) => Double::Const(value as f64),
        inner => Double::FromInt(inner.into()),
    }
}

pub fn to_int(inner: Double) -> Result<Int, Fault> {
    let constant = matches!(inner, Double::Const(_));
    fold_int(constant, Int::FromDouble(inner.into()))
}

pub fn negate_int(inner: Int) -> Result<Int, Fault> {
    let constant = matches!(inner, Int::Const(_));
    fold_int(constant, Int::Negate(inner.into()))
}

pub fn compute_ints(operation: Arithmetic, left: Int, right: Int) -> Result<Int, Fault> {
    // A constant divisor of zero faults whatever is divided.
    let divides = matches!(operation, Arithmetic::Divide | Arithmetic::Remainder);
    if divides && right == Int::Const(0) {
        return Err(Fault::DivisionByZero);
    }
    let constant = matches!((&left, &right), (Int::Const(_), Int::Const(_)));
    fold_int(constant, Int::Arithmetic(operation, (left, right).into()))
}

/// Nodes over constants only do not look at the evidence.
fn fold_int(constant: bool, node: Int) -> Result<Int, Fault> {
    if constant { node.eval(&Evidence::default()).map(Int::Const) } else { Ok(node) }
}

pub fn negate_double(inner: Double) -> Double {
    match inner {
        Double::Const(value) => Double::Const(-value),
        inner => Double::Negate(inner.into()),
    }
}

pub fn compute_doubles(operation: Arithmetic, left: Double, right: Double) -> Result<Double, Fault> {
    let constant = matches!((&left, &right), (Double::Const(_), Double::Const(_)));
    let node = Double::Arithmetic(operation, (left, right).into());
    if constant { node.eval(&Evidence::default()).map(Double::Const) } else { Ok(node) }
}

pub fn compare_ints(comparison: Comparison, left: Int, right: Int) -> Result<Bool, Fault> {
    if let (Int::Const(_), Int::Const(_)) = (&left, &right) {
        return Bool::Int(comparison, (left, right).into()).eval(&Evidence::default()).map(Bool::Const);
    }
    let plain = |node: &Int| match node {
        Int::Read(read) => Plain::Read(*read),
        Int::Const(value) if value.unsigned_abs() <= EXACT_IN_DOUBLE => Plain::Const(*value as f64),
        _ => Plain::Neither,
    };
    Ok(bound(comparison, plain(&left), plain(&right)).unwrap_or_else(|| Bool::Int(comparison, (left, right).into())))
}

/// Every int up to here is a double as well.
const EXACT_IN_DOUBLE: u64 = 1 << 53;

/// One side of a comparison, if it is simple.
enum Plain {
    Read(Read),
    Const(f64),
    Neither,
}

/// The short form of a feature against a constant.
fn bound(comparison: Comparison, left: Plain, right: Plain) -> Option<Bool> {
    let flipped = match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        either_way => either_way,
    };
    match (left, right) {
        (Plain::Read(read), Plain::Const(value)) => Some(Bool::Bound(comparison, read, value)),
        (Plain::Const(value), Plain::Read(read)) => Some(Bool::Bound(flipped, read, value)),
        _ => None,
    }
}

pub fn compare_doubles(comparison: Comparison, left: Double, right: Double) -> Result<Bool, Fault> {
    let plain = |node: &Double| match node {
        Double::Read(read) => Plain::Read(*read),
        Double::FromInt(inner) => match **inner {
            Int::Read(read) => Plain::Read(read),
            _ => Plain::Neither,
        },
        Double::Const(value) => Plain::Const(*value),
        _ => Plain::Neither,
    };
    if let Some(node) = bound(comparison, plain(&left), plain(&right)) {
        return Ok(node);
    }
    let constant = matches!((&left, &right), (Double::Const(_), Double::Const(_)));
    let node = Bool::Double(comparison, (left, right).into());
    if constant { node.eval(&Evidence::default()).map(Bool::Const) } else { Ok(node) }
}

pub fn equal_texts(left: Text, right: Text) -> Bool {
    match (&left, &right) {
        (Text::Const(left), Text::Const(right)) => Bool::Const(left == right),
        _ => Bool::Text((left, right).into()),
    }
}

pub fn listed(text: Text, name: &str, list: &List) -> Bool {
    match &text {
        Text::Const(value) => Bool::Const(list.contains(value)),
        _ => Bool::Listed((text, name.into(), list.clone()).into()),
    }
}

pub fn equal_bools(left: Bool, right: Bool) -> Bool {
    match (&left, &right) {
        (Bool::Const(left), Bool::Const(right)) => Bool::Const(left == right),
        _ => Bool::Equal((left, right).into()),
    }
}
