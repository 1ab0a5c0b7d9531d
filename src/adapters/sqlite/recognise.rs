//! Whether a file is ours, told before anything is written to it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Error, Row};

use super::fault::fault;
use crate::pipeline::StoreError;

/// SQLite's mark of whose a file is: "qgrd". Files of before it have 0.
pub(super) const APPLICATION_ID: i64 = 0x7167_7264;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Whose it is, how many of our tables it has, and how much that a creation cut short does not leave.
const TABLES: &str = "SELECT (SELECT application_id FROM pragma_application_id), \
    (SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('meta', 'log', 'segments')), \
    (SELECT count(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations')";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No file, or one whose creation was cut short.
    Nothing,
    Ours,
}

/// Whether a file is one of SQLite's.
pub fn is_sqlite(path: &Path) -> bool {
    path.is_file() && begins_as_sqlite(path).unwrap_or(false)
}

fn begins_as_sqlite(path: &Path) -> io::Result<bool> {
    let mut head = Vec::with_capacity(MAGIC.len());
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut head)?;
    Ok(head == MAGIC)
}

/// Changes nothing. Nobody else may write to the file meanwhile.
///
/// # Errors
/// [`StoreError::Refused`] for whatever is not ours.
pub(super) async fn recognise(path: &Path) -> Result<Found, StoreError> {
    let unreadable = |error: io::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unreadable(error)),
        Ok(found) if !found.is_file() => return Err(foreign(path, "it is a folder or a device")),
        Ok(found) if found.len() == 0 => return Ok(Found::Nothing),
        Ok(_) => {}
    }
    if !begins_as_sqlite(path).map_err(unreadable)? {
        return Err(foreign(path, "it does not begin like an SQLite file"));
    }
    let has_wal = fs::metadata(beside(path, "-wal")).is_ok_and(|wal| wal.len() > 0);
    // Immutable: without locks and without companions, which even a reader would leave beside a foreign file.
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(!has_wal);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(|error| corrupt_head(path, error))?;
    let found = tables(&mut connection, path).await;
    connection.close().await.map_err(fault)?;
    found
}

/// Of a file that is open already.
pub(super) async fn tables(connection: &mut SqliteConnection, path: &Path) -> Result<Found, StoreError> {
    let row = sqlx::query(TABLES).fetch_one(connection).await.map_err(|error| corrupt_head(path, error))?;
    let number = |column: usize| row.try_get::<i64, _>(column).map_err(fault);
    match (number(0)?, number(1)?, number(2)?) {
        (0 | APPLICATION_ID, _, 0) => Ok(Found::Nothing),
        (APPLICATION_ID, ..) | (0, 3, _) => Ok(Found::Ours),
        _ => Err(foreign(path, "another program keeps its data in it")),
    }
}

fn foreign(path: &Path, why: &str) -> StoreError {
    StoreError::Refused(format!(
        "{} is not a database of quoteguard: {why}; name another file in storage.path or with --data. It is as it was",
        path.display()
    ))
}

pub(super) fn holds_no_log(path: &Path) -> StoreError {
    StoreError::Refused(format!(
        "{} holds no log of quoteguard; name another file in storage.path or with --data",
        path.display()
    ))
}

/// Without its list of tables nothing in the file can be found, by a rebuild neither.
fn corrupt_head(path: &Path, error: Error) -> StoreError {
    let text = error.to_string();
    match fault(error) {
        StoreError::Unavailable(text) => StoreError::Unavailable(text),
        _ => StoreError::Refused(format!(
            "{} is corrupt where its tables are listed ({text}); restore a whole copy of the file, or name another one in \
             storage.path or with --data",
            path.display()
        )),
    }
}

pub(super) fn beside(path: &Path, suffix: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
