//! The content of a book as bytes in one agreed order, so that equal books hash alike.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::Xxh3;

use crate::engine::matching::Matching;
use crate::engine::rules::source::{Bands, BookSource, Mode, ParamSource, ParamValue, RuleSource, Scoring};

/// Before a part that only some books have. No length is as great, so no other content gives the same bytes; a book without such
/// parts hashes as it did before there were any.
const OPTIONAL: u64 = u64::MAX;

/// Changes exactly when the content does; the order of the rules does not matter.
pub fn hash(source: &BookSource) -> u64 {
    let BookSource { rules, lists, matching: numbers, scoring } = source;
    let mut by_id: Vec<&RuleSource> = rules.iter().collect();
    by_id.sort_by(|a, b| a.id.cmp(&b.id));
    let mut hasher = Xxh3::new();
    for source in by_id {
        rule(&mut hasher, source);
    }
    if !lists.is_empty() {
        optional(&mut hasher, "lists");
        length(&mut hasher, lists.len());
        for (name, list) in lists {
            text(&mut hasher, name);
            texts(&mut hasher, list.values());
        }
    }
    if *numbers != Matching::default() {
        optional(&mut hasher, "matching");
        matching(&mut hasher, numbers);
    }
    sum(&mut hasher, *scoring);
    hasher.digest()
}

/// What one rule says, its mode aside.
pub fn rule_content(source: &RuleSource) -> u64 {
    let mut hasher = Xxh3::new();
    rule(&mut hasher, &RuleSource { mode: Mode::Live, ..source.clone() });
    hasher.digest()
}

/// Each part of a book by its name, with what it says: rules by their ids, lists, `matching.yaml`, `book.yaml`.
pub fn parts(source: &BookSource) -> BTreeMap<Box<str>, u64> {
    let BookSource { rules, lists, matching: numbers, scoring } = source;
    let hashed = |name: String, write: &dyn Fn(&mut Xxh3)| {
        let mut hasher = Xxh3::new();
        write(&mut hasher);
        (Box::from(name), hasher.digest())
    };
    let rules = rules.iter().map(|source| hashed(source.id.to_string(), &|hasher| rule(hasher, source)));
    let lists = lists.iter().map(|(name, list)| hashed(format!("lists/{name}.csv"), &|hasher| texts(hasher, list.values())));
    let others = [
        hashed("matching.yaml".to_owned(), &|hasher| matching(hasher, numbers)),
        hashed("book.yaml".to_owned(), &|hasher| sum(hasher, *scoring)),
    ];
    rules.chain(lists).chain(others).collect()
}

fn sum(hasher: &mut Xxh3, scoring: Scoring) {
    if let Scoring::Sum(Bands { flag, refer }) = scoring {
        optional(hasher, "sum");
        for bound in [flag, refer] {
            hasher.update(&bound.to_bits().to_le_bytes());
        }
    }
}

fn optional(hasher: &mut Xxh3, part: &str) {
    hasher.update(&OPTIONAL.to_le_bytes());
    text(hasher, part);
}

fn matching(hasher: &mut Xxh3, matching: &Matching) {
    for (name, number) in matching.numbers() {
        text(hasher, &name);
        hasher.update(&number.to_bits().to_le_bytes());
    }
    texts(hasher, &matching.frequent_surnames);
}

fn rule(hasher: &mut Xxh3, source: &RuleSource) {
    let RuleSource {
        id,
        version,
        title,
        owner,
        mode,
        reason_code,
        params,
        when,
        then,
        priority,
        products,
        tenants,
        applicant,
        underwriter,
        score,
        always,
        critical,
        referred_pct_max,
    } = source;
    let (ru, en) = applicant.as_ref().map_or(("", ""), |applicant| (&*applicant.ru, &*applicant.en));
    for part in [id, title, owner, reason_code, when, ru, en, underwriter] {
        text(hasher, part);
    }
    for part in [mode.name(), then.name()] {
        text(hasher, part);
    }
    hasher.update(&version.to_le_bytes());
    hasher.update(&priority.to_le_bytes());
    texts(hasher, products);
    texts(hasher, tenants);
    length(hasher, params.len());
    for (name, ParamSource { value, min, max, sweep }) in params {
        text(hasher, name);
        for list in [std::slice::from_ref(value), min.as_slice(), max.as_slice(), sweep] {
            length(hasher, list.len());
            list.iter().for_each(|value| param(hasher, *value));
        }
    }
    for (name, number) in [("score", score), ("referred_pct_max", referred_pct_max)] {
        if let Some(number) = number {
            optional(hasher, name);
            hasher.update(&number.to_bits().to_le_bytes());
        }
    }
    for (name, is_set) in [("always", always), ("critical", critical)] {
        if *is_set {
            optional(hasher, name);
        }
    }
}

/// Lengths go first, so that neighbouring texts cannot trade letters.
fn text(hasher: &mut Xxh3, text: &str) {
    length(hasher, text.len());
    hasher.update(text.as_bytes());
}

fn texts(hasher: &mut Xxh3, list: &[Box<str>]) {
    length(hasher, list.len());
    list.iter().for_each(|item| text(hasher, item));
}

fn length(hasher: &mut Xxh3, length: usize) {
    hasher.update(&(length as u64).to_le_bytes());
}

fn param(hasher: &mut Xxh3, value: ParamValue) {
    text(hasher, value.type_name());
    match value {
        ParamValue::Int(value) | ParamValue::Duration(value) => hasher.update(&value.to_le_bytes()),
        ParamValue::Double(value) => hasher.update(&value.to_bits().to_le_bytes()),
    }
}
