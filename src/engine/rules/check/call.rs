//! Operators and functions: which types they take, and what they become.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

use super::build::{self, Operator, symbol};
use super::{Checker, Maybe, Typed, kind_name, usage};
use crate::engine::decision::Verdict;
use crate::engine::evidence::{Arguments, Feature, FeatureSpec};
use crate::engine::field::Field;
use crate::engine::limits;
use crate::engine::quote::ChannelKind;
use crate::engine::rules::condition::{Arithmetic, Bool, Comparison, Double, Fault, Int, Text};
use crate::engine::rules::duration;
use crate::engine::rules::source::SHADOW_BOOK;
use crate::engine::rules::suggest::did_you_mean;
use crate::engine::time::SECOND;

const CONVERSIONS: [&str; 4] = ["duration", "double", "int", "size"];
const LIST: &str = "list";

impl<'a> Checker<'a> {
    pub(super) fn operator(&mut self, at: &'a IdedExpr, operator: Operator, args: &'a [IdedExpr]) -> Maybe<Typed> {
        match (operator, args) {
            (Operator::And | Operator::Or, [left, right]) => {
                let (left, right) = (self.boolean(left, operator), self.boolean(right, operator));
                Some(Typed::Bool(build::logical(operator == Operator::Or, left?, right?)))
            }
            (Operator::Not, [inner]) => self.boolean(inner, operator).map(|inner| Typed::Bool(build::not(inner))),
            (Operator::Negate, [inner]) => match self.expression(inner)? {
                Typed::Int(inner) => self.folded(at, build::negate_int(inner)).map(Typed::Int),
                Typed::Double(inner) => Some(Typed::Double(build::negate_double(inner))),
                other => self.problem(at, format!("`-` takes a number, not {}", other.with_article()), None),
            },
            (Operator::Compare(comparison), [left, right]) => {
                let (left, right) = (self.expression(left), self.expression(right));
                self.comparison(at, comparison, left?, right?).map(Typed::Bool)
            }
            (Operator::Compute(operation), [left, right]) => {
                let (left, right) = (self.expression(left), self.expression(right));
                self.arithmetic(at, operation, left?, right?)
            }
            (Operator::If, [condition, yes, no]) => {
                let condition = self.boolean(condition, operator);
                let (yes, no) = (self.expression(yes), self.expression(no));
                self.choice(at, condition?, yes?, no?)
            }
            (Operator::In, [left, right]) => self.membership(at, left, right).map(Typed::Bool),
            _ => self.problem(at, "indexing is not part of the rule language", None),
        }
    }

    fn boolean(&mut self, at: &'a IdedExpr, operator: Operator) -> Maybe<Bool> {
        match self.expression(at)? {
            Typed::Bool(inner) => Some(inner),
            other => {
                let message = format!("`{}` takes bools, and this is {}", symbol(operator), other.with_article());
                self.problem(at, message, Some("compare it with something first".into()))
            }
        }
    }

    /// A fault among constants happens for every quote.
    fn folded<T>(&mut self, at: &IdedExpr, result: Result<T, Fault>) -> Maybe<T> {
        match result {
            Ok(node) => Some(node),
            Err(Fault::DivisionByZero) => self.problem(at, "this always divides by zero", None),
            Err(Fault::Overflow) => self.problem(at, "this overflows a 64-bit int", None),
            Err(Fault::NotANumber) => self.problem(at, "this compares something that is not a number", None),
        }
    }

    fn comparison(&mut self, at: &IdedExpr, comparison: Comparison, left: Typed, right: Typed) -> Maybe<Bool> {
        let equality = match comparison {
            Comparison::Equal => Some(true),
            Comparison::NotEqual => Some(false),
            _ => None,
        };
        let signed = |node, positive: bool| if positive { node } else { build::not(node) };
        match (left, right, equality) {
            (Typed::Int(left), Typed::Int(right), _) => self.folded(at, build::compare_ints(comparison, left, right)),
            (Typed::Double(left), Typed::Double(right), _) => self.folded(at, build::compare_doubles(comparison, left, right)),
            (Typed::Int(left), Typed::Double(right), _) => {
                self.folded(at, build::compare_doubles(comparison, build::to_double(left), right))
            }
            (Typed::Double(left), Typed::Int(right), _) => {
                self.folded(at, build::compare_doubles(comparison, left, build::to_double(right)))
            }
            (Typed::Double(left), Typed::Duration(micros), _) if is_in_seconds(&left) => {
                self.folded(at, build::compare_doubles(comparison, left, seconds(micros)))
            }
            (Typed::Duration(micros), Typed::Double(right), _) if is_in_seconds(&right) => {
                self.folded(at, build::compare_doubles(comparison, seconds(micros), right))
            }
            (Typed::Text(left), Typed::Text(right), Some(positive)) => {
                self.known_name(at, &left, &right)?;
                Some(signed(build::equal_texts(left, right), positive))
            }
            (Typed::Bool(left), Typed::Bool(right), Some(positive)) => Some(signed(build::equal_bools(left, right), positive)),
            (left, right, _) => {
                let operator = symbol(Operator::Compare(comparison));
                let message = format!("`{operator}` cannot compare {} with {}", left.type_name(), right.type_name());
                let duration = matches!(left, Typed::Duration(_)) || matches!(right, Typed::Duration(_));
                self.problem(
                    at,
                    message,
                    duration.then(|| {
                        "a duration is a feature's window, or compared with one in seconds: `seconds_since_first(window)`"
                            .to_string()
                    }),
                )
            }
        }
    }

    /// Channels and verdicts are closed lists: another text would never match.
    fn known_name(&mut self, at: &IdedExpr, left: &Text, right: &Text) -> Maybe<()> {
        let (feature, name) = match (left, right) {
            (Text::Read(feature), Text::Const(name)) | (Text::Const(name), Text::Read(feature)) => (*feature, name),
            _ => return Some(()),
        };
        let (what, names) = match feature {
            Feature::Channel => ("channel", ChannelKind::ALL.map(ChannelKind::name).to_vec()),
            Feature::Decision | Feature::Answer => ("decision", Verdict::ALL.map(Verdict::name).to_vec()),
            _ => return Some(()),
        };
        if names.contains(&&**name) {
            return Some(());
        }
        let help = did_you_mean(name, names.iter().copied()).unwrap_or_else(|| format!("the {what}s are {}", names.join(", ")));
        self.problem(at, format!("there is no {what} `{name}`"), Some(help))
    }

    fn arithmetic(&mut self, at: &IdedExpr, operation: Arithmetic, left: Typed, right: Typed) -> Maybe<Typed> {
        let operator = symbol(Operator::Compute(operation));
        match (left, right) {
            (Typed::Int(left), Typed::Int(right)) => self.folded(at, build::compute_ints(operation, left, right)).map(Typed::Int),
            (Typed::Double(_), Typed::Double(_)) if operation == Arithmetic::Remainder => {
                self.problem(at, "`%` takes two ints", None)
            }
            (Typed::Double(left), Typed::Double(right)) => {
                self.folded(at, build::compute_doubles(operation, left, right)).map(Typed::Double)
            }
            (left, right) => {
                let message = format!("`{operator}` cannot join {} and {}", left.type_name(), right.type_name());
                let mixed = matches!((&left, &right), (Typed::Int(_), Typed::Double(_)) | (Typed::Double(_), Typed::Int(_)));
                let help = mixed.then(|| "make both doubles: write `2.0`, or `double(attempts(window))`".to_string());
                self.problem(at, message, help)
            }
        }
    }

    fn choice(&mut self, at: &IdedExpr, condition: Bool, yes: Typed, no: Typed) -> Maybe<Typed> {
        if let Bool::Const(value) = condition
            && yes.type_name() == no.type_name()
        {
            return Some(if value { yes } else { no });
        }
        Some(match (yes, no) {
            (Typed::Bool(yes), Typed::Bool(no)) => Typed::Bool(Bool::If((condition, yes, no).into())),
            (Typed::Int(yes), Typed::Int(no)) => Typed::Int(Int::If((condition, yes, no).into())),
            (Typed::Double(yes), Typed::Double(no)) => Typed::Double(Double::If((condition, yes, no).into())),
            (Typed::Text(yes), Typed::Text(no)) => Typed::Text(Text::If((condition, yes, no).into())),
            (yes, no) => {
                let message = format!("both sides of `:` must have one type, not {} and {}", yes.type_name(), no.type_name());
                return self.problem(at, message, None);
            }
        })
    }

    /// `x in [a, b]` is `x == a || x == b`, absorbed faults included.
    fn membership(&mut self, at: &'a IdedExpr, left: &'a IdedExpr, right: &'a IdedExpr) -> Maybe<Bool> {
        let list = match &right.expr {
            Expr::List(list) => list,
            Expr::Call(call) if call.func_name == LIST && call.target.is_none() => return self.listed(at, left, right, call),
            _ => {
                let help = "write `channel in [\"web\", \"app\"]`, or `agent_id in list(\"brokers\")`";
                return self.problem(right, "`in` takes a list of constants", Some(help.into()));
            }
        };
        if list.elements.is_empty() {
            return self.problem(right, "nothing is in an empty list", None);
        }
        let mut any = Bool::Const(false);
        for element in &list.elements {
            let constant = match self.expression(element)? {
                Typed::Int(node @ Int::Const(_)) => Typed::Int(node),
                Typed::Double(node @ Double::Const(_)) => Typed::Double(node),
                Typed::Text(node @ Text::Const(_)) => Typed::Text(node),
                Typed::Bool(node @ Bool::Const(_)) => Typed::Bool(node),
                _ => return self.problem(element, "a list may hold only constants and number parameters", None),
            };
            let left = self.expression(left)?;
            let equal = self.comparison(element, Comparison::Equal, left, constant)?;
            any = build::logical(true, any, equal);
        }
        self.grow(at, 1)?;
        Some(any)
    }

    /// `x in list("brokers")`, a file of the book.
    fn listed(&mut self, at: &'a IdedExpr, left: &'a IdedExpr, right: &'a IdedExpr, call: &'a CallExpr) -> Maybe<Bool> {
        self.grow(at, 2)?;
        let [IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] = call.args.as_slice() else {
            return self.problem(right, "`list` takes the name of a list", Some("write `list(\"brokers\")`".into()));
        };
        let text = match self.expression(left)? {
            Typed::Text(text) => text,
            other => return self.problem(left, format!("a list holds strings, and this is {}", other.with_article()), None),
        };
        let lists = self.context.lists;
        // The second book has lists of its own.
        let own = self.context.source.id.starts_with(SHADOW_BOOK).then(|| format!("{SHADOW_BOOK}{}", name.inner()));
        match own.and_then(|own| lists.get(&*own)).or_else(|| lists.get(name.inner())) {
            Some(list) => Some(build::listed(text, name.inner(), list)),
            None => {
                let help = did_you_mean(name.inner(), lists.keys().map(|name| &**name));
                let help = help.unwrap_or_else(|| format!("add `lists/{}.csv` to the book, one value a line", name.inner()));
                self.problem(&call.args[0], format!("the book has no list `{}`", name.inner()), Some(help))
            }
        }
    }

    pub(super) fn function(&mut self, at: &'a IdedExpr, call: &'a CallExpr) -> Maybe<Typed> {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            ("duration", [argument]) => self.duration(argument).map(Typed::Duration),
            ("double", [argument]) => match self.expression(argument)? {
                Typed::Int(inner) => Some(Typed::Double(build::to_double(inner))),
                Typed::Double(inner) => Some(Typed::Double(inner)),
                other => self.problem(argument, format!("`double` takes a number, not {}", other.with_article()), None),
            },
            ("int", [argument]) => match self.expression(argument)? {
                Typed::Double(inner) => self.folded(at, build::to_int(inner)).map(Typed::Int),
                Typed::Int(inner) => Some(Typed::Int(inner)),
                other => self.problem(argument, format!("`int` takes a number, not {}", other.with_article()), None),
            },
            (LIST, _) => self.problem(at, "a list may only stand to the right of `in`", None),
            ("size", [argument]) => self.size(argument),
            ("duration" | "double" | "int" | "size", _) => self.problem(at, format!("`{name}` takes one argument"), None),
            _ => match self.feature(name) {
                Some(spec) => self.feature_call(at, spec, &call.args),
                None => {
                    let known = self.context.features.iter().map(|spec| spec.name).chain(CONVERSIONS);
                    let help = did_you_mean(name, known)
                        .unwrap_or_else(|| format!("the features are listed in {}", self.context.reference));
                    self.problem(at, format!("unknown feature `{name}`"), Some(help))
                }
            },
        }
    }

    fn feature_call(&mut self, at: &'a IdedExpr, spec: &'static FeatureSpec, args: &'a [IdedExpr]) -> Maybe<Typed> {
        let (field, window) = match (spec.arguments, args) {
            (Arguments::Window, [window]) => (None, self.window(at, window)?),
            (Arguments::FieldAndWindow, [field, window]) => {
                let (field, window) = (self.field(field), self.window(at, window));
                (Some(field?), window?)
            }
            (Arguments::None, _) => {
                let message = format!("`{}` is a plain {} and takes no arguments", spec.name, kind_name(spec.kind));
                return self.problem(at, message, Some(format!("write `{}`", spec.name)));
            }
            _ => {
                let message = format!("`{}` does not take {} arguments", spec.name, args.len());
                return self.problem(at, message, Some(format!("write `{}`", usage(spec))));
            }
        };
        Some(build::read(spec, field, window))
    }

    fn field(&mut self, at: &'a IdedExpr) -> Maybe<Field> {
        self.grow(at, 1)?;
        let Expr::Literal(LiteralValue::String(name)) = &at.expr else {
            return self.problem(at, "the field must be named by a string", Some("write `\"vehicle.vin\"`".into()));
        };
        let name = name.inner();
        match Field::parse(name) {
            Some(field) => Some(field),
            None => {
                let names = Field::ALL.map(Field::name);
                let help = did_you_mean(name, names).unwrap_or_else(|| format!("the fields are {}", names.join(", ")));
                self.problem(at, format!("unknown field `{name}`"), Some(help))
            }
        }
    }

    fn window(&mut self, call: &IdedExpr, at: &'a IdedExpr) -> Maybe<u16> {
        match self.expression(at)? {
            Typed::Duration(micros) => {
                let seconds = micros / SECOND;
                if !(limits::WINDOW_SECS_MIN..=limits::WINDOW_SECS_MAX).contains(&seconds) {
                    let days = limits::WINDOW_SECS_MAX / 86_400;
                    let message = format!("a window lasts from {} s to {days} days", limits::WINDOW_SECS_MIN);
                    return self.problem(at, message, None);
                }
                if let Some(kept) = self.context.window_secs_max.filter(|kept| seconds > *kept) {
                    let (window, kept) = (duration::format(micros), duration::format(kept * SECOND));
                    let message = format!("the window is {window}, and quotes are kept for {kept}");
                    return self.problem(at, message, Some("shorten it, or raise `time.retention_secs` of the service".into()));
                }
                let (place, _) = self.parsed.span(call);
                if self.first_window.is_none_or(|(first, _)| place < first) {
                    self.first_window = Some((place, micros));
                }
                Some((self.number_of_window)(micros))
            }
            other => {
                let message = format!("the window must be a duration, and this is {}", other.with_article());
                self.problem(at, message, Some("use a parameter of type duration, or `duration(\"24h\")`".into()))
            }
        }
    }

    fn duration(&mut self, at: &'a IdedExpr) -> Maybe<i64> {
        self.grow(at, 1)?;
        let Expr::Literal(LiteralValue::String(text)) = &at.expr else {
            return self.problem(at, "`duration` takes a string", Some("write `duration(\"24h\")`".into()));
        };
        match duration::parse(text.inner()) {
            Ok(micros) => Some(micros),
            Err(message) => self.problem(at, message, None),
        }
    }
}

fn is_in_seconds(node: &Double) -> bool {
    matches!(node, Double::Read(read) if FeatureSpec::of(read.feature).unit == "s")
}

fn seconds(micros: i64) -> Double {
    Double::Const(micros as f64 / SECOND as f64)
}
