//! The embedded store: log, decisions, deltas and position in one SQLite file, one transaction a batch.
//!
//! WAL with `synchronous=FULL`: a commit is an fdatasync. One connection writes, on the writer's thread; a small read-only
//! pool serves lookups; a third connection checkpoints the WAL in the background so that no commit pays for it.
//! Nothing is pruned from `log` and `decisions`, but for what is erased; segments go once they are out of the live window.

mod commit;
mod erase;
mod fault;
mod feed;
mod letters;
mod load;
mod meta;
mod open;
#[cfg(feature = "parquet")]
mod published;
mod read;
mod rebuild;
mod recognise;
mod reseal;
mod rows;
mod wal;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::runtime::Handle;

pub(in crate::adapters) use fault::fault;
pub use feed::LogFeed;
use open::Lock;
pub(in crate::adapters) use open::make_private;
pub use open::{Opened, open};
#[cfg(feature = "parquet")]
pub use published::Published;
pub use read::{Reader, RecordedLog, recorded_log};
pub use rebuild::{Rebuild, Replaced};
pub use recognise::is_sqlite;
pub use reseal::{Resealed, reseal};
use wal::Checkpointer;

use crate::engine::time::EventTime;
use crate::pipeline::StoreError;
use crate::pipeline::committed::Committed;
use crate::vault::Vault;

/// The writing side. Its methods block the calling thread, which must not be one of the runtime's.
pub struct SqliteStore {
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    /// The last commit failed: what the connection believes of its transaction may be wrong.
    is_suspect: bool,
    runtime: Handle,
    /// For messages.
    path: PathBuf,
    /// Seals the forms, and what was made of them.
    vault: Arc<Vault>,
    /// Newest event time of the oldest segment, once known.
    oldest: Option<EventTime>,
    checkpointer: Checkpointer,
    committed: Arc<Committed>,
    /// Held as long as the store: two writers would tear the order.
    _lock: Lock,
}

impl SqliteStore {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Told of each commit.
    pub fn committed(&self) -> Arc<Committed> {
        self.committed.clone()
    }

    /// A connection in place of one whose commit failed. On a full disk or a failed write SQLite rolls back by itself; sqlx goes
    /// on counting the transaction as open, and begins no other on that connection, ever.
    fn reopen(&mut self) -> Result<(), StoreError> {
        let SqliteStore { connection, options, runtime, .. } = self;
        runtime.block_on(async {
            let fresh = SqliteConnection::connect_with(options).await.map_err(fault)?;
            // Waits until its locks are gone; whatever else it says, nobody uses it any more.
            let _ = std::mem::replace(connection, fresh).close().await;
            Ok(())
        })
    }

    /// Folds the WAL back, so that the file alone is the whole, and closes it; without this the next start does the folding.
    pub fn close(self) {
        let SqliteStore { mut connection, runtime, checkpointer, .. } = self;
        let closed = runtime.block_on(async {
            // A fold under way would make the one here do nothing, and say so in a row only.
            checkpointer.stop().await;
            let is_busy = wal::truncate(&mut connection).await?.is_busy;
            connection.close().await.map(|()| is_busy)
        });
        match closed {
            Ok(false) => {}
            Ok(true) => tracing::warn!("another program reads the store; its WAL is folded back by the next start"),
            Err(error) => tracing::warn!(%error, "the store was not closed cleanly; the next start repairs it"),
        }
    }
}

/// Offsets and times are far below 2^63; hashes keep their bits.
fn to_sql(value: u64) -> i64 {
    value.cast_signed()
}

fn from_sql(value: i64) -> u64 {
    value.cast_unsigned()
}

#[cfg(test)]
mod tests;
