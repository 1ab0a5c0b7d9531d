//! The partitions of this instance: each is set up when it is assigned, runs on threads of its own, and is given back with a last
//! checkpoint.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use super::emit::KafkaEmit;
use crate::adapters::kafka::{
    Command, Commands, Control, Event, Fetched as Raw, From, KafkaConfig, KafkaError, Producer, Release, StartAt, Topic, read,
};
use crate::adapters::redis::{Options, RedisCheckpoints};
use crate::contract::kafka::{CAUSE_OFFSET, STEP_INDEX};
use crate::contract::rule_file::from_canonical;
use crate::engine::rules::RuleBook;
use crate::engine::state::Settings;
use crate::metrics::Metrics;
use crate::pipeline::StoreError;
use crate::pipeline::checkpoint::Manifest;
use crate::pipeline::health::{Health, Readiness};
use crate::pipeline::partition::frontier::Frontier;
use crate::pipeline::partition::load::load;
use crate::pipeline::partition::owner::{Control as Controls, ControlError, Owner};
use crate::pipeline::partition::prepare::{Fetched, Place, prepare};
use crate::pipeline::partition::run::{Loop, Message};
use crate::pipeline::partition::saver::Saver;
use crate::pipeline::partition::waiters::Waiters;

/// Records fetched and not yet prepared. Beyond: the partition is paused, until half of them are done.
const FETCHED_MAX: usize = 8_192;
/// Prepared batches waiting for the partition's writer.
const PREPARED_MAX: usize = 4;
/// Wait before a store or a broker that is away is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// What all partitions of the instance share.
pub struct Shared {
    pub config: KafkaConfig,
    pub redis: Options,
    pub settings: Settings,
    pub partitions: u32,
    pub is_event_time: bool,
    pub checkpoint_every: Duration,
    pub instance: String,
    pub control: Arc<Control>,
    pub producer: Arc<Producer>,
    pub waiters: Arc<Waiters>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    /// Set right after the consumer has started.
    pub commands: OnceLock<Commands>,
    /// Told when a partition stops by an error.
    pub failed: Sender<anyhow::Error>,
}

/// Rule books as the control topic has them.
pub struct TopicControl(pub Arc<Control>);

impl Controls for TopicControl {
    fn book_up_to(&self, offset: u64, wait: Duration) -> Result<Option<RuleBook>, ControlError> {
        match self.0.wait_for(offset, wait) {
            Ok(true) => {}
            _ if self.0.next_offset() <= offset => return Err(ControlError::Impossible),
            _ => return Err(ControlError::NotYet),
        }
        Ok(self.0.books_up_to(offset).last().and_then(|book| from_canonical(&book.source).ok()))
    }
}

struct Running {
    raw: Sender<Vec<Raw>>,
    fetched: Arc<Waterline>,
    end: Arc<End>,
}

/// How a running partition is told to end.
#[derive(Default)]
struct End {
    is_over: AtomicBool,
    is_lost: AtomicBool,
    release: std::sync::Mutex<Option<Release>>,
}

#[derive(Default)]
struct Waterline {
    records: AtomicUsize,
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
            Event::Assigned(partition) => self.assigned(partition),
            Event::Records { partition, records } => self.records(partition, records),
            Event::Revoked { partition, release } => {
                if let Some(running) = self.running.remove(&partition) {
                    *running.end.release.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(release);
                    running.end.is_over.store(true, Ordering::Release);
                }
            }
            Event::Lost(partition) => {
                if let Some(running) = self.running.remove(&partition) {
                    running.end.is_lost.store(true, Ordering::Release);
                    running.end.is_over.store(true, Ordering::Release);
                }
            }
            Event::PartitionError { partition, error } => {
                self.running.remove(&partition);
                let _ = self.shared.failed.send(anyhow::anyhow!("LOG_REGRESSION: partition {partition}: {error}"));
            }
            Event::Fatal(reason) => {
                let _ = self.shared.failed.send(anyhow::anyhow!(reason));
            }
        }
    }

    fn assigned(&mut self, partition: i32) {
        let (raw, fetched_records) = channel();
        let running = Running { raw, fetched: Arc::default(), end: Arc::default() };
        let (shared, waterline, end) = (self.shared.clone(), running.fetched.clone(), running.end.clone());
        self.running.insert(partition, running);
        let run = move || {
            let failed = shared.failed.clone();
            if let Err(error) = (Partition { shared, partition, waterline, end }).run(fetched_records) {
                let _ = failed.send(error.context(format!("partition {partition}")));
            }
        };
        if let Err(error) = thread::Builder::new().name(format!("partition-{partition}")).spawn(run) {
            let _ = self.shared.failed.send(error.into());
        }
    }

    fn records(&mut self, partition: i32, records: Vec<Raw>) {
        let Some(running) = self.running.get(&partition) else { return };
        let before = running.fetched.records.fetch_add(records.len(), Ordering::AcqRel);
        if before + records.len() > FETCHED_MAX && !running.fetched.is_paused.swap(true, Ordering::AcqRel) {
            self.shared.command(Command::Pause(partition));
        }
        // A partition that has ended by an error has told why.
        let _ = running.raw.send(records);
    }
}

impl Shared {
    fn command(&self, command: Command) {
        if let Some(commands) = self.commands.get() {
            commands.send(command);
        }
    }
}

struct Partition {
    shared: Arc<Shared>,
    partition: i32,
    waterline: Arc<Waterline>,
    end: Arc<End>,
}

impl Partition {
    fn run(self, raw: Receiver<Vec<Raw>>) -> anyhow::Result<()> {
        let shared = self.shared.clone();
        let Some((owner, saver, start)) = self.set_up()? else { return Ok(()) };
        shared.command(Command::Start { partition: self.partition, at: start });
        shared.health.set(Readiness::Ready);
        tracing::info!(partition = self.partition, ?start, live = owner.state().live_attempts(), "the partition is taken over");
        let (messages, received) = sync_channel(PREPARED_MAX);
        let name = format!("prepare-{}", self.partition);
        thread::Builder::new().name(name).spawn(move || self.prepare(&raw, &messages))?;
        Ok(Loop::new(owner, saver, shared.checkpoint_every).run(&received)?)
    }

    fn is_over(&self) -> bool {
        self.end.is_over.load(Ordering::Acquire)
    }

    /// Prepares in order, and passes on what ends the partition.
    fn prepare(&self, raw: &Receiver<Vec<Raw>>, messages: &SyncSender<Message>) {
        let place = Place {
            partition: self.partition.unsigned_abs(),
            partitions: NonZeroU32::new(self.shared.partitions).unwrap_or(NonZeroU32::MIN),
            is_event_time: self.shared.is_event_time,
        };
        for records in raw {
            // What is not done is the next owner's.
            if self.is_over() {
                break;
            }
            let count = records.len();
            let ready = records.into_iter().map(|record| prepare(fetched(record), place)).collect();
            if messages.send(Message::Records(ready)).is_err() {
                return;
            }
            let left = self.waterline.records.fetch_sub(count, Ordering::AcqRel) - count;
            if left <= FETCHED_MAX / 2 && self.waterline.is_paused.swap(false, Ordering::AcqRel) {
                self.shared.command(Command::Resume(self.partition));
            }
        }
        let release = self.end.release.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let last = match release {
            _ if self.end.is_lost.load(Ordering::Acquire) => Message::Lost,
            Some(release) => Message::Stop(Box::new(release)),
            None => Message::Stop(Box::new(())),
        };
        let _ = messages.send(last);
    }

    /// Claims the partition and brings its state back; `None` when it was taken away meanwhile.
    fn set_up(&self) -> anyhow::Result<Option<(Owner<KafkaEmit>, Saver, StartAt)>> {
        loop {
            match self.try_set_up() {
                Ok(ready) => return Ok(Some(ready)),
                Err(_) if self.is_over() => return Ok(None),
                Err(SetUpError::Passing(reason)) => {
                    tracing::warn!(partition = self.partition, reason, "the partition cannot be taken over yet");
                    thread::sleep(RETRY);
                }
                Err(SetUpError::Lasting(error)) => return Err(error),
            }
        }
    }

    fn try_set_up(&self) -> Result<(Owner<KafkaEmit>, Saver, StartAt), SetUpError> {
        let shared = &self.shared;
        let partition = self.partition.unsigned_abs();
        let epoch = shared.control.publish_claim(self.partition, &shared.instance)?;
        let settings = Settings { partition, ..shared.settings.clone() };
        let mut store = RedisCheckpoints::new(&shared.redis, &settings.log_id, partition)?;
        let books = shared.control.books_up_to(u64::MAX);
        let book = |wanted: &crate::engine::decision::RuleBookRef| {
            let hash = format!("{:016x}", wanted.hash);
            books.iter().find(|book| book.hash == hash).and_then(|book| from_canonical(&book.source).ok())
        };
        let loaded = load(&mut store, &settings, shared.partitions, epoch, book)?;
        self.check_log(&loaded.manifest)?;
        let (frontier, end) = self.frontier(&loaded.manifest)?;
        let base = loaded.base;
        // A pointer that its publisher did not come to write.
        if let Some(last) =
            shared.control.last_book().filter(|last| loaded.manifest.control_applied.is_none_or(|at| at < last.offset))
        {
            shared.control.publish_pointer(self.partition, last.offset)?;
        }
        let emit = KafkaEmit::new(shared.producer.clone(), self.partition, end);
        let start = base.map_or(StartAt::Beginning, StartAt::Offset);
        let saver = Saver::start(Box::new(store), base, partition, shared.metrics.clone())
            .map_err(|error| SetUpError::Lasting(error.into()))?;
        let control = Arc::new(TopicControl(shared.control.clone()));
        let owner = Owner::new(loaded, emit, frontier, control, shared.waiters.clone(), shared.metrics.clone());
        Ok((owner, saver, start))
    }

    /// The record before the checkpoint's position must be the one that was read: else the log was cut, or is another one.
    fn check_log(&self, manifest: &Manifest) -> Result<(), SetUpError> {
        let Some(last) = manifest.last else { return Ok(()) };
        let mut found = None;
        let end = read(&self.shared.config, Topic::Quotes, self.partition, From::Offset(last.offset), &mut |record| {
            found = Some(Fetched {
                offset: record.offset(),
                arrival: record.append_time_ms() * 1_000,
                key: record.key().map(Into::into),
                value: record.value().map(Into::into),
                ..Fetched::default()
            });
            ControlFlow::Break(())
        });
        let regression = |what: String| {
            let text = format!("LOG_REGRESSION: {what}; restore the topic, or delete the checkpoint to decide the log again");
            Err(SetUpError::Lasting(anyhow::anyhow!(text)))
        };
        match end {
            // Retention has passed it by: what follows is still there.
            Err(KafkaError::OutOfRange { low, .. }) if low > last.offset && low <= manifest.next_offset => Ok(()),
            Err(KafkaError::OutOfRange { low, high, .. }) => {
                regression(format!("the log holds offsets {low} to {high}, the checkpoint ends at {}", manifest.next_offset))
            }
            Err(error) => Err(error.into()),
            Ok(_) => match found.map(|found| found.last_record()) {
                Some(found) if found == last => Ok(()),
                _ => regression(format!("the record at offset {} is not the one that was read", last.offset)),
            },
        }
    }

    /// What `decisions` holds from the checkpoint on.
    fn frontier(&self, manifest: &Manifest) -> Result<(Frontier, u64), SetUpError> {
        let mut frontier = Frontier::default();
        let from = if manifest.emitted_to == 0 { From::Beginning } else { From::Offset(manifest.emitted_to) };
        let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
        let end = read(&self.shared.config, Topic::Decisions, self.partition, from, &mut |record| {
            let place = record.header(CAUSE_OFFSET).and_then(number).zip(record.header(STEP_INDEX).and_then(number));
            if let Some((cause, index)) = place.filter(|(cause, _)| *cause >= manifest.next_offset) {
                frontier.take((cause, index as u32), record.value().unwrap_or_default());
            }
            ControlFlow::Continue(())
        });
        match end {
            Ok(end) => Ok((frontier, end.next)),
            // Retention has passed it by.
            Err(KafkaError::OutOfRange { low, wanted, .. }) if low > wanted => {
                tracing::warn!(partition = self.partition, low, wanted, "older decisions are gone from the topic");
                let manifest = Manifest { emitted_to: low, ..manifest.clone() };
                self.frontier(&manifest)
            }
            Err(error) => Err(error.into()),
        }
    }
}

enum SetUpError {
    Passing(String),
    Lasting(anyhow::Error),
}

impl std::convert::From<KafkaError> for SetUpError {
    fn from(error: KafkaError) -> SetUpError {
        match error {
            KafkaError::Unavailable(reason) => SetUpError::Passing(reason),
            error => SetUpError::Lasting(error.into()),
        }
    }
}

impl std::convert::From<StoreError> for SetUpError {
    fn from(error: StoreError) -> SetUpError {
        match error {
            StoreError::Unavailable(reason) => SetUpError::Passing(reason),
            error => SetUpError::Lasting(error.into()),
        }
    }
}

fn fetched(raw: Raw) -> Fetched {
    let Raw { offset, append_time_ms, key, value, token, is_pointer, .. } = raw;
    Fetched { offset, arrival: append_time_ms * 1_000, key, value, token, is_pointer }
}
