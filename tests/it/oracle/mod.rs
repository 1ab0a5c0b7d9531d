//! An independent oracle: quadratic, without an index or a state, it knows the final decision on every quote of a history.

pub mod history;
pub mod judge;
mod levels;
mod owner;
pub mod random;
pub mod rulings;
pub mod run;
mod walk;

use std::collections::BTreeMap;

use quoteguard::engine::decision::Decision;
use quoteguard::engine::field::Field;
use quoteguard::engine::limits::LINKED_SHOWN_MAX;
use quoteguard::engine::time::MINUTE;

use history::{arrivals, history};
use judge::{Final, Logged, judge_all};
use run::{Run, book};

pub fn said(decision: &Decision) -> Final {
    Final {
        verdict: decision.verdict,
        reasons: decision.reasons.clone(),
        attempts: decision.attempts,
        suspicious_attempts: decision.suspicious_attempts,
        suspicion: decision.suspicion,
        features: decision.features.clone(),
        linked: decision.linked.clone(),
    }
}

/// Part by part, so that a failure shows what differs and not two long decisions.
pub fn assert_agree(engine: &Final, oracle: &Final, whose: &str) {
    assert_eq!(engine.linked, oracle.linked, "linked set of {whose}");
    assert_eq!(engine.features, oracle.features, "features of {whose}");
    assert_eq!(engine, oracle, "{whose}");
}

#[test]
fn final_decisions_are_those_of_the_oracle() {
    let book = book();
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..HISTORIES {
        let quotes = history(seed, 4 + (seed % 37) as usize);
        let mut run = Run::new(book.clone());
        for i in arrivals(seed, &quotes, 55 * MINUTE) {
            run.submit(&quotes[i]);
        }
        let logged: Vec<Logged> = quotes.iter().map(Logged::new).collect();
        for (id, expected) in judge_all(&logged, &book) {
            let got = &run.finals[&id];
            assert!(expected.linked.len() <= LINKED_SHOWN_MAX, "the histories stay below the bounds");
            assert_eq!(got.linked_total as usize, got.linked.len(), "seed {seed} {id:?}");
            assert_agree(&said(got), &expected, &format!("seed {seed} {id:?}"));
            *tally.entry(expected.verdict.name().to_owned()).or_default() += 1;
            *tally.entry("amended".to_owned()).or_default() += usize::from(got.revision > 1);
            for (feature, _) in &expected.features {
                *tally.entry(feature.clone()).or_default() += 1;
            }
        }
        assert_eq!(run.finals.len(), quotes.len(), "seed {seed}");
    }
    let facts = Field::ALL.into_iter().filter(|field| field.is_fact());
    let variants = facts.map(|field| format!("variants.{}", field.name().rsplit('.').next().unwrap_or_default()));
    for met in MET.map(str::to_owned).into_iter().chain(variants) {
        let times = tally.get(&met).copied().unwrap_or_default();
        assert!(times >= TIMES_MIN, "`{met}` was compared {times} times only: {tally:#?}");
    }
}

const HISTORIES: u64 = 2_000;

/// How often each of them is compared at least; the rarest is met about 2,200 times.
const TIMES_MIN: usize = 500;

/// Verdicts, amendments and features that say nothing of one field.
const MET: [&str; 15] = [
    "accept",
    "flag",
    "refer",
    "amended",
    "address_applicants",
    "disguises",
    "fresh_source",
    "known_form",
    "oscillations",
    "premium_drop_pct",
    "rightful_owner",
    "same_source_suspicious",
    "seconds_since_first",
    "source_applicants",
    "sources",
];
