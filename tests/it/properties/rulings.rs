//! What people ruled is an input like any other: in whatever order the quotes came, killed or not, the decisions are the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use quoteguard::engine::decide::{Prepared, decide};
use quoteguard::engine::decision::{Decision, ReferralId, Verdict};
use quoteguard::engine::delta::Delta;
use quoteguard::engine::quote::{Position, Quote};
use quoteguard::engine::rulings::{Ruling, RulingKind};
use quoteguard::engine::state::{Settings, State, id_hash};
use quoteguard::engine::step::{ArrivalClock, Input, LoggedQuote};
use quoteguard::engine::time::{ArrivalTime, DAY, EventTime, HOUR, MINUTE};

use super::{LATE, contents};
use crate::oracle::history::{START, arrivals, form, history, seal, text};
use crate::oracle::judge::{Logged, judge_under};
use crate::oracle::random::Random;
use crate::oracle::rulings::Ruled;
use crate::oracle::run::{Id, Run, book, book_within};
use crate::oracle::{assert_agree, said};

const RULES: [&str; 4] = ["steady", "near", "vins", "guest"];

pub(super) fn control(position: Position, rulings: Vec<Arc<Ruling>>) -> Input {
    Input::Control { position, book: None, rulings }
}

/// A ruling on a decided quote and those linked to it.
fn ruling(number: usize, of: &Decision, random: &mut Random) -> Ruling {
    let kind = match random.below(9) {
        0..=2 => RulingKind::Cleared,
        3..=4 => RulingKind::Confirmed,
        5 => RulingKind::Reopened,
        6 => RulingKind::ProofRequested,
        _ => RulingKind::Snooze { rule: random.pick(&RULES).into() },
    };
    let ids = of.linked.iter().map(|linked| &linked.quote_id).chain([&of.quote_id]);
    let until = of.event_time.0 + [HOUR, DAY, 20 * DAY, 90 * DAY][random.below(4)];
    Ruling {
        id: format!("r{number}").into(),
        tenant: of.tenant.clone(),
        case: Some(ReferralId(random.below(3) as u64)),
        kind,
        attempts: ids.map(|id| id_hash(&of.tenant, id)).collect(),
        until: EventTime(until),
        record: number as u64,
    }
}

/// Some rulings on what is decided so far.
pub(super) fn rulings(run: &Run, number: usize, random: &mut Random) -> Vec<Arc<Ruling>> {
    let decided: Vec<&Decision> = run.finals.values().collect();
    (0..1 + random.below(3)).map(|i| Arc::new(ruling(10 * number + i, decided[random.below(decided.len())], random))).collect()
}

/// Quotes by the stretch of the log they are in, with the rulings between.
struct Ordered {
    run: Run,
    ruled: Vec<Ruled>,
}

fn run_in(stretches: &[Vec<usize>], between: &[Vec<Arc<Ruling>>], quotes: &[Quote]) -> Ordered {
    let mut ordered = Ordered { run: Run::new(book()), ruled: Vec::new() };
    for (n, stretch) in stretches.iter().enumerate() {
        stretch.iter().for_each(|i| drop(ordered.run.submit(&quotes[*i])));
        for ruling in between.get(n).into_iter().flatten() {
            let at = ordered.run.next();
            ordered.ruled.push((at.offset, Ruling::clone(ruling)));
            ordered.run.step(&control(at, vec![ruling.clone()]));
        }
    }
    ordered
}

/// Each quote keeps to its side of every ruling.
#[test]
fn rulings_rule_from_their_position_on_whatever_the_order() {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..250 {
        let random = &mut Random::new(seed ^ 0x5EED);
        let quotes = history(seed, 36);
        let order = arrivals(seed, &quotes, LATE);
        let third = order.len() / 3;
        let stretches = [order[..third].to_vec(), order[third..2 * third].to_vec(), order[2 * third..].to_vec()];
        let mut between = Vec::new();
        for n in 1..stretches.len() {
            let so_far = run_in(&stretches[..n], &between, &quotes).run;
            between.push(rulings(&so_far, n, random));
        }
        let first = run_in(&stretches, &between, &quotes);
        let mut again = stretches.each_ref().map(|_| Vec::new());
        for i in arrivals(seed + 1, &quotes, LATE) {
            again[stretches.iter().position(|stretch| stretch.contains(&i)).expect("it is in one")].push(i);
        }
        let second = run_in(&again, &between, &quotes);
        assert_eq!(contents(&first.run), contents(&second.run), "seed {seed}");
        assert_eq!(first.run.state.digest(), second.run.state.digest(), "seed {seed}");
        let unruled = run_in(&stretches, &[], &quotes).run;
        agree(&second, &quotes, &unruled, &format!("seed {seed}"), &mut met);
    }
    for (what, least) in [("milder", 50), ("confirmed", 50), ("flagged", 10), ("changed", 300)] {
        assert!(met.get(what).is_some_and(|times| *times >= least), "{met:?}");
    }
}

/// With the oracle; and counts what the rulings did.
fn agree(ordered: &Ordered, quotes: &[Quote], unruled: &Run, whose: &str, met: &mut BTreeMap<&'static str, usize>) {
    let finals = &ordered.run.finals;
    let mut logged: Vec<Logged> = quotes.iter().map(Logged::new).collect();
    logged.iter_mut().for_each(|quote| quote.offset = finals[&quote.id()].position.offset);
    for subject in &logged {
        let got = &finals[&subject.id()];
        let expected = judge_under(subject, &logged, &book(), &ordered.ruled);
        assert_agree(&said(got), &expected, &format!("{whose} {:?}", subject.id()));
        let before = &unruled.finals[&subject.id()];
        let confirmed = got.reasons.iter().any(|reason| &*reason.rule == "confirmed-case");
        let mut count = |what, is: bool| *met.entry(what).or_default() += usize::from(is);
        count("milder", got.verdict < before.verdict);
        count("confirmed", confirmed && got.verdict == Verdict::Refer);
        count("flagged", confirmed && got.verdict == Verdict::Flag);
        count("changed", said(got) != said(before));
    }
}

/// Killed at any time, from every delta or from a checkpoint written anew, with what outlives the window beside it.
#[test]
fn a_killed_run_remembers_what_was_ruled() {
    for seed in 0..100 {
        let random = &mut Random::new(seed);
        let quotes = history(seed, 40);
        let settings = Settings { retention_secs: 7 * 24 * 3600, ..Settings::default() };
        let mut run = Run::with(book_within("168h"), settings.clone());
        let mut stored = Vec::new();
        Delta { from: 0, to: 1, rule_book: Some(book_within("168h").reference()), ..Delta::default() }.encode(&mut stored);
        let mut other = load(&settings, &stored, None);
        for (n, i) in arrivals(seed, &quotes, LATE).into_iter().enumerate() {
            if random.percent(15) {
                other = load(&settings, &stored, None);
            } else if random.percent(15) {
                let mut exported = Vec::new();
                run.state.export().for_each(|delta| delta.encode(&mut exported));
                other = load(&settings, &exported, Some(&run.state));
            }
            let position = run.next();
            let input = if n % 6 == 5 {
                let mut ruled = rulings(&run, n, random);
                if random.percent(30) {
                    let erased = Ruling { kind: RulingKind::Erased, case: None, ..Ruling::clone(&ruled[0]) };
                    ruled[0] = Arc::new(Ruling { attempts: erased.attempts.iter().take(2).copied().collect(), ..erased });
                }
                control(position, ruled)
            } else {
                let prepared = Arc::new(Prepared::new(&quotes[i]));
                Input::Quote(LoggedQuote { position, arrival: ArrivalTime(0), clock: ArrivalClock::Event, prepared })
            };
            let again = decide(&other, &input, &run.books).expect("every book is held");
            let whole = decide(&run.state, &input, &run.books).expect("every book is held");
            assert_eq!((&whole.decisions, &whole.delta), (&again.decisions, &again.delta), "seed {seed} record {n}");
            whole.delta.encode(&mut stored);
            run.state.apply(&whole.delta).expect("it follows");
            whole.decisions.iter().for_each(|d| drop(run.finals.insert((d.tenant.clone(), d.quote_id.clone()), d.clone())));
            other.apply(&again.delta).expect("it follows");
            let held = |state: &State| state.rulings().iter().map(|(place, r)| (place, r.clone())).collect::<Vec<_>>();
            assert_eq!(held(&other), held(&run.state), "seed {seed} record {n}");
            let told = |state: &State| (state.digest(), state.held_digest(), state.live_attempts(), state.live_bytes());
            assert_eq!(told(&other), told(&run.state), "seed {seed} record {n}");
        }
        assert!(!run.state.rulings().is_empty());
    }
}

fn load(settings: &Settings, mut stored: &[u8], beside: Option<&State>) -> State {
    let mut state = State::new(settings.clone());
    if let Some(whole) = beside {
        state.restore(whole.next_offset(), whole.arrivals(), whole.books().to_vec());
        state.restore_rulings(whole.rulings().iter().map(|(place, ruling)| (place, ruling.clone())));
    }
    while !stored.is_empty() {
        state.load(&Delta::decode(&mut stored).expect("what was encoded decodes"));
    }
    state.loaded();
    state
}

/// For every quote after it, the log is as if they had never been there; late quotes included, and what the submitters are told.
#[test]
fn an_erased_attempt_was_never_there_for_later_quotes() {
    let mut changed = 0;
    for seed in 0..200 {
        let random = &mut Random::new(seed);
        let quotes = history(seed, 36);
        let order = arrivals(seed, &quotes, LATE);
        let half = order.len() / 2;
        let erased: Vec<usize> = order[..half].iter().copied().filter(|_| random.percent(25)).collect();
        let of_tenant = |tenant: &str| {
            let ids = erased.iter().map(|i| &quotes[*i]).filter(|quote| &*quote.tenant == tenant);
            Arc::new(Ruling {
                id: "e".into(),
                tenant: tenant.into(),
                case: None,
                kind: RulingKind::Erased,
                attempts: ids.map(|quote| id_hash(tenant, &quote.quote_id)).collect(),
                until: EventTime(i64::MAX),
                record: 0,
            })
        };
        let run = |is_there: &dyn Fn(usize) -> bool, rulings: Vec<Arc<Ruling>>| {
            let (mut run, mut arrival) = (Run::new(book()), i64::MIN);
            for (n, i) in order.iter().enumerate() {
                if n == half {
                    run.step(&control(run.next(), rulings.clone()));
                    run.finals.clear();
                }
                arrival = arrival.max(quotes[*i].submitted_at.0);
                if n >= half && erased.contains(i) {
                    continue; // Sent again it would be a new quote.
                }
                if n >= half || is_there(*i) {
                    later(&mut run, &quotes[*i], arrival, n >= half);
                } else {
                    run.step(&Input::Skipped { position: run.next() });
                }
            }
            let live = run.state.live_attempts();
            (run.finals.into_iter().map(|(id, d)| (id, (said(&d), d.answer, d.flags))).collect::<BTreeMap<Id, _>>(), live)
        };
        let with = run(&|_| true, vec![of_tenant("default"), of_tenant("other")]);
        let without = run(&|i| !erased.contains(&i), Vec::new());
        assert_eq!(with, without, "seed {seed}");
        changed += usize::from(run(&|_| true, Vec::new()) != with);
    }
    assert!(changed > 100, "{changed} histories are others without the erasure");
}

/// Keeps the decisions on quotes of the second half only: what was given before stays, whatever is missing now.
fn later(run: &mut Run, quote: &Quote, arrival: i64, is_kept: bool) {
    let prepared = Arc::new(Prepared::new(quote));
    let clock = ArrivalClock::Stream;
    let logged = LoggedQuote { position: run.next(), arrival: ArrivalTime(arrival), clock, prepared };
    let step = decide(&run.state, &Input::Quote(logged), &run.books).expect("every book is held");
    run.state.apply(&step.delta).expect("it follows");
    for decision in step.decisions.into_iter().filter(|_| is_kept) {
        let id = (decision.tenant.clone(), decision.quote_id.clone());
        if decision.revision == 1 || run.finals.contains_key(&id) {
            run.finals.insert(id, decision);
        }
    }
}

/// A tweaker's next form: another VIN for each number.
fn tweaked(number: usize) -> Quote {
    let mut quote = form(0, 0, &mut Random::new(7));
    quote.quote_id = format!("t{number}").into();
    quote.submitted_at = EventTime(START + number as i64 * 31 * MINUTE);
    quote.vehicle.vin = text(&format!("XTA219010K01{number:02}456"));
    seal(quote)
}

/// What became of the case, and whether the next referral of the applicant joins it.
#[test]
fn a_referral_joins_an_open_case_only() {
    use RulingKind::{Cleared, Confirmed, ProofRequested, Reopened};
    let snooze = || RulingKind::Snooze { rule: "none".into() };
    for (kinds, joins) in [
        (vec![], true),
        (vec![ProofRequested, snooze()], true),
        (vec![Cleared], false),
        (vec![Confirmed], false),
        (vec![Cleared, Reopened], true),
        (vec![Cleared, Confirmed, Reopened], true),
        (vec![Reopened, Confirmed], false),
    ] {
        let mut run = Run::new(book());
        let cases: Vec<Option<ReferralId>> = (0..4).map(|n| run.submit(&tweaked(n)).decisions[0].referral_id).collect();
        let case = cases[3].expect("the fourth form is referred");
        for (n, kind) in kinds.iter().enumerate() {
            // It names nobody, so that it does not change what is suspicious.
            let (id, tenant) = (format!("r{n}").into(), "default".into());
            let until = EventTime(START + 60 * DAY);
            let (kind, attempts) = (kind.clone(), Box::default());
            let ruling = Ruling { id, tenant, case: Some(case), kind, attempts, until, record: 0 };
            run.step(&control(run.next(), vec![Arc::new(ruling)]));
        }
        let next = run.submit(&tweaked(4)).decisions.swap_remove(0);
        assert_eq!(next.verdict, Verdict::Refer, "{kinds:?}");
        assert_eq!(next.referral_id == Some(case), joins, "{kinds:?}");
        assert_eq!(next.opens_case(), !joins, "{kinds:?}");
        let after = run.submit(&tweaked(5)).decisions.swap_remove(0);
        assert_eq!(after.referral_id, next.referral_id, "the open one takes what follows: {kinds:?}");
    }
}

/// The same id is one ruling, within a record and later; in another tenant it is another.
#[test]
fn a_ruling_counts_once() {
    let mut run = Run::new(book());
    let ruling = |tenant: &str, case| {
        let (id, kind, until) = ("r".into(), RulingKind::Cleared, EventTime(START + DAY));
        let (tenant, case, attempts) = (tenant.into(), Some(ReferralId(case)), Box::default());
        Arc::new(Ruling { id, tenant, case, kind, attempts, until, record: 0 })
    };
    run.step(&control(run.next(), vec![ruling("default", 1), ruling("default", 2), ruling("other", 3)]));
    run.step(&control(run.next(), vec![ruling("default", 4)]));
    let held: Vec<_> = run.state.rulings().iter().map(|(place, ruling)| (place, ruling.case)).collect();
    assert_eq!(held, [((1, 0), Some(ReferralId(1))), ((1, 1), Some(ReferralId(3)))]);
    assert!(run.state.rulings().find("default", "r").is_some() && run.state.rulings().find("third", "r").is_none());
}
