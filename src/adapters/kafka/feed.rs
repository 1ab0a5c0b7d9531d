//! The topics as the desk's sink reads them: decisions, quotes and the control topic, without a group.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Quiet, RawRecord, range};
use super::control::ruling_of;
use super::error::{KafkaError, lasting};
use super::read::{BINDING, TUNING};
use super::settings::{KafkaConfig, Topic};
use crate::contract::kafka as headers;
use crate::engine::time::ArrivalTime;
use crate::pipeline::desk::feed::{DecisionRecord, Feed, Form, Move, Page, Part, Positions, RulingRecord};
use crate::pipeline::{Source, StoreError};
use crate::telemetry::{self, Kind};

const PATIENCE: Duration = Duration::from_secs(10);
/// A page that has begun waits so long for more: records come from the client's own memory.
const LINGER: Duration = Duration::from_millis(2);

/// Reads all three topics by one consumer, each partition from where the desk stands.
pub struct TopicFeed {
    config: KafkaConfig,
    log_id: String,
    partitions: u32,
    reading: Option<Reading>,
    behind: u64,
}

struct Reading {
    consumer: BaseConsumer<Quiet>,
    /// Where the next record of each is expected: what was given out.
    next: Positions,
}

impl TopicFeed {
    /// Nothing is asked of the brokers yet.
    pub fn new(config: &KafkaConfig, log_id: &str, partitions: u32) -> TopicFeed {
        TopicFeed { config: config.clone(), log_id: log_id.to_owned(), partitions, reading: None, behind: 0 }
    }

    fn topic(&self, part: Part) -> &str {
        self.config.topics.name(match part {
            Part::Decisions => Topic::Decisions,
            Part::Quotes => Topic::Quotes,
            Part::Control => Topic::Control,
        })
    }

    fn places(&self) -> impl Iterator<Item = (Part, u32)> {
        let of = |part| (0..self.partitions).map(move |partition| (part, partition));
        of(Part::Quotes).chain(of(Part::Decisions)).chain([(Part::Control, 0)])
    }

    /// Begins where the desk stands, which may be where nobody has read before.
    fn begin(&self, after: &Positions) -> Result<Reading, KafkaError> {
        let mut client = self.config.client(TUNING, BINDING)?;
        client.set("group.id", &self.config.group);
        let consumer: BaseConsumer<Quiet> = client
            .create_with_context(Quiet::of(&self.config))
            .map_err(|error| KafkaError::of("starting the desk's reader", &error))?;
        let mut list = TopicPartitionList::new();
        let mut next = Positions::new();
        for (part, partition) in self.places() {
            let topic = self.topic(part);
            let number = i32::try_from(partition).unwrap_or(i32::MAX);
            let (low, high) = range(&consumer, topic, number, PATIENCE)?;
            let stands = after.get(&(part, partition)).copied().unwrap_or(0);
            if stands > high {
                let (topic, wanted) = (topic.to_owned(), stands);
                return Err(KafkaError::OutOfRange { topic, partition: number, wanted, low, high });
            }
            if stands < low && stands > 0 {
                tracing::warn!(topic, partition, from = stands, to = low, "records have expired before the desk has read them");
            }
            let offset = stands.max(low);
            let added = list.add_partition_offset(topic, number, Offset::Offset(offset.cast_signed()));
            added.map_err(|error| KafkaError::of(&format!("reading {topic}"), &error))?;
            next.insert((part, partition), stands);
        }
        consumer.assign(&list).map_err(|error| KafkaError::of("reading for the desk", &error))?;
        Ok(Reading { consumer, next })
    }

    fn part_of(&self, topic: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| self.topic(*part) == topic)
    }

    fn fill(&self, reading: &mut Reading, limit: usize, wait: Duration) -> Result<Page, KafkaError> {
        let mut page = Page::default();
        let mut ends: BTreeMap<(Part, u32), u64> = BTreeMap::new();
        let (mut taken, mut deadline) = (0, Instant::now() + wait);
        reading.consumer.context().bootstrap.renew(reading.consumer.client());
        while taken < limit {
            let polled = reading.consumer.poll(deadline.saturating_duration_since(Instant::now()));
            match polled {
                None if Instant::now() >= deadline => break,
                None | Some(Err(ClientError::PartitionEOF(_))) => continue,
                Some(Err(error)) => {
                    let code = error.rdkafka_error_code();
                    if code.is_some_and(|code| code == Code::AutoOffsetReset || lasting(code).is_some()) {
                        return Err(KafkaError::of("reading for the desk", &error));
                    }
                }
                Some(Ok(message)) => {
                    let Some(part) = self.part_of(message.topic()) else { continue };
                    let record = RawRecord(message);
                    if taken == 0 {
                        deadline = Instant::now() + LINGER;
                    }
                    taken += 1;
                    ends.insert((part, record.partition().unsigned_abs()), record.offset() + 1);
                    take(part, &record, &mut page);
                }
            }
        }
        for ((part, partition), to) in ends {
            let from = reading.next.insert((part, partition), to).unwrap_or_default();
            page.moves.push(Move { part, partition, from, to });
        }
        Ok(page)
    }
}

/// What is none of ours is passed by: others may write to these topics, and their owners have judged it.
fn take(part: Part, record: &RawRecord<'_>, page: &mut Page) {
    let (partition, offset) = (record.partition().unsigned_abs(), record.offset());
    let Some(value) = record.value() else { return };
    let arrival = ArrivalTime(record.append_time_ms().saturating_mul(1_000));
    match part {
        Part::Decisions => match DecisionRecord::read(value.to_vec()) {
            Ok(decision) => {
                if let Some(span) = telemetry::follow("project decision", Kind::Consumer, record.traceparent()) {
                    span.set("quoteguard.quote_id", &decision.decision.quote_id);
                    page.spans.push(span);
                }
                page.decisions.push(decision);
            }
            Err(error) => tracing::warn!(partition, offset, error, "a record of the decisions is none; the desk passes it by"),
        },
        Part::Quotes if record.has_header(headers::POINTER) => {}
        Part::Quotes => {
            let tenant = record.key().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
            let source = if record.has_header(headers::TOKEN) { Source::Http } else { Source::Stream };
            page.forms.extend(Form::read(partition, offset, arrival, source, tenant, value.to_vec()));
        }
        Part::Control => match ruling_of(value).map(|body| RulingRecord::read(partition, offset, arrival, &body)) {
            Some(Ok(ruling)) => page.rulings.push(ruling),
            Some(Err(error)) => tracing::warn!(offset, error, "a ruling that the desk cannot read is passed by"),
            None => {}
        },
    }
}

/// The partitions are decided by others, who stop where they must: here whatever is wrong with the brokers is tried again. A log that
/// ends before what was read of it is another log.
fn passing(error: KafkaError) -> StoreError {
    match error {
        KafkaError::OutOfRange { .. } => StoreError::Refused(format!("{error}; name another database in desk.url")),
        error => StoreError::Unavailable(error.to_string()),
    }
}

impl Feed for TopicFeed {
    fn log_id(&self) -> &str {
        &self.log_id
    }

    fn next(&mut self, after: &Positions, limit: usize, wait: Duration) -> Result<Page, StoreError> {
        let stands = |reading: &Reading| reading.next.iter().all(|(place, next)| after.get(place).copied().unwrap_or(0) == *next);
        let mut reading = match self.reading.take().filter(stands) {
            Some(reading) => reading,
            None => self.begin(after).map_err(passing)?,
        };
        let page = self.fill(&mut reading, limit, wait).map_err(passing)?;
        self.behind = if page.records() >= limit { limit as u64 } else { 0 };
        // Not after an error: it begins anew where the desk stands.
        self.reading = Some(reading);
        Ok(page)
    }

    fn behind(&self) -> u64 {
        self.behind
    }
}
