//! Backtest = production: what a candidate says beside another book is what a whole run under it alone decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use quoteguard::engine::beside::{Beside, Candidates, Trial};
use quoteguard::engine::decide::{Prepared, decide_beside};
use quoteguard::engine::decision::{Decision, Verdict};
use quoteguard::engine::rules::{RuleBook, RuleSource};
use quoteguard::engine::rulings::RulingKind;
use quoteguard::engine::step::{ArrivalClock, Input, LoggedQuote};
use quoteguard::engine::time::ArrivalTime;

use super::LATE;
use super::rulings::{control, rulings};
use crate::oracle::history::{arrivals, history};
use crate::oracle::random::Random;
use crate::oracle::run::{Run, book, book_within};

/// Verdict, rules, attempts, suspicious attempts, suspicion.
type Said = (Verdict, Vec<Box<str>>, u32, u32, f64);

fn tried(trial: &Trial, book: &RuleBook) -> Said {
    let rules = trial.live.iter().map(|hit| book.live_rule(*hit).id.clone()).collect();
    (trial.verdict, rules, trial.attempts, trial.suspicious_attempts, trial.suspicion)
}

fn decided(decision: &Decision) -> Said {
    let rules = decision.reasons.iter().map(|reason| reason.rule.clone()).collect();
    (decision.verdict, rules, decision.attempts, decision.suspicious_attempts, decision.suspicion)
}

/// Two that look back as far as the book in force, three that do not.
fn candidates() -> Vec<Arc<RuleBook>> {
    let stricter = |source: &RuleSource| RuleSource {
        when: source.when.replace(">= 2 ", ">= 1 ").replace(r#""168h""#, r#""36h""#).into(),
        ..source.clone()
    };
    let stricter = RuleBook::build(7, book().rules().map(stricter).collect::<Vec<_>>()).expect("sound rules");
    vec![book(), book_within("168h"), Arc::new(stricter), book_within("48h"), Arc::new(RuleBook::empty())]
}

/// One whole run under a candidate, and what was said of it beside the book in force.
struct Alone {
    book: Arc<RuleBook>,
    run: Run,
    /// By offset.
    beside: BTreeMap<u64, Said>,
}

#[test]
fn a_candidate_says_what_a_run_under_it_alone_decides() {
    let (mut amended, mut late_answers) = (0, 0);
    for seed in 0..150 {
        let quotes = history(seed, 30);
        let books = candidates();
        let together = Candidates::new(&books);
        let mut main = Run::new(book_within("96h"));
        let mut plain = Run::new(book_within("96h"));
        let alone = |book: &Arc<RuleBook>| Alone { book: book.clone(), run: Run::new(book.clone()), beside: BTreeMap::new() };
        let mut alone: Vec<Alone> = books.iter().map(alone).collect();
        let random = &mut Random::new(seed);
        for (n, i) in arrivals(seed, &quotes, LATE).into_iter().enumerate() {
            if n % 8 == 7 {
                // A confirmed case has a reason of its own, which is no rule's.
                let mut ruled = rulings(&plain, n, random);
                ruled.retain(|ruling| ruling.kind != RulingKind::Confirmed);
                let input = control(main.next(), ruled);
                let delta = decide_beside(&main.state, &input, &main.books, &together).expect("needs no book").0.delta;
                main.state.apply(&delta).expect("a delta fits");
                plain.step(&input);
                alone.iter_mut().for_each(|one| drop(one.run.step(&input)));
            }
            let prepared = Arc::new(Prepared::new(&quotes[i]));
            let position = main.next();
            let input = Input::Quote(LoggedQuote { position, arrival: ArrivalTime(0), clock: ArrivalClock::Event, prepared });
            let (step, beside) = decide_beside(&main.state, &input, &main.books, &together).expect("every book is held");
            main.state.apply(&step.delta).expect("a delta fits");
            assert_eq!(step.decisions, plain.step(&input).decisions, "seed {seed}: candidates change nothing");
            for (number, one) in alone.iter_mut().enumerate() {
                let at = format!("seed {seed}, offset {}, candidate {number}", position.offset);
                amended += follow(one, number, &input, &beside, &at);
            }
            late_answers += beside.as_newest.iter().zip(&beside.own).filter(|(new, own)| new.verdict > own.verdict).count();
        }
        for one in &alone {
            let finals = one.run.finals.values().map(|decision| (decision.position.offset, decided(decision)));
            assert_eq!(finals.collect::<BTreeMap<_, _>>(), one.beside, "seed {seed}");
        }
    }
    assert!(amended > 1_000 && late_answers > 100, "{amended} amendments, {late_answers} answers stricter than the decision");
}

/// One step of the run alone; how many decisions it amended.
fn follow(one: &mut Alone, number: usize, input: &Input, beside: &Beside, at: &str) -> usize {
    let whole = one.run.step(input);
    let Some(own) = whole.decisions.first() else {
        assert_eq!(*beside, Beside::default(), "{at}");
        return 0;
    };
    assert_eq!(beside.answer(number), own.answer, "{at}");
    one.beside.insert(own.position.offset, tried(&beside.own[number], &one.book));
    for redecided in beside.redecided.iter().filter(|redecided| redecided.candidate == number) {
        one.beside.insert(redecided.offset, tried(&redecided.trial, &one.book));
    }
    for decision in &whole.decisions {
        assert_eq!(one.beside[&decision.position.offset], decided(decision), "{at}");
    }
    whole.decisions.len() - 1
}
