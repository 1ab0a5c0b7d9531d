//! Why a case was opened, in plain words and one glance.

use std::collections::BTreeMap;

use super::show::{percent, span};
use super::texts::Texts;
use crate::contract::decision::DecisionV1;
use crate::engine::field::{Field, Level};
use crate::engine::time::SECOND;
use crate::pipeline::desk::Case;
use crate::pipeline::desk::views::CaseQuote;
use crate::shown::money;

pub struct Reasons {
    /// `parameter picking`
    pub reason: String,
    pub quotes: usize,
    pub variants: u32,
    /// From the first quote to the last.
    pub within: String,
    pub facts: Vec<Changed>,
    pub choices: Vec<Changed>,
    pub price: Option<Price>,
    /// What the matched rules say, newest decision.
    pub rules: Vec<(String, String)>,
}

/// A field that changed, and its worst level.
pub struct Changed {
    pub label: &'static str,
    pub class: &'static str,
    pub sign: &'static str,
    pub says: &'static str,
    pub times: usize,
}

pub struct Price {
    pub first: String,
    pub last: String,
    /// `−28 %`; empty when it did not fall.
    pub fall: String,
}

/// The decision that stands on a quote.
pub fn current(quote: &CaseQuote) -> Option<DecisionV1> {
    serde_json::from_str(quote.decisions.last()?).ok()
}

pub fn reasons(t: &'static Texts, case: &Case) -> Reasons {
    let quotes = &case.quotes;
    let times = quotes.iter().map(|quote| quote.event_time.0);
    let within = times.clone().max().zip(times.min()).map_or(0, |(last, first)| (last - first) / SECOND);
    let mut changed: BTreeMap<Field, (Level, usize)> = BTreeMap::new();
    for change in quotes.iter().flat_map(|quote| &quote.changes) {
        let entry = changed.entry(change.field).or_insert((change.level, 0));
        // A disguise tells of intent, however small the change.
        let worse = if entry.0 == Level::Disguised || change.level == Level::Disguised {
            Level::Disguised
        } else {
            entry.0.max(change.level)
        };
        *entry = (worse, entry.1 + 1);
    }
    let shown = |is_fact: bool| {
        let of_kind = changed.iter().filter(move |(field, _)| field.is_fact() == is_fact);
        of_kind.map(|(field, (level, times))| labelled(t, *field, *level, *times)).collect()
    };
    let premiums: Vec<f64> = quotes.iter().filter_map(|quote| quote.premium).collect();
    let price = premiums.first().zip(premiums.last()).map(|(first, last)| Price {
        first: money(*first),
        last: money(*last),
        fall: if last < first {
            format!("−{}", percent((first - last) as u64, *first as u64).unwrap_or_default())
        } else {
            String::new()
        },
    });
    let newest = quotes.iter().rev().filter(|quote| quote.is_referred).find_map(current);
    let rules =
        newest.map_or_else(Vec::new, |decision| decision.reasons.into_iter().map(|reason| (reason.rule, reason.text)).collect());
    Reasons {
        reason: t.reason(&case.row.reason).to_owned(),
        quotes: quotes.len(),
        variants: case.row.variants,
        within: span(t, within),
        facts: shown(true),
        choices: shown(false),
        price,
        rules,
    }
}

fn labelled(t: &'static Texts, field: Field, level: Level, times: usize) -> Changed {
    let (class, sign) = match level {
        Level::Disguised => ("disguised", "~"),
        Level::Near => ("near", "≈"),
        Level::Different | Level::Same | Level::Missing => ("different", "∗"),
    };
    Changed { label: t.field(field), class, sign, says: t.level(level), times }
}
