//! Just enough of Rust's grammar to look at code without its comments and literals.

use std::fs;
use std::path::Path;

/// Source with comments and literals blanked, line by line as it was.
pub struct Code {
    pub text: String,
}

impl Code {
    pub fn read(file: &Path) -> Code {
        Code::of(&fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
    }

    pub fn of(source: &str) -> Code {
        let mut text = String::with_capacity(source.len());
        let mut rest = source;
        while let Some(first) = rest.chars().next() {
            let (skipped, kept) = match skip(rest, text.chars().next_back()) {
                0 => (first.len_utf8(), true),
                bytes => (bytes, false),
            };
            let (now, later) = rest.split_at(skipped);
            if kept {
                text.push_str(now);
            } else {
                text.extend(now.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            }
            rest = later;
        }
        Code { text }
    }

    /// The word after each occurrence of `path`, with its line; `{` for a group.
    pub fn after<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        self.text.match_indices(path).filter(|(at, _)| !self.text[..*at].ends_with(is_word)).map(move |(at, _)| {
            let rest = &self.text[at + path.len()..];
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len()).max(usize::from(rest.starts_with('{')));
            (line_of(&self.text, at), &rest[..end])
        })
    }
}

/// Bytes of the comment or literal that `rest` begins with; 0 when it begins with neither.
fn skip(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    if rest.starts_with('"') {
        return quoted(rest, 1);
    }
    if !before.is_some_and(is_word) {
        for prefix in ["r", "br", "b"] {
            let Some(after) = rest.strip_prefix(prefix) else { continue };
            let hashes = after.chars().take_while(|c| *c == '#').count();
            if after[hashes..].starts_with('"') && prefix != "b" {
                let end = format!("\"{}", "#".repeat(hashes));
                let opening = prefix.len() + hashes + 1;
                return rest[opening..].find(&end).map_or(rest.len(), |at| opening + at + end.len());
            }
            if prefix == "b" && after.starts_with('"') {
                return quoted(rest, 2);
            }
        }
    }
    character(rest)
}

/// Bytes of a literal with escapes that opens with `opening` bytes.
fn quoted(rest: &str, opening: usize) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(opening) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Bytes of a character literal; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let Some(after) = rest.strip_prefix('\'') else { return 0 };
    let content = match after.strip_prefix('\\') {
        Some(escape) => 1 + escape.chars().next().map_or(0, char::len_utf8),
        None => after.chars().next().map_or(0, char::len_utf8),
    };
    // An escape may be longer (`'\u{200B}'`), a lifetime has no closing quote next to its first letter.
    let long = after.starts_with('\\').then(|| after[content..].find('\'').map(|at| content + at)).flatten();
    let end = long.unwrap_or(content);
    if after[end..].starts_with('\'') { end + 2 } else { 0 }
}

pub struct Function<'a> {
    pub name: &'a str,
    pub line: usize,
    /// From `fn` to the closing brace.
    pub lines: usize,
}

/// Every function with a body.
pub fn functions(code: &str) -> Vec<Function<'_>> {
    let starts = code.match_indices("fn ").filter(|(at, _)| !code[..*at].ends_with(is_word));
    starts
        .filter_map(|(at, _)| {
            let rest = &code[at..];
            let name = rest[3..].split(|c| !is_word(c)).next()?;
            let open = body(rest)?;
            let lines = rest[..closing(rest, open)].lines().count();
            (!name.is_empty()).then_some(Function { name, line: line_of(code, at), lines })
        })
        .collect()
}

/// Where the body opens; `None` for a declaration without one.
fn body(rest: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' if depth == 0 => return None,
            ')' | ']' => depth -= 1,
            ';' | '}' if depth == 0 => return None,
            '{' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

fn closing(rest: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in rest[open..].char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 {
            return open + at + 1;
        }
    }
    rest.len()
}

/// Words of code with their lines, from 1.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(code.lines())
        .flat_map(|(line, text)| text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(move |word| (line, word)))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

#[test]
fn literals_and_comments_are_blank() {
    for (source, expected) in [
        ("a // fs\nb", "a      \nb"),
        ("a /* fs\n */ b", "a      \n    b"),
        (r#"f("fs \" {", x)"#, "f(         , x)"),
        (r##"f(r#"fs " {"#)"##, "f(           )"),
        (r"('{', '\'', '\u{7B}')", "(   ,     ,         )"),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("(b'{', b\"{\")", "(b   ,     )"),
    ] {
        assert_eq!(Code::of(source).text, expected, "{source}");
    }
}

#[test]
fn functions_are_measured() {
    let code = Code::of("fn a(x: [u8; 3]) -> u8 {\n  fn b() {}\n  if x { y }\n}\ntrait T {\n  fn c();\n}\n").text;
    let found: Vec<(&str, usize, usize)> = functions(&code).iter().map(|f| (f.name, f.line, f.lines)).collect();
    assert_eq!(found, [("a", 1, 4), ("b", 2, 1)]);
}

#[test]
fn paths_are_followed() {
    let code = Code::of("use crate::engine::x;\nuse crate::{a, b}; my_crate::c; // crate::d").text;
    let code = Code { text: code };
    assert_eq!(code.after("crate::").collect::<Vec<_>>(), [(1, "engine"), (2, "{")]);
}
