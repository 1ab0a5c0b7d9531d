//! Killed and resumed equals whole, from the deltas of its history and from those of an export.

use std::collections::BTreeMap;
use std::sync::Arc;

use quoteguard::contract::decision::{DecisionV1, VerdictV1, write_decision};
use quoteguard::engine::decide::{Prepared, decide, restate};
use quoteguard::engine::decision::{Decision, Flag};
use quoteguard::engine::delta::Delta;
use quoteguard::engine::quote::Position;
use quoteguard::engine::state::{Settings, State};
use quoteguard::engine::step::{ArrivalClock, Input, LoggedQuote, Step};
use quoteguard::engine::time::ArrivalTime;

use super::LATE;
use crate::oracle::history::{arrivals, history};
use crate::oracle::random::Random;
use crate::oracle::run::{Run, book, book_within};

/// What a checkpoint holds: every delta, encoded, one after another.
fn resumed(settings: &Settings, stored: &[u8]) -> State {
    let mut state = State::new(settings.clone());
    load(&mut state, stored);
    state
}

fn load(state: &mut State, stored: &[u8]) {
    let mut rest = stored;
    while !rest.is_empty() {
        state.load(&Delta::decode(&mut rest).expect("what was encoded decodes"));
    }
    state.loaded();
}

fn assert_equal(whole: &Step, resumed: &Step, whose: &str) {
    assert_eq!(format!("{:?}", whole.outcome), format!("{:?}", resumed.outcome), "{whose}");
    assert_eq!(whole.decisions, resumed.decisions, "{whose}");
    assert_eq!(whole.delta, resumed.delta, "{whose}");
}

#[test]
fn a_killed_run_goes_on_as_if_nothing_had_happened() {
    let week = 7 * 24 * 3600;
    for seed in 0..150 {
        let random = &mut Random::new(seed);
        let quotes = history(seed, 40);
        let (max_live_attempts, max_live_bytes) =
            [(15, usize::MAX), (usize::MAX, 18_000), (usize::MAX, usize::MAX)][seed as usize % 3];
        let settings = Settings { max_live_attempts, max_live_bytes, retention_secs: week, ..Settings::default() };
        let mut run = Run::with(book_within("168h"), settings.clone());
        run.books.add(book());
        let mut stored = Vec::new();
        let first = Delta { from: 0, to: 1, rule_book: Some(book_within("168h").reference()), ..Delta::default() };
        first.encode(&mut stored);
        let mut other = resumed(&settings, &stored);
        for (n, i) in arrivals(seed, &quotes, LATE).into_iter().enumerate() {
            if random.percent(15) {
                other = resumed(&settings, &stored);
            }
            let input = Input::Quote(LoggedQuote {
                position: run.next(),
                arrival: ArrivalTime(0),
                clock: ArrivalClock::Event,
                prepared: Arc::new(Prepared::new(&quotes[i])),
            });
            let again = decide(&other, &input, &run.books).expect("every book is held");
            let whole = run.step(&input);
            assert_equal(&whole, &again, &format!("seed {seed} record {n}"));
            again.delta.encode(&mut stored);
            other.apply(&again.delta).expect("the delta follows");
            assert_eq!(other.digest(), run.state.digest(), "seed {seed} record {n}");
            assert_eq!((other.next_offset(), other.arrivals()), (run.state.next_offset(), run.state.arrivals()));
            assert_eq!(other.live_attempts(), run.state.live_attempts(), "seed {seed} record {n}");
            assert_eq!(other.live_bytes(), run.state.live_bytes(), "seed {seed} record {n}");
        }
    }
}

/// What a checkpoint written anew holds.
fn exported(state: &State) -> Vec<u8> {
    let mut stored = Vec::new();
    let mut next = None;
    for delta in state.export() {
        assert!(next.is_none_or(|next| next == delta.from) && delta.from < delta.to, "one delta ends where the next begins");
        next = Some(delta.to);
        delta.encode(&mut stored);
    }
    assert!(next.is_none_or(|next| next == state.next_offset()));
    stored
}

/// Over a cap, with amendments, expiry, two rule books and offsets with gaps, as a shared log has them; the books that it no longer
/// needs are forgotten.
#[test]
fn a_state_loaded_from_an_export_goes_on_as_if_it_were_the_one_exported() {
    let (mut truncated, mut amended, mut empty, mut forgotten) = (0, 0, 0, 0);
    for seed in 0..150 {
        let random = &mut Random::new(seed);
        let quotes = history(seed, 40);
        let (max_live_attempts, max_live_bytes) =
            [(15, usize::MAX), (usize::MAX, 18_000), (usize::MAX, usize::MAX)][seed as usize % 3];
        let week = 7 * 24 * 3600;
        let settings = Settings { max_live_attempts, max_live_bytes, retention_secs: week, ..Settings::default() };
        let mut run = Run::with(book_within("168h"), settings.clone());
        run.books.add(book());
        let mut other: Option<State> = None;
        let mut offset = run.state.next_offset();
        for (n, i) in arrivals(seed, &quotes, LATE).into_iter().enumerate() {
            let whose = format!("seed {seed} record {n}");
            offset += random.below(4) as u64;
            let position = Position { partition: 0, offset };
            let input = if n == 20 {
                Input::Control { position, book: Some(book().reference()), rulings: Vec::new() }
            } else {
                let prepared = Arc::new(Prepared::new(&quotes[i]));
                Input::Quote(LoggedQuote { position, arrival: ArrivalTime(0), clock: ArrivalClock::Event, prepared })
            };
            offset += 1;
            let whole = run.step(&input);
            if let Some(other) = &mut other {
                let again = decide(other, &input, &run.books).expect("every book is held");
                assert_equal(&whole, &again, &whose);
                other.apply(&again.delta).expect("the delta follows");
                let told = |state: &State| (state.digest(), state.live_attempts(), state.live_bytes(), state.look_back_secs());
                assert_eq!(told(other), told(&run.state), "{whose}");
                assert_eq!((other.next_offset(), other.arrivals()), (offset, run.state.arrivals()));
                assert!(run.state.books().ends_with(other.books()) && !other.books().is_empty(), "{whose}");
            }
            truncated += whole.decisions.iter().filter(|decision| decision.flags.has(Flag::Truncated)).count();
            amended += whole.decisions.len().saturating_sub(1);
            if random.percent(15) || n == 0 {
                let stored = exported(&run.state);
                empty += usize::from(stored.is_empty());
                let mut fresh = State::new(settings.clone());
                fresh.restore(run.state.next_offset(), run.state.arrivals(), run.state.books().to_vec());
                load(&mut fresh, &stored);
                fresh.forget_books();
                forgotten += run.state.books().len() - fresh.books().len();
                other = Some(fresh);
            }
        }
    }
    assert!(truncated > 300 && amended > 300, "{truncated} decisions cut by the cap, {amended} amended, {empty} empty");
    assert!(forgotten > 10, "{forgotten} books forgotten");
}

/// A duplicate is told what was told last: nothing of it is held but the evidence and what stands.
#[test]
fn what_stands_is_restated_byte_for_byte() {
    let json = |decision: &Decision| {
        let mut json = Vec::new();
        write_decision(decision, &mut json);
        String::from_utf8(json).expect("text")
    };
    let (mut compared, mut amended, mut expired) = (0, 0, 0);
    for seed in 0..60 {
        let quotes = history(seed, 40);
        // A history is longer than a week.
        let (days, window) = if seed % 2 == 0 { (7, "168h") } else { (90, "720h") };
        let settings = Settings { retention_secs: days * 24 * 3600, ..Settings::default() };
        let mut run = Run::with(book_within(window), settings.clone());
        let mut last = BTreeMap::new();
        for i in arrivals(seed, &quotes, LATE) {
            let position = Position { partition: 0, offset: run.state.next_offset() };
            let prepared = Arc::new(Prepared::new(&quotes[i]));
            let quote = LoggedQuote { position, arrival: ArrivalTime(0), clock: ArrivalClock::Event, prepared };
            for decision in run.step(&Input::Quote(quote)).decisions {
                last.insert((decision.tenant.clone(), decision.quote_id.clone()), json(&decision));
            }
        }
        let mut anew = State::new(settings);
        anew.restore(run.state.next_offset(), run.state.arrivals(), run.state.books().to_vec());
        load(&mut anew, &exported(&run.state));
        for ((tenant, quote_id), emitted) in &last {
            for state in [&run.state, &anew] {
                let stands = restate(state, &run.books, tenant, quote_id).expect("every book is held");
                let Some(stands) = stands else { continue };
                if days == 7 && stands.flags.has(Flag::Truncated) && json(&stands) != *emitted {
                    let before: DecisionV1 = serde_json::from_str(emitted).expect("a decision");
                    let verdicts = (VerdictV1::from(stands.verdict), VerdictV1::from(stands.answer));
                    assert_eq!(verdicts, (before.decision, before.answer), "seed {seed} {quote_id}");
                    expired += 1;
                    continue;
                }
                assert_eq!(json(&stands), *emitted, "seed {seed} {quote_id}");
                compared += 1;
                amended += usize::from(stands.cause.is_some());
            }
        }
    }
    assert!(
        compared > 2_000 && amended > 100 && expired > 10,
        "{compared} compared, {amended} of them amended, {expired} expired"
    );
}
