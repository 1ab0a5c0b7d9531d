//! Rule books of a running service: which are in the log, and how another one takes effect.
//!
//! A book takes effect at one position of each partition, as a record of the log, and is judged by compare-and-set on the last
//! version: of two who change the rules at once exactly one wins, and the other looks at what won.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::oneshot;

use super::Source;
use super::queue::{Job, NumberedBook, Payload, Queue};
use crate::engine::decision::RuleBookRef;
use crate::engine::rules::RuleBook;
use crate::engine::step::ArrivalClock;
use crate::engine::time::ArrivalTime;

/// A book that the log holds.
#[derive(Clone, Debug)]
pub struct BookVersion {
    pub book: Arc<RuleBook>,
    /// Of its record: in the log of the service, or in the control topic.
    pub offset: u64,
    /// When it was appended.
    pub since: ArrivalTime,
    /// Name of the API key, or what else brought it: `start`, `folder`.
    pub by: Option<Box<str>>,
}

/// Where the last reload of the folder stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reload {
    /// There was none: no folder is watched, or it has not changed.
    #[default]
    None,
    Done,
    /// Why the last good book stays in force.
    Refused(String),
}

/// A book to put in force.
#[derive(Clone, Debug)]
pub struct Change {
    pub book: RuleBook,
    /// The version it was made from; `None` for whatever is the last.
    pub after: Option<u32>,
    pub by: Box<str>,
}

/// A book in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activated {
    pub book: RuleBookRef,
    /// `false`: its content was in force already, and nothing was written.
    pub is_new: bool,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    Activated(Activated),
    /// Somebody else has to approve it.
    Proposed(Proposal),
}

impl Changed {
    pub fn name(&self) -> &'static str {
        match self {
            Changed::Activated(Activated { is_new: true, .. }) => "activated",
            Changed::Activated(_) => "in force already",
            Changed::Proposed(_) => "proposed",
        }
    }
}

/// A change that waits for a second person.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub book: Arc<RuleBook>,
    /// The last version when it was proposed: if another comes between, it is proposed anew.
    pub after: u32,
    pub by: Box<str>,
}

/// Why a book was not put in force. The one before it stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotActivated {
    #[error("nobody has proposed the book {0:016x} here; propose it again")]
    NotProposed(u64),
    #[error("`{0}` proposed it: somebody else has to approve it")]
    SamePerson(Box<str>),
    #[error("version {last} is the last by now, not {after}: look at it and decide anew")]
    Overtaken { after: u32, last: u32 },
    #[error("a version once live does not change: give {} the next `version`", Names(.0))]
    Edited(Vec<Box<str>>),
    #[error("it is not known whether the book is in the log: {0}; look at the last version before another try")]
    Unavailable(String),
}

struct Names<'a>(&'a [Box<str>]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(i, name)| write!(f, "{}`{name}`", if i == 0 { "" } else { ", " }))
    }
}

/// Puts a numbered book into the log: the embedded one, or a control topic that others write to as well.
pub trait Publish: Send + Sync {
    /// Blocks until the record is durable. `book` has the number after `after`.
    ///
    /// # Errors
    /// Another book has that number by now, or the log is away.
    fn publish(&self, book: &Arc<RuleBook>, after: u32, by: &str) -> Result<(), NotActivated>;

    /// Puts every book of the log on the shelf that is not there yet.
    fn catch_up(&self, shelf: &Shelf);

    /// Tells whoever may have missed it of the last book again.
    ///
    /// # Errors
    /// The log is away.
    fn remind(&self, last: &BookVersion) -> Result<(), NotActivated>;
}

/// The log of this process: the writer puts the book in and on the shelf.
impl Publish for Queue {
    fn publish(&self, book: &Arc<RuleBook>, after: u32, by: &str) -> Result<(), NotActivated> {
        let away = || NotActivated::Unavailable("the service is stopping".to_owned());
        let (reply, told) = oneshot::channel();
        let job = Job {
            payload: Payload::RuleBook(NumberedBook { book: book.clone(), reply }),
            clock: ArrivalClock::Log,
            source: Source::Control,
            client: Some(by.into()),
            progress: None,
            reply: None,
            room: None,
            submitted: Instant::now(),
        };
        self.submit_blocking(job).map_err(|_| away())?;
        match told.blocking_recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(last)) => Err(NotActivated::Overtaken { after, last }),
            Err(_) => Err(away()),
        }
    }

    fn catch_up(&self, _: &Shelf) {}

    fn remind(&self, _: &BookVersion) -> Result<(), NotActivated> {
        Ok(())
    }
}

/// The shelf, the log it is a view of, and who may change it.
pub struct Books {
    pub shelf: Arc<Shelf>,
    pub log: Arc<dyn Publish>,
    /// A change waits for the approval of a second person.
    pub four_eyes: bool,
}

impl Books {
    /// Puts a book in force, or proposes it.
    ///
    /// # Errors
    /// See [`NotActivated`].
    pub fn change(&self, change: Change) -> Result<Changed, NotActivated> {
        if self.four_eyes {
            return self.shelf.propose(change, &*self.log);
        }
        self.shelf.activate(change, &*self.log).map(Changed::Activated)
    }

    /// Puts a proposed book in force in the name of both.
    ///
    /// # Errors
    /// See [`NotActivated`].
    pub fn approve(&self, hash: u64, by: &str) -> Result<Activated, NotActivated> {
        let Proposal { book, after, by: proposer } = self.shelf.proposal(hash).ok_or(NotActivated::NotProposed(hash))?;
        if *proposer == *by {
            return Err(NotActivated::SamePerson(proposer));
        }
        let book = RuleBook::clone(&book);
        let change = Change { book, after: Some(after), by: format!("{proposer}, approved by {by}").into() };
        let done = self.shelf.activate(change, &*self.log);
        if !matches!(done, Err(NotActivated::Unavailable(_))) {
            self.shelf.forget(hash);
        }
        done
    }
}

/// Proposals that wait. Beyond: the oldest goes.
const PROPOSALS_MAX: usize = 16;

/// Every book of the log, and the way to the next.
#[derive(Default)]
pub struct Shelf {
    versions: RwLock<BTreeMap<u32, BookVersion>>,
    /// Oldest first. They live as long as the process.
    proposals: Mutex<Vec<Proposal>>,
    reload: Mutex<Reload>,
    /// One change at a time from here.
    changing: Mutex<()>,
}

impl Shelf {
    pub fn put(&self, version: BookVersion) {
        self.versions.write().unwrap_or_else(PoisonError::into_inner).insert(version.book.version(), version);
    }

    pub fn last(&self) -> Option<BookVersion> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner).last_key_value().map(|(_, last)| last.clone())
    }

    pub fn get(&self, version: u32) -> Option<BookVersion> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner).get(&version).cloned()
    }

    /// Newest first, at most `limit`.
    pub fn newest(&self, limit: usize) -> Vec<BookVersion> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner).values().rev().take(limit).cloned().collect()
    }

    /// Whether the log has ever had this content.
    pub fn has(&self, hash: u64) -> bool {
        self.versions.read().unwrap_or_else(PoisonError::into_inner).values().any(|version| version.book.hash() == hash)
    }

    pub fn reload(&self) -> Reload {
        self.reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn reloaded(&self, reload: Reload) {
        *self.reload.lock().unwrap_or_else(PoisonError::into_inner) = reload;
    }

    pub fn proposals(&self) -> Vec<Proposal> {
        self.waiting().clone()
    }

    fn proposal(&self, hash: u64) -> Option<Proposal> {
        self.waiting().iter().find(|proposal| proposal.book.hash() == hash).cloned()
    }

    fn forget(&self, hash: u64) {
        self.waiting().retain(|proposal| proposal.book.hash() != hash);
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Proposal>> {
        self.proposals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn propose(&self, change: Change, log: &dyn Publish) -> Result<Changed, NotActivated> {
        let Change { book, after, by } = change;
        log.catch_up(self);
        let Some(last) = self.last() else {
            return Err(NotActivated::Unavailable("the log has not been read yet".to_owned()));
        };
        let Some(next) = self.next(&book, after)? else {
            log.remind(&last)?;
            return Ok(Changed::Activated(Activated { book: self.in_force(&book), is_new: false }));
        };
        let proposal = Proposal { after: next.version() - 1, book: next, by };
        let mut waiting = self.waiting();
        // Proposed again by another, it is still the first one's.
        if let Some(same) = waiting.iter().find(|one| one.book.hash() == book.hash() && one.after == proposal.after) {
            return Ok(Changed::Proposed(same.clone()));
        }
        waiting.retain(|one| one.book.hash() != book.hash());
        let over = (waiting.len() + 1).saturating_sub(PROPOSALS_MAX);
        waiting.drain(..over);
        waiting.push(proposal.clone());
        Ok(Changed::Proposed(proposal))
    }

    /// Names the last book, which has the content of `same`.
    fn in_force(&self, same: &RuleBook) -> RuleBookRef {
        self.last().map_or_else(|| same.reference(), |last| last.book.reference())
    }

    /// Puts the book in force through the log, unless the last one has the same content. Blocks until it is durable.
    ///
    /// # Errors
    /// See [`NotActivated`]: nothing has changed, or it is not known.
    pub fn activate(&self, change: Change, log: &dyn Publish) -> Result<Activated, NotActivated> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Change { book, after, by } = change;
        // The last version, as far as the log has told.
        let mut told = 0;
        loop {
            log.catch_up(self);
            let last = self.last();
            if last.as_ref().map_or(0, |last| last.book.version()) < told {
                let reason = format!("version {told} is in the log and cannot be read here; a newer release has written it");
                return Err(NotActivated::Unavailable(reason));
            }
            let Some(next) = self.next(&book, after)? else {
                last.map_or(Ok(()), |last| log.remind(&last))?;
                return Ok(Activated { book: self.in_force(&book), is_new: false });
            };
            match log.publish(&next, next.version() - 1, &by) {
                // Whoever asked for the place after the last one, whichever that is, gets the next.
                Err(NotActivated::Overtaken { last, .. }) if after.is_none() => told = last,
                done => return done.map(|()| Activated { book: next.reference(), is_new: true }),
            }
        }
    }

    /// The book as the one after the last; `None` when the last one has the same content.
    ///
    /// # Errors
    /// It was made from another than the last, or edits what was live.
    pub fn next(&self, book: &RuleBook, after: Option<u32>) -> Result<Option<Arc<RuleBook>>, NotActivated> {
        let last = self.last();
        let number = last.as_ref().map_or(0, |last| last.book.version());
        if last.is_some_and(|last| last.book.hash() == book.hash()) {
            return Ok(None);
        }
        if let Some(after) = after.filter(|after| *after != number) {
            return Err(NotActivated::Overtaken { after, last: number });
        }
        let edited = self.edited(book);
        if !edited.is_empty() {
            return Err(NotActivated::Edited(edited));
        }
        Ok(Some(Arc::new(book.renumbered(number + 1))))
    }

    /// Rules that were live in some book and have another content in `next` under the same version.
    fn edited(&self, next: &RuleBook) -> Vec<Box<str>> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        let mut edited: Vec<Box<str>> =
            versions.values().flat_map(|version| version.book.edited_without_bump(next)).map(|rule| rule.id.clone()).collect();
        edited.sort();
        edited.dedup();
        edited
    }
}
