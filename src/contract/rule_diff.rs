//! What one book says otherwise than another, a line each: `rules diff`, and a proposal before it is approved.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::engine::matching::Matching;
use crate::engine::rules::{BookSource, List, ParamSource, ParamValue, RuleBook, RuleSource, Scoring, duration};

/// Values of a list that are named; the rest is counted.
const VALUES_SHOWN_MAX: usize = 8;

/// In the order of ids and names; empty for books that say the same.
pub fn diff(old: &RuleBook, new: &RuleBook) -> Vec<String> {
    let (old, new) = (old.source(), new.source());
    let mut lines = Vec::new();
    rules(&mut lines, &old, &new);
    lists(&mut lines, &old, &new);
    matching(&mut lines, &old.matching, &new.matching);
    if old.scoring != new.scoring {
        lines.push(format!("scoring: {} -> {}", scoring(old.scoring), scoring(new.scoring)));
    }
    lines
}

fn rules(lines: &mut Vec<String>, old: &BookSource, new: &BookSource) {
    let by_id = |source: &BookSource| source.rules.iter().map(|rule| (rule.id.clone(), properties(rule))).collect();
    let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (by_id(old), by_id(new));
    for id in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let summary =
            |rule: &BTreeMap<String, String>| ["version", "mode", "effect", "title"].map(|key| rule[key].clone()).join(" ");
        match (old.get(id), new.get(id)) {
            (Some(old), Some(new)) => {
                for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                    let shown = |rule: &BTreeMap<String, String>| rule.get(name).map_or("none".to_owned(), Clone::clone);
                    if old.get(name) != new.get(name) {
                        lines.push(format!("rule {id}: {name}: {} -> {}", shown(old), shown(new)));
                    }
                }
            }
            (Some(old), None) => lines.push(format!("rule {id}: removed: {}", summary(old))),
            (_, new) => lines.extend(new.map(|new| format!("rule {id}: added: {}", summary(new)))),
        }
    }
}

/// Everything a rule says, by name; what it does not say is left out.
fn properties(rule: &RuleSource) -> BTreeMap<String, String> {
    let effect = match rule.score {
        Some(score) => format!("score {score}"),
        None => rule.then.name().to_owned(),
    };
    let mut properties = vec![
        ("version", rule.version.to_string()),
        ("title", rule.title.to_string()),
        ("owner", rule.owner.to_string()),
        ("mode", rule.mode.name().to_owned()),
        ("reason code", rule.reason_code.to_string()),
        ("condition", sentence(&rule.when)),
        ("effect", effect),
        ("priority", rule.priority.to_string()),
        ("underwriter", sentence(&rule.underwriter)),
        ("always", rule.always.to_string()),
        ("critical", rule.critical.to_string()),
    ];
    let names = [("products", &rule.products), ("tenants", &rule.tenants)];
    properties.extend(names.into_iter().filter(|(_, names)| !names.is_empty()).map(|(key, names)| (key, names.join(", "))));
    properties.extend(rule.referred_pct_max.map(|share| ("referred at most, %", share.to_string())));
    let told = rule.applicant.iter().flat_map(|text| [("applicant ru", &text.ru), ("applicant en", &text.en)]);
    properties.extend(told.map(|(key, text)| (key, text.to_string())));
    let params = rule.params.iter().map(|(name, param)| (format!("parameter {name}"), dial(param)));
    properties.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(params).collect()
}

fn lists(lines: &mut Vec<String>, old: &BookSource, new: &BookSource) {
    for name in old.lists.keys().chain(new.lists.keys()).collect::<BTreeSet<_>>() {
        let what = match (old.lists.get(name), new.lists.get(name)) {
            (Some(_), None) => "removed: ",
            (None, Some(_)) => "added: ",
            _ => "",
        };
        let changes = values(old.lists.get(name).map_or(&[], List::values), new.lists.get(name).map_or(&[], List::values));
        if !what.is_empty() || !changes.is_empty() {
            lines.push(format!("list {name}: {what}{changes}").trim_end_matches([':', ' ']).to_owned());
        }
    }
}

/// What came and what went, sorted; empty when nothing did.
fn values(old: &[Box<str>], new: &[Box<str>]) -> String {
    let only = |some: &[Box<str>], others: &[Box<str>], sign: &str| -> Vec<String> {
        let missing = some.iter().filter(|value| others.binary_search(value).is_err());
        missing.map(|value| format!("{sign}{value}")).collect()
    };
    let changes = [only(new, old, "+"), only(old, new, "-")].concat();
    let shown = changes.iter().take(VALUES_SHOWN_MAX).cloned().collect::<Vec<_>>().join(" ");
    match changes.len().saturating_sub(VALUES_SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn matching(lines: &mut Vec<String>, old: &Matching, new: &Matching) {
    for ((key, old), (_, new)) in old.numbers().into_iter().zip(new.numbers()).filter(|((_, old), (_, new))| old != new) {
        lines.push(format!("matching {key}: {old} -> {new}"));
    }
    let surnames = values(&old.frequent_surnames, &new.frequent_surnames);
    if !surnames.is_empty() {
        lines.push(format!("matching frequent_surnames: {surnames}"));
    }
}

fn scoring(scoring: Scoring) -> String {
    match scoring {
        Scoring::FirstMatch => "first-match".into(),
        Scoring::Sum(bands) => format!("sum, flag from {}, refer from {}", bands.flag, bands.refer),
    }
}

/// A parameter's value, its bounds and what a backtest tries.
pub fn dial(param: &ParamSource) -> String {
    let mut out = value(param.value);
    let _ = match (param.min, param.max) {
        (Some(min), Some(max)) => write!(out, ", from {} to {}", value(min), value(max)),
        (Some(min), None) => write!(out, ", at least {}", value(min)),
        (None, Some(max)) => write!(out, ", at most {}", value(max)),
        (None, None) => Ok(()),
    };
    if !param.sweep.is_empty() {
        let tried: Vec<String> = param.sweep.iter().map(|tried| value(*tried)).collect();
        let _ = write!(out, "; a backtest tries {}", tried.join(", "));
    }
    out
}

fn value(value: ParamValue) -> String {
    match value {
        ParamValue::Int(value) => value.to_string(),
        ParamValue::Double(value) => value.to_string(),
        ParamValue::Duration(micros) => duration::format(micros),
    }
}

/// A text that may span lines in its file, on one.
pub fn sentence(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
