//! Decisions that a condition of the rules' language asks for: read newest first and looked at one by one, as far as a page may go.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Console;
use super::failure::Failure;
use crate::engine::evidence::{Arguments, DECIDED, Kind};
use crate::engine::rules::filter::{Filter, Made};
use crate::engine::rules::{Part, Problem};
use crate::pipeline::desk::{DecisionFilter, DecisionKey, DecisionRow};

/// Decisions that one page looks at. Beyond: the reader goes on from there.
const LOOKED_AT_MAX: usize = 50_000;
/// For so long.
const LOOKS_FOR: Duration = Duration::from_secs(3);
/// Problems that are told at once.
const FAULTS_SHOWN_MAX: usize = 5;

/// What is wrong with a condition, with a caret under the place.
#[derive(Debug, PartialEq)]
pub struct Fault {
    pub message: String,
    pub help: String,
    /// The line and, below it, the caret; empty where the whole is meant.
    pub place: String,
}

pub fn compile(text: &str) -> Result<Filter, Vec<Fault>> {
    Filter::compile(text).map_err(|problems| problems.into_iter().take(FAULTS_SHOWN_MAX).map(|of| fault(text, of)).collect())
}

fn fault(text: &str, problem: Problem) -> Fault {
    let place = match problem.part {
        Part::When { start, len } => {
            let start = text.floor_char_boundary(start);
            let before = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
            let line = text[before..].lines().next().unwrap_or_default();
            let column = text[before..start].chars().count();
            let width = text[start..].chars().take(len.max(1)).take_while(|c| *c != '\n').count().max(1);
            format!("{line}\n{}{}", " ".repeat(column), "^".repeat(width))
        }
        _ => String::new(),
    };
    Fault { message: problem.message, help: problem.help.unwrap_or_default(), place }
}

pub fn holds(filter: &Filter, row: &DecisionRow) -> bool {
    let rules = if row.rules.is_empty() { String::new() } else { format!(" {} ", row.rules.join(" ")) };
    filter.holds(&Made {
        decision: row.verdict,
        answer: row.answer,
        rules: &rules,
        referral_id: row.referral_id.as_deref().unwrap_or_default(),
        quote_id: &row.quote_id,
        source: row.source.as_deref().unwrap_or_default(),
        channel: row.channel.as_deref().unwrap_or_default(),
        product: row.product.as_deref().unwrap_or_default(),
        tenant: &row.tenant,
        revision: row.revision,
        attempts: row.attempts,
        suspicious_attempts: row.suspicious_attempts,
        suspicion: row.suspicion,
        premium: row.premium.unwrap_or_default(),
    })
}

#[derive(Default)]
pub struct Found {
    pub rows: Vec<DecisionRow>,
    pub looked_at: u64,
    /// Where it stopped, unless it came to the end.
    pub next: Option<DecisionKey>,
}

/// Looks from `after` on until `most` are found, or it has looked at enough.
pub async fn search(
    console: &Console,
    asked: &Filter,
    filter: DecisionFilter,
    after: Option<DecisionKey>,
    most: usize,
) -> Result<Found, Failure> {
    let until = Instant::now() + LOOKS_FOR;
    let mut last = after;
    let mut rows = console.desk.export(filter, after);
    let mut found = Found::default();
    let is_at_end = loop {
        // A store that is slow is not waited for either.
        let Ok(row) = timeout_at(until, rows.recv()).await else { break false };
        let Some(row) = row.transpose()? else { break true };
        found.looked_at += 1;
        last = Some(row.key);
        if holds(asked, &row) {
            found.rows.push(row);
        }
        if found.rows.len() >= most || found.looked_at >= LOOKED_AT_MAX as u64 || Instant::now() >= until {
            break false;
        }
    };
    found.next = last.filter(|_| !is_at_end);
    Ok(found)
}

/// What may be named, with its type.
pub fn features() -> Vec<(&'static str, &'static str)> {
    let kind = |kind| match kind {
        Kind::Int => "int",
        Kind::Double => "double",
        Kind::Bool => "bool",
        Kind::Text => "string",
    };
    DECIDED.iter().filter(|spec| spec.arguments == Arguments::None).map(|spec| (spec.name, kind(spec.kind))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_shown_under_its_place() {
        let faults = compile("premium > 1.0 &&\nchanel == \"web\"").expect_err("a misspelt name");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].place, "chanel == \"web\"\n^^^^^^");
        assert!(faults[0].help.contains("channel"), "{faults:?}");
        let faults = compile("tenant == \"ж\" && premum > 1.0").expect_err("a misspelt name");
        assert_eq!(faults[0].place, format!("tenant == \"ж\" && premum > 1.0\n{}^^^^^^", " ".repeat(17)));
    }

    #[test]
    fn the_features_are_documented() {
        let documented = include_str!("../../docs/console.md");
        for (name, kind) in features() {
            assert!(documented.contains(&format!("| `{name}` | {kind} |")), "{name}");
        }
    }
}
