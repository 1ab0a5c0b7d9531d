//! A partition as an operator holds it: paused at the consumer without leaving the group, drained when its checkpoint has everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::partitions::Shared;
use crate::adapters::kafka::{Command, Fetched};
use crate::pipeline::pipelines::{Hands, NewPipeline, Standing};

const TICK: Duration = Duration::from_millis(10);

/// Of one assignment of a partition.
#[derive(Clone)]
pub struct PartitionHands {
    shared: Arc<Shared>,
    partition: i32,
    flow: Arc<Flow>,
}

#[derive(Default)]
struct Flow {
    /// The consumer has said that it delivers nothing more.
    is_held: AtomicBool,
    /// Offset after the last record that was fetched, and that of the last checkpoint that was kept; 0 before the first.
    fetched: AtomicU64,
    kept: AtomicU64,
}

impl PartitionHands {
    pub fn new(shared: Arc<Shared>, partition: i32) -> PartitionHands {
        PartitionHands { shared, partition, flow: Arc::default() }
    }

    /// Of the pipeline.
    pub fn name(partition: i32) -> String {
        format!("kafka-{partition}")
    }

    pub fn pipeline(self) -> NewPipeline {
        let topics = &self.shared.config.topics;
        NewPipeline {
            name: PartitionHands::name(self.partition),
            source: format!("topic {}, partition {}", topics.quotes, self.partition),
            sinks: vec!["decisions topic", "desk"],
            hands: Box::new(self),
        }
    }

    /// The consumer delivers nothing more.
    pub fn held(&self) {
        self.flow.is_held.store(true, Ordering::Release);
    }

    pub fn fetched(&self, records: &[Fetched]) {
        if let Some(last) = records.last() {
            self.flow.fetched.store(last.offset + 1, Ordering::Release);
        }
    }

    pub fn kept(&self, next_offset: u64) {
        self.flow.kept.store(next_offset, Ordering::Release);
    }

    fn is_settled(&self) -> bool {
        let Flow { is_held, fetched, kept } = &*self.flow;
        is_held.load(Ordering::Acquire) && kept.load(Ordering::Acquire) >= fetched.load(Ordering::Acquire)
    }
}

impl Hands for PartitionHands {
    fn hold(&self, is_held: bool) {
        self.flow.is_held.store(false, Ordering::Release);
        // Checks of its tenants are refused before they are in the log.
        self.shared.health.partition_held(self.partition.unsigned_abs(), is_held);
        self.shared.command(if is_held { Command::Hold(self.partition) } else { Command::Unhold(self.partition) });
    }

    fn settle(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while !self.is_settled() {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(TICK);
        }
        true
    }

    fn look(&self) -> Option<Standing> {
        let (next_offset, lag, age) = self.shared.metrics.partition_standing(self.partition.unsigned_abs())?;
        Some(Standing { position: next_offset.to_string(), lag_records: Some(lag), lag_secs: Some(age) })
    }
}
