//! A problem in a rule file, with its line and a caret under the place.

use std::fmt;
use std::path::Path;

/// Prints as `file:line:column: message`, the line, and a caret with the help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
    pub help: Option<String>,
    snippet: String,
    /// Characters under the caret, at least 1.
    width: usize,
}

/// Columns of a line that are shown; the rest of a longer line says nothing about the place.
const SNIPPET_CHARS_MAX: usize = 160;

impl RuleError {
    /// At byte `start` of `text`, over `len` bytes.
    pub(super) fn at(file: &str, text: &str, start: usize, len: usize, message: impl Into<String>) -> RuleError {
        let start = text.floor_char_boundary(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = text.floor_char_boundary(start.saturating_add(len).min(line_end));
        RuleError {
            file: file.into(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message: message.into(),
            help: None,
            snippet: text[line_start..line_end].trim_end().chars().take(SNIPPET_CHARS_MAX).collect(),
            width: text[start..end.max(start)].chars().count().max(1),
        }
    }

    /// The same error, of a file that lies in this folder.
    pub fn within(self, folder: &Path) -> RuleError {
        RuleError { file: folder.join(&self.file).display().to_string(), ..self }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> RuleError {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        let margin = self.line.to_string().len();
        if self.column <= SNIPPET_CHARS_MAX {
            writeln!(f, "{:margin$} |", "")?;
            writeln!(f, "{} | {}", self.line, self.snippet)?;
            write!(f, "{:margin$} | {}{}", "", " ".repeat(self.column - 1), "^".repeat(self.width))?;
        }
        match &self.help {
            Some(help) => write!(f, " {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RuleError {}

/// The byte offset of a line and column, both from 1.
pub(super) fn offset(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let in_line = text[line_start..].split_inclusive('\n').next().unwrap_or("");
    let offset = in_line.char_indices().nth(column.saturating_sub(1)).map_or(in_line.trim_end().len(), |(offset, _)| offset);
    line_start + offset
}

/// Where byte `wanted` of a scalar's value stands in the file, given where the scalar begins.
///
/// YAML folds, indents and escapes; but the visible characters keep their order, so both are walked side by side. Where they
/// part (an unusual escape), the scalar's beginning is the answer.
pub(super) fn within_scalar(text: &str, scalar: usize, value: &str, wanted: usize) -> usize {
    let raw = &text[scalar..];
    let (mut at, quote) = match raw.chars().next() {
        Some('|' | '>') => (raw.find('\n').map_or(raw.len(), |newline| newline + 1), None),
        Some(quote @ ('"' | '\'')) => (1, Some(quote)),
        _ => (0, None),
    };
    let blank = |at: usize| raw[at..].len() - raw[at..].trim_start().len();
    for (offset, letter) in value.char_indices().filter(|(_, letter)| !letter.is_whitespace()) {
        let ahead = at + blank(at);
        if offset >= wanted {
            return scalar + ahead;
        }
        let escape = match quote {
            Some('"') => raw[ahead..].starts_with('\\'),
            Some(_) => raw[ahead..].starts_with("''"),
            None => false,
        };
        let found = ahead + usize::from(escape);
        if !raw[found..].starts_with(letter) {
            return scalar;
        }
        at = found + letter.len_utf8();
    }
    scalar + at
}
