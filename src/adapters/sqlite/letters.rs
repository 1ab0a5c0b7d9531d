//! Dead letters read back.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::fault::fault;
use super::load::{RESTORE, key, sealed_fault};
use super::read::Reader;
use super::{from_sql, to_sql};
use crate::pipeline::letters::{Letter, Letters, Record};
use crate::pipeline::{Reading, RecordKind, StoreError};
use crate::vault::{Place, Sealed};

const NEWEST: &str = "SELECT offset, reason, error, pointer, file, line FROM rejects ORDER BY offset DESC LIMIT ?";
/// A quote that was refused has its bytes in the log alone.
const RECORD: &str = "SELECT r.offset, r.reason, r.error, r.pointer, r.file, r.line, r.raw, r.key, l.kind, l.body, l.key, l.tenant, l.client FROM rejects r \
                      JOIN log l ON l.offset = r.offset WHERE r.offset = ?";

impl Letters for Reader {
    fn newest(&self, limit: usize) -> Reading<Vec<Letter>> {
        let pool = self.pool.clone();
        let read = tokio::spawn(async move { sqlx::query(NEWEST).bind(to_sql(limit as u64)).fetch_all(&pool).await });
        Box::pin(async move {
            let rows = read.await.map_err(|error| StoreError::Unavailable(error.to_string()))?.map_err(fault)?;
            rows.iter().map(letter).collect::<Result<_, _>>().map_err(fault)
        })
    }

    fn record(&self, offset: u64) -> Reading<Option<Record>> {
        let reader = self.clone();
        let pool = self.pool.clone();
        let read = tokio::spawn(async move { sqlx::query(RECORD).bind(to_sql(offset)).fetch_optional(&pool).await });
        Box::pin(async move {
            let row = read.await.map_err(|error| StoreError::Unavailable(error.to_string()))?.map_err(fault)?;
            let Some(row) = row else { return Ok(None) };
            let (letter, sealed, place) = sealed(&row, offset).map_err(fault)?;
            let (tenant, client) = (row.try_get(11).map_err(fault)?, row.try_get(12).map_err(fault)?);
            let opened = reader.vault.open(place, sealed);
            let body = opened.map_err(|error| sealed_fault(&format!("the dead letter at offset {offset}"), error, RESTORE))?;
            // An erasure leaves nothing, or zeros.
            Ok(body.iter().any(|byte| *byte != 0).then_some(Record { letter, body, tenant, client }))
        })
    }
}

fn letter(row: &SqliteRow) -> Result<Letter, sqlx::Error> {
    let (file, line) = (row.try_get::<Option<String>, _>(4)?, row.try_get::<Option<i64>, _>(5)?.map(from_sql));
    Ok(Letter {
        offset: from_sql(row.try_get(0)?),
        reason: row.try_get(1)?,
        error: row.try_get(2)?,
        pointer: row.try_get(3)?,
        place: file.zip(line),
    })
}

fn sealed(row: &SqliteRow, offset: u64) -> Result<(Letter, Sealed, Place<'static>), sqlx::Error> {
    let letter = letter(row)?;
    if row.try_get::<i64, _>(8)? == RecordKind::Quote as i64 {
        return Ok((letter, Sealed { bytes: row.try_get(9)?, key: key(row, 10)? }, Place::Log(offset)));
    }
    Ok((letter, Sealed { bytes: row.try_get(6)?, key: key(row, 7)? }, Place::Reject(offset)))
}
