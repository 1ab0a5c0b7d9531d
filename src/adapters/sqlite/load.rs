//! What a restart reads back.

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::commit::checksum;
use super::fault::fault;
use super::{SqliteStore, from_sql, to_sql};
use crate::engine::time::{ArrivalTime, EventTime};
use crate::pipeline::rulings::LoggedRuling;
use crate::pipeline::{CheckpointStore, FileIdent, FilePosition, LoggedBook, Segment, StoreError, TablePosition};
use crate::vault::{KeyId, Place, Sealed, Vault, VaultError};

/// What to do about what the log can give back, and about what it cannot.
pub(super) const REBUILD: &str = "run `quoteguard rebuild` to compute it from the log again";
pub(super) const RESTORE: &str = "restore a whole copy of the file";

const RULE_BOOKS: &str = "SELECT offset, arrival, client, body FROM log WHERE kind = 1 ORDER BY offset";
const RULINGS: &str = "SELECT offset, body FROM log WHERE kind = 3 ORDER BY offset";
const PROPOSALS: &str = "SELECT offset, arrival, client, body FROM log WHERE kind = 4 ORDER BY offset DESC LIMIT ?";
const SEGMENTS: &str = "SELECT from_offset, to_offset, max_event_time, checksum, deltas, key FROM segments ORDER BY from_offset";
const POSITION: &str = "SELECT (SELECT coalesce(max(offset) + 1, 0) FROM log), \
                        coalesce((SELECT next_offset FROM position WHERE id = 0), 0), \
                        coalesce((SELECT arrival FROM position WHERE id = 0), 0)";
const FILES: &str = "SELECT name, prefix_bytes, prefix_hash, byte_offset, lines FROM file_positions";
const TABLES: &str = "SELECT name, xid, key FROM table_positions";

impl SqliteStore {
    /// Every rule book of the log, in order.
    pub fn rule_books(&mut self) -> Result<Vec<LoggedBook>, StoreError> {
        let rows = sqlx::query(RULE_BOOKS).fetch_all(&mut self.connection);
        let rows = self.runtime.block_on(rows).map_err(fault)?;
        rows.iter().map(logged_book).collect::<Result<_, sqlx::Error>>().map_err(fault)
    }

    /// Every ruling of the log, in order.
    pub fn rulings(&mut self) -> Result<Vec<LoggedRuling>, StoreError> {
        let rows = self.runtime.block_on(sqlx::query(RULINGS).fetch_all(&mut self.connection)).map_err(fault)?;
        let ruling = |row: &SqliteRow| Ok(LoggedRuling { offset: from_sql(row.try_get(0)?), json: row.try_get(1)? });
        rows.iter().map(ruling).collect::<Result<_, sqlx::Error>>().map_err(fault)
    }
    /// The newest rule books that were proposed, at most `limit`, oldest first.
    pub fn proposals(&mut self, limit: usize) -> Result<Vec<LoggedBook>, StoreError> {
        let rows = sqlx::query(PROPOSALS).bind(to_sql(limit as u64)).fetch_all(&mut self.connection);
        let rows = self.runtime.block_on(rows).map_err(fault)?;
        rows.iter().rev().map(logged_book).collect::<Result<_, sqlx::Error>>().map_err(fault)
    }
}

fn logged_book(row: &SqliteRow) -> Result<LoggedBook, sqlx::Error> {
    Ok(LoggedBook {
        offset: from_sql(row.try_get(0)?),
        since: ArrivalTime(row.try_get(1)?),
        by: row.try_get::<Option<String>, _>(2)?.map(Into::into),
        source: row.try_get(3)?,
    })
}

impl CheckpointStore for SqliteStore {
    /// SQLite steps rows on its own thread while `each` works on this one.
    fn segments(&mut self, each: &mut dyn FnMut(Segment) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let SqliteStore { connection, vault, runtime, .. } = self;
        runtime.block_on(async {
            let mut rows = sqlx::query(SEGMENTS).fetch(connection);
            while let Some(row) = rows.try_next().await.map_err(fault)? {
                each(segment(&row, vault)?)?;
            }
            Ok(())
        })
    }

    fn position(&mut self) -> Result<(u64, ArrivalTime), StoreError> {
        let Ends { logged, next, arrival } = self.runtime.block_on(ends(&mut self.connection))?;
        if logged != next {
            let remedy = if logged < next { RESTORE } else { REBUILD };
            return Err(disagreement(logged, next, remedy));
        }
        Ok((from_sql(next), ArrivalTime(arrival)))
    }
}

/// Where the log ends and where the position stands.
struct Ends {
    logged: i64,
    next: i64,
    arrival: i64,
}

async fn ends(connection: &mut SqliteConnection) -> Result<Ends, StoreError> {
    let row = sqlx::query(POSITION).fetch_one(connection).await.map_err(fault)?;
    let read = || Ok::<_, sqlx::Error>(Ends { logged: row.try_get(0)?, next: row.try_get(1)?, arrival: row.try_get(2)? });
    read().map_err(fault)
}

fn disagreement(logged: i64, next: i64, remedy: &str) -> StoreError {
    StoreError::Damaged(format!("the log ends at offset {logged}, its position says {next}; {remedy}"))
}

/// A log that ends before the position has lost records that were answered: nothing can be computed from what is not there.
pub(super) async fn check_end(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let Ends { logged, next, .. } = ends(connection).await?;
    if logged < next { Err(disagreement(logged, next, RESTORE)) } else { Ok(()) }
}

/// How far each watched file has been read.
pub(super) async fn file_positions(connection: &mut SqliteConnection) -> Result<Vec<FilePosition>, StoreError> {
    let rows = sqlx::query(FILES).fetch_all(connection).await.map_err(fault)?;
    let position = |row: &SqliteRow| {
        Ok(FilePosition {
            name: row.try_get::<String, _>(0)?.into(),
            ident: FileIdent { prefix_bytes: from_sql(row.try_get(1)?), prefix_hash: from_sql(row.try_get(2)?) },
            byte_offset: from_sql(row.try_get(3)?),
            lines: from_sql(row.try_get(4)?),
        })
    };
    rows.iter().map(position).collect::<Result<_, sqlx::Error>>().map_err(fault)
}

/// How far each table has been read.
pub(super) async fn table_positions(connection: &mut SqliteConnection) -> Result<Vec<TablePosition>, StoreError> {
    let rows = sqlx::query(TABLES).fetch_all(connection).await.map_err(fault)?;
    let position = |row: &SqliteRow| {
        let name = row.try_get::<String, _>(0)?.into();
        Ok(TablePosition { name, xid: from_sql(row.try_get(1)?), key: row.try_get(2)? })
    };
    rows.iter().map(position).collect::<Result<_, sqlx::Error>>().map_err(fault)
}

/// The key that the bytes of a row are sealed with.
pub(super) fn key(row: &SqliteRow, column: usize) -> Result<Option<KeyId>, sqlx::Error> {
    // A number that no key can have names one that is not there.
    Ok(row.try_get::<Option<i64>, _>(column)?.map(|key| KeyId(u32::try_from(key).unwrap_or(u32::MAX))))
}

/// Without its key a record is not damaged: somebody has to give it.
pub(super) fn sealed_fault(what: &str, error: VaultError, remedy: &str) -> StoreError {
    match error {
        VaultError::Damaged(_) => StoreError::Damaged(format!("{what}: {error}; {remedy}")),
        other => StoreError::Refused(format!("{what}: {other}")),
    }
}

pub(super) fn segment(row: &SqliteRow, vault: &Vault) -> Result<Segment, StoreError> {
    let read = || {
        let (from, to) = (from_sql(row.try_get(0)?), from_sql(row.try_get(1)?));
        let segment = Segment { from, to, max_event_time: EventTime(row.try_get(2)?), deltas: row.try_get(4)? };
        Ok::<_, sqlx::Error>((segment, from_sql(row.try_get(3)?), key(row, 5)?))
    };
    let (mut segment, stored, key) = read().map_err(fault)?;
    let Segment { from, to, .. } = segment;
    let opened = vault.open(Place::Segment(from, to), Sealed { key, bytes: segment.deltas });
    segment.deltas = opened.map_err(|error| sealed_fault(&format!("segment at offset {from}"), error, REBUILD))?;
    if stored != checksum(&segment) {
        return Err(StoreError::Damaged(format!("segment at offset {}: its checksum does not match; {REBUILD}", segment.from)));
    }
    Ok(segment)
}
