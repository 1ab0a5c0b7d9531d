//! The bounded way into the log. Full means: HTTP sheds before acceptance, files wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{DeadLetter, FilePosition, Source};
use crate::engine::decide::Prepared;
use crate::engine::decision::Decision;
use crate::engine::rules::source::ApplicantText;
use crate::engine::step::{ArrivalClock, Outcome};

/// What the writer tells a submitter once the batch is durable.
#[derive(Debug)]
pub struct Answered {
    pub outcome: Outcome,
    /// The quote's own decision when it was decided now.
    pub decision: Option<Decision>,
    /// What the rule that led to the answer has to tell the applicant.
    pub text: Option<ApplicantText>,
}

/// A record for the log, ready to be stepped.
#[derive(Debug)]
pub enum Payload {
    Quote {
        prepared: Arc<Prepared>,
        product: &'static str,
        tenant: Box<str>,
        quote_id: Box<str>,
        body: Vec<u8>,
    },
    /// A record that is no quote; its `offset` is set by the writer.
    Skipped(DeadLetter),
}

#[derive(Debug)]
pub struct Job {
    pub payload: Payload,
    pub clock: ArrivalClock,
    pub source: Source,
    pub client: Option<Arc<str>>,
    /// Committed with the record.
    pub progress: Option<FilePosition>,
    pub reply: Option<oneshot::Sender<Answered>>,
    /// Given back when the record is stepped: bounds what one source may have in the queue.
    pub room: Option<OwnedSemaphorePermit>,
    pub submitted: Instant,
}

/// Why a job was not taken. Nothing was logged.
#[derive(Debug, PartialEq, Eq)]
pub enum NotTaken {
    Full,
    Closed,
}

/// Cheap to clone; the writer ends when the last clone is dropped and the queue is empty.
#[derive(Clone)]
pub struct Queue {
    sender: mpsc::Sender<Job>,
    pending: Arc<Pending>,
}

pub fn bounded(len_max: usize) -> (Queue, mpsc::Receiver<Job>) {
    let (sender, receiver) = mpsc::channel(len_max);
    (Queue { sender, pending: Arc::default() }, receiver)
}

impl Queue {
    /// Submits without waiting for room.
    pub fn try_submit(&self, job: Job) -> Result<(), NotTaken> {
        let permit = self.sender.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => NotTaken::Full,
            mpsc::error::TrySendError::Closed(()) => NotTaken::Closed,
        })?;
        self.pending.add(&job.payload);
        permit.send(job);
        Ok(())
    }

    /// Submits from a thread of its own, waiting for room.
    pub fn submit_blocking(&self, job: Job) -> Result<(), NotTaken> {
        self.sender.blocking_send(job).map_err(|_| NotTaken::Closed)
    }

    /// Jobs waiting now.
    pub fn len(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a quote was taken and is not durable yet.
    pub fn is_pending(&self, tenant: &str, quote_id: &str) -> bool {
        self.pending.has(tenant, quote_id)
    }

    pub fn pending(&self) -> Arc<Pending> {
        self.pending.clone()
    }
}

/// Quotes taken from HTTP and not yet durable, by hash of tenant and id, so that a client that stopped waiting can ask.
/// Bounded by the queue and one batch.
#[derive(Debug, Default)]
pub struct Pending(Mutex<HashMap<u128, u32>>);

impl Pending {
    fn key(tenant: &str, quote_id: &str) -> u128 {
        // Neither holds a NUL, so it separates them.
        xxhash_rust::xxh3::xxh3_128([tenant.as_bytes(), b"\0", quote_id.as_bytes()].concat().as_slice())
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<u128, u32>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, payload: &Payload) {
        if let Payload::Quote { tenant, quote_id, .. } = payload {
            self.with(|map| *map.entry(Self::key(tenant, quote_id)).or_insert(0) += 1);
        }
    }

    /// Call when the record is durable.
    pub fn remove(&self, tenant: &str, quote_id: &str) {
        let key = Self::key(tenant, quote_id);
        self.with(|map| match map.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                map.remove(&key);
            }
        });
    }

    pub(super) fn has(&self, tenant: &str, quote_id: &str) -> bool {
        self.with(|map| map.contains_key(&Self::key(tenant, quote_id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped() -> Job {
        let letter = DeadLetter {
            offset: 0,
            reason: "invalid",
            error: String::new(),
            pointer: String::new(),
            file: None,
            raw: Vec::new(),
        };
        Job {
            payload: Payload::Skipped(letter),
            clock: ArrivalClock::Log,
            source: Source::File,
            client: None,
            progress: None,
            reply: None,
            room: None,
            submitted: Instant::now(),
        }
    }

    #[test]
    fn a_full_queue_sheds_and_a_closed_one_says_so() {
        let (queue, receiver) = bounded(2);
        assert_eq!(queue.try_submit(skipped()), Ok(()));
        assert_eq!(queue.try_submit(skipped()), Ok(()));
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.try_submit(skipped()), Err(NotTaken::Full));
        drop(receiver);
        assert_eq!(queue.try_submit(skipped()), Err(NotTaken::Closed));
    }

    #[test]
    fn an_id_submitted_twice_stays_pending_until_both_are_durable() {
        let pending = Pending::default();
        let key = Pending::key("default", "q-1");
        pending.with(|map| map.insert(key, 2));
        pending.remove("default", "q-1");
        assert!(pending.has("default", "q-1"));
        pending.remove("default", "q-1");
        assert!(!pending.has("default", "q-1"));
        pending.remove("default", "q-1");
        assert!(!pending.has("default", "q-1"));
    }
}
