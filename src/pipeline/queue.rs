//! The bounded way into the log. Full means: HTTP sheds before acceptance, files wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::fate::{Fate, Fates, Mark};
use super::patience::until;
use super::rulings::NewRuling;
use super::{DeadLetter, Progress, Source};
use crate::engine::decide::Prepared;
use crate::engine::decision::Decision;
use crate::engine::quote::Quote;
use crate::engine::rules::RuleBook;
use crate::engine::rules::source::ApplicantText;
use crate::engine::step::{ArrivalClock, Outcome};
use crate::metrics::product_label;
use crate::telemetry::Span;

/// What the writer tells a submitter once the batch is durable.
#[derive(Debug)]
pub struct Answered {
    pub outcome: Outcome,
    /// The quote's own decision when it was decided now.
    pub decision: Option<Decision>,
    /// What the rule that led to the answer has to tell the applicant.
    pub text: Option<ApplicantText>,
}

/// Where the answer goes. If nobody waits there any more, what must not be lost is left at the mark.
#[derive(Debug)]
pub struct Reply {
    pub(super) sender: oneshot::Sender<Answered>,
    pub(super) mark: Mark,
    /// Set once the quote will be decided whatever happens to its submitter.
    pub(super) accepted: Arc<AtomicBool>,
}

/// The submitter's side of a reply.
#[derive(Debug)]
pub struct Awaited {
    pub answer: oneshot::Receiver<Answered>,
    accepted: Arc<AtomicBool>,
}

impl Awaited {
    /// Whether the quote will be decided, answered in time or not.
    pub fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Acquire)
    }
}

/// A record for the log, ready to be stepped.
#[derive(Debug)]
pub enum Payload {
    Quote {
        prepared: Arc<Prepared>,
        product: &'static str,
        tenant: Box<str>,
        body: Vec<u8>,
    },
    /// A record that is no quote; its `offset` is set by the writer.
    Skipped(DeadLetter),
    /// No record: the position of a watched file that is gone is dropped.
    Forget(Box<str>),
    /// No record: told once everything before it is durable.
    Barrier(oneshot::Sender<()>),
    /// A rule book to put in force from here on.
    RuleBook(NumberedBook),
    /// What people decided about a case.
    Ruling(NewRuling),
    /// A rule book to be kept until somebody else approves it.
    Proposal(NumberedBook),
}

/// A rule book with the number it is to have. It is taken if that is still the next, and if somebody still waits for it.
#[derive(Debug)]
pub struct NumberedBook {
    pub book: Arc<RuleBook>,
    /// `Ok` once it is durable, else the last number of the log.
    pub reply: oneshot::Sender<Result<(), u32>>,
}

#[derive(Debug)]
pub struct Job {
    pub payload: Payload,
    pub clock: ArrivalClock,
    pub source: Source,
    pub client: Option<Arc<str>>,
    /// Committed with the record.
    pub progress: Option<Progress>,
    pub reply: Option<Reply>,
    /// Given back when the record is stepped: bounds what one source may have in the queue.
    pub room: Option<OwnedSemaphorePermit>,
    pub submitted: Instant,
    /// Of a traced quote: until it is in the log.
    pub span: Option<Span>,
}

impl Payload {
    /// A quote, and the text that it was read from.
    pub fn quote(quote: Quote, body: Vec<u8>) -> Payload {
        Payload::Quote {
            prepared: Arc::new(Prepared::new(&quote)),
            product: product_label(&quote.product),
            tenant: quote.tenant,
            body,
        }
    }
}

impl Job {
    /// What the service itself has to say to the log, from now on.
    pub fn control(payload: Payload) -> Job {
        Job {
            payload,
            clock: ArrivalClock::Log,
            source: Source::Control,
            client: None,
            progress: None,
            reply: None,
            room: None,
            submitted: Instant::now(),
            span: None,
        }
    }
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
    fates: Arc<Fates>,
    /// What is queued is tried until it is in the store; a log apart accepts by itself.
    accepts: bool,
}

/// The queue of a store's writer: what is in it is accepted.
pub fn bounded(len_max: usize) -> (Queue, mpsc::Receiver<Job>) {
    queue(len_max, true)
}

/// The queue before a log apart: what is in it is accepted when the log has it.
pub fn bounded_before_log(len_max: usize) -> (Queue, mpsc::Receiver<Job>) {
    queue(len_max, false)
}

fn queue(len_max: usize, accepts: bool) -> (Queue, mpsc::Receiver<Job>) {
    let (sender, receiver) = mpsc::channel(len_max);
    (Queue { sender, fates: Arc::default(), accepts }, receiver)
}

impl Queue {
    /// Whether there is no room now.
    pub fn is_full(&self) -> bool {
        self.sender.capacity() == 0
    }

    /// Submits without waiting for room.
    pub fn try_submit(&self, job: Job) -> Result<(), NotTaken> {
        let permit = self.sender.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => NotTaken::Full,
            mpsc::error::TrySendError::Closed(()) => NotTaken::Closed,
        })?;
        permit.send(job);
        Ok(())
    }

    /// Submits from a thread of its own, waiting for room, but not for ever.
    pub fn submit_until(&self, deadline: Instant, job: Job) -> Result<(), NotTaken> {
        match until(deadline, self.sender.reserve()) {
            Some(Ok(permit)) => {
                permit.send(job);
                Ok(())
            }
            Some(Err(_)) => Err(NotTaken::Closed),
            None => Err(NotTaken::Full),
        }
    }

    /// Submits from a thread of its own, waiting for room.
    pub fn submit_blocking(&self, job: Job) -> Result<(), NotTaken> {
        self.sender.blocking_send(job).map_err(|_| NotTaken::Closed)
    }

    /// For those who look at the queue and do not keep it open.
    pub fn view(&self) -> QueueView {
        QueueView { sender: self.sender.downgrade(), fates: self.fates.clone(), accepts: self.accepts }
    }

    /// Jobs waiting now.
    pub fn len(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A way to be answered about a quote; until then, or until the record is dropped, the quote is pending.
    pub fn reply(&self, tenant: &str, quote_id: &str) -> (Reply, Awaited) {
        let (sender, answer) = oneshot::channel();
        let accepted = Arc::new(AtomicBool::new(self.accepts));
        let reply = Reply { sender, mark: self.fates.mark(tenant, quote_id), accepted: accepted.clone() };
        (reply, Awaited { answer, accepted })
    }

    /// What is known of a quote besides its decision.
    pub fn fate(&self, tenant: &str, quote_id: &str) -> Option<Fate> {
        self.fates.get(tenant, quote_id)
    }

    pub fn fates(&self) -> Arc<Fates> {
        self.fates.clone()
    }
}

/// A queue that ends without asking its views.
#[derive(Clone)]
pub struct QueueView {
    sender: mpsc::WeakSender<Job>,
    fates: Arc<Fates>,
    accepts: bool,
}

impl QueueView {
    fn queue(&self) -> Option<Queue> {
        let sender = self.sender.upgrade()?;
        Some(Queue { sender, fates: self.fates.clone(), accepts: self.accepts })
    }

    /// Jobs waiting now.
    pub fn len(&self) -> usize {
        self.queue().map_or(0, |queue| queue.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether everything that was submitted before is durable; waits so long for it, on a thread of its own.
    pub fn settle(&self, patience: Duration) -> bool {
        let Some(queue) = self.queue() else { return false };
        let deadline = Instant::now() + patience;
        let (reply, told) = oneshot::channel();
        let barrier = Job::control(Payload::Barrier(reply));
        queue.submit_until(deadline, barrier).is_ok() && matches!(until(deadline, told), Some(Ok(())))
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
        Job { source: Source::File, ..Job::control(Payload::Skipped(letter)) }
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
}
