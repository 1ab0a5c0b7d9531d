//! Reads beside the writer: decisions for HTTP, the log for replay.

use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Connection, Row};
use tokio::runtime::Runtime;

use super::fault::fault;
use super::load::{RESTORE, key, sealed_fault};
use super::recognise::Found;
use super::{from_sql, meta, recognise, to_sql};
use crate::engine::state::Settings;
use crate::engine::step::ArrivalClock;
use crate::engine::time::ArrivalTime;
use crate::pipeline::{Decisions, Log, LogRecord, Reading, RecordKind, Source, StoreError};
use crate::vault::{Place, Sealed, Vault};

const LATEST: &str = "SELECT json FROM decisions WHERE tenant = ? AND quote_id = ? ORDER BY offset DESC, revision DESC LIMIT 1";
const RECORDS: &str = "SELECT offset, kind, clock, arrival, source, tenant, client, body, key FROM log \
                       WHERE offset >= ? ORDER BY offset LIMIT ?";
/// Of a file that no release with keys has opened for writing.
const RECORDS_WITHOUT_KEYS: &str = "SELECT offset, kind, clock, arrival, source, tenant, client, body, NULL FROM log \
                                    WHERE offset >= ? ORDER BY offset LIMIT ?";
const HAS_KEYS: &str = "SELECT count(*) > 0 FROM pragma_table_info('log') WHERE name = 'key'";
const NEWEST_BOOK: &str = "SELECT body FROM log WHERE kind = ? ORDER BY offset DESC LIMIT 1";

/// Read-only and shared; sees every committed batch.
#[derive(Clone)]
pub struct Reader {
    pub(super) pool: SqlitePool,
    pub(super) vault: Arc<Vault>,
}

impl Reader {
    pub(super) fn new(pool: SqlitePool, vault: Arc<Vault>) -> Reader {
        Reader { pool, vault }
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Decisions for Reader {
    fn newest(&self, tenant: &str, quote_id: &str) -> Reading<Option<Vec<u8>>> {
        let pool = self.pool.clone();
        let (tenant, quote_id) = (tenant.to_owned(), quote_id.to_owned());
        // In a task of its own: a request that goes away must not cancel SQL half-way.
        let read = tokio::spawn(async move { sqlx::query(LATEST).bind(tenant).bind(quote_id).fetch_optional(&pool).await });
        Box::pin(async move {
            let row = read.await.map_err(|e| StoreError::Unavailable(e.to_string()))?.map_err(fault)?;
            row.map(|row| row.try_get(0)).transpose().map_err(fault)
        })
    }
}

/// A recorded log, opened for reading only: what it was written under, and its records page by page.
pub struct RecordedLog {
    runtime: Runtime,
    connection: SqliteConnection,
    settings: Settings,
    vault: Arc<Vault>,
    has_keys: bool,
    len: u64,
    next: u64,
}

/// Opens a service's file for replay; the service may be running. Call it, and what it gives, from outside of a runtime.
pub fn recorded_log(path: &Path, vault: Arc<Vault>) -> Result<RecordedLog, StoreError> {
    let (runtime, mut connection) = connect(path)?;
    if runtime.block_on(recognise::tables(&mut connection, path))? == Found::Nothing {
        return Err(recognise::holds_no_log(path));
    }
    let settings = runtime.block_on(meta::recorded(&mut connection, path))?;
    RecordedLog::new(runtime, connection, settings, vault)
}

fn connect(path: &Path) -> Result<(Runtime, SqliteConnection), StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| StoreError::Unavailable(e.to_string()))?;
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let connection = runtime.block_on(SqliteConnection::connect_with(&options)).map_err(fault)?;
    Ok((runtime, connection))
}

impl RecordedLog {
    /// To be decided again under other settings than it was.
    pub(super) fn open(path: &Path, settings: Settings, vault: Arc<Vault>) -> Result<RecordedLog, StoreError> {
        let (runtime, connection) = connect(path)?;
        RecordedLog::new(runtime, connection, settings, vault)
    }

    fn new(
        runtime: Runtime,
        mut connection: SqliteConnection,
        settings: Settings,
        vault: Arc<Vault>,
    ) -> Result<RecordedLog, StoreError> {
        let count = runtime.block_on(sqlx::query("SELECT count(*) FROM log").fetch_one(&mut connection));
        let len = count.and_then(|row| row.try_get(0)).map(from_sql).map_err(fault)?;
        let has_keys = runtime.block_on(sqlx::query(HAS_KEYS).fetch_one(&mut connection));
        let has_keys = has_keys.and_then(|row| row.try_get(0)).map_err(fault)?;
        Ok(RecordedLog { runtime, connection, settings, vault, has_keys, len, next: 0 })
    }

    /// Waits until the file is let go.
    pub(super) fn close(self) {
        let RecordedLog { runtime, connection, .. } = self;
        if let Err(error) = runtime.block_on(connection.close()) {
            tracing::warn!(%error, "the log was not closed cleanly");
        }
    }
}

impl Log for RecordedLog {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn records(&self) -> u64 {
        self.len
    }

    fn newest_rule_book(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let query = sqlx::query(NEWEST_BOOK).bind(RecordKind::RuleBook as i64).fetch_optional(&mut self.connection);
        let row = self.runtime.block_on(query).map_err(fault)?;
        row.map(|row| row.try_get(0)).transpose().map_err(fault)
    }

    fn page(&mut self, limit: usize) -> Result<Vec<LogRecord>, StoreError> {
        let records = if self.has_keys { RECORDS } else { RECORDS_WITHOUT_KEYS };
        let query = sqlx::query(records).bind(to_sql(self.next)).bind(to_sql(limit as u64));
        let rows = self.runtime.block_on(query.fetch_all(&mut self.connection)).map_err(fault)?;
        let records = rows.iter().map(|row| record(row, &self.vault)).collect::<Result<Vec<_>, _>>()?;
        for record in &records {
            if record.offset != self.next {
                return Err(StoreError::Damaged(format!("the log has no record at offset {}", self.next)));
            }
            self.next += 1;
        }
        Ok(records)
    }
}

fn record(row: &SqliteRow, vault: &Vault) -> Result<LogRecord, StoreError> {
    let number = |column: usize| row.try_get::<i64, _>(column).map_err(fault);
    let offset = from_sql(number(0)?);
    let unknown = |what: &str| StoreError::Damaged(format!("the log record at offset {offset} has an unknown {what}"));
    let sealed = Sealed { key: key(row, 8).map_err(fault)?, bytes: row.try_get(7).map_err(fault)? };
    let body = vault.open(Place::Log(offset), sealed);
    let body = body.map_err(|error| sealed_fault(&format!("the log record at offset {offset}"), error, RESTORE))?;
    Ok(LogRecord {
        offset,
        kind: RecordKind::from_code(number(1)?).ok_or_else(|| unknown("kind"))?,
        clock: clock(number(2)?).ok_or_else(|| unknown("clock"))?,
        arrival: ArrivalTime(number(3)?),
        source: Source::from_code(number(4)?).ok_or_else(|| unknown("source"))?,
        tenant: row.try_get::<String, _>(5).map_err(fault)?.into(),
        client: row.try_get::<Option<String>, _>(6).map_err(fault)?.map(Into::into),
        body,
    })
}

fn clock(code: i64) -> Option<ArrivalClock> {
    [ArrivalClock::Log, ArrivalClock::Stream, ArrivalClock::Event].into_iter().find(|clock| *clock as i64 == code)
}
