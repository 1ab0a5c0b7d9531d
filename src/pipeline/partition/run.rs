//! The loop of one partition: records in, decisions out, a checkpoint every interval.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::owner::{Cut, Emit, Owner};
use super::prepare::Ready;
use super::saver::{Saved, Saver};
use crate::fault;
use crate::pipeline::checkpoint::CheckpointError;
use crate::pipeline::writer::WriterError;

/// How often acknowledgements are looked at while a cut waits for them.
const ACK_POLL: Duration = Duration::from_millis(5);
/// Deltas that may wait for a store that is away. Beyond: they are given up, and the whole state is saved when it is back.
const DEBT_BYTES_MAX: usize = 64 << 20;
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// Time a revoked partition is given for its last checkpoint. Without it the next owner replays a little more.
const LAST_CHECKPOINT: Duration = Duration::from_millis(500);

pub enum Message {
    Records(Vec<Ready>),
    /// The partition is taken away: save what can be saved quickly, then drop this.
    Stop(Box<dyn Send>),
    /// It is another's already: save nothing.
    Lost,
}

#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    #[error(transparent)]
    Step(#[from] WriterError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its records come no more, and nobody said that it ends: a defect.
    #[error("the thread that prepares records or saves checkpoints has died")]
    Deserted,
}

/// How a partition keeps its checkpoints.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    pub interval: Duration,
    /// Records decided since the last checkpoint that was kept. Beyond: the partition waits for the store, so that a restart stays
    /// bounded.
    pub debt_max: u64,
    /// What is stored is of no use: the first checkpoint replaces it.
    pub needs_whole: bool,
}

/// The partition's place in the group.
pub trait Membership {
    /// Whether it is ours no longer.
    fn is_over(&self) -> bool;
    /// A checkpoint is kept that stands here.
    fn kept(&self, next_offset: u64);
}

pub struct Loop<E> {
    owner: Owner<E>,
    saver: Saver,
    keeping: Keeping,
    membership: Box<dyn Membership>,
    /// Waits for its emissions to be acknowledged.
    cut: Option<Cut>,
    is_saving: bool,
    /// What the store has, or gets, does not join up with what follows.
    needs_whole: bool,
    cut_at: Instant,
    report_at: Instant,
    /// Records taken up to the last checkpoint that was kept, and up to the one that is being saved.
    kept: u64,
    saving: u64,
    /// Position of the one that is being saved.
    saving_to: u64,
}

impl<E: Emit> Loop<E> {
    pub fn new(owner: Owner<E>, saver: Saver, keeping: Keeping, membership: Box<dyn Membership>) -> Self {
        let cut_at = Instant::now() + keeping.interval;
        let needs_whole = keeping.needs_whole;
        Loop {
            owner,
            saver,
            keeping,
            membership,
            cut: None,
            is_saving: false,
            needs_whole,
            cut_at,
            report_at: Instant::now(),
            kept: 0,
            saving: 0,
            saving_to: 0,
        }
    }

    /// Until the partition is taken away, or an error stops it.
    pub fn run(mut self, messages: &Receiver<Message>) -> Result<(), PartitionError> {
        loop {
            self.wait_out_debt()?;
            let until_cut = self.cut_at.saturating_duration_since(Instant::now());
            let wait = if self.cut.is_some() { ACK_POLL } else { until_cut.max(ACK_POLL) };
            match messages.recv_timeout(wait) {
                Ok(Message::Records(records)) => {
                    for record in records {
                        self.owner.take(record)?;
                    }
                    self.needs_whole |= self.owner.take_erased();
                }
                Ok(Message::Stop(release)) => {
                    fault::point("revoked");
                    let saved = self.last_checkpoint();
                    fault::point("last_saved");
                    drop(release);
                    return saved;
                }
                Ok(Message::Lost) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.last_checkpoint()?;
                    return Err(PartitionError::Deserted);
                }
            }
            self.heed_saved()?;
            self.checkpoint();
            self.report();
        }
    }

    /// Stands still while a restart would have more to decide again than is allowed.
    fn wait_out_debt(&mut self) -> Result<(), PartitionError> {
        let debt = |this: &Self| this.owner.taken() - this.kept;
        if debt(self) <= self.keeping.debt_max {
            return Ok(());
        }
        tracing::error!(debt = debt(self), "no checkpoint is kept for too long: the partition waits for the store");
        while debt(self) > self.keeping.debt_max && !self.membership.is_over() {
            std::thread::sleep(ACK_POLL);
            self.heed_saved()?;
            self.checkpoint();
        }
        Ok(())
    }

    fn heed_saved(&mut self) -> Result<(), PartitionError> {
        loop {
            let saved = match self.saver.saved.try_recv() {
                Ok(saved) => saved,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(PartitionError::Deserted),
            };
            self.is_saving = false;
            match saved {
                Saved::Done => {
                    self.kept = self.saving;
                    self.membership.kept(self.saving_to);
                }
                Saved::Rewound => self.needs_whole = true,
                Saved::Refused(error) => return Err(error.into()),
            }
        }
    }

    fn report(&mut self) {
        if Instant::now() >= self.report_at {
            self.owner.report();
            self.report_at = Instant::now() + REPORT_EVERY;
        }
    }

    fn checkpoint(&mut self) {
        if self.owner.debt_bytes() > DEBT_BYTES_MAX {
            self.owner.forgive();
            self.needs_whole = true;
        }
        if self.is_saving {
            return;
        }
        if self.cut.is_none() && Instant::now() >= self.cut_at {
            // Not before there is a record that it can be held against.
            let is_whole = self.owner.has_read() && std::mem::take(&mut self.needs_whole);
            self.cut = if is_whole { Some(self.owner.cut_whole()) } else { self.owner.cut() };
            self.cut_at = Instant::now() + self.keeping.interval;
        }
        // Never past what has been emitted.
        if let Some(cut) = self.cut.take_if(|cut| self.owner.acknowledged() >= cut.emitted) {
            self.saving = cut.taken;
            self.saving_to = cut.save.next_offset();
            fault::point("cut");
            self.saver.save(cut.save);
            self.is_saving = true;
        }
    }

    fn last_checkpoint(mut self) -> Result<(), PartitionError> {
        let deadline = Instant::now() + LAST_CHECKPOINT;
        while Instant::now() < deadline {
            self.heed_saved()?;
            self.cut_at = Instant::now();
            self.checkpoint();
            if !self.is_saving && self.cut.is_none() && self.owner.debt_bytes() == 0 {
                break;
            }
            std::thread::sleep(ACK_POLL);
        }
        Ok(())
    }
}
