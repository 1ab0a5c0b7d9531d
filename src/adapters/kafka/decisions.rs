//! What all instances decide, as it appears on `decisions`: answers for those who wait for another instance, and a bounded copy of
//! the newest decisions for `GET /v1/decisions`.

mod cache;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

pub use cache::Published;

use super::client::RawRecord;
use super::error::KafkaError;
use super::read::{From, Item, Reader};
use super::settings::{KafkaConfig, Topic};
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

/// Follows all partitions of `decisions` on a thread of its own.
pub struct DecisionsTail {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl DecisionsTail {
    /// # Errors
    /// No brokers or no topic.
    pub fn start(config: &KafkaConfig) -> Result<DecisionsTail, KafkaError> {
        let reader = Reader::open(config, Topic::Decisions)?;
        let partitions = i32::try_from(reader.partitions()?).unwrap_or(i32::MAX);
        let each = (WARM_UP / u64::from(partitions.unsigned_abs().max(1))).max(1);
        let starts: Vec<(i32, From)> = (0..partitions).map(|partition| (partition, From::Last(each))).collect();
        let mut next = reader.begin(&starts)?;
        let shared = Arc::new(Shared { cache: Mutex::new(Cache::default()), stop: AtomicBool::new(false) });
        let (following, config) = (shared.clone(), config.clone());
        let run = move || follow(reader, &config, &mut next, &following);
        let thread = thread::Builder::new().name("kafka-decisions".to_owned()).spawn(run);
        let thread = thread.map_err(|error| KafkaError::Unavailable(format!("starting the decisions thread: {error}")))?;
        Ok(DecisionsTail { shared, thread: Some(thread) })
    }

    /// The decision that answers the record at `offset` of a partition of `quotes`, whoever makes it. It may have come already. The
    /// receiver gets an error when too many wait, or the tail has ended; dropping it is enough to wait no longer.
    pub fn answer(&self, partition: i32, offset: u64) -> oneshot::Receiver<Arc<Published>> {
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
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the decisions thread has panicked");
        }
    }
}

/// Reads on until it is told to stop; whatever happens, it goes on from where it stood, or from the end where that is gone.
fn follow(mut reader: Reader, config: &KafkaConfig, next: &mut [u64], shared: &Shared) {
    while !shared.stop.load(Ordering::Relaxed) {
        let Err(error) = follow_once(&reader, next, shared) else { return };
        tracing::warn!(%error, "decisions cannot be read now");
        thread::sleep(RETRY);
        match restart(config, next) {
            Ok(restarted) => reader = restarted,
            Err(error) => tracing::warn!(%error, "decisions cannot be read now"),
        }
    }
}

fn follow_once(reader: &Reader, next: &mut [u64], shared: &Shared) -> Result<(), KafkaError> {
    while !shared.stop.load(Ordering::Relaxed) {
        if let Some(Item::Record(record)) = reader.next(TICK)? {
            if let Some(next) = usize::try_from(record.partition()).ok().and_then(|partition| next.get_mut(partition)) {
                *next = record.offset() + 1;
            }
            take(&record, shared);
        }
    }
    Ok(())
}

fn restart(config: &KafkaConfig, next: &mut [u64]) -> Result<Reader, KafkaError> {
    let reader = Reader::open(config, Topic::Decisions)?;
    let mut starts = Vec::with_capacity(next.len());
    for (partition, next) in (0..).zip(next.iter()) {
        let (low, high) = reader.range(partition)?;
        starts.push((partition, if (low..=high).contains(next) { From::Offset(*next) } else { From::End }));
    }
    next.copy_from_slice(&reader.begin(&starts)?);
    Ok(reader)
}

fn take(record: &RawRecord<'_>, shared: &Shared) {
    match Published::read(record.partition(), |name| record.header(name), record.value()) {
        Some(published) => shared.cache().take(Arc::new(published)),
        None => tracing::warn!(partition = record.partition(), offset = record.offset(), "not a decision of ours"),
    }
}
