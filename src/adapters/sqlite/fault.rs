//! Which of SQLite's errors pass, and which do not: the first are tried again, the others stop the service.

use sqlx::Error;

use crate::pipeline::StoreError;

/// Primary result codes, the low byte of what SQLite reports.
const ERROR: u32 = 1;
const INTERNAL: u32 = 2;
const CORRUPT: u32 = 11;
const TOOBIG: u32 = 18;
const CONSTRAINT: u32 = 19;
const MISMATCH: u32 = 20;
const MISUSE: u32 = 21;
const FORMAT: u32 = 24;
const RANGE: u32 = 25;
const NOTADB: u32 = 26;
/// The file system, or a checksum below SQLite, has found what it holds corrupt: no second try reads it better.
const IOERR_DATA: u32 = 10 | 32 << 8;
const IOERR_CORRUPTFS: u32 = 10 | 33 << 8;

const REBUILD: &str =
    "copy the file, then run `quoteguard rebuild`; if it finds the log damaged too, restore a whole copy of the file";

/// Busy, locked, full, read-only and IO errors pass. What contradicts the file's own structure does not.
pub(in crate::adapters) fn fault(error: Error) -> StoreError {
    let text = error.to_string();
    let code = match &error {
        Error::Database(database) => database.code().and_then(|code| code.parse::<u32>().ok()),
        // A value that is not of its column's type: only damage puts it there.
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) | Error::RowNotFound => Some(CORRUPT),
        // The thread that owns the connection is gone for good, whatever is tried.
        Error::WorkerCrashed => return StoreError::Damaged(format!("{text}; start the service again")),
        _ => None,
    };
    match code {
        None => StoreError::Unavailable(text),
        Some(IOERR_DATA | IOERR_CORRUPTFS) => corrupt(&text),
        Some(code) => match code & 0xFF {
            CORRUPT | NOTADB | FORMAT => corrupt(&text),
            CONSTRAINT => StoreError::Damaged(format!("another program has written to the file ({text}); {REBUILD}")),
            ERROR | INTERNAL | TOOBIG | MISMATCH | MISUSE | RANGE => StoreError::Damaged(format!(
                "its tables are not those of this version ({text}); restore a whole copy of the file"
            )),
            _ => StoreError::Unavailable(text),
        },
    }
}

fn corrupt(text: &str) -> StoreError {
    StoreError::Damaged(format!("the file is corrupt ({text}); {REBUILD}"))
}

#[cfg(test)]
mod tests {
    use sqlx::Connection;
    use sqlx::sqlite::SqliteConnection;

    use super::*;

    async fn provoke(sql: &'static str) -> StoreError {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("opens");
        sqlx::raw_sql("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL) STRICT; INSERT INTO t VALUES (1, 'x')")
            .execute(&mut connection)
            .await
            .expect("made");
        fault(sqlx::raw_sql(sql).execute(&mut connection).await.expect_err("fails"))
    }

    #[tokio::test]
    async fn what_no_second_try_mends_is_damage() {
        for sql in [
            "INSERT INTO t VALUES (1, 'y')",
            "INSERT INTO t VALUES (2, NULL)",
            "INSERT INTO t VALUES ('two', 'y')",
            "SELECT * FROM missing",
            "SELECT missing FROM t",
        ] {
            assert!(matches!(provoke(sql).await, StoreError::Damaged(_)), "{sql}");
        }
        for error in [Error::WorkerCrashed, Error::RowNotFound] {
            assert!(matches!(fault(error), StoreError::Damaged(_)));
        }
    }

    #[tokio::test]
    async fn what_passes_is_tried_again() {
        let full = "PRAGMA max_page_count = 2; INSERT INTO t VALUES (2, hex(randomblob(100000)))";
        let read_only = "PRAGMA query_only = 1; INSERT INTO t VALUES (2, 'y')";
        for sql in [full, read_only] {
            assert!(matches!(provoke(sql).await, StoreError::Unavailable(_)), "{sql}");
        }
        for error in [Error::Io(std::io::ErrorKind::Other.into()), Error::PoolTimedOut, Error::PoolClosed] {
            assert!(matches!(fault(error), StoreError::Unavailable(_)));
        }
    }
}
