//! Taking a partition over: claim it, bring its state back from the checkpoint, hold the log against it, and find out what was
//! emitted since.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::emit::KafkaEmit;
use super::partitions::Shared;
use super::{book_by_hash, compiled, ruling, ruling_at};
use crate::adapters::kafka::{Control, ControlRuling, From, KafkaConfig, KafkaError, Reader, StartAt, Topic, read};
use crate::adapters::redis::{self, RedisCheckpoints};
use crate::contract::kafka::{CAUSE_OFFSET, EPOCH, STEP_INDEX};
use crate::engine::decision::RuleBookRef;
use crate::engine::state::Settings;
use crate::fault;
use crate::pipeline::StoreError;
use crate::pipeline::checkpoint::{CheckpointError, Checkpoints, Manifest};
use crate::pipeline::partition::frontier::Frontier;
use crate::pipeline::partition::load::{Find, Loaded, load};
use crate::pipeline::partition::owner::{Brought, Control as Controls, ControlError, Owner};
use crate::pipeline::partition::prepare::Fetched;
use crate::pipeline::partition::run::PartitionError;
use crate::pipeline::partition::saver::Saver;
use crate::pipeline::partitioner::partition_of;
use crate::pipeline::writer::WriterError;

/// A horizon before every segment.
const NOTHING_EXPIRES: i64 = i64::MIN;

/// A partition ready to be decided.
pub struct Taken {
    pub owner: Owner<KafkaEmit>,
    pub saver: Saver,
    pub start: StartAt,
    /// The stored checkpoint is of no use.
    pub needs_whole: bool,
}

/// Why a partition is not decided here now.
pub enum Failure {
    /// It helps to take it over again.
    Passing(String),
    /// It does not; the text says what does.
    Lasting(String),
}

impl std::convert::From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Failure {
        match error {
            KafkaError::Unavailable(reason) => Failure::Passing(reason),
            error => Failure::Lasting(error.to_string()),
        }
    }
}

impl std::convert::From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match error {
            StoreError::Unavailable(reason) => Failure::Passing(reason),
            error => Failure::Lasting(error.to_string()),
        }
    }
}

impl std::convert::From<PartitionError> for Failure {
    fn from(error: PartitionError) -> Failure {
        match error {
            PartitionError::Step(WriterError::Store(error)) | PartitionError::Checkpoint(CheckpointError::Store(error)) => {
                error.into()
            }
            // If the group still says that it is ours, our next claim is the higher one.
            PartitionError::Checkpoint(error @ (CheckpointError::Fenced { .. } | CheckpointError::Rewound { .. })) => {
                Failure::Passing(error.to_string())
            }
            error @ PartitionError::Deserted => Failure::Lasting(format!("a defect: {error}; its panic is in the log")),
            PartitionError::Step(error @ WriterError::Diverged { .. }) => Failure::Lasting(error.to_string()),
        }
    }
}

/// The log and its topics were there when the service started: whatever Kafka says now may be otherwise in a while.
fn passing(error: KafkaError) -> Failure {
    Failure::Passing(error.to_string())
}

/// Rule books as the control topic has them.
struct TopicControl {
    control: Arc<Control>,
    config: KafkaConfig,
}

impl Controls for TopicControl {
    fn up_to(&self, applied: Option<u64>, offset: u64, wait: Duration) -> Result<Brought, ControlError> {
        if self.control.next_offset() <= offset {
            // The topic itself says what it lacks: we may only be slow to read it.
            let end = Reader::open(&self.config, Topic::Control).and_then(|reader| reader.range(0));
            let (_, end) = end.map_err(|_| ControlError::NotYet)?;
            if end <= offset {
                return Err(ControlError::Impossible);
            }
            if !matches!(self.control.wait_for(offset, wait), Ok(true)) {
                return Err(ControlError::NotYet);
            }
        }
        let book = self.control.book_up_to(offset).as_ref().map(compiled).transpose()?;
        let rulings = self.control.rulings_between(applied, offset);
        Ok(Brought { book, rulings: rulings.iter().map(ruling).collect::<Result<_, _>>()? })
    }
}

/// Claims the partition: its epoch.
pub fn claim(shared: &Shared, partition: i32) -> Result<u64, Failure> {
    shared.control.publish_claim(partition, &shared.instance).map_err(passing)
}

pub fn take_over(shared: &Shared, partition: i32, epoch: u64) -> Result<Taken, Failure> {
    fault::point("claimed");
    let number = partition.unsigned_abs();
    // Asked each time: it may have been set otherwise, or be another server by now.
    redis::check(&shared.redis)?;
    let settings = Settings { partition: number, ..shared.settings.clone() };
    let mut store = RedisCheckpoints::new(&shared.redis, &settings.log_id, number)?;
    let find = Find {
        book: |wanted: &RuleBookRef| book_by_hash(&shared.control, wanted.hash),
        ruling: |record: u64| ruling_at(&shared.control, record),
    };
    let (mut loaded, needs_whole) = match load(&mut store, &settings, shared.partitions.get(), epoch, find) {
        Ok(loaded) => (loaded, false),
        Err(error @ StoreError::Damaged(_)) => {
            tracing::error!(partition, %error, "the checkpoint is of no use: the log is decided again from its beginning");
            shared.metrics.checkpoint("redis", Err(&error.into()));
            (Loaded::fresh(&settings, shared.partitions.get(), epoch), true)
        }
        Err(error) => return Err(error.into()),
    };
    let of_long_ago = shared.control.clone();
    loaded.books.found_by(Arc::new(move |hash| book_by_hash(&of_long_ago, hash).map(Arc::new)));
    fault::point("loaded");
    // From here on the owner of before saves nothing more: of its emissions some may come after ours, and a checkpoint that says where
    // they end would leave ours out.
    if let Some(base) = loaded.base {
        store.append(Some(base), &[], NOTHING_EXPIRES, &loaded.manifest).map_err(PartitionError::Checkpoint)?;
    }
    check_log(shared, partition, &loaded.manifest)?;
    let (frontier, decisions_end) = frontier(shared, partition, &loaded.manifest)?;
    let base = loaded.base;
    publish_missing_pointer(shared, partition, &loaded.manifest)?;
    let is_beginning_gone = base.is_none() && low_end(shared, partition).map_err(passing)? > 0;
    let emit = KafkaEmit::new(shared.producer.clone(), partition, decisions_end);
    let saver = Saver::start(Box::new(store), base, number, shared.metrics.clone());
    let saver = saver.map_err(|error| Failure::Passing(error.to_string()))?;
    let control = Arc::new(TopicControl { control: shared.control.clone(), config: shared.config.clone() });
    let mut owner = Owner::new(loaded, emit, frontier, control, shared.waiters.clone(), shared.metrics.clone());
    if is_beginning_gone {
        tracing::warn!(partition, "the log begins later than its first record: it warms up for one window");
        owner = owner.without_beginning();
    }
    Ok(Taken { owner, saver, start: base.map_or(StartAt::Beginning, StartAt::Offset), needs_whole })
}

/// One that its publisher did not come to write.
fn publish_missing_pointer(shared: &Shared, partition: i32, manifest: &Manifest) -> Result<(), Failure> {
    let book = shared.control.last_book().map(|book| book.offset);
    let ruled = shared.control.rulings_between(manifest.control_applied, u64::MAX);
    let is_ours = |record: &&ControlRuling| {
        ruling(record).is_ok_and(|ruling| partition_of(ruling.tenant.as_bytes(), shared.partitions) == partition.unsigned_abs())
    };
    let last = book.max(ruled.iter().rev().find(is_ours).map(|record| record.offset));
    if let Some(last) = last.filter(|last| manifest.control_applied.is_none_or(|at| at < *last)) {
        shared.control.publish_pointer(partition, last).map_err(passing)?;
    }
    Ok(())
}

fn low_end(shared: &Shared, partition: i32) -> Result<u64, KafkaError> {
    read(&shared.config, Topic::Quotes, partition, From::End, &mut |_| ControlFlow::Break(())).map(|end| end.low)
}

/// The record before the checkpoint's position must be the one that was read: else the log was cut, or is another one.
fn check_log(shared: &Shared, partition: i32, manifest: &Manifest) -> Result<(), Failure> {
    let Some(last) = manifest.last else { return Ok(()) };
    let mut found = None;
    let end = read(&shared.config, Topic::Quotes, partition, From::Offset(last.offset), &mut |record| {
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
        Err(Failure::Lasting(format!(
            "LOG_REGRESSION: {what}; restore the topic, or delete the checkpoint to decide the log again"
        )))
    };
    match end {
        // Retention has passed it by: what follows is still there.
        Err(KafkaError::OutOfRange { low, .. }) if low > last.offset && low <= manifest.next_offset => Ok(()),
        Err(KafkaError::OutOfRange { low, high, .. }) => {
            regression(format!("the log holds offsets {low} to {high}, the checkpoint ends at {}", manifest.next_offset))
        }
        Err(error) => Err(passing(error)),
        Ok(_) => match found.map(|found| found.last_record()) {
            Some(found) if found == last => Ok(()),
            _ => regression(format!("the record at offset {} is not the one that was read", last.offset)),
        },
    }
}

/// What `decisions` holds from the checkpoint on, and where it ends.
fn frontier(shared: &Shared, partition: i32, manifest: &Manifest) -> Result<(Frontier, u64), Failure> {
    let mut frontier = Frontier::since(manifest.emitted_epoch);
    let from = if manifest.emitted_to == 0 { From::Beginning } else { From::Offset(manifest.emitted_to) };
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
    let end = read(&shared.config, Topic::Decisions, partition, from, &mut |record| {
        let place = record.header(CAUSE_OFFSET).and_then(number).zip(record.header(STEP_INDEX).and_then(number));
        if let Some((cause, index)) = place.filter(|(cause, _)| *cause >= manifest.next_offset) {
            frontier.take(record.header(EPOCH).and_then(number), (cause, index as u32), record.value().unwrap_or_default());
        }
        ControlFlow::Continue(())
    });
    match end {
        Ok(end) => Ok((frontier, end.next)),
        // Retention has passed it by.
        Err(KafkaError::OutOfRange { low, wanted, .. }) if low > wanted => {
            tracing::warn!(partition, low, wanted, "older decisions are gone from the topic");
            self::frontier(shared, partition, &Manifest { emitted_to: low, ..manifest.clone() })
        }
        Err(error @ KafkaError::OutOfRange { .. }) => Err(Failure::Lasting(format!("LOG_REGRESSION: {error}"))),
        Err(error) => Err(passing(error)),
    }
}
