//! What the generator promises: the same bytes for a seed, every kind and class, true labels, valid lines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;

use loadtest::calendar::{DAY_MS, START_MS, parse_rfc3339};
use loadtest::generate::{Record, release, write};
use loadtest::plan::{Config, Mix};
use loadtest::truth::{Class, Kind, Truth};

use crate::contract;

const SEED: u64 = 20_261_101;

fn records(config: &Config) -> Vec<Record> {
    let mut out = Vec::new();
    release(config, |record| {
        out.push(record);
        Ok(())
    })
    .expect("nothing is written, so nothing fails");
    out
}

/// The workload that most tests read: 50,000 quotes of the normal mix.
static NORMAL: LazyLock<Vec<Record>> =
    LazyLock::new(|| records(&Config { seed: SEED, quotes: 50_000, mix: Mix::Normal, days: 30, tenants: 0 }));

/// The labelled quotes of [`NORMAL`] as a reader of the wire sees them.
static LABELLED: LazyLock<Vec<(Value, Truth)>> = LazyLock::new(|| {
    let read = |record: &Record| Some((serde_json::from_str(&record.quote).expect("a line is JSON"), record.truth.clone()?));
    NORMAL.iter().filter_map(read).collect()
});

fn labels(records: &[Record]) -> impl Iterator<Item = &Truth> {
    records.iter().filter_map(|record| record.truth.as_ref())
}

fn share(records: &[Record], of: impl Fn(&Truth) -> bool) -> f64 {
    labels(records).filter(|label| of(label)).count() as f64 / records.len() as f64
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_seed_others() {
    let files = |seed| {
        let (mut quotes, mut truth) = (Vec::new(), Vec::new());
        write(&Config { seed, quotes: 3_000, mix: Mix::Stress, days: 30, tenants: 0 }, &mut quotes, &mut truth)
            .expect("memory takes it");
        (quotes, truth)
    };
    assert!(files(7) == files(7));
    assert!(files(7).0 != files(8).0);
}

#[test]
fn the_number_of_quotes_is_exact_and_memory_holds_small_workloads_too() {
    for (quotes, days) in [(1, 30), (2_000, 1), (12_345, 7)] {
        let records = records(&Config { seed: SEED, quotes, mix: Mix::Stress, days, tenants: 0 });
        assert_eq!(records.len(), quotes);
        let end = START_MS + i64::from(days) * DAY_MS;
        assert!(labels(&records).all(|label| (START_MS..=end).contains(&label.at_ms)), "an event time outside the {days} days");
    }
}

#[test]
fn every_kind_and_class_is_there() {
    let kinds: BTreeSet<&str> = labels(&NORMAL).filter(|label| label.manipulated).map(|label| label.kind.as_str()).collect();
    let classes: BTreeSet<&str> = labels(&NORMAL).map(|label| label.class.name()).collect();
    for kind in Kind::ALL {
        assert!(kinds.contains(kind.name()), "no {} with seed {SEED}", kind.name());
    }
    for class in Class::ALL {
        assert!(classes.contains(class.name()), "no {} with seed {SEED}", class.name());
    }
}

#[test]
fn the_mix_keeps_its_shares() {
    let stress = records(&Config { seed: SEED, quotes: 50_000, mix: Mix::Stress, days: 30, tenants: 0 });
    let corrections = [Class::HonestCorrection, Class::HonestCorrectionTwice];
    for (name, measured, expected) in [
        ("single", share(&NORMAL, |l| l.class == Class::Single), 0.55),
        ("requote", share(&NORMAL, |l| l.class == Class::Requote), 0.30),
        ("corrections", share(&NORMAL, |l| corrections.contains(&l.class)), 0.06),
        ("confounders", share(&NORMAL, |l| Class::CONFOUNDERS.contains(&l.class)), 0.06),
        ("manipulated", share(&NORMAL, |l| l.manipulated), 0.03),
        ("manipulated under stress", share(&stress, |l| l.manipulated), 0.10),
    ] {
        assert!((measured - expected).abs() < 0.005, "{name}: {measured:.4} instead of {expected}");
    }
}

#[test]
fn every_line_keeps_the_contract() {
    let of = |mix| records(&Config { seed: SEED, quotes: 2_000, mix, days: 30, tenants: 0 });
    let loads = [Mix::Attack, Mix::HotBlock, Mix::KeyFlood].map(of);
    for record in NORMAL.iter().chain(loads.iter().flatten()) {
        let faults = contract::faults(&record.quote);
        assert!(faults.is_empty(), "{faults:?} in {}", record.quote);
    }
}

#[test]
fn the_mixes_for_load_are_what_they_are_called() {
    let of = |mix| records(&Config { seed: SEED, quotes: 5_000, mix, days: 30, tenants: 0 });
    let attack = of(Mix::Attack);
    let manipulated = share(&attack, |label| label.manipulated);
    assert!((manipulated - 0.5).abs() < 0.03, "{manipulated}");
    // How many quotes have the field, and how many values it takes.
    let values = |records: &[Record], pointer: &str| {
        let value = |record: &Record| serde_json::from_str::<Value>(&record.quote).ok()?.pointer(pointer).map(Value::to_string);
        let all: Vec<String> = records.iter().filter_map(value).collect();
        (all.len(), all.iter().collect::<BTreeSet<_>>().len())
    };
    let hot = of(Mix::HotBlock);
    for pointer in ["/channel/device_id", "/channel/session_id", "/channel/ip", "/policyholder/address/street"] {
        assert_eq!(values(&hot, pointer).1, 1, "{pointer}");
    }
    let flood = of(Mix::KeyFlood);
    for pointer in ["/policyholder/id_document", "/vehicle/vin", "/channel/device_id"] {
        let (given, different) = values(&flood, pointer);
        assert!(given > 1_000 && different * 100 >= given * 99, "{pointer}: {different} of {given}");
    }
}

/// The facts of a wire quote as text: what makes one version differ from another.
fn facts(quote: &Value) -> String {
    format!("{}|{}|{}", quote["policyholder"], quote["drivers"], quote["vehicle"])
}

#[test]
fn suspicious_attempts_are_distinct_versions_on_the_wire() {
    let mut versions: BTreeMap<String, (BTreeSet<String>, u32)> = BTreeMap::new();
    let mut checked = 0;
    for (quote, label) in LABELLED.iter() {
        assert_eq!(quote["quote_id"], label.quote_id.as_str());
        assert_eq!(label.manipulated, label.class == Class::Manipulated);
        let kind = Kind::parse(&label.kind);
        let counts = kind.is_some_and(|kind| kind.requotes_himself() || kind == Kind::CopyVictim);
        if !counts {
            assert_eq!(label.suspicious, 0, "{label:?}");
        }
        let (seen, attempts) = versions.entry(label.episode.clone()).or_default();
        assert_eq!(label.attempt, *attempts, "attempts are not counted in order of arrival: {label:?}");
        *attempts += 1;
        if counts {
            seen.insert(facts(quote));
            assert_eq!(label.suspicious as usize, seen.len() - 1, "{label:?}");
            checked += 1;
        }
    }
    assert!(checked > 800, "only {checked} attempts of pickers");
}

#[test]
fn pickers_make_enough_attempts_and_gain_by_them() {
    let mut episodes: BTreeMap<&str, (u32, Vec<u64>)> = BTreeMap::new();
    let pickers = |(_, label): &&(Value, Truth)| Kind::parse(&label.kind).is_some_and(Kind::requotes_himself);
    for (quote, label) in LABELLED.iter().filter(pickers) {
        let (most, premiums) = episodes.entry(&label.episode).or_default();
        *most = label.suspicious.max(*most);
        premiums.push(quote["premium"].as_u64().unwrap_or(0));
    }
    let all = episodes.len() as f64;
    let long = episodes.values().filter(|(most, _)| (3..=8).contains(most)).count() as f64 / all;
    let cheaper = episodes.values().filter(|(_, premiums)| premiums.iter().min() < premiums.first()).count() as f64 / all;
    assert!(long > 0.9, "{long:.3} of the episodes have 3 to 8 suspicious attempts");
    assert!(cheaper > 0.75, "in {cheaper:.3} of the episodes the price fell");
}

#[test]
fn honest_people_make_slips_at_honest_rates() {
    let wrong_at_first = |class: Class| {
        let mut first: BTreeMap<&str, String> = BTreeMap::new();
        let mut changed: BTreeSet<&str> = BTreeSet::new();
        for (quote, label) in LABELLED.iter().filter(|(_, label)| label.class == class) {
            let birth = quote["policyholder"]["birth_date"].to_string();
            if first.entry(&label.actor).or_insert_with(|| birth.clone()) != &birth {
                changed.insert(&label.actor);
            }
        }
        changed.len() as f64 / first.len() as f64
    };
    let requote = wrong_at_first(Class::Requote);
    assert!((0.005..0.05).contains(&requote), "{requote:.4} of the re-quoting show two birth dates");
    assert_eq!(wrong_at_first(Class::ComparisonShopper), 0.0);
}

#[test]
fn quotes_come_in_order_but_for_the_late_and_the_back_dated() {
    let mut newest = 0;
    let (mut late, mut back_dated) = (0, 0);
    for (quote, label) in LABELLED.iter() {
        assert_eq!(parse_rfc3339(quote["submitted_at"].as_str().unwrap_or_default()), Some(label.at_ms));
        let behind = newest - label.at_ms;
        newest = newest.max(label.at_ms);
        if label.kind == Kind::BackDater.name() {
            assert!(behind <= 600_000, "{behind} ms behind");
            back_dated += u32::from(behind > 0);
        } else {
            assert!(behind <= 20_000, "{behind} ms behind: {label:?}");
            late += u32::from(behind > 0);
        }
    }
    assert!(late > 50 && back_dated > 5, "{late} late, {back_dated} back-dated");
}

#[test]
fn a_back_dater_stamps_each_attempt_before_the_last() {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for label in labels(&NORMAL).filter(|label| label.kind == Kind::BackDater.name()) {
        if let Some(before) = last.insert(&label.episode, label.at_ms)
            && label.attempt > 1
        {
            assert!(label.at_ms < before, "{label:?}");
        }
    }
    assert!(!last.is_empty());
}

#[test]
fn victims_come_from_their_own_device_with_the_copied_data() {
    let mut poisoners: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let session = |quote: &Value| quote["channel"]["session_id"].to_string();
    for (quote, label) in LABELLED.iter().filter(|(_, label)| label.kind == Kind::CopyVictim.name()) {
        poisoners.entry(&label.actor).or_default().insert(session(quote));
    }
    let mut victims = 0;
    for (quote, label) in LABELLED.iter() {
        if let Some(poisoner) = label.victim_of.as_deref() {
            assert!(!poisoners[poisoner].contains(&session(quote)));
            victims += 1;
        }
    }
    assert!(victims > 0);
}

#[test]
fn the_control_of_the_flood_is_the_flooded_picker_apart() {
    let said = |kind: Kind| {
        let own = LABELLED.iter().filter(move |(_, label)| label.kind == kind.name());
        own.map(|(quote, label)| (label.at_ms, label.suspicious, facts(quote))).collect::<Vec<_>>()
    };
    assert!(!said(Kind::Flooding).is_empty());
    assert_eq!(said(Kind::Flooding), said(Kind::Unflooded));
    for (quote, label) in LABELLED.iter() {
        assert_eq!(quote["tenant"].is_string(), label.kind == Kind::Unflooded.name(), "{quote}");
    }
}

#[test]
fn the_incognito_leaves_his_source_behind() {
    let mut devices: BTreeMap<&str, Vec<(u32, String)>> = BTreeMap::new();
    for (quote, label) in LABELLED.iter().filter(|(_, label)| label.kind == Kind::Incognito.name()) {
        devices.entry(&label.actor).or_default().push((label.suspicious, quote["channel"]["session_id"].to_string()));
    }
    assert!(!devices.is_empty());
    for attempts in devices.values() {
        let early: BTreeSet<&str> = attempts.iter().filter(|(n, _)| *n < 4).map(|(_, session)| session.as_str()).collect();
        let mut late: Vec<&str> = attempts.iter().filter(|(n, _)| *n > 4).map(|(_, session)| session.as_str()).collect();
        assert!(late.iter().all(|session| !early.contains(session)), "{attempts:?}");
        late.sort_unstable();
        assert!(late.windows(2).all(|pair| pair[0] != pair[1]), "{attempts:?}");
    }
}

#[test]
fn retries_repeat_the_line_and_fan_outs_the_content() {
    let mut lines: BTreeMap<&str, u32> = BTreeMap::new();
    for record in NORMAL.iter() {
        *lines.entry(&record.quote).or_default() += 1;
    }
    let repeated: u32 = lines.values().map(|times| times - 1).sum();
    let unlabelled = NORMAL.iter().filter(|record| record.truth.is_none()).count();
    assert!(repeated > 0 && repeated as usize == unlabelled, "{repeated} repeated lines, {unlabelled} without a label");
}
