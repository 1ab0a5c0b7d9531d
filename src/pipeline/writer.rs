//! The single writer: the only thread that touches the engine's state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::batch;
use super::books::{BookVersion, Proposal, Reload, Shelf};
use super::fate::Fates;
use super::health::{Health, Readiness};
use super::queue::{Answered, Job, NumberedBook, Payload, Reply};
use super::recover::Recovered;
use super::rulings::{self, Erasure, NewRuling, NotRuled};
use super::traced;
use super::{BATCH_DECISIONS_MAX, BATCH_MAX, Batch, Clock, LogRecord, Progress, RecordKind, Source, Store, StoreError};
use crate::contract::rule_file::canonical_source;
use crate::engine::decide::Books;
use crate::engine::quote::Position;
use crate::engine::rules::RuleBook;
use crate::engine::rules::source::ApplicantText;
use crate::engine::state::State;
use crate::engine::step::{ArrivalClock, Input, LoggedQuote};
use crate::engine::time::ArrivalTime;
use crate::metrics::Metrics;
use crate::telemetry::{Kind, Span};

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
    /// Trying again would not help; the batch was not committed and nobody was answered.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub struct Writer<S, C> {
    state: State,
    books: Books,
    /// The same books, for those who change them.
    shelf: Arc<Shelf>,
    store: S,
    clock: C,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    fates: Arc<Fates>,
    /// Running maximum of the append clock.
    arrival: ArrivalTime,
}

/// What the writer shares with the threads around it.
pub struct Shared {
    pub shelf: Arc<Shelf>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub fates: Arc<Fates>,
}

/// A submitter waiting for the commit.
struct Waiting {
    reply: Reply,
    answer: Answered,
    offset: u64,
}

/// A book of the open batch.
struct Incoming {
    kind: RecordKind,
    version: BookVersion,
    reply: oneshot::Sender<Result<(), u32>>,
}

/// A batch being filled, with everything that happens once it is durable.
struct Open {
    batch: Batch,
    waiting: Vec<Waiting>,
    books: Vec<Incoming>,
    /// Each with its offset; one that came before in the same batch has that one's.
    rulings: Vec<(oneshot::Sender<Result<u64, NotRuled>>, u64)>,
    barriers: Vec<oneshot::Sender<()>>,
    /// Of traced quotes.
    spans: Vec<Span>,
}

impl<S: Store, C: Clock> Writer<S, C> {
    /// Puts the books of the log on the shelf.
    pub fn new(recovered: Recovered, store: S, clock: C, shared: Shared) -> Self {
        let Recovered { state, books: logged, arrival } = recovered;
        let Shared { shelf, metrics, health, fates } = shared;
        let mut books = Books::default();
        let of_long_ago = shelf.clone();
        books.found_by(Arc::new(move |hash| of_long_ago.with(hash)));
        for version in logged {
            books.add(version.book.clone());
            shelf.put(version);
        }
        if let Some(book) = state.rule_book().and_then(|book| books.get(book.hash)) {
            metrics.rule_book(book);
        }
        Writer { state, books, shelf, store, clock, metrics, health, fates, arrival }
    }

    /// Puts a book in force that the log has never had; one of before must not come back by a mere restart.
    ///
    /// # Errors
    /// One of the store's that does not pass.
    pub fn install(&mut self, rules: &RuleBook, by: &str) -> Result<(), WriterError> {
        if self.shelf.has(rules.hash()) {
            return Ok(());
        }
        let admitted = self.shelf.admit(rules.clone()).and_then(|admitted| {
            admitted.tell();
            if self.shelf.has(admitted.book.hash()) { Ok(None) } else { self.shelf.next(&admitted.book, None) }
        });
        let next = match admitted {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(()),
            Err(refused) => {
                self.shelf.reloaded(Reload::Refused(refused.to_string()));
                tracing::error!(%refused, "the rule book given is not put in force; the last one of the log stays");
                return Ok(());
            }
        };
        let mut open = self.open();
        self.arrival = self.arrival.max(self.clock.now());
        let (reply, _told) = oneshot::channel();
        let numbered = NumberedBook { book: next, reply };
        if let Some(input) = self.rule_book(&mut open, RecordKind::RuleBook, numbered, Some(by.into())) {
            batch::step(&mut self.state, &self.books, &mut open.batch, &input)?;
        }
        Ok(self.commit(open)?)
    }

    /// The record of a rule book or of a proposal, if its number is the next.
    fn rule_book(&mut self, open: &mut Open, kind: RecordKind, numbered: NumberedBook, by: Option<Box<str>>) -> Option<Input> {
        let NumberedBook { book, reply } = numbered;
        let last = self.state.rule_book().map_or(0, |book| book.version);
        // Whoever was told that it is too late must not find later that it has happened after all.
        if book.version() != last + 1 || reply.is_closed() {
            let _ = reply.send(Err(last));
            return None;
        }
        let (position, reference) = (self.next_position(), book.reference());
        let source = canonical_source(&book).into_bytes();
        open.batch.records.push(self.record(kind, ArrivalClock::Log, Source::Control, "", by.clone(), source));
        let version = BookVersion { book: book.clone(), offset: position.offset, since: self.arrival, by };
        open.books.push(Incoming { kind, version, reply });
        if kind == RecordKind::Proposal {
            return Some(Input::Skipped { position });
        }
        self.books.add(book);
        Some(Input::Control { position, book: Some(reference), rulings: Vec::new() })
    }

    /// The record of a ruling, unless the log has it.
    fn ruling(&mut self, open: &mut Open, new: NewRuling) -> Option<Input> {
        let NewRuling { mut ruling, record, reply } = new;
        match rulings::admit(&self.state, &ruling) {
            Ok(Some(at)) => open.rulings.push((reply, at)),
            Err(refused) => {
                let _ = reply.send(Err(refused));
            }
            Ok(None) => {
                let position = self.next_position();
                ruling.record = position.offset;
                let (by, json) = (Some(record.by.as_str().into()), record.to_json());
                open.batch.records.push(self.record(RecordKind::Ruling, ArrivalClock::Log, Source::Control, "", by, json));
                open.batch.erasures.extend(Erasure::of(&record, &ruling));
                open.rulings.push((reply, position.offset));
                return Some(Input::Control { position, book: None, rulings: vec![Arc::from(ruling)] });
            }
        }
        None
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
        let Job { payload, clock, source, client, progress, reply, span, .. } = job;
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
            Payload::Barrier(reply) => {
                open.barriers.push(reply);
                return Ok(());
            }
            Payload::RuleBook(numbered) => match self.rule_book(open, RecordKind::RuleBook, numbered, client) {
                Some(input) => input,
                None => return Ok(()),
            },
            Payload::Proposal(numbered) => match self.rule_book(open, RecordKind::Proposal, numbered, client) {
                Some(input) => input,
                None => return Ok(()),
            },
            Payload::Ruling(new) => match self.ruling(open, new) {
                Some(input) => input,
                None => return Ok(()),
            },
        };
        let decide = span.as_ref().map(|span| span.child("decide", Kind::Internal));
        let mut step = batch::step(&mut self.state, &self.books, &mut open.batch, &input)?;
        if let Some(span) = decide {
            traced::decided(&span, position, &step);
        }
        open.spans.extend(span);
        self.metrics.step(source, product, &step, false);
        if let Some(mut letter) = batch::dead_letter(position.offset, &step.outcome) {
            letter.file = progress.as_ref().map(Progress::place);
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
            open.batch.moved(progress);
        }
        Ok(())
    }

    /// What the rule has to tell the applicant of a quote that was just stepped.
    fn text(&self, input: &Input) -> Option<ApplicantText> {
        let Input::Quote(LoggedQuote { prepared, .. }) = input else { return None };
        self.books.applicant_text(&self.state, prepared.print.tenant(), prepared.print.quote_id()).cloned()
    }

    fn open(&self) -> Open {
        Open {
            batch: batch::open(&self.state),
            waiting: Vec::new(),
            books: Vec::new(),
            rulings: Vec::new(),
            barriers: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Commits until it succeeds: nothing is answered before, nothing is lost after.
    ///
    /// # Errors
    /// One of the store's that does not pass.
    fn commit(&mut self, open: Open) -> Result<(), StoreError> {
        if !open.batch.records.is_empty() || !open.batch.forgotten.is_empty() {
            let began = Instant::now();
            self.make_durable(&open.batch)?;
            self.health.set(Readiness::Ready);
            drop(open.spans);
            self.metrics.committed(open.batch.records.len(), open.batch.segment.deltas.len(), began.elapsed());
        }
        for (reply, at) in open.rulings {
            let _ = reply.send(Ok(at));
        }
        for Incoming { kind, version, reply } in open.books {
            if kind == RecordKind::Proposal {
                self.shelf.suggest(Proposal::of(version));
            } else {
                self.metrics.rule_book(&version.book);
                self.shelf.put(version);
            }
            let _ = reply.send(Ok(()));
        }
        for Waiting { reply: Reply { sender, mark, .. }, answer, offset } in open.waiting {
            // A submitter past its deadline has gone: a decision is there for it to fetch, a refusal must be kept for it.
            mark.settle(offset, || sender.send(answer).map_err(|answer| answer.outcome));
        }
        for reply in open.barriers {
            let _ = reply.send(());
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
