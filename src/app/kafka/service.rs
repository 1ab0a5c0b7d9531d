//! `quoteguard serve` with `kafka.brokers`: HTTP appends to the topic, the partitions of this instance decide.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::adapter;
use super::intake::Intake;
use super::partitions::{Partitions, Shared as PartitionsShared};
use crate::adapters::kafka::{ConsumerHandle, Control, DecisionsTail, KafkaConfig, Producer, Published, start};
use crate::adapters::redis;
use crate::config::{Config, WhenDown};
use crate::contract::rule_file::canonical_source;
use crate::engine::rules::RuleBook;
use crate::engine::state::Settings;
use crate::engine::step::ArrivalClock;
use crate::metrics::Metrics;
use crate::pipeline::fixed;
use crate::pipeline::health::{Health, Readiness};
use crate::pipeline::partition::waiters::Waiters;
use crate::pipeline::queue::bounded;

use super::super::service::{StopReport, listen, start_http};

pub struct KafkaService {
    pub addr: SocketAddr,
    shutdown_timeout: Duration,
    health: Arc<Health>,
    http: tokio::task::JoinHandle<bool>,
    stop_http: oneshot::Sender<Instant>,
    consumer: Option<ConsumerHandle>,
    producer: Arc<Producer>,
    failed: oneshot::Receiver<anyhow::Error>,
}

impl KafkaService {
    /// Answers `/livez` at once, and takes quotes as soon as the first partition is ours.
    ///
    /// # Errors
    /// No brokers or topics, a Redis that may lose checkpoints, settings that differ from the log's.
    pub async fn start(config: &Config, rules: RuleBook) -> Result<KafkaService> {
        if config.kafka.when_down != WhenDown::Refuse {
            return Err(anyhow!("kafka.when_down: only `refuse` is there yet"));
        }
        if config.watch.dir.is_some() {
            return Err(anyhow!(
                "watch.dir: a folder is not read into a topic yet; produce its records, or leave kafka.brokers out"
            ));
        }
        let listener = listen(config).await?;
        let addr = listener.local_addr()?;
        let metrics = Arc::new(Metrics::new()?);
        let health = Arc::new(Health::default());
        let waiters = Arc::new(Waiters::default());
        let (queue, jobs) = bounded(config.limits.queue_max);
        let (tell_failed, told) = channel();
        let (kafka, options) = (adapter(config)?, config.redis.options());
        // Everything below blocks on brokers.
        let connected = {
            let (kafka, config, metrics) = (kafka.clone(), config.clone(), metrics.clone());
            tokio::task::spawn_blocking(move || connect(&kafka, &config, &rules, &metrics)).await??
        };
        let Connected { control, producer, decisions, settings, partitions } = connected;
        let mut instance = [0u8; 8];
        getrandom::fill(&mut instance).map_err(|error| anyhow!("no random numbers: {error}"))?;
        let shared = Arc::new(PartitionsShared {
            config: kafka.clone(),
            redis: options,
            settings,
            partitions,
            is_event_time: config.time.arrival.clock() == ArrivalClock::Event,
            checkpoint_every: Duration::from_millis(config.kafka.checkpoint_ms),
            instance: instance.iter().map(|byte| format!("{byte:02x}")).collect(),
            control,
            producer: producer.clone(),
            waiters: waiters.clone(),
            metrics: metrics.clone(),
            health: health.clone(),
            commands: OnceLock::new(),
            failed: tell_failed,
        });
        let mut owned = Partitions::new(shared.clone());
        let consumer = start(&kafka, move |event| owned.take(event))?;
        let _ = shared.commands.set(consumer.commands());
        let intake = Intake { producer: producer.clone(), waiters, health: health.clone(), instance };
        thread::Builder::new().name("intake".to_owned()).spawn(move || intake.run(jobs))?;
        let (http, stop_http) = start_http(listener, config, queue, decisions, metrics, health.clone());
        let shutdown_timeout = Duration::from_millis(config.http.shutdown_timeout_ms);
        let failed = first_failure(told)?;
        let consumer = Some(consumer);
        Ok(KafkaService { addr, shutdown_timeout, health, http, stop_http, consumer, producer, failed })
    }

    /// Ends when a partition or the consumer does by an error.
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
        let left = deadline.saturating_duration_since(Instant::now());
        let (consumer, producer) = (self.consumer, self.producer);
        let ended = tokio::task::spawn_blocking(move || {
            let has_left = consumer.is_none_or(|consumer| consumer.stop(left / 2));
            has_left & producer.flush(left / 2).is_ok()
        });
        StopReport { is_complete: answered & ended.await.unwrap_or(false) }
    }
}

struct Connected {
    control: Arc<Control>,
    producer: Arc<Producer>,
    decisions: DecisionsTail,
    settings: Settings,
    partitions: u32,
}

fn connect(kafka: &KafkaConfig, config: &Config, rules: &RuleBook, metrics: &Metrics) -> Result<Connected> {
    for notice in redis::check(&config.redis.options())? {
        tracing::warn!(notice, "redis");
    }
    let producer = Arc::new(Producer::new(kafka)?);
    let control = Arc::new(Control::start(kafka, producer.clone())?);
    let log = control.log().clone();
    let settings = Settings { log_id: log.log_id.clone().into(), ..config.settings() };
    let stored: BTreeMap<String, String> = log.settings;
    for (key, value) in fixed::pairs(&settings) {
        if let Some(was) = stored.get(key).filter(|was| **was != value) {
            return Err(anyhow!("{key}: the log was made with {was}, and this is {value}; it is fixed for the life of the log"));
        }
    }
    let decisions = DecisionsTail::start(kafka)?;
    install(&control, rules, log.partitions)?;
    metrics.rule_book(&rules.reference());
    Ok(Connected { control, producer, decisions, settings, partitions: log.partitions })
}

/// Publishes the rule book unless it is the last one, and points every partition to it.
fn install(control: &Control, rules: &RuleBook, partitions: u32) -> Result<()> {
    loop {
        let last = control.last_book();
        if last.as_ref().is_some_and(|last| last.hash == format!("{:016x}", rules.hash())) {
            return Ok(());
        }
        let after = last.map_or(0, |last| last.version);
        let book = RuleBook::build(after + 1, rules.rules().cloned().collect());
        let book = book.map_err(|errors| anyhow!("the rule book does not compile: {errors:?}"))?;
        match control.publish_book(&canonical_source(&book), book.hash(), after)? {
            Published::Accepted(book) => {
                for partition in 0..i32::try_from(partitions)? {
                    control.publish_pointer(partition, book.offset)?;
                }
                tracing::info!(version = book.version, hash = book.hash, "the rule book is in force");
                return Ok(());
            }
            Published::Overtaken(_) => {}
        }
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
