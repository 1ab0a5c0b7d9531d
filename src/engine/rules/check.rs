//! From CEL text to a [`Bool`]: names, types and arguments are checked, constants folded, every problem placed.

mod build;
mod call;
mod parse;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

use super::condition::{Bool, Double, Int, Text};
use super::range::{Outcomes, outcomes};
use super::source::{List, ParamValue, Part, Problem, RuleSource};
use super::suggest::did_you_mean;
use crate::engine::evidence::{Arguments, CATALOGUE, FeatureSpec, Kind};
use crate::engine::limits;

pub use parse::{Parsed, parse};

/// A condition that may run.
#[derive(Debug)]
pub struct Checked {
    pub condition: Bool,
    /// The window of the first windowed feature in the text, microseconds.
    pub first_window: Option<i64>,
}

/// What a condition stands in.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The rule, for its parameters.
    pub source: &'a RuleSource,
    /// Those of the book.
    pub lists: &'a BTreeMap<Box<str>, List>,
    /// How long quotes are kept, seconds. `None` for a book that a log holds: what was taken then is compiled as it is, whatever is
    /// asked of new ones.
    pub window_secs_max: Option<i64>,
    /// What may be named, and where that is written down.
    pub features: &'static [FeatureSpec],
    pub reference: &'static str,
}

impl<'a> Context<'a> {
    pub fn of_rule(source: &'a RuleSource, lists: &'a BTreeMap<Box<str>, List>, window_secs_max: Option<i64>) -> Context<'a> {
        Context { source, lists, window_secs_max, features: CATALOGUE, reference: "docs/rule-reference.md" }
    }
}

/// An expression with its type.
#[derive(Debug)]
enum Typed {
    Bool(Bool),
    Int(Int),
    Double(Double),
    Text(Text),
    /// Microseconds. A window, or the other side of a feature in seconds.
    Duration(i64),
}

impl Typed {
    fn type_name(&self) -> &'static str {
        match self {
            Typed::Bool(_) => "bool",
            Typed::Int(_) => "int",
            Typed::Double(_) => "double",
            Typed::Text(_) => "string",
            Typed::Duration(_) => "duration",
        }
    }

    fn with_article(&self) -> String {
        let article = if matches!(self, Typed::Int(_)) { "an" } else { "a" };
        format!("{article} {}", self.type_name())
    }
}

/// Checks a parsed condition. `number_of_window` numbers a window length (microseconds).
pub fn check(parsed: &Parsed, context: &Context, number_of_window: &mut dyn FnMut(i64) -> u16) -> Result<Checked, Vec<Problem>> {
    let mut checker = Checker {
        parsed,
        context,
        number_of_window,
        first_window: None,
        used: BTreeSet::new(),
        nodes: 0,
        depth: 0,
        problems: Vec::new(),
    };
    let typed = checker.expression(&parsed.root);
    let condition = checker.whole(typed);
    checker.unused_params();
    match condition {
        Some(condition) if checker.problems.is_empty() => {
            Ok(Checked { condition, first_window: checker.first_window.map(|(_, micros)| micros) })
        }
        _ => Err(checker.problems),
    }
}

struct Checker<'a> {
    parsed: &'a Parsed,
    context: &'a Context<'a>,
    number_of_window: &'a mut dyn FnMut(i64) -> u16,
    /// Byte offset in the text, and length.
    first_window: Option<(usize, i64)>,
    used: BTreeSet<&'a str>,
    nodes: usize,
    depth: usize,
    problems: Vec<Problem>,
}

/// `None` means that a problem was noted; the checker goes on to find further ones.
type Maybe<T> = Option<T>;

impl<'a> Checker<'a> {
    fn problem<T>(&mut self, at: &IdedExpr, message: impl Into<String>, help: impl Into<Option<String>>) -> Maybe<T> {
        let (start, len) = self.parsed.span(at);
        self.problems.push(Problem::new(Part::When { start, len }, message).help(help));
        None
    }

    /// The type of the whole, and that it depends on the quote.
    fn whole(&mut self, typed: Maybe<Typed>) -> Maybe<Bool> {
        let root = &self.parsed.root;
        let always = self.context.source.always;
        match typed? {
            Typed::Bool(condition) if self.context.window_secs_max.is_none() => Some(condition),
            Typed::Bool(condition) => match outcomes(&condition) {
                Outcomes { yes: false, .. } => {
                    let help = "it must be possible for some quote; to silence a rule, set `mode: off`";
                    self.problem(root, "the condition is never true", Some(help.into()))
                }
                Outcomes { no: false, fault: false, .. } if !always => {
                    let help = "it must depend on a feature; if every quote is meant, add `always: true`";
                    self.problem(root, "the condition is always true", Some(help.into()))
                }
                Outcomes { no, fault, .. } if always && (no || fault) => {
                    self.problems.push(
                        Problem::new(Part::Key("always"), "the condition is not always true")
                            .help(Some("remove `always`".into())),
                    );
                    None
                }
                _ => Some(condition),
            },
            other => {
                let message = format!("the condition is {}, not a bool", other.with_article());
                self.problem(root, message, Some("compare it with something, as in `attempts(window) >= 3`".into()))
            }
        }
    }

    fn unused_params(&mut self) {
        // A name in a part that could not be checked would be reported wrongly.
        if !self.problems.is_empty() {
            return;
        }
        for name in self.context.source.params.keys().filter(|name| !self.used.contains(&***name)) {
            let message = format!("the parameter `{name}` is not used in the condition");
            self.problems.push(Problem::new(Part::Param(name.clone()), message).help(Some("use it or remove it".into())));
        }
    }

    /// Counts `nodes` more; `None` once the condition is too large.
    fn grow(&mut self, at: &IdedExpr, nodes: usize) -> Maybe<()> {
        let before = self.nodes;
        self.nodes += nodes;
        if self.nodes <= limits::CONDITION_NODES_MAX {
            return Some(());
        }
        // Reported once, not for each node beyond.
        if before <= limits::CONDITION_NODES_MAX {
            let message = format!("the condition has more than {} parts", limits::CONDITION_NODES_MAX);
            self.problem::<()>(at, message, Some("split it into several rules".into()));
        }
        None
    }

    fn expression(&mut self, at: &'a IdedExpr) -> Maybe<Typed> {
        self.grow(at, 1)?;
        if self.depth == limits::CONDITION_DEPTH_MAX {
            return self.problem(at, format!("nested deeper than {}", limits::CONDITION_DEPTH_MAX), None);
        }
        self.depth += 1;
        let typed = self.expression_here(at);
        self.depth -= 1;
        typed
    }

    fn expression_here(&mut self, at: &'a IdedExpr) -> Maybe<Typed> {
        match &at.expr {
            Expr::Literal(literal) => self.literal(at, literal),
            Expr::Ident(name) => self.name(at, name),
            Expr::Call(call) => self.call(at, call),
            Expr::Select(_) => self.problem(
                at,
                "the fields of a quote are not read directly",
                Some("name the field in a feature: `distinct(\"vehicle.vin\", window)`".into()),
            ),
            Expr::List(_) => self.problem(at, "a list may only stand to the right of `in`", None),
            Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.problem(at, "maps, messages and loops are not part of the rule language", None)
            }
        }
    }

    fn literal(&mut self, at: &IdedExpr, literal: &LiteralValue) -> Maybe<Typed> {
        match literal {
            LiteralValue::Boolean(value) => Some(Typed::Bool(Bool::Const(*value.inner()))),
            LiteralValue::Int(value) => Some(Typed::Int(Int::Const(*value.inner()))),
            LiteralValue::Double(value) => Some(Typed::Double(Double::Const(*value.inner()))),
            LiteralValue::String(value) => Some(Typed::Text(Text::Const(value.inner().into()))),
            LiteralValue::UInt(_) => self.problem(at, "unsigned numbers are not used here", Some("leave out the `u`".into())),
            LiteralValue::Bytes(_) | LiteralValue::Null => {
                self.problem(at, "bytes and null are not part of the rule language", None)
            }
        }
    }

    fn name(&mut self, at: &IdedExpr, name: &str) -> Maybe<Typed> {
        if let Some((param, source)) = self.context.source.params.get_key_value(name) {
            self.used.insert(param);
            return Some(match source.value {
                ParamValue::Int(value) => Typed::Int(Int::Const(value)),
                ParamValue::Double(value) => Typed::Double(Double::Const(value)),
                ParamValue::Duration(micros) => Typed::Duration(micros),
            });
        }
        match self.feature(name) {
            Some(spec) if spec.arguments == Arguments::None => Some(build::read(spec, None, 0)),
            Some(spec) => self.problem(at, format!("`{name}` needs arguments"), Some(format!("write `{}`", usage(spec)))),
            None => {
                let known =
                    self.context.source.params.keys().map(|p| &**p).chain(self.context.features.iter().map(|spec| spec.name));
                let help = did_you_mean(name, known).unwrap_or_else(|| self.list_params());
                self.problem(at, format!("unknown name `{name}`"), Some(help))
            }
        }
    }

    fn feature(&self, name: &str) -> Option<&'static FeatureSpec> {
        self.context.features.iter().find(|spec| spec.name == name)
    }

    fn list_params(&self) -> String {
        if self.context.source.params.is_empty() {
            return format!("the features are listed in {}", self.context.reference);
        }
        let names: Vec<&str> = self.context.source.params.keys().map(|name| &**name).collect();
        format!("the parameters of this rule are {}; the features are listed in {}", names.join(", "), self.context.reference)
    }

    fn call(&mut self, at: &'a IdedExpr, call: &'a CallExpr) -> Maybe<Typed> {
        if let Some(target) = &call.target {
            return self.method(at, target, call);
        }
        match build::operator(&call.func_name) {
            Some(operator) => self.operator(at, operator, &call.args),
            None => self.function(at, call),
        }
    }
}

/// How a feature is written.
fn usage(spec: &FeatureSpec) -> String {
    match spec.arguments {
        Arguments::None => spec.name.into(),
        Arguments::Window => format!("{}(window)", spec.name),
        Arguments::FieldAndWindow => format!("{}(\"vehicle.vin\", window)", spec.name),
    }
}

/// CEL's name of a feature's type.
fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "int",
        Kind::Double => "double",
        Kind::Bool => "bool",
        Kind::Text => "string",
    }
}
