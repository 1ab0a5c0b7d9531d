//! The group's consumer, on a thread of its own.
//!
//! A partition that is assigned stays silent until [`Command::Start`] says where to begin: the checkpoint knows, the group's
//! committed offset does not. Until then it is ours in the group only, and librdkafka is not told to fetch it: to assign it paused and
//! to seek later loses records, for a pending query of a logical offset (`end`, `beginning`) survives the seek and is asked again
//! half a second later. For the same reason every start is a plain number. Commands are carried out between polls, so that nothing is
//! delivered past one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::client::{self, Bootstrap, RawRecord, range};
use super::error::{KafkaError, lasting};
use super::settings::KafkaConfig;
use crate::contract::kafka as headers;

/// For latency; a catch-up is quick enough with it, and a partition's prefetch stays small.
const TUNING: &[(&str, &str)] = &[
    ("fetch.wait.max.ms", "100"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "100"),
    ("queued.min.messages", "2000"),
    ("queued.max.messages.kbytes", "8192"),
];
const BINDING: &[(&str, &str)] = &[
    ("group.protocol", "classic"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // An offset that is gone is a fault to be shown, not a place to jump from.
    ("auto.offset.reset", "error"),
    ("check.crcs", "true"),
    ("allow.auto.create.topics", "false"),
    // What others write and take back was never submitted.
    ("isolation.level", "read_committed"),
];

/// Records of one [`Event::Records`] batch over all partitions, and their bytes. Beyond: the next batch.
const BATCH_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// By its heartbeat a member hears that another one has come or gone: so long a partition may wait for nothing else.
const HEARTBEAT_MS_MAX: u32 = 250;
/// Commands waiting. Beyond: the sender waits.
const COMMANDS_MAX: usize = 1_024;
/// How soon a command is seen while no record comes.
const IDLE: Duration = Duration::from_millis(5);
/// What the holders of revoked partitions may take for their last checkpoint.
const RELEASE_PATIENCE: Duration = Duration::from_millis(500);
/// After this a partition whose beginning is not known is given up.
const START_PATIENCE: Duration = Duration::from_secs(30);
const RANGE_PATIENCE: Duration = Duration::from_secs(5);

pub enum Event {
    /// Ours, and silent until [`Command::Start`]; told again, under another number, after [`Command::Restart`].
    Assigned { partition: i32, assignment: Assignment },
    /// The group has given us our share, which may be nothing.
    Joined,
    /// No longer ours once `release` is dropped, or after half a second: time for a last checkpoint.
    Revoked { partition: i32, release: Release },
    /// Already another's: nothing more may be saved.
    Lost(i32),
    /// In order of offset, which may have gaps.
    Records { partition: i32, records: Vec<Fetched> },
    /// Nothing of it is delivered from here on, until [`Command::Unhold`].
    Held(i32),
    /// The offset after the newest record of each partition of ours, every five seconds.
    Ends(Vec<(i32, u64)>),
    /// The partition delivers nothing more until it is started again.
    PartitionError { partition: i32, error: PartitionError },
    /// The consumer ends, and tells what it had as revoked; the text names the fix where there is one.
    Fatal(String),
}

/// Number of an assignment of a partition: a command that speaks of an earlier one does nothing.
pub type Assignment = u64;

/// Dropping it lets a revoked partition go.
pub struct Release {
    _held: mpsc::SyncSender<()>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub partition: i32,
    pub offset: u64,
    /// Milliseconds since 1970.
    pub append_time_ms: i64,
    pub key: Option<Box<[u8]>>,
    pub value: Option<Box<[u8]>>,
    pub token: Option<Box<[u8]>>,
    /// Name of the API key.
    pub client: Option<Box<str>>,
    /// Of a traced quote.
    pub traceparent: Option<Box<str>>,
    pub is_pointer: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    #[error("offset {wanted} is outside of the log, which holds {low} to {high}")]
    OutOfRange { wanted: u64, low: u64, high: u64 },
    /// What was read has to be held against the log again.
    #[error("{0}")]
    Other(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    Offset(u64),
    Beginning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Start {
        partition: i32,
        assignment: Assignment,
        at: StartAt,
    },
    /// Takes the partition back to where it was when it was assigned: silent, with nothing of before still to come.
    Restart {
        partition: i32,
        assignment: Assignment,
    },
    /// There is no room for more of it.
    Pause(i32),
    Resume(i32),
    /// An operator wants no more of it, whichever assignment it has or gets; told by [`Event::Held`].
    Hold(i32),
    Unhold(i32),
    /// For lag tools: the next offset to read. Nothing starts from it.
    Commit {
        partition: i32,
        offset: u64,
    },
    Stop,
}

/// Gives commands from any thread.
#[derive(Clone)]
pub struct Commands(mpsc::SyncSender<Command>);

impl Commands {
    /// Waits while too many are under way. A consumer that has ended takes none, which its last event has told.
    pub fn send(&self, command: Command) {
        let _ = self.0.send(command);
    }
}

pub struct ConsumerHandle {
    commands: Commands,
    thread: JoinHandle<()>,
    ended: mpsc::Receiver<()>,
}

impl ConsumerHandle {
    pub fn commands(&self) -> Commands {
        self.commands.clone()
    }

    /// Gives the partitions back - each is told as revoked - and leaves the group. `false` if that took too long: librdkafka can
    /// hang in its last words, and its thread is left to the end of the process.
    pub fn stop(self, patience: Duration) -> bool {
        let began = Instant::now();
        while let Err(mpsc::TrySendError::Full(_)) = self.commands.0.try_send(Command::Stop) {
            if began.elapsed() > patience {
                return false;
            }
            thread::sleep(IDLE);
        }
        let left = patience.saturating_sub(began.elapsed());
        let has_ended = !matches!(self.ended.recv_timeout(left), Err(mpsc::RecvTimeoutError::Timeout));
        if has_ended && self.thread.join().is_err() {
            tracing::error!("the consumer's thread has panicked");
        }
        tracing::debug!(ms = began.elapsed().as_millis() as u64, has_ended, "the consumer has stopped");
        has_ended
    }
}

/// Joins the group. `events` is called on the consumer's thread and must be quick: it holds up all partitions.
///
/// # Errors
/// Settings that librdkafka refuses. The brokers need not be there yet.
pub fn start(config: &KafkaConfig, events: impl FnMut(Event) + Send + 'static) -> Result<ConsumerHandle, KafkaError> {
    let mut client = config.client(TUNING, BINDING)?;
    let session = config.session_timeout_ms;
    client.set("group.id", &config.group);
    client.set("session.timeout.ms", session.to_string());
    client.set("heartbeat.interval.ms", (session / 3).clamp(1, HEARTBEAT_MS_MAX).to_string());
    if let Some(instance) = &config.instance_id {
        client.set("group.instance.id", instance);
    }
    let topic = config.topics.quotes.clone();
    let members = Members {
        topic: topic.clone(),
        events: Mutex::new(Box::new(events)),
        ours: Mutex::default(),
        assignments: AtomicU64::new(0),
        bootstrap: Bootstrap::of(config),
    };
    let refused = |error| KafkaError::of("starting the consumer", &error);
    let consumer: BaseConsumer<Members> = client.create_with_context(members).map_err(refused)?;
    consumer.subscribe(&[&topic]).map_err(refused)?;
    let (commands, received) = mpsc::sync_channel(COMMANDS_MAX);
    let (end, ended) = mpsc::channel();
    let run = move || {
        let (starting, full, held) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Loop { consumer, received, starting, full, held }.run();
        drop(end);
    };
    let thread = thread::Builder::new().name("kafka-consumer".to_owned()).spawn(run);
    let thread = thread.map_err(|error| KafkaError::Unavailable(format!("starting the consumer's thread: {error}")))?;
    Ok(ConsumerHandle { commands: Commands(commands), thread, ended })
}

/// A partition of ours.
#[derive(Clone, Copy, Debug)]
struct Ours {
    assignment: Assignment,
    phase: Phase,
}

/// What it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Ours in the group, and not fetched.
    Held,
    /// Delivers; the next offset is at least this.
    Running { next: u64 },
    /// Stands still, and is fetched by librdkafka until it is started again or revoked.
    Failed,
}

/// The context: which partitions are ours. Changed by rebalances, which happen inside `poll`, on the consumer's thread.
struct Members {
    topic: String,
    events: Mutex<Box<dyn FnMut(Event) + Send>>,
    ours: Mutex<BTreeMap<i32, Ours>>,
    assignments: AtomicU64,
    bootstrap: Bootstrap,
}

impl Members {
    fn tell(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)(event);
    }

    fn ours(&self) -> MutexGuard<'_, BTreeMap<i32, Ours>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ours from now on, or once more.
    fn hold(&self, partition: i32) {
        let assignment = self.assignments.fetch_add(1, Ordering::Relaxed) + 1;
        self.ours().insert(partition, Ours { assignment, phase: Phase::Held });
        self.tell(Event::Assigned { partition, assignment });
    }

    /// What the partition does, if it is still ours by this assignment.
    fn phase(&self, partition: i32, assignment: Assignment) -> Option<Phase> {
        self.ours().get(&partition).filter(|ours| ours.assignment == assignment).map(|ours| ours.phase)
    }

    fn is_running(&self, partition: i32) -> bool {
        matches!(self.ours().get(&partition), Some(Ours { phase: Phase::Running { .. }, .. }))
    }

    fn set(&self, partition: i32, phase: Phase) {
        if let Some(ours) = self.ours().get_mut(&partition) {
            ours.phase = phase;
        }
    }

    fn one(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic, partition);
        list
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) -> KafkaResult<()> {
        // The group wants its answer; what is fetched is added start by start.
        consumer.incremental_assign(&TopicPartitionList::new())?;
        partitions.iter().for_each(|partition| self.hold(*partition));
        self.tell(Event::Joined);
        Ok(())
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) -> KafkaResult<()> {
        let mut fetched = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            if !matches!(self.ours().remove(partition), None | Some(Ours { phase: Phase::Held, .. })) {
                fetched.add_partition(&self.topic, *partition);
            }
        }
        if consumer.assignment_lost() {
            partitions.iter().for_each(|partition| self.tell(Event::Lost(*partition)));
        } else {
            let (held, released) = mpsc::sync_channel(0);
            for partition in partitions {
                self.tell(Event::Revoked { partition: *partition, release: Release { _held: held.clone() } });
            }
            drop(held);
            if released.recv_timeout(RELEASE_PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                tracing::warn!(?partitions, "partitions are given away before their last checkpoint");
            }
        }
        consumer.incremental_unassign(&fetched)
    }
}

impl ClientContext for Members {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        client::log(level, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.bootstrap.learn(statistics);
        let ends = ends(statistics, &self.topic);
        if !ends.is_empty() {
            self.tell(Event::Ends(ends));
        }
    }
}

/// From librdkafka's statistics, what is known of the ends of the partitions that are fetched.
fn ends(statistics: &[u8], topic: &str) -> Vec<(i32, u64)> {
    #[derive(serde::Deserialize)]
    struct Statistics {
        #[serde(default)]
        topics: BTreeMap<String, Topic>,
    }
    #[derive(serde::Deserialize)]
    struct Topic {
        partitions: BTreeMap<i32, Partition>,
    }
    #[derive(serde::Deserialize)]
    struct Partition {
        #[serde(default)]
        hi_offset: i64,
    }
    let Ok(mut statistics) = serde_json::from_slice::<Statistics>(statistics) else { return Vec::new() };
    let partitions = statistics.topics.remove(topic).map(|topic| topic.partitions).unwrap_or_default();
    // Negative: of none, or not known yet.
    partitions.into_iter().filter_map(|(partition, p)| Some((partition, u64::try_from(p.hi_offset).ok()?))).collect()
}

impl ConsumerContext for Members {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        let done = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, &partitions),
            _ => self.revoke(consumer, &partitions),
        };
        if let Err(error) = done {
            // librdkafka takes the partitions back by itself with the next rebalance.
            tracing::error!(%error, ?partitions, "a rebalance was not carried out");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "an offset was not committed; only lag tools miss it");
        }
    }
}

struct Loop {
    consumer: BaseConsumer<Members>,
    received: mpsc::Receiver<Command>,
    /// Partitions whose beginning the broker did not tell yet, and since when it is asked.
    starting: BTreeMap<i32, (Assignment, Instant)>,
    /// Partitions without room.
    full: BTreeSet<i32>,
    /// Partitions that an operator holds, ours or not.
    held: BTreeSet<i32>,
}

impl Loop {
    /// Until it is told to stop or a fatal error; then the consumer is closed.
    fn run(mut self) {
        loop {
            loop {
                match self.received.try_recv() {
                    Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => return,
                    Ok(command) => self.execute(command),
                    Err(mpsc::TryRecvError::Empty) => break,
                }
            }
            self.consumer.context().bootstrap.renew(self.consumer.client());
            for (partition, (assignment, since)) in std::mem::take(&mut self.starting) {
                self.start(partition, assignment, StartAt::Beginning, since);
            }
            if let Err(reason) = self.deliver() {
                self.consumer.context().tell(Event::Fatal(reason));
                return;
            }
        }
    }

    fn execute(&mut self, command: Command) {
        let members = self.consumer.context();
        let done = match command {
            Command::Start { partition, assignment, at } => return self.start(partition, assignment, at, Instant::now()),
            Command::Restart { partition, assignment } => self.restart(partition, assignment),
            Command::Pause(partition) => {
                self.full.insert(partition);
                self.consumer.pause(&members.one(partition))
            }
            Command::Resume(partition) => {
                self.full.remove(&partition);
                self.go_on(partition)
            }
            Command::Hold(partition) => {
                self.held.insert(partition);
                // One that was not started is silent, and stays so.
                let done = if members.is_running(partition) { self.consumer.pause(&members.one(partition)) } else { Ok(()) };
                members.tell(Event::Held(partition));
                done
            }
            Command::Unhold(partition) => {
                self.held.remove(&partition);
                self.go_on(partition)
            }
            Command::Commit { partition, offset } => self.commit(partition, offset),
            Command::Stop => Ok(()),
        };
        if let Err(error) = done {
            // The partition has just been taken away; the rebalance tells.
            tracing::debug!(%error, ?command, "a command came too late");
        }
    }

    /// A partition that was not started stays silent.
    fn go_on(&self, partition: i32) -> KafkaResult<()> {
        let members = self.consumer.context();
        let may = members.is_running(partition) && !self.full.contains(&partition) && !self.held.contains(&partition);
        if may { self.consumer.resume(&members.one(partition)) } else { Ok(()) }
    }

    fn commit(&self, partition: i32, offset: u64) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.consumer.context().topic, partition, Offset::Offset(offset.cast_signed()))?;
        self.consumer.commit(&list, CommitMode::Async)
    }

    fn start(&mut self, partition: i32, assignment: Assignment, at: StartAt, since: Instant) {
        let members = self.consumer.context().clone();
        let Some(phase) = members.phase(partition, assignment) else { return };
        let next = match at {
            StartAt::Offset(offset) => offset,
            StartAt::Beginning => match range(&self.consumer, &members.topic, partition, RANGE_PATIENCE) {
                Ok((low, _)) => low,
                Err(KafkaError::Unavailable(_)) if since.elapsed() < START_PATIENCE => {
                    self.starting.insert(partition, (assignment, since));
                    return;
                }
                Err(error) => return self.fail(partition, phase, PartitionError::Other(error.to_string())),
            },
        };
        match self.fetch_from(partition, phase, next) {
            Ok(()) => members.set(partition, Phase::Running { next }),
            Err(error) => self.fail(partition, phase, PartitionError::Other(format!("the partition cannot be started: {error}"))),
        }
    }

    fn restart(&self, partition: i32, assignment: Assignment) -> KafkaResult<()> {
        let members = self.consumer.context();
        let Some(phase) = members.phase(partition, assignment) else { return Ok(()) };
        if phase != Phase::Held {
            self.consumer.incremental_unassign(&members.one(partition))?;
        }
        members.hold(partition);
        Ok(())
    }

    /// Whatever was fetched before is dropped by librdkafka.
    fn fetch_from(&mut self, partition: i32, phase: Phase, offset: u64) -> KafkaResult<()> {
        let members = self.consumer.context();
        if phase != Phase::Held {
            self.consumer.incremental_unassign(&members.one(partition))?;
        }
        // A new start has all its room.
        self.full.remove(&partition);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&members.topic, partition, Offset::Offset(offset.cast_signed()))?;
        // A pause outlives the assignment it was made in.
        self.consumer.resume(&list)?;
        self.consumer.incremental_assign(&list)?;
        // Between two polls: nothing was delivered yet.
        if self.held.contains(&partition) { self.consumer.pause(&members.one(partition)) } else { Ok(()) }
    }

    fn fail(&self, partition: i32, phase: Phase, error: PartitionError) {
        let members = self.consumer.context();
        if phase != Phase::Held {
            members.set(partition, Phase::Failed);
        }
        members.tell(Event::PartitionError { partition, error });
    }

    /// What is ready, at most one batch. Waits a little when nothing is.
    fn deliver(&self) -> Result<(), String> {
        let members = self.consumer.context();
        let mut batch: BTreeMap<i32, Vec<Fetched>> = BTreeMap::new();
        let (mut records, mut bytes) = (0, 0);
        let mut wait = IDLE;
        let mut failed = None;
        while records < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let fetched = Fetched::from(&RawRecord(message));
                    if let Some(Ours { phase: Phase::Running { next }, .. }) = members.ours().get_mut(&fetched.partition) {
                        *next = fetched.offset + 1;
                        records += 1;
                        bytes += fetched.value.as_ref().map_or(0, |value| value.len());
                        batch.entry(fetched.partition).or_default().push(fetched);
                    }
                }
                Some(Err(error)) => {
                    failed = Some(error);
                    break;
                }
            }
            wait = Duration::ZERO;
        }
        for (partition, records) in batch {
            // A rebalance inside of the polls above may have taken the partition away, and even brought it back.
            if members.is_running(partition) {
                members.tell(Event::Records { partition, records });
            }
        }
        failed.map_or(Ok(()), |error| self.judge(&error))
    }

    /// An error of the client: for good, of a partition, or one that passes.
    fn judge(&self, error: &ClientError) -> Result<(), String> {
        match error {
            ClientError::MessageConsumptionFatal(code) => {
                Err(lasting(*code).map_or(error.to_string(), |fix| format!("{error}; {fix}")))
            }
            ClientError::MessageConsumption(Code::AutoOffsetReset) => {
                self.find_outside();
                Ok(())
            }
            // Told to the log only: librdkafka tries again, and a right that is granted meanwhile helps.
            ClientError::MessageConsumption(code) => {
                if let Some(fix) = lasting(*code) {
                    tracing::error!(%error, fix, "kafka");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The error does not name its partition: the one whose next offset is not in the log. Where none is by now, or it cannot be
    /// asked, all are held against the log again.
    fn find_outside(&self) {
        let members = self.consumer.context();
        let next_of = |(partition, ours): (&i32, &Ours)| match ours.phase {
            Phase::Running { next } => Some((*partition, next)),
            Phase::Held | Phase::Failed => None,
        };
        let running: Vec<(i32, u64)> = members.ours().iter().filter_map(next_of).collect();
        let mut outside = Vec::new();
        for (partition, wanted) in &running {
            match range(&self.consumer, &members.topic, *partition, RANGE_PATIENCE) {
                Ok((low, high)) if !(low..=high).contains(wanted) => {
                    outside.push((*partition, PartitionError::OutOfRange { wanted: *wanted, low, high }));
                }
                _ => {}
            }
        }
        if outside.is_empty() {
            let error = || PartitionError::Other("an offset was outside of the log of one of the partitions".to_owned());
            outside = running.iter().map(|(partition, _)| (*partition, error())).collect();
        }
        for (partition, error) in outside {
            self.fail(partition, Phase::Failed, error);
        }
    }
}

impl From<&RawRecord<'_>> for Fetched {
    fn from(record: &RawRecord<'_>) -> Fetched {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
        Fetched {
            partition: record.partition(),
            offset: record.offset(),
            append_time_ms: record.append_time_ms(),
            key: record.key().map(Into::into),
            value: record.value().map(Into::into),
            token: record.header(headers::TOKEN).map(Into::into),
            client: record.header(headers::CLIENT).map(text),
            traceparent: record.traceparent().map(Into::into),
            is_pointer: record.has_header(headers::POINTER),
        }
    }
}
