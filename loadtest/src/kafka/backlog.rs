//! A topic filled ahead, and how fast it is read or decided.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use serde::Serialize;

use super::client::{Producer, begin, consumer, next, number, ranges, text};
use crate::template::tenant;

/// How often it is asked how many decisions there are: they are read only after that, so that reading takes nothing from the service.
const ASKED_EVERY: Duration = Duration::from_millis(200);
const READ_PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize)]
pub struct Throughput {
    pub records: u64,
    pub seconds: f64,
    pub per_second: f64,
}

impl Throughput {
    fn new(records: u64, time: Duration) -> Throughput {
        let seconds = time.as_secs_f64();
        Throughput { records, seconds, per_second: records as f64 / seconds.max(1e-9) }
    }
}

impl std::fmt::Display for Throughput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} records in {:.2} s, {:.0}/s", self.records, self.seconds, self.per_second)
    }
}

/// Produces every line of the file.
pub fn fill(brokers: &str, topic: &str, quotes: impl BufRead) -> Result<Throughput> {
    let producer = Producer::bulk(brokers)?;
    let start = Instant::now();
    let mut records = 0;
    for line in quotes.lines() {
        let line = line.context("reading the quotes")?;
        let tenant = tenant(&line);
        producer.send(topic, if tenant.is_empty() { "default" } else { &tenant }, line.as_bytes())?;
        records += 1;
    }
    producer.finish()?;
    Ok(Throughput::new(records, start.elapsed()))
}

/// Reads all that is there now.
pub fn read(brokers: &str, topic: &str) -> Result<Throughput> {
    let (start, mut records) = (Instant::now(), 0);
    read_all(brokers, topic, |_| records += 1)?;
    Ok(Throughput::new(records, start.elapsed()))
}

/// The keys of all that is there now.
pub fn keys(brokers: &str, topic: &str) -> Result<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    read_all(brokers, topic, |record| keys.extend(record.key().map(|key| String::from_utf8_lossy(key).into_owned())))?;
    Ok(keys)
}

fn read_all(brokers: &str, topic: &str, mut take: impl FnMut(&BorrowedMessage<'_>)) -> Result<()> {
    let consumer = consumer(brokers)?;
    let mut left: Vec<(i64, i64)> = ranges(&consumer, topic)?;
    begin(&consumer, topic, left.iter().map(|(low, _)| *low))?;
    while left.iter().any(|(next, high)| next < high) {
        let record = next(&consumer, Instant::now() + READ_PATIENCE).context("the topic delivers nothing more")?;
        left[record.partition() as usize].0 = record.offset() + 1;
        take(&record);
    }
    Ok(())
}

#[derive(Debug, Serialize)]
pub struct CaughtUp {
    pub quotes: u64,
    /// From the start of the service to its first decision.
    pub first_secs: f64,
    /// To the last one that was missing.
    pub last_secs: f64,
    pub per_second: f64,
    /// From the first decision on.
    pub per_second_decided: f64,
    /// Decisions, restatements, amendments and dead letters.
    pub emitted: u64,
}

impl std::fmt::Display for CaughtUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let CaughtUp { quotes, first_secs, last_secs, per_second, per_second_decided, emitted } = self;
        writeln!(f, "{quotes} quotes, {emitted} records emitted")?;
        writeln!(f, "first decision after {first_secs:.2} s, last after {last_secs:.2} s")?;
        write!(f, "{per_second:.0}/s from the start, {per_second_decided:.0}/s from the first decision")
    }
}

/// Records of `quotes` that have got their answer, by partition and offset.
#[derive(Default)]
struct Answered {
    seen: Vec<Vec<bool>>,
    count: u64,
}

impl Answered {
    /// Whether it is the first answer to that record.
    fn take(&mut self, partition: u64, offset: u64) -> bool {
        let (partition, offset) = (partition as usize, offset as usize);
        if self.seen.len() <= partition {
            self.seen.resize_with(partition + 1, Vec::new);
        }
        let seen = &mut self.seen[partition];
        if seen.len() <= offset {
            seen.resize(offset + 1, false);
        }
        let is_first = !std::mem::replace(&mut seen[offset], true);
        self.count += u64::from(is_first);
        is_first
    }
}

/// The record of `quotes` that a decision or dead letter answers; none for an amendment.
fn answers(record: &BorrowedMessage<'_>) -> Option<(u64, u64)> {
    if let Some(place) = text(record, "answers") {
        let (partition, offset) = place.split_once('/')?;
        return Some((partition.parse().ok()?, offset.parse().ok()?));
    }
    let offset = number(record, "source-offset")?;
    match number(record, "source-partition") {
        Some(partition) => Some((partition, offset)),
        None => (number(record, "revision") == Some(1)).then_some((record.partition() as u64, offset)),
    }
}

/// Waits until `quotes` records have their answer in one of the topics. Times are those of the log.
///
/// # Errors
/// They have not within `patience`.
pub fn catch_up(brokers: &str, topics: [&str; 2], quotes: u64, since_ms: i64, patience: Duration) -> Result<CaughtUp> {
    let deadline = Instant::now() + patience;
    let consumer = consumer(brokers)?;
    let held = || -> Result<u64> {
        let mut held = 0;
        for topic in topics {
            held += ranges(&consumer, topic)?.iter().map(|(low, high)| (high - low) as u64).sum::<u64>();
        }
        Ok(held)
    };
    loop {
        let held = held()?;
        if held >= quotes {
            break;
        }
        ensure!(Instant::now() < deadline, "{held} records of {quotes} after {patience:?}");
        std::thread::sleep(ASKED_EVERY);
    }
    for topic in topics {
        begin(&consumer, topic, ranges(&consumer, topic)?.iter().map(|(low, _)| *low))?;
    }
    let (mut answered, mut emitted) = (Answered::default(), 0);
    let (mut first_ms, mut last_ms) = (i64::MAX, i64::MIN);
    while answered.count < quotes {
        let counted = answered.count;
        let record = next(&consumer, deadline).with_context(|| format!("{counted} quotes of {quotes} after {patience:?}"))?;
        emitted += 1;
        if answers(&record).is_some_and(|(partition, offset)| answered.take(partition, offset)) {
            let at = record.timestamp().to_millis().context("the topic keeps no times")?;
            (first_ms, last_ms) = (first_ms.min(at), last_ms.max(at));
        }
    }
    let secs = |ms: i64| (ms as f64 / 1e3).max(1e-3);
    let (first_secs, last_secs) = (secs(first_ms - since_ms), secs(last_ms - since_ms));
    let per_second_decided = quotes as f64 / secs(last_ms - first_ms);
    Ok(CaughtUp { quotes, first_secs, last_secs, per_second: quotes as f64 / last_secs, per_second_decided, emitted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_once() {
        let mut answered = Answered::default();
        let taken = [(0, 5), (1, 5), (0, 5), (0, 0)].map(|(partition, offset)| answered.take(partition, offset));
        assert_eq!((taken, answered.count), ([true, true, false, true], 3));
    }
}
