//! Checkpoints that are kept apart from the log: what a partition's owner saves off the decision path, and the next owner loads.

use super::{Segment, StoreError};
use crate::engine::decision::RuleBookRef;
use crate::engine::delta::Delta;
use crate::engine::rulings::Place;
use crate::engine::time::{Arrivals, EventTime};

/// Bytes of deltas that make a segment: one is closed when it has that many.
pub const SEGMENT_BYTES: usize = 256 * 1024;

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
    /// Where each ruling took effect, and the offset of its record in the control topic.
    pub rulings: Vec<(Place, u64)>,
    /// Control records up to here (inclusive) are in force; `None` before the first pointer.
    pub control_applied: Option<u64>,
    /// The record before `next_offset`: tells this log from another one, or from a shorter copy.
    pub last: Option<LastRecord>,
    /// Order-free digest of the live set.
    pub digest: u64,
    /// Where in the partition of decisions everything before is of records before `next_offset`.
    pub emitted_to: u64,
    /// Whose records count from there on: those of earlier epochs are late copies by instances that had lost the partition.
    pub emitted_epoch: u64,
    /// Event time of the first quote of a log whose beginning was gone: for one window, less evidence is held than there was.
    pub begins_late: Option<EventTime>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastRecord {
    pub offset: u64,
    /// Append time, microseconds.
    pub arrival: i64,
    /// CRC-32 of the key, a zero byte and the value.
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

/// Cuts a state that is written anew (`State::export`) into segments, as [`Checkpoints::replace`] takes them.
pub fn cut(export: impl Iterator<Item = Delta>) -> impl Iterator<Item = Segment> {
    let mut export = export.peekable();
    std::iter::from_fn(move || {
        let from = export.peek()?.from;
        let mut segment = Segment::empty(from);
        while segment.deltas.len() < SEGMENT_BYTES {
            let Some(delta) = export.next() else { break };
            delta.encode(&mut segment.deltas);
            segment.to = delta.to;
            let newest = delta.insert.map(|(attempt, _)| attempt.event_time).max(delta.evicted);
            segment.max_event_time = segment.max_event_time.max(newest.unwrap_or(segment.max_event_time));
        }
        Some(segment)
    })
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

impl CheckpointError {
    /// Label of `checkpoint_failures_total`.
    pub fn kind(&self) -> &'static str {
        match self {
            CheckpointError::Fenced { .. } => "fenced",
            CheckpointError::Rewound { .. } => "rewound",
            CheckpointError::Store(StoreError::Unavailable(_)) => "unavailable",
            CheckpointError::Store(StoreError::Damaged(_)) => "damaged",
            CheckpointError::Store(StoreError::Refused(_)) => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_export_is_whole_and_each_segment_follows_the_one_before() {
        let export = |offsets: std::ops::Range<u64>| {
            offsets.map(|i| Delta {
                from: i * 3,
                to: i * 3 + 3,
                evicted: (i == 0).then_some(EventTime(7)),
                rule_book: Some(RuleBookRef::default()),
                ..Delta::default()
            })
        };
        let segments: Vec<Segment> = cut(export(0..20_000)).collect();
        assert!(segments.len() > 2 && segments.iter().rev().skip(1).all(|segment| segment.deltas.len() >= SEGMENT_BYTES));
        assert!(segments.windows(2).all(|pair| pair[0].to == pair[1].from));
        assert_eq!((segments[0].from, segments[segments.len() - 1].to), (0, 60_000));
        // What the caps evicted is told as long as it may matter.
        assert_eq!((segments[0].max_event_time, segments[1].max_event_time), (EventTime(7), EventTime(i64::MIN)));
        let mut whole = Vec::new();
        export(0..20_000).for_each(|delta| delta.encode(&mut whole));
        assert_eq!(segments.into_iter().flat_map(|segment| segment.deltas).collect::<Vec<_>>(), whole);
        assert_eq!(cut(export(0..0)).count(), 0);
    }
}
