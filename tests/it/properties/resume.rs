//! Killed and resumed equals whole, from the deltas of its history and from those of an export.

use std::sync::Arc;

use quoteguard::engine::decide::{Prepared, decide};
use quoteguard::engine::decision::Flag;
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

/// Over a cap, with amendments, expiry, two rule books and offsets with gaps, as a shared log has them.
#[test]
fn a_state_loaded_from_an_export_goes_on_as_if_it_were_the_one_exported() {
    let (mut truncated, mut amended, mut empty) = (0, 0, 0);
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
                Input::RuleBook { position, book: book().reference() }
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
                assert_eq!(
                    (other.next_offset(), other.arrivals(), other.books()),
                    (offset, run.state.arrivals(), run.state.books())
                );
            }
            truncated += whole.decisions.iter().filter(|decision| decision.flags.has(Flag::Truncated)).count();
            amended += whole.decisions.len().saturating_sub(1);
            if random.percent(15) || n == 0 {
                let stored = exported(&run.state);
                empty += usize::from(stored.is_empty());
                let mut fresh = State::new(settings.clone());
                fresh.restore(run.state.next_offset(), run.state.arrivals(), run.state.books().to_vec());
                load(&mut fresh, &stored);
                other = Some(fresh);
            }
        }
    }
    assert!(truncated > 300 && amended > 300, "{truncated} decisions cut by the cap, {amended} amended, {empty} empty");
}
