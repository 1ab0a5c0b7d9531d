//! A few quotes on which two books differ, each with its diff matrix: fields by attempts, what changed and how.

use std::sync::Arc;

use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::engine::compare::level;
use crate::engine::decision::{Decision, Verdict};
use crate::engine::field::{Field, Level};
use crate::engine::fingerprint::{Fingerprint, Text};
use crate::engine::normalise::hash64;
use crate::engine::state::{Attempt, id_hash};
use crate::engine::time::{EventTime, SECOND};

/// Quotes shown for one candidate and one direction: those whose ids have the smallest hashes, so that every run shows the same.
pub const EXAMPLES_MAX: usize = 20;
/// Attempts shown of one quote, the newest.
pub const ATTEMPTS_SHOWN_MAX: usize = 8;

/// One quote on which the candidate and the baseline differ.
#[derive(Clone, Debug)]
pub struct Example {
    pub quote_id: Box<str>,
    pub tenant: Box<str>,
    pub event_time: EventTime,
    pub baseline: Verdict,
    pub candidate: Verdict,
    /// Of the book that refers.
    pub rules: Vec<Box<str>>,
    pub suspicious_attempts: u32,
    pub suspicion: f64,
    /// Oldest first; the quote is among them.
    pub attempts: Vec<Arc<Attempt>>,
}

/// All that there were, and those that are shown.
#[derive(Default)]
pub struct Examples {
    pub count: u64,
    /// By the hash of the id.
    kept: Vec<(u64, Example)>,
}

/// Where an example that is to be shown goes.
pub struct Place<'a> {
    kept: &'a mut Vec<(u64, Example)>,
    hash: u64,
}

impl Examples {
    /// Counts the quote; a place for it where it belongs to the shown ones.
    pub fn place(&mut self, decision: &Decision) -> Option<Place<'_>> {
        self.count += 1;
        let hash = hash64(&id_hash(&decision.tenant, &decision.quote_id).to_le_bytes());
        let is_shown = self.kept.len() < EXAMPLES_MAX || self.kept.last().is_some_and(|(last, _)| hash < *last);
        is_shown.then_some(Place { kept: &mut self.kept, hash })
    }

    /// In order of event time.
    pub fn shown(&self) -> Vec<&Example> {
        let mut shown: Vec<&Example> = self.kept.iter().map(|(_, example)| example).collect();
        shown.sort_by(|a, b| (a.event_time, &a.quote_id).cmp(&(b.event_time, &b.quote_id)));
        shown
    }
}

impl Place<'_> {
    pub fn put(self, mut example: Example) {
        let skipped = example.attempts.len().saturating_sub(ATTEMPTS_SHOWN_MAX);
        example.attempts.drain(..skipped);
        let at = self.kept.partition_point(|(hash, _)| *hash < self.hash);
        self.kept.insert(at, (self.hash, example));
        self.kept.truncate(EXAMPLES_MAX);
    }
}

/// Fields by attempts; the quote's own attempt is the last column, or among them where it came late.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Matrix {
    pub attempts: Vec<Column>,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Column {
    pub quote_id: String,
    /// UTC.
    pub submitted_at: String,
    pub premium: Option<f64>,
    /// The quote that the example is about.
    pub is_subject: bool,
}

/// A field that differs between two of the attempts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub field: &'static str,
    pub cells: Vec<Cell>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// As the engine compares it: folded, in Latin capitals.
    pub value: String,
    /// Against the attempt before; of the first, `missing` or `same`.
    pub level: &'static str,
}

impl Matrix {
    /// Personal data is masked unless `is_open`.
    pub fn new(example: &Example, is_open: bool) -> Matrix {
        let attempts = &example.attempts;
        let is_subject = |attempt: &Attempt| attempt.print.quote_id() == &*example.quote_id;
        let column = |attempt: &Arc<Attempt>| Column {
            quote_id: attempt.print.quote_id().into(),
            submitted_at: shown_time(attempt.event_time),
            premium: (attempt.print.premium >= 0.0).then_some(attempt.print.premium),
            is_subject: is_subject(attempt),
        };
        let rows = Field::ALL.into_iter().filter_map(|field| row(field, attempts, is_open));
        Matrix { attempts: attempts.iter().map(column).collect(), rows: rows.collect() }
    }
}

fn row(field: Field, attempts: &[Arc<Attempt>], is_open: bool) -> Option<Row> {
    let levels = attempts.windows(2).map(|pair| level(field, &pair[1].print, &pair[0].print));
    let levels: Vec<Level> = levels.collect();
    if !levels.iter().any(|level| level.is_changed()) {
        return None;
    }
    let cells = attempts.iter().enumerate().map(|(i, attempt)| {
        let value = value(field, &attempt.print, is_open);
        let first = if value.is_empty() { Level::Missing } else { Level::Same };
        let level = i.checked_sub(1).map_or(first, |before| levels[before]);
        Cell { value, level: level.name() }
    });
    Some(Row { field: field.name(), cells: cells.collect() })
}

fn value(field: Field, print: &Fingerprint, is_open: bool) -> String {
    let masked = |text: &str| if is_open { text.to_owned() } else { mask(text) };
    let number = |x: f32| if x < 0.0 { String::new() } else { x.to_string() };
    match field {
        Field::LastName => masked(print.text(Text::LastName)),
        Field::FirstName => masked(print.text(Text::FirstName)),
        Field::MiddleName => masked(print.text(Text::MiddleName)),
        Field::BirthDate if !print.birth_date.is_given() => String::new(),
        Field::BirthDate if is_open => print.birth_date.to_string(),
        Field::BirthDate => format!("{}-••-••", print.birth_date.year()),
        Field::IdDocument => masked(print.text(Text::IdDocument)),
        Field::DriverLicence => masked(print.text(Text::DriverLicence)),
        Field::Phone => masked(print.text(Text::Phone)),
        Field::Email => masked(print.text(Text::Email)),
        Field::Address => {
            let parts = [Text::City, Text::Street, Text::House, Text::Flat].map(|part| masked(print.text(part)));
            parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(", ")
        }
        Field::Vin if is_open => print.text(Text::Vin).to_owned(),
        Field::Vin => mask_vin(print.text(Text::Vin)),
        Field::Plate => masked(print.text(Text::Plate)),
        Field::MakeModel => print.text(Text::Model).to_owned(),
        Field::Year if print.year == 0 => String::new(),
        Field::Year => print.year.to_string(),
        Field::Power if print.power == 0.0 => String::new(),
        Field::Power => print.power.to_string(),
        Field::DriverData | Field::DriverList if print.drivers.is_empty() => String::new(),
        Field::DriverData | Field::DriverList => format!("{} named", print.drivers.len()),
        Field::Term => number(print.term),
        Field::Deductible => number(print.deductible),
        Field::Extra if print.extra == 0 => String::new(),
        Field::Extra => format!("{:04x}", print.extra >> 48),
    }
}

/// The first letter, then dots.
fn mask(text: &str) -> String {
    text.chars().next().map_or_else(String::new, |first| format!("{first}•••"))
}

/// The last four characters: the serial number, which pickers change.
fn mask_vin(vin: &str) -> String {
    let skipped = vin.chars().count().saturating_sub(4);
    if vin.is_empty() { String::new() } else { format!("•••{}", vin.chars().skip(skipped).collect::<String>()) }
}

/// `2026-11-01 08:30`, UTC.
pub fn shown_time(time: EventTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]");
    let at = OffsetDateTime::from_unix_timestamp(time.0.div_euclid(SECOND)).ok();
    at.and_then(|at| at.format(format).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_data_is_masked() {
        for (text, masked) in [("ZARECHNAIA", "Z•••"), ("", ""), ("7", "7•••")] {
            assert_eq!(mask(text), masked);
        }
        for (vin, masked) in [("XTA219010K0123456", "•••3456"), ("AB", "•••AB"), ("", "")] {
            assert_eq!(mask_vin(vin), masked);
        }
    }
}
