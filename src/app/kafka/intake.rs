//! From the queue of HTTP into the topic: a quote is accepted when the log has it, and answered when its partition has decided it,
//! here or in another instance.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::sync::{mpsc, oneshot};

use super::elsewhere::Elsewhere;
use super::emit::end;
use super::partitions::Ours;
use crate::adapters::kafka::{Delivered, DeliveryError, OnDelivery, Outgoing, Producer, SendError, Topic, Unsent};
use crate::contract::kafka::{CLIENT, TOKEN, TRACEPARENT};
use crate::fault;
use crate::metrics::Metrics;
use crate::pipeline::health::{Health, Readiness};
use crate::pipeline::partition::waiters::Waiters;
use crate::pipeline::queue::{Job, Payload};
use crate::telemetry::Span;

/// The log's name among the stores of the metrics.
pub const LOG: &str = "kafka";
/// A record that has not arrived for so long means that the log is away.
const AWAY_AFTER: Duration = Duration::from_secs(1);
const WATCHED_EVERY: Duration = Duration::from_millis(200);
const PROBE_PATIENCE: Duration = Duration::from_secs(1);
const ROOM_POLL: Duration = Duration::from_millis(1);

pub struct Intake {
    pub producer: Arc<Producer>,
    pub waiters: Arc<Waiters>,
    pub ours: Arc<Ours>,
    pub elsewhere: Arc<Elsewhere>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
    /// Told when the instance cannot go on.
    pub failed: Sender<anyhow::Error>,
}

/// What is known of the log by the records sent to it.
#[derive(Default)]
struct UnderWay {
    /// When the records that have not arrived yet were sent, by number.
    sent: Mutex<BTreeMap<u64, Instant>>,
    /// Records were given up: whether the log is back is to be asked, for nothing under way tells it.
    is_doubtful: AtomicBool,
}

impl UnderWay {
    fn sent(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stuck(&self) -> bool {
        self.sent().first_key_value().is_some_and(|(_, since)| since.elapsed() >= AWAY_AFTER)
    }
}

impl Intake {
    /// Until every queue is dropped.
    pub fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let under_way = Arc::new(UnderWay::default());
        self.watch(&under_way);
        let mut number = 0u64;
        while let Some(job) = jobs.blocking_recv() {
            let Job { payload, client, reply, span, .. } = job;
            let (tenant, prepared, body) = match payload {
                Payload::Quote { tenant, prepared, body, .. } => (tenant, prepared, body),
                Payload::Barrier(told) => {
                    settle(&under_way, told);
                    continue;
                }
                _ => continue,
            };
            // Unknown to whoever cannot read the topic, and of use once.
            let mut token = [0u8; 16];
            if let Err(error) = getrandom::fill(&mut token) {
                let _ = self.failed.send(anyhow!("no random numbers: {error}"));
                return;
            }
            let mut headers = vec![(TOKEN, token.to_vec())];
            headers.extend(client.map(|client| (CLIENT, client.as_bytes().to_vec())));
            headers.extend(span.as_ref().map(|span| (TRACEPARENT, span.traceparent().into_bytes())));
            if let Some(reply) = reply {
                self.waiters.wait(&token, prepared.print.tenant(), prepared.print.quote_id(), reply);
            }
            let record = Outgoing {
                topic: Topic::Quotes,
                partition: None,
                key: Some(tenant.as_bytes().to_vec()),
                value: Some(body),
                headers,
            };
            number += 1;
            under_way.sent().insert(number, Instant::now());
            self.send(&record, self.on_delivery(number, token, span, &under_way));
        }
    }

    fn on_delivery(&self, number: u64, token: [u8; 16], span: Option<Span>, under_way: &Arc<UnderWay>) -> OnDelivery {
        let (waiters, ours, elsewhere) = (self.waiters.clone(), self.ours.clone(), self.elsewhere.clone());
        let under_way = under_way.clone();
        Box::new(move |told: Result<Delivered, DeliveryError>| {
            fault::point("appended");
            under_way.sent().remove(&number);
            end(span, told.is_ok());
            match told {
                Ok(Delivered { partition, offset }) => {
                    waiters.logged(&token, offset.map(|offset| (partition, offset)));
                    // Asked after its place is known: a partition that moves takes up what is known by then.
                    if let Some(offset) = offset.filter(|_| !ours.is_running(partition)) {
                        elsewhere.answer(partition, offset, token.into());
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a quote was not taken by the log");
                    under_way.is_doubtful.store(true, Ordering::Release);
                    // Whoever waits is told to send it again: if it is there after all, that is a duplicate.
                    waiters.forget(&token);
                }
            }
        })
    }

    fn send(&self, record: &Outgoing, mut on_delivery: OnDelivery) {
        while let Err(Unsent { error, on_delivery: back }) = self.producer.send(record, on_delivery) {
            if error == SendError::Full {
                on_delivery = back;
                thread::sleep(ROOM_POLL);
                continue;
            }
            back(Err(DeliveryError::Refused(error.to_string())));
            if let SendError::Closed(reason) = error {
                let _ = self.failed.send(anyhow!("kafka: the producer has failed: {reason}"));
            }
            return;
        }
    }

    /// Records that do not arrive shut the door for new ones until they do, or the brokers answer again.
    fn watch(&self, under_way: &Arc<UnderWay>) {
        let (under_way, health, producer) = (Arc::downgrade(under_way), self.health.clone(), self.producer.clone());
        let metrics = self.metrics.clone();
        let watch = move || {
            while let Some(under_way) = under_way.upgrade() {
                producer.look_after();
                let is_doubtful = || under_way.is_doubtful.load(Ordering::Acquire);
                metrics.store_up(LOG, !under_way.is_stuck() && !is_doubtful());
                if under_way.is_stuck() || is_doubtful() {
                    health.step(Readiness::Ready, Readiness::StoreDown);
                }
                if is_doubtful() && !under_way.is_stuck() && producer.is_reachable(PROBE_PATIENCE) {
                    under_way.is_doubtful.store(false, Ordering::Release);
                }
                if !under_way.is_stuck() && !is_doubtful() {
                    health.step(Readiness::StoreDown, Readiness::Ready);
                }
                drop(under_way);
                thread::sleep(WATCHED_EVERY);
            }
        };
        if let Err(error) = thread::Builder::new().name("log-watch".to_owned()).spawn(watch) {
            let _ = self.failed.send(error.into());
        }
    }
}

/// Tells when the log has all that was sent, unless who asked has gone.
fn settle(under_way: &UnderWay, told: oneshot::Sender<()>) {
    while !under_way.sent().is_empty() {
        if told.is_closed() {
            return;
        }
        thread::sleep(ROOM_POLL);
    }
    let _ = told.send(());
}
