//! A watched folder of rule files: what is saved there takes effect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::commands::rule_book;
use crate::metrics::Metrics;
use crate::pipeline::books::{Books, Change, NotActivated, Reload};

/// How often the folder is looked at. A change is read once it stands still for as long: an editor may save in steps.
const POLL: Duration = Duration::from_millis(200);
/// Folders below the rules' own, such as that of the lists.
const DEPTH_MAX: usize = 2;
/// Who brought the book, in the log.
const BY: &str = "folder";

/// Every file below the folder, by its path: length and time of change.
type Look = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

pub(super) struct RulesFolder {
    dir: PathBuf,
    retention_secs: i64,
    books: Arc<Books>,
    metrics: Arc<Metrics>,
    /// Hash of what was read last.
    read: Option<u64>,
}

/// A thread that ends when its sender is dropped.
pub(super) type Watching = (JoinHandle<()>, mpsc::Sender<()>);

impl RulesFolder {
    /// `read` is the hash of what the folder held at the start.
    pub(super) fn watch(
        dir: PathBuf,
        retention_secs: i64,
        books: Arc<Books>,
        metrics: Arc<Metrics>,
        read: Option<u64>,
    ) -> Result<Watching> {
        let (stop, stopped) = mpsc::channel();
        let folder = RulesFolder { dir, retention_secs, books, metrics, read };
        let thread = thread::Builder::new().name("rules".to_owned()).spawn(move || folder.run(&stopped))?;
        Ok((thread, stop))
    }

    fn run(mut self, stopped: &Receiver<()>) {
        // Empty, so that what changed since the start is seen as well.
        let (mut settled, mut before) = (Look::new(), Look::new());
        while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
            let now = look(&self.dir, DEPTH_MAX);
            if now != settled && now == before && self.reload() {
                settled.clone_from(&now);
            }
            before = now;
        }
    }

    /// `false` when it has to be tried again.
    fn reload(&mut self) -> bool {
        let reload = match self.change() {
            Ok(()) => Reload::Done,
            Err(NotRead::Refused(reason)) => Reload::Refused(reason),
            Err(NotRead::Unavailable(reason)) => {
                if self.books.shelf.reload() != Reload::Refused(reason.clone()) {
                    tracing::warn!(%reason, "the rules folder waits for the log");
                    self.books.shelf.reloaded(Reload::Refused(reason));
                }
                return false;
            }
        };
        if let Reload::Refused(reason) = &reload {
            tracing::error!(%reason, "the rules folder is not put in force; the last good rule book stays");
        }
        self.metrics.reloaded(reload == Reload::Done);
        self.books.shelf.reloaded(reload);
        true
    }

    fn change(&mut self) -> Result<(), NotRead> {
        let book = rule_book(Some(&self.dir), self.retention_secs).map_err(|error| NotRead::Refused(format!("{error:#}")))?;
        let hash = book.hash();
        // Back from a mistake: whatever was put in force by other means since stays.
        if Some(hash) == self.read {
            return Ok(());
        }
        match self.books.change(Change { book, after: None, by: BY.into() }) {
            Ok(changed) => {
                tracing::info!(outcome = changed.name(), "the rules folder was read");
                self.read = Some(hash);
                Ok(())
            }
            Err(NotActivated::Unavailable(reason)) => Err(NotRead::Unavailable(reason)),
            Err(refused) => Err(NotRead::Refused(refused.to_string())),
        }
    }
}

enum NotRead {
    /// It does not compile, or may not take effect.
    Refused(String),
    Unavailable(String),
}

fn look(dir: &Path, depth: usize) -> Look {
    let mut found = Look::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        // Of what a link points to: that is how mounted configuration is swapped.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.is_dir() && depth > 0 {
            found.extend(look(&path, depth - 1));
        } else if metadata.is_file() {
            found.insert(path, (metadata.len(), metadata.modified().ok()));
        }
    }
    found
}
