//! What all instances decide, as it appears on `decisions`: answers for those who wait for another instance, and a bounded copy of
//! the newest decisions for `GET /v1/decisions`. What they refuse is read from the dead letters.

mod cache;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

pub use cache::{PublishedDecision, Told};

use super::client::RawRecord;
use super::error::KafkaError;
use super::read::{From, Item, Reader};
use super::settings::{KafkaConfig, Topic};
use crate::contract::kafka as headers;
use crate::pipeline::{Decisions, Reading};
use cache::Cache;

/// Read at the start, over all partitions, so that the copy is not empty.
const WARM_UP: u64 = 20_000;
const TICK: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);

struct Shared {
    cache: Mutex<Cache>,
    stop: AtomicBool,
}

impl Shared {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows all partitions of `decisions` and of the dead letters, each topic on a thread of its own.
pub struct DecisionsTail {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl DecisionsTail {
    /// # Errors
    /// No brokers or no topic.
    pub fn start(config: &KafkaConfig) -> Result<DecisionsTail, KafkaError> {
        let shared = Arc::new(Shared { cache: Mutex::new(Cache::default()), stop: AtomicBool::new(false) });
        let mut tail = DecisionsTail { shared, threads: Vec::new() };
        for (topic, warm_up, take) in
            [(Topic::Decisions, WARM_UP, take_decision as fn(&RawRecord<'_>, &Shared)), (Topic::DeadLetters, 0, take_dead_letter)]
        {
            let mut follower = Follower::start(config, topic, warm_up, take)?;
            let shared = tail.shared.clone();
            let thread = thread::Builder::new().name(format!("kafka-{topic:?}").to_lowercase());
            let thread = thread.spawn(move || follower.follow(&shared));
            let thread = thread.map_err(|error| KafkaError::Unavailable(format!("starting a thread: {error}")))?;
            tail.threads.push(thread);
        }
        Ok(tail)
    }

    /// What answers the record at `offset` of a partition of `quotes`, whoever decides it. It may have come already. The
    /// receiver gets an error when too many wait, or the tail has ended; dropping it is enough to wait no longer.
    pub fn answer(&self, partition: i32, offset: u64) -> oneshot::Receiver<Told> {
        self.shared.cache().answer(partition, offset)
    }
}

impl Decisions for DecisionsTail {
    fn newest(&self, tenant: &str, quote_id: &str) -> Reading<Option<Vec<u8>>> {
        let found = self.shared.cache().newest(tenant, quote_id).map(|published| published.value.to_vec());
        Box::pin(std::future::ready(Ok(found)))
    }
}

impl Drop for DecisionsTail {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that follows decisions has panicked");
            }
        }
    }
}

/// Reads all partitions of a topic on and on.
struct Follower {
    config: KafkaConfig,
    topic: Topic,
    reader: Reader,
    /// By partition.
    next: Vec<u64>,
    take: fn(&RawRecord<'_>, &Shared),
}

impl Follower {
    fn start(
        config: &KafkaConfig,
        topic: Topic,
        warm_up: u64,
        take: fn(&RawRecord<'_>, &Shared),
    ) -> Result<Follower, KafkaError> {
        let reader = Reader::open(config, topic)?;
        let partitions = i32::try_from(reader.partitions()?).unwrap_or(i32::MAX);
        let from = match warm_up / u64::from(partitions.unsigned_abs().max(1)) {
            0 => From::End,
            each => From::Last(each),
        };
        let starts: Vec<(i32, From)> = (0..partitions).map(|partition| (partition, from)).collect();
        let next = reader.begin(&starts)?;
        Ok(Follower { config: config.clone(), topic, reader, next, take })
    }

    /// Until it is told to stop; whatever happens, it goes on from where it stood, or from the end where that is gone.
    fn follow(&mut self, shared: &Shared) {
        while !shared.stop.load(Ordering::Relaxed) {
            let Err(error) = self.read_on(shared) else { return };
            tracing::warn!(%error, "decisions cannot be read now");
            thread::sleep(RETRY);
            if let Err(error) = self.restart() {
                tracing::warn!(%error, "decisions cannot be read now");
            }
        }
    }

    fn read_on(&mut self, shared: &Shared) -> Result<(), KafkaError> {
        while !shared.stop.load(Ordering::Relaxed) {
            if let Some(Item::Record(record)) = self.reader.next(TICK)? {
                let next = usize::try_from(record.partition()).ok().and_then(|partition| self.next.get_mut(partition));
                if let Some(next) = next {
                    *next = record.offset() + 1;
                }
                (self.take)(&record, shared);
            }
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<(), KafkaError> {
        let reader = Reader::open(&self.config, self.topic)?;
        let mut starts = Vec::with_capacity(self.next.len());
        for (partition, next) in (0..).zip(&self.next) {
            let (low, high) = reader.range(partition)?;
            starts.push((partition, if (low..=high).contains(next) { From::Offset(*next) } else { From::End }));
        }
        self.next = reader.begin(&starts)?;
        self.reader = reader;
        Ok(())
    }
}

fn take_decision(record: &RawRecord<'_>, shared: &Shared) {
    match PublishedDecision::read(record.partition(), |name| record.header(name), record.value()) {
        Some(published) => shared.cache().take(Arc::new(published)),
        None => tracing::warn!(partition = record.partition(), offset = record.offset(), "not a decision of ours"),
    }
}

fn take_dead_letter(record: &RawRecord<'_>, shared: &Shared) {
    let text = |name: &str| std::str::from_utf8(record.header(name)?).ok();
    let place = text(headers::SOURCE_PARTITION)
        .and_then(|text| text.parse().ok())
        .zip(text(headers::SOURCE_OFFSET).and_then(|text| text.parse().ok()));
    // Others write dead letters, too; and only refusals that a submitter can be told carry a value.
    if let (Some((partition, offset)), Some(reason), Some(value)) = (place, text(headers::REASON), text(headers::REASON_VALUE)) {
        shared.cache().refuse(partition, offset, reason, value);
    }
}
