//! The floods of [`super::hostile`] at full size, against the memory of the process: `make test-volume`.

use std::collections::BTreeMap;

use quoteguard::engine::state::Settings;
use quoteguard::engine::step::Gauges;

use super::hostile::{assert_bounded, at, flood, strange, stranger};
use crate::oracle::history::{history, seal};
use crate::oracle::random::Random;
use crate::oracle::run::{Id, Run, book, content};

/// The smallest table, and what the process needs beside the state, bytes.
const BESIDE: usize = 16 * 1024 * 1024;

/// Resident set of this process, bytes.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident set");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("kilobytes") * 1024
}

/// What an ordinary quote of the run was told, and what it cost: gathered, compared, decided again.
type Told = BTreeMap<Id, (String, Gauges)>;

/// Ordinary quotes spread over a flood of near-identical forms of somebody else; the state at the end.
fn ordinary_within(flood_quotes: usize) -> (Told, Run) {
    const ORDINARY: usize = 500;
    let random = &mut Random::new(1);
    let mut run = Run::new(book());
    let mut told = Told::new();
    // One town's history after another, each quote at its place in the flood's time.
    let mut ordinary = (0..).flat_map(|seed| history(seed, 10).into_iter().map(move |quote| (seed, quote)));
    for i in 0..100_000 {
        if i % (100_000 / ORDINARY) == 0
            && let Some((seed, mut quote)) = ordinary.next()
        {
            (quote.quote_id, quote.tenant) = (format!("o{seed}-{i}").into(), "default".into());
            quote.submitted_at = at(i);
            let step = run.submit(&seal(quote));
            let own = &step.decisions[0];
            told.insert((own.tenant.clone(), own.quote_id.clone()), (content(own), step.gauges));
            run.finals.clear();
        }
        if i < flood_quotes {
            let step = run.submit(&strange(flood(i, "vin", random)));
            assert_bounded(&step, "flood");
            run.finals.clear();
        }
    }
    (told, run)
}

/// A hundred thousand forms of one applicant: each takes the memory it is counted with, and nobody else is answered otherwise or has to
/// wait for more work than without them.
#[test]
#[ignore = "make test-volume"]
fn a_hundred_thousand_near_identical_quotes_change_nothing_for_others() {
    let (quiet, _) = ordinary_within(0);
    let before = resident_bytes();
    let (loud, run) = ordinary_within(100_000);
    let grown = resident_bytes().saturating_sub(before);
    let (held, counted) = (run.state.live_attempts(), run.state.live_bytes());
    println!("{held} attempts held: {grown} B resident, {counted} B counted");
    assert_eq!((held, loud.len()), (100_000 + quiet.len(), quiet.len()));
    for (id, expected) in &quiet {
        assert_eq!(&loud[id], expected, "{id:?}");
    }
    assert!(grown <= counted * 5 / 4 + BESIDE, "{grown} B resident, {counted} B counted");
}

/// A million keys, all different: the memory follows the cap on bytes, not the keys seen.
#[test]
#[ignore = "make test-volume"]
fn a_million_distinct_keys_are_held_up_to_the_cap() {
    const CAP: usize = 32_000_000;
    const KEYS: usize = 1_000_000;
    let random = &mut Random::new(3);
    let before = resident_bytes();
    let mut run = Run::with(book(), Settings { max_live_bytes: CAP, ..Settings::default() });
    let (mut keys, mut peak, mut i) = (0, 0, 0);
    while keys < KEYS * 2 {
        let step = run.submit(&stranger(i, random));
        // The name, the birth date and the town are the same in all.
        keys += step.delta.keys.len().saturating_sub(4);
        assert_bounded(&step, "distinct");
        run.finals.clear();
        i += 1;
        if i % 1_000 == 0 {
            peak = peak.max(resident_bytes());
        }
        assert!(run.state.live_bytes() <= CAP, "{} B after {i}", run.state.live_bytes());
    }
    let grown = peak.saturating_sub(before);
    println!("{keys} keys of {i} quotes, {} held: {grown} B resident, {CAP} B allowed", run.state.live_attempts());
    assert!(run.state.live_attempts() < i * 3 / 4, "the cap was reached");
    assert!(grown <= CAP * 5 / 4 + BESIDE, "{grown} B resident, {CAP} B allowed");
}
