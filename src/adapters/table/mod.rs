//! A table of PostgreSQL as a continuous source: every row once, in the order of the transactions that wrote them.
//!
//! `WHERE id > last` loses rows: a lower id may be committed after a higher one was read. Here a column holds the transaction that wrote
//! the row (`xid8`), and only rows of transactions older than every one that still runs are read: what is below that horizon is
//! complete for good. The position is committed with the quotes.

mod statement;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use statement::{Cells, Statement};
pub use statement::{From, Taken};

use super::file::Refused;
use super::postgres::connect_options;
use crate::engine::step::ArrivalClock;
use crate::engine::time::SECOND;
use crate::pipeline::clock::SystemClock;
use crate::pipeline::pipelines::{Pipeline, Standing};
use crate::pipeline::queue::{Job, Payload, Queue};
use crate::pipeline::{Clock, DeadLetter, Progress, Source, StoreError, TablePosition};

/// Rows in the queue at once, as for files.
const IN_FLIGHT_MAX: usize = 128;
/// Of one statement, with what runs around it.
const STATEMENT_MS: &str = "30000";
/// A server that says nothing for so long is away: a cut link is not told of.
const PATIENCE: Duration = Duration::from_secs(40);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A table that cannot be read is told of again this often.
const FAILURE_LOGGED_EVERY: Duration = Duration::from_secs(30);
const IN_FORCE: &str = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text, pg_is_in_recovery()";

/// Where the table is, and what of it is read.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// Names the settings in errors: `sources.postgres.0`.
    pub section: String,
    /// `postgres://user@host:port/database`
    pub url: String,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub from: From,
    /// Column with the transaction that wrote the row (`xid8`).
    pub xid: String,
    /// Unique integer column: the order within a transaction.
    pub key: String,
    pub taken: Taken,
    pub clock: ArrivalClock,
    pub poll: Duration,
}

pub struct Table {
    options: TableOptions,
    connect: sqlx::postgres::PgConnectOptions,
    statement: Statement,
    queue: Queue,
    pipeline: Arc<Pipeline>,
    runtime: Handle,
    room: Arc<Semaphore>,
    position: TablePosition,
    connection: Option<PgConnection>,
}

/// Why a round ends.
enum Stop {
    /// The service is shutting down.
    Asked,
    /// An operator holds the pipeline.
    Held,
    /// The server is away, or the table is not as it was said.
    Failed(String),
}

impl std::convert::From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Stop {
        // What the server says of a value repeats it, and it may be personal data.
        let code = error.as_database_error().and_then(|error| error.code()).filter(|code| code.starts_with("22"));
        Stop::Failed(match code {
            Some(code) => format!("the server could not compute a value (SQLSTATE {code}); look at the query"),
            None => error.to_string(),
        })
    }
}

impl Table {
    /// Goes on behind `position`, that of the checkpoint. Nothing is connected yet.
    ///
    /// # Errors
    /// Options that cannot be, with the setting named.
    pub fn new(
        options: TableOptions,
        queue: Queue,
        pipeline: Arc<Pipeline>,
        position: Option<TablePosition>,
    ) -> Result<Table, StoreError> {
        let TableOptions { section, url, password_file, ca_file, .. } = &options;
        let connect = connect_options(section, url, password_file.as_deref(), ca_file.as_deref())?
            .options([("statement_timeout", STATEMENT_MS), ("TimeZone", "UTC"), ("default_transaction_read_only", "on")])
            .disable_statement_logging();
        let statement = Statement::new(&options).map_err(|reason| StoreError::Refused(format!("{section}.columns: {reason}")))?;
        let start = || TablePosition { name: pipeline.name.clone(), xid: 0, key: i64::MIN };
        let position = position.unwrap_or_else(start);
        let (room, runtime) = (Arc::new(Semaphore::new(IN_FLIGHT_MAX)), Handle::current());
        Ok(Table { options, connect, statement, queue, pipeline, runtime, room, position, connection: None })
    }

    /// Polls until the sender of `stop` is dropped. Blocks its thread.
    pub fn run(mut self, stop: &Receiver<()>) {
        let mut wait = self.options.poll;
        let mut told: Option<Instant> = None;
        loop {
            match self.round(stop) {
                Ok(()) => {
                    self.pipeline.fails(None);
                    (wait, told) = (self.options.poll, None);
                }
                Err(Stop::Asked) => return,
                Err(Stop::Held) => wait = self.options.poll,
                Err(Stop::Failed(reason)) => {
                    // What the connection believes of itself may be wrong.
                    self.connection = None;
                    if told.is_none_or(|at| at.elapsed() >= FAILURE_LOGGED_EVERY) {
                        tracing::error!(pipeline = &*self.pipeline.name, reason, "the table cannot be read; it is tried again");
                        told = Some(Instant::now());
                    }
                    self.pipeline.fails(Some(reason));
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
            if stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Everything that is there now.
    fn round(&mut self, stop: &Receiver<()>) -> Result<(), Stop> {
        loop {
            if !self.pipeline.is_open() {
                return Err(Stop::Held);
            }
            let runtime = self.runtime.clone();
            let rows = runtime.block_on(async { timeout(PATIENCE, self.page()).await });
            let rows = rows.map_err(|_| Stop::Failed("the server does not answer".to_owned()))??;
            if rows.is_empty() {
                self.stands(Some(0), 0.0);
                return Ok(());
            }
            let mut age = 0.0;
            for row in &rows {
                if stop.try_recv() == Err(TryRecvError::Disconnected) {
                    return Err(Stop::Asked);
                }
                age = self.submit(row)?.unwrap_or(age);
            }
            self.stands(None, age);
        }
    }

    /// The next rows behind the position.
    async fn page(&mut self) -> Result<Vec<PgRow>, Stop> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let query = sqlx::query(AssertSqlSafe(self.statement.text.clone()));
        let query = query.bind(self.position.xid.to_string()).bind(self.position.key);
        let rows = query.fetch_all(&mut connection).await?;
        self.connection = Some(connection);
        Ok(rows)
    }

    /// A database whose transactions are numbered lower than the last one read is another one, or an older copy: its new rows would
    /// never be seen.
    async fn connect(&self) -> Result<PgConnection, Stop> {
        let mut connection = PgConnection::connect_with(&self.connect).await?;
        let row = sqlx::query(IN_FORCE).fetch_one(&mut connection).await?;
        let next: u64 = row.try_get::<String, _>(0)?.parse().map_err(|_| Stop::Failed("no transaction id".to_owned()))?;
        if row.try_get(1)? {
            return Err(Stop::Failed("this server is a replica: name the primary, whose open transactions it knows".to_owned()));
        }
        // The next one to be given out: what was read has ended, and lies before it.
        if next <= self.position.xid {
            let read = self.position.xid;
            return Err(Stop::Failed(format!(
                "the server gives out transaction {next} next, and {read} was read: it is another one, or was restored; give the source a \
                 new name, so that the table is read from its beginning"
            )));
        }
        Ok(connection)
    }

    /// Gives the age of a quote, seconds; `None` for a row that is none.
    fn submit(&mut self, row: &PgRow) -> Result<Option<f64>, Stop> {
        let xid = row.try_get::<String, _>(0)?.parse().map_err(|_| Stop::Failed("a row without a transaction".to_owned()))?;
        let position = TablePosition { name: self.position.name.clone(), xid, key: row.try_get(1)? };
        let cells: Cells = (2..row.len()).map(|column| row.try_get::<Option<String>, _>(column)).collect::<Result<_, _>>()?;
        let Some(_passage) = self.pipeline.enter() else { return Err(Stop::Held) };
        let mut age = None;
        let payload = match self.statement.read(&cells) {
            Ok((quote, body)) => {
                age = Some((SystemClock.now().0 - quote.submitted_at.0) as f64 / SECOND as f64);
                Payload::quote(quote, body)
            }
            Err((refused, raw)) => Payload::Skipped(dead_letter(refused, &position, raw)),
        };
        let permit = self.runtime.block_on(self.room.clone().acquire_owned()).map_err(|_| Stop::Asked)?;
        let job = Job {
            payload,
            clock: self.options.clock,
            source: Source::Table,
            client: None,
            progress: Some(Progress::Table(position.clone())),
            reply: None,
            room: Some(permit),
            submitted: Instant::now(),
            span: None,
        };
        self.queue.submit_blocking(job).map_err(|_| Stop::Asked)?;
        self.pipeline.took(1);
        self.position = position;
        Ok(age)
    }

    fn stands(&self, lag_records: Option<u64>, age_secs: f64) {
        let TablePosition { xid, key, .. } = self.position;
        let position = if key == i64::MIN { String::new() } else { format!("transaction {xid}, key {key}") };
        self.pipeline.stands(Standing { position, lag_records, lag_secs: Some(age_secs.max(0.0)) });
    }
}

fn dead_letter(refused: Refused, position: &TablePosition, raw: Vec<u8>) -> DeadLetter {
    let Refused { reason, error, pointer } = refused;
    DeadLetter { offset: 0, reason, error, pointer, file: Some(Progress::Table(position.clone()).place()), raw }
}
