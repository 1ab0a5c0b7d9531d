//! The engine driven as the pipeline drives it, one record after another, keeping what a sink would keep.

use std::collections::BTreeMap;
use std::sync::Arc;

use quoteguard::engine::decide::{Books, Prepared, decide};
use quoteguard::engine::decision::{Decision, Flag, Verdict};
use quoteguard::engine::quote::{Position, Quote};
use quoteguard::engine::rules::{Mode, RuleBook, RuleSource};
use quoteguard::engine::state::{Settings, State};
use quoteguard::engine::step::{ArrivalClock, Input, LoggedQuote, Outcome, Step};
use quoteguard::engine::time::ArrivalTime;

/// Tenant and quote id.
pub type Id = (Box<str>, Box<str>);

pub struct Run {
    pub state: State,
    pub books: Books,
    /// The highest revision of every decision.
    pub finals: BTreeMap<Id, Decision>,
}

fn rule(id: &str, then: Verdict, mode: Mode, when: &str) -> RuleSource {
    RuleSource {
        id: id.into(),
        version: 1,
        title: id.into(),
        owner: "tests".into(),
        mode,
        reason_code: "PARAMETER_PICKING".into(),
        params: BTreeMap::new(),
        when: when.into(),
        then,
        priority: 0,
        products: vec![],
        tenants: vec![],
        applicant: None,
        underwriter: TOLD.into(),
        ..RuleSource::default()
    }
}

/// All that a decision shows nowhere else.
const TOLD: &str = "{attempts} within {window}, {same_source_attempts} from here; {changed_facts}";

/// Rules over four windows that touch every kind of feature.
pub fn book() -> Arc<RuleBook> {
    book_within("720h")
}

/// The same rules, the longest window of which is the given one.
pub fn book_within(longest: &str) -> Arc<RuleBook> {
    let (refer, flag, live) = (Verdict::Refer, Verdict::Flag, Mode::Live);
    let vins =
        format!(r#"distinct("vehicle.vin", duration("{longest}")) >= 3 || changed("policyholder.phone", duration("24h"))"#);
    let rules = vec![
        rule(
            "steady",
            refer,
            live,
            r#"suspicious_attempts(duration("24h")) >= 2 && seconds_since_first(duration("24h")) >= 1800.0"#,
        ),
        rule("fast", refer, live, r#"suspicious_attempts(duration("24h")) >= 3 && suspicion(duration("24h")) >= 2.0"#),
        rule("slow", refer, live, r#"suspicious_attempts(duration("168h")) >= 4"#),
        rule("near", flag, live, r#"suspicious_attempts(duration("1h")) >= 1"#),
        rule("vins", flag, live, &vins),
        rule("hub", flag, live, r#"source_applicants(duration("24h")) >= 3 && same_source_suspicious(duration("24h")) >= 1"#),
        rule("source", flag, live, r#"fresh_source(duration("24h"))"#),
        rule("owner", flag, live, r#"rightful_owner(duration("168h"))"#),
        rule("guest", refer, live, r#"suspicious_attempts(duration("24h")) >= 2 && !rightful_owner(duration("24h"))"#),
        RuleSource { always: true, ..rule("shadow", refer, Mode::Shadow, r#"attempts(duration("24h")) >= 1"#) },
    ];
    Arc::new(RuleBook::build(1, rules).unwrap_or_else(|problems| panic!("{problems:?}")))
}

impl Run {
    pub fn new(book: Arc<RuleBook>) -> Run {
        Run::with(book, Settings::default())
    }

    pub fn with(book: Arc<RuleBook>, settings: Settings) -> Run {
        let reference = book.reference();
        let mut books = Books::default();
        books.add(book);
        let mut run = Run { state: State::new(settings), books, finals: BTreeMap::new() };
        run.step(&Input::Control { position: run.next(), book: Some(reference), rulings: Vec::new() });
        run
    }

    pub fn next(&self) -> Position {
        Position { partition: 0, offset: self.state.next_offset() }
    }

    pub fn step(&mut self, input: &Input) -> Step {
        let step = decide(&self.state, input, &self.books).expect("every book is held");
        self.state.apply(&step.delta).expect("a delta fits the state it was made from");
        self.keep(&step);
        step
    }

    /// Submits under the clock of the largest event time so far.
    pub fn submit(&mut self, quote: &Quote) -> Step {
        self.submit_at(quote, ArrivalClock::Event, 0)
    }

    pub fn submit_at(&mut self, quote: &Quote, clock: ArrivalClock, arrival: i64) -> Step {
        let prepared = Arc::new(Prepared::new(quote));
        self.step(&Input::Quote(LoggedQuote { position: self.next(), arrival: ArrivalTime(arrival), clock, prepared }))
    }

    /// What a sink does, and what it may rely on: revisions count up by one, each changes something and names its cause.
    fn keep(&mut self, step: &Step) {
        for (i, decision) in step.decisions.iter().enumerate() {
            let id = (decision.tenant.clone(), decision.quote_id.clone());
            let before = self.finals.insert(id, decision.clone());
            match before {
                None => assert_eq!((decision.revision, i, &decision.cause), (1, 0, &None)),
                Some(before) => {
                    assert_eq!(decision.revision, before.revision + 1, "{decision:?}");
                    assert_eq!((decision.decision_id, decision.answer), (before.decision_id, before.answer));
                    assert_eq!(decision.cause.as_ref().map(|c| &c.quote_id), Some(&step.decisions[0].quote_id));
                    let same = content(decision) == content(&before)
                        && decision.flags.has(Flag::Saturated) == before.flags.has(Flag::Saturated);
                    assert!(!same, "an amendment that changes nothing: {decision:?}");
                }
            }
        }
        assert_eq!(step.outcome == Outcome::Decided, !step.decisions.is_empty());
    }
}

/// What order neutrality promises about a decision.
pub fn content(decision: &Decision) -> String {
    let d = decision;
    let numbers = (d.verdict, d.attempts, d.suspicious_attempts, d.suspicion, d.linked_total);
    format!("{numbers:?} {:?} {:?} {:?} {:?} {:?}", d.reasons, d.features, d.linked, d.event_time, d.rule_book)
}
