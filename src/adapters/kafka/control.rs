//! The control topic: which log this is, its rule books in order, those that are proposed, and who claims which partition.

mod record;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use record::ControlRecord;
pub(super) use record::ruling_of;

use super::error::KafkaError;
use super::producer::{Delivered, DeliveryError, Outgoing, Producer};
use super::read::{From, Item, Reader, read};
use super::settings::{KafkaConfig, Topic};
use crate::contract::kafka as headers;
use crate::engine::decision::RuleBookRef;
use crate::pipeline::books::PROPOSALS_MAX;

const CONTROL_PARTITION: i32 = 0;
/// What is published is waited for so long.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(30);
/// Tries of a claim whose offset was not told.
const CLAIM_TRIES: usize = 3;
const TICK: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);

/// The identity of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// 32 hex digits.
    pub log_id: String,
    /// Of `quotes`.
    pub partitions: u32,
    pub settings: BTreeMap<String, String>,
}

/// A rule book that counts, or that is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlBook {
    /// Of its record in the control topic.
    pub offset: u64,
    pub version: u32,
    /// 16 hex digits.
    pub hash: String,
    /// Who brought it.
    pub by: Option<String>,
    /// Milliseconds since 1970; 0 when the topic does not tell.
    pub appended_ms: i64,
    /// Canonical source.
    pub source: Arc<str>,
}

/// A ruling, whatever release wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRuling {
    /// Of its record in the control topic.
    pub offset: u64,
    pub json: Arc<[u8]>,
}

impl ControlBook {
    pub fn reference(&self) -> RuleBookRef {
        RuleBookRef { version: self.version, hash: u64::from_str_radix(&self.hash, 16).unwrap_or_default() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    Accepted(ControlBook),
    /// Another book took the place: look at it, and decide anew.
    Overtaken(ControlBook),
}

#[derive(Default)]
struct Seen {
    /// Everything before it was read.
    next: u64,
    log: Option<LogInfo>,
    /// In order of offset, versions 1, 2, ...
    books: Vec<ControlBook>,
    /// In order of offset.
    rulings: Vec<ControlRuling>,
    /// In order of offset, the newest.
    proposals: Vec<ControlBook>,
    /// Why nothing more is read.
    failed: Option<String>,
}

impl Seen {
    fn take(&mut self, offset: u64, appended_ms: i64, value: Option<&[u8]>) {
        self.next = offset + 1;
        match value.and_then(ControlRecord::parse) {
            Some(ControlRecord::Log { log_id, partitions, settings }) if self.log.is_none() => {
                self.log = Some(LogInfo { log_id, partitions, settings });
            }
            Some(ControlRecord::Book { source, version, hash, by }) if version == self.last_version() + 1 => {
                self.books.push(ControlBook { offset, version, hash, by, appended_ms, source: source.into() });
            }
            Some(ControlRecord::Ruling { ruling }) => {
                self.rulings.push(ControlRuling { offset, json: ruling.to_string().into_bytes().into() });
            }
            Some(ControlRecord::Proposal { source, version, hash, by }) => {
                let by = Some(by);
                self.proposals.push(ControlBook { offset, version, hash, by, appended_ms, source: source.into() });
                let over = self.proposals.len().saturating_sub(PROPOSALS_MAX);
                self.proposals.drain(..over);
            }
            Some(
                ControlRecord::Log { .. } | ControlRecord::Book { .. } | ControlRecord::Claim { .. } | ControlRecord::Unknown,
            ) => {}
            None => tracing::warn!(offset, "a control record cannot be read and is skipped"),
        }
    }

    fn last_version(&self) -> u32 {
        self.books.last().map_or(0, |book| book.version)
    }
}

/// The control topic as it is now.
#[derive(Clone, Debug)]
pub struct ControlCopy {
    pub log: LogInfo,
    /// In order of offset, versions 1, 2, ...
    pub books: Vec<ControlBook>,
    /// In order of offset.
    pub rulings: Vec<ControlRuling>,
    /// The newest that were proposed, in order of offset.
    pub proposals: Vec<ControlBook>,
    /// Offsets before it are there and were read.
    pub next: u64,
}

impl ControlCopy {
    /// # Errors
    /// No brokers, no topic, or one that `topics create` has not written to.
    pub fn read(config: &KafkaConfig) -> Result<ControlCopy, KafkaError> {
        let mut seen = Seen::default();
        let end = read(config, Topic::Control, CONTROL_PARTITION, From::Beginning, &mut |record| {
            seen.take(record.offset(), record.append_time_ms(), record.value());
            ControlFlow::Continue(())
        })?;
        let log = seen.log.ok_or_else(|| no_log(&config.topics.control))?;
        Ok(ControlCopy { log, books: seen.books, rulings: seen.rulings, proposals: seen.proposals, next: end.next })
    }
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the control topic on a thread of its own, and writes to it.
pub struct Control {
    shared: Arc<Shared>,
    producer: Arc<Producer>,
    log: LogInfo,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Reads the topic up to its present end, then follows it.
    ///
    /// # Errors
    /// No brokers, no topic, or one that `topics create` has not written to.
    pub fn start(config: &KafkaConfig, producer: Arc<Producer>) -> Result<Control, KafkaError> {
        let ControlCopy { log, books, rulings, proposals, next } = ControlCopy::read(config)?;
        let seen = Seen { next, log: Some(log.clone()), books, rulings, proposals, failed: None };
        let shared = Arc::new(Shared { seen: Mutex::new(seen), ..Shared::default() });
        let (following, config) = (shared.clone(), config.clone());
        let thread = thread::Builder::new().name("kafka-control".to_owned()).spawn(move || follow(&config, &following));
        let thread = thread.map_err(|error| KafkaError::Unavailable(format!("starting the control thread: {error}")))?;
        Ok(Control { shared, producer, log, thread: Some(thread) })
    }

    pub fn log(&self) -> &LogInfo {
        &self.log
    }

    /// Offsets before it are there and were read.
    pub fn next_offset(&self) -> u64 {
        self.shared.seen().next
    }

    /// Waits until the record at `offset` was read. `false`: not in time; perhaps it does not exist.
    pub fn wait_for(&self, offset: u64, patience: Duration) -> Result<bool, KafkaError> {
        let is_missing = |seen: &mut Seen| seen.next <= offset && seen.failed.is_none();
        let seen = self.shared.changed.wait_timeout_while(self.shared.seen(), patience, is_missing);
        let (seen, _) = seen.unwrap_or_else(PoisonError::into_inner);
        match &seen.failed {
            Some(reason) if seen.next <= offset => Err(KafkaError::Refused(reason.clone())),
            _ => Ok(seen.next > offset),
        }
    }

    /// The newest book whose record is at `offset` or before it.
    pub fn book_up_to(&self, offset: u64) -> Option<ControlBook> {
        let seen = self.shared.seen();
        seen.books[..seen.books.partition_point(|book| book.offset <= offset)].last().cloned()
    }

    /// The books of later versions, oldest first.
    pub fn books_after(&self, version: u32) -> Vec<ControlBook> {
        let seen = self.shared.seen();
        seen.books[seen.books.partition_point(|book| book.version <= version)..].to_vec()
    }

    /// The newest book with this content.
    pub fn book_with(&self, hash: u64) -> Option<ControlBook> {
        let hash = format!("{hash:016x}");
        self.shared.seen().books.iter().rev().find(|book| book.hash == hash).cloned()
    }

    /// The rulings whose records are after `after` (`None`: from the first) and at `offset` or before it, oldest first.
    pub fn rulings_between(&self, after: Option<u64>, offset: u64) -> Vec<ControlRuling> {
        between(&self.shared.seen().rulings, after, offset).to_vec()
    }

    pub fn last_book(&self) -> Option<ControlBook> {
        self.shared.seen().books.last().cloned()
    }

    /// The newest books that were proposed, oldest first, overtaken ones among them.
    pub fn proposals(&self) -> Vec<ControlBook> {
        self.shared.seen().proposals.clone()
    }

    /// Proposes a book as the one after version `after`, if that still is the last.
    ///
    /// # Errors
    /// After [`KafkaError::Unavailable`] it is not known whether the proposal is there.
    ///
    /// Gives the last book when that is another one: nothing was proposed.
    pub fn publish_proposal(&self, source: &str, hash: u64, after: u32, by: &str) -> Result<Option<ControlBook>, KafkaError> {
        if let Some(last) = self.last_book().filter(|last| last.version != after) {
            return Ok(Some(last));
        }
        let (source, hash, by) = (source.to_owned(), format!("{hash:016x}"), by.to_owned());
        let Delivered { offset, .. } = self.publish(&ControlRecord::Proposal { source, version: after + 1, hash, by })?;
        let offset = offset.ok_or_else(|| KafkaError::Unavailable("kafka did not tell where the proposal is".into()))?;
        if !self.wait_for(offset, PUBLISH_PATIENCE)? {
            return Err(KafkaError::Unavailable(format!("the control topic was not read up to {offset} in time")));
        }
        Ok(None)
    }

    /// Publishes a book as the one after version `after` (0: the first), if that still is the last.
    ///
    /// # Errors
    /// After [`KafkaError::Unavailable`] it is not known whether the book is there: look at the last one before a new try.
    pub fn publish_book(&self, source: &str, hash: u64, after: u32, by: &str) -> Result<Published, KafkaError> {
        if let Some(last) = self.last_book().filter(|last| last.version != after) {
            return Ok(Published::Overtaken(last));
        }
        let version = after + 1;
        let (source, hash, by) = (source.to_owned(), format!("{hash:016x}"), Some(by.to_owned()));
        let book = ControlRecord::Book { source, version, hash, by };
        let Delivered { offset, .. } = self.publish(&book)?;
        let offset = offset.ok_or_else(|| KafkaError::Unavailable("kafka did not tell where the rule book is".into()))?;
        if !self.wait_for(offset, PUBLISH_PATIENCE)? {
            return Err(KafkaError::Unavailable(format!("the control topic was not read up to {offset} in time")));
        }
        let seen = self.shared.seen();
        match seen.books.iter().find(|book| book.version == version) {
            Some(book) if book.offset == offset => Ok(Published::Accepted(book.clone())),
            Some(book) => Ok(Published::Overtaken(book.clone())),
            // Somebody wrote version numbers that do not follow each other.
            None => Err(KafkaError::Refused(format!(
                "rule book {version} does not follow {} in the control topic",
                seen.last_version()
            ))),
        }
    }

    /// Publishes a ruling and waits until it was read back: its offset.
    ///
    /// # Errors
    /// After [`KafkaError::Unavailable`] it is not known whether the ruling is there.
    pub fn publish_ruling(&self, ruling: serde_json::Value) -> Result<u64, KafkaError> {
        let Delivered { offset, .. } = self.publish(&ControlRecord::Ruling { ruling })?;
        let offset = offset.ok_or_else(|| KafkaError::Unavailable("kafka did not tell where the ruling is".into()))?;
        if !self.wait_for(offset, PUBLISH_PATIENCE)? {
            return Err(KafkaError::Unavailable(format!("the control topic was not read up to {offset} in time")));
        }
        Ok(offset)
    }

    /// Claims a partition. The epoch: higher than that of every earlier claim.
    pub fn publish_claim(&self, partition: i32, instance: &str) -> Result<u64, KafkaError> {
        let claim = ControlRecord::Claim { partition, instance: instance.to_owned() };
        for _ in 0..CLAIM_TRIES {
            if let Delivered { offset: Some(epoch), .. } = self.publish(&claim)? {
                return Ok(epoch);
            }
        }
        Err(KafkaError::Unavailable("kafka did not tell where the claim is".into()))
    }

    /// Says in a partition of `quotes` that the control topic is in force up to `offset`, inclusive.
    pub fn publish_pointer(&self, partition: i32, offset: u64) -> Result<Delivered, KafkaError> {
        self.send(&pointer(partition, offset))
    }

    fn publish(&self, record: &ControlRecord) -> Result<Delivered, KafkaError> {
        self.send(&outgoing(record))
    }

    fn send(&self, record: &Outgoing) -> Result<Delivered, KafkaError> {
        self.producer.send_and_wait(record, PUBLISH_PATIENCE).map_err(|error| match error {
            DeliveryError::Refused(reason) => KafkaError::Refused(reason),
            DeliveryError::Unknown(reason) => KafkaError::Unavailable(reason),
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the control thread has panicked");
        }
    }
}

/// Those of the rulings, which are in order, that lie so.
pub fn between(rulings: &[ControlRuling], after: Option<u64>, offset: u64) -> &[ControlRuling] {
    let from = after.map_or(0, |after| rulings.partition_point(|ruling| ruling.offset <= after));
    let to = rulings.partition_point(|ruling| ruling.offset <= offset);
    &rulings[from.min(to)..to]
}

/// The pointer record itself, for those who send it along with others.
pub fn pointer(partition: i32, offset: u64) -> Outgoing {
    let value = format!("{{\"control_offset\":{offset}}}").into_bytes();
    Outgoing {
        topic: Topic::Quotes,
        partition: Some(partition),
        key: None,
        value: Some(value),
        headers: vec![(headers::POINTER, b"1".to_vec())],
    }
}

pub(super) fn outgoing(record: &ControlRecord) -> Outgoing {
    Outgoing {
        topic: Topic::Control,
        partition: Some(CONTROL_PARTITION),
        key: Some(record.key().into_bytes()),
        value: Some(record.to_json()),
        headers: Vec::new(),
    }
}

/// The first `log` record, if there is one.
pub(super) fn find_log(config: &KafkaConfig) -> Result<Option<LogInfo>, KafkaError> {
    let mut seen = Seen::default();
    read(config, Topic::Control, CONTROL_PARTITION, From::Beginning, &mut |record| {
        seen.take(record.offset(), record.append_time_ms(), record.value());
        if seen.log.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(seen.log)
}

fn no_log(topic: &str) -> KafkaError {
    KafkaError::Refused(format!("{topic} names no log: run `quoteguard topics create`"))
}

/// Reads on until it is told to stop, or the topic was cut; all else is tried again from where it stood, for the topic was there at
/// the start.
fn follow(config: &KafkaConfig, shared: &Shared) {
    while !shared.stop.load(Ordering::Relaxed) {
        match follow_once(config, shared) {
            Ok(()) => return,
            Err(error @ (KafkaError::Unavailable(_) | KafkaError::Refused(_))) => {
                tracing::warn!(%error, "the control topic cannot be read now");
                // Woken early by nobody, and short: a stop waits for it.
                thread::sleep(RETRY);
            }
            Err(error) => {
                tracing::error!(%error, "the control topic is not followed any more");
                shared.seen().failed = Some(error.to_string());
                shared.changed.notify_all();
                return;
            }
        }
    }
}

fn follow_once(config: &KafkaConfig, shared: &Shared) -> Result<(), KafkaError> {
    let reader = Reader::open(config, Topic::Control)?;
    reader.begin(&[(CONTROL_PARTITION, From::Offset(shared.seen().next))])?;
    while !shared.stop.load(Ordering::Relaxed) {
        if let Some(Item::Record(record)) = reader.next(TICK)? {
            shared.seen().take(record.offset(), record.append_time_ms(), record.value());
            shared.changed.notify_all();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(version: u32, source: &str) -> Vec<u8> {
        ControlRecord::Book { source: source.into(), version, hash: String::new(), by: None }.to_json()
    }

    #[test]
    fn of_two_books_with_one_version_the_first_counts() {
        let mut seen = Seen::default();
        for (offset, (version, source)) in (3..).zip([(1, "a"), (1, "b"), (3, "c"), (2, "d"), (2, "e"), (3, "f")]) {
            seen.take(offset, 0, Some(&book(version, source)));
        }
        seen.take(20, 0, Some(b"junk"));
        seen.take(21, 0, None);
        let counted: Vec<(u64, u32, &str)> = seen.books.iter().map(|book| (book.offset, book.version, &*book.source)).collect();
        assert_eq!(counted, [(3, 1, "a"), (6, 2, "d"), (8, 3, "f")]);
        assert_eq!(seen.next, 22);
    }

    #[test]
    fn the_first_log_counts() {
        let mut seen = Seen::default();
        for (offset, id) in (0..).zip(["a", "b"]) {
            let log = ControlRecord::Log { log_id: id.into(), partitions: 1, settings: BTreeMap::new() };
            seen.take(offset, 0, Some(&log.to_json()));
        }
        assert_eq!(seen.log.map(|log| log.log_id), Some("a".to_owned()));
    }
}
