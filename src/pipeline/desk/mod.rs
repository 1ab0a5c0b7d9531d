//! The underwriters' desk: a projection of the log plus what people do there. What the console and the API read and write.
//!
//! [`sink`] reads a [`feed`] of the log and projects it; [`Desk`] is the window to the result. `views` is what it shows, `status` what
//! may follow what.

pub mod feed;
pub mod matrix;
pub mod sink;
pub mod status;
pub mod views;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use status::{RulingKind, Status};
pub use views::{
    AuditFilter, AuditPage, AuditVerdict, Bucket, Case, CaseRow, DecisionFilter, DecisionKey, DecisionPage, DecisionRow,
    NewAudit, Overview, QueueFilter, QueueKey, QueuePage, Referral,
};

use super::StoreError;
use crate::engine::time::EventTime;

/// Longest comment, characters. Beyond: [`DeskError::TooLong`].
pub const COMMENT_CHARS_MAX: usize = 10_000;
/// Rows of one page. Beyond: they are cut to it.
pub const PAGE_MAX: usize = 200;
/// Rows of an export that wait for their reader. Beyond: the database is not read on.
pub const EXPORT_ROWS_AHEAD: usize = 1_024;

#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error("there is no case {0}")]
    NoCase(String),
    /// Somebody was faster: the form that was sent shows what is no longer so.
    #[error("the case has changed since it was opened: it is {now}, revision {revision}; look at it again")]
    Stale { now: Status, revision: u32 },
    #[error("a case that is {from} cannot become {to}")]
    Transition { from: Status, to: Status },
    #[error("{by} works on this case")]
    Taken { by: String, until: EventTime },
    #[error("{field} has {chars} characters; write at most {max}")]
    TooLong { field: &'static str, chars: usize, max: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An answer of the desk. The SQL behind it goes on when its caller goes away.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, DeskError>> + Send>>;

/// The desk's store. Every time that it writes or compares is its database's.
pub trait Desk: Send + Sync {
    /// The queue: oldest first, or for closed cases newest first.
    fn queue(&self, filter: QueueFilter, after: Option<QueueKey>, limit: usize) -> Answer<QueuePage>;

    /// One case with all that an underwriter has to see; of a tenant where the caller is bound to one.
    ///
    /// # Errors
    /// [`DeskError::NoCase`].
    fn case(&self, referral_id: &str, tenant: Option<&str>) -> Answer<Case>;

    /// A case as sites and the topic see it.
    ///
    /// # Errors
    /// [`DeskError::NoCase`].
    fn referral(&self, referral_id: &str, tenant: Option<&str>) -> Answer<Referral>;

    /// Reserves the next status for a ruling that the caller then appends to the log: two people cannot rule on what one of them has not
    /// seen. Gives the ruling's id, the same for the same person asking for the same twice. The status changes when the ruling
    /// comes back through the log; a reservation that is not followed by one lapses after [`RESERVED_SECS`].
    ///
    /// # Errors
    /// [`DeskError::Stale`] unless `seen` is the case's revision, [`DeskError::Transition`], [`DeskError::Taken`].
    fn reserve(&self, referral_id: &str, seen: u32, kind: RulingKind, who: &str) -> Answer<String>;

    // Each of these is in the audit with what it did, or not done.

    /// Takes a case for `ttl`; again by the same person renews.
    ///
    /// # Errors
    /// [`DeskError::Taken`] while another holds it.
    fn claim(&self, referral_id: &str, who: &str, ttl: Duration) -> Answer<EventTime>;

    /// Takes the oldest open case that nobody holds, of those that the filter names; `None` when there is none.
    fn claim_next(&self, filter: QueueFilter, who: &str, ttl: Duration) -> Answer<Option<String>>;

    /// Gives a case back; does nothing where another holds it.
    fn release(&self, referral_id: &str, who: &str) -> Answer<()>;

    /// Assigns it to somebody, or to nobody.
    fn assign(&self, referral_id: &str, assignee: Option<&str>, who: &str) -> Answer<()>;

    /// # Errors
    /// [`DeskError::TooLong`], [`DeskError::NoCase`].
    fn comment(&self, referral_id: &str, actor: &str, text: &str) -> Answer<()>;

    /// Decisions, newest first.
    fn decisions(&self, filter: DecisionFilter, after: Option<DecisionKey>, limit: usize) -> Answer<DecisionPage>;

    /// How many decisions there are in each bucket of so many minutes; buckets without any are left out.
    fn histogram(&self, filter: DecisionFilter, minutes: u32) -> Answer<Vec<Bucket>>;

    /// All decisions of a filter, or those after one of them, newest first; ends early when the receiver is dropped. Between two reads no
    /// transaction is open, however long the receiver waits.
    fn export(&self, filter: DecisionFilter, after: Option<DecisionKey>) -> mpsc::Receiver<Result<DecisionRow, StoreError>>;

    /// The figures of the first page, for one tenant or all. `now` is where the last hour ends, `today` where the day began.
    fn overview(&self, tenant: Option<&str>, now: EventTime, today: EventTime) -> Answer<Overview>;

    /// Grows with every change of what the pages show.
    fn pulse(&self) -> Answer<i64>;

    /// Appends to the chain.
    fn audit(&self, entry: NewAudit) -> Answer<()>;

    /// Newest first.
    fn audit_page(&self, filter: AuditFilter, before: Option<u64>, limit: usize) -> Answer<AuditPage>;

    /// Reads the whole chain.
    fn audit_verify(&self) -> Answer<AuditVerdict>;
}

/// How long a reserved status is kept for its ruling, seconds.
pub const RESERVED_SECS: i64 = 30;

/// The desk as its users hold it.
pub type SharedDesk = Arc<dyn Desk>;
