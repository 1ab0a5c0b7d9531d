//! The single writer of one partition: steps its records in order, emits what they decide, and cuts checkpoints.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::frontier::{Emission, Frontier};
use super::load::Loaded;
use super::prepare::{Content, Fetched, Ready};
use super::saver::Save;
use super::waiters::Waiters;
use crate::contract::decision::write_decision;
use crate::contract::kafka as headers;
use crate::engine::decide::{Books, restate};
use crate::engine::decision::Decision;
use crate::engine::quote::Position;
use crate::engine::rules::RuleBook;
use crate::engine::rulings::{Ruling, RulingKind};
use crate::engine::state::{State, id_hash};
use crate::engine::step::{Input, LoggedQuote, Outcome, Step};
use crate::engine::time::{ArrivalTime, EventTime, SECOND};
use crate::fault;
use crate::metrics::Metrics;
use crate::pipeline::checkpoint::Manifest;
use crate::pipeline::partitioner::partition_of;
use crate::pipeline::queue::Answered;
use crate::pipeline::writer::WriterError;
use crate::pipeline::{Segment, Source, StoreError, batch, traced};
use crate::telemetry::{self, Kind, Span};

/// Bytes of a dead letter. Beyond: it is cut, and a header tells how long the record was; the whole is at its place in the log.
const DEAD_LETTER_BYTES_MAX: usize = 1 << 20;
const DEAD_LETTER_KEY_MAX: usize = 4 << 10;
/// How long a pointer may run ahead of what is known of the control topic.
const CONTROL_WAIT: Duration = Duration::from_secs(30);

/// A record on its way out of the partition, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub kind: OutgoingKind,
    pub key: Option<Box<[u8]>>,
    pub value: Option<Box<[u8]>>,
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// Of a traced quote: until it is delivered.
    pub span: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingKind {
    Decision,
    DeadLetter,
}

/// The way out: keeps the order, and knows how much has been acknowledged.
pub trait Emit: Send {
    /// Takes the record, waiting for room.
    ///
    /// # Errors
    /// The sink has given up: what was taken may be lost, so nothing may be checkpointed past it.
    fn emit(&mut self, record: Outgoing) -> Result<(), StoreError>;
    /// Records acknowledged, of those taken, without a gap.
    fn acknowledged(&self) -> u64;
    /// Where the next decision will stand at the least, in the partition of decisions.
    fn decisions_end(&self) -> u64;
}

/// What a pointer brings.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// The newest rule book up to it.
    pub book: Option<RuleBook>,
    /// Those since the last pointer, oldest first.
    pub rulings: Vec<Arc<Ruling>>,
}

/// The control records that every instance has read.
pub trait Control: Send + Sync {
    /// The newest rule book among the control records up to this one, and the rulings among those after `applied`, once they have
    /// been read.
    ///
    /// # Errors
    /// [`ControlError::Impossible`]: there is no such record. [`ControlError::NotYet`]: it was not read in time.
    fn up_to(&self, applied: Option<u64>, offset: u64, wait: Duration) -> Result<Brought, ControlError>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error("the control topic has no such record")]
    Impossible,
    #[error("the control topic was not read so far in time")]
    NotYet,
    /// Perhaps a later version wrote it.
    #[error("rule book {0} of the control topic cannot be read by this version of quoteguard")]
    Unreadable(u32),
    #[error("the ruling at offset {0} of the control topic cannot be read by this version of quoteguard")]
    UnreadableRuling(u64),
}

/// A checkpoint of the state as it stood, to be saved once its emissions are acknowledged.
pub struct Cut {
    pub save: Save,
    /// Emissions that must be acknowledged before.
    pub emitted: u64,
    /// Records taken until then.
    pub taken: u64,
}

pub struct Owner<E> {
    state: State,
    books: Books,
    emit: E,
    frontier: Frontier,
    control: Arc<dyn Control>,
    waiters: Arc<Waiters>,
    metrics: Arc<Metrics>,
    /// What does not follow from the state.
    manifest: Manifest,
    segment: Segment,
    emitted: u64,
    taken: u64,
    is_beginning_gone: bool,
    /// Since it was asked last.
    has_erased: bool,
    diverged: u64,
    /// Beyond so many rule books it looks which of them are needed.
    books_max: usize,
}

/// Rule books that a manifest may name without a look at which of them are needed: 60 bytes each, written with every checkpoint.
const BOOKS_MAX: usize = 64;

impl<E: Emit> Owner<E> {
    pub fn new(
        loaded: Loaded,
        emit: E,
        frontier: Frontier,
        control: Arc<dyn Control>,
        waiters: Arc<Waiters>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let Loaded { state, books, manifest, .. } = loaded;
        let segment = Segment::empty(state.next_offset());
        if let Some(book) = state.rule_book().and_then(|book| books.get(book.hash)) {
            metrics.rule_book(book);
        }
        Owner {
            state,
            books,
            emit,
            frontier,
            control,
            waiters,
            metrics,
            manifest,
            segment,
            emitted: 0,
            taken: 0,
            is_beginning_gone: false,
            has_erased: false,
            diverged: 0,
            books_max: BOOKS_MAX,
        }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Steps one record. Records before the position are ignored: a fetch may begin earlier than asked.
    pub fn take(&mut self, ready: Ready) -> Result<(), WriterError> {
        let Ready { last, token, content } = ready;
        if last.offset < self.state.next_offset() {
            return Ok(());
        }
        let position = Position { partition: self.state.settings().partition, offset: last.offset };
        match content {
            Content::Quote { clock, prepared, product, raw } => {
                let quote = LoggedQuote { position, arrival: ArrivalTime(last.arrival), clock, prepared };
                self.take_quote(quote, product, token.as_deref(), *raw)?;
            }
            Content::Pointer { control, raw } => self.take_pointer(position, control, *raw)?,
            Content::Dead { reason, error, raw } => {
                self.dead_letter(*raw, reason, &error, None)?;
                self.step(&Input::Skipped { position })?;
            }
        }
        self.manifest.last = Some(last);
        self.taken += 1;
        Ok(())
    }

    /// The log is read from its beginning, and earlier records are gone from it.
    pub fn without_beginning(self) -> Self {
        Owner { is_beginning_gone: true, ..self }
    }

    /// Whether attempts were erased since this was asked last: what checkpoints hold of them goes when one is written whole.
    pub fn take_erased(&mut self) -> bool {
        std::mem::take(&mut self.has_erased)
    }

    /// Decisions that were not what had been emitted, so far.
    pub fn diverged(&self) -> u64 {
        self.diverged
    }

    /// Whether there is a record that a checkpoint can be held against.
    pub fn has_read(&self) -> bool {
        self.manifest.last.is_some()
    }

    /// Records taken so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Shows where the partition stands.
    pub fn report(&self) {
        let arrival = self.manifest.last.map(|last| ArrivalTime(last.arrival));
        self.metrics.partition(self.state.settings().partition, &self.state, arrival);
    }

    fn take_quote(
        &mut self,
        quote: LoggedQuote,
        product: &'static str,
        token: Option<&[u8]>,
        raw: Fetched,
    ) -> Result<(), WriterError> {
        let offset = quote.position.offset;
        let prepared = quote.prepared.clone();
        let (tenant, quote_id) = (prepared.print.tenant(), prepared.print.quote_id());
        self.metrics.event_lag(quote.arrival.0.saturating_sub(prepared.submitted_at.0));
        let position = quote.position;
        let span = self.span(offset, token, raw.traceparent.as_deref());
        let _logged = telemetry::logged(span.as_ref()).entered();
        let mut step = self.step(&Input::Quote(quote))?;
        if let Some(span) = &span {
            traced::decided(span, position, &step);
        }
        fault::point("stepped");
        let source = if token.is_some() { Source::Http } else { Source::Stream };
        self.metrics.step(source, product, &step, !self.frontier.is_passed(offset));
        if self.is_beginning_gone && self.manifest.begins_late.is_none() {
            self.manifest.begins_late = step.decisions.first().map(|decision| decision.event_time);
        }
        for (index, decision) in step.decisions.iter().enumerate() {
            self.decision(decision, offset, index as u32, &[], span.as_ref().filter(|_| index == 0))?;
        }
        match &step.outcome {
            Outcome::Duplicate(_) => self.again((tenant, quote_id), offset, None, span.as_ref())?,
            Outcome::IdReused(_) => self.again((tenant, quote_id), offset, Some("id_reused"), span.as_ref())?,
            _ => {}
        }
        if let Some((error, reason, _)) = batch::refusal(&step.outcome) {
            self.dead_letter(raw, reason, &error, batch::refusal_value(&step.outcome))?;
        }
        let id = id_hash(tenant, quote_id);
        if let Some(token) = token.filter(|token| self.waiters.awaited(token) == Some(id)) {
            let text = self.books.applicant_text(&self.state, tenant, quote_id).cloned();
            let decision = if step.decisions.is_empty() { None } else { Some(step.decisions.swap_remove(0)) };
            self.waiters.answer(token, id, offset, Answered { outcome: step.outcome, decision, text });
        }
        Ok(())
    }

    /// Of a quote that is traced. What is decided again after a restart was traced when it was decided first; a quote of HTTP is traced
    /// from there or not at all.
    fn span(&self, offset: u64, token: Option<&[u8]>, traceparent: Option<&str>) -> Option<Span> {
        if !telemetry::is_on() || !self.frontier.is_passed(offset) {
            return None;
        }
        match token {
            Some(_) => telemetry::follow("decide", Kind::Consumer, traceparent),
            None => telemetry::begin("decide", Kind::Consumer, traceparent),
        }
    }

    /// A duplicate changes nothing; who reads decisions learns again what stands.
    fn again(
        &mut self,
        (tenant, quote_id): (&str, &str),
        offset: u64,
        rejected: Option<&'static str>,
        span: Option<&Span>,
    ) -> Result<(), WriterError> {
        let Some(decision) = restate(&self.state, &self.books, tenant, quote_id).map_err(StoreError::from)? else {
            return Ok(());
        };
        let partition = self.state.settings().partition;
        let mut more = vec![(headers::ANSWERS, format!("{partition}/{offset}").into_bytes())];
        more.extend(rejected.map(|reason| (headers::REJECTED, reason.as_bytes().to_vec())));
        self.decision(&decision, offset, 0, &more, span)
    }

    fn take_pointer(&mut self, position: Position, control: u64, raw: Fetched) -> Result<(), WriterError> {
        let input = if self.manifest.control_applied.is_some_and(|applied| control <= applied) {
            Input::Skipped { position }
        } else {
            match self.control.up_to(self.manifest.control_applied, control, CONTROL_WAIT) {
                Ok(brought) => {
                    self.manifest.control_applied = Some(control);
                    self.brought(position, brought)
                }
                Err(ControlError::Impossible) => {
                    let error = "control_offset names no record of the control topic; only quoteguard writes pointers";
                    self.dead_letter(raw, "pointer", error, None)?;
                    Input::Skipped { position }
                }
                Err(error @ ControlError::NotYet) => return Err(StoreError::Unavailable(error.to_string()).into()),
                Err(error @ (ControlError::Unreadable(_) | ControlError::UnreadableRuling(_))) => {
                    return Err(StoreError::Refused(error.to_string()).into());
                }
            }
        };
        self.step(&input)?;
        if self.state.books().len() > self.books_max {
            self.state.forget_books();
            self.books_max = BOOKS_MAX + 2 * self.state.books().len();
        }
        Ok(())
    }

    fn brought(&mut self, position: Position, brought: Brought) -> Input {
        let Brought { book, mut rulings } = brought;
        let book = book.filter(|book| self.state.rule_book().is_none_or(|in_force| in_force.hash != book.hash()));
        let book = book.map(|book| {
            let reference = book.reference();
            self.metrics.rule_book(&book);
            self.books.add(Arc::new(book));
            reference
        });
        // Those of tenants that live elsewhere mean nothing here.
        let partition = position.partition;
        let lives_here = |tenant: &str| {
            NonZeroU32::new(self.manifest.partitions).is_none_or(|all| partition_of(tenant.as_bytes(), all) == partition)
        };
        rulings.retain(|ruling| lives_here(&ruling.tenant));
        self.has_erased |= rulings.iter().any(|ruling| ruling.kind == RulingKind::Erased);
        match (&book, &rulings[..]) {
            (None, []) => Input::Skipped { position },
            _ => Input::Control { position, book, rulings },
        }
    }

    fn step(&mut self, input: &Input) -> Result<Step, WriterError> {
        batch::advance(&mut self.state, &self.books, &mut self.segment, input)
    }

    fn decision(
        &mut self,
        decision: &Decision,
        cause: u64,
        index: u32,
        more: &[(&'static str, Vec<u8>)],
        span: Option<&Span>,
    ) -> Result<(), WriterError> {
        let mut json = Vec::with_capacity(1024);
        write_decision(decision, &mut json);
        match self.frontier.judge((cause, index), &json) {
            Emission::Known => return Ok(()),
            Emission::Diverged | Emission::Missing if self.is_warming_up(decision.event_time) => return Ok(()),
            Emission::Diverged => {
                self.tell_divergence("decision", cause, "a decision differs from the one emitted, which stands");
                return Ok(());
            }
            Emission::Missing => self.tell_divergence("missing", cause, "a decision is missing among those emitted; it is sent"),
            Emission::Send => {}
        }
        let number = |n: u64| n.to_string().into_bytes();
        let mut told = vec![
            (headers::DECISION_ID, decision.decision_id.to_string().into_bytes()),
            (headers::REVISION, number(u64::from(decision.revision))),
            (headers::SOURCE_OFFSET, number(decision.position.offset)),
            (headers::CAUSE_OFFSET, number(cause)),
            (headers::STEP_INDEX, number(u64::from(index))),
            (headers::EPOCH, number(self.manifest.epoch)),
        ];
        told.extend_from_slice(more);
        let span = span.map(|span| span.child("emit decision", Kind::Producer));
        told.extend(span.as_ref().map(|span| (headers::TRACEPARENT, span.traceparent().into_bytes())));
        let key = Some(decision.quote_id.as_bytes().into());
        self.send(Outgoing { kind: OutgoingKind::Decision, key, value: Some(json.into()), headers: told, span })
    }

    /// The bytes as they came, with what is wrong and where they came from.
    fn dead_letter(&mut self, raw: Fetched, reason: &'static str, error: &str, value: Option<String>) -> Result<(), WriterError> {
        self.metrics.dead_letter(reason);
        let mut told = vec![
            (headers::ERROR, format!("{reason}: {error}").into_bytes()),
            (headers::REASON, reason.as_bytes().to_vec()),
            (headers::SOURCE_PARTITION, self.state.settings().partition.to_string().into_bytes()),
            (headers::SOURCE_OFFSET, raw.offset.to_string().into_bytes()),
        ];
        told.extend(value.map(|value| (headers::REASON_VALUE, value.into_bytes())));
        let Fetched { key, value, .. } = raw;
        let length = value.as_ref().map_or(0, |value| value.len());
        let mut cut = false;
        let mut within = |bytes: Box<[u8]>, max: usize| {
            cut |= bytes.len() > max;
            if bytes.len() > max { bytes[..max].into() } else { bytes }
        };
        let (key, value) =
            (key.map(|key| within(key, DEAD_LETTER_KEY_MAX)), value.map(|value| within(value, DEAD_LETTER_BYTES_MAX)));
        if cut {
            told.push((headers::LENGTH, length.to_string().into_bytes()));
        }
        self.send(Outgoing { kind: OutgoingKind::DeadLetter, key, value, headers: told, span: None })
    }

    /// Every one is counted, the first ones and then one of a thousand are logged.
    fn tell_divergence(&mut self, kind: &str, offset: u64, what: &str) {
        self.metrics.diverged(kind);
        if self.diverged < 10 || self.diverged.is_multiple_of(1_000) {
            tracing::error!(offset, count = self.diverged + 1, "{what}");
        }
        self.diverged += 1;
    }

    /// A log whose beginning is gone lacks attempts of the first window: what was decided with them stands, and is no divergence.
    fn is_warming_up(&self, at: EventTime) -> bool {
        self.manifest.begins_late.is_some_and(|first| at.0 - first.0 < self.state.settings().retention_secs * SECOND)
    }

    fn send(&mut self, record: Outgoing) -> Result<(), WriterError> {
        self.emit.emit(record)?;
        fault::point("emitted");
        self.emitted += 1;
        Ok(())
    }

    /// Emissions acknowledged, without a gap.
    pub fn acknowledged(&self) -> u64 {
        self.emit.acknowledged()
    }

    /// Bytes of deltas that no checkpoint holds yet.
    pub fn debt_bytes(&self) -> usize {
        self.segment.deltas.len()
    }

    /// What was decided since the last cut; `None` when there is nothing new.
    pub fn cut(&mut self) -> Option<Cut> {
        if self.segment.to == self.segment.from {
            return None;
        }
        let segment = self.forgive();
        let save = Save::Append { segment, manifest: self.manifest_now(), horizon: batch::kept_from(&self.state).0 };
        Some(Cut { save, emitted: self.emitted, taken: self.taken })
    }

    /// The whole state, whatever was saved of it.
    pub fn cut_whole(&mut self) -> Cut {
        self.forgive();
        let save = Save::Replace { export: self.state.export(), manifest: self.manifest_now() };
        Cut { save, emitted: self.emitted, taken: self.taken }
    }

    /// The manifest of the state as it stands.
    fn manifest_now(&self) -> Manifest {
        // What is found of later records is compared again, should this owner end before it has passed them.
        let (emitted_to, emitted_epoch) = if self.frontier.is_passed(self.state.next_offset()) {
            (self.emit.decisions_end(), self.manifest.epoch)
        } else {
            (self.manifest.emitted_to, self.manifest.emitted_epoch)
        };
        Manifest {
            next_offset: self.state.next_offset(),
            arrivals: self.state.arrivals(),
            books: self.state.books().to_vec(),
            rulings: self.state.rulings().iter().map(|(place, ruling)| (place, ruling.record)).collect(),
            digest: self.state.held_digest(),
            emitted_to,
            emitted_epoch,
            ..self.manifest.clone()
        }
    }

    /// Gives up the deltas since the last cut; without them only a whole cut joins up.
    pub fn forgive(&mut self) -> Segment {
        std::mem::replace(&mut self.segment, Segment::empty(self.state.next_offset()))
    }
}
