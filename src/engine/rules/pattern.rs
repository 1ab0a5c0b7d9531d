//! A regular expression of `matches`: compiled once with the book, linear in the text, bounded in size.

use crate::engine::limits;

/// Compiled. Equal when written alike.
#[derive(Clone, Debug)]
pub struct Pattern(regex::Regex);

impl Pattern {
    /// The error says what is wrong with it.
    pub fn new(pattern: &str) -> Result<Pattern, String> {
        if pattern.len() > limits::PATTERN_BYTES_MAX {
            return Err(format!("the pattern is longer than {} bytes", limits::PATTERN_BYTES_MAX));
        }
        regex::RegexBuilder::new(pattern)
            .size_limit(limits::PATTERN_COMPILED_BYTES_MAX)
            .dfa_size_limit(limits::PATTERN_DFA_BYTES_MAX)
            .nest_limit(limits::PATTERN_DEPTH_MAX)
            .build()
            .map(Pattern)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "the pattern is too big once compiled".into(),
                other => match other.to_string().lines().last() {
                    Some(reason) => format!("not a pattern: {}", reason.trim_start_matches("error: ")),
                    None => "not a pattern".into(),
                },
            })
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.as_str() == other.as_str()
    }
}
