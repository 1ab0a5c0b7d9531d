//! One batch, one transaction, one fdatasync.

use std::sync::LazyLock;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Error, Row};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::rows::Insert;
use super::{SqliteStore, to_sql, unavailable};
use crate::engine::time::EventTime;
use crate::pipeline::{Batch, DeadLetter, Emitted, FilePosition, LogRecord, Segment, Store, StoreError};

// A repeated commit finds its own rows: IGNORE, never a second one.
static LOG: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new("INSERT OR IGNORE INTO log (offset, kind, clock, arrival, source, tenant, client, body) VALUES", 8)
});
static DECISIONS: LazyLock<Insert> =
    LazyLock::new(|| Insert::new("INSERT OR IGNORE INTO decisions (tenant, quote_id, offset, revision, json) VALUES", 5));
static REJECTS: LazyLock<Insert> =
    LazyLock::new(|| Insert::new("INSERT OR IGNORE INTO rejects (offset, reason, error, pointer, file, line, raw) VALUES", 7));
static FILES: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new("INSERT OR REPLACE INTO file_positions (name, prefix_bytes, prefix_hash, byte_offset, lines) VALUES", 5)
});
const SEGMENT: &str = "INSERT OR REPLACE INTO segments (from_offset, to_offset, max_event_time, checksum, deltas) \
                       VALUES (?, ?, ?, ?, ?)";
const POSITION: &str = "INSERT OR REPLACE INTO position (id, next_offset, arrival) VALUES (0, ?, ?)";
/// Only from the front: what is kept stays contiguous, and the newest segment always stays.
const EXPIRE: &str = "DELETE FROM segments WHERE from_offset < coalesce(\
                        (SELECT min(from_offset) FROM segments WHERE max_event_time >= ?), \
                        (SELECT max(from_offset) FROM segments))";
const OLDEST: &str = "SELECT max_event_time FROM segments ORDER BY from_offset LIMIT 1";

impl Store for SqliteStore {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let expire = self.oldest.is_some_and(|oldest| oldest < batch.horizon);
        let oldest = self.runtime.block_on(write(&mut self.connection, batch, self.oldest, expire)).map_err(unavailable)?;
        self.oldest = Some(oldest);
        Ok(())
    }
}

/// Returns the newest event time of the oldest segment.
async fn write(
    connection: &mut SqliteConnection,
    batch: &Batch,
    oldest: Option<EventTime>,
    expire: bool,
) -> Result<EventTime, Error> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    LOG.run(&mut tx, &batch.records, |query, r: &LogRecord| {
        query
            .bind(to_sql(r.offset))
            .bind(r.kind as i64)
            .bind(r.clock as i64)
            .bind(r.arrival.0)
            .bind(r.source as i64)
            .bind(r.tenant.clone())
            .bind(r.client.clone())
            .bind(r.body.clone())
    })
    .await?;
    DECISIONS
        .run(&mut tx, &batch.decisions, |query, d: &Emitted| {
            query
                .bind(d.tenant.clone())
                .bind(d.quote_id.clone())
                .bind(to_sql(d.offset))
                .bind(i64::from(d.revision))
                .bind(d.json.clone())
        })
        .await?;
    REJECTS
        .run(&mut tx, &batch.dead_letters, |query, d: &DeadLetter| {
            let (file, line) = d.file.clone().unzip();
            let query = query.bind(to_sql(d.offset)).bind(d.reason).bind(d.error.clone()).bind(d.pointer.clone());
            query.bind(file).bind(line.map(to_sql)).bind(d.raw.clone())
        })
        .await?;
    FILES
        .run(&mut tx, &batch.files, |query, f: &FilePosition| {
            let query = query.bind(f.name.clone()).bind(to_sql(f.ident.prefix_bytes)).bind(to_sql(f.ident.prefix_hash));
            query.bind(to_sql(f.byte_offset)).bind(to_sql(f.lines))
        })
        .await?;
    insert_segment(&mut tx, &batch.segment).await?;
    let arrival = batch.records.last().map_or(0, |r| r.arrival.0);
    sqlx::query(POSITION).bind(to_sql(batch.segment.to)).bind(arrival).execute(&mut *tx).await?;
    if expire {
        sqlx::query(EXPIRE).bind(batch.horizon.0).execute(&mut *tx).await?;
    }
    let oldest = match oldest {
        Some(oldest) if !expire => oldest,
        _ => EventTime(sqlx::query(OLDEST).fetch_one(&mut *tx).await?.get(0)),
    };
    tx.commit().await?;
    Ok(oldest)
}

async fn insert_segment(tx: &mut SqliteConnection, segment: &Segment) -> Result<(), Error> {
    sqlx::query(SEGMENT)
        .bind(to_sql(segment.from))
        .bind(to_sql(segment.to))
        .bind(segment.max_event_time.0)
        .bind(to_sql(checksum(segment)))
        .bind(segment.deltas.as_slice())
        .execute(tx)
        .await?;
    Ok(())
}

/// Of the deltas and the place they belong to.
pub(super) fn checksum(segment: &Segment) -> u64 {
    xxh3_64_with_seed(&segment.deltas, segment.from ^ segment.to.rotate_left(32))
}
