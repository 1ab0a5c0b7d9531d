//! Emptying what the file holds of erased quotes, in the transaction that brings the erasure.
//!
//! A row of the log keeps its place as a skipped one without a body, a dead letter loses its bytes, and a stored delta keeps who was
//! inserted and nothing of the form. Decisions stay: they hold ids and counts only. A replay or a rebuild of such a log therefore
//! decides as if these quotes had never been there, also on those between a quote and its erasure; a rebuild keeps the decisions on the
//! erased ones as they were published.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Error, Row};

use super::commit::checksum;
use super::fault::fault;
use super::load::segment;
use super::{from_sql, to_sql};
use crate::contract::quote::decode;
use crate::pipeline::rulings::Erasure;
use crate::pipeline::{Segment, StoreError};

const DECIDED: &str = "SELECT DISTINCT offset FROM decisions WHERE tenant = ? AND quote_id = ? AND offset < ?";
/// Every copy of a form has its id in it. Without a decision there is no saying where to begin.
const COPIES: &str = "SELECT offset, tenant, body FROM log WHERE kind = 0 AND offset >= ? AND offset < ? AND instr(body, ?) > 0";
const ZERO_RECORD: &str = "UPDATE log SET body = zeroblob(length(body)) WHERE offset = ?";
const ZERO_LETTER: &str = "UPDATE rejects SET raw = zeroblob(length(raw)) WHERE offset = ?";
const ZERO_SEGMENT: &str = "UPDATE segments SET deltas = zeroblob(length(deltas)) WHERE from_offset = ?";
const EMPTY_RECORD: &str = "UPDATE log SET kind = 2, client = NULL, body = x'' WHERE offset = ?";
const EMPTY_LETTER: &str = "UPDATE rejects SET raw = x'' WHERE offset = ?";
const SEGMENT_OF: &str = "SELECT from_offset, to_offset, max_event_time, checksum, deltas FROM segments WHERE from_offset <= ? \
                          ORDER BY from_offset DESC LIMIT 1";
const REPLACE_SEGMENT: &str = "UPDATE segments SET checksum = ?, deltas = ? WHERE from_offset = ?";

/// Overwrites freed pages too, or only what is freed within pages, which costs no writes of its own.
pub(super) async fn overwrite_freed_pages(connection: &mut SqliteConnection, is_on: bool) -> Result<(), StoreError> {
    let pragma = if is_on { "PRAGMA secure_delete = ON" } else { "PRAGMA secure_delete = FAST" };
    sqlx::query(pragma).execute(connection).await.map(|_| ()).map_err(fault)
}

pub(super) async fn erase(tx: &mut SqliteConnection, erasure: &Erasure) -> Result<(), StoreError> {
    let mut offsets = BTreeSet::new();
    for quote_id in &erasure.quote_ids {
        offsets.extend(copies(tx, erasure, quote_id).await?);
    }
    let emptied = emptied_segments(tx, &offsets).await?;
    // First in place, length for length: a row that shrinks makes SQLite move its neighbours, and leaves what they were behind.
    for sql in [ZERO_RECORD, ZERO_LETTER] {
        for_each(tx, sql, offsets.iter().copied()).await?;
    }
    for_each(tx, ZERO_SEGMENT, emptied.keys().copied()).await?;
    for sql in [EMPTY_RECORD, EMPTY_LETTER] {
        for_each(tx, sql, offsets.iter().copied()).await?;
    }
    for segment in emptied.values() {
        let replace = sqlx::query(REPLACE_SEGMENT).bind(to_sql(checksum(segment))).bind(segment.deltas.as_slice());
        replace.bind(to_sql(segment.from)).execute(&mut *tx).await.map_err(fault)?;
    }
    Ok(())
}

async fn for_each(tx: &mut SqliteConnection, sql: &'static str, offsets: impl Iterator<Item = u64>) -> Result<(), StoreError> {
    for offset in offsets {
        sqlx::query(sql).bind(to_sql(offset)).execute(&mut *tx).await.map_err(fault)?;
    }
    Ok(())
}

/// Offsets of the records that hold the quote: decided ones, duplicates, and those that were refused.
async fn copies(tx: &mut SqliteConnection, erasure: &Erasure, quote_id: &str) -> Result<BTreeSet<u64>, StoreError> {
    let Erasure { tenant, before, .. } = erasure;
    let decided = sqlx::query(DECIDED).bind(tenant.clone()).bind(quote_id.to_owned()).bind(to_sql(*before)).fetch_all(&mut *tx);
    let offset = |row: &SqliteRow| row.try_get(0).map(from_sql);
    let mut offsets: BTreeSet<u64> = decided.await.and_then(|rows| rows.iter().map(offset).collect()).map_err(fault)?;
    let first = offsets.first().copied().unwrap_or(0);
    let named = format!("\"{quote_id}\"").into_bytes();
    let rows = sqlx::query(COPIES).bind(to_sql(first)).bind(to_sql(*before)).bind(named).fetch_all(tx);
    for row in rows.await.map_err(fault)? {
        let read = || Ok::<_, Error>((from_sql(row.try_get(0)?), row.try_get::<String, _>(1)?, row.try_get::<Vec<u8>, _>(2)?));
        let (offset, of, body) = read().map_err(fault)?;
        let quote = decode(&body, Some(&of)).map(|decoded| decoded.quote);
        if quote.is_ok_and(|quote| *quote.quote_id == *quote_id && quote.tenant == *tenant) {
            offsets.insert(offset);
        }
    }
    Ok(offsets)
}

/// The kept segments that hold one of the records, by where they begin, without the forms.
async fn emptied_segments(tx: &mut SqliteConnection, offsets: &BTreeSet<u64>) -> Result<BTreeMap<u64, Segment>, StoreError> {
    let mut emptied: BTreeMap<u64, Segment> = BTreeMap::new();
    for offset in offsets {
        if emptied.values().any(|segment| (segment.from..segment.to).contains(offset)) {
            continue;
        }
        let row = sqlx::query(SEGMENT_OF).bind(to_sql(*offset)).fetch_optional(&mut *tx).await.map_err(fault)?;
        let Some(found) = row.map(|row| segment(&row)).transpose()?.filter(|found| *offset < found.to) else { continue };
        let mut deltas = found.read().map_err(|error| StoreError::Damaged(error.to_string()))?;
        let mut segment = Segment { deltas: Vec::with_capacity(found.deltas.len()), ..found };
        for delta in &mut deltas {
            if offsets.contains(&delta.from) {
                delta.empty_form();
            }
            delta.encode(&mut segment.deltas);
        }
        emptied.insert(segment.from, segment);
    }
    Ok(emptied)
}
