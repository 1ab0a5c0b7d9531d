//! Quotes at a rate, and when each one's decision was received.

use std::io::BufRead;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::Message;
use rdkafka::consumer::BaseConsumer;
use serde::Serialize;

use super::client::{Producer, begin, consumer, next, number, ranges, text};
use crate::http::wall_clock_ms;
use crate::keep::Measured;
use crate::latency::{Latencies, Summary};
use crate::record::Slots;
use crate::rng::mix;
use crate::template::{self, Template};

/// Quotes held ready in memory; beyond, they are sent again in turn under new ids.
const QUOTES_HELD_MAX: usize = 200_000;
/// How long after the last quote its decision is waited for.
const DRAIN: Duration = Duration::from_secs(30);

/// What to send and where to look.
#[derive(Debug)]
pub struct Live {
    pub brokers: String,
    pub quotes: String,
    pub decisions: String,
    /// Quotes a second.
    pub rate: f64,
    pub total: u64,
    /// Where submitted times begin; now when absent.
    pub begin_ms: Option<i64>,
    /// No service between: the records themselves come back, keyed by id.
    pub is_echo: bool,
}

/// A process that is killed on the way.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    pub process: u32,
    pub after: Duration,
}

/// When a decision was received, from the start, and on which partition.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    pub at: Duration,
    pub partition: i32,
}

/// By number of the quote.
#[derive(Debug)]
pub struct Run {
    pub rate: f64,
    pub received: Vec<Option<Received>>,
    /// First revisions that came once more.
    pub repeated: u64,
    pub send_lag: Latencies,
}

#[derive(Debug, Serialize)]
pub struct Latency {
    pub rate: f64,
    /// Quotes counted, and those of them without a decision.
    pub quotes: u64,
    pub undecided: u64,
    pub repeated: u64,
    pub latency: Summary,
    pub send_lag: Summary,
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Latency { rate, quotes, undecided, repeated, latency, send_lag } = self;
        writeln!(f, "{rate:.0}/s, {quotes} quotes, {undecided} undecided, {repeated} decided twice")?;
        writeln!(f, "latency   {latency}")?;
        write!(f, "send lag  {send_lag}")
    }
}

impl Run {
    /// For the record of a run of `secs`: answers are decisions received, `undecided` stands at the moment the quote was due.
    pub fn measured(&self, secs: u64) -> Measured {
        let mut slots = Slots::default();
        let mut last = Duration::ZERO;
        for (number, received) in self.received.iter().enumerate() {
            let due = self.due(number);
            match received {
                Some(received) => {
                    slots.add(due, received.at.max(due), "decided");
                    last = last.max(received.at);
                }
                None => slots.add(due, due + DRAIN, "undecided"),
            }
        }
        Measured { over: "kafka", target_rate: self.rate, secs, slots, last, ..Measured::default() }
    }

    pub fn due(&self, number: usize) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// Of the quotes that are due after the warm-up.
    pub fn latency(&self, warm_up: Duration) -> Latency {
        self.latency_of(warm_up..Duration::MAX)
    }

    pub fn latency_of(&self, due: std::ops::Range<Duration>) -> Latency {
        let mut latencies = Latencies::default();
        let (mut quotes, mut undecided) = (0, 0);
        for (number, received) in self.received.iter().enumerate().filter(|(number, _)| due.contains(&self.due(*number))) {
            quotes += 1;
            match received {
                Some(received) => latencies.record(received.at.saturating_sub(self.due(number))),
                None => undecided += 1,
            }
        }
        let (latency, send_lag) = (latencies.summary(), self.send_lag.summary());
        Latency { rate: self.rate, quotes, undecided, repeated: self.repeated, latency, send_lag }
    }
}

/// Sends everything and waits for the decisions.
pub fn drive(live: &Live, quotes: impl BufRead, kill: Option<Kill>) -> Result<Run> {
    let held = usize::try_from(live.total)?.min(QUOTES_HELD_MAX);
    let templates = template::load(quotes, held, false)?;
    let producer = Producer::quick(&live.brokers)?;
    let consumer = consumer(&live.brokers)?;
    // What was there before is not ours.
    begin(&consumer, &live.decisions, ranges(&consumer, &live.decisions)?.iter().map(|(_, high)| *high))?;
    ranges(&consumer, &live.quotes)?;
    let now_ms = wall_clock_ms();
    let id = mix(now_ms as u64 ^ (u64::from(std::process::id()) << 48));
    let begin_ms = live.begin_ms.unwrap_or(now_ms);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(live.total as f64 / live.rate);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(live, &consumer, id, start, end + DRAIN));
        let killer = scope.spawn(|| kill.map_or(Ok(()), |kill| strike(kill, start)));
        let send_lag = send(live, &producer, &templates, id, begin_ms, start)?;
        let (received, repeated) = receiver.join().expect("the receiver does not panic");
        killer.join().expect("the killer does not panic")?;
        Ok(Run { rate: live.rate, received, repeated, send_lag })
    })
}

fn strike(kill: Kill, start: Instant) -> Result<()> {
    thread::sleep((start + kill.after).saturating_duration_since(Instant::now()));
    let killed = Command::new("kill").args(["-KILL", &kill.process.to_string()]).status().context("running kill")?;
    anyhow::ensure!(killed.success(), "process {} was not killed", kill.process);
    Ok(())
}

fn send(live: &Live, producer: &Producer, templates: &[Template], id: u64, begin_ms: i64, start: Instant) -> Result<Latencies> {
    let mut lag = Latencies::default();
    let mut value = Vec::with_capacity(4096);
    for (number, template) in (0..live.total).zip(templates.iter().cycle()) {
        let due = Duration::from_secs_f64(number as f64 / live.rate);
        if let Some(early) = (start + due).checked_duration_since(Instant::now()) {
            thread::sleep(early);
        }
        value.clear();
        template.append(&mut value, id, number, begin_ms + due.as_millis() as i64);
        let own_id;
        let key = match template.tenant() {
            _ if live.is_echo => {
                own_id = template::id(id, number);
                &own_id
            }
            "" => "default",
            tenant => tenant,
        };
        lag.record(start.elapsed().saturating_sub(due));
        producer.send(&live.quotes, key, &value)?;
    }
    producer.finish()?;
    Ok(lag)
}

/// Until every quote has a decision, or the deadline.
fn receive(live: &Live, consumer: &BaseConsumer, id: u64, start: Instant, deadline: Instant) -> (Vec<Option<Received>>, u64) {
    let mut received = vec![None; live.total as usize];
    let (mut missing, mut repeated) = (live.total, 0);
    while missing > 0 {
        let Some(record) = next(consumer, deadline) else { break };
        let at = start.elapsed();
        let quote = record.key().and_then(|key| template::number(id, key));
        let Some(slot) = quote.and_then(|quote| received.get_mut(quote as usize)) else { continue };
        if slot.is_none() {
            *slot = Some(Received { at, partition: record.partition() });
            missing -= 1;
        } else if number(&record, "revision") == Some(1) && text(&record, "answers").is_none() {
            repeated += 1;
        }
    }
    (received, repeated)
}
