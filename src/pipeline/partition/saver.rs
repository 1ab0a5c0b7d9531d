//! Saves checkpoints off the decision path: a thread that talks to the store and tries again while it is away.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::export::Export;
use crate::fault;
use crate::metrics::Metrics;
use crate::pipeline::checkpoint::{CheckpointError, Checkpoints, Manifest, cut};
use crate::pipeline::{Segment, StoreError};

/// The store's name among the metrics.
const STORE: &str = "redis";
/// Wait after the first failure; doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A store that stays away is told again this often.
const FAILURE_LOGGED_EVERY: Duration = Duration::from_secs(30);

/// What is to be saved.
pub enum Save {
    /// After what is there.
    Append { segment: Segment, manifest: Manifest, horizon: i64 },
    /// In place of whatever is there.
    Replace { export: Export, manifest: Manifest },
}

impl Save {
    /// The record to read next once it is kept.
    pub fn next_offset(&self) -> u64 {
        match self {
            Save::Append { manifest, .. } | Save::Replace { manifest, .. } => manifest.next_offset,
        }
    }
}

/// How it went.
#[derive(Debug)]
pub enum Saved {
    Done,
    /// The store has lost or damaged what it had: everything is to be saved again.
    Rewound,
    /// Another instance owns the partition, or the store holds what does not fit: this one must stop.
    Refused(CheckpointError),
}

/// Hands over one save at a time.
pub struct Saver {
    saves: SyncSender<Save>,
    pub saved: Receiver<Saved>,
}

impl Saver {
    /// `base` is where the stored checkpoint stands.
    pub fn start(
        store: Box<dyn Checkpoints>,
        base: Option<u64>,
        partition: u32,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Saver> {
        let (saves, todo) = sync_channel(1);
        let (told, saved) = channel();
        let worker = Worker { store, base, partition, metrics, saved_at: Instant::now() };
        thread::Builder::new().name(format!("checkpoint-{partition}")).spawn(move || worker.run(&todo, &told))?;
        Ok(Saver { saves, saved })
    }

    /// Call it again only after [`Saved`] was received.
    pub fn save(&self, save: Save) {
        // A worker that has ended has told why.
        let _ = self.saves.send(save);
    }
}

struct Worker {
    store: Box<dyn Checkpoints>,
    base: Option<u64>,
    partition: u32,
    metrics: Arc<Metrics>,
    saved_at: Instant,
}

impl Worker {
    fn run(mut self, todo: &Receiver<Save>, told: &Sender<Saved>) {
        for save in todo {
            let saved = self.until_done(&save);
            let is_last = matches!(saved, Saved::Refused(_));
            if told.send(saved).is_err() || is_last {
                return;
            }
        }
    }

    fn until_done(&mut self, save: &Save) -> Saved {
        let mut wait = RETRY_MIN;
        let mut logged: Option<Instant> = None;
        loop {
            let began = Instant::now();
            let (next, bytes, done) = match save {
                Save::Append { segment, manifest, horizon } => {
                    let done = self.store.append(self.base, std::slice::from_ref(segment), *horizon, manifest);
                    (manifest.next_offset, segment.deltas.len(), done)
                }
                Save::Replace { export, manifest } => {
                    let mut bytes = 0;
                    let mut segments = cut(export.clone()).inspect(|segment| bytes += segment.deltas.len());
                    let done = self.store.replace(&mut segments, manifest);
                    drop(segments);
                    (manifest.next_offset, bytes, done)
                }
            };
            match done {
                Ok(()) => {
                    fault::point("saved");
                    self.base = Some(next);
                    self.metrics.stage("checkpoint", began.elapsed());
                    self.metrics.checkpoint(STORE, Ok(bytes));
                    self.saved_at = Instant::now();
                    self.metrics.checkpoint_age(self.partition, Some(Duration::ZERO));
                    return Saved::Done;
                }
                Err(error @ (CheckpointError::Rewound { .. } | CheckpointError::Store(StoreError::Damaged(_)))) => {
                    tracing::error!(partition = self.partition, %error, "everything is saved again");
                    self.metrics.checkpoint(STORE, Err(&error));
                    return Saved::Rewound;
                }
                Err(error @ CheckpointError::Store(StoreError::Unavailable(_))) => {
                    self.metrics.checkpoint(STORE, Err(&error));
                    self.metrics.checkpoint_age(self.partition, Some(self.saved_at.elapsed()));
                    if logged.is_none_or(|logged| logged.elapsed() >= FAILURE_LOGGED_EVERY) {
                        tracing::error!(partition = self.partition, %error, "checkpoint failed; decisions go on, it is tried again");
                        logged = Some(Instant::now());
                    }
                    thread::sleep(wait);
                    wait = (wait * 2).min(RETRY_MAX);
                }
                Err(error) => {
                    self.metrics.checkpoint(STORE, Err(&error));
                    return Saved::Refused(error);
                }
            }
        }
    }
}
