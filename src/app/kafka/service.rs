//! `quoteguard serve` with `kafka.brokers`: HTTP appends to the topic, the partitions of this instance decide.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::books::{ControlLog, install};
use super::elsewhere::Elsewhere;
use super::intake::{self, Intake};
use super::partitions::{Ours, Partitions, Shared};
use super::referrals;
use super::takeover::Failure;
use super::{adapter, needed_secs, refuse_another_clock};
use crate::adapters::desk::DeskStore;
use crate::adapters::kafka::{
    ConsumerHandle, Control, DecisionsTail, KafkaConfig, Needs, Producer, Severity, TopicFeed, check, start,
};
use crate::adapters::redis;
use crate::config::Config;
use crate::engine::state::Settings;
use crate::engine::step::ArrivalClock;
use crate::metrics::Metrics;
use crate::pipeline::books::{Books, Shelf};
use crate::pipeline::health::{Health, Readiness};
use crate::pipeline::partition::waiters::Waiters;
use crate::pipeline::pipelines::Pipelines;
use crate::pipeline::queue::{Job, bounded_before_log};
use crate::pipeline::{Decisions, Reading, StoreError, fixed};
use crate::vault::Vault;

use super::super::commands::Given;
use super::super::rules_folder::Watching;
use super::super::service::{HttpParts, StopReport, listen, start_http, start_rules, start_telemetry};
use super::super::{desk, pipelines, webhooks};

/// Wait before brokers or a Redis that are away are asked again.
const RETRY: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(5);

pub struct KafkaService {
    pub addr: SocketAddr,
    shutdown_timeout: Duration,
    health: Arc<Health>,
    http: tokio::task::JoinHandle<bool>,
    stop_http: oneshot::Sender<Instant>,
    clients: Arc<Mutex<Option<Clients>>>,
    rules: Vec<Watching>,
    desk: DeskStore,
    failed: oneshot::Receiver<anyhow::Error>,
}

/// What is told to end.
struct Clients {
    consumer: ConsumerHandle,
    producer: Arc<Producer>,
    intake: thread::JoinHandle<()>,
    /// The desk's sink, and who tells of its cases.
    desk: [Watching; 2],
}

impl KafkaService {
    /// Answers `/livez` at once, and takes quotes as soon as what the group gives us is decided here. Brokers and a Redis that are
    /// away are waited for.
    ///
    /// # Errors
    /// An address that cannot be listened on, and settings that do not fit. What only the servers can tell comes by
    /// [`KafkaService::failed`].
    pub async fn start(config: &Config, rules: Given) -> Result<KafkaService> {
        refuse_embedded(config)?;
        let kafka = adapter(config)?;
        let listener = listen(config).await?;
        let addr = listener.local_addr()?;
        let metrics = Arc::new(Metrics::new()?);
        start_telemetry(config, &metrics)?;
        let health = Arc::new(Health::default());
        let vault = Arc::new(config.privacy.vault()?);
        let desk = desk::open(config, vault.clone()).await?;
        let (queue, jobs) = bounded_before_log(config.limits.queue_max);
        let (tell_failed, told) = channel();
        let decisions = Arc::new(LateDecisions::default());
        let (shelf, log) = (Arc::new(Shelf::default()), Arc::new(ControlLog::default()));
        let books = Arc::new(Books { shelf: shelf.clone(), log: log.clone(), four_eyes: config.rules.four_eyes });
        let pipelines = pipelines::open(config, metrics.clone())?;
        let parts = HttpParts {
            queue,
            pipelines: pipelines.clone(),
            books: books.clone(),
            rulings: log.clone(),
            decisions: decisions.clone(),
            letters: None,
            metrics: metrics.clone(),
            health: health.clone(),
        };
        let (http, stop_http) = start_http(listener, config, &desk, parts).await?;
        let mut rules_watchers = start_rules(config, books, metrics.clone(), &rules)?;
        rules_watchers.extend(webhooks::start(config, &desk, &metrics)?);
        let clients = Arc::new(Mutex::new(None));
        let starting = Starting {
            kafka,
            config: config.clone(),
            vault,
            rules,
            metrics,
            health: health.clone(),
            decisions,
            shelf,
            log,
            desk: desk.clone(),
            pipelines,
            runtime: Handle::current(),
            failed: tell_failed.clone(),
        };
        let started = clients.clone();
        let run = move || match starting.run(jobs) {
            Ok(running) => *lock(&started) = running,
            Err(error) => drop(tell_failed.send(error)),
        };
        // Everything there blocks on brokers.
        thread::Builder::new().name("kafka-start".to_owned()).spawn(run)?;
        let shutdown_timeout = Duration::from_millis(config.http.shutdown_timeout_ms);
        let failed = first_failure(told)?;
        Ok(KafkaService { addr, shutdown_timeout, health, http, stop_http, clients, rules: rules_watchers, desk, failed })
    }

    /// Ends when the instance cannot go on.
    pub async fn failed(&mut self) -> anyhow::Error {
        match (&mut self.failed).await {
            Ok(error) => error,
            Err(_) => std::future::pending().await,
        }
    }

    pub async fn stop(self) -> StopReport {
        let deadline = Instant::now() + self.shutdown_timeout;
        self.health.set(Readiness::Stopping);
        let _ = self.stop_http.send(deadline - self.shutdown_timeout / 3);
        let answered = matches!(timeout_at(deadline, self.http).await, Ok(Ok(true)));
        for (thread, stop) in self.rules {
            drop(stop);
            let _ = timeout_at(deadline, tokio::task::spawn_blocking(move || thread.join())).await;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let clients = lock(&self.clients).take();
        let ended = tokio::task::spawn_blocking(move || {
            let Some(Clients { consumer, producer, intake, desk }) = clients else { return true };
            let desk = desk.map(|(thread, stop)| {
                drop(stop);
                thread
            });
            // HTTP is gone: what was queued is in the producer as soon as the intake ends.
            let until = std::time::Instant::now() + left / 3;
            while !intake.is_finished() && std::time::Instant::now() < until {
                thread::sleep(TICK);
            }
            let has_sent = intake.is_finished() & producer.flush(left / 3).is_ok();
            let has_left = consumer.stop(left / 3);
            let is_flushed = producer.flush(left / 3).is_ok();
            // It looks at its order to stop four times a second, or waits for a database that its own timeouts bound.
            desk.into_iter().for_each(|thread| drop(thread.join()));
            has_sent & has_left & is_flushed
        });
        let ended = timeout_at(deadline, ended).await;
        let _ = timeout_at(deadline, self.desk.close()).await;
        StopReport { is_complete: answered & matches!(ended, Ok(Ok(true))) }
    }
}

/// What only the embedded log can do.
fn refuse_embedded(config: &Config) -> Result<()> {
    if config.export.dir.is_some() {
        return Err(anyhow!("export.dir: a topic is not exported; let the warehouse read that of the decisions"));
    }
    if !config.sources.postgres.is_empty() {
        return Err(anyhow!(
            "sources.postgres: a table is not read into a topic; produce its records, or leave kafka.brokers out"
        ));
    }
    if config.watch.dir.is_some() {
        return Err(anyhow!("watch.dir: a folder is not read into a topic; produce its records, or leave kafka.brokers out"));
    }
    Ok(())
}

fn lock(clients: &Mutex<Option<Clients>>) -> std::sync::MutexGuard<'_, Option<Clients>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decisions as soon as they can be read.
#[derive(Default)]
struct LateDecisions(OnceLock<Arc<DecisionsTail>>);

impl Decisions for LateDecisions {
    fn newest(&self, tenant: &str, quote_id: &str) -> Reading<Option<Vec<u8>>> {
        match self.0.get() {
            Some(tail) => tail.newest(tenant, quote_id),
            None => Box::pin(std::future::ready(Err(StoreError::Unavailable("kafka was not reached yet".to_owned())))),
        }
    }
}

/// From nothing to a member of the group.
struct Starting {
    kafka: KafkaConfig,
    config: Config,
    vault: Arc<Vault>,
    rules: Given,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    decisions: Arc<LateDecisions>,
    shelf: Arc<Shelf>,
    log: Arc<ControlLog>,
    desk: DeskStore,
    pipelines: Arc<Pipelines>,
    runtime: Handle,
    failed: Sender<anyhow::Error>,
}

struct Connected {
    control: Arc<Control>,
    producer: Arc<Producer>,
    decisions: Arc<DecisionsTail>,
    settings: Settings,
    partitions: NonZeroU32,
}

impl Starting {
    /// `None` when the service was stopped meanwhile.
    fn run(self, jobs: tokio::sync::mpsc::Receiver<Job>) -> Result<Option<Clients>> {
        let Some(connected) = self.connect_in_time()? else { return Ok(None) };
        let Connected { control, producer, decisions, settings, partitions } = connected;
        let log_id = settings.log_id.clone();
        let _ = self.decisions.0.set(decisions.clone());
        self.health.partitioned(partitions);
        let mut instance = [0u8; 8];
        getrandom::fill(&mut instance).map_err(|error| anyhow!("no random numbers: {error}"))?;
        let (waiters, ours) = (Arc::new(Waiters::default()), Arc::new(Ours::default()));
        let elsewhere = Elsewhere::new(decisions, control.clone(), waiters.clone(), self.runtime.clone());
        let elsewhere = Arc::new(elsewhere);
        let shared = Arc::new(Shared {
            config: self.kafka.clone(),
            redis: redis::Options { vault: self.vault.clone(), ..self.config.redis.options() },
            settings,
            partitions,
            is_event_time: self.config.time.arrival.clock() == ArrivalClock::Event,
            checkpoint_every: Duration::from_millis(self.config.kafka.checkpoint_ms),
            checkpoint_debt_max: self.config.kafka.checkpoint_debt_max,
            instance: instance.iter().map(|byte| format!("{byte:02x}")).collect(),
            control,
            producer: producer.clone(),
            waiters: waiters.clone(),
            ours: ours.clone(),
            elsewhere: elsewhere.clone(),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            pipelines: self.pipelines.clone(),
            commands: OnceLock::new(),
            failed: self.failed.clone(),
        });
        let mut owned = Partitions::new(shared.clone());
        let consumer = start(&self.kafka, move |event| owned.take(event))?;
        let _ = shared.commands.set(consumer.commands());
        let (health, metrics, failed) = (self.health.clone(), self.metrics.clone(), self.failed.clone());
        let intake = Intake { producer: producer.clone(), waiters, ours, elsewhere, health, metrics, failed: failed.clone() };
        let run = move || {
            if catch_unwind(AssertUnwindSafe(|| intake.run(jobs))).is_err() {
                let _ = failed.send(anyhow!("a defect: the thread that takes quotes in has died"));
            }
        };
        let intake = thread::Builder::new().name("intake".to_owned()).spawn(run)?;
        let feed = TopicFeed::new(&self.kafka, &log_id, partitions.get());
        let told = referrals::start(self.desk.clone(), producer.clone(), self.runtime.clone())?;
        let sink = desk::start_sink(self.desk, feed, &self.config, self.metrics, self.health, self.runtime)?;
        Ok(Some(Clients { consumer, producer, intake, desk: [sink, told] }))
    }

    fn connect_in_time(&self) -> Result<Option<Connected>> {
        let mut last = String::new();
        loop {
            match self.connect() {
                Ok(connected) => {
                    self.health.step(Readiness::StoreDown, Readiness::Starting);
                    return Ok(Some(connected));
                }
                Err(Failure::Lasting(reason)) => return Err(anyhow!(reason)),
                Err(Failure::Passing(reason)) => {
                    if reason != last {
                        tracing::error!(reason, "not connected yet; it is tried again");
                        last = reason;
                    }
                }
            }
            self.health.step(Readiness::Starting, Readiness::StoreDown);
            self.metrics.store_up(intake::LOG, false);
            thread::sleep(RETRY);
            if self.health.get() == Readiness::Stopping {
                return Ok(None);
            }
        }
    }

    fn connect(&self) -> Result<Connected, Failure> {
        match redis::check(&self.config.redis.options()) {
            Ok(notices) => notices.iter().for_each(|notice| tracing::warn!(notice, "redis")),
            // Partitions cannot be taken over without it; other instances may hold some.
            Err(error @ StoreError::Unavailable(_)) => tracing::error!(%error, "redis"),
            Err(error) => return Err(error.into()),
        }
        let producer = Arc::new(Producer::new(&self.kafka)?);
        let control = Arc::new(Control::start(&self.kafka, producer.clone())?);
        let log = control.log();
        let settings = Settings { log_id: log.log_id.clone().into(), ..self.config.settings() };
        for (key, value) in fixed::pairs(&settings) {
            if let Some(was) = log.settings.get(key).filter(|was| **was != value) {
                let text =
                    format!("{key}: the log was made with {was}, and this is {value}; it is fixed for the life of the log");
                return Err(Failure::Lasting(text));
            }
        }
        refuse_another_clock(&self.config, log).map_err(|error| Failure::Lasting(error.to_string()))?;
        let partitions = log.partitions;
        let counted = NonZeroU32::new(partitions).ok_or_else(|| Failure::Lasting("the log has no partitions".to_owned()))?;
        self.look_at_topics()?;
        let decisions = Arc::new(DecisionsTail::start(&self.kafka)?);
        let last = install(&control, &self.shelf, &self.rules, self.config.rules.four_eyes)?.book;
        self.log.reached(control.clone());
        if self.rules.as_ref().is_ok_and(|rules| rules.hash() != last.hash()) {
            tracing::warn!(
                version = last.version(),
                "the log has a later rule book than the one given here: the log's is in force"
            );
        }
        Ok(Connected { control, producer, decisions, settings, partitions: counted })
    }

    fn look_at_topics(&self) -> Result<(), Failure> {
        let needs = Needs { retention_secs: needed_secs(&self.config) };
        let mut dangerous = Vec::new();
        for finding in check(&self.kafka, needs)? {
            match finding.severity {
                Severity::Dangerous => dangerous.push(finding.to_string()),
                Severity::Notice => tracing::warn!(%finding, "topics"),
            }
        }
        if dangerous.is_empty() { Ok(()) } else { Err(Failure::Lasting(dangerous.join("; "))) }
    }
}

/// The first of the failures, for whoever awaits it.
fn first_failure(told: Receiver<anyhow::Error>) -> Result<oneshot::Receiver<anyhow::Error>> {
    let (tell, failed) = oneshot::channel();
    thread::Builder::new().name("failures".to_owned()).spawn(move || {
        if let Ok(error) = told.recv() {
            let _ = tell.send(error);
        }
    })?;
    Ok(failed)
}
