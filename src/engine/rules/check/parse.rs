//! The parser's answer, with byte positions for every node and readable errors.

use cel::common::ast::{CallExpr, Expr, IdedExpr, SourceInfo};
use cel::parser::{ParseError, Parser};

use crate::engine::limits;
use crate::engine::rules::source::{Part, Problem};

pub struct Parsed {
    pub(super) root: IdedExpr,
    info: SourceInfo,
}

/// Syntax only; the text is bounded first, because the parser recurses along it.
pub fn parse(when: &str) -> Result<Parsed, Vec<Problem>> {
    if when.trim().is_empty() {
        return Err(vec![Problem::new(Part::Key("when"), "the condition is empty")]);
    }
    if when.len() > limits::CONDITION_BYTES_MAX {
        let message = format!("the condition is longer than {} bytes", limits::CONDITION_BYTES_MAX);
        return Err(vec![Problem::new(Part::Key("when"), message).help(Some("split it into several rules".into()))]);
    }
    Parser::new()
        .max_recursion_depth(limits::CONDITION_DEPTH_MAX as u16)
        .parse_with_source_info(when)
        .map(|(root, info)| Parsed { root, info })
        .map_err(|errors| problems(when, &errors.errors))
}

/// The first error of each line: what follows it is the parser losing its way.
fn problems(when: &str, errors: &[ParseError]) -> Vec<Problem> {
    let mut lines = Vec::new();
    let mut problems = Vec::new();
    for error in errors {
        if lines.contains(&error.pos.0) {
            continue;
        }
        lines.push(error.pos.0);
        let start = byte_offset(when, error.pos);
        problems.push(explain(when, start, &error.msg));
    }
    problems
}

fn explain(when: &str, start: usize, message: &str) -> Problem {
    let rest = &when[start..];
    let len = rest.chars().next().map_or(0, char::len_utf8);
    let part = Part::When { start, len };
    let digits_before = when[..start].ends_with(|c: char| c.is_ascii_digit());
    if message.contains("Recursion limit") {
        return Problem::new(part, format!("nested deeper than {}", limits::CONDITION_DEPTH_MAX));
    }
    if digits_before && rest.starts_with(['d', 'h', 'm', 's']) {
        return Problem::new(part, "a duration cannot be written bare")
            .help(Some("write `duration(\"24h\")`, or declare a parameter of type duration".into()));
    }
    if rest.is_empty() {
        return Problem::new(part, "the condition ends too early");
    }
    let unexpected = rest.split(char::is_whitespace).next().unwrap_or(rest);
    let is_open = rest.starts_with(['"', '\'']) && !rest[1..].contains(&rest[..1]);
    if is_open {
        let help = "YAML ends a condition at ` #`: put the whole condition in quotes, or on a line of its own below `when: >-`";
        return Problem::new(part, "the text that begins here does not end").help(Some(help.into()));
    }
    if rest.starts_with(|c: char| c.is_ascii_digit()) && unexpected.bytes().all(|b| b.is_ascii_digit()) {
        return Problem::new(part, format!("`{unexpected}` is larger than the largest int, {}", i64::MAX));
    }
    let help = match unexpected {
        _ if unexpected.starts_with('=') => Some("equality is `==`"),
        "and" | "AND" => Some("write `&&`"),
        "or" | "OR" => Some("write `||`"),
        "not" | "NOT" => Some("write `!`"),
        _ if when[..start].trim_end().ends_with("has(") => Some("features are never absent: compare a text with `\"\"`"),
        _ => None,
    };
    Problem::new(part, format!("unexpected `{unexpected}`")).help(help.map(String::from))
}

/// From the parser's line and column, which count characters from 1.
fn byte_offset(text: &str, (line, column): (isize, isize)) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(usize::try_from(line - 1).unwrap_or(0)).map(str::len).sum();
    let in_line = &text[line_start..];
    let column = usize::try_from(column - 1).unwrap_or(0);
    line_start + in_line.char_indices().nth(column).map_or(in_line.len(), |(offset, _)| offset)
}

impl Parsed {
    /// Byte offset and length of what names the node: a literal, a name, an operator, or a called function's name.
    pub(super) fn span(&self, node: &IdedExpr) -> (usize, usize) {
        let Some((start, stop)) = self.info.offset_for(node.id) else { return (0, 0) };
        let (start, stop) = (start as usize, stop as usize);
        match &node.expr {
            // The parser places a call at its opening parenthesis.
            Expr::Call(CallExpr { func_name, .. }) if self.info.source.get(start..=start) == Some("(") => {
                let before = self.info.source[..start].trim_end();
                let name = func_name.trim_start_matches('.');
                if before.ends_with(name) { (before.len() - name.len(), name.len()) } else { (start, 1) }
            }
            _ => (start, (stop + 1).saturating_sub(start)),
        }
    }
}
