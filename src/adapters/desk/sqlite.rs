//! The desk as an SQLite file of its own, beside the log's.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::db::Db;
use crate::pipeline::StoreError;

static MIGRATOR: Migrator = sqlx::migrate!("migrations/desk-sqlite");

const READERS_MAX: u32 = 4;
/// The sink and people write here, each a moment: whoever meets the other waits.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens or creates the file, and brings its tables to this version.
///
/// # Errors
/// [`StoreError::Refused`] for a file of a later version.
pub(super) async fn open(path: &Path) -> Result<Db, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    }
    crate::adapters::sqlite::make_private(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // What is erased is overwritten, not only let go of.
        .pragma("secure_delete", "ON")
        .busy_timeout(BUSY_TIMEOUT);
    let write = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(fault)?;
    MIGRATOR.run(&write).await.map_err(|error| migration(path, error))?;
    let read_only = options.read_only(true);
    let read = SqlitePoolOptions::new().max_connections(READERS_MAX).connect_with(read_only).await.map_err(fault)?;
    Ok(Db::Sqlite { read, write })
}

fn migration(path: &Path, error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => fault(error),
        error => StoreError::Refused(format!(
            "{} was written by another version of quoteguard ({error}); use that version, or name another file in desk.url",
            path.display()
        )),
    }
}

/// The log's own judgement of what passes; what it advises is for the log.
pub(super) fn fault(error: sqlx::Error) -> StoreError {
    match crate::adapters::sqlite::fault(error) {
        StoreError::Unavailable(text) => StoreError::Unavailable(text),
        StoreError::Damaged(text) | StoreError::Refused(text) => StoreError::Damaged(format!("the desk's database: {text}")),
    }
}
