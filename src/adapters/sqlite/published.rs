//! Decisions as they were published, in the order in which they were written, for an export beside the service.

use std::path::Path;

use sqlx::Connection;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::runtime::Runtime;

use super::fault::fault;
use super::recognise::{self, Found};
use super::{from_sql, meta, to_sql};
use crate::pipeline::StoreError;
use crate::pipeline::desk::feed::DecisionRecord;

/// Rows are never taken out of `decisions`: its rowids are the order in which they were written.
const DECISIONS: &str = "SELECT rowid, json FROM decisions WHERE rowid >= ? AND rowid < ? ORDER BY rowid LIMIT ?";

/// A service's file, opened for reading only; the service may be running.
pub struct Published {
    runtime: Runtime,
    connection: SqliteConnection,
    log_id: String,
}

impl Published {
    /// Call it, and its methods, from outside of a runtime.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a file that holds no log.
    pub fn open(path: &Path) -> Result<Published, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut connection = runtime.block_on(SqliteConnection::connect_with(&options)).map_err(fault)?;
        if runtime.block_on(recognise::tables(&mut connection, path))? == Found::Nothing {
            return Err(recognise::holds_no_log(path));
        }
        let log_id = runtime.block_on(meta::log_id(&mut connection))?;
        Ok(Published { runtime, connection, log_id })
    }

    pub fn log_id(&self) -> &str {
        &self.log_id
    }

    /// The decisions from this place on, before `to` where it is given, at most `limit`; and the place after the last.
    pub fn page(&mut self, from: u64, to: Option<u64>, limit: usize) -> Result<(Vec<DecisionRecord>, u64), StoreError> {
        let query = sqlx::query(DECISIONS).bind(to_sql(from)).bind(to.map_or(i64::MAX, to_sql)).bind(to_sql(limit as u64));
        let rows = self.runtime.block_on(query.fetch_all(&mut self.connection)).map_err(fault)?;
        let (mut records, mut next) = (Vec::with_capacity(rows.len()), from);
        for row in &rows {
            let place = from_sql(row.try_get(0).map_err(fault)?);
            let record = DecisionRecord::read(row.try_get(1).map_err(fault)?);
            records.push(record.map_err(|error| StoreError::Damaged(format!("decision {place} of the log: {error}")))?);
            next = place + 1;
        }
        Ok((records, next))
    }
}
