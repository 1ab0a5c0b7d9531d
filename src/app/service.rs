//! `quoteguard serve`: one store, one writer, HTTP and the watched folder as its sources.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::commands::Given;
#[cfg(feature = "parquet")]
use super::export;
use super::open_files;
use super::rules_folder::{RulesFolder, Watching};
use super::{api_keys, console, desk, pipelines, rules_breaker, webhooks};
use crate::adapters::desk::DeskStore;
use crate::adapters::file::Watch;
use crate::adapters::sqlite::{LogFeed, Opened, Reader, SqliteStore, open};
#[cfg(feature = "postgres")]
use crate::adapters::table::Table;
use crate::config::Config;
use crate::engine::state::Settings;
use crate::http::server::{Edge, serve};
use crate::http::{Shared, router, tls};
use crate::metrics::Metrics;
use crate::pipeline::books::{BookVersion, Books, PROPOSALS_MAX, Proposal, Reload, Shelf};
use crate::pipeline::clock::SystemClock;
use crate::pipeline::health::{Health, Readiness};
use crate::pipeline::letters::Letters;
use crate::pipeline::pipelines::Pipelines;
use crate::pipeline::queue::{Job, Queue, bounded};
use crate::pipeline::recover::{Logged, Recovered, compile, recover};
use crate::pipeline::rulings::Rulings;
use crate::pipeline::writer::{self, Writer};
use crate::pipeline::{Decisions, FilePosition, StoreError, TablePosition};
use crate::telemetry;

/// Of the time of a stop, one part in so many is kept for the writer after HTTP was cut off.
const WRITER_SHARE: u32 = 5;

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopReport {
    /// Every request under way was answered and everything accepted is durable.
    pub is_complete: bool,
}

/// A running service. Dropping it without [`Service::stop`] leaves its threads to the end of the process.
pub struct Service {
    pub addr: SocketAddr,
    shutdown_timeout: Duration,
    health: Arc<Health>,
    reader: Reader,
    desk: DeskStore,
    http: tokio::task::JoinHandle<bool>,
    stop_http: oneshot::Sender<Instant>,
    watch: Option<(JoinHandle<()>, mpsc::Sender<()>)>,
    /// The rules' folder and breaker, and the desk's sink.
    beside: Vec<Watching>,
    /// `None` once its end is known.
    writer: Option<oneshot::Receiver<Result<()>>>,
}

impl Service {
    /// Opens the store, then answers `/livez` at once and takes quotes as soon as the window is loaded.
    ///
    /// # Errors
    /// A store that is refused, an address in use, a folder that is not there, a new log without rules.
    pub async fn start(config: &Config, rules: Given) -> Result<Service> {
        if config.export.dir.is_some() && !cfg!(feature = "parquet") {
            return Err(anyhow!("export.dir: this build writes no Parquet; build it with the feature parquet"));
        }
        let path = &config.storage.path;
        if let (Err(reason), false) = (&rules, path.exists()) {
            return Err(no_rules(reason));
        }
        let listener = listen(config).await?;
        let addr = listener.local_addr()?;
        let path = &config.storage.path;
        let vault = Arc::new(config.privacy.vault()?);
        let Opened { store, reader, settings, files, tables } =
            open(path, config.settings(), vault.clone()).await.map_err(|error| error.at(path))?;
        let metrics = Arc::new(Metrics::new()?);
        start_telemetry(config, &metrics)?;
        let desk = desk::open(config, vault.clone()).await?;
        let feed = LogFeed::open(path, vault.clone(), store.committed()).await.map_err(|error| error.at(path))?;
        let health = Arc::new(Health::default());
        let (queue, jobs) = bounded(config.limits.queue_max);
        let (shelf, fates) = (Arc::new(Shelf::default()), queue.fates());
        let log = Arc::new(queue.clone());
        let pipelines = pipelines::open(config, metrics.clone())?;
        let books = Arc::new(Books { shelf: shelf.clone(), log, four_eyes: config.rules.four_eyes });
        let parts = HttpParts {
            queue: queue.clone(),
            pipelines: pipelines.clone(),
            books: books.clone(),
            rulings: Arc::new(queue.clone()),
            decisions: Arc::new(reader.clone()),
            letters: Some(Arc::new(reader.clone())),
            metrics: metrics.clone(),
            health: health.clone(),
        };
        let (http, stop_http) = start_http(listener, config, &desk, parts).await?;
        let mut beside = start_rules(config, books, metrics.clone(), &rules)?;
        beside.extend(webhooks::start(config, &desk, &metrics)?);
        beside.push(desk::start_sink(desk.clone(), feed, config, metrics.clone(), health.clone(), Handle::current())?);
        let sources = Sources { config, queue, pipelines: &pipelines };
        #[cfg(feature = "parquet")]
        beside.extend(export::start(config, metrics.clone())?);
        beside.extend(sources.start_tables(tables)?);
        let watch = config.watch.dir.clone().map(|dir| sources.start_watch(dir, files)).transpose()?;
        drop(sources);
        let shared = writer::Shared { shelf, metrics, health: health.clone(), fates };
        let writer = start_writer(Parts { store, settings, rules, four_eyes: config.rules.four_eyes, shared, jobs })?;
        let shutdown_timeout = Duration::from_millis(config.http.shutdown_timeout_ms);
        Ok(Service { addr, shutdown_timeout, health, reader, desk, http, stop_http, watch, beside, writer: Some(writer) })
    }

    /// Ends when the writer does, which it does by itself only on an error.
    pub async fn failed(&mut self) -> anyhow::Error {
        let ended = match &mut self.writer {
            Some(writer) => writer.await,
            None => Ok(Ok(())),
        };
        self.writer = None;
        match ended {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => anyhow!("the writer has stopped"),
        }
    }

    pub fn readiness(&self) -> Readiness {
        self.health.get()
    }

    /// Takes no more, answers what was accepted, and closes the store, all within `http.shutdown_timeout_ms`; then it cuts off.
    pub async fn stop(self) -> StopReport {
        let deadline = Instant::now() + self.shutdown_timeout;
        // What a slow client takes must not be taken from the writer, which owes durability to all.
        let http_deadline = deadline - self.shutdown_timeout / WRITER_SHARE;
        self.health.set(Readiness::Stopping);
        let _ = self.stop_http.send(http_deadline);
        let watched = async {
            for (thread, stop) in self.watch.into_iter().chain(self.beside) {
                drop(stop);
                let _ = timeout_at(deadline, tokio::task::spawn_blocking(move || thread.join())).await;
            }
        };
        let answered = async {
            let answered = timeout_at(deadline, self.http).await;
            let _ = timeout_at(deadline, self.reader.close()).await;
            let _ = timeout_at(deadline, self.desk.close()).await;
            matches!(answered, Ok(Ok(true)))
        };
        // The last queue is gone with the folder and HTTP: the writer drains what is left, folds the WAL back and ends.
        let written = async {
            match self.writer {
                Some(writer) => matches!(timeout_at(deadline, writer).await, Ok(Ok(Ok(())))),
                None => false,
            }
        };
        let ((), answered, written) = tokio::join!(watched, answered, written);
        StopReport { is_complete: answered && written }
    }
}

/// Traces, where `telemetry.otlp_endpoint` says so.
pub(super) fn start_telemetry(config: &Config, metrics: &Arc<Metrics>) -> Result<()> {
    let Some(endpoint) = config.telemetry.otlp_endpoint.clone() else { return Ok(()) };
    let sample_ratio = config.telemetry.sample_ratio;
    let instance_id = config.kafka.instance_id.clone();
    Ok(telemetry::start(telemetry::Settings { endpoint, sample_ratio, instance_id, metrics: metrics.clone() })?)
}

pub(super) async fn listen(config: &Config) -> Result<TcpListener> {
    let address = config.http.listen;
    TcpListener::bind(address).await.with_context(|| format!("http.listen: cannot listen on {address}"))
}

/// What HTTP is the window to, besides the desk.
pub(super) struct HttpParts {
    pub queue: Queue,
    pub pipelines: Arc<Pipelines>,
    pub books: Arc<Books>,
    pub rulings: Arc<dyn Rulings>,
    pub decisions: Arc<dyn Decisions>,
    /// `None` where they are on a topic.
    pub letters: Option<Arc<dyn Letters>>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
}

/// Serves the API and the console until it is told by when to end; then whether every request under way was answered.
///
/// # Errors
/// A certificate or key that is not there or no good, and what the console cannot begin with.
pub(super) async fn start_http(
    listener: TcpListener,
    config: &Config,
    desk: &DeskStore,
    parts: HttpParts,
) -> Result<(tokio::task::JoinHandle<bool>, oneshot::Sender<Instant>)> {
    let door = pipelines::door(&parts.pipelines, config, &parts.queue);
    let keys = api_keys::keys(config, desk, parts.health.clone()).await;
    let pages = console::pages(config, desk, &keys, &parts).await?;
    let tls = match (&config.http.tls.cert_file, &config.http.tls.key_file) {
        (Some(cert_file), Some(key_file)) => Some(tls::acceptor(cert_file, key_file, parts.metrics.clone())?),
        _ => None,
    };
    let edge = Edge {
        connections_max: open_files::connections(config.http.connections_max),
        header_timeout: Duration::from_millis(config.http.header_timeout_ms),
        stall_timeout: Duration::from_millis(config.http.body_timeout_ms),
        tls,
        metrics: parts.metrics.clone(),
    };
    let HttpParts { queue, pipelines, books, rulings, decisions, letters: _, metrics, health } = parts;
    let shared = Arc::new(Shared {
        queue,
        pipelines,
        door,
        books,
        rulings,
        retention_secs: config.time.retention_secs,
        decisions,
        desk: Arc::new(desk.clone()),
        metrics,
        health,
        keys,
        clock: config.time.arrival.clock(),
        max_age_secs: config.time.max_age_secs,
        fallback: config.fallback(),
        body_timeout: Duration::from_millis(config.http.body_timeout_ms),
        answer_timeout: Duration::from_millis(config.http.answer_timeout_ms),
    });
    let (stop, stopped) = oneshot::channel();
    // A service that was dropped has no time to give.
    let stopping = async { stopped.await.unwrap_or_else(|_| Instant::now()) };
    Ok((tokio::spawn(serve(listener, router(shared, pages), edge, stopping)), stop))
}

/// What else than HTTP feeds the log.
struct Sources<'c> {
    config: &'c Config,
    queue: Queue,
    pipelines: &'c Pipelines,
}

impl Sources<'_> {
    fn start_watch(&self, dir: PathBuf, files: Vec<FilePosition>) -> Result<Watching> {
        if !dir.is_dir() {
            return Err(anyhow!("watch.dir: {} is not a folder", dir.display()));
        }
        let (stop, stopped) = mpsc::channel();
        let config = &self.config.watch;
        let (poll, forget_after) = (Duration::from_millis(config.poll_ms), Duration::from_secs(config.forget_after_secs));
        let source = format!("folder {}", dir.display());
        let pipeline = pipelines::fed(self.pipelines, self.config, "watch".to_owned(), source, &self.queue);
        let watch = Watch::new(dir, poll, forget_after, self.queue.clone(), pipeline, files);
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(move || watch.run(&stopped))?;
        Ok((thread, stop))
    }

    #[cfg(feature = "postgres")]
    fn start_tables(&self, positions: Vec<TablePosition>) -> Result<Vec<Watching>> {
        let mut started = Vec::new();
        for source in &self.config.sources.postgres {
            let name = format!("postgres-{}", source.name);
            let position = positions.iter().find(|position| *position.name == *name).cloned();
            let pipeline = pipelines::fed(self.pipelines, self.config, name, source.shown(), &self.queue);
            let table = Table::new(source.options(), self.queue.clone(), pipeline, position)?;
            let (stop, stopped) = mpsc::channel();
            let thread = thread::Builder::new().name("table".to_owned()).spawn(move || table.run(&stopped))?;
            started.push((thread, stop));
        }
        Ok(started)
    }

    #[cfg(not(feature = "postgres"))]
    fn start_tables(&self, _: Vec<TablePosition>) -> Result<Vec<Watching>> {
        Ok(Vec::new())
    }
}

/// Watches the folder of the rules, if there is one, and what the rules do.
pub(super) fn start_rules(config: &Config, books: Arc<Books>, metrics: Arc<Metrics>, rules: &Given) -> Result<Vec<Watching>> {
    metrics.reloaded(rules.is_ok());
    if let Err(reason) = rules {
        tracing::error!(reason, "the rules folder gives no book: the last one of the log stays in force, if it has one");
        books.shelf.reloaded(Reload::Refused(reason.clone()));
    }
    let mut watchers = vec![rules_breaker::start(config, books.clone(), metrics.clone())?];
    if let Some(dir) = config.rules.dir.clone() {
        watchers.push(RulesFolder::watch(dir, config.time.retention_secs, books, metrics)?);
    }
    Ok(watchers)
}

/// Of a log that has no rule book either.
pub(super) fn no_rules(reason: &str) -> anyhow::Error {
    anyhow!("{reason}\nthe log has no rule book to go on with: put the folder right")
}

/// What the writer's thread is made of.
struct Parts {
    store: SqliteStore,
    settings: Settings,
    rules: Given,
    /// A book that the log has not begun with waits for its approval.
    four_eyes: bool,
    shared: writer::Shared,
    jobs: tokio::sync::mpsc::Receiver<Job>,
}

fn load(store: &mut SqliteStore, settings: &Settings) -> Result<Recovered, StoreError> {
    let logged = Logged { books: store.rule_books()?, rulings: store.rulings()? };
    recover(logged, store, settings)
}

fn proposals(store: &mut SqliteStore) -> Result<Vec<Proposal>, StoreError> {
    let logged = store.proposals(PROPOSALS_MAX)?;
    logged.into_iter().map(|logged| compile(logged).map(Proposal::of)).collect()
}

/// Loads the window and runs the loop on a thread of its own; the receiver gets its end.
fn start_writer(parts: Parts) -> Result<oneshot::Receiver<Result<()>>> {
    let (ended, end) = oneshot::channel();
    let health = parts.shared.health.clone();
    let run = move || {
        let result = write(parts);
        health.set(Readiness::Stopping);
        // Nobody listens any more only when the process is on its way out.
        let _ = ended.send(result);
    };
    thread::Builder::new().name("writer".to_owned()).spawn(run)?;
    Ok(end)
}

fn write(parts: Parts) -> Result<()> {
    let Parts { mut store, settings, rules, four_eyes, shared, jobs } = parts;
    let began = std::time::Instant::now();
    let recovered = load(&mut store, &settings).map_err(|error| error.at(store.path()))?;
    let proposed = proposals(&mut store).map_err(|error| error.at(store.path()))?;
    let live_attempts = recovered.state.live_attempts();
    tracing::info!(live_attempts, ms = began.elapsed().as_millis() as u64, "the window is loaded");
    let shelf = shared.shelf.clone();
    let mut writer = Writer::new(recovered, store, SystemClock, shared);
    proposed.into_iter().for_each(|proposal| shelf.suggest(proposal));
    match &rules {
        Ok(rules) if !four_eyes || shelf.last().is_none() => writer.install(rules, "start")?,
        Err(reason) if shelf.last().is_none() => return Err(no_rules(reason)),
        Ok(_) | Err(_) => {}
    }
    if let Some(BookVersion { book, .. }) = shelf.last() {
        tracing::info!(version = book.version(), hash = format!("{:016x}", book.hash()), "the rule book is in force");
        if rules.is_ok_and(|rules| rules.hash() != book.hash()) {
            tracing::warn!("it is not the one given at this start; what has taken its place in the log stays in force");
        }
    }
    writer.run(jobs)?.close();
    Ok(())
}
