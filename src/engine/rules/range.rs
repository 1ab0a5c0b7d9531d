//! Which values a condition can have at all, from the ranges of the features: interval arithmetic, so that a rule that is always or
//! never true is found when it is written.

use std::collections::BTreeSet;

use super::condition::{Arithmetic, Bool, Comparison, Double, Int, Read, Text};
use crate::engine::evidence::{Feature, FeatureSpec, Kind};
use crate::engine::quote::ChannelKind;

/// What a condition may come to. What is not possible here is impossible; what is possible may still never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcomes {
    pub yes: bool,
    pub no: bool,
    pub fault: bool,
}

impl Outcomes {
    const EITHER: Outcomes = Outcomes { yes: true, no: true, fault: false };

    fn negated(self) -> Outcomes {
        Outcomes { yes: self.no, no: self.yes, fault: self.fault }
    }

    fn or_fault(self, fault: bool) -> Outcomes {
        Outcomes { fault: self.fault || fault, ..self }
    }

    fn either(self, other: Outcomes) -> Outcomes {
        Outcomes { yes: self.yes || other.yes, no: self.no || other.no, fault: self.fault || other.fault }
    }
}

pub fn outcomes(node: &Bool) -> Outcomes {
    match node {
        Bool::Const(value) => Outcomes { yes: *value, no: !*value, fault: false },
        Bool::Read(_) | Bool::Text(_) | Bool::TextTest(_) => Outcomes::EITHER,
        Bool::Listed(parts) => Outcomes { yes: !parts.2.values().is_empty(), no: true, fault: false },
        Bool::Not(inner) => outcomes(inner).negated(),
        Bool::All(terms) => all(terms, false),
        Bool::Any(terms) => all(terms, true).negated(),
        Bool::Equal(pair) => Outcomes::EITHER.or_fault(outcomes(&pair.0).fault || outcomes(&pair.1).fault),
        Bool::Bound(comparison, read, value) => {
            let (least, most) = range(*read);
            let point = Doubles { least, most, nan: value.is_nan(), fault: false };
            compare_doubles(*comparison, point, Doubles::constant(*value))
        }
        Bool::Int(comparison, pair) => {
            let (left, right) = (ints(&pair.0), ints(&pair.1));
            decided(*comparison, (left.least, left.most), (right.least, right.most)).or_fault(left.fault || right.fault)
        }
        Bool::Double(comparison, pair) => compare_doubles(*comparison, doubles(&pair.0), doubles(&pair.1)),
        Bool::If(parts) => {
            let condition = outcomes(&parts.0);
            let branch = |taken: bool, node: &Bool| taken.then(|| outcomes(node));
            let branches = [branch(condition.yes, &parts.1), branch(condition.no, &parts.2)];
            let none = Outcomes { yes: false, no: false, fault: condition.fault };
            branches.into_iter().flatten().fold(none, Outcomes::either)
        }
    }
}

/// All of the terms, or none of them. A fault may be absorbed; that it is possible is all that is said.
fn all(terms: &[Bool], negated: bool) -> Outcomes {
    let each = terms.iter().map(outcomes).map(|term| if negated { term.negated() } else { term });
    let joined = |a: Outcomes, b: Outcomes| Outcomes { yes: a.yes && b.yes, no: a.no || b.no, fault: a.fault || b.fault };
    let joined = each.fold(Outcomes { yes: true, no: false, fault: false }, joined);
    Outcomes { yes: joined.yes && is_possible(terms, negated), ..joined }
}

/// Is there a value for each feature within all bounds that the terms set for it, or that they all exclude?
fn is_possible(terms: &[Bool], negated: bool) -> bool {
    let mut ranges: Vec<(Read, (f64, f64))> = Vec::new();
    for term in terms {
        let (comparison, read, value) = match term {
            Bool::Bound(comparison, read, value) => (if negated { opposite(*comparison) } else { *comparison }, *read, *value),
            Bool::Not(inner) => match &**inner {
                Bool::Bound(comparison, read, value) => {
                    (if negated { *comparison } else { opposite(*comparison) }, *read, *value)
                }
                _ => continue,
            },
            _ => continue,
        };
        let (least, most) = within(comparison, read, value);
        match ranges.iter_mut().find(|(known, _)| *known == read) {
            Some((_, range)) => *range = (range.0.max(least), range.1.min(most)),
            None => {
                let whole = range(read);
                ranges.push((read, (whole.0.max(least), whole.1.min(most))));
            }
        }
    }
    ranges.iter().all(|(_, (least, most))| least <= most) && is_text_possible(terms, negated)
}

/// The values that one text may still have.
struct Texts<'a> {
    feature: Feature,
    /// `None` for any.
    among: Option<BTreeSet<&'a str>>,
    except: BTreeSet<&'a str>,
}

/// Is there a value for each text among all those that the terms ask for, or exclude?
fn is_text_possible(terms: &[Bool], negated: bool) -> bool {
    let mut all: Vec<Texts<'_>> = Vec::new();
    for term in terms {
        let Some((feature, values, is_not)) = asked_text(term) else { continue };
        let at = all.iter().position(|texts| texts.feature == feature).unwrap_or_else(|| {
            let among = (feature == Feature::Channel).then(|| ChannelKind::ALL.map(ChannelKind::name).into());
            all.push(Texts { feature, among, except: BTreeSet::new() });
            all.len() - 1
        });
        let texts = &mut all[at];
        if is_not == negated {
            texts.among = Some(match texts.among.take() {
                Some(among) => among.intersection(&values).copied().collect(),
                None => values,
            });
        } else {
            texts.except.extend(values);
        }
    }
    all.iter().all(|texts| texts.among.as_ref().is_none_or(|among| among.difference(&texts.except).next().is_some()))
}

/// Which text is asked for which values; `true` where it must be none of them.
fn asked_text(term: &Bool) -> Option<(Feature, BTreeSet<&str>, bool)> {
    match term {
        Bool::Text(pair) => match &**pair {
            (Text::Read(feature), Text::Const(value)) | (Text::Const(value), Text::Read(feature)) => {
                Some((*feature, BTreeSet::from([&**value]), false))
            }
            _ => None,
        },
        Bool::Not(inner) => asked_text(inner).map(|(feature, values, is_not)| (feature, values, !is_not)),
        // `channel in ["web", "app"]`
        Bool::Any(terms) => {
            let mut asked = terms.iter().map(asked_text);
            let (feature, mut values, false) = asked.next()?? else { return None };
            for next in asked {
                let (other, more, false) = next? else { return None };
                if other != feature {
                    return None;
                }
                values.extend(more);
            }
            Some((feature, values, false))
        }
        _ => None,
    }
}

fn opposite(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Equal => Comparison::NotEqual,
        Comparison::NotEqual => Comparison::Equal,
        Comparison::Less => Comparison::GreaterOrEqual,
        Comparison::LessOrEqual => Comparison::Greater,
        Comparison::Greater => Comparison::LessOrEqual,
        Comparison::GreaterOrEqual => Comparison::Less,
    }
}

/// The least and greatest value that satisfies the comparison.
fn within(comparison: Comparison, read: Read, value: f64) -> (f64, f64) {
    let whole = FeatureSpec::of(read.feature).kind == Kind::Int;
    let above = |strict: bool| match (whole, strict) {
        (true, true) => value.floor() + 1.0,
        (true, false) => value.ceil(),
        (false, true) => value.next_up(),
        (false, false) => value,
    };
    let below = |strict: bool| match (whole, strict) {
        (true, true) => value.ceil() - 1.0,
        (true, false) => value.floor(),
        (false, true) => value.next_down(),
        (false, false) => value,
    };
    match comparison {
        Comparison::Equal => (above(false), below(false)),
        Comparison::NotEqual => (f64::NEG_INFINITY, f64::INFINITY),
        Comparison::Less => (f64::NEG_INFINITY, below(true)),
        Comparison::LessOrEqual => (f64::NEG_INFINITY, below(false)),
        Comparison::Greater => (above(true), f64::INFINITY),
        Comparison::GreaterOrEqual => (above(false), f64::INFINITY),
    }
}

fn range(read: Read) -> (f64, f64) {
    FeatureSpec::of(read.feature).range
}

/// What a comparison comes to for values within (least, most) on either side.
fn decided<T: PartialOrd + Copy>(comparison: Comparison, left: (T, T), right: (T, T)) -> Outcomes {
    let apart = left.1 < right.0 || left.0 > right.1;
    let one_value = left.0 == left.1 && right.0 == right.1 && left.0 == right.0;
    let (always, never) = match comparison {
        Comparison::Equal => (one_value, apart),
        Comparison::NotEqual => (apart, one_value),
        Comparison::Less => (left.1 < right.0, left.0 >= right.1),
        Comparison::LessOrEqual => (left.1 <= right.0, left.0 > right.1),
        Comparison::Greater => (left.0 > right.1, left.1 <= right.0),
        Comparison::GreaterOrEqual => (left.0 >= right.1, left.1 < right.0),
    };
    Outcomes { yes: !never, no: !always, fault: false }
}

#[derive(Clone, Copy)]
struct Ints {
    least: i128,
    most: i128,
    fault: bool,
}

fn ints(node: &Int) -> Ints {
    match node {
        Int::Const(value) => Ints { least: i128::from(*value), most: i128::from(*value), fault: false },
        Int::Read(read) => {
            let (least, most) = range(*read);
            Ints { least: least as i128, most: most as i128, fault: false }
        }
        Int::Size(_) => Ints { least: 0, most: i128::from(u32::MAX), fault: false },
        Int::Arithmetic(operation, pair) => compute_ints(*operation, ints(&pair.0), ints(&pair.1)),
        Int::Negate(inner) => {
            let Ints { least, most, fault } = ints(inner);
            fitted(-most, -least, fault)
        }
        Int::FromDouble(inner) => {
            let Doubles { least, most, nan, fault } = doubles(inner);
            let whole = least.is_finite() && most.is_finite();
            let (least, most) = if whole { (least as i128, most as i128) } else { (i128::from(i64::MIN), i128::from(i64::MAX)) };
            let fits = whole && least > i128::from(i64::MIN) && most < i128::from(i64::MAX);
            fitted(least, most, fault || nan || !fits)
        }
        Int::If(parts) => {
            let (yes, no) = (ints(&parts.1), ints(&parts.2));
            let fault = yes.fault || no.fault || outcomes(&parts.0).fault;
            Ints { least: yes.least.min(no.least), most: yes.most.max(no.most), fault }
        }
    }
}

fn compute_ints(operation: Arithmetic, left: Ints, right: Ints) -> Ints {
    let fault = left.fault || right.fault;
    let zero = right.least <= 0 && right.most >= 0;
    let furthest = left.least.abs().max(left.most.abs());
    match operation {
        Arithmetic::Add => fitted(left.least + right.least, left.most + right.most, fault),
        Arithmetic::Subtract => fitted(left.least - right.most, left.most - right.least, fault),
        Arithmetic::Multiply => {
            let corners = [left.least * right.least, left.least * right.most, left.most * right.least, left.most * right.most];
            let least = corners.into_iter().min().unwrap_or(0);
            fitted(least, corners.into_iter().max().unwrap_or(0), fault)
        }
        Arithmetic::Divide | Arithmetic::Remainder => fitted(-furthest, furthest, fault || zero),
    }
}

/// Values beyond 64 bits are faults.
fn fitted(least: i128, most: i128, fault: bool) -> Ints {
    let (low, high) = (i128::from(i64::MIN), i128::from(i64::MAX));
    Ints { least: least.clamp(low, high), most: most.clamp(low, high), fault: fault || least < low || most > high }
}

#[derive(Clone, Copy)]
struct Doubles {
    least: f64,
    most: f64,
    /// It may be not-a-number.
    nan: bool,
    fault: bool,
}

impl Doubles {
    fn constant(value: f64) -> Doubles {
        Doubles { least: value, most: value, nan: value.is_nan(), fault: false }
    }

    fn anything(fault: bool) -> Doubles {
        Doubles { least: f64::NEG_INFINITY, most: f64::INFINITY, nan: true, fault }
    }
}

fn compare_doubles(comparison: Comparison, left: Doubles, right: Doubles) -> Outcomes {
    let fault = left.fault || right.fault;
    if left.nan || right.nan {
        return Outcomes::EITHER.or_fault(true);
    }
    decided(comparison, (left.least, left.most), (right.least, right.most)).or_fault(fault)
}

fn doubles(node: &Double) -> Doubles {
    match node {
        Double::Const(value) => Doubles::constant(*value),
        Double::Read(read) => {
            let (least, most) = range(*read);
            Doubles { least, most, nan: false, fault: false }
        }
        Double::Arithmetic(operation, pair) => compute_doubles(*operation, doubles(&pair.0), doubles(&pair.1)),
        Double::Negate(inner) => {
            let Doubles { least, most, nan, fault } = doubles(inner);
            Doubles { least: -most, most: -least, nan, fault }
        }
        Double::FromInt(inner) => {
            let Ints { least, most, fault } = ints(inner);
            Doubles { least: least as f64, most: most as f64, nan: false, fault }
        }
        Double::If(parts) => {
            let (yes, no) = (doubles(&parts.1), doubles(&parts.2));
            Doubles {
                least: yes.least.min(no.least),
                most: yes.most.max(no.most),
                nan: yes.nan || no.nan,
                fault: yes.fault || no.fault || outcomes(&parts.0).fault,
            }
        }
    }
}

fn compute_doubles(operation: Arithmetic, left: Doubles, right: Doubles) -> Doubles {
    let fault = left.fault || right.fault;
    let zero = right.least <= 0.0 && right.most >= 0.0;
    let apply = |a: f64, b: f64| match operation {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide | Arithmetic::Remainder => a / b,
    };
    let corners = [
        apply(left.least, right.least),
        apply(left.least, right.most),
        apply(left.most, right.least),
        apply(left.most, right.most),
    ];
    let unclear = left.nan || right.nan || operation == Arithmetic::Remainder || (operation == Arithmetic::Divide && zero);
    if unclear || corners.iter().any(|corner| !corner.is_finite()) {
        return Doubles::anything(fault);
    }
    let least = corners.into_iter().fold(f64::INFINITY, f64::min);
    Doubles { least, most: corners.into_iter().fold(f64::NEG_INFINITY, f64::max), nan: false, fault }
}
