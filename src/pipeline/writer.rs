//! The single writer: the only thread that touches the engine's state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::health::{Health, Readiness};
use super::queue::{Answered, Job, Payload, Pending};
use super::recover::Recovered;
use super::{
    BATCH_DECISIONS_MAX, BATCH_MAX, Batch, Clock, DeadLetter, Emitted, FilePosition, LogRecord, RecordKind, Segment, Source,
    Store, StoreError,
};
use crate::contract;
use crate::contract::rule_file::canonical_source;
use crate::engine::decide::{Books, MissingBook, decide};
use crate::engine::decision::{Decision, RuleBookRef};
use crate::engine::delta::CorruptDelta;
use crate::engine::quote::Position;
use crate::engine::rules::RuleBook;
use crate::engine::state::State;
use crate::engine::step::{ArrivalClock, Input, LoggedQuote, Outcome, Step};
use crate::engine::time::{ArrivalTime, EventTime};
use crate::metrics::Metrics;

/// Wait after the first failed commit; doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The engine refused its own delta: a defect, and going on would diverge from the log.
    #[error("the engine's state refused a delta at offset {offset}: {reason}; stopped to keep the log true")]
    Diverged { offset: u64, reason: &'static str },
    #[error("the rule book does not compile: {0}")]
    RuleBook(String),
    #[error(transparent)]
    MissingBook(#[from] MissingBook),
}

pub struct Writer<S, C> {
    state: State,
    books: Books,
    book_versions: u32,
    store: S,
    clock: C,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    pending: Arc<Pending>,
    /// Running maximum of the append clock.
    arrival: ArrivalTime,
}

/// A submitter waiting for the commit.
struct Waiting {
    reply: oneshot::Sender<Answered>,
    answer: Answered,
}

/// A batch being filled, with everything that happens once it is durable.
struct Open {
    batch: Batch,
    waiting: Vec<Waiting>,
    /// Tenant and id of each quote, to clear from [`Pending`].
    taken: Vec<(Box<str>, Box<str>)>,
}

impl<S: Store, C: Clock> Writer<S, C> {
    pub fn new(
        recovered: Recovered,
        store: S,
        clock: C,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        pending: Arc<Pending>,
    ) -> Self {
        let Recovered { state, books: logged, arrival } = recovered;
        let book_versions = logged.last().map_or(0, RuleBook::version);
        let mut books = Books::default();
        logged.into_iter().for_each(|book| books.add(Arc::new(book)));
        Writer { state, books, book_versions, store, clock, metrics, health, pending, arrival }
    }

    /// Puts a rule book in force through the log, unless the one in force has the same content.
    pub fn install(&mut self, book: &RuleBook) -> Result<RuleBookRef, WriterError> {
        if let Some(in_force) = self.state.rule_book().filter(|in_force| in_force.hash == book.hash()) {
            self.metrics.rule_book(in_force);
            return Ok(in_force.clone());
        }
        let book = RuleBook::build(self.book_versions + 1, book.rules().cloned().collect())
            .map_err(|errors| WriterError::RuleBook(format!("{errors:?}")))?;
        self.book_versions = book.version();
        let (source, reference) = (canonical_source(&book).into_bytes(), book.reference());
        self.books.add(Arc::new(book));
        self.arrival = self.arrival.max(self.clock.now());
        let mut open = self.open();
        let position = self.next_position();
        open.batch.records.push(self.record(RecordKind::RuleBook, ArrivalClock::Log, Source::Control, "", None, source));
        self.step(&mut open, &Input::RuleBook { position, book: reference.clone() })?;
        self.commit(open);
        self.metrics.rule_book(&reference);
        Ok(reference)
    }

    /// Runs until every [`super::queue::Queue`] is dropped and the queue is empty; gives the store back.
    pub fn run(mut self, mut jobs: mpsc::Receiver<Job>) -> Result<S, WriterError> {
        self.health.set(Readiness::Ready);
        self.metrics.state(&self.state);
        let mut ready = Vec::with_capacity(BATCH_MAX);
        while jobs.blocking_recv_many(&mut ready, BATCH_MAX) > 0 {
            let began = Instant::now();
            let mut open = self.open();
            for job in ready.drain(..) {
                self.metrics.stage("queue", job.submitted.elapsed());
                self.take(&mut open, job)?;
                if open.batch.decisions.len() >= BATCH_DECISIONS_MAX {
                    let next = self.open();
                    self.commit(std::mem::replace(&mut open, next));
                }
            }
            self.metrics.stage("decide", began.elapsed());
            self.commit(open);
            self.metrics.state(&self.state);
        }
        Ok(self.store)
    }

    fn take(&mut self, open: &mut Open, job: Job) -> Result<(), WriterError> {
        let Job { payload, clock, source, client, progress, reply, .. } = job;
        let position = self.next_position();
        self.arrival = self.arrival.max(self.clock.now());
        let client = client.map(|name| Box::from(&*name));
        let mut product = "none";
        let input = match payload {
            Payload::Quote { prepared, product: label, tenant, quote_id, body } => {
                product = label;
                open.batch.records.push(self.record(RecordKind::Quote, clock, source, &tenant, client, body));
                open.taken.push((tenant, quote_id));
                self.metrics.event_lag(self.arrival.0.saturating_sub(prepared.submitted_at.0));
                Input::Quote(LoggedQuote { position, arrival: self.arrival, clock, prepared })
            }
            Payload::Skipped(mut letter) => {
                letter.offset = position.offset;
                self.metrics.dead_letter(letter.reason);
                open.batch.dead_letters.push(letter);
                open.batch.records.push(self.record(RecordKind::Skipped, clock, source, "", client, Vec::new()));
                Input::Skipped { position }
            }
        };
        let mut step = self.step(open, &input)?;
        self.metrics.step(source, product, &step);
        if let Some((error, reason, pointer)) = refusal(&step.outcome) {
            let file = progress.as_ref().map(|p| (p.name.clone(), p.lines));
            self.metrics.dead_letter(reason);
            let pointer = pointer.to_owned();
            open.batch.dead_letters.push(DeadLetter { offset: position.offset, reason, error, pointer, file, raw: Vec::new() });
        }
        if let Some(reply) = reply {
            let decision = if step.decisions.is_empty() { None } else { Some(step.decisions.swap_remove(0)) };
            let text = open.taken.last().and_then(|(tenant, id)| self.books.applicant_text(&self.state, tenant, id)).cloned();
            open.waiting.push(Waiting { reply, answer: Answered { outcome: step.outcome, decision, text } });
        }
        if let Some(progress) = progress {
            open.batch.files.retain(|file| file.name != progress.name);
            open.batch.files.push(progress);
        }
        Ok(())
    }

    /// Decides, applies and collects what one input changes.
    fn step(&mut self, open: &mut Open, input: &Input) -> Result<Step, WriterError> {
        let step = decide(&self.state, input, &self.books)?;
        let offset = self.state.next_offset();
        self.state.apply(&step.delta).map_err(|CorruptDelta(reason)| WriterError::Diverged { offset, reason })?;
        step.delta.encode(&mut open.batch.segment.deltas);
        for decision in &step.decisions {
            open.batch.segment.max_event_time = open.batch.segment.max_event_time.max(decision.event_time);
            open.batch.decisions.push(emitted(decision));
        }
        Ok(step)
    }

    fn open(&self) -> Open {
        let from = self.state.next_offset();
        let segment = Segment { from, to: from, max_event_time: EventTime(i64::MIN), deltas: Vec::new() };
        let batch = Batch {
            records: Vec::new(),
            decisions: Vec::new(),
            dead_letters: Vec::new(),
            segment,
            files: Vec::<FilePosition>::new(),
            horizon: self.state.expiry_horizon(),
        };
        Open { batch, waiting: Vec::new(), taken: Vec::new() }
    }

    /// Commits until it succeeds: nothing is answered before, nothing is lost after.
    fn commit(&mut self, mut open: Open) {
        if open.batch.records.is_empty() {
            return;
        }
        open.batch.segment.to = self.state.next_offset();
        let mut wait = RETRY_MIN;
        let began = Instant::now();
        while let Err(error) = self.store.commit(&open.batch) {
            self.failed(&error);
            std::thread::sleep(wait);
            wait = (wait * 2).min(RETRY_MAX);
        }
        self.health.set(Readiness::Ready);
        self.metrics.committed(open.batch.records.len(), open.batch.segment.deltas.len(), began.elapsed());
        for (tenant, quote_id) in &open.taken {
            self.pending.remove(tenant, quote_id);
        }
        for Waiting { reply, answer } in open.waiting {
            // A submitter past its deadline has gone; the decision is there for it to fetch.
            let _ = reply.send(answer);
        }
    }

    fn failed(&self, error: &StoreError) {
        self.health.set(Readiness::StoreDown);
        self.metrics.commit_failed();
        tracing::error!(%error, "commit failed; nothing is answered until it succeeds");
    }

    fn next_position(&self) -> Position {
        Position { partition: self.state.settings().partition, offset: self.state.next_offset() }
    }

    fn record(
        &self,
        kind: RecordKind,
        clock: ArrivalClock,
        source: Source,
        tenant: &str,
        client: Option<Box<str>>,
        body: Vec<u8>,
    ) -> LogRecord {
        let offset = self.state.next_offset();
        LogRecord { offset, kind, clock, arrival: self.arrival, source, tenant: tenant.into(), client, body }
    }
}

fn emitted(decision: &Decision) -> Emitted {
    let mut json = Vec::with_capacity(1024);
    contract::decision::write_decision(decision, &mut json);
    Emitted {
        offset: decision.position.offset,
        revision: decision.revision,
        tenant: decision.tenant.clone(),
        quote_id: decision.quote_id.clone(),
        json,
    }
}

/// The dead letter of an outcome that decides nothing: error with its fix, reason code, JSON pointer.
pub fn refusal(outcome: &Outcome) -> Option<(String, &'static str, &'static str)> {
    match outcome {
        Outcome::IdReused(_) => Some((
            "this quote_id was used with another body; send a changed form under a new quote_id".to_owned(),
            "id_reused",
            "/quote_id",
        )),
        Outcome::TooOld { behind_secs } => Some((
            format!("submitted_at is {behind_secs} s behind arrival, beyond time.max_age_secs; send quotes as they are made"),
            "too_old",
            "/submitted_at",
        )),
        Outcome::TimeJump { setting } => Some((
            format!("submitted_at lies outside what `{setting}` allows; correct the time or the setting"),
            "time_jump",
            "/submitted_at",
        )),
        Outcome::Decided | Outcome::Duplicate(_) | Outcome::Applied => None,
    }
}

#[cfg(test)]
mod tests;
