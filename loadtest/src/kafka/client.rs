//! librdkafka as a site would set it up for low latency.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers, Message};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);
const FULL_POLL: Duration = Duration::from_millis(1);

/// Deliveries that failed.
#[derive(Clone, Default)]
pub struct Failures(Arc<AtomicU64>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub struct Producer {
    inner: ThreadedProducer<Failures>,
    failures: Failures,
}

impl Producer {
    /// Nothing waits for a batch to fill up.
    pub fn quick(brokers: &str) -> Result<Producer> {
        Producer::new(brokers, &[("linger.ms", "0")])
    }

    /// Large batches.
    pub fn bulk(brokers: &str) -> Result<Producer> {
        Producer::new(brokers, &[("linger.ms", "20"), ("batch.num.messages", "10000"), ("compression.type", "lz4")])
    }

    fn new(brokers: &str, settings: &[(&str, &str)]) -> Result<Producer> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("partitioner", "murmur2_random");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let failures = Failures::default();
        Ok(Producer { inner: config.create_with_context(failures.clone())?, failures })
    }

    /// Waits while the queue is full.
    pub fn send(&self, topic: &str, key: &str, value: &[u8]) -> Result<()> {
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        loop {
            match self.inner.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    record = back;
                    std::thread::sleep(FULL_POLL);
                }
                Err((error, _)) => return Err(error).context("producing"),
            }
        }
    }

    /// Until everything is acknowledged.
    pub fn finish(&self) -> Result<()> {
        self.inner.flush(PATIENCE).context("waiting for acknowledgements")?;
        match self.failures.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            failed => bail!("{failed} records were not taken by the broker"),
        }
    }
}

pub fn consumer(brokers: &str) -> Result<BaseConsumer> {
    let settings = [
        ("bootstrap.servers", brokers),
        // Offsets are not committed: the group is only a name that librdkafka wants.
        ("group.id", "loadtest"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "error"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.queue.backoff.ms", "2"),
    ];
    Ok(ClientConfig::from_iter(settings.map(|(key, value)| (key.to_owned(), value.to_owned()))).create()?)
}

/// First and next offset of each partition.
pub fn ranges(consumer: &BaseConsumer, topic: &str) -> Result<Vec<(i64, i64)>> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).context("asking the broker")?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    if partitions == 0 {
        bail!("there is no topic {topic}");
    }
    let range = |partition| consumer.fetch_watermarks(topic, partition, PATIENCE).context("asking for the topic's ends");
    (0..i32::try_from(partitions)?).map(range).collect()
}

/// Reads the partitions of the topic from these offsets on, besides what is read already.
pub fn begin(consumer: &BaseConsumer, topic: &str, offsets: impl Iterator<Item = i64>) -> Result<()> {
    let mut list: TopicPartitionList = consumer.assignment()?;
    for (partition, offset) in (0..).zip(offsets) {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(consumer.assign(&list)?)
}

/// A header with a number in it.
pub fn number(message: &BorrowedMessage<'_>, name: &str) -> Option<u64> {
    text(message, name)?.parse().ok()
}

pub fn text<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let header = message.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(header.value?).ok()
}

/// The next record; `None` at the deadline. Errors that pass are waited out.
pub fn next(consumer: &BaseConsumer, deadline: Instant) -> Option<BorrowedMessage<'_>> {
    loop {
        let left = deadline.checked_duration_since(Instant::now())?;
        if let Some(Ok(message)) = consumer.poll(left) {
            return Some(message);
        }
    }
}
