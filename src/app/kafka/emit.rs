//! A partition's way out: decisions and dead letters through the instance's producer, in order.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::adapters::kafka::{Delivered, DeliveryError, OnDelivery, Outgoing as Record, Producer, SendError, Topic, Unsent};
use crate::fault;
use crate::pipeline::StoreError;
use crate::pipeline::partition::owner::{Emit, Outgoing, OutgoingKind};
use crate::telemetry::Span;

/// Emissions under way. Beyond: the partition waits.
const UNDER_WAY_MAX: usize = 20_000;
const ROOM_POLL: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
struct UnderWay {
    /// Numbers of emissions that nothing is known of yet.
    open: BTreeSet<u64>,
    /// Offset after the last decision known to be there.
    decisions_end: u64,
    /// An emission that will not arrive.
    failed: Option<String>,
}

pub struct KafkaEmit {
    producer: Arc<Producer>,
    partition: i32,
    taken: u64,
    under_way: Arc<Mutex<UnderWay>>,
}

fn lock(under_way: &Mutex<UnderWay>) -> MutexGuard<'_, UnderWay> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Delivered, or not.
pub(super) fn end(span: Option<Span>, is_delivered: bool) {
    if let Some(span) = span.filter(|_| !is_delivered) {
        span.fail("not delivered");
    }
}

impl KafkaEmit {
    /// `decisions_end` is where the partition of decisions ends now.
    pub fn new(producer: Arc<Producer>, partition: i32, decisions_end: u64) -> KafkaEmit {
        let under_way = UnderWay { decisions_end, ..UnderWay::default() };
        KafkaEmit { producer, partition, taken: 0, under_way: Arc::new(Mutex::new(under_way)) }
    }

    fn on_delivery(&self, number: u64, kind: OutgoingKind, span: Option<Span>) -> OnDelivery {
        let under_way = self.under_way.clone();
        Box::new(move |told: Result<Delivered, DeliveryError>| {
            end(span, told.is_ok());
            let mut under_way = lock(&under_way);
            match told {
                Ok(Delivered { offset, .. }) => {
                    fault::point("acknowledged");
                    under_way.open.remove(&number);
                    if let (OutgoingKind::Decision, Some(offset)) = (kind, offset) {
                        under_way.decisions_end = under_way.decisions_end.max(offset + 1);
                    }
                }
                // It stays open, so that no checkpoint passes it.
                Err(error) => under_way.failed = Some(error.to_string()),
            }
        })
    }
}

impl Emit for KafkaEmit {
    fn emit(&mut self, record: Outgoing) -> Result<(), StoreError> {
        let topic = match record.kind {
            OutgoingKind::Decision => Topic::Decisions,
            OutgoingKind::DeadLetter => Topic::DeadLetters,
        };
        // Dead letters are read by people: any partition will do.
        let partition = (record.kind == OutgoingKind::Decision).then_some(self.partition);
        let (key, value) = (record.key.map(Vec::from), record.value.map(Vec::from));
        let outgoing = Record { topic, partition, key, value, headers: record.headers };
        let number = self.taken;
        let mut on_delivery = loop {
            let mut under_way = lock(&self.under_way);
            if let Some(reason) = &under_way.failed {
                return Err(StoreError::Unavailable(format!("a decision could not be emitted: {reason}")));
            }
            if under_way.open.len() < UNDER_WAY_MAX {
                under_way.open.insert(number);
                break self.on_delivery(number, record.kind, record.span);
            }
            drop(under_way);
            thread::sleep(ROOM_POLL);
        };
        while let Err(Unsent { error, on_delivery: back }) = self.producer.send(&outgoing, on_delivery) {
            if error != SendError::Full {
                return Err(StoreError::Unavailable(format!("a decision could not be emitted: {error}")));
            }
            on_delivery = back;
            thread::sleep(ROOM_POLL);
        }
        self.taken += 1;
        Ok(())
    }

    fn acknowledged(&self) -> u64 {
        lock(&self.under_way).open.first().copied().unwrap_or(self.taken)
    }

    fn decisions_end(&self) -> u64 {
        lock(&self.under_way).decisions_end
    }
}
