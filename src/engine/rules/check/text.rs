//! What a string may be asked: `agent_id.startsWith("B-")`, `product.matches("^os")`, `size(agent_id)`.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

use super::{Checker, Maybe, Typed};
use crate::engine::rules::condition::{Bool, Int, Text, TextTest};
use crate::engine::rules::pattern::Pattern;
use crate::engine::rules::suggest::did_you_mean;

const METHODS: [&str; 5] = ["startsWith", "endsWith", "contains", "matches", "size"];

impl<'a> Checker<'a> {
    pub(super) fn method(&mut self, at: &'a IdedExpr, target: &'a IdedExpr, call: &'a CallExpr) -> Maybe<Typed> {
        let name = call.func_name.as_str();
        if matches!(target.expr, Expr::List(_)) || !METHODS.contains(&name) {
            let help = did_you_mean(name, METHODS).unwrap_or_else(|| {
                let methods = METHODS.map(|method| format!("`.{method}()`")).join(", ");
                format!("texts have {methods}; features are plain functions: `attempts(window)`")
            });
            return self.problem(at, format!("`.{name}()` cannot be called on a value"), Some(help));
        }
        let text = self.text_feature(target, name)?;
        match (name, call.args.as_slice()) {
            ("size", []) => Some(Typed::Int(Int::Size(text.into()))),
            ("size", _) => self.problem(at, "`.size()` takes no argument", None),
            (_, [argument]) => {
                let test = self.text_test(argument, name)?;
                Some(Typed::Bool(Bool::TextTest((text, test).into())))
            }
            _ => self.problem(at, format!("`.{name}()` takes one string"), None),
        }
    }

    pub(super) fn size(&mut self, argument: &'a IdedExpr) -> Maybe<Typed> {
        self.text_feature(argument, "size").map(|text| Typed::Int(Int::Size(text.into())))
    }

    fn text_feature(&mut self, at: &'a IdedExpr, function: &str) -> Maybe<Text> {
        match self.expression(at)? {
            Typed::Text(Text::Const(_)) => {
                self.problem(at, format!("`{function}` asks a feature, and this is a constant"), Some("write `agent_id`".into()))
            }
            Typed::Text(text) => Some(text),
            other => self.problem(at, format!("`{function}` asks a string, and this is {}", other.with_article()), None),
        }
    }

    fn text_test(&mut self, at: &'a IdedExpr, name: &str) -> Maybe<TextTest> {
        self.grow(at, 1)?;
        let Expr::Literal(LiteralValue::String(text)) = &at.expr else {
            return self.problem(at, format!("`{name}` takes a string constant"), Some("write it in quotes".into()));
        };
        let text = text.inner();
        if text.is_empty() {
            return self.problem(at, "an empty text is in every text", None);
        }
        match name {
            "startsWith" => Some(TextTest::StartsWith(text.into())),
            "endsWith" => Some(TextTest::EndsWith(text.into())),
            "contains" => Some(TextTest::Contains(text.into())),
            _ => match Pattern::new(text) {
                Ok(pattern) => Some(TextTest::Matches(pattern)),
                Err(message) => {
                    let help = "name the letters that are meant, `[A-Z0-9]`, and repeat them less often";
                    self.problem(at, message, Some(help.into()))
                }
            },
        }
    }
}
