//! The engine on small histories: one quote a row, the expectation last.

use std::sync::Arc;

use super::decide::{Books, MissingBook, Prepared, decide};
use super::decision::{Decision, Flag, Verdict};
use super::delta::{Amended, Delta};
use super::limits::VARIANTS_COMPARED_MAX;
use super::quote::{Address, Driver, Position, Quote};
use super::rules::source::ApplicantText;
use super::rules::{Mode, RuleBook, RuleSource};
use super::state::{Settings, Standing, State};
use super::step::{ArrivalClock, Input, LoggedQuote, Outcome, Step};
use super::time::{ArrivalTime, Arrivals, Date, EventTime, MINUTE, SECOND};

/// 2026-11-01T00:00:00Z.
const START: i64 = 1_793_491_200 * SECOND;

fn base(id: &str, minute: i64) -> Quote {
    let text = |s: &str| Some(s.into());
    let mut quote = Quote {
        quote_id: id.into(),
        submitted_at: EventTime(START + minute * MINUTE),
        product: "osago".into(),
        tenant: "default".into(),
        premium: Some(9_000.0),
        ..Quote::default()
    };
    quote.channel.device_id = text("device-1");
    let who = &mut quote.policyholder;
    who.last_name = text("Заречная");
    who.first_name = text("Мария");
    who.middle_name = text("Павловна");
    who.birth_date = Date::new(1984, 3, 7).unwrap_or_default();
    who.id_document = text("4510 123456");
    who.driver_licence = text("7712 654321");
    who.phone = text("+7 912 345-67-89");
    who.address =
        Address { city: text("Тверь"), street: text("Новая"), house: text("5"), flat: text("7"), ..Address::default() };
    quote.vehicle.vin = text("XTA219010K0123456");
    quote.vehicle.plate = text("А123ВС69");
    quote
}

struct Run {
    state: State,
    books: Books,
    offset: u64,
}

impl Run {
    fn new() -> Run {
        Run { state: State::new(Settings::default()), books: Books::default(), offset: 0 }
    }

    fn step(&mut self, quote: Quote) -> Step {
        self.step_at(quote, ArrivalClock::Event, 0)
    }

    /// `minute`: when it arrives, for the clocks that read it.
    fn step_at(&mut self, mut quote: Quote, clock: ArrivalClock, minute: i64) -> Step {
        quote.body_hash = u128::from(super::normalise::hash64(format!("{quote:?}").as_bytes()));
        let logged = LoggedQuote {
            position: Position { partition: 0, offset: self.offset },
            arrival: ArrivalTime(START + minute * MINUTE),
            clock,
            prepared: Arc::new(Prepared::new(&quote)),
        };
        let step = decide(&self.state, &Input::Quote(logged), &self.books).expect("every book is held");
        self.state.apply(&step.delta).expect("a delta fits the state it was made from");
        self.offset += 1;
        step
    }

    fn decision(&mut self, quote: Quote) -> Decision {
        let step = self.step(quote);
        assert_eq!(step.outcome, Outcome::Decided);
        step.decisions.into_iter().next().expect("a decided quote has a decision")
    }
}

fn with(minute: i64, id: &str, change: impl Fn(&mut Quote)) -> Quote {
    let mut quote = base(id, minute);
    change(&mut quote);
    quote
}

#[test]
fn versions_are_counted_not_quotes() {
    let mut run = Run::new();
    let vin = |vin: &'static str| move |q: &mut Quote| q.vehicle.vin = Some(vin.into());
    for (quote, linked, suspicious) in [
        (base("q0", 0), 0, 0),
        (with(1, "q1", |q| q.coverage.deductible = Some(10_000.0)), 1, 0),
        (with(2, "q2", vin("XTA219010K0123465")), 2, 1),
        (with(3, "q3", vin("XTA219010K0128456")), 3, 2),
        (with(4, "q4", vin("XTA219O10K0123456")), 4, 3),
        // The same disguise again is not news, and the true VIN is known.
        (with(5, "q5", vin("XTA219O10K0123456")), 5, 3),
        (base("q6", 6), 6, 3),
        (with(7, "q7", |q| q.policyholder.last_name = Some("3аречная".into())), 7, 4),
        (with(8, "q8", |q| q.policyholder.birth_date = Date::new(1984, 7, 3).unwrap_or_default()), 8, 5),
    ] {
        let id = quote.quote_id.clone();
        let decision = run.decision(quote);
        assert_eq!((decision.linked_total, decision.suspicious_attempts), (linked, suspicious), "{id}: {decision:?}");
    }
}

/// A dash is no VIN: taken for the fact of the first variant it would absorb every later tweak.
#[test]
fn a_mark_instead_of_a_value_is_not_given() {
    let mut run = Run::new();
    let vin = |vin: &'static str| move |q: &mut Quote| q.vehicle.vin = Some(vin.into());
    for (quote, suspicious) in [
        (with(0, "q0", vin("-")), 0),
        (with(1, "q1", vin("XTA219010K0123456")), 0),
        (with(2, "q2", vin("XTA219010K0123465")), 1),
        (with(3, "q3", vin("XTA219010K0128456")), 2),
    ] {
        let id = quote.quote_id.clone();
        assert_eq!(run.decision(quote).suspicious_attempts, suspicious, "{id}");
    }
}

/// What an earlier form left out of an address or of the drivers is filled in, then held against later forms.
#[test]
fn partial_facts_do_not_absorb_tweaks() {
    let driver =
        |licence: &str| Driver { first_name: Some("Олег".into()), driver_licence: Some(licence.into()), ..Driver::default() };
    let text = |s: &str| (!s.is_empty()).then(|| s.into());
    let at = |house: &str| Address { city: text("Тверь"), house: text(house), ..Address::default() };
    let drivers = |licences: &[&str]| licences.iter().map(|licence| driver(licence)).collect::<Vec<_>>();
    let mut run = Run::new();
    for (minute, house, licences, suspicious) in [
        (0, "", &["7712 654321"][..], 0),
        (1, "5", &["7712 654321"], 0),
        (2, "81", &["7712 654321"], 1),
        (3, "5", &["7712 654321", "9900 111111"], 1),
        (4, "5", &["7712 654321", "5555 777888"], 2),
        (5, "5", &["7712 654321"], 2),
    ] {
        let mut quote = base(&format!("q{minute}"), minute);
        quote.policyholder.address = at(house);
        quote.drivers = drivers(licences);
        assert_eq!(run.decision(quote).suspicious_attempts, suspicious, "q{minute}");
    }
}

/// A form without the VIN in between makes a changed serial no correction of an impossible VIN.
#[test]
fn a_fact_left_out_in_between_does_not_lighten_its_change() {
    let mut run = Run::new();
    for (quote, suspicion) in [
        (base("q0", 0), 0.0),
        (with(1, "q1", |q| q.vehicle.vin = None), 0.0),
        (with(2, "q2", |q| q.vehicle.vin = Some("XTA219010K0123465".into())), 1.1),
    ] {
        let id = quote.quote_id.clone();
        let decision = run.decision(quote);
        assert_eq!(decision.suspicion, suspicion, "{id}: {decision:?}");
    }
}

/// A flood of ever new versions costs a bounded number of comparisons, and says when it passes the bound.
#[test]
fn an_attempt_is_compared_with_the_newest_variants() {
    let bound = VARIANTS_COMPARED_MAX as i64;
    let mut run = Run::new();
    let numbered = |minute: i64, vin: i64| {
        with(minute, &format!("q{minute:02}"), |q| q.vehicle.vin = Some(format!("XTA219010K01{vin:05}").into()))
    };
    let (forgotten, kept) = (0, 10);
    let known = [(bound + 2, forgotten), (bound + 3, kept)];
    let mut said = Vec::new();
    for (minute, vin) in (0..bound + 2).map(|i| (i, i)).chain(known) {
        let decision = run.decision(numbered(minute, vin));
        said.push((decision.suspicious_attempts, decision.flags.has(Flag::Truncated)));
    }
    let flood = VARIANTS_COMPARED_MAX as u32;
    let expected = (0..flood + 3).chain([flood + 2]).map(|suspicious| (suspicious, suspicious >= flood));
    assert_eq!(said, expected.collect::<Vec<_>>());
}

#[test]
fn strangers_are_not_linked() {
    let mut run = Run::new();
    run.decision(base("q0", 0));
    let stranger = |id: &str, change: fn(&mut Quote)| {
        let mut quote = base(id, 1);
        let who = &mut quote.policyholder;
        who.last_name = Some("Лесков".into());
        who.first_name = Some("Олег".into());
        who.middle_name = Some("Янович".into());
        who.birth_date = Date::new(1961, 12, 30).unwrap_or_default();
        who.id_document = Some("4600 777888".into());
        who.driver_licence = Some("5001 111222".into());
        who.phone = Some("+7 999 000-11-22".into());
        who.address.street = Some("Старая".into());
        quote.vehicle.vin = Some("Z94CB41AAFR323020".into());
        quote.vehicle.plate = Some("К777КК50".into());
        change(&mut quote);
        quote
    };
    for (quote, linked) in [
        (stranger("s1", |_| ()), 0),
        (stranger("s2", |q| q.policyholder.phone = Some("+7 912 345-67-89".into())), 1),
        // The car was sold: plate and VIN stay, the person is another.
        (stranger("s3", |q| (q.vehicle.vin, q.vehicle.plate) = (Some("XTA219010K0123456".into()), Some("А123ВС69".into()))), 0),
    ] {
        let id = quote.quote_id.clone();
        let decision = run.decision(quote);
        assert!(decision.linked.iter().all(|l| &*l.quote_id != "q0"), "{id}: {decision:?}");
        assert!(decision.linked_total <= linked + 2, "{id}");
    }
}

#[test]
fn ids_are_counted_once() {
    let mut run = Run::new();
    let first = run.decision(base("q0", 0));
    let again = run.step(base("q0", 0));
    assert!(matches!(again.outcome, Outcome::Duplicate(current) if current.decision_id == first.decision_id), "{again:?}");
    let reused = run.step(with(0, "q0", |q| q.premium = Some(1.0)));
    assert!(matches!(reused.outcome, Outcome::IdReused(_)), "{reused:?}");
    assert_eq!(run.state.live_attempts(), 1);
}

#[test]
fn a_late_quote_amends_what_came_before_it_in_the_log() {
    let mut run = Run::new();
    run.decision(base("q0", 0));
    run.decision(with(10, "q2", |q| q.vehicle.vin = Some("XTA219010K0123465".into())));
    let late = run.step(with(5, "q1", |q| q.policyholder.birth_date = Date::new(1985, 3, 7).unwrap_or_default()));
    let [own, amendment] = &late.decisions[..] else { panic!("{late:?}") };
    assert!(own.flags.has(Flag::Late));
    assert_eq!((own.suspicious_attempts, amendment.suspicious_attempts), (1, 2));
    assert_eq!((&*amendment.quote_id, amendment.revision), ("q2", 2));
    assert_eq!(amendment.cause.as_ref().map(|c| &*c.quote_id), Some("q1"));
}

/// A book of one rule that refers at the second suspicious attempt and has its own text.
fn told_book() -> Arc<RuleBook> {
    let rule = RuleSource {
        id: "told".into(),
        version: 1,
        title: "told".into(),
        owner: "tests".into(),
        mode: Mode::Live,
        reason_code: "TOLD".into(),
        params: Default::default(),
        when: r#"suspicious_attempts(duration("24h")) >= 2"#.into(),
        then: Verdict::Refer,
        priority: 0,
        products: vec![],
        tenants: vec![],
        applicant: Some(ApplicantText { ru: "Позвоните.".into(), en: "Call us.".into() }),
        underwriter: "{suspicious_attempts}".into(),
        ..RuleSource::default()
    };
    Arc::new(RuleBook::build(1, vec![rule]).expect("a sound rule"))
}

/// The text follows the stricter of decision and answer: for the late quote its answer's, for the amended one its new decision's.
#[test]
fn the_applicant_is_told_what_the_rule_of_his_answer_says() {
    let (mut run, book) = (Run::new(), told_book());
    run.state.restore(0, Arrivals::default(), vec![(0, book.reference())]);
    run.books.add(book);
    let told = |run: &Run, id: &str| run.books.applicant_text(&run.state, "default", id).map(|text| text.en.to_string());
    run.decision(base("q0", 0));
    run.decision(with(10, "q2", |q| q.vehicle.vin = Some("XTA219010K0123465".into())));
    assert_eq!(["q0", "q2", "unknown"].map(|id| told(&run, id)), [None, None, None]);
    let late = run.step(with(5, "q1", |q| q.policyholder.birth_date = Date::new(1985, 3, 7).unwrap_or_default()));
    let [own, amendment] = &late.decisions[..] else { panic!("{late:?}") };
    assert_eq!((own.verdict, own.answer, amendment.verdict), (Verdict::Accept, Verdict::Refer, Verdict::Refer));
    assert_eq!(["q0", "q1", "q2"].map(|id| told(&run, id).is_some()), [false, true, true]);
    assert_eq!(told(&run, "q1").as_deref(), Some("Call us."));
}

/// Deciding under another book than the log's would be silent divergence.
#[test]
fn a_book_that_is_not_loaded_is_an_error() {
    let (mut run, book) = (Run::new(), told_book());
    run.state.restore(0, Arrivals::default(), vec![(0, book.reference())]);
    let logged = |quote: &Quote| {
        let position = Position { partition: 0, offset: 0 };
        let prepared = Arc::new(Prepared::new(quote));
        Input::Quote(LoggedQuote { position, arrival: ArrivalTime(0), clock: ArrivalClock::Event, prepared })
    };
    let missing = decide(&run.state, &logged(&base("q0", 0)), &run.books).expect_err("the book is not there");
    assert_eq!(missing, MissingBook(book.reference()));
    run.books.add(book);
    assert!(decide(&run.state, &logged(&base("q0", 0)), &run.books).is_ok());
}

#[test]
fn a_delta_that_does_not_fit_is_refused_whole() {
    let mut run = Run::new();
    run.decision(base("q0", 0));
    let digest = run.state.digest();
    let next = Delta { from: 1, to: 2, ..Delta::default() };
    let stranger = Amended { offset: 7, id_hash: 7, standing: Standing::default() };
    for delta in [Delta { from: 0, ..next.clone() }, Delta { amended: vec![stranger], ..next.clone() }] {
        assert!(run.state.apply(&delta).is_err(), "{delta:?}");
        assert_eq!((run.state.digest(), run.state.next_offset()), (digest, 1));
    }
    // Offsets of a shared log are sparse.
    assert_eq!(run.state.apply(&Delta { from: 5, to: 6, ..next }), Ok(()));
    assert_eq!(run.state.next_offset(), 6);
}

#[test]
fn times_are_judged_against_arrival() {
    let mut run = Run::new();
    run.decision(base("q0", 10_000));
    for (minute, expected) in [
        (10_000 - 59, "kept"),
        (10_000 - 61, "clamped"),
        (10_000 - 24 * 60 - 1, "too_old"),
        (10_000 + 7 * 24 * 60 + 1, "jump"),
        (-30_000_000, "jump"),
    ] {
        let step = run.step(base(&format!("m{minute}"), minute));
        let got = match step.outcome {
            Outcome::Decided if step.decisions[0].flags.has(Flag::TimeSuspect) => "clamped",
            Outcome::Decided => "kept",
            Outcome::TooOld { .. } => "too_old",
            Outcome::TimeJump { .. } => "jump",
            _ => "other",
        };
        assert_eq!(got, expected, "minute {minute}");
    }
}

#[test]
fn a_stored_delta_reads_back() {
    let mut run = Run::new();
    for quote in [base("q0", 0), with(1, "q1", |q| q.drivers.push(Default::default()))] {
        let step = run.step(quote);
        let mut bytes = Vec::new();
        step.delta.encode(&mut bytes);
        let mut rest = &bytes[..];
        assert_eq!(super::delta::Delta::decode(&mut rest).as_ref(), Ok(&step.delta));
        assert!(rest.is_empty());
        for end in 0..bytes.len() {
            assert!(super::delta::Delta::decode(&mut &bytes[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn the_cap_evicts_the_oldest_and_says_so() {
    let mut run = Run::new();
    run.state = State::new(Settings { max_live_attempts: 3, ..Settings::default() });
    for i in 0..5 {
        run.decision(base(&format!("q{i}"), i));
    }
    assert_eq!(run.state.live_attempts(), 3);
    // The second quote, of minute 1, is gone, and minute 4 is now.
    assert_eq!(run.state.look_back_secs(), 180);
    assert!(run.state.current("default", "q1").is_none() && run.state.current("default", "q2").is_some());
    assert!(run.decision(base("q5", 5)).flags.has(Flag::Truncated));
}

/// Nothing tells whether the first record of a file is right; who knows when it began says so.
#[test]
fn the_first_record_of_a_file_is_held_against_the_start_that_was_given() {
    let day = 24 * 60;
    for (start, first, second, decided) in [
        (None, 64 * 365 * day, 0, [true, false]),
        (Some(0), 64 * 365 * day, 0, [false, true]),
        (Some(0), 7 * day + 1, 7 * day, [false, true]),
        (Some(0), -day - 1, -day, [false, true]),
    ] {
        let mut run = Run::new();
        run.state = State::new(Settings {
            event_start: start.map(|minute: i64| EventTime(START + minute * MINUTE)),
            ..Settings::default()
        });
        let outcomes = [first, second].map(|minute| run.step(base(&format!("m{minute}"), minute)).outcome == Outcome::Decided);
        assert_eq!(outcomes, decided, "start {start:?}, minutes {first} and {second}");
    }
}

#[test]
fn the_look_back_is_the_retention_while_nothing_is_evicted() {
    let mut run = Run::new();
    assert_eq!(run.state.look_back_secs(), Settings::default().retention_secs);
    run.decision(base("q0", 0));
    assert_eq!(run.state.look_back_secs(), Settings::default().retention_secs);
}

#[test]
fn a_file_and_live_quotes_do_not_move_each_others_clock() {
    let mut run = Run::new();
    let day = 24 * 60;
    for (minute, clock, arrival, expected) in [
        (20 * day, ArrivalClock::Log, 20 * day, true),
        // History in a file, long before the live quotes, and a line of it that lies three days ahead of them.
        (0, ArrivalClock::Event, 0, true),
        (6 * day, ArrivalClock::Event, 0, true),
        (13 * day, ArrivalClock::Event, 0, true),
        (20 * day, ArrivalClock::Event, 0, true),
        (23 * day, ArrivalClock::Event, 0, true),
        (20 * day + 1, ArrivalClock::Log, 20 * day + 1, true),
        // Each is still judged by its own.
        (18 * day, ArrivalClock::Log, 20 * day + 2, false),
        (21 * day, ArrivalClock::Event, 0, false),
    ] {
        let step = run.step_at(base(&format!("m{minute}{clock:?}"), minute), clock, arrival);
        assert_eq!(step.outcome == Outcome::Decided, expected, "minute {minute} {clock:?}: {:?}", step.outcome);
    }
}
