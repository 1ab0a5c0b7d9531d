//! The `tests` of a rule file: quotes built upon a full base quote, and what the last of them must get.

mod base;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::engine::rules::duration;
use crate::engine::rules::suggest::did_you_mean;

/// Quotes of one test. Beyond: the test fails before anything is decided.
const QUOTES_MAX: usize = 256;
/// The moment `at: 0m`.
const NOW: OffsetDateTime = time::macros::datetime!(2026-03-02 12:00 UTC);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleTest {
    pub name: String,
    /// Dotted paths and their values, for every quote of the test.
    #[serde(default)]
    base: BTreeMap<String, Value>,
    /// In the order in which they arrive.
    quotes: Vec<Step>,
    pub expect: Expectation,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Event time from now, `-2h` or `0m`.
    #[serde(default = "now")]
    at: String,
    /// Who asks: 0 is the base quote's applicant, each other number a stranger with another car, device and address.
    #[serde(default)]
    person: u32,
    /// Upon `base`, for this quote alone.
    #[serde(default)]
    set: BTreeMap<String, Value>,
}

fn now() -> String {
    "0m".into()
}

/// Two quotes of `matching.yaml` that must be linked, or must not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairTest {
    pub name: String,
    #[serde(default)]
    base: BTreeMap<String, Value>,
    quotes: [Step; 2],
    pub linked: bool,
}

impl PairTest {
    /// The two bodies, the earlier one first. The error names the quote and what is wrong with it.
    pub fn quotes(&self) -> Result<[Vec<u8>; 2], String> {
        let [earlier, later] = &self.quotes;
        Ok([body(&self.base, 1, earlier)?, body(&self.base, 2, later)?])
    }
}

/// What the last quote of a test must get.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// `accept`, `flag` or `refer`.
    pub decision: String,
    /// Rules that must be among the reasons.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Rules that must not.
    #[serde(default)]
    pub rules_not: Vec<String>,
}

impl RuleTest {
    /// The bodies to decide on, in order. The error names the quote (from 1) and what is wrong with it.
    pub fn quotes(&self) -> Result<Vec<Vec<u8>>, String> {
        if self.quotes.is_empty() || self.quotes.len() > QUOTES_MAX {
            return Err(format!("a test has 1 to {QUOTES_MAX} quotes"));
        }
        (1..).zip(&self.quotes).map(|(number, step)| body(&self.base, number, step)).collect()
    }
}

/// Quote `number` of a test. The error names it.
fn body(base: &BTreeMap<String, Value>, number: usize, step: &Step) -> Result<Vec<u8>, String> {
    let body = || {
        let mut quote = base::quote(step.person);
        set(&mut quote, "quote_id", Value::from(format!("test-{number}")))?;
        set(&mut quote, "submitted_at", Value::from(instant(&step.at)?))?;
        for (path, value) in base.iter().chain(&step.set) {
            set(&mut quote, path, value.clone())?;
        }
        serde_json::to_vec(&quote).map_err(|error| error.to_string())
    };
    body().map_err(|message| format!("quote {number}: {message}"))
}

/// The quote that every test starts from, as JSON. `docs/rule-reference.md` shows it.
pub fn base_quote() -> Value {
    let mut quote = base::quote(0);
    // The fields are there, so setting them cannot fail.
    let _ = set(&mut quote, "submitted_at", Value::from(instant("0m").unwrap_or_default()));
    let _ = set(&mut quote, "quote_id", Value::from("test-1"));
    quote
}

fn instant(at: &str) -> Result<String, String> {
    let (sign, length) = match at.strip_prefix('-') {
        Some(length) => (-1, length),
        None => (1, at),
    };
    let micros = duration::parse(length)?;
    let instant = NOW.checked_add(time::Duration::microseconds(sign * micros));
    let text = instant.and_then(|instant| instant.format(&Rfc3339).ok());
    text.ok_or_else(|| format!("`{at}` leads out of the calendar"))
}

/// Sets one field. `null` takes it away; an array's next free index appends to it.
fn set(quote: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let mut here = quote;
    let mut walked = String::new();
    let mut keys = path.split('.').peekable();
    while let Some(key) = keys.next() {
        here = match here {
            Value::Array(items) => {
                let index = key.parse().ok().filter(|index: &usize| *index <= items.len());
                let index = index.ok_or_else(|| format!("`{walked}` holds {}, so `{path}` leads nowhere", items.len()))?;
                if index == items.len() {
                    items.push(base::driver());
                }
                if keys.peek().is_none() && value.is_null() {
                    items.remove(index);
                    return Ok(());
                }
                &mut items[index]
            }
            Value::Object(fields) => {
                // The insurer's own choices may have any name; all other names are the contract's.
                if !fields.contains_key(key) && walked != "coverage.extra" {
                    let help = did_you_mean(key, fields.keys().map(String::as_str)).unwrap_or_default();
                    return Err(format!("a quote has no `{path}` {help}").trim_end().to_string());
                }
                fields.entry(key).or_insert(Value::Null)
            }
            _ => return Err(format!("`{walked}` is a plain value, so `{path}` leads nowhere")),
        };
        if !walked.is_empty() {
            walked.push('.');
        }
        walked.push_str(key);
    }
    *here = value;
    Ok(())
}
