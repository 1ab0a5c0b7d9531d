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
use crate::pipeline::books::{Books, Change, FOLDER, NotActivated, Reload};

/// How often the folder is looked at. A change is read once it stands still for as long: an editor may save in steps.
const POLL: Duration = Duration::from_millis(200);
/// Folders below the rules' own, such as that of the lists.
const DEPTH_MAX: usize = 2;

/// Every file below the folder, by its path: length and time of change.
type Look = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

pub(super) struct RulesFolder {
    dir: PathBuf,
    retention_secs: i64,
    books: Arc<Books>,
    metrics: Arc<Metrics>,
    /// Hash of the content that was dealt with last.
    read: Option<u64>,
    /// Hash of a content that was not taken, and the version it was made from.
    tried: Option<(u64, u32)>,
}

/// A thread that ends when its sender is dropped.
pub(super) type Watching = (JoinHandle<()>, mpsc::Sender<()>);

impl RulesFolder {
    pub(super) fn watch(dir: PathBuf, retention_secs: i64, books: Arc<Books>, metrics: Arc<Metrics>) -> Result<Watching> {
        let (stop, stopped) = mpsc::channel();
        let folder = RulesFolder { dir, retention_secs, books, metrics, read: None, tried: None };
        let thread = thread::Builder::new().name("rules".to_owned()).spawn(move || folder.run(&stopped))?;
        Ok((thread, stop))
    }

    fn run(mut self, stopped: &Receiver<()>) {
        // Empty, so that what changed since the start is seen as well.
        let (mut settled, mut before) = (Look::new(), Look::new());
        // The last version when the files were seen to change.
        let mut made_from = 0;
        while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
            let Some(last) = self.last() else { continue };
            let now = look(&self.dir, DEPTH_MAX);
            if now != before {
                made_from = last;
            } else if now != settled && self.reload(made_from) {
                settled.clone_from(&now);
            }
            before = now;
        }
    }

    /// `None` as long as the log was not read.
    fn last(&self) -> Option<u32> {
        self.books.log.catch_up(&self.books.shelf);
        self.books.shelf.last().map(|last| last.book.version())
    }

    /// `false` when it has to be tried again.
    fn reload(&mut self, made_from: u32) -> bool {
        let reload = match self.change(made_from) {
            Ok(held) => Reload::Done(held),
            Err(NotRead::Refused(reason)) => Reload::Refused(reason),
            Err(NotRead::Unavailable(reason)) => {
                if self.books.shelf.reload() != Reload::Refused(reason.clone()) {
                    tracing::warn!(%reason, "the rules folder waits for the log");
                    self.books.shelf.reloaded(Reload::Refused(reason));
                }
                return false;
            }
        };
        if let Reload::Refused(reason) = &reload
            && self.books.shelf.reload() != reload
        {
            tracing::error!(%reason, "the rules folder is not put in force; the last good rule book stays");
        }
        self.metrics.reloaded(matches!(reload, Reload::Done(_)));
        self.books.shelf.reloaded(reload);
        true
    }

    /// Gives the rules that stay in shadow.
    fn change(&mut self, made_from: u32) -> Result<Vec<Box<str>>, NotRead> {
        let book = rule_book(Some(&self.dir), self.retention_secs).map_err(|error| NotRead::Refused(format!("{error:#}")))?;
        let hash = book.hash();
        let admitted = self.books.shelf.admit(book);
        // At the start, one that the log has had must not come back; and back from a mistake, whatever was put in force by other
        // means since stays.
        let has = |hash| self.read.is_none() && self.books.shelf.has(hash);
        if self.read == Some(hash) || has(hash) || admitted.as_ref().is_ok_and(|admitted| has(admitted.book.hash())) {
            (self.read, self.tried) = (Some(hash), None);
            return Ok(admitted.map_or_else(|_| Vec::new(), |admitted| admitted.held));
        }
        // As long as the content stays, however often it is tried: what was put in force meanwhile is not undone.
        let after = self.tried.filter(|(tried, _)| *tried == hash).map_or(made_from, |(_, after)| after);
        self.tried = Some((hash, after));
        let admitted = admitted.map_err(|refused| NotRead::Refused(refused.to_string()))?;
        match self.books.change(Change { book: admitted.book.clone(), after: Some(after), by: FOLDER.into() }) {
            Ok(changed) => {
                tracing::info!(outcome = changed.name(), "the rules folder was read");
                admitted.tell();
                (self.read, self.tried) = (Some(hash), None);
                Ok(admitted.held)
            }
            Err(NotActivated::Unavailable(reason)) => Err(NotRead::Unavailable(reason)),
            Err(NotActivated::Overtaken { last, .. }) => Err(NotRead::Refused(format!(
                "version {last} was put in force after these files were saved and stays; change them again, or put them in force \
                 by `quoteguard rules activate`"
            ))),
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use super::*;
    use crate::engine::rules::RuleBook;
    use crate::engine::time::ArrivalTime;
    use crate::pipeline::books::{BookVersion, Publish, Shelf};

    /// What happens to the next book that is published.
    #[derive(Clone, Copy, PartialEq)]
    enum Fate {
        Taken,
        /// It is not there.
        Lost,
        /// It is there, and nobody says so.
        Unanswered,
        /// Another instance was faster with the same.
        Same,
    }

    struct FakeLog {
        shelf: Arc<Shelf>,
        fate: Mutex<Fate>,
    }

    fn put(shelf: &Shelf, book: RuleBook, by: &str) {
        let book = Arc::new(book);
        shelf.put(BookVersion { offset: u64::from(book.version()), book, since: ArrivalTime(0), by: Some(by.into()) });
    }

    impl Publish for FakeLog {
        fn publish(&self, book: &Arc<RuleBook>, after: u32, by: &str) -> Result<(), NotActivated> {
            let fate = *self.fate.lock().expect("not poisoned");
            if fate != Fate::Lost {
                put(&self.shelf, RuleBook::clone(book), by);
            }
            match fate {
                Fate::Taken => Ok(()),
                Fate::Lost | Fate::Unanswered => Err(NotActivated::Unavailable("away".to_owned())),
                Fate::Same => Err(NotActivated::Overtaken { after, last: book.version() }),
            }
        }

        fn propose(&self, _: &Arc<RuleBook>, _: u32, _: &str) -> Result<(), NotActivated> {
            unreachable!("nobody has four eyes here")
        }

        fn catch_up(&self, _: &Shelf) {}

        fn remind(&self, _: &BookVersion) -> Result<(), NotActivated> {
            Ok(())
        }
    }

    #[test]
    fn a_save_undoes_nothing_that_came_after_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let shelf = Arc::new(Shelf::default());
        let log = Arc::new(FakeLog { shelf: shelf.clone(), fate: Mutex::new(Fate::Taken) });
        let books = Arc::new(Books { shelf: shelf.clone(), log: log.clone(), four_eyes: false });
        let metrics = Arc::new(Metrics::new().expect("registered"));
        let mut folder = RulesFolder { dir: dir.path().into(), retention_secs: 86_400, books, metrics, read: None, tried: None };
        let save = |n: u32| {
            let text = format!(
                "id: many\nversion: {n}\ntitle: Many\nowner: tests\nmode: live\nreason_code: MANY\n\
                 when: attempts(duration(\"1h\")) >= {n}1\nthen: flag\nreason: {{underwriter: many}}\n"
            );
            fs::write(dir.path().join("many.yaml"), text).expect("written");
            rule_book(Some(dir.path()), 86_400).expect("compiles")
        };
        put(&shelf, save(1), "start");
        // Another's of before the start, which is in force.
        put(&shelf, save(2).renumbered(2), "anna");
        save(1);
        // What is saved, how the log takes it, who is faster meanwhile, what is said, and the version then.
        for (saved, fate, between, said, version) in [
            (1, Fate::Taken, false, "", 2),
            (3, Fate::Taken, false, "", 3),
            (4, Fate::Lost, false, "away", 3),
            (4, Fate::Taken, true, "version 4 was put in force after", 4),
            (4, Fate::Taken, false, "version 4 was put in force after", 4),
            (3, Fate::Taken, false, "", 4),
            (4, Fate::Taken, false, "", 5),
            (5, Fate::Unanswered, false, "away", 6),
            (5, Fate::Taken, false, "", 6),
            (6, Fate::Same, false, "", 7),
            (6, Fate::Taken, true, "", 8),
        ] {
            save(saved);
            let last = shelf.last().expect("there is one").book;
            if between {
                put(&shelf, shelf.get(1).expect("the first").book.renumbered(last.version() + 1), "boris");
            }
            *log.fate.lock().expect("not poisoned") = fate;
            let found = match folder.change(last.version()) {
                Ok(_) => String::new(),
                Err(NotRead::Refused(reason) | NotRead::Unavailable(reason)) => reason,
            };
            let now = shelf.last().expect("there is one").book.version();
            assert!(found.starts_with(said) && found.is_empty() == said.is_empty(), "{saved}: {found:?} instead of {said:?}");
            assert_eq!(now, version, "{saved}, {said:?}");
        }
    }
}
