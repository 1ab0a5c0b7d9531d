//! A log as the sink reads it, decided by the engine in this process.

use std::sync::Arc;

use quoteguard::adapters::desk::{DeskStore, Projector};
use quoteguard::contract::decision::write_decision;
use quoteguard::contract::quote::decode;
use quoteguard::contract::rule_file::shipped;
use quoteguard::engine::decide::{Books, Prepared, decide};
use quoteguard::engine::quote::Position;
use quoteguard::engine::state::{Settings, State};
use quoteguard::engine::step::{ArrivalClock, Input, LoggedQuote};
use quoteguard::engine::time::{ArrivalTime, Arrivals};
use quoteguard::pipeline::Source;
use quoteguard::pipeline::desk::feed::{DecisionRecord, Form, Page, RulingRecord};
use quoteguard::pipeline::desk::sink::{Gained, Projection};
use quoteguard::pipeline::desk::{RulingKind, SharedDesk};
use tokio::runtime::Handle;

use crate::quotes::history;

pub const LOG_ID: &str = "log-of-the-test";

#[derive(Clone)]
pub struct Recorded {
    /// In the order in which they were emitted.
    pub decisions: Vec<DecisionRecord>,
    pub forms: Vec<Form>,
}

/// Honest applicants, tweakers, late quotes and duplicates.
pub fn recorded(seed: u64, count: usize) -> Recorded {
    let mut state = State::new(Settings::default());
    let book = Arc::new(shipped());
    let mut books = Books::default();
    books.add(book.clone());
    state.restore(0, Arrivals::default(), vec![(0, book.reference())]);
    let mut recorded = Recorded { decisions: Vec::new(), forms: Vec::new() };
    for quote in history(seed, count) {
        let body = quote.to_string().into_bytes();
        let prepared = Arc::new(Prepared::new(&decode(&body, None).expect("a quote").quote));
        let offset = state.next_offset();
        let arrival = ArrivalTime(prepared.submitted_at.0);
        let position = Position { partition: 0, offset };
        let input = Input::Quote(LoggedQuote { position, arrival, clock: ArrivalClock::Event, prepared });
        let step = decide(&state, &input, &books).expect("decides");
        for decision in &step.decisions {
            let mut json = Vec::new();
            write_decision(decision, &mut json);
            recorded.decisions.push(DecisionRecord::read(json).expect("a decision"));
        }
        recorded.forms.extend(Form::read(0, offset, arrival, Source::Http, "", body));
        state.apply(&step.delta).expect("applies");
    }
    let referred = recorded.decisions.iter().filter(|record| record.decision.referral_id.is_some()).count();
    let amended = recorded.decisions.iter().filter(|record| record.decision.revision > 1).count();
    assert!(referred > 20 && amended > 0, "{referred} referred, {amended} amended");
    recorded
}

pub fn ruling(offset: u64, case: &str, kind: RulingKind, quote_ids: &[&str]) -> RulingRecord {
    RulingRecord {
        partition: 0,
        offset,
        // After every quote of the log.
        arrival: ArrivalTime(1_790_000_000_000_000),
        ruling_id: format!("r-{offset}"),
        tenant: "default".to_owned(),
        referral_id: case.to_owned(),
        kind,
        rule: (kind == RulingKind::Snooze).then(|| "picking-24h".to_owned()),
        until: None,
        by: Some("anna".to_owned()),
        quote_ids: quote_ids.iter().map(ToString::to_string).collect(),
    }
}

/// Projects one page, on a thread as the sink does; `None` when it was there already.
pub async fn gain(desk: &DeskStore, page: Page) -> Option<Gained> {
    let (desk, runtime) = (desk.clone(), Handle::current());
    let projected = tokio::task::spawn_blocking(move || {
        let mut projector = Projector::new(desk, runtime);
        projector.positions(LOG_ID)?;
        projector.project(&page)
    });
    projected.await.expect("does not panic").expect("projects")
}

/// The same; whether it was new.
pub async fn project(desk: &DeskStore, page: Page) -> bool {
    gain(desk, page).await.is_some()
}

/// As its users hold it.
pub fn shared(desk: &DeskStore) -> SharedDesk {
    Arc::new(desk.clone())
}
