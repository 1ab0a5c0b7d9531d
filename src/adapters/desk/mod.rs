//! The desk's store: one schema and one set of statements over an SQLite file or PostgreSQL.
//!
//! `project`, `cases` and `ruled` write what the log says; `queue`, `case`, `history`, `explore` and `overview` read; `work` and `audit` are what people do.

mod access;
mod api_keys;
mod audit;
mod case;
mod cases;
mod db;
mod explore;
mod history;
mod keep;
#[cfg(feature = "postgres")]
mod months;
mod outbox;
mod overview;
#[cfg(feature = "postgres")]
mod postgres;
mod project;
mod queue;
mod reseal;
mod ruled;
#[cfg(feature = "postgres")]
mod server;
mod sqlite;
mod value;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use db::{Db, Relation, Tx};
pub use keep::Keeping;
pub use project::Projector;
pub use reseal::Resealed;
#[cfg(feature = "postgres")]
pub use server::{Schema, ServerOptions};
pub use value::{Cell, FromCell, Row, Value, ValueKind};

use crate::engine::time::EventTime;
use crate::pipeline::StoreError;
use crate::pipeline::desk::{
    Answer, AuditFilter, AuditPage, AuditVerdict, Bucket, Case, DecisionFilter, DecisionKey, DecisionPage, DecisionRow, Desk,
    DeskError, EXPORT_ROWS_AHEAD, NewAudit, Overview, QueueFilter, QueueKey, QueuePage, Referral, RulingKind,
};
use crate::vault::{Place, Vault, VaultError};

/// A form as it came.
fn form(desk: &DeskStore, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
    desk.vault.unwrap(place, sealed).map_err(|error| {
        let Place::Form { partition, offset, .. } = place else { return error.into() };
        sealed_fault(&format!("form at offset {offset} of partition {partition}"), error)
    })
}

/// Something on the desk that does not open.
fn sealed_fault(what: &str, error: VaultError) -> StoreError {
    let told = format!("the desk's {what}: {error}");
    if matches!(error, VaultError::Damaged(_)) { StoreError::Damaged(told) } else { StoreError::Refused(told) }
}

/// The open store, shared by clones.
#[derive(Clone)]
pub struct DeskStore {
    db: Db,
    vault: Arc<Vault>,
    keeping: Keeping,
    #[cfg(feature = "postgres")]
    server: Option<ServerOptions>,
}

impl DeskStore {
    /// Opens or creates a file.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a file of a later version.
    pub async fn open_file(path: &Path, vault: Arc<Vault>, keeping: Keeping) -> Result<DeskStore, StoreError> {
        Ok(DeskStore {
            db: sqlite::open(path).await?,
            vault,
            keeping,
            #[cfg(feature = "postgres")]
            server: None,
        })
    }

    /// Of a server that need not be there yet: nothing is asked of it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for options that cannot be.
    #[cfg(feature = "postgres")]
    pub fn of_server(server: ServerOptions, vault: Arc<Vault>, keeping: Keeping) -> Result<DeskStore, StoreError> {
        Ok(DeskStore { db: server.pool()?, vault, keeping, server: Some(server) })
    }

    /// Brings an empty schema up to this version; an SQLite file is so since it was opened.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a schema of an older version: other instances may stand on it.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        match &self.db {
            Db::Sqlite { .. } => Ok(()),
            #[cfg(feature = "postgres")]
            db @ Db::Postgres(_) => server::prepare(db).await,
        }
    }

    /// What the schema of a server needs; `None` for a file.
    #[cfg(feature = "postgres")]
    pub async fn schema(&self) -> Result<Option<Schema>, StoreError> {
        match &self.db {
            Db::Sqlite { .. } => Ok(None),
            db @ Db::Postgres(_) => server::schema(db).await.map(Some),
        }
    }

    /// Brings the schema of a server up to this version.
    #[cfg(feature = "postgres")]
    pub async fn migrate(&self) -> Result<(), StoreError> {
        server::migrate(&self.db).await
    }

    /// For further tables of the same database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Forgets what was projected, and keeps what people did: the log is another one under the same id.
    pub async fn start_over(&self) -> Result<(), StoreError> {
        project::start_over(&self.db).await
    }

    /// Cases that have changed since they were last told of, at most so many.
    pub fn unpublished(&self, limit: usize) -> Answer<Vec<Referral>> {
        self.spawned(async move |desk| case::unpublished(&desk.db, limit).await)
    }

    /// The case was told of as it was at this revision.
    pub fn published(&self, referral_id: &str, revision: u32) -> Answer<()> {
        let referral_id = referral_id.to_owned();
        self.spawned(async move |desk| case::published(&desk.db, &referral_id, revision).await)
    }

    /// Whether the audit chain still has an entry with this hash, that of a head which was noted before.
    pub async fn audit_holds(&self, hash: &str, seq: Option<u64>) -> Result<bool, StoreError> {
        audit::holds(&self.db, hash, seq).await
    }

    pub async fn close(&self) {
        self.db.close().await;
    }

    /// In a task of its own: a request that goes away must not cancel SQL half-way.
    fn spawned<T, F>(&self, work: impl FnOnce(DeskStore) -> F) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DeskError>> + Send + 'static,
    {
        let task = tokio::spawn(work(self.clone()));
        Box::pin(async move { task.await.map_err(|error| StoreError::Unavailable(error.to_string()))? })
    }
}

impl Desk for DeskStore {
    fn queue(&self, filter: QueueFilter, after: Option<QueueKey>, limit: usize) -> Answer<QueuePage> {
        self.spawned(async move |desk| queue::page(&desk, filter, after, limit).await)
    }

    fn case(&self, referral_id: &str, tenant: Option<&str>) -> Answer<Case> {
        let (referral_id, tenant) = (referral_id.to_owned(), tenant.map(str::to_owned));
        self.spawned(async move |desk| case::case(&desk, &referral_id, tenant.as_deref()).await)
    }

    fn referral(&self, referral_id: &str, tenant: Option<&str>) -> Answer<Referral> {
        let (referral_id, tenant) = (referral_id.to_owned(), tenant.map(str::to_owned));
        self.spawned(async move |desk| case::referral(&desk.db, &referral_id, tenant.as_deref()).await)
    }

    fn reserve(&self, referral_id: &str, seen: u32, kind: RulingKind, who: &str) -> Answer<String> {
        let (referral_id, who) = (referral_id.to_owned(), who.to_owned());
        self.spawned(async move |desk| work::reserve(&desk.db, &referral_id, seen, kind, &who).await)
    }

    fn claim(&self, referral_id: &str, who: &str, ttl: Duration) -> Answer<EventTime> {
        let (referral_id, who) = (referral_id.to_owned(), who.to_owned());
        self.spawned(async move |desk| work::claim(&desk, &referral_id, &who, ttl).await)
    }

    fn claim_next(&self, filter: QueueFilter, who: &str, ttl: Duration) -> Answer<Option<String>> {
        let who = who.to_owned();
        self.spawned(async move |desk| work::claim_next(&desk, &filter, &who, ttl).await)
    }

    fn release(&self, referral_id: &str, who: &str) -> Answer<()> {
        let (referral_id, who) = (referral_id.to_owned(), who.to_owned());
        self.spawned(async move |desk| work::release(&desk, &referral_id, &who).await)
    }

    fn assign(&self, referral_id: &str, assignee: Option<&str>, who: &str) -> Answer<()> {
        let (referral_id, assignee, who) = (referral_id.to_owned(), assignee.map(str::to_owned), who.to_owned());
        self.spawned(async move |desk| work::assign(&desk, &referral_id, assignee, &who).await)
    }

    fn comment(&self, referral_id: &str, actor: &str, text: &str) -> Answer<()> {
        let (referral_id, actor, text) = (referral_id.to_owned(), actor.to_owned(), text.to_owned());
        self.spawned(async move |desk| work::comment(&desk, &referral_id, &actor, &text).await)
    }

    fn decisions(&self, filter: DecisionFilter, after: Option<DecisionKey>, limit: usize) -> Answer<DecisionPage> {
        self.spawned(async move |desk| Ok(explore::page(&desk.db, &filter, after, limit).await?))
    }

    fn histogram(&self, filter: DecisionFilter, minutes: u32) -> Answer<Vec<Bucket>> {
        self.spawned(async move |desk| Ok(explore::histogram(&desk.db, &filter, minutes).await?))
    }

    fn export(&self, filter: DecisionFilter, after: Option<DecisionKey>) -> mpsc::Receiver<Result<DecisionRow, StoreError>> {
        let (rows, receiver) = mpsc::channel(EXPORT_ROWS_AHEAD);
        let db = self.db.clone();
        tokio::spawn(async move { explore::export(&db, &filter, after, &rows).await });
        receiver
    }

    fn overview(&self, tenant: Option<&str>, now: EventTime, today: EventTime) -> Answer<Overview> {
        let tenant = tenant.map(str::to_owned);
        self.spawned(async move |desk| Ok(overview::overview(&desk.db, tenant, now, today).await?))
    }

    fn pulse(&self) -> Answer<i64> {
        self.spawned(async move |desk| Ok(overview::pulse(&desk.db).await?))
    }

    fn audit(&self, entry: NewAudit) -> Answer<()> {
        self.spawned(async move |desk| Ok(audit::append(&desk.db, &desk.vault, entry).await?))
    }

    fn audit_page(&self, filter: AuditFilter, before: Option<u64>, limit: usize) -> Answer<AuditPage> {
        self.spawned(async move |desk| Ok(audit::page(&desk.db, &filter, before, limit).await?))
    }

    fn audit_verify(&self) -> Answer<AuditVerdict> {
        self.spawned(async move |desk| Ok(audit::verify(&desk.db, &desk.vault).await?))
    }
}
