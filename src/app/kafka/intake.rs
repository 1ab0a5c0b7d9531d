//! From the queue of HTTP into the topic: a quote is accepted when the log has it, and answered when its partition has decided it,
//! here or in another instance.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::elsewhere::Elsewhere;
use super::partitions::Ours;
use crate::adapters::kafka::{Delivered, DeliveryError, OnDelivery, Outgoing, Producer, SendError, Topic, Unsent};
use crate::contract::kafka::{CLIENT, TOKEN};
use crate::pipeline::health::{Health, Readiness};
use crate::pipeline::partition::waiters::Waiters;
use crate::pipeline::queue::{Job, Payload};

/// A record that has not arrived for so long means that the log is away.
const AWAY_AFTER: Duration = Duration::from_secs(1);
const WATCHED_EVERY: Duration = Duration::from_millis(200);
const ROOM_POLL: Duration = Duration::from_millis(1);

pub struct Intake {
    pub producer: Arc<Producer>,
    pub waiters: Arc<Waiters>,
    pub ours: Arc<Ours>,
    pub elsewhere: Arc<Elsewhere>,
    pub health: Arc<Health>,
    /// Random, of this process: tells its records from those of others.
    pub instance: [u8; 8],
}

/// When the records that have not arrived yet were sent.
#[derive(Default)]
struct Sent(Mutex<std::collections::BTreeMap<u64, Instant>>);

impl Sent {
    fn with<T>(&self, act: impl FnOnce(&mut std::collections::BTreeMap<u64, Instant>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Intake {
    /// Until every queue is dropped.
    pub fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let sent = Arc::new(Sent::default());
        self.watch(&sent);
        let mut number = 0u64;
        while let Some(job) = jobs.blocking_recv() {
            let Payload::Quote { tenant, body, .. } = job.payload else { continue };
            number += 1;
            let token = [&self.instance[..], &number.to_be_bytes()].concat();
            let mut headers = vec![(TOKEN, token.clone())];
            headers.extend(job.client.map(|client| (CLIENT, client.as_bytes().to_vec())));
            if let Some(reply) = job.reply {
                self.waiters.wait(&token, reply);
            }
            let record = Outgoing {
                topic: Topic::Quotes,
                partition: None,
                key: Some(tenant.as_bytes().to_vec()),
                value: Some(body),
                headers,
            };
            sent.with(|sent| sent.insert(number, Instant::now()));
            self.send(&record, number, token, &sent);
        }
    }

    fn send(&self, record: &Outgoing, number: u64, token: Vec<u8>, sent: &Arc<Sent>) {
        let (waiters, known, ours, elsewhere) = (self.waiters.clone(), sent.clone(), self.ours.clone(), self.elsewhere.clone());
        let mut on_delivery: OnDelivery = Box::new(move |told: Result<Delivered, DeliveryError>| {
            known.with(|sent| sent.remove(&number));
            match told {
                Ok(Delivered { partition, offset: Some(offset) }) if !ours.is_running(partition) => {
                    elsewhere.answer(partition, offset, token);
                }
                // What may still come is answered when it does; the submitter's deadline tells him where to look.
                Ok(_) | Err(DeliveryError::Unknown(_)) => {}
                Err(DeliveryError::Refused(reason)) => {
                    tracing::error!(reason, "a quote was not taken by the log");
                    waiters.forget(&token);
                }
            }
        });
        while let Err(Unsent { error, on_delivery: back }) = self.producer.send(record, on_delivery) {
            if error != SendError::Full {
                back(Err(DeliveryError::Refused(error.to_string())));
                return;
            }
            on_delivery = back;
            thread::sleep(ROOM_POLL);
        }
    }

    /// Records that do not arrive shut the door for new ones until they do.
    fn watch(&self, sent: &Arc<Sent>) {
        let (sent, health) = (Arc::downgrade(sent), self.health.clone());
        let watch = move || {
            while let Some(sent) = sent.upgrade() {
                let oldest = sent.with(|sent| sent.first_key_value().map(|(_, since)| since.elapsed()));
                if oldest.is_some_and(|age| age >= AWAY_AFTER) {
                    health.step(Readiness::Ready, Readiness::StoreDown);
                } else {
                    health.step(Readiness::StoreDown, Readiness::Ready);
                }
                drop(sent);
                thread::sleep(WATCHED_EVERY);
            }
        };
        if let Err(error) = thread::Builder::new().name("log-watch".to_owned()).spawn(watch) {
            tracing::error!(%error, "the log is not watched");
        }
    }
}
