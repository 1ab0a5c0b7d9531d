//! One batch, one transaction, one fdatasync.

use std::sync::LazyLock;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Error, Row};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::erase;
use super::fault::fault;
use super::rows::Insert;
use super::{SqliteStore, from_sql, to_sql};
use crate::engine::time::EventTime;
use crate::pipeline::{
    Batch, DeadLetter, Emitted, FilePosition, LogRecord, RecordKind, Segment, Store, StoreError, TablePosition,
};
use crate::vault::{Place, Sealed, Vault, VaultError};

/// Moves only from where the batch begins, so nothing is written twice and the rows below need no leniency: whatever they
/// collide with is not ours.
const POSITION: &str = "INSERT INTO position (id, next_offset, arrival) VALUES (0, ?, ?) ON CONFLICT (id) DO UPDATE \
                        SET next_offset = excluded.next_offset, arrival = excluded.arrival WHERE next_offset = ?";
const WHERE_IS: &str = "SELECT next_offset FROM position WHERE id = 0";
static LOG: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new("INSERT INTO log (offset, kind, clock, arrival, source, tenant, client, body, key) VALUES", 9, "")
});
static DECISIONS: LazyLock<Insert> =
    LazyLock::new(|| Insert::new("INSERT INTO decisions (tenant, quote_id, offset, revision, json) VALUES", 5, ""));
static REJECTS: LazyLock<Insert> =
    LazyLock::new(|| Insert::new("INSERT INTO rejects (offset, reason, error, pointer, file, line, raw, key) VALUES", 8, ""));
static FILES: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "INSERT INTO file_positions (name, prefix_bytes, prefix_hash, byte_offset, lines) VALUES",
        5,
        "ON CONFLICT (name) DO UPDATE SET prefix_bytes = excluded.prefix_bytes, prefix_hash = excluded.prefix_hash, \
         byte_offset = excluded.byte_offset, lines = excluded.lines",
    )
});
static TABLES: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "INSERT INTO table_positions (name, xid, key) VALUES",
        3,
        "ON CONFLICT (name) DO UPDATE SET xid = excluded.xid, key = excluded.key",
    )
});
const FORGET: &str = "DELETE FROM file_positions WHERE name = ?";
const SEGMENT: &str =
    "INSERT INTO segments (from_offset, to_offset, max_event_time, checksum, deltas, key) VALUES (?, ?, ?, ?, ?, ?)";
/// Only from the front: what is kept stays contiguous, and the newest segment always stays.
const EXPIRE: &str = "DELETE FROM segments WHERE from_offset < coalesce(\
                        (SELECT min(from_offset) FROM segments WHERE max_event_time >= ?), \
                        (SELECT max(from_offset) FROM segments))";
const OLDEST: &str = "SELECT max_event_time FROM segments ORDER BY from_offset LIMIT 1";

impl Store for SqliteStore {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.is_suspect {
            self.reopen().map_err(|error| error.at(&self.path))?;
        }
        let expire = self.oldest.is_some_and(|oldest| oldest < batch.horizon);
        // Before the transaction, and before a try that may follow: what fails here has touched nothing.
        let sealed = SealedBatch::new(&self.vault, batch)?;
        let done = self.runtime.block_on(write(&mut self.connection, &sealed, &self.vault, self.oldest, expire));
        self.is_suspect = done.is_err();
        let done = done.map_err(|error| error.at(&self.path))?;
        self.committed.tell();
        match done {
            Some(oldest) => self.oldest = Some(oldest),
            None if batch.records.is_empty() => {}
            None => tracing::info!(to = batch.segment.to, "the commit before had succeeded after all"),
        }
        Ok(())
    }
}

/// A batch with its personal data as it is stored.
struct SealedBatch<'a> {
    batch: &'a Batch,
    records: Vec<(&'a LogRecord, Sealed)>,
    dead_letters: Vec<(&'a DeadLetter, Sealed)>,
    deltas: Sealed,
}

impl SealedBatch<'_> {
    fn new<'a>(vault: &Vault, batch: &'a Batch) -> Result<SealedBatch<'a>, VaultError> {
        let record = |record: &'a LogRecord| {
            let is_personal = record.kind == RecordKind::Quote;
            let body =
                if is_personal { vault.seal(Place::Log(record.offset), &record.body)? } else { Sealed::plain(&record.body) };
            Ok((record, body))
        };
        let letter = |letter: &'a DeadLetter| Ok((letter, vault.seal(Place::Reject(letter.offset), &letter.raw)?));
        let Segment { from, to, .. } = batch.segment;
        Ok(SealedBatch {
            batch,
            records: batch.records.iter().map(record).collect::<Result<_, VaultError>>()?,
            dead_letters: batch.dead_letters.iter().map(letter).collect::<Result<_, VaultError>>()?,
            deltas: vault.seal(Place::Segment(from, to), &batch.segment.deltas)?,
        })
    }
}

/// As a column has it.
pub(super) fn key(sealed: &Sealed) -> Option<i64> {
    sealed.key.map(|key| i64::from(key.0))
}

/// Returns the newest event time of the oldest segment; `None` when the batch was durable already.
async fn write(
    connection: &mut SqliteConnection,
    sealed: &SealedBatch<'_>,
    vault: &Vault,
    oldest: Option<EventTime>,
    expire: bool,
) -> Result<Option<EventTime>, StoreError> {
    let batch = sealed.batch;
    if !batch.erasures.is_empty() {
        erase::overwrite_freed_pages(connection, true).await?;
    }
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;
    for name in &batch.forgotten {
        sqlx::query(FORGET).bind(name.clone()).execute(&mut *tx).await.map_err(fault)?;
    }
    if batch.records.is_empty() {
        tx.commit().await.map_err(fault)?;
        return Ok(oldest);
    }
    if !move_position(&mut tx, batch).await? {
        return Ok(None);
    }
    let oldest = write_rows(&mut tx, sealed, oldest, expire).await.map_err(fault)?;
    for erasure in &batch.erasures {
        erase::erase(&mut tx, erasure, vault).await?;
    }
    tx.commit().await.map_err(fault)?;
    if !batch.erasures.is_empty() {
        erase::overwrite_freed_pages(connection, false).await?;
    }
    Ok(Some(oldest))
}

/// Whether the position stood where the batch begins; if it stands where the batch ends, an earlier try has succeeded.
async fn move_position(tx: &mut SqliteConnection, batch: &Batch) -> Result<bool, StoreError> {
    let Segment { from, to, .. } = batch.segment;
    let arrival = batch.records.last().map_or(0, |r| r.arrival.0);
    let moved = sqlx::query(POSITION).bind(to_sql(to)).bind(arrival).bind(to_sql(from)).execute(&mut *tx);
    if moved.await.map_err(fault)?.rows_affected() == 1 {
        return Ok(true);
    }
    let found = sqlx::query(WHERE_IS).fetch_one(tx).await.and_then(|row| row.try_get(0)).map_err(fault)?;
    match from_sql(found) {
        found if found == to => Ok(false),
        found => Err(StoreError::Damaged(format!(
            "its position is {found} where {from} was left: another program has written to the file; restore a whole copy of it"
        ))),
    }
}

async fn write_rows(
    tx: &mut SqliteConnection,
    sealed: &SealedBatch<'_>,
    oldest: Option<EventTime>,
    expire: bool,
) -> Result<EventTime, Error> {
    let SealedBatch { batch, records, dead_letters, deltas } = sealed;
    LOG.run(tx, records, |query, (r, body): &(&LogRecord, Sealed)| {
        query
            .bind(to_sql(r.offset))
            .bind(r.kind as i64)
            .bind(r.clock as i64)
            .bind(r.arrival.0)
            .bind(r.source as i64)
            .bind(r.tenant.clone())
            .bind(r.client.clone())
            .bind(body.bytes.clone())
            .bind(key(body))
    })
    .await?;
    DECISIONS
        .run(tx, &batch.decisions, |query, d: &Emitted| {
            query
                .bind(d.tenant.clone())
                .bind(d.quote_id.clone())
                .bind(to_sql(d.offset))
                .bind(i64::from(d.revision))
                .bind(d.json.clone())
        })
        .await?;
    REJECTS
        .run(tx, dead_letters, |query, (d, raw): &(&DeadLetter, Sealed)| {
            let (file, line) = d.file.clone().unzip();
            let query = query.bind(to_sql(d.offset)).bind(d.reason).bind(d.error.clone()).bind(d.pointer.clone());
            query.bind(file).bind(line.map(to_sql)).bind(raw.bytes.clone()).bind(key(raw))
        })
        .await?;
    FILES
        .run(tx, &batch.files, |query, f: &FilePosition| {
            let query = query.bind(f.name.clone()).bind(to_sql(f.ident.prefix_bytes)).bind(to_sql(f.ident.prefix_hash));
            query.bind(to_sql(f.byte_offset)).bind(to_sql(f.lines))
        })
        .await?;
    TABLES.run(tx, &batch.tables, |query, t: &TablePosition| query.bind(t.name.clone()).bind(to_sql(t.xid)).bind(t.key)).await?;
    insert_segment(tx, &batch.segment, deltas).await?;
    if expire {
        sqlx::query(EXPIRE).bind(batch.horizon.0).execute(&mut *tx).await?;
    }
    match oldest {
        Some(oldest) if !expire => Ok(oldest),
        _ => Ok(EventTime(sqlx::query(OLDEST).fetch_one(tx).await?.try_get(0)?)),
    }
}

async fn insert_segment(tx: &mut SqliteConnection, segment: &Segment, deltas: &Sealed) -> Result<(), Error> {
    sqlx::query(SEGMENT)
        .bind(to_sql(segment.from))
        .bind(to_sql(segment.to))
        .bind(segment.max_event_time.0)
        .bind(to_sql(checksum(segment)))
        .bind(deltas.bytes.as_slice())
        .bind(key(deltas))
        .execute(tx)
        .await?;
    Ok(())
}

/// Of the deltas and the place they belong to.
pub(super) fn checksum(segment: &Segment) -> u64 {
    xxh3_64_with_seed(&segment.deltas, segment.from ^ segment.to.rotate_left(32))
}
