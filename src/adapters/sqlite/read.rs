//! Reads beside the writer: decisions for HTTP, the log for replay.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Connection, Row};

use super::{from_sql, meta, to_sql, unavailable};
use crate::engine::state::Settings;
use crate::engine::step::ArrivalClock;
use crate::engine::time::ArrivalTime;
use crate::pipeline::{LogRecord, RecordKind, Source, StoreError};

const LATEST: &str = "SELECT json FROM decisions WHERE tenant = ? AND quote_id = ? ORDER BY offset DESC, revision DESC LIMIT 1";
const RECORDS: &str = "SELECT offset, kind, clock, arrival, source, tenant, client, body FROM log \
                       WHERE offset >= ? ORDER BY offset LIMIT ?";

/// Read-only and shared; sees every committed batch.
#[derive(Clone)]
pub struct Reader {
    pool: SqlitePool,
}

impl Reader {
    pub(super) fn new(pool: SqlitePool) -> Reader {
        Reader { pool }
    }

    /// The newest revision of the newest quote with this id, as it was published.
    pub async fn decision(&self, tenant: &str, quote_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let pool = self.pool.clone();
        let (tenant, quote_id) = (tenant.to_owned(), quote_id.to_owned());
        // In a task of its own: a request that goes away must not cancel SQL half-way.
        let read = tokio::spawn(async move { sqlx::query(LATEST).bind(tenant).bind(quote_id).fetch_optional(&pool).await });
        let row = read.await.map_err(|e| StoreError::Unavailable(e.to_string()))?.map_err(unavailable)?;
        Ok(row.map(|row| row.get(0)))
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A recorded log, opened for reading only: what it was written under, and its records page by page.
pub struct RecordedLog {
    connection: SqliteConnection,
    pub settings: Settings,
    /// Records it holds.
    pub len: u64,
    next: u64,
}

/// Opens a service's file for replay; the service may be running.
pub async fn log_records(path: &Path) -> Result<RecordedLog, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(unavailable)?;
    let settings = meta::recorded(&mut connection, path).await?;
    let count = sqlx::query("SELECT count(*) FROM log").fetch_one(&mut connection).await.map_err(unavailable)?;
    Ok(RecordedLog { connection, settings, len: from_sql(count.get(0)), next: 0 })
}

impl RecordedLog {
    /// The next records in order, at most `limit`; empty at the end.
    pub async fn page(&mut self, limit: u32) -> Result<Vec<LogRecord>, StoreError> {
        let query = sqlx::query(RECORDS).bind(to_sql(self.next)).bind(i64::from(limit));
        let rows = query.fetch_all(&mut self.connection).await.map_err(unavailable)?;
        let records = rows.iter().map(record).collect::<Result<Vec<_>, _>>()?;
        for record in &records {
            if record.offset != self.next {
                return Err(StoreError::Damaged(format!("the log has no record at offset {}", self.next)));
            }
            self.next += 1;
        }
        Ok(records)
    }
}

fn record(row: &SqliteRow) -> Result<LogRecord, StoreError> {
    let offset = from_sql(row.get(0));
    let unknown = |what: &str| StoreError::Damaged(format!("the log record at offset {offset} has an unknown {what}"));
    Ok(LogRecord {
        offset,
        kind: RecordKind::from_code(row.get(1)).ok_or_else(|| unknown("kind"))?,
        clock: clock(row.get(2)).ok_or_else(|| unknown("clock"))?,
        arrival: ArrivalTime(row.get(3)),
        source: Source::from_code(row.get(4)).ok_or_else(|| unknown("source"))?,
        tenant: row.get::<String, _>(5).into(),
        client: row.get::<Option<String>, _>(6).map(Into::into),
        body: row.get(7),
    })
}

fn clock(code: i64) -> Option<ArrivalClock> {
    [ArrivalClock::Log, ArrivalClock::Stream, ArrivalClock::Event].into_iter().find(|clock| *clock as i64 == code)
}
