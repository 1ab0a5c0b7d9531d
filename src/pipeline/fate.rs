//! What became of quotes whose submitter was told 202: pending, or refused after all. A decision is in the store.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::step::Outcome;

/// Refusals remembered. Beyond: the oldest is forgotten, and the quote is one never seen.
const REFUSALS_MAX: usize = 4_096;
/// How long. After that the quote is one never seen; the dead letters keep the refusal.
const REFUSAL_REMEMBERED: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// Taken, and not durable yet.
    Pending,
    /// The newest record with this id was refused, and nobody has been told.
    Refused(Outcome),
}

#[derive(Debug)]
struct Refusal {
    /// Of the refused record.
    offset: u64,
    outcome: Outcome,
    since: Instant,
}

#[derive(Debug, Default)]
struct Known {
    /// Marks on each quote. Bounded by the queue and one batch.
    pending: HashMap<u128, u32>,
    refused: HashMap<u128, Refusal>,
    /// Keys of `refused` with their offsets, oldest first; an entry whose offset has moved on says nothing.
    order: VecDeque<(u128, u64)>,
}

/// By hash of tenant and id.
#[derive(Debug, Default)]
pub struct Fates(Mutex<Known>);

fn key(tenant: &str, quote_id: &str) -> u128 {
    // Neither holds a NUL, so it separates them.
    xxhash_rust::xxh3::xxh3_128([tenant.as_bytes(), b"\0", quote_id.as_bytes()].concat().as_slice())
}

impl Fates {
    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn mark(self: &Arc<Self>, tenant: &str, quote_id: &str) -> Mark {
        let key = key(tenant, quote_id);
        self.with(|known| *known.pending.entry(key).or_insert(0) += 1);
        Mark { fates: self.clone(), key, is_held: true }
    }

    pub(super) fn get(&self, tenant: &str, quote_id: &str) -> Option<Fate> {
        let key = key(tenant, quote_id);
        self.with(|known| {
            if known.pending.contains_key(&key) {
                return Some(Fate::Pending);
            }
            let refusal = known.refused.get(&key).filter(|refusal| refusal.since.elapsed() < REFUSAL_REMEMBERED)?;
            Some(Fate::Refused(refusal.outcome.clone()))
        })
    }

    /// A quote decided at an offset has no earlier refusal any more. Call it with what one batch decided.
    pub(super) fn decided<'a>(&self, quotes: impl Iterator<Item = (&'a str, &'a str, u64)>) {
        self.with(|known| {
            if known.refused.is_empty() {
                return;
            }
            for (tenant, quote_id, offset) in quotes {
                let key = key(tenant, quote_id);
                if known.refused.get(&key).is_some_and(|refusal| refusal.offset < offset) {
                    known.refused.remove(&key);
                }
            }
        });
    }
}

impl Known {
    fn release(&mut self, key: u128) {
        match self.pending.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.pending.remove(&key);
            }
        }
    }

    fn refuse(&mut self, key: u128, offset: u64, outcome: Outcome) {
        self.refused.insert(key, Refusal { offset, outcome, since: Instant::now() });
        self.order.push_back((key, offset));
        while self.order.len() > REFUSALS_MAX || self.order.front().is_some_and(|(key, offset)| self.is_over(key, *offset)) {
            let Some((key, offset)) = self.order.pop_front() else { return };
            if self.refused.get(&key).is_some_and(|refusal| refusal.offset == offset) {
                self.refused.remove(&key);
            }
        }
    }

    /// Replaced, withdrawn, or too long ago.
    fn is_over(&self, key: &u128, offset: u64) -> bool {
        let refusal = self.refused.get(key).filter(|refusal| refusal.offset == offset);
        refusal.is_none_or(|refusal| refusal.since.elapsed() >= REFUSAL_REMEMBERED)
    }
}

/// One record's mark on its quote. Gone, the record is no longer pending, whatever others with the same id are.
#[derive(Debug)]
pub struct Mark {
    fates: Arc<Fates>,
    key: u128,
    is_held: bool,
}

impl Mark {
    /// The record at `offset` is durable. `tell` its submitter, or give back the outcome that nobody waits for: a refusal is
    /// then remembered, unless a decision stands under the id. In one piece: whoever was told, or asks, finds the quote no
    /// longer pending and what became of it.
    pub(super) fn settle(mut self, offset: u64, tell: impl FnOnce() -> Result<(), Outcome>) {
        self.is_held = false;
        self.fates.with(|known| {
            known.release(self.key);
            known.refused.remove(&self.key);
            if let Err(outcome @ (Outcome::TooOld { .. } | Outcome::TimeJump { .. })) = tell() {
                known.refuse(self.key, offset, outcome);
            }
        });
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if self.is_held {
            self.fates.with(|known| known.release(self.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Outcome = Outcome::TooOld { behind_secs: 1 };

    #[test]
    fn a_quote_is_pending_until_its_last_mark_is_gone() {
        let fates = Arc::<Fates>::default();
        let (first, second) = (fates.mark("t", "q"), fates.mark("t", "q"));
        drop(first);
        assert_eq!(fates.get("t", "q"), Some(Fate::Pending));
        assert_eq!(fates.get("u", "q"), None);
        drop(second);
        assert_eq!(fates.get("t", "q"), None);
    }

    #[test]
    fn a_refusal_is_remembered_until_the_id_is_decided_or_answered_later() {
        let fates = Arc::<Fates>::default();
        fates.mark("t", "q").settle(5, || Err(OLD));
        assert_eq!(fates.get("t", "q"), Some(Fate::Refused(OLD)));
        fates.decided([("t", "q", 4)].into_iter());
        assert_eq!(fates.get("t", "q"), Some(Fate::Refused(OLD)), "an amendment of an earlier quote");
        fates.decided([("t", "q", 6)].into_iter());
        assert_eq!(fates.get("t", "q"), None);
        fates.mark("t", "q").settle(7, || Err(OLD));
        fates.mark("t", "q").settle(8, || Err(Outcome::Decided));
        assert_eq!(fates.get("t", "q"), None);
    }

    #[test]
    fn only_the_newest_refusals_are_kept() {
        let fates = Arc::<Fates>::default();
        let more = REFUSALS_MAX as u64 + 10;
        for offset in 0..more {
            fates.mark("t", &offset.to_string()).settle(offset, || Err(OLD));
            fates.mark("t", "again").settle(offset, || Err(OLD));
        }
        fates.with(|known| assert!(known.refused.len() <= REFUSALS_MAX && known.order.len() <= REFUSALS_MAX));
        assert_eq!(fates.get("t", "0"), None);
        assert_eq!(fates.get("t", "again"), Some(Fate::Refused(OLD)));
        assert_eq!(fates.get("t", &(more - 1).to_string()), Some(Fate::Refused(OLD)));
    }
}
