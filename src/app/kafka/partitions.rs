//! The partitions of this instance: each is taken over when it is assigned, runs on threads of its own, and is given back with a
//! last checkpoint. One that fails is taken over again, or stops alone; the others go on.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::elsewhere::Elsewhere;
use super::fetched;
use super::hands::PartitionHands;
use super::takeover::{Failure, Taken, claim, take_over};
use crate::adapters::kafka::{
    Assignment, Command, Commands, Control, Event, Fetched as Raw, KafkaConfig, PartitionError, Producer, Release,
};
use crate::adapters::redis::Options;
use crate::engine::state::Settings;
use crate::fault;
use crate::metrics::Metrics;
use crate::pipeline::health::{Health, Readiness};
use crate::pipeline::partition::prepare::{Place, prepare};
use crate::pipeline::partition::run::{Keeping, Loop, Membership, Message};
use crate::pipeline::partition::waiters::Waiters;
use crate::pipeline::pipelines::{Pipeline, Pipelines};

/// Records fetched and not yet prepared, and their bytes. Beyond: the partition is paused, until half of them are done.
const FETCHED_MAX: usize = 8_192;
const FETCHED_BYTES_MAX: usize = 64 << 20;
/// Prepared batches waiting for the partition's writer.
const PREPARED_MAX: usize = 4;
/// Wait before a partition that failed is taken over again; doubled up to [`RETRY_MAX`] while it goes on failing.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(50);

/// What all partitions of the instance share.
pub struct Shared {
    pub config: KafkaConfig,
    pub redis: Options,
    pub settings: Settings,
    pub partitions: NonZeroU32,
    pub is_event_time: bool,
    pub checkpoint_every: Duration,
    pub checkpoint_debt_max: u64,
    pub instance: String,
    pub control: Arc<Control>,
    pub producer: Arc<Producer>,
    pub waiters: Arc<Waiters>,
    pub ours: Arc<Ours>,
    pub elsewhere: Arc<Elsewhere>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub pipelines: Arc<Pipelines>,
    /// Set right after the consumer has started.
    pub commands: OnceLock<Commands>,
    /// Told when the instance cannot go on.
    pub failed: Sender<anyhow::Error>,
}

impl Shared {
    pub(super) fn command(&self, command: Command) {
        if let Some(commands) = self.commands.get() {
            commands.send(command);
        }
    }

    /// Ready as soon as what the group gave us first is decided here; a partition that comes later starts beside the others.
    fn settled(&self) {
        if self.ours.is_settled() {
            self.health.step(Readiness::Starting, Readiness::Ready);
        }
    }
}

/// Which partitions are decided here, each by the assignment it came with: what an earlier one says has no effect.
#[derive(Default)]
pub struct Ours(Mutex<OursNow>);

#[derive(Default)]
struct OursNow {
    has_joined: bool,
    /// Whether it runs, and by which assignment.
    partitions: BTreeMap<i32, (Assignment, bool)>,
}

impl Ours {
    fn now(&self) -> MutexGuard<'_, OursNow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_running(&self, partition: i32) -> bool {
        self.now().partitions.get(&partition).is_some_and(|(_, is_running)| *is_running)
    }

    fn is_settled(&self) -> bool {
        let now = self.now();
        now.has_joined && now.partitions.values().all(|(_, is_running)| *is_running)
    }

    fn starts(&self, partition: i32, assignment: Assignment) {
        self.now().partitions.insert(partition, (assignment, false));
    }

    /// Sets whether it runs; `false` when it came by another assignment since, or is ours no more.
    fn runs(&self, partition: i32, assignment: Assignment, is_running: bool) -> bool {
        match self.now().partitions.get_mut(&partition) {
            Some((current, state)) if *current == assignment => {
                *state = is_running;
                true
            }
            _ => false,
        }
    }

    fn ends(&self, partition: i32) {
        self.now().partitions.remove(&partition);
    }
}

struct Running {
    assignment: Assignment,
    raw: Sender<Vec<Raw>>,
    fetched: Arc<Waterline>,
    hands: PartitionHands,
    end: Arc<End>,
}

/// How a running partition is told to end.
#[derive(Default)]
pub struct End {
    is_over: AtomicBool,
    is_lost: AtomicBool,
    release: Mutex<Option<Release>>,
}

impl End {
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Waits, unless the partition is taken away meanwhile.
    fn wait(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.is_over() && Instant::now() < until {
            thread::sleep(TICK);
        }
    }

    fn release(&self) -> MutexGuard<'_, Option<Release>> {
        self.release.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Waterline {
    records: AtomicUsize,
    bytes: AtomicUsize,
    is_paused: AtomicBool,
}

/// Takes the consumer's events, on its thread: nothing here waits.
pub struct Partitions {
    shared: Arc<Shared>,
    running: HashMap<i32, Running>,
}

impl Partitions {
    pub fn new(shared: Arc<Shared>) -> Partitions {
        Partitions { shared, running: HashMap::new() }
    }

    pub fn take(&mut self, event: Event) {
        match event {
            Event::Assigned { partition, .. } if partition.unsigned_abs() >= self.shared.partitions.get() => {
                let count = self.shared.partitions;
                let text = format!(
                    "quotes has more partitions than the {count} its log was made with: tenants have moved; name another log"
                );
                let _ = self.shared.failed.send(anyhow::anyhow!(text));
            }
            Event::Assigned { partition, assignment } => self.assigned(partition, assignment),
            Event::Joined => {
                self.shared.ours.now().has_joined = true;
                self.shared.settled();
            }
            Event::Records { partition, records } => self.records(partition, records),
            Event::Revoked { partition, release } => self.gone(partition, |end| *end.release() = Some(release)),
            Event::Lost(partition) => self.gone(partition, |end| end.is_lost.store(true, Ordering::Release)),
            Event::Held(partition) => {
                if let Some(running) = self.running.get(&partition) {
                    running.hands.held();
                }
            }
            Event::Ends(ends) => {
                for (partition, end) in ends {
                    self.shared.metrics.partition_end(partition.unsigned_abs(), end);
                }
            }
            Event::PartitionError { partition, error } => {
                // Its thread keeps what it has decided so far.
                let running = self.running.remove(&partition);
                match (error, running) {
                    (error @ PartitionError::OutOfRange { .. }, _) => {
                        let reason = format!("LOG_REGRESSION: {error}; restore the topic, or create a new log");
                        stopped(&self.shared, partition, &reason);
                    }
                    (PartitionError::Other(reason), Some(Running { assignment, .. })) => {
                        tracing::error!(partition, reason, "the partition is taken over again");
                        self.shared.command(Command::Restart { partition, assignment });
                    }
                    (PartitionError::Other(_), None) => {}
                }
            }
            Event::Fatal(reason) => {
                let _ = self.shared.failed.send(anyhow::anyhow!(reason));
            }
        }
    }

    fn assigned(&mut self, partition: i32, assignment: Assignment) {
        fault::point("assigned");
        let (raw, fetched_records) = channel();
        let hands = PartitionHands::new(self.shared.clone(), partition);
        let running = Running { assignment, raw, fetched: Arc::default(), hands: hands.clone(), end: Arc::default() };
        let (waterline, end) = (running.fetched.clone(), running.end.clone());
        // Under an order of before it is held from its first record on.
        let pipeline = self.shared.pipelines.add(hands.clone().pipeline());
        let actor = Partition { shared: self.shared.clone(), partition, assignment, waterline, end, hands, pipeline };
        self.shared.ours.starts(partition, assignment);
        self.shared.metrics.partition_up(partition.unsigned_abs(), false);
        self.running.insert(partition, running);
        let run = move || actor.run(fetched_records);
        if let Err(error) = thread::Builder::new().name(format!("partition-{partition}")).spawn(run) {
            let _ = self.shared.failed.send(error.into());
        }
    }

    /// Another instance's from now on, or nobody's.
    fn gone(&mut self, partition: i32, tell: impl FnOnce(&End)) {
        if let Some(running) = self.running.remove(&partition) {
            tell(&running.end);
            running.end.is_over.store(true, Ordering::Release);
        }
        self.shared.ours.ends(partition);
        self.shared.elsewhere.take_up(partition);
        self.shared.health.partition_well(partition.unsigned_abs());
        self.shared.health.partition_held(partition.unsigned_abs(), false);
        self.shared.pipelines.remove(&PartitionHands::name(partition));
        self.shared.metrics.partition_gone(partition.unsigned_abs());
        self.shared.settled();
    }

    fn records(&mut self, partition: i32, records: Vec<Raw>) {
        let Some(running) = self.running.get(&partition) else { return };
        running.hands.fetched(&records);
        if running.fetched.rise(&records) && !running.fetched.is_paused.swap(true, Ordering::AcqRel) {
            self.shared.command(Command::Pause(partition));
        }
        // A partition that has ended by an error has told why.
        let _ = running.raw.send(records);
    }
}

impl Waterline {
    /// Whether that is too much.
    fn rise(&self, records: &[Raw]) -> bool {
        let count = self.records.fetch_add(records.len(), Ordering::AcqRel) + records.len();
        let bytes = size_of_all(records);
        self.bytes.fetch_add(bytes, Ordering::AcqRel) + bytes > FETCHED_BYTES_MAX || count > FETCHED_MAX
    }

    /// Whether there is room enough to go on.
    fn fall(&self, count: usize, bytes: usize) -> bool {
        let left = self.records.fetch_sub(count, Ordering::AcqRel) - count;
        self.bytes.fetch_sub(bytes, Ordering::AcqRel) - bytes <= FETCHED_BYTES_MAX / 2 && left <= FETCHED_MAX / 2
    }
}

fn size_of_all(records: &[Raw]) -> usize {
    records.iter().map(|record| record.value.as_ref().map_or(0, |value| value.len())).sum()
}

/// The partition stands still until it is assigned anew; the others go on.
fn stopped(shared: &Shared, partition: i32, reason: &str) {
    tracing::error!(partition, reason, "the partition is stopped");
    shared.ours.ends(partition);
    shared.health.partition_stopped(partition.unsigned_abs(), reason.to_owned());
    if let Some(pipeline) = shared.pipelines.get(&PartitionHands::name(partition)) {
        pipeline.fails(Some(reason.to_owned()));
    }
    shared.metrics.partition_stopped(partition.unsigned_abs(), reason);
    shared.settled();
}

struct Partition {
    shared: Arc<Shared>,
    partition: i32,
    assignment: Assignment,
    waterline: Arc<Waterline>,
    end: Arc<End>,
    hands: PartitionHands,
    pipeline: Arc<Pipeline>,
}

/// The partition's place in the group, as its loop sees it.
struct Seat {
    shared: Arc<Shared>,
    partition: i32,
    end: Arc<End>,
    hands: PartitionHands,
}

impl Membership for Seat {
    fn is_over(&self) -> bool {
        self.end.is_over()
    }

    fn kept(&self, next_offset: u64) {
        self.hands.kept(next_offset);
        self.shared.command(Command::Commit { partition: self.partition, offset: next_offset });
    }
}

impl Partition {
    fn run(self, raw: Receiver<Vec<Raw>>) {
        let (shared, partition, assignment, end) = (self.shared.clone(), self.partition, self.assignment, self.end.clone());
        let ended = catch_unwind(AssertUnwindSafe(|| self.decide(raw))).unwrap_or_else(|panic| Err(panicked(&*panic)));
        match ended {
            Ok(()) => {}
            Err(_) if end.is_over() => {}
            Err(Failure::Lasting(reason)) => {
                if shared.ours.runs(partition, assignment, false) {
                    stopped(&shared, partition, &reason);
                }
            }
            Err(Failure::Passing(reason)) => match shared.producer.failure() {
                // Its records are lost for this process; a new one goes on from the checkpoint.
                Some(fatal) => drop(shared.failed.send(anyhow::anyhow!("kafka: the producer has failed: {fatal}"))),
                None => {
                    tracing::error!(partition, reason, "the partition is taken over again");
                    if shared.ours.runs(partition, assignment, false) {
                        shared.metrics.partition_up(partition.unsigned_abs(), false);
                    }
                    end.wait(RETRY_MIN);
                    shared.command(Command::Restart { partition, assignment });
                }
            },
        }
    }

    fn decide(self, raw: Receiver<Vec<Raw>>) -> Result<(), Failure> {
        let (shared, partition, assignment, end) = (self.shared.clone(), self.partition, self.assignment, self.end.clone());
        let Some(Taken { owner, saver, start, needs_whole }) = self.take_over()? else { return Ok(()) };
        // Taken away meanwhile: what follows is the next assignment's.
        if !shared.ours.runs(partition, assignment, true) {
            return Ok(());
        }
        shared.command(Command::Start { partition, assignment, at: start });
        shared.health.partition_well(partition.unsigned_abs());
        shared.metrics.partition_up(partition.unsigned_abs(), true);
        shared.settled();
        self.pipeline.fails(None);
        tracing::info!(partition, ?start, live = owner.state().live_attempts(), "the partition is taken over");
        let (messages, received) = sync_channel(PREPARED_MAX);
        let hands = self.hands.clone();
        let prepare = thread::Builder::new().name(format!("prepare-{partition}"));
        prepare.spawn(move || self.prepare(&raw, &messages)).map_err(|error| Failure::Passing(error.to_string()))?;
        let keeping = Keeping { interval: shared.checkpoint_every, debt_max: shared.checkpoint_debt_max, needs_whole };
        Ok(Loop::new(owner, saver, keeping, Box::new(Seat { shared, partition, end, hands })).run(&received)?)
    }

    /// Tries until it succeeds, or the partition is taken away: `None`.
    fn take_over(&self) -> Result<Option<Taken>, Failure> {
        let (mut last, mut wait) = (String::new(), RETRY_MIN);
        // One claim for an assignment, however often it is tried.
        let mut epoch = None;
        loop {
            let claimed = epoch.map_or_else(|| claim(&self.shared, self.partition), Ok);
            match claimed.and_then(|claimed| take_over(&self.shared, self.partition, *epoch.insert(claimed))) {
                Ok(taken) => return Ok(Some(taken)),
                Err(_) if self.end.is_over() => return Ok(None),
                Err(Failure::Passing(reason)) => {
                    if reason != last {
                        tracing::warn!(partition = self.partition, reason, "the partition cannot be taken over yet");
                        last = reason;
                    }
                    self.end.wait(wait);
                    wait = (wait * 2).min(RETRY_MAX);
                }
                Err(lasting @ Failure::Lasting(_)) => return Err(lasting),
            }
        }
    }

    /// Prepares in order, and passes on what ends the partition.
    fn prepare(&self, raw: &Receiver<Vec<Raw>>, messages: &SyncSender<Message>) {
        let place = Place {
            partition: self.partition.unsigned_abs(),
            partitions: self.shared.partitions,
            is_event_time: self.shared.is_event_time,
        };
        for records in raw {
            // What is not done is the next owner's.
            if self.end.is_over() {
                break;
            }
            let (count, bytes) = (records.len(), size_of_all(&records));
            let ready = records.into_iter().map(|record| prepare(fetched(record), place)).collect();
            if messages.send(Message::Records(ready)).is_err() {
                return;
            }
            self.pipeline.took(count);
            if self.waterline.fall(count, bytes) && self.waterline.is_paused.swap(false, Ordering::AcqRel) {
                self.shared.command(Command::Resume(self.partition));
            }
        }
        let release = self.end.release().take();
        let last = match release {
            _ if self.end.is_lost.load(Ordering::Acquire) => Message::Lost,
            Some(release) => Message::Stop(Box::new(release)),
            None => Message::Stop(Box::new(())),
        };
        let _ = messages.send(last);
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let said = panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    Failure::Lasting(format!("a defect: {}; please report it", said.unwrap_or_default()))
}
