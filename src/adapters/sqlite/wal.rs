//! Folding the write-ahead log back into the file, in the background and at the end.

use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The writer folds the WAL back itself only when the background task fell this far behind, pages (64 KiB x 4 KiB = 256 MiB).
pub(super) const PAGES_MAX: &str = "65536";
const EVERY: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(50);
/// Pages folded by one checkpoint that make the next one follow soon (8 MiB).
const PAGES_BEHIND: i64 = 2_048;

/// What a checkpoint did. SQLite reports one that could not finish in this row, not as an error.
pub(super) struct Folded {
    /// Others read or fold: pages are left in the WAL.
    pub is_busy: bool,
    /// Folded back since the WAL was last restarted.
    pages: i64,
}

/// Waits for readers as long as the busy timeout says, folds all, and leaves an empty WAL.
pub(super) async fn truncate(connection: &mut SqliteConnection) -> sqlx::Result<Folded> {
    fold(connection, "PRAGMA wal_checkpoint(TRUNCATE)").await
}

async fn fold(connection: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<Folded> {
    let row = sqlx::query(sql).fetch_one(connection).await?;
    Ok(Folded { is_busy: row.try_get::<i64, _>(0)? != 0, pages: row.try_get(2)? })
}

/// The background task; it ends with its owner.
pub(super) struct Checkpointer {
    _owner: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Checkpointer {
    pub(super) fn start(connection: SqliteConnection) -> Checkpointer {
        let (owner, gone) = oneshot::channel();
        Checkpointer { _owner: owner, task: tokio::spawn(run(connection, gone)) }
    }

    /// Returns when its connection is closed: until then it may hold the lock of a checkpoint.
    pub(super) async fn stop(self) {
        let Checkpointer { _owner: owner, task } = self;
        drop(owner);
        let _ = task.await;
    }
}

/// A passive checkpoint never waits for or blocks the writer; it is repeated at once while there is much to fold, because
/// what is left when the WAL is full is folded by a commit.
async fn run(mut connection: SqliteConnection, mut gone: oneshot::Receiver<()>) {
    let mut before = 0;
    loop {
        let pages = match fold(&mut connection, "PRAGMA wal_checkpoint(PASSIVE)").await {
            Ok(folded) => folded.pages,
            Err(error) => {
                tracing::warn!(%error, "the WAL could not be folded back; it grows until it can");
                0
            }
        };
        let is_behind = (pages - before).abs() > PAGES_BEHIND;
        before = pages;
        tokio::select! {
            _ = &mut gone => break,
            () = tokio::time::sleep(if is_behind { AGAIN } else { EVERY }) => {}
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the connection that folds the WAL was not closed cleanly");
    }
}
