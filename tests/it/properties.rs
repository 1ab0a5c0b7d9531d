//! The law of section 2 on the real engine: seeded histories, the seed in every message.

mod beside;
mod hostile;
mod resume;
mod rulings;
mod time;
mod volume;

use std::collections::BTreeMap;

use quoteguard::engine::decision::Flag;
use quoteguard::engine::quote::Quote;
use quoteguard::engine::state::Settings;
use quoteguard::engine::step::{ArrivalClock, Input, Outcome};
use quoteguard::engine::time::{DAY, EventTime, MINUTE};

use crate::oracle::assert_agree;
use crate::oracle::history::{START, arrivals, history, seal};
use crate::oracle::judge::{Final, Logged, judge_earlier};
use crate::oracle::run::{Id, Run, book, book_within, content};
use crate::oracle::said;

const LATE: i64 = 55 * MINUTE;

fn contents(run: &Run) -> BTreeMap<Id, String> {
    run.finals.iter().map(|(id, decision)| (id.clone(), content(decision))).collect()
}

fn run_in(order: &[usize], quotes: &[Quote]) -> Run {
    let mut run = Run::new(book());
    for i in order {
        run.submit(&quotes[*i]);
    }
    run
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let mut amended = 0;
    for seed in 0..300 {
        let quotes = history(seed, 30);
        let in_order = run_in(&(0..quotes.len()).collect::<Vec<_>>(), &quotes);
        for other in [seed + 10_000, seed + 20_000] {
            let run = run_in(&arrivals(other, &quotes, LATE), &quotes);
            assert_eq!(contents(&run), contents(&in_order), "seed {seed}, order {other}");
            assert_eq!(run.state.digest(), in_order.state.digest(), "seed {seed}, order {other}");
            amended += run.finals.values().filter(|decision| decision.revision > 1).count();
        }
    }
    assert!(amended > 1_000, "the orders differ enough to amend: {amended}");
}

/// Each quote keeps to its side of a change of rules; what comes late is decided again under the book of its own position.
#[test]
fn a_new_rule_book_rules_from_its_position_on() {
    let new = book_within("48h");
    for seed in 0..100 {
        let quotes = history(seed, 30);
        let order = arrivals(seed, &quotes, LATE);
        let before: Vec<usize> = order[..order.len() / 2].to_vec();
        let reference: Vec<usize> = arrivals(seed + 1, &quotes, LATE);
        let (first, second): (Vec<usize>, Vec<usize>) = reference.into_iter().partition(|i| before.contains(i));
        let mut finals = Vec::new();
        for order in [
            before.iter().copied().chain(order[order.len() / 2..].iter().copied()).collect::<Vec<_>>(),
            [first.clone(), second].concat(),
        ] {
            let change = if finals.is_empty() { before.len() } else { first.len() };
            let mut run = Run::new(book());
            run.books.add(new.clone());
            for (n, i) in order.iter().enumerate() {
                if n == change {
                    run.step(&Input::Control { position: run.next(), book: Some(new.reference()), rulings: Vec::new() });
                }
                run.submit(&quotes[*i]);
            }
            finals.push((contents(&run), run.state.digest()));
            let logged: Vec<Logged> = quotes.iter().map(Logged::new).collect();
            for (i, subject) in logged.iter().enumerate() {
                let book = if before.contains(&i) { book() } else { new.clone() };
                let expected = judge_earlier(subject, &logged, &book);
                assert_agree(&said(&run.finals[&subject.id()]), &expected, &format!("seed {seed} {:?}", subject.id()));
            }
        }
        assert_eq!(finals[0], finals[1], "seed {seed}");
    }
}

#[test]
fn a_duplicate_changes_nothing_and_an_id_is_never_reused() {
    for seed in 0..100 {
        let quotes = history(seed, 20);
        let mut run = run_in(&arrivals(seed, &quotes, LATE), &quotes);
        let (digest, live, arrival) = (run.state.digest(), run.state.live_attempts(), run.state.arrivals());
        for quote in &quotes {
            let expected = run.finals[&(quote.tenant.clone(), quote.quote_id.clone())].clone();
            let again = run.submit(quote);
            let Outcome::Duplicate(current) = again.outcome else { panic!("seed {seed}: {again:?}") };
            assert_eq!(
                (current.revision, current.verdict, current.answer),
                (expected.revision, expected.verdict, expected.answer)
            );
            assert_eq!((current.decision_id, current.position), (expected.decision_id, expected.position));
            let other = seal(Quote { premium: Some(1.0), ..quote.clone() });
            assert_eq!(run.submit(&other).outcome, Outcome::IdReused(current), "seed {seed}");
        }
        assert_eq!((run.state.digest(), run.state.live_attempts(), run.state.arrivals()), (digest, live, arrival), "seed {seed}");
    }
}

#[test]
fn tenants_never_mix() {
    for seed in 0..200 {
        let quotes = history(seed, 40);
        let order = arrivals(seed, &quotes, LATE);
        // Not the event clock: its largest jump is judged over all tenants together.
        let run_in = |order: &[usize]| {
            let mut run = Run::new(book());
            for i in order {
                run.submit_at(&quotes[*i], ArrivalClock::Stream, quotes[*i].submitted_at.0);
            }
            run
        };
        let mixed = run_in(&order);
        for tenant in ["default", "other"] {
            let alone: Vec<usize> = order.iter().copied().filter(|i| &*quotes[*i].tenant == tenant).collect();
            let mut expected = contents(&mixed);
            expected.retain(|(of, _), _| &**of == tenant);
            assert_eq!(contents(&run_in(&alone)), expected, "seed {seed} {tenant}");
        }
    }
}

/// What was held and has gone leaves no trace: numbers of slots, grown tables and pools do not enter a decision.
#[test]
fn a_used_state_decides_like_a_new_one() {
    for seed in 0..100 {
        let quotes = history(seed, 25);
        let mut old = history(seed + 50_000, 60);
        for (i, quote) in old.iter_mut().enumerate() {
            quote.submitted_at = EventTime(START - 60 * DAY + i as i64 * MINUTE);
            quote.quote_id = format!("old{i}").into();
        }
        let runs = [old, Vec::new()].map(|before| {
            let mut run = Run::new(book());
            for quote in before.iter().chain(&quotes) {
                run.submit_at(quote, ArrivalClock::Stream, quote.submitted_at.0);
            }
            run.finals.retain(|(_, id), _| !id.starts_with("old"));
            (contents(&run), run.state.digest(), run.state.live_attempts())
        });
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}

#[test]
fn expiry_takes_nothing_that_a_window_needs() {
    let mut expired = 0;
    for seed in 0..120 {
        let quotes = history(seed, 40);
        let mut run = Run::with(book_within("168h"), Settings { retention_secs: 7 * 24 * 3600, ..Settings::default() });
        for i in arrivals(seed, &quotes, LATE) {
            run.submit(&quotes[i]);
        }
        let logged: Vec<Logged> = quotes.iter().map(Logged::new).collect();
        for subject in &logged {
            let expected = judge_earlier(subject, &logged, &book_within("168h"));
            assert_agree(&said(&run.finals[&subject.id()]), &expected, &format!("seed {seed} {:?}", subject.id()));
        }
        let horizon = run.state.expiry_horizon().0.div_euclid(MINUTE);
        let live = quotes.iter().filter(|quote| quote.submitted_at.0.div_euclid(MINUTE) >= horizon).count();
        assert_eq!(run.state.live_attempts(), live, "seed {seed}");
        expired += quotes.len() - live;
    }
    assert!(expired > 1_000, "the histories outlive the retention: {expired}");
}

/// At a cap the oldest goes; a decision that does not say so is the whole truth.
#[test]
fn a_decision_cut_by_the_cap_says_so() {
    let (mut cut, mut whole) = (0, 0);
    for seed in 0..200 {
        let quotes = history(seed, 30);
        let (max_live_attempts, max_live_bytes) = if seed % 2 == 0 { (12, usize::MAX) } else { (usize::MAX, 15_000) };
        let mut run = Run::with(book(), Settings { max_live_attempts, max_live_bytes, ..Settings::default() });
        for quote in &quotes {
            run.submit(quote);
            assert!(run.state.live_attempts() <= max_live_attempts && run.state.live_bytes() <= max_live_bytes, "seed {seed}");
        }
        let logged: Vec<Logged> = quotes.iter().map(Logged::new).collect();
        for subject in &logged {
            let got = &run.finals[&subject.id()];
            if got.flags.has(Flag::Truncated) {
                cut += 1;
                continue;
            }
            whole += 1;
            let expected: Final = judge_earlier(subject, &logged, &book());
            assert_agree(&said(got), &expected, &format!("seed {seed} {:?}", subject.id()));
        }
    }
    assert!(cut > 1_000 && whole > 1_000, "{cut} cut, {whole} whole");
}
