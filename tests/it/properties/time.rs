//! No `submitted_at` buys a price.

use std::sync::Arc;

use quoteguard::engine::decide::{Prepared, decide};
use quoteguard::engine::decision::Verdict;
use quoteguard::engine::quote::Quote;
use quoteguard::engine::step::{ArrivalClock, Input, LoggedQuote, Outcome};
use quoteguard::engine::time::{ArrivalTime, DAY, EventTime, HOUR, MINUTE, SECOND};

use crate::oracle::history::{history, seal};
use crate::oracle::judge::{Logged, judge_earlier, judge_newest};
use crate::oracle::run::{Run, book};

/// What the quote would be answered now, without its being logged; `None` when it is refused for its time.
fn answer(run: &Run, quote: &Quote, clock: ArrivalClock, arrival: i64) -> Option<Verdict> {
    let prepared = Arc::new(Prepared::new(quote));
    let logged = LoggedQuote { position: run.next(), arrival: ArrivalTime(arrival), clock, prepared };
    let step = decide(&run.state, &Input::Quote(logged), &run.books).expect("every book is held");
    match step.outcome {
        Outcome::Decided => Some(step.decisions[0].answer),
        Outcome::TooOld { .. } | Outcome::TimeJump { .. } => None,
        outcome => panic!("{outcome:?}"),
    }
}

/// Windows look back from the quote itself, so a time ahead of arrival moves their far edge by at most `max_skew`: histories in
/// which something lies there are left out for such times.
fn at_the_edge(quotes: &[Quote], now: i64) -> bool {
    let near = |length: &i64| quotes.iter().any(|q| (0..=2 * MINUTE).contains(&(q.submitted_at.0 - (now - length))));
    book().windows().iter().any(near)
}

#[test]
fn no_submission_time_is_answered_more_mildly_than_the_true_one() {
    let (mut referred, mut refused) = (0, 0);
    for seed in 0..200 {
        let mut quotes = history(seed, 24);
        let Some(last) = quotes.pop() else { continue };
        let now = quotes.last().map_or(0, |quote| quote.submitted_at.0);
        for clock in [ArrivalClock::Log, ArrivalClock::Stream, ArrivalClock::Event] {
            let mut run = Run::new(book());
            for quote in &quotes {
                run.submit_at(quote, clock, quote.submitted_at.0);
            }
            let claimed = |time: i64| seal(Quote { quote_id: "z".into(), submitted_at: EventTime(time), ..last.clone() });
            let honest = answer(&run, &claimed(now), clock, now).expect("the true time is in time");
            referred += usize::from(honest == Verdict::Refer);
            let back =
                [SECOND, 29 * SECOND, 30 * SECOND, 31 * SECOND, 10 * MINUTE, HOUR, 2 * HOUR, DAY, DAY + SECOND, 3_000 * DAY];
            let ahead = [SECOND, MINUTE, 2 * MINUTE, HOUR, 3_000 * DAY];
            let earlier = back.into_iter().map(|by| now - by).chain(quotes.iter().map(|quote| quote.submitted_at.0));
            // Under the event clock a later time is a later arrival: time has passed, for everybody.
            let later =
                ahead.into_iter().filter(|_| clock != ArrivalClock::Event && !at_the_edge(&quotes, now)).map(|by| now + by);
            for time in earlier.chain(later) {
                match answer(&run, &claimed(time), clock, now) {
                    Some(answer) => assert!(answer >= honest, "seed {seed} {clock:?}: {answer:?} by {} s", (time - now) / SECOND),
                    None => refused += 1,
                }
            }
        }
    }
    assert!(referred > 100 && refused > 1_000, "{referred} referred, {refused} refused");
}

/// The answer is the stricter of the quote's own decision and of the one it would get as the newest of all that arrived.
#[test]
fn the_answer_is_that_of_the_oracle() {
    let mut late = 0;
    for seed in 0..200 {
        let quotes = history(seed, 25);
        let mut run = Run::new(book());
        let mut arrived: Vec<Logged> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for i in crate::oracle::history::arrivals(seed, &quotes, super::LATE) {
            if !seen.insert(i) {
                continue;
            }
            let step = run.submit(&quotes[i]);
            let subject = Logged::new(&quotes[i]);
            let own = judge_earlier(&subject, &arrived, &book()).verdict;
            let newest = judge_newest(&subject, &arrived, &book()).verdict;
            late += usize::from(newest > own);
            assert_eq!(step.decisions[0].verdict, own, "seed {seed} {:?}", subject.id());
            assert_eq!(step.decisions[0].answer, own.max(newest), "seed {seed} {:?}", subject.id());
            arrived.push(subject);
        }
    }
    assert!(late > 100, "late quotes would have got a milder answer: {late}");
}
