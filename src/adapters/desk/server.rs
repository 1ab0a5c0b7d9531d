//! Connecting to PostgreSQL, its schema, and the lock of the one who fills it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{Connection, Executor};

use super::db::Db;
use super::postgres::fault;
use crate::adapters::postgres::connect_options;
use crate::pipeline::StoreError;

static MIGRATOR: Migrator = sqlx::migrate!("migrations/desk-postgres");

/// A statement that takes longer is given up by the server.
const STATEMENT_MS: &str = "30000";
const LOCK_MS: &str = "5000";
/// A transaction whose instance has gone silent is rolled back.
const IDLE_IN_TRANSACTION_MS: &str = "30000";
/// The lock of an instance that was frozen is free after so long.
const LOCK_IDLE_MS: &str = "20000";
const LOCK_RENEWED_EVERY: Duration = Duration::from_secs(5);
/// For a connection of the pool, before the desk counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// "qgdesk": of the session that fills the desk.
const LOCK_KEY: i64 = 0x7167_6465_736b;

const APPLIED: &str = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version";

/// Where the desk is, and how to get in.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// `postgres://user@host:port/database`
    pub url: String,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub connections_max: u32,
}

impl ServerOptions {
    /// # Errors
    /// A URL or a file that cannot be read, with the setting named.
    fn connect_options(&self) -> Result<PgConnectOptions, StoreError> {
        let options = connect_options("desk", &self.url, self.password_file.as_deref(), self.ca_file.as_deref())?;
        Ok(options.options([
            ("statement_timeout", STATEMENT_MS),
            ("lock_timeout", LOCK_MS),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MS),
            ("TimeZone", "UTC"),
        ]))
    }

    /// A pool; nothing is connected yet.
    pub(super) fn pool(&self) -> Result<Db, StoreError> {
        let pool = PgPoolOptions::new().max_connections(self.connections_max).acquire_timeout(ACQUIRE_TIMEOUT);
        Ok(Db::Postgres(pool.connect_lazy_with(self.connect_options()?)))
    }
}

/// What a schema needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    Empty,
    /// So many migrations are missing.
    Older(usize),
    Current,
    /// Of a later version, which is made so that this one can work on it.
    Later,
}

pub(super) async fn schema(db: &Db) -> Result<Schema, StoreError> {
    let is_there = db.first("SELECT to_regclass('_sqlx_migrations')::text", vec![]).await?;
    if is_there.map(|row| row.get::<Option<String>>(0)).transpose()?.flatten().is_none() {
        return Ok(Schema::Empty);
    }
    let applied = db.all(APPLIED, vec![]).await?.iter().map(|row| row.get(0)).collect::<Result<Vec<i64>, _>>()?;
    let missing = MIGRATOR.iter().filter(|migration| !applied.contains(&migration.version)).count();
    Ok(match missing {
        _ if applied.is_empty() => Schema::Empty,
        0 if applied.iter().all(|version| MIGRATOR.version_exists(*version)) => Schema::Current,
        0 => Schema::Later,
        missing => Schema::Older(missing),
    })
}

/// Several instances may try at once: one of them does it.
pub(super) async fn migrate(db: &Db) -> Result<(), StoreError> {
    let Db::Postgres(pool) = db else { return Ok(()) };
    // Over many rows a migration takes longer than any statement of a service may; it waits for a lock no longer than those.
    let options = PgConnectOptions::clone(&pool.connect_options()).options([("statement_timeout", "0")]);
    let mut connection = PgConnection::connect_with(&options).await.map_err(fault)?;
    MIGRATOR.run(&mut connection).await.map_err(not_migrated)?;
    connection.close().await.map_err(fault)
}

fn not_migrated(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => fault(error),
        error => StoreError::Refused(format!("desk.url: its tables are not ours: {error}")),
    }
}

/// What a service does before it works on a schema.
///
/// # Errors
/// [`StoreError::Refused`] for an older one, with the command.
pub(super) async fn prepare(db: &Db) -> Result<(), StoreError> {
    let mut found = schema(db).await?;
    if let Schema::Older(_) = found {
        // Another instance that starts as well may be making them, one migration after the other.
        await_migration(db).await?;
        found = schema(db).await?;
    }
    match found {
        Schema::Current => Ok(()),
        Schema::Later => {
            tracing::info!("the desk's tables are of a later version, which this one can work on");
            Ok(())
        }
        Schema::Empty => migrate(db).await,
        Schema::Older(missing) => Err(StoreError::Refused(format!(
            "desk.url: the desk's tables are of an older version, {missing} migrations behind; run `quoteguard migrate`"
        ))),
    }
}

/// Whoever migrates holds this lock meanwhile.
async fn await_migration(db: &Db) -> Result<(), StoreError> {
    let Db::Postgres(pool) = db else { return Ok(()) };
    let mut connection = pool.acquire().await.map_err(fault)?;
    connection.lock().await.map_err(not_migrated)?;
    connection.unlock().await.map_err(not_migrated)
}

/// Held by a session: it ends with the process, whatever happens to it.
pub(super) struct SinkLock {
    connection: PgConnection,
    renewed: Instant,
}

impl SinkLock {
    /// `None` while another instance fills the desk.
    pub(super) async fn take(options: &ServerOptions) -> Result<Option<SinkLock>, StoreError> {
        let options = options.connect_options()?.options([("idle_session_timeout", LOCK_IDLE_MS)]);
        let mut connection = PgConnection::connect_with(&options).await.map_err(fault)?;
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK_KEY)
            .fetch_one(&mut connection)
            .await
            .map_err(fault)?;
        Ok(taken.then(|| SinkLock { connection, renewed: Instant::now() }))
    }

    /// Now and then; an error when the session, and so the lock, is gone.
    pub(super) async fn renew(&mut self) -> Result<(), StoreError> {
        if self.renewed.elapsed() < LOCK_RENEWED_EVERY { Ok(()) } else { self.show_life().await }
    }

    /// An error when the session is gone.
    pub(super) async fn show_life(&mut self) -> Result<(), StoreError> {
        self.connection.execute("SELECT 1").await.map_err(fault)?;
        self.renewed = Instant::now();
        Ok(())
    }
}
