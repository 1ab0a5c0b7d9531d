//! The embedded log as the desk's sink reads it, beside the writer and never in its way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};
use tokio::runtime::Handle;

use super::fault::fault;
use super::load::{RESTORE, key, sealed_fault};
use super::{from_sql, meta, to_sql};
use crate::engine::time::ArrivalTime;
use crate::pipeline::committed::Committed;
use crate::pipeline::desk::feed::{DecisionRecord, Feed, Form, Move, Page, Part, Positions, RulingRecord};
use crate::pipeline::{RecordKind, Source, StoreError};
use crate::vault::{Place, Sealed, Vault};

/// Rows are never taken out of `decisions`: its rowids are the order in which they were written.
const DECISIONS: &str = "SELECT rowid, json FROM decisions WHERE rowid >= ? ORDER BY rowid LIMIT ?";
const RECORDS: &str =
    "SELECT offset, kind, arrival, source, tenant, body, key FROM log WHERE offset >= ? ORDER BY offset LIMIT ?";
const LAST: &str = "SELECT coalesce(max(rowid), 0) FROM decisions";
/// The embedded log has one partition.
const PARTITION: u32 = 0;

pub struct LogFeed {
    path: PathBuf,
    runtime: Handle,
    connection: Option<SqliteConnection>,
    vault: Arc<Vault>,
    log_id: String,
    committed: Arc<Committed>,
    behind: u64,
}

impl LogFeed {
    /// Of a log that is open already. Its methods, but for this one, block the calling thread, which must not be one of the
    /// runtime's.
    pub async fn open(path: &Path, vault: Arc<Vault>, committed: Arc<Committed>) -> Result<LogFeed, StoreError> {
        let mut connection = connect(path).await?;
        let log_id = meta::log_id(&mut connection).await?;
        let (path, runtime) = (path.to_owned(), Handle::current());
        Ok(LogFeed { path, runtime, connection: Some(connection), vault, log_id, committed, behind: 0 })
    }

    fn read(&mut self, after: &Positions, limit: usize) -> Result<Page, StoreError> {
        let runtime = self.runtime.clone();
        runtime.block_on(async {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => connect(&self.path).await?,
            };
            let page = page(&mut connection, &self.vault, after, limit).await?;
            self.behind = match page.decisions.last() {
                Some(_) => behind(&mut connection, &page).await?,
                None => 0,
            };
            // Not after an error: what it believes of itself may be wrong.
            self.connection = Some(connection);
            Ok(page)
        })
    }
}

impl Feed for LogFeed {
    fn log_id(&self) -> &str {
        &self.log_id
    }

    fn next(&mut self, after: &Positions, limit: usize, wait: Duration) -> Result<Page, StoreError> {
        // Before the read: a commit after it is one that the wait does not wait for.
        let seen = self.committed.count();
        let page = self.read(after, limit)?;
        if !page.is_empty() || self.committed.wait(seen, wait) == seen { Ok(page) } else { self.read(after, limit) }
    }

    fn behind(&self) -> u64 {
        self.behind
    }
}

async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    SqliteConnection::connect_with(&options).await.map_err(fault)
}

async fn page(connection: &mut SqliteConnection, vault: &Vault, after: &Positions, limit: usize) -> Result<Page, StoreError> {
    let mut page = Page::default();
    let from = |part| after.get(&(part, PARTITION)).copied().unwrap_or_default();
    let next = from(Part::Quotes);
    let rows =
        sqlx::query(RECORDS).bind(to_sql(next)).bind(to_sql(limit as u64)).fetch_all(&mut *connection).await.map_err(fault)?;
    for row in &rows {
        take_record(row, vault, &mut page)?;
    }
    if let Some(last) = rows.last() {
        let to = from_sql(last.try_get(0).map_err(fault)?) + 1;
        page.moves.push(Move { part: Part::Quotes, partition: PARTITION, from: next, to });
    }
    let next = from(Part::Decisions);
    let rows =
        sqlx::query(DECISIONS).bind(to_sql(next)).bind(to_sql(limit as u64)).fetch_all(&mut *connection).await.map_err(fault)?;
    for row in &rows {
        let (id, json) = (row.try_get::<i64, _>(0).map_err(fault)?, row.try_get(1).map_err(fault)?);
        let record = DecisionRecord::read(json);
        page.decisions.push(record.map_err(|error| StoreError::Damaged(format!("decision {id} of the log: {error}")))?);
    }
    if let Some(last) = rows.last() {
        let to = from_sql(last.try_get(0).map_err(fault)?) + 1;
        page.moves.push(Move { part: Part::Decisions, partition: PARTITION, from: next, to });
    }
    Ok(page)
}

fn take_record(row: &SqliteRow, vault: &Vault, page: &mut Page) -> Result<(), StoreError> {
    let number = |column: usize| row.try_get::<i64, _>(column).map_err(fault);
    let (offset, kind, arrival) = (from_sql(number(0)?), number(1)?, ArrivalTime(number(2)?));
    if kind != RecordKind::Quote as i64 && kind != RecordKind::Ruling as i64 {
        return Ok(());
    }
    let sealed = Sealed { key: key(row, 6).map_err(fault)?, bytes: row.try_get(5).map_err(fault)? };
    let body = vault.open(Place::Log(offset), sealed);
    let body = body.map_err(|error| sealed_fault(&format!("the log record at offset {offset}"), error, RESTORE))?;
    if kind == RecordKind::Ruling as i64 {
        match RulingRecord::read(PARTITION, offset, arrival, &body) {
            Ok(ruling) => page.rulings.push(ruling),
            Err(error) => return Err(StoreError::Damaged(format!("the ruling at offset {offset} of the log: {error}"))),
        }
        return Ok(());
    }
    let source = Source::from_code(number(3)?)
        .ok_or_else(|| StoreError::Damaged(format!("the log record at offset {offset} has an unknown source")))?;
    let tenant: String = row.try_get(4).map_err(fault)?;
    // A body that is no quote any more was erased.
    page.forms.extend(Form::read(PARTITION, offset, arrival, source, &tenant, body));
    Ok(())
}

async fn behind(connection: &mut SqliteConnection, page: &Page) -> Result<u64, StoreError> {
    let last = sqlx::query(LAST).fetch_one(connection).await.and_then(|row| row.try_get(0)).map(from_sql).map_err(fault)?;
    let read = page.moves.iter().find(|moved| moved.part == Part::Decisions).map_or(0, |moved| moved.to);
    Ok((last + 1).saturating_sub(read))
}
