//! Sealing what is stored with the newest key, so that older ones can be taken away.

use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};
use tokio::runtime::Handle;

use super::fault::fault;
use super::load::{RESTORE, key, sealed_fault};
use super::open::{claim, migrate};
use super::recognise::{Found, holds_no_log};
use super::{from_sql, to_sql, wal};
use crate::pipeline::{RecordKind, StoreError};
use crate::vault::{Place, Sealed, Vault};

/// Rows of one transaction.
const CHUNK: i64 = 1_000;

/// A table whose bytes are sealed.
struct Table {
    /// Place of a row, its bytes and key, of rows after the place bound first that have another key than the one bound second.
    select: &'static str,
    update: &'static str,
    place: fn(u64, u64) -> Place<'static>,
}

const TABLES: [Table; 3] = [
    Table {
        select: "SELECT offset, 0, body, key FROM log WHERE offset > ? AND key IS NOT ? AND kind = ? ORDER BY offset LIMIT ?",
        update: "UPDATE log SET body = ?, key = ? WHERE offset = ?",
        place: |offset, _| Place::Log(offset),
    },
    Table {
        select: "SELECT offset, 0, raw, key FROM rejects WHERE offset > ? AND key IS NOT ? AND ? = 0 ORDER BY offset LIMIT ?",
        update: "UPDATE rejects SET raw = ?, key = ? WHERE offset = ?",
        place: |offset, _| Place::Reject(offset),
    },
    Table {
        select: "SELECT from_offset, to_offset, deltas, key FROM segments \
                 WHERE from_offset > ? AND key IS NOT ? AND ? = 0 ORDER BY from_offset LIMIT ?",
        update: "UPDATE segments SET deltas = ?, key = ? WHERE from_offset = ?",
        place: Place::Segment,
    },
];

/// How many rows were sealed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    pub rows: u64,
}

/// Seals every row of a stopped service's file with the vault's first key, or opens it where the vault has none that seals. Rows
/// have one key or the other meanwhile: it may be cut off and begun again. Then the file is written anew, so that no free page of it
/// keeps what was there before.
///
/// # Errors
/// [`StoreError::Refused`] while a service runs on the file, and for a row whose key is not there.
pub fn reseal(path: &Path, vault: &Arc<Vault>, runtime: &Handle, each: impl Fn(u64)) -> Result<Resealed, StoreError> {
    runtime.block_on(async {
        let (_lock, found) = claim(path).await?;
        if found == Found::Nothing {
            return Err(holds_no_log(path));
        }
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).pragma("secure_delete", "ON");
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(fault)?;
        migrate(&mut connection, path).await?;
        let mut done = Resealed::default();
        for table in &TABLES {
            done.rows += reseal_table(&mut connection, table, vault, &each).await?;
        }
        sqlx::query("VACUUM").execute(&mut connection).await.map_err(fault)?;
        wal::truncate(&mut connection).await.map_err(fault)?;
        connection.close().await.map_err(fault)?;
        Ok(done)
    })
}

async fn reseal_table(
    connection: &mut SqliteConnection,
    table: &Table,
    vault: &Vault,
    each: &impl Fn(u64),
) -> Result<u64, StoreError> {
    let newest = vault.key().map(|key| i64::from(key.0));
    let (mut after, mut done) = (-1, 0);
    loop {
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;
        let query = sqlx::query(table.select).bind(after).bind(newest).bind(RecordKind::Quote as i64).bind(CHUNK);
        let rows = query.fetch_all(&mut *tx).await.map_err(fault)?;
        let Some(last) = rows.last() else { return Ok(done) };
        after = last.try_get(0).map_err(fault)?;
        for row in &rows {
            let (at, sealed) = resealed(row, table, vault)?;
            let key = sealed.key.map(|key| i64::from(key.0));
            let update = sqlx::query(table.update).bind(sealed.bytes).bind(key).bind(to_sql(at));
            update.execute(&mut *tx).await.map_err(fault)?;
        }
        tx.commit().await.map_err(fault)?;
        done += rows.len() as u64;
        each(rows.len() as u64);
    }
}

fn resealed(row: &SqliteRow, table: &Table, vault: &Vault) -> Result<(u64, Sealed), StoreError> {
    let number = |column: usize| row.try_get::<i64, _>(column).map(from_sql).map_err(fault);
    let (at, to) = (number(0)?, number(1)?);
    let place = (table.place)(at, to);
    let sealed = Sealed { key: key(row, 3).map_err(fault)?, bytes: row.try_get(2).map_err(fault)? };
    let plain = vault.open(place, sealed).map_err(|error| sealed_fault(&format!("the row at offset {at}"), error, RESTORE))?;
    Ok((at, vault.seal(place, &plain)?))
}
