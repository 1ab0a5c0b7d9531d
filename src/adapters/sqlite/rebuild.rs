//! Replacing a file by one that was computed from its log.
//!
//! The new file is filled beside the old one and takes its name in one rename, when it is whole and on the disk. Until then
//! the old one is as it was; after it, the old one is `.bak`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};
use tokio::runtime::Handle;

use super::fault::fault;
use super::open::{Lock, claim, migrate, open_as};
use super::read::RecordedLog;
use super::recognise::{Found, beside, holds_no_log};
use super::{Opened, SqliteStore, load, meta, wal};
use crate::engine::state::Settings;
use crate::pipeline::{StoreError, whole_file};
use crate::vault::Vault;

/// What only the old file knows: the bytes of records that were no quotes, where a file's records came from, and how far
/// watched files and tables have been read.
const COPY: [&str; 4] = [
    "INSERT INTO rejects SELECT o.offset, o.reason, o.error, o.pointer, o.file, o.line, o.raw, o.key \
     FROM old.rejects o JOIN main.log l ON l.offset = o.offset WHERE l.kind = 2",
    "UPDATE rejects SET file = o.file, line = o.line FROM old.rejects o WHERE o.offset = rejects.offset",
    "INSERT INTO file_positions SELECT name, prefix_bytes, prefix_hash, byte_offset, lines FROM old.file_positions",
    "INSERT INTO table_positions SELECT name, xid, key FROM old.table_positions",
];
/// Of quotes that were erased since. Not where the table cannot be read: it is what a rebuild is for.
const COPY_DECISIONS: &str = "INSERT INTO decisions SELECT o.tenant, o.quote_id, o.offset, o.revision, o.json \
     FROM old.decisions o JOIN main.log l ON l.offset = o.offset WHERE l.kind = 2";
const DIFFERING: &str = "SELECT \
    (SELECT count(*) FROM old.decisions o LEFT JOIN main.decisions n USING (tenant, quote_id, offset, revision) \
     WHERE n.json IS NOT o.json) + \
    (SELECT count(*) FROM main.decisions n LEFT JOIN old.decisions o USING (tenant, quote_id, offset, revision) \
     WHERE o.json IS NULL)";

/// A rebuild under way. Its methods block the calling thread, which must not be one of the runtime's.
pub struct Rebuild {
    /// Of the old file, read under the new settings.
    pub log: RecordedLog,
    /// The new file.
    pub store: SqliteStore,
    old: PathBuf,
    new: PathBuf,
    runtime: Handle,
    /// Of the old file: no service may write to it meanwhile.
    _lock: Lock,
}

/// How it ended.
#[derive(Debug)]
pub struct Replaced {
    /// The old file.
    pub backup: PathBuf,
    /// Decisions that were published otherwise, or not at all, or are no longer made; `None` when the old ones cannot be read.
    pub differing: Option<u64>,
}

impl Rebuild {
    /// Opens the old file and makes the new one, with the log id of the old and the given settings.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the file is not ours, a service runs on it, or the `.bak` of an earlier rebuild is there;
    /// [`StoreError::Damaged`] when the log has lost its end.
    pub fn begin(path: &Path, mut settings: Settings, vault: Arc<Vault>, runtime: &Handle) -> Result<Rebuild, StoreError> {
        if !path.exists() {
            return Err(StoreError::Refused(format!(
                "{}: no such file; name one in storage.path or with --data",
                path.display()
            )));
        }
        let (lock, found) = runtime.block_on(claim(path))?;
        if found == Found::Nothing {
            lock.withdraw();
            return Err(holds_no_log(path));
        }
        let backup = beside(path, ".bak");
        if backup.exists() {
            return Err(StoreError::Refused(format!(
                "{} is there from an earlier rebuild; move it away, nothing is overwritten",
                backup.display()
            )));
        }
        settings.log_id = runtime.block_on(prepare(path))?.into();
        let new = beside(path, ".rebuild");
        remove(&new).map_err(io_error)?;
        let Opened { store, reader, .. } =
            runtime.block_on(open_as(&new, settings.clone(), vault.clone(), Some(&settings.log_id)))?;
        runtime.block_on(reader.close());
        let log = RecordedLog::open(path, settings, vault)?;
        Ok(Rebuild { log, store, old: path.to_owned(), new, runtime: runtime.clone(), _lock: lock })
    }

    /// Copies what the log does not hold, then lets the new file take the place of the old.
    pub fn finish(self) -> Result<Replaced, StoreError> {
        let Rebuild { log, mut store, old, new, runtime, _lock } = self;
        log.close();
        let differing = runtime.block_on(copy(&mut store.connection, &old))?;
        store.close();
        let backup = beside(&old, ".bak");
        replace(&old, &new, &backup).map_err(io_error)?;
        Ok(Replaced { backup, differing })
    }
}

fn io_error(error: io::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// The database and its companions, whichever are there.
fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        match fs::remove_file(beside(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Folds the WAL into the old file, so that its name alone carries all of it, gives it the columns of this release, and looks whether
/// its log is whole. Returns its id.
async fn prepare(path: &Path) -> Result<String, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(fault)?;
    if wal::truncate(&mut connection).await.map_err(fault)?.is_busy {
        return Err(StoreError::Unavailable("another program reads the file; close it and try again".to_owned()));
    }
    migrate(&mut connection, path).await?;
    load::check_end(&mut connection).await?;
    let id = meta::log_id(&mut connection).await?;
    connection.close().await.map_err(fault)?;
    Ok(id)
}

async fn copy(connection: &mut SqliteConnection, old: &Path) -> Result<Option<u64>, StoreError> {
    let attach = sqlx::query("ATTACH DATABASE ? AS old").bind(old.to_string_lossy().into_owned());
    attach.execute(&mut *connection).await.map_err(fault)?;
    for sql in COPY {
        sqlx::query(sql).execute(&mut *connection).await.map_err(fault)?;
    }
    if let Err(error) = sqlx::query(COPY_DECISIONS).execute(&mut *connection).await {
        tracing::warn!(%error, "the decisions on quotes that were erased since cannot be read");
    }
    let differing = sqlx::query(DIFFERING).fetch_one(&mut *connection).await.and_then(|row| row.try_get::<i64, _>(0));
    sqlx::query("DETACH DATABASE old").execute(connection).await.map_err(fault)?;
    Ok(differing.ok().map(i64::cast_unsigned))
}

/// The old file gets a second name before the new one takes the first, so that at no moment there is none.
fn replace(old: &Path, new: &Path, backup: &Path) -> io::Result<()> {
    for companion in [beside(old, "-wal"), beside(new, "-wal")] {
        if fs::metadata(&companion).is_ok_and(|wal| wal.len() > 0) {
            return Err(io::Error::other(format!("{} is in use; close what reads it and try again", companion.display())));
        }
    }
    File::open(new)?.sync_all()?;
    if fs::hard_link(old, backup).is_err() {
        // A file system without links.
        fs::copy(old, backup)?;
        File::open(backup)?.sync_all()?;
    }
    fs::rename(new, old)?;
    for companion in ["-wal", "-shm"] {
        // Empty, and of the file that had the name before.
        let _ = fs::remove_file(beside(old, companion));
    }
    remove(new)?;
    whole_file::sync(whole_file::folder_of(old))
}
