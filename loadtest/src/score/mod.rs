//! Joins decisions with the truth and counts who was caught, and which honest people were referred.

mod report;
mod tally;

use std::collections::HashMap;
use std::io::BufRead;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

pub use report::{Report, Target};
pub use tally::Tally;

use crate::truth::Truth;

/// The three answers, from mild to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    #[default]
    Accept,
    Flag,
    Refer,
}

/// What the scorer reads of a DecisionV1 line.
#[derive(Debug, Deserialize)]
struct DecisionLine {
    quote_id: String,
    revision: u32,
    decision: Verdict,
    answer: Verdict,
}

/// Everything said about one quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What the submitter was told.
    pub answer: Verdict,
    /// The decision of the highest revision.
    pub final_decision: Verdict,
    revision: u32,
}

pub type Decisions = HashMap<String, Told>;

/// Reads a decisions file: one line a decision, amendments as further lines.
pub fn read_decisions(input: impl BufRead) -> Result<Decisions> {
    let mut out = Decisions::new();
    for (number, line) in input.lines().enumerate() {
        let line = line.context("cannot read the decisions")?;
        if line.is_empty() {
            continue;
        }
        let said: DecisionLine = serde_json::from_str(&line).with_context(|| format!("decisions, line {}", number + 1))?;
        let told = Told { answer: said.answer, final_decision: said.decision, revision: said.revision };
        out.entry(said.quote_id)
            .and_modify(|known| {
                known.answer = known.answer.max(if said.revision == 1 { said.answer } else { Verdict::Accept });
                if said.revision >= known.revision {
                    (known.final_decision, known.revision) = (said.decision, said.revision);
                }
            })
            .or_insert(told);
    }
    Ok(out)
}

/// Adds one workload to the tally, its labels in order of arrival.
pub fn add(tally: &mut Tally, truth: impl BufRead, decisions: &Decisions) -> Result<()> {
    let mut labels = Vec::new();
    for (number, line) in truth.lines().enumerate() {
        let line = line.context("cannot read the truth")?;
        let label: Truth = serde_json::from_str(&line).with_context(|| format!("truth, line {}", number + 1))?;
        labels.push(label);
    }
    if labels.is_empty() {
        bail!("the truth file has no lines");
    }
    tally.add(&labels, decisions);
    Ok(())
}
