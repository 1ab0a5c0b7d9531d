//! YAML's tags, which the reader would drop without a word: `when: !known_form(w) && …` means its own opposite.

use granit_parser::{Event, Parser};

use super::error::{RuleError, offset};

const MESSAGE: &str = "YAML reads a leading `!` as a tag, and rule files have none";
const HELP: &str = "put the whole value in quotes, or on a line of its own below `when: >-`";

/// The first tag of a text, and a value that is no YAML because it begins like one. Other things that are no YAML are left to the reader.
pub fn refuse(name: &str, text: &str) -> Result<(), RuleError> {
    let error = |at: usize| Err(RuleError::at(name, text, at, 1, MESSAGE).help(HELP));
    for next in Parser::new_from_str(text) {
        match next {
            Ok((Event::Scalar(.., Some(_)) | Event::SequenceStart(.., Some(_)) | Event::MappingStart(.., Some(_)), span)) => {
                // The place is that of the value behind the tag; where there is none, of what follows.
                let value = offset(text, span.start.line(), span.start.col() + 1);
                let last = text[..value].rfind('!').map_or(value, |bang| bang + 1);
                return error(text[..last].trim_end_matches('!').len());
            }
            Ok(_) => {}
            Err(broken) => {
                let place = offset(text, broken.marker().line(), 1);
                return leading(&text[place..]).map_or(Ok(()), |at| error(place + at));
            }
        }
    }
    Ok(())
}

/// Where the value of the line's key begins with `!`.
fn leading(text: &str) -> Option<usize> {
    let line = text.lines().next().unwrap_or_default();
    let after = line.find(": ")? + 2;
    let blank = line[after..].len() - line[after..].trim_start().len();
    line[after + blank..].starts_with('!').then_some(after + blank)
}
