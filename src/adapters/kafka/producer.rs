//! One idempotent producer for an instance. Deliveries are told on a thread of their own, in order for each partition.

use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use super::client::{self, Bootstrap};
use super::error::{KafkaError, lasting};
use super::settings::{KafkaConfig, Topic, TopicNames};

/// Records waiting or under way: at most so many, and so much memory. Beyond: [`SendError::Full`].
const TUNING: &[(&str, &str)] = &[
    ("linger.ms", "0"),
    ("compression.type", "lz4"),
    ("queue.buffering.max.messages", "100000"),
    ("queue.buffering.max.kbytes", "65536"),
    ("delivery.timeout.ms", "30000"),
    // A dead letter is larger than the record it was.
    ("message.max.bytes", "2097152"),
];
/// Java's partitioner, since other producers of `quotes` use it.
const BINDING: &[(&str, &str)] = &[("enable.idempotence", "true"), ("acks", "all"), ("partitioner", "murmur2_random")];

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub topic: Topic,
    /// `None`: by the key.
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub partition: i32,
    /// `None` where the broker recognised a second try of what it has: it is there, the place is not told.
    pub offset: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The record is not in the log and will not be.
    #[error("kafka refused the record: {0}")]
    Refused(String),
    /// It may be in the log, or still come.
    #[error("nothing is known about the record: {0}")]
    Unknown(String),
}

/// Told once for each record that was taken.
pub type OnDelivery = Box<dyn FnOnce(Result<Delivered, DeliveryError>) + Send>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Try again when some deliveries have been told.
    #[error("the producer's queue is full")]
    Full,
    /// This record cannot be written.
    #[error("the record cannot be written: {0}")]
    Invalid(String),
    /// This producer writes no more; a new one may.
    #[error("the producer has failed: {0}")]
    Closed(String),
}

/// A record that was not taken: its callback is given back and was not called.
pub struct Unsent {
    pub error: SendError,
    pub on_delivery: OnDelivery,
}

pub struct Producer {
    inner: ThreadedProducer<Deliveries>,
    topics: TopicNames,
}

impl Producer {
    /// # Errors
    /// Settings that librdkafka refuses. The brokers need not be there yet.
    pub fn new(config: &KafkaConfig) -> Result<Producer, KafkaError> {
        let inner = config.client(TUNING, BINDING)?.create_with_context(Deliveries { bootstrap: Bootstrap::of(config) });
        let inner = inner.map_err(|error| KafkaError::of("starting the producer", &error))?;
        Ok(Producer { inner, topics: config.topics.clone() })
    }

    /// Takes the record into the queue; never blocks.
    pub fn send(&self, record: &Outgoing, on_delivery: OnDelivery) -> Result<(), Unsent> {
        let mut headers = (!record.headers.is_empty()).then(|| OwnedHeaders::new_with_capacity(record.headers.len()));
        for (key, value) in &record.headers {
            headers = headers.map(|headers| headers.insert(Header { key, value: Some(value) }));
        }
        let outgoing = BaseRecord {
            topic: self.topics.name(record.topic),
            partition: record.partition,
            payload: record.value.as_ref(),
            key: record.key.as_ref(),
            timestamp: None,
            headers,
            delivery_opaque: Box::new(Waiting(Mutex::new(on_delivery))),
        };
        self.inner.send(outgoing).map_err(|(error, record)| {
            let on_delivery = record.delivery_opaque.0.into_inner().unwrap_or_else(PoisonError::into_inner);
            Unsent { error: self.unsent(&error), on_delivery }
        })
    }

    fn unsent(&self, error: &ClientError) -> SendError {
        match error.rdkafka_error_code() {
            Some(Code::QueueFull) => SendError::Full,
            _ => match self.inner.client().fatal_error() {
                Some((_, reason)) => SendError::Closed(reason),
                None => SendError::Invalid(error.to_string()),
            },
        }
    }

    /// Sends and waits until it is known what became of the record; a full queue is waited out, too.
    pub fn send_and_wait(&self, record: &Outgoing, patience: Duration) -> Result<Delivered, DeliveryError> {
        let deadline = std::time::Instant::now() + patience;
        let (tell, told) = mpsc::sync_channel(1);
        let mut on_delivery: OnDelivery = Box::new(move |result| {
            // Nobody listens once the patience is at its end.
            let _ = tell.send(result);
        });
        while let Err(Unsent { error, on_delivery: back }) = self.send(record, on_delivery) {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if error != SendError::Full || left.is_zero() {
                return Err(DeliveryError::Refused(error.to_string()));
            }
            on_delivery = back;
            // Deliveries make room.
            self.inner.poll(left.min(Duration::from_millis(5)));
        }
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        told.recv_timeout(left).unwrap_or_else(|_| Err(DeliveryError::Unknown("no answer from kafka in time".into())))
    }

    /// Waits until every record taken so far was told.
    pub fn flush(&self, patience: Duration) -> Result<(), KafkaError> {
        self.inner.flush(patience).map_err(|error| KafkaError::of("waiting for deliveries", &error))
    }

    /// Records whose delivery is not told yet.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.inner.in_flight_count()).unwrap_or(0)
    }

    /// Whether the brokers answer now.
    pub fn is_reachable(&self, patience: Duration) -> bool {
        self.inner.client().fetch_metadata(Some(self.topics.name(Topic::Quotes)), patience).is_ok()
    }

    /// To be called now and then: a client that has lost all brokers is given those of the configuration again.
    pub fn look_after(&self) {
        self.inner.context().bootstrap.renew(self.inner.client());
    }

    /// Why this producer can write no more, if so.
    pub fn failure(&self) -> Option<String> {
        self.inner.client().fatal_error().map(|(_, reason)| reason)
    }
}

/// librdkafka carries it from `send` to the delivery, between threads.
struct Waiting(Mutex<OnDelivery>);

struct Deliveries {
    bootstrap: Bootstrap,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        client::log(level, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.bootstrap.learn(statistics);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Waiting>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Box<Waiting>) {
        let told = match result {
            Ok(message) => Ok(Delivered {
                partition: message.partition(),
                offset: (message.offset() >= 0).then(|| message.offset().cast_unsigned()),
            }),
            Err((error, _)) => Err(undelivered(error)),
        };
        let on_delivery = waiting.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        on_delivery(told);
    }
}

/// Only what surely never reached the log is refused.
fn undelivered(error: &ClientError) -> DeliveryError {
    let code = error.rdkafka_error_code();
    let fix = code.and_then(lasting).map_or(String::new(), |fix| format!("; {fix}"));
    let text = format!("{error}{fix}");
    match code {
        Some(
            Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessage
            | Code::InvalidTimestamp
            | Code::PolicyViolation
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnknownPartition
            | Code::UnknownTopic
            | Code::PurgeQueue,
        ) => DeliveryError::Refused(text),
        _ => DeliveryError::Unknown(text),
    }
}
