//! What a partition's owner knows of the stored checkpoint, and what an append makes of it.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64;

use super::manifest::{self, Listed};
use super::segment::{self, Seal};
use crate::engine::time::{EventTime, HOUR};
use crate::pipeline::checkpoint::{Manifest, SEGMENT_BYTES};
use crate::pipeline::{Segment, StoreError};

/// A stored checkpoint: the default is that nothing is stored.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The manifest to the byte: a write names it, and happens only if it is still the stored one. Empty when there is none.
    pub text: String,
    pub manifest: Option<Manifest>,
    /// Newest event time of each stored segment, oldest first.
    pub newest: VecDeque<EventTime>,
    /// The last segment, when it is small enough to be stored again with more in it: a checkpoint every second would otherwise
    /// make a segment every second.
    tail: Option<Segment>,
    /// Hash of the last segment as stored.
    tail_hash: u64,
}

/// Segments on their way into the list.
#[derive(Debug, Default)]
pub struct Change {
    /// Take the last one off first: it is the first of `push`, with more in it.
    pub is_tail_replaced: bool,
    pub push: Vec<Vec<u8>>,
    /// Drop so many at the front afterwards.
    pub drop: usize,
}

impl Known {
    /// Takes in a segment as it is stored.
    pub fn list(&mut self, segment: Segment, stored: &[u8]) {
        self.newest.push_back(segment.max_event_time);
        self.tail_hash = xxh3_64(stored);
        self.tail = Some(segment).filter(|segment| segment.deltas.len() < SEGMENT_BYTES);
    }

    pub fn listed(&self) -> Listed {
        Listed { segments: self.newest.len(), tail: self.tail_hash }
    }

    pub fn next_offset(&self) -> Option<u64> {
        self.manifest.as_ref().map(|manifest| manifest.next_offset)
    }

    /// Once the list is as it will be.
    pub fn seal(&mut self, manifest: &Manifest) -> Result<(), StoreError> {
        self.text = manifest::encode(manifest, self.listed())?;
        self.manifest = Some(manifest.clone());
        Ok(())
    }

    /// What is known once `segments` are there, those at the front with nothing newer than `horizon` are gone, and `manifest` is
    /// the stored one.
    pub fn append(
        &self,
        segments: &[Segment],
        horizon: EventTime,
        manifest: &Manifest,
        seal: &Seal,
    ) -> Result<(Known, Change), StoreError> {
        follow(self.next_offset(), segments, manifest.next_offset)?;
        let mut known = self.clone();
        let mut change = Change::default();
        let mut open = None;
        if let Some(tail) = known.tail.take_if(|tail| segments.first().is_some_and(|first| fits(tail, first))) {
            known.newest.pop_back();
            change.is_tail_replaced = true;
            open = Some(tail);
        }
        for segment in segments {
            match &mut open {
                Some(open) if fits(open, segment) => join(open, segment),
                _ => {
                    if let Some(whole) = open.replace(segment.clone()) {
                        change.push(&mut known, whole, seal)?;
                    }
                }
            }
        }
        if let Some(last) = open {
            change.push(&mut known, last, seal)?;
        }
        while known.newest.len() > 1 && known.newest.front().is_some_and(|newest| *newest < horizon) {
            known.newest.pop_front();
            change.drop += 1;
        }
        known.seal(manifest)?;
        Ok((known, change))
    }
}

impl Change {
    fn push(&mut self, known: &mut Known, segment: Segment, seal: &Seal) -> Result<(), StoreError> {
        let stored = segment::encode(&segment, seal)?;
        known.list(segment, &stored);
        self.push.push(stored);
        Ok(())
    }
}

/// Of one hour, for a segment goes as a whole, and nobody's data should stay much longer than the window.
fn fits(open: &Segment, next: &Segment) -> bool {
    let hours =
        [open, next].map(|segment| segment.max_event_time.0).map(|time| (time != i64::MIN).then(|| time.div_euclid(HOUR)));
    let is_one_hour = hours[0] == hours[1] || hours.contains(&None);
    is_one_hour && open.deltas.len() + next.deltas.len() <= SEGMENT_BYTES
}

fn join(open: &mut Segment, next: &Segment) {
    open.to = next.to;
    open.max_event_time = open.max_event_time.max(next.max_event_time);
    open.deltas.extend_from_slice(&next.deltas);
}

/// Segments that leave something out are never stored: a restart could not tell it from a loss.
///
/// # Errors
/// [`StoreError::Refused`] with where the chain breaks.
pub fn follow(from: Option<u64>, segments: &[Segment], to: u64) -> Result<(), StoreError> {
    let mut next = from;
    for segment in segments {
        if next.is_some_and(|next| next != segment.from) {
            return Err(broken(segment.from, next));
        }
        next = Some(segment.to);
    }
    if next.is_some_and(|next| next != to) { Err(broken(to, next)) } else { Ok(()) }
}

fn broken(at: u64, expected: Option<u64>) -> StoreError {
    StoreError::Refused(format!("a checkpoint that goes on at offset {at} does not follow one that ends at {expected:?}"))
}
