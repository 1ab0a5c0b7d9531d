//! What a restart reads back.

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::commit::checksum;
use super::{SqliteStore, from_sql, unavailable};
use crate::engine::time::{ArrivalTime, EventTime};
use crate::pipeline::{CheckpointStore, FileIdent, FilePosition, LoggedBook, Segment, StoreError};

const RULE_BOOKS: &str = "SELECT offset, body FROM log WHERE kind = 1 ORDER BY offset";
const SEGMENTS: &str = "SELECT from_offset, to_offset, max_event_time, checksum, deltas FROM segments ORDER BY from_offset";
const POSITION: &str = "SELECT p.next_offset, p.arrival, (SELECT max(offset) FROM log) FROM position p WHERE p.id = 0";
const FILES: &str = "SELECT name, prefix_bytes, prefix_hash, byte_offset, lines FROM file_positions";

impl SqliteStore {
    /// Every rule book of the log, in order.
    pub fn rule_books(&mut self) -> Result<Vec<LoggedBook>, StoreError> {
        let rows = sqlx::query(RULE_BOOKS).fetch_all(&mut self.connection);
        let rows = self.runtime.block_on(rows).map_err(unavailable)?;
        Ok(rows.iter().map(|row| LoggedBook { offset: from_sql(row.get(0)), source: row.get(1) }).collect())
    }
}

impl CheckpointStore for SqliteStore {
    /// SQLite steps rows on its own thread while `each` works on this one.
    fn segments(&mut self, each: &mut dyn FnMut(Segment) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let connection = &mut self.connection;
        self.runtime.block_on(async {
            let mut rows = sqlx::query(SEGMENTS).fetch(connection);
            while let Some(row) = rows.try_next().await.map_err(unavailable)? {
                each(segment(&row)?)?;
            }
            Ok(())
        })
    }

    fn position(&mut self) -> Result<(u64, ArrivalTime), StoreError> {
        let row = sqlx::query(POSITION).fetch_optional(&mut self.connection);
        let Some(row) = self.runtime.block_on(row).map_err(unavailable)? else { return Ok((0, ArrivalTime(0))) };
        let (next, last): (i64, Option<i64>) = (row.get(0), row.get(2));
        let logged = last.map_or(0, |offset| offset + 1);
        if logged != next {
            return Err(StoreError::Damaged(format!(
                "the log ends at offset {logged}, its position says {next}; restore a whole copy of the file"
            )));
        }
        Ok((from_sql(next), ArrivalTime(row.get(1))))
    }
}

/// How far each watched file has been read.
pub(super) async fn file_positions(connection: &mut SqliteConnection) -> Result<Vec<FilePosition>, StoreError> {
    let rows = sqlx::query(FILES).fetch_all(connection).await.map_err(unavailable)?;
    let position = |row: &SqliteRow| FilePosition {
        name: row.get::<String, _>(0).into(),
        ident: FileIdent { prefix_bytes: from_sql(row.get(1)), prefix_hash: from_sql(row.get(2)) },
        byte_offset: from_sql(row.get(3)),
        lines: from_sql(row.get(4)),
    };
    Ok(rows.iter().map(position).collect())
}

fn segment(row: &SqliteRow) -> Result<Segment, StoreError> {
    let segment = Segment {
        from: from_sql(row.get(0)),
        to: from_sql(row.get(1)),
        max_event_time: EventTime(row.get(2)),
        deltas: row.get(4),
    };
    if from_sql(row.get(3)) != checksum(&segment) {
        return Err(StoreError::Damaged(format!(
            "segment at offset {}: its checksum does not match; restore a whole copy of the file",
            segment.from
        )));
    }
    Ok(segment)
}
