//! Rule books of a running service: which are in the log, and how another one takes effect.
//!
//! A book takes effect at one position of each partition, as a record of the log, and is judged by compare-and-set on the last
//! version: of two who change the rules at once exactly one wins, and the other looks at what won.

mod withdrawn;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use withdrawn::Admitted;
use withdrawn::Withdrawn;

use super::patience::until;
use super::queue::{Job, NotTaken, NumberedBook, Payload, Queue};
use crate::contract::rule_file::{canonical_source, from_canonical};
use crate::engine::decision::RuleBookRef;
use crate::engine::rules::{Mode, RuleBook, RuleSource};
use crate::engine::time::ArrivalTime;

/// Who brought a book, where no API key did: a saved folder, and the circuit breaker, whose figures follow.
pub const FOLDER: &str = "folder";
pub const BREAKER: &str = "breaker: ";
/// A proposal of the folder that one person has approved, whose name follows.
const FOLDER_APPROVED: &str = "folder, approved by ";

fn is_folder(by: &str) -> bool {
    by == FOLDER || by.starts_with(FOLDER_APPROVED)
}

fn is_breaker(by: &str) -> bool {
    by.starts_with(BREAKER)
}

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
    /// In force, but for these rules: the circuit breaker put them in shadow, and there they stay.
    Done(Vec<Box<str>>),
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
    /// It waits for approval.
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

/// A change that waits for another person. If another book takes its number, it has to be proposed anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub book: Arc<RuleBook>,
    /// Of its record: in the log of the service, or in the control topic.
    pub offset: u64,
    /// When it was appended.
    pub since: ArrivalTime,
    pub by: Box<str>,
}

impl Proposal {
    /// Whoever saves a file may hold a key as well: what comes from the folder needs two.
    pub fn approvals_needed(&self) -> u8 {
        if *self.by == *FOLDER { 2 } else { 1 }
    }

    /// Of the person who approved it already, where one was not enough.
    fn approved_by(&self) -> Option<&str> {
        self.by.strip_prefix(FOLDER_APPROVED)
    }

    /// As the log holds it.
    pub fn of(version: BookVersion) -> Proposal {
        let BookVersion { book, offset, since, by } = version;
        Proposal { book, offset, since, by: by.unwrap_or_default() }
    }
}

/// Why a book was not put in force. The one before it stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotActivated {
    #[error("nobody has proposed the book {0:016x}; `GET /v1/rules` lists what is proposed")]
    NotProposed(u64),
    #[error("`{0}` proposed it: somebody else has to approve it")]
    SamePerson(Box<str>),
    #[error("`{0}` has approved it already: it comes from the folder, and needs the holders of two keys")]
    ApprovedAlready(Box<str>),
    #[error(
        "a rollback took back what these files say of {}: change it (a rule takes the next `version`), or put the folder in force by \
         `quoteguard rules activate`",
        Names(.0)
    )]
    RolledBack(Vec<Box<str>>),
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

    /// As [`Publish::publish`], without effect until somebody else approves it.
    ///
    /// # Errors
    /// Those of [`Publish::publish`].
    fn propose(&self, book: &Arc<RuleBook>, after: u32, by: &str) -> Result<(), NotActivated>;

    /// Puts every book and proposal of the log on the shelf that is not there yet.
    fn catch_up(&self, shelf: &Shelf);

    /// Tells whoever may have missed it of the last book again.
    ///
    /// # Errors
    /// The log is away.
    fn remind(&self, last: &BookVersion) -> Result<(), NotActivated>;
}

/// How long a change waits for its turn, and then for the log. Beyond: it is given up.
const CHANGE_PATIENCE: Duration = Duration::from_secs(10);

/// The log of this process: the writer puts the book in and on the shelf.
impl Publish for Queue {
    fn publish(&self, book: &Arc<RuleBook>, after: u32, by: &str) -> Result<(), NotActivated> {
        self.put(Payload::RuleBook, book, after, by)
    }

    fn propose(&self, book: &Arc<RuleBook>, after: u32, by: &str) -> Result<(), NotActivated> {
        self.put(Payload::Proposal, book, after, by)
    }

    fn catch_up(&self, _: &Shelf) {}

    fn remind(&self, _: &BookVersion) -> Result<(), NotActivated> {
        Ok(())
    }
}

impl Queue {
    fn put(&self, payload: fn(NumberedBook) -> Payload, book: &Arc<RuleBook>, after: u32, by: &str) -> Result<(), NotActivated> {
        let away = |reason: &str| NotActivated::Unavailable(reason.to_owned());
        let deadline = Instant::now() + CHANGE_PATIENCE;
        let (reply, told) = oneshot::channel();
        let job = Job { client: Some(by.into()), ..Job::control(payload(NumberedBook { book: book.clone(), reply })) };
        self.submit_until(deadline, job).map_err(|error| match error {
            NotTaken::Full => away("the log takes no more now"),
            NotTaken::Closed => away("the service is stopping"),
        })?;
        match until(deadline, told) {
            Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(last))) => Err(NotActivated::Overtaken { after, last }),
            Some(Err(_)) => Err(away("the service is stopping")),
            None => Err(away("the log did not take it in time")),
        }
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

    /// Puts a proposed book in force in the names of all; the first approval of what the folder proposed is a proposal again.
    ///
    /// # Errors
    /// See [`NotActivated`].
    pub fn approve(&self, hash: u64, by: &str) -> Result<Changed, NotActivated> {
        let proposal = self.shelf.proposal(hash).ok_or(NotActivated::NotProposed(hash))?;
        if *proposal.by == *by {
            return Err(NotActivated::SamePerson(proposal.by));
        }
        if proposal.approved_by() == Some(by) {
            return Err(NotActivated::ApprovedAlready(by.into()));
        }
        let change = |by: String| {
            let after = Some(proposal.book.version() - 1);
            Change { book: RuleBook::clone(&proposal.book), after, by: by.into() }
        };
        if proposal.approvals_needed() > 1 {
            return self.shelf.propose(change(format!("{FOLDER_APPROVED}{by}")), &*self.log);
        }
        let and = if proposal.approved_by().is_some() { " and " } else { ", approved by " };
        self.shelf.activate(change(format!("{}{and}{by}", proposal.by)), &*self.log).map(Changed::Activated)
    }
}

/// Proposals that are kept at hand. Beyond: one that was overtaken goes, else the oldest.
pub const PROPOSALS_MAX: usize = 16;

/// Books that are kept compiled. Beyond: an older one keeps its text, and is compiled when somebody asks for it.
const COMPILED_MAX: usize = 16;

/// A book of the log without its content.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub book: RuleBookRef,
    pub offset: u64,
    pub since: ArrivalTime,
    pub by: Option<Box<str>>,
}

impl Listed {
    pub fn of(version: &BookVersion) -> Listed {
        let BookVersion { book, offset, since, by } = version;
        Listed { book: book.reference(), offset: *offset, since: *since, by: by.clone() }
    }
}

enum Content {
    Compiled(Arc<RuleBook>),
    /// Canonical source.
    Text(Box<str>),
}

impl Content {
    fn book(&self) -> Option<Arc<RuleBook>> {
        match self {
            Content::Compiled(book) => Some(book.clone()),
            Content::Text(text) => from_canonical(text).ok().map(Arc::new),
        }
    }
}

#[derive(Default)]
struct Versions {
    by_number: BTreeMap<u32, (Listed, Content)>,
    /// The newest number of each content.
    by_hash: BTreeMap<u64, u32>,
    /// What each rule that was live said first under its version.
    live: BTreeMap<(Box<str>, u32), u64>,
    withdrawn: Withdrawn,
}

impl Versions {
    fn put(&mut self, version: &BookVersion) {
        let BookVersion { book, .. } = version;
        // Several may have read it at once.
        if self.by_number.contains_key(&book.version()) {
            return;
        }
        let before = self.by_number.range(..book.version()).next_back().and_then(|(number, _)| self.get(*number));
        self.withdrawn.follow(before.as_ref(), version, self.by_hash.contains_key(&book.hash()));
        for (rule, content) in book.contents().filter(|(rule, _)| rule.mode == Mode::Live) {
            self.live.entry((rule.id.clone(), rule.version)).or_insert(content);
        }
        self.by_hash.insert(book.hash(), book.version());
        self.by_number.insert(book.version(), (Listed::of(version), Content::Compiled(book.clone())));
        let older = self.by_number.values_mut().rev().skip(COMPILED_MAX);
        for (_, content) in older.take_while(|(_, content)| matches!(content, Content::Compiled(_))) {
            if let Content::Compiled(book) = content {
                *content = Content::Text(canonical_source(book).into());
            }
        }
    }

    fn get(&self, number: u32) -> Option<BookVersion> {
        let (listed, content) = self.by_number.get(&number)?;
        let Listed { offset, since, by, .. } = listed.clone();
        Some(BookVersion { book: content.book()?, offset, since, by })
    }
}

/// Every book of the log, and the way to the next.
#[derive(Default)]
pub struct Shelf {
    versions: RwLock<Versions>,
    /// Oldest first, those among them that another book has overtaken.
    proposals: Mutex<Vec<Proposal>>,
    reload: Mutex<Reload>,
    /// One change at a time from here.
    changing: tokio::sync::Mutex<()>,
}

impl Shelf {
    pub fn put(&self, version: BookVersion) {
        self.versions.write().unwrap_or_else(PoisonError::into_inner).put(&version);
    }

    fn versions(&self) -> RwLockReadGuard<'_, Versions> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn last(&self) -> Option<BookVersion> {
        let versions = self.versions();
        let number = *versions.by_number.last_key_value()?.0;
        versions.get(number)
    }

    pub fn get(&self, version: u32) -> Option<BookVersion> {
        self.versions().get(version)
    }

    /// The book with a content that the log has had.
    pub fn with(&self, hash: u64) -> Option<Arc<RuleBook>> {
        let versions = self.versions();
        let number = versions.by_hash.get(&hash)?;
        versions.get(*number).map(|version| version.book)
    }

    /// Newest first, at most `limit`.
    pub fn newest(&self, limit: usize) -> Vec<Listed> {
        self.versions().by_number.values().rev().take(limit).map(|(listed, _)| listed.clone()).collect()
    }

    /// Whether the log has ever had this content.
    pub fn has(&self, hash: u64) -> bool {
        self.versions().by_hash.contains_key(&hash)
    }

    pub fn reload(&self) -> Reload {
        self.reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn reloaded(&self, reload: Reload) {
        *self.reload.lock().unwrap_or_else(PoisonError::into_inner) = reload;
    }

    /// Keeps a proposal of the log. Proposed again by another, it is still the first one's.
    pub fn suggest(&self, proposal: Proposal) {
        let next = self.next_number();
        let mut waiting = self.waiting();
        match waiting.iter_mut().find(|one| one.book.reference() == proposal.book.reference()) {
            Some(known) if is_news(known, &proposal.by) => *known = proposal,
            Some(_) => {}
            None => waiting.push(proposal),
        }
        if waiting.len() > PROPOSALS_MAX {
            let overtaken = waiting.iter().position(|one| one.book.version() < next);
            waiting.remove(overtaken.unwrap_or(0));
        }
    }

    fn next_number(&self) -> u32 {
        self.last().map_or(0, |last| last.book.version()) + 1
    }

    /// Those that can still be approved, oldest first.
    pub fn proposals(&self) -> Vec<Proposal> {
        let next = self.next_number();
        self.waiting().iter().filter(|one| one.book.version() == next).cloned().collect()
    }

    /// The newest proposal of a content, perhaps overtaken.
    pub fn proposal(&self, hash: u64) -> Option<Proposal> {
        self.waiting().iter().rev().find(|one| one.book.hash() == hash).cloned()
    }

    /// Whether a proposal of this book by them would say nothing new.
    pub fn is_proposed(&self, book: &RuleBookRef, by: &str) -> bool {
        self.waiting().iter().any(|one| one.book.reference() == *book && !is_news(one, by))
    }

    /// What may take effect of a book that lies in a folder and that nobody has put in force by name.
    ///
    /// # Errors
    /// [`NotActivated::RolledBack`].
    pub fn admit(&self, book: RuleBook) -> Result<Admitted, NotActivated> {
        self.versions().withdrawn.admit(book)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Proposal>> {
        self.proposals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn propose(&self, change: Change, log: &dyn Publish) -> Result<Changed, NotActivated> {
        log.catch_up(self);
        if self.last().is_none() {
            return Err(NotActivated::Unavailable("the log has not been read yet".to_owned()));
        }
        let proposed = self.write(&change, log, &|next| {
            if self.is_proposed(&next.reference(), &change.by) {
                Ok(())
            } else {
                log.propose(next, next.version() - 1, &change.by)
            }
        })?;
        let Some(next) = proposed else {
            return Ok(Changed::Activated(Activated { book: self.in_force(&change.book), is_new: false }));
        };
        log.catch_up(self);
        let proposal = self.proposal(next.hash());
        let unread = || NotActivated::Unavailable("the proposal cannot be read back yet".to_owned());
        Ok(Changed::Proposed(proposal.ok_or_else(unread)?))
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
        let published = self.write(&change, log, &|next| log.publish(next, next.version() - 1, &change.by))?;
        Ok(match published {
            Some(next) => Activated { book: next.reference(), is_new: true },
            None => Activated { book: self.in_force(&change.book), is_new: false },
        })
    }

    /// Has the book put into the log as the one after the last; `None` when the last one has the same content.
    fn write(
        &self,
        change: &Change,
        log: &dyn Publish,
        put: &dyn Fn(&Arc<RuleBook>) -> Result<(), NotActivated>,
    ) -> Result<Option<Arc<RuleBook>>, NotActivated> {
        let busy = || NotActivated::Unavailable("another change waits for the log".to_owned());
        let _one = until(Instant::now() + CHANGE_PATIENCE, self.changing.lock()).ok_or_else(busy)?;
        // The last version, as far as the log has told.
        let mut told = 0;
        loop {
            log.catch_up(self);
            let last = self.last();
            if last.as_ref().map_or(0, |last| last.book.version()) < told {
                let reason = format!("version {told} is in the log and cannot be read here; a newer release has written it");
                return Err(NotActivated::Unavailable(reason));
            }
            let Some(next) = self.next(&change.book, change.after)? else {
                last.map_or(Ok(()), |last| log.remind(&last))?;
                return Ok(None);
            };
            match put(&next) {
                // Whoever asked for the place after the last one, whichever that is, gets the next; for the others it may be what
                // they wanted that came between.
                Err(NotActivated::Overtaken { last, .. }) => told = last,
                done => return done.map(|()| Some(next)),
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

    /// Rules that were live in some book and say something else in `next` under the same version.
    fn edited(&self, next: &RuleBook) -> Vec<Box<str>> {
        let versions = self.versions();
        let was = |rule: &RuleSource| versions.live.get(&(rule.id.clone(), rule.version)).copied();
        let edited = next.contents().filter(|(rule, content)| was(rule).is_some_and(|was| was != *content));
        let mut edited: Vec<Box<str>> = edited.map(|(rule, _)| rule.id.clone()).collect();
        edited.sort();
        edited
    }
}

/// Whether a second record of a proposal is an approval that counts.
fn is_news(known: &Proposal, by: &str) -> bool {
    *known.by == *FOLDER && by.starts_with(FOLDER_APPROVED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::decision::Verdict;

    fn book(number: u32, id: &str, version: u32, mode: Mode, title: &str) -> BookVersion {
        let rule = RuleSource {
            id: id.into(),
            version,
            title: title.into(),
            owner: "tests".into(),
            mode,
            reason_code: "A".into(),
            when: "attempts(duration(\"1h\")) >= 2".into(),
            then: Verdict::Flag,
            underwriter: "a".into(),
            ..RuleSource::default()
        };
        let book = Arc::new(RuleBook::build(number, vec![rule]).expect("sound"));
        BookVersion { book, offset: u64::from(number), since: ArrivalTime(0), by: None }
    }

    #[test]
    fn a_version_once_live_does_not_change_however_long_ago() {
        let shelf = Shelf::default();
        shelf.put(book(1, "a", 1, Mode::Live, "first"));
        shelf.put(book(2, "b", 1, Mode::Shadow, "first"));
        for number in 3..100 {
            shelf.put(book(number, "a", number, Mode::Live, "later"));
        }
        for (id, version, mode, title, expected) in [
            ("a", 1, Mode::Live, "edited", Some("a")),
            ("a", 1, Mode::Off, "edited", Some("a")),
            ("a", 1, Mode::Off, "first", None),
            ("a", 2, Mode::Live, "edited", None),
            ("b", 1, Mode::Live, "edited", None),
            ("a", 99, Mode::Live, "edited", Some("a")),
        ] {
            let next = shelf.next(&book(1, id, version, mode, title).book, None);
            let edited = expected.map(|id| NotActivated::Edited(vec![id.into()]));
            assert_eq!(next.err(), edited, "{id} {version} {mode:?} {title}");
        }
    }

    #[test]
    fn old_books_keep_their_texts_and_are_compiled_for_who_asks() {
        let shelf = Shelf::default();
        let all: Vec<BookVersion> = (1..=50).map(|number| book(number, "a", number, Mode::Live, "a title")).collect();
        all.iter().cloned().for_each(|version| shelf.put(version));
        let compiled = |versions: &Versions| {
            versions.by_number.values().filter(|(_, content)| matches!(content, Content::Compiled(_))).count()
        };
        assert_eq!(compiled(&shelf.versions()), COMPILED_MAX);
        for version in &all {
            let found = shelf.get(version.book.version()).expect("it is there");
            assert_eq!((&*found.book, found.offset), (&*version.book, version.offset));
            assert!(shelf.has(version.book.hash()));
            assert_eq!(shelf.with(version.book.hash()).as_deref(), Some(&*version.book));
        }
        assert_eq!(shelf.newest(2).iter().map(|listed| listed.book.version).collect::<Vec<_>>(), [50, 49]);
    }

    #[test]
    fn overtaken_proposals_make_room_first() {
        let shelf = Shelf::default();
        let propose = |number: u32, rule: u32| {
            let proposed = BookVersion { by: Some("anna".into()), ..book(number, "a", rule, Mode::Live, "a title") };
            shelf.suggest(Proposal::of(proposed));
        };
        (1..=PROPOSALS_MAX as u32).for_each(|rule| propose(2, rule));
        // One that was overtaken when it came pushes nothing out that can be approved.
        shelf.put(book(1, "a", 100, Mode::Live, "a title"));
        propose(1, 101);
        assert_eq!(shelf.proposals().len(), PROPOSALS_MAX);
        shelf.put(book(2, "a", 101, Mode::Live, "a title"));
        (102..105).for_each(|rule| propose(3, rule));
        assert_eq!(shelf.proposals().len(), 3);
        assert_eq!(shelf.waiting().len(), PROPOSALS_MAX);
    }
}
