//! Opening the file: one process, a known schema, the same engine and settings, or a refusal that says what to do.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::runtime::Handle;

use super::fault::fault;
use super::recognise::{Found, beside, recognise};
use super::wal::{Checkpointer, PAGES_MAX};
use super::{Reader, SqliteStore, load, meta};
use crate::engine::state::Settings;
use crate::pipeline::{FilePosition, StoreError, TablePosition};
use crate::vault::Vault;

/// Connections of the read pool. Beyond: lookups wait for one.
const READERS_MAX: u32 = 4;
/// Of one attempt: a commit that meets a foreign lock is reported, and tried again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

pub struct Opened {
    pub store: SqliteStore,
    pub reader: Reader,
    /// With the file's own log id.
    pub settings: Settings,
    /// How far each watched file has been read.
    pub files: Vec<FilePosition>,
    /// How far each table has been read.
    pub tables: Vec<TablePosition>,
}

/// Opens or creates the file; `settings.log_id` is replaced by the file's. What is written is sealed with the vault's first key.
///
/// # Errors
/// [`StoreError::Refused`] when another process holds it, it is not ours, a newer or other version wrote it, or a fixed setting
/// differs.
pub async fn open(path: &Path, settings: Settings, vault: Arc<Vault>) -> Result<Opened, StoreError> {
    open_as(path, settings, vault, None).await
}

/// [`open`]; a file that is created gets the given log id, or else a random one.
pub(super) async fn open_as(
    path: &Path,
    mut settings: Settings,
    vault: Arc<Vault>,
    log_id: Option<&str>,
) -> Result<Opened, StoreError> {
    let (lock, _) = claim(path).await?;
    make_private(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // Within a page nothing stays behind when rows move: what is erased later would still be there.
        .pragma("secure_delete", "FAST")
        .pragma("wal_autocheckpoint", PAGES_MAX);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(fault)?;
    migrate(&mut connection, path).await?;
    settings.log_id = meta::identify(&mut connection, path, &settings, log_id).await?.into();
    let files = load::file_positions(&mut connection).await?;
    let tables = load::table_positions(&mut connection).await?;
    let read_only = options.clone().read_only(true);
    let pool = SqlitePoolOptions::new().max_connections(READERS_MAX).connect_with(read_only).await.map_err(fault)?;
    let background = SqliteConnection::connect_with(&options).await.map_err(fault)?;
    let checkpointer = Checkpointer::start(background);
    let runtime = Handle::current();
    let path = path.to_owned();
    let (oldest, is_suspect) = (None, false);
    let committed = Arc::default();
    let reader = Reader::new(pool, vault.clone());
    let store =
        SqliteStore { connection, options, is_suspect, runtime, path, vault, oldest, checkpointer, committed, _lock: lock };
    Ok(Opened { store, reader, settings, files, tables })
}

/// Brings the schema to this release.
pub(super) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    sqlx::migrate!("migrations/sqlite").run(connection).await.map_err(|e| migration(path, e))
}

/// Creates the file unless it is there.
pub(in crate::adapters) fn make_private(path: &Path) -> Result<(), StoreError> {
    private().open(path).map(drop).map_err(|e| StoreError::Unavailable(format!("{}: {e}", path.display())))
}

/// A file that holds people's papers is its owner's alone; SQLite gives its companions the same mode.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The file beside the database that keeps a second process out, held until the process ends, however it ends.
pub(super) struct Lock {
    _file: File,
    path: PathBuf,
    is_new: bool,
}

impl Lock {
    /// Of a file that is not ours: nothing is left beside it.
    pub(super) fn withdraw(self) {
        if self.is_new {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Keeps others out, then tells what the file is.
///
/// # Errors
/// [`StoreError::Refused`] when another process holds it or it is not ours: then nothing was changed.
pub(super) async fn claim(path: &Path) -> Result<(Lock, Found), StoreError> {
    let lock = lock(path)?;
    match recognise(path).await {
        Ok(found) => Ok((lock, found)),
        Err(error) => {
            lock.withdraw();
            Err(error)
        }
    }
}

fn lock(path: &Path) -> Result<Lock, StoreError> {
    let at = |e: std::io::Error| StoreError::Unavailable(e.to_string());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(at)?;
    }
    let name = beside(path, ".lock");
    let is_new = !name.exists();
    let file = private().open(&name).map_err(at)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file, path: name, is_new }),
        Err(TryLockError::WouldBlock) => Err(StoreError::Refused(format!(
            "{} is in use by another quoteguard; stop it, or set storage.path to another file",
            path.display()
        ))),
        Err(TryLockError::Error(e)) => Err(at(e)),
    }
}

fn migration(path: &Path, error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) | MigrateError::VersionTooNew(..) => {
            StoreError::Refused(format!(
                "{} was written by another version of quoteguard ({error}); use that version, or replay its log into a new file",
                path.display()
            ))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => fault(error),
        other => StoreError::Unavailable(other.to_string()),
    }
}
