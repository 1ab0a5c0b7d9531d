//! Reading a topic from wherever one likes, without being a member of the group.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Quiet, RawRecord, range};
use super::error::{KafkaError, lasting};
use super::settings::{KafkaConfig, Topic};

pub(super) const TUNING: &[(&str, &str)] = &[
    ("fetch.wait.max.ms", "100"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "100"),
    ("queued.max.messages.kbytes", "8192"),
];
pub(super) const BINDING: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
    ("check.crcs", "true"),
    ("allow.auto.create.topics", "false"),
];

/// One question to the brokers.
const PATIENCE: Duration = Duration::from_secs(10);
/// A bounded read that hears nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Beginning,
    Offset(u64),
    /// The first record appended at or after it, milliseconds since 1970.
    Timestamp(i64),
    /// At most so many of the newest.
    Last(u64),
    End,
}

/// Where a bounded read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadEnd {
    /// First offset that the partition holds.
    pub low: u64,
    /// Next offset, when the read began.
    pub high: u64,
    /// The offset to go on from.
    pub next: u64,
}

pub enum Item<'a> {
    Record(RawRecord<'a>),
    /// For now there is nothing more in this partition.
    End(i32),
}

/// Reads one topic. It knows the group's name, for its rights, and is no member of it.
pub struct Reader {
    consumer: BaseConsumer<Quiet>,
    topic: String,
}

impl Reader {
    /// # Errors
    /// Settings that librdkafka refuses. The brokers need not be there yet.
    pub fn open(config: &KafkaConfig, topic: Topic) -> Result<Reader, KafkaError> {
        let mut client = config.client(TUNING, BINDING)?;
        client.set("group.id", &config.group);
        let consumer =
            client.create_with_context(Quiet::of(config)).map_err(|error| KafkaError::of("starting a reader", &error))?;
        Ok(Reader { consumer, topic: config.topics.name(topic).to_owned() })
    }

    /// Partitions of the topic.
    pub fn partitions(&self) -> Result<u32, KafkaError> {
        let doing = || format!("the partitions of {}", self.topic);
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), PATIENCE);
        let metadata = metadata.map_err(|error| self.explain(KafkaError::of(&doing(), &error)))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        match topic.map(|topic| (topic.error(), topic.partitions().len())) {
            Some((None, count @ 1..)) => Ok(u32::try_from(count).unwrap_or(u32::MAX)),
            Some((Some(error), _)) => Err(KafkaError::of(&doing(), &ClientError::MetadataFetch(error.into()))),
            _ => Err(KafkaError::of(&doing(), &ClientError::MetadataFetch(Code::UnknownTopicOrPartition))),
        }
    }

    /// First and next offset of a partition.
    pub fn range(&self, partition: i32) -> Result<(u64, u64), KafkaError> {
        range(&self.consumer, &self.topic, partition, PATIENCE).map_err(|error| self.explain(error))
    }

    /// What is behind an error waits among the events, which a failed call does not look at.
    fn explain(&self, error: KafkaError) -> KafkaError {
        // Not without a wait: a poll of no length ends at the first line of the client's own log.
        while self.consumer.poll(TICK).is_some() {}
        self.consumer.context().explain(error)
    }

    /// Begins to read these partitions, and no others. Gives the offset of each.
    pub fn begin(&self, starts: &[(i32, From)]) -> Result<Vec<u64>, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(starts.len());
        let mut offsets = Vec::with_capacity(starts.len());
        let refused = |error| KafkaError::of(&format!("reading {}", self.topic), &error);
        for (partition, from) in starts {
            let (low, high) = self.range(*partition)?;
            let offset = match from {
                From::Beginning => low,
                From::End => high,
                From::Last(count) => high.saturating_sub(*count).max(low),
                From::Timestamp(time_ms) => self.offset_at(*partition, *time_ms)?.unwrap_or(high),
                From::Offset(offset) if (low..=high).contains(offset) => *offset,
                From::Offset(wanted) => {
                    let (topic, partition, wanted) = (self.topic.clone(), *partition, *wanted);
                    return Err(KafkaError::OutOfRange { topic, partition, wanted, low, high });
                }
            };
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(offset.cast_signed())).map_err(refused)?;
            offsets.push(offset);
        }
        self.consumer.assign(&list).map_err(refused)?;
        Ok(offsets)
    }

    /// The first record appended at or after it, milliseconds since 1970; `None` where nothing was.
    pub fn offset_at(&self, partition: i32, time_ms: i64) -> Result<Option<u64>, KafkaError> {
        let refused = |error| KafkaError::of(&format!("the offset of a time in {}", self.topic), &error);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.topic, partition, Offset::Offset(time_ms)).map_err(refused)?;
        let found = self.consumer.offsets_for_times(list, PATIENCE).map_err(refused)?;
        let found = found.elements().first().map(|element| (element.error(), element.offset()));
        match found {
            Some((Ok(()), Offset::Offset(offset))) => Ok(Some(offset.max(0).cast_unsigned())),
            Some((Err(error), _)) => Err(refused(error)),
            _ => Ok(None),
        }
    }

    /// The next record or end; `None` when nothing came in time. What passes is waited out.
    pub fn next(&self, wait: Duration) -> Result<Option<Item<'_>>, KafkaError> {
        self.consumer.context().bootstrap.renew(self.consumer.client());
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(Item::Record(RawRecord(message)))),
            Some(Err(ClientError::PartitionEOF(partition))) => Ok(Some(Item::End(partition))),
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(Code::AutoOffsetReset) => {
                    Err(KafkaError::Refused(format!("{}: the log was cut or replaced while it was read", self.topic)))
                }
                Some(code) if lasting(code).is_some() => Err(KafkaError::of(&format!("reading {}", self.topic), &error)),
                _ => Ok(None),
            },
        }
    }
}

/// Reads one partition up to the end it has now, or until `each` breaks.
pub fn read(
    config: &KafkaConfig,
    topic: Topic,
    partition: i32,
    from: From,
    each: &mut dyn FnMut(&RawRecord<'_>) -> ControlFlow<()>,
) -> Result<ReadEnd, KafkaError> {
    let reader = Reader::open(config, topic)?;
    let (low, high) = reader.range(partition)?;
    let mut next = reader.begin(&[(partition, from)])?.first().copied().unwrap_or(high);
    let mut heard = Instant::now();
    while next < high {
        match reader.next(TICK)? {
            Some(Item::Record(record)) => {
                heard = Instant::now();
                if record.offset() >= high {
                    break;
                }
                next = record.offset() + 1;
                if each(&record).is_break() {
                    return Ok(ReadEnd { low, high, next });
                }
            }
            // Offsets have gaps, and the last ones may hold no record.
            Some(Item::End(_)) => break,
            None if heard.elapsed() < SILENCE_MAX => {}
            None => {
                let name = &reader.topic;
                return Err(KafkaError::Unavailable(format!(
                    "{name} partition {partition}: nothing after offset {next} of {high}"
                )));
            }
        }
    }
    Ok(ReadEnd { low, high, next: next.max(high) })
}
