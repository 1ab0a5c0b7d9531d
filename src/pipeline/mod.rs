//! The one loop, and the small traits it needs from the world.
//!
//! A source prepares quotes in parallel and submits them to a bounded [`queue`]; the single [`writer`] takes whatever is
//! ready, gives each record its offset, steps the engine, commits the whole batch once and only then answers.

pub mod access;
pub mod api_keys;
pub mod batch;
pub mod books;
pub mod breaker;
pub mod checkpoint;
pub mod clock;
pub mod committed;
pub mod desk;
pub mod fate;
pub mod fixed;
pub mod health;
pub mod letters;
pub mod partition;
pub mod partitioner;
pub mod patience;
pub mod pipelines;
pub mod queue;
pub mod random;
pub mod rebuild;
pub mod recover;
pub mod rulings;
pub mod sign_on;
pub mod traced;
pub mod webhooks;
pub mod whole_file;
pub mod writer;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use rulings::Erasure;

use crate::engine::decide::MissingBook;
use crate::engine::delta::{CorruptDelta, Delta};
use crate::engine::state::Settings;
use crate::engine::step::ArrivalClock;
use crate::engine::time::{ArrivalTime, EventTime};
use crate::vault::VaultError;

/// Records of one batch. Beyond: they wait for the next one.
pub const BATCH_MAX: usize = 512;

/// Decisions of one batch: a late quote may amend thousands. Beyond: the batch is committed, the rest begins the next one.
pub const BATCH_DECISIONS_MAX: usize = 8_192;

/// Where a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Source {
    Http = 0,
    File = 1,
    /// Control records written by the service itself.
    Control = 2,
    /// A topic that others produce to.
    Stream = 3,
    /// A table of a database.
    Table = 4,
}

impl Source {
    pub const ALL: [Source; 5] = [Source::Http, Source::File, Source::Control, Source::Stream, Source::Table];

    pub fn name(self) -> &'static str {
        match self {
            Source::Http => "http",
            Source::File => "file",
            Source::Control => "control",
            Source::Stream => "kafka",
            Source::Table => "postgres",
        }
    }

    pub fn from_code(code: i64) -> Option<Source> {
        Self::ALL.into_iter().find(|source| *source as i64 == code)
    }
}

/// What a log record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    Quote = 0,
    RuleBook = 1,
    /// A record that was no quote: it keeps its place, its bytes are with the dead letters.
    Skipped = 2,
    /// What people decided about a case: the record of `contract::ruling`.
    Ruling = 3,
    /// A rule book that waits for the approval of a second person; it decides nothing.
    Proposal = 4,
}

impl RecordKind {
    pub fn from_code(code: i64) -> Option<RecordKind> {
        let kinds = [RecordKind::Quote, RecordKind::RuleBook, RecordKind::Skipped, RecordKind::Ruling, RecordKind::Proposal];
        kinds.into_iter().find(|kind| *kind as i64 == code)
    }
}

/// One record of the log: with the ones before it, all that is needed to decide it again.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    pub offset: u64,
    pub kind: RecordKind,
    pub clock: ArrivalClock,
    pub arrival: ArrivalTime,
    pub source: Source,
    /// The tenant a body without one belongs to: the API key's, else `default`. Empty for control records.
    pub tenant: Box<str>,
    /// Name of the API key, when one was used.
    pub client: Option<Box<str>>,
    /// A quote as it came; the canonical source of a rule book, proposed ones too; a ruling's JSON; empty when skipped, as an erased
    /// quote is.
    pub body: Vec<u8>,
}

/// A decision on its way to the sink, deduplicated there by (`offset`, `revision`).
#[derive(Clone, Debug, PartialEq)]
pub struct Emitted {
    /// Offset of the decided quote, not of the record that caused an amendment.
    pub offset: u64,
    pub revision: u32,
    pub tenant: Box<str>,
    pub quote_id: Box<str>,
    pub json: Vec<u8>,
}

/// A record that could not be decided, and why. The stream goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    pub offset: u64,
    /// Stable code: `invalid`, `too_long`, `id_reused`, `too_old`, `time_jump`.
    pub reason: &'static str,
    /// What is wrong and how to put it right; no personal data.
    pub error: String,
    /// JSON pointer of the first offending field, empty for the whole.
    pub pointer: String,
    /// File name and line (from 1) for files; name and key for a table.
    pub file: Option<(Box<str>, u64)>,
    /// The bytes as they came; empty where the log holds them at `offset`.
    pub raw: Vec<u8>,
}

/// How far a watched file has been read: the position is that of the next record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePosition {
    pub name: Box<str>,
    /// Tells another file under the same name: length and hash of the first bytes.
    pub ident: FileIdent,
    pub byte_offset: u64,
    /// Lines before `byte_offset`.
    pub lines: u64,
}

/// How far a table has been read: the last row that was taken, in the order of transaction and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePosition {
    /// Of the source.
    pub name: Box<str>,
    /// The transaction that wrote it (`xid8`).
    pub xid: u64,
    pub key: i64,
}

/// What is committed with a record: the position behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    File(FilePosition),
    Table(TablePosition),
}

impl Progress {
    /// Where a dead letter says it came from.
    pub fn place(&self) -> (Box<str>, u64) {
        match self {
            Progress::File(position) => (position.name.clone(), position.lines),
            Progress::Table(position) => (position.name.clone(), position.key.cast_unsigned()),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileIdent {
    pub prefix_bytes: u64,
    pub prefix_hash: u64,
}

/// The deltas of one batch, in order: what a restart applies instead of deciding again.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub from: u64,
    /// Exclusive.
    pub to: u64,
    /// Newest event time inside; once it is out of the live window, so is the whole segment.
    pub max_event_time: EventTime,
    pub deltas: Vec<u8>,
}

impl Segment {
    /// Nothing yet, from this offset on.
    pub fn empty(at: u64) -> Segment {
        Segment { from: at, to: at, max_event_time: EventTime(i64::MIN), deltas: Vec::new() }
    }

    /// Its deltas, in order.
    pub fn read(&self) -> Result<Vec<Delta>, CorruptDelta> {
        let mut bytes = self.deltas.as_slice();
        let mut deltas = Vec::new();
        while !bytes.is_empty() {
            deltas.push(Delta::decode(&mut bytes)?);
        }
        Ok(deltas)
    }
}

/// Everything one commit makes durable, all or nothing.
#[derive(Debug)]
pub struct Batch {
    /// The log.
    pub records: Vec<LogRecord>,
    /// The sink.
    pub decisions: Vec<Emitted>,
    pub dead_letters: Vec<DeadLetter>,
    /// The checkpoint.
    pub segment: Segment,
    pub files: Vec<FilePosition>,
    pub tables: Vec<TablePosition>,
    /// Names of watched files whose positions go; before `files`, should one have come back.
    pub forgotten: Vec<Box<str>>,
    /// Quotes whose copies are emptied, those of this batch included.
    pub erasures: Vec<Erasure>,
    /// Segments with nothing newer than this may be dropped, oldest first.
    pub horizon: EventTime,
}

impl Batch {
    /// A source has come so far.
    fn moved(&mut self, progress: Progress) {
        match progress {
            Progress::File(position) => {
                self.files.retain(|file| file.name != position.name);
                self.files.push(position);
            }
            Progress::Table(position) => {
                self.tables.retain(|table| table.name != position.name);
                self.tables.push(position);
            }
        }
    }
}

/// Log, sink and checkpoint of one partition, as the writer sees them: one call that makes a batch durable.
///
/// Where the three are one file, it is one transaction. Where they are apart, the records are in the log already, and it is the
/// sink first and the checkpoint last: a checkpoint is never past what has been emitted.
pub trait Store: Send {
    /// Makes the batch durable. After [`StoreError::Unavailable`], which means "unknown", it is called again with the same batch,
    /// which is there once. After any other error nothing of the batch is there, and nothing more is to be tried.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;
}

/// A rule book found in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedBook {
    pub offset: u64,
    /// When it was appended.
    pub since: ArrivalTime,
    /// Who brought it.
    pub by: Option<Box<str>>,
    /// Canonical source.
    pub source: Vec<u8>,
}

/// The log read back from its beginning: our own table, or a partition that others write.
pub trait Log: Send {
    /// What it was written under.
    fn settings(&self) -> &Settings;
    /// Records it held when it was opened.
    fn records(&self) -> u64;
    /// The rule book in force at its end: canonical source.
    fn newest_rule_book(&mut self) -> Result<Option<Vec<u8>>, StoreError>;
    /// The next records in order, at most `limit`; empty at the end.
    fn page(&mut self, limit: usize) -> Result<Vec<LogRecord>, StoreError>;
}

/// What a restart applies instead of deciding again.
pub trait CheckpointStore {
    /// The kept segments in order of offset; stops at the first error of `each`.
    fn segments(&mut self, each: &mut dyn FnMut(Segment) -> Result<(), StoreError>) -> Result<(), StoreError>;
    /// Next offset to decide and the last arrival; zero for a new log.
    fn position(&mut self) -> Result<(u64, ArrivalTime), StoreError>;
}

/// What is read without holding up the caller's thread.
pub type Reading<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Decisions as they were published: the sink's own table, or a copy fed from a topic.
pub trait Decisions: Send + Sync {
    /// The newest revision of the newest quote with this id.
    fn newest(&self, tenant: &str, quote_id: &str) -> Reading<Option<Vec<u8>>>;
}

/// Gives the append time of the log.
pub trait Clock: Send {
    fn now(&self) -> ArrivalTime;
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It passes: nothing is known about the last commit, try again.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It does not pass: the stored data contradicts itself. Nothing is guessed, and nothing was committed.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store belongs to something else: another version, other settings, another process.
    #[error("{0}")]
    Refused(String),
}

impl From<MissingBook> for StoreError {
    fn from(missing: MissingBook) -> StoreError {
        StoreError::Damaged(format!("{missing}; run `quoteguard rebuild` to compute the checkpoint from the log again"))
    }
}

impl From<VaultError> for StoreError {
    fn from(error: VaultError) -> StoreError {
        StoreError::Unavailable(error.to_string())
    }
}

impl StoreError {
    /// The same error, with the file that it is about.
    pub fn at(self, path: &Path) -> StoreError {
        let named = |text: String| format!("{}: {text}", path.display());
        match self {
            StoreError::Unavailable(text) => StoreError::Unavailable(named(text)),
            StoreError::Damaged(text) => StoreError::Damaged(named(text)),
            StoreError::Refused(text) => StoreError::Refused(text),
        }
    }
}
