//! The single writer: the only thread that touches the engine's state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::batch;
use super::fate::Fates;
use super::health::{Health, Readiness};
use super::queue::{Answered, Job, Payload, Reply};
use super::recover::Recovered;
use super::{BATCH_DECISIONS_MAX, BATCH_MAX, Batch, Clock, LogRecord, RecordKind, Source, Store, StoreError};
use crate::contract::rule_file::canonical_source;
use crate::engine::decide::Books;
use crate::engine::decision::RuleBookRef;
use crate::engine::quote::Position;
use crate::engine::rules::RuleBook;
use crate::engine::rules::source::ApplicantText;
use crate::engine::state::State;
use crate::engine::step::{ArrivalClock, Input, LoggedQuote};
use crate::engine::time::ArrivalTime;
use crate::metrics::Metrics;

/// Wait after the first failed commit; doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// A store that stays down is told again this often.
const FAILURE_LOGGED_EVERY: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The engine refused its own delta: a defect, and going on would diverge from the log.
    #[error("the engine's state refused a delta at offset {offset}: {reason}; stopped to keep the log true")]
    Diverged { offset: u64, reason: &'static str },
    #[error("the rule book does not compile: {0}")]
    RuleBook(String),
    /// Trying again would not help; the batch was not committed and nobody was answered.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub struct Writer<S, C> {
    state: State,
    books: Books,
    book_versions: u32,
    store: S,
    clock: C,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    fates: Arc<Fates>,
    /// Running maximum of the append clock.
    arrival: ArrivalTime,
}

/// A submitter waiting for the commit.
struct Waiting {
    reply: Reply,
    answer: Answered,
    offset: u64,
}

/// A batch being filled, with everything that happens once it is durable.
struct Open {
    batch: Batch,
    waiting: Vec<Waiting>,
}

impl<S: Store, C: Clock> Writer<S, C> {
    pub fn new(recovered: Recovered, store: S, clock: C, metrics: Arc<Metrics>, health: Arc<Health>, fates: Arc<Fates>) -> Self {
        let Recovered { state, books: logged, arrival } = recovered;
        let book_versions = logged.last().map_or(0, RuleBook::version);
        let mut books = Books::default();
        logged.into_iter().for_each(|book| books.add(Arc::new(book)));
        Writer { state, books, book_versions, store, clock, metrics, health, fates, arrival }
    }

    /// Puts a rule book in force through the log, unless the one in force has the same content.
    pub fn install(&mut self, book: &RuleBook) -> Result<RuleBookRef, WriterError> {
        if let Some(in_force) = self.state.rule_book().filter(|in_force| in_force.hash == book.hash()) {
            self.metrics.rule_book(in_force);
            return Ok(in_force.clone());
        }
        self.warn_of_edits(book);
        let book = RuleBook::build(self.book_versions + 1, book.rules().cloned().collect())
            .map_err(|errors| WriterError::RuleBook(format!("{errors:?}")))?;
        self.book_versions = book.version();
        let (source, reference) = (canonical_source(&book).into_bytes(), book.reference());
        self.books.add(Arc::new(book));
        self.arrival = self.arrival.max(self.clock.now());
        let mut open = self.open();
        let position = self.next_position();
        open.batch.records.push(self.record(RecordKind::RuleBook, ArrivalClock::Log, Source::Control, "", None, source));
        let input = Input::RuleBook { position, book: reference.clone() };
        batch::step(&mut self.state, &self.books, &mut open.batch, &input)?;
        self.commit(open)?;
        self.metrics.rule_book(&reference);
        Ok(reference)
    }

    /// Nothing in a decision tells two contents of a rule under one version apart but the hash of the whole book.
    fn warn_of_edits(&self, next: &RuleBook) {
        let Some(in_force) = self.state.rule_book().and_then(|in_force| self.books.get(in_force.hash)) else { return };
        let edited: Vec<&str> = in_force.edited_without_bump(next).iter().map(|rule| &*rule.id).collect();
        if !edited.is_empty() {
            let rules = edited.join(", ");
            tracing::warn!(rules, "live rules are edited under the same version; give each edit the next version in its file");
        }
    }

    /// Runs until every [`super::queue::Queue`] is dropped and the queue is empty; gives the store back.
    pub fn run(mut self, mut jobs: mpsc::Receiver<Job>) -> Result<S, WriterError> {
        self.metrics.state(&self.state);
        self.health.set(Readiness::Ready);
        let mut ready = Vec::with_capacity(BATCH_MAX);
        while jobs.blocking_recv_many(&mut ready, BATCH_MAX) > 0 {
            let began = Instant::now();
            let mut open = self.open();
            for job in ready.drain(..) {
                self.metrics.stage("queue", job.submitted.elapsed());
                self.take(&mut open, job)?;
                if open.batch.decisions.len() >= BATCH_DECISIONS_MAX {
                    let next = self.open();
                    self.commit(std::mem::replace(&mut open, next))?;
                }
            }
            self.metrics.stage("decide", began.elapsed());
            // Before anybody is answered, who might look.
            self.metrics.state(&self.state);
            self.commit(open)?;
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
            Payload::Quote { prepared, product: label, tenant, body } => {
                product = label;
                open.batch.records.push(self.record(RecordKind::Quote, clock, source, &tenant, client, body));
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
            Payload::Forget(name) => {
                open.batch.files.retain(|file| file.name != name);
                open.batch.forgotten.push(name);
                return Ok(());
            }
        };
        let mut step = batch::step(&mut self.state, &self.books, &mut open.batch, &input)?;
        self.metrics.step(source, product, &step);
        if let Some(mut letter) = batch::dead_letter(position.offset, &step.outcome) {
            letter.file = progress.as_ref().map(|p| (p.name.clone(), p.lines));
            self.metrics.dead_letter(letter.reason);
            open.batch.dead_letters.push(letter);
        }
        if let Some(reply) = reply {
            let decision = if step.decisions.is_empty() { None } else { Some(step.decisions.swap_remove(0)) };
            let text = self.text(&input);
            open.waiting.push(Waiting {
                reply,
                answer: Answered { outcome: step.outcome, decision, text },
                offset: position.offset,
            });
        }
        if let Some(progress) = progress {
            open.batch.files.retain(|file| file.name != progress.name);
            open.batch.files.push(progress);
        }
        Ok(())
    }

    /// What the rule has to tell the applicant of a quote that was just stepped.
    fn text(&self, input: &Input) -> Option<ApplicantText> {
        let Input::Quote(LoggedQuote { prepared, .. }) = input else { return None };
        self.books.applicant_text(&self.state, prepared.print.tenant(), prepared.print.quote_id()).cloned()
    }

    fn open(&self) -> Open {
        Open { batch: batch::open(&self.state), waiting: Vec::new() }
    }

    /// Commits until it succeeds: nothing is answered before, nothing is lost after.
    ///
    /// # Errors
    /// One of the store's that does not pass.
    fn commit(&mut self, open: Open) -> Result<(), StoreError> {
        if open.batch.records.is_empty() && open.batch.forgotten.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        self.make_durable(&open.batch)?;
        self.health.set(Readiness::Ready);
        self.metrics.committed(open.batch.records.len(), open.batch.segment.deltas.len(), began.elapsed());
        for Waiting { reply: Reply { sender, mark, .. }, answer, offset } in open.waiting {
            // A submitter past its deadline has gone: a decision is there for it to fetch, a refusal must be kept for it.
            mark.settle(offset, || sender.send(answer).map_err(|answer| answer.outcome));
        }
        self.fates.decided(open.batch.decisions.iter().map(|d| (&*d.tenant, &*d.quote_id, d.offset)));
        Ok(())
    }

    fn make_durable(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut wait = RETRY_MIN;
        let mut told: Option<Instant> = None;
        loop {
            match self.store.commit(batch) {
                Err(error @ StoreError::Unavailable(_)) => {
                    self.health.set(Readiness::StoreDown);
                    self.metrics.commit_failed();
                    if told.is_none_or(|told| told.elapsed() >= FAILURE_LOGGED_EVERY) {
                        tracing::error!(%error, "commit failed; it is tried again, nothing is answered until it succeeds");
                        told = Some(Instant::now());
                    }
                    std::thread::sleep(wait);
                    wait = (wait * 2).min(RETRY_MAX);
                }
                done => return done,
            }
        }
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

#[cfg(test)]
mod tests;
