//! Checkpoints that are kept apart from the log: what a partition's owner saves off the decision path, and the next owner loads.

use super::{Segment, StoreError};
use crate::engine::decision::RuleBookRef;
use crate::engine::time::Arrivals;

/// Everything of a partition's state that outlives its segments, and how the segments fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The record to read next: everything before it is in the segments or has expired.
    pub next_offset: u64,
    /// Of the owner that wrote it: the offset of its claim record. A lower one is refused.
    pub epoch: u64,
    pub engine_version: Box<str>,
    /// Settings the state was made under, in their canonical text: another text needs a rebuild from the log.
    pub settings: Box<str>,
    /// Partitions of the topic when the log was made.
    pub partitions: u32,
    pub arrivals: Arrivals,
    /// Rule books by the offset from which each is in force, oldest first.
    pub books: Vec<(u64, RuleBookRef)>,
    /// Control records up to here (inclusive) are in force; `None` before the first pointer.
    pub control_applied: Option<u64>,
    /// The record before `next_offset`: tells this log from another one, or from a shorter copy.
    pub last: Option<LastRecord>,
    /// Order-free digest of the live set.
    pub digest: u64,
    /// Where in the partition of decisions everything before is of records before `next_offset`.
    pub emitted_to: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastRecord {
    pub offset: u64,
    /// Append time, microseconds.
    pub arrival: i64,
    /// CRC-32C of key and value.
    pub crc: u32,
}

/// Checkpoints of one partition.
///
/// Losing acknowledged writes must cost replay time only: the log is the truth.
pub trait Checkpoints: Send {
    /// The stored manifest; `None` for a partition that was never checkpointed. Checks version and checksum.
    fn manifest(&mut self) -> Result<Option<Manifest>, StoreError>;

    /// The kept segments, oldest first, in chunks; stops at the first error of `each`.
    fn segments(&mut self, each: &mut dyn FnMut(Segment) -> Result<(), StoreError>) -> Result<(), StoreError>;

    /// Appends the segments, drops whole segments at the front with nothing newer than `horizon` (the newest always stays), and
    /// replaces the manifest: all or nothing, and only if the stored one stands at `base` (`None`: nothing is stored) and has no
    /// higher epoch. A write that was done already is `Ok`.
    fn append(
        &mut self,
        base: Option<u64>,
        segments: &[Segment],
        horizon: i64,
        manifest: &Manifest,
    ) -> Result<(), CheckpointError>;

    /// Replaces whatever is stored by these segments and this manifest, all or nothing, unless a higher epoch is stored.
    fn replace(&mut self, segments: &mut dyn Iterator<Item = Segment>, manifest: &Manifest) -> Result<(), CheckpointError>;
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Another instance has claimed the partition since: this one must stop.
    #[error("the partition was claimed by another instance (epoch {stored} is stored, ours is {ours})")]
    Fenced { stored: u64, ours: u64 },
    /// The store went back in time or was emptied: everything after `stored` must be sent again.
    #[error("the stored checkpoint stands at {stored:?}, not where it was left")]
    Rewound { stored: Option<u64> },
    #[error(transparent)]
    Store(#[from] StoreError),
}
