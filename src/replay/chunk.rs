//! What travels between the stages.

use std::sync::Arc;

use crate::adapters::file::{Columns, Reject};
use crate::engine::decide::Prepared;
use crate::engine::decision::Decision;
use crate::pipeline::LogRecord;

/// Records of one chunk. A few hundred: the cache holds them, and the hand-over is nothing beside the work.
pub const CHUNK_RECORDS: usize = 512;

/// Consecutive records as they came.
pub enum Chunk {
    Lines(Lines),
    Log(Vec<LogRecord>),
}

pub struct Lines {
    pub file: Arc<str>,
    /// Of a CSV file.
    pub columns: Option<Arc<Columns>>,
    pub bytes: Vec<u8>,
    pub records: Vec<Line>,
}

/// One record within [`Lines::bytes`], ending at `end`.
#[derive(Clone, Copy)]
pub struct Line {
    pub end: usize,
    /// Of its last line, from 1.
    pub number: u64,
    pub is_too_long: bool,
}

/// The same records, ready for the decider.
pub struct Ready {
    pub chunk: Chunk,
    /// Parallel to the chunk's.
    pub records: Vec<ReadyRecord>,
}

pub enum ReadyRecord {
    Quote(Arc<Prepared>),
    /// A rule book of a recorded log.
    RuleBook,
    /// A ruling of a recorded log.
    Ruling,
    /// Not a quote; `None` where the recorded log has the dead letter already.
    Skipped(Option<Box<Reject>>),
    /// Measured only up to here.
    Counted,
}

/// What one chunk emits.
pub struct Emit {
    pub decisions: Vec<Decision>,
    pub rejects: Vec<Reject>,
}

impl Chunk {
    pub fn len(&self) -> usize {
        match self {
            Chunk::Lines(lines) => lines.records.len(),
            Chunk::Log(records) => records.len(),
        }
    }

    /// The bytes of record `i` as they came.
    pub fn raw(&self, i: usize) -> &[u8] {
        match self {
            Chunk::Lines(lines) => lines.raw(i),
            Chunk::Log(records) => &records[i].body,
        }
    }

    /// A reject of record `i`. In a recorded log the line is the offset plus one.
    pub fn reject(&self, i: usize, error: String, pointer: String) -> Reject {
        let (file, line) = match self {
            Chunk::Lines(lines) => (&*lines.file, lines.records[i].number),
            Chunk::Log(records) => ("log", records[i].offset + 1),
        };
        Reject { file: file.into(), line, error, pointer, raw: self.raw(i).to_vec() }
    }
}

impl Lines {
    pub fn raw(&self, i: usize) -> &[u8] {
        let start = i.checked_sub(1).map_or(0, |before| self.records[before].end);
        &self.bytes[start..self.records[i].end]
    }
}
