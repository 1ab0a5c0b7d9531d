//! `quoteguard replay --topic`: the partitions of a recorded topic, each through the writer that decides it live, into files.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use indicatif::ProgressBar;

use super::{adapter, compiled, fetched, refuse_another_clock, ruling};
use crate::adapters::file::{Reject, RejectsWriter};
use crate::adapters::kafka::{ControlCopy, Fetched, From, KafkaConfig, Reader, Topic, between, read};
use crate::config::Config;
use crate::contract::decision::ENGINE_VERSION;
use crate::contract::instant;
use crate::contract::kafka::{ANSWERS, ERROR, SOURCE_OFFSET, SOURCE_PARTITION};
use crate::engine::decide::Books;
use crate::engine::rules::RuleBook;
use crate::engine::state::{Settings, State};
use crate::engine::step::ArrivalClock;
use crate::engine::time::Arrivals;
use crate::metrics::Metrics;
use crate::pipeline::checkpoint::Manifest;
use crate::pipeline::partition::frontier::Frontier;
use crate::pipeline::partition::load::Loaded;
use crate::pipeline::partition::owner::{Brought, Control, ControlError, Emit, Outgoing, OutgoingKind, Owner};
use crate::pipeline::partition::prepare::{Place, Ready, prepare};
use crate::pipeline::partition::waiters::Waiters;
use crate::pipeline::{StoreError, fixed};

/// Records that go from the reader to the decider at once, and how many such batches wait there. Beyond: the reader waits.
const BATCH_RECORDS: usize = 512;
pub(super) const BATCHES_WAITING: usize = 4;

#[derive(Args, Clone, Debug)]
pub struct TopicArgs {
    /// Decide on a topic of quotes instead of files: brokers and the other topics are those of `[kafka]`
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Begin with what was appended then: a date (midnight UTC) or an RFC 3339 time [default: the beginning]
    #[arg(long, value_name = "TIME", requires = "topic", value_parser = time_ms)]
    from: Option<i64>,
    /// One partition instead of all
    #[arg(long, value_name = "N", requires = "topic")]
    partition: Option<u32>,
}

impl TopicArgs {
    pub fn is_given(&self) -> bool {
        self.topic.is_some()
    }
}

/// Milliseconds since 1970.
fn time_ms(text: &str) -> Result<i64, String> {
    let time = instant::parse(text).or_else(|_| instant::parse(&format!("{text}T00:00:00Z")));
    time.map(|time| time.0 / 1_000)
        .map_err(|_| "give a date such as 2026-11-01, or a time such as 2026-11-01T08:00:00Z".to_owned())
}

/// What all partitions are decided with.
pub(super) struct Recorded {
    config: KafkaConfig,
    settings: Settings,
    partitions: NonZeroU32,
    is_event_time: bool,
    control: ControlCopy,
    /// In force throughout; those of the log keep their places, without effect.
    rules: Option<RuleBook>,
}

/// One partition's stretch of the log.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub partition: u32,
    /// First offset that the log holds.
    low: u64,
    /// First offset that is decided.
    start: u64,
    end: u64,
}

impl Stretch {
    pub(super) fn records(&self) -> u64 {
        self.end - self.low
    }
}

/// What was decided of one partition. Position and digests are those of a checkpoint at its end.
pub struct PartitionReport {
    partition: u32,
    records: u64,
    decisions: u64,
    dead_letters: u64,
    next_offset: u64,
    held_digest: u64,
    digest: u64,
}

pub struct TopicReport(Vec<PartitionReport>);

impl fmt::Display for TopicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition   records decisions dead_letters next_offset held_digest      digest")?;
        for of in &self.0 {
            write!(f, "\n{:>9}{:>10}{:>10}", of.partition, of.records, of.decisions)?;
            write!(f, "{:>13}{:>12} {:016x} {:016x}", of.dead_letters, of.next_offset, of.held_digest, of.digest)?;
        }
        Ok(())
    }
}

/// Decides every partition up to the end it has now. Nothing is written to Kafka, and no group is joined.
///
/// # Errors
/// Brokers that do not answer, topics without a log, files that cannot be written.
pub fn replay(
    args: TopicArgs,
    config: Config,
    rules: impl FnOnce(i64) -> Result<Option<RuleBook>>,
    outputs: (&Path, &Path),
    progress: ProgressBar,
) -> Result<TopicReport> {
    let (recorded, stretches) = Recorded::open(args, config, rules)?;
    let recorded = Arc::new(recorded);
    let mut files = Files::create(outputs, &recorded.config.topics.quotes)?;
    progress.set_length(stretches.iter().map(Stretch::records).sum());
    let mut reports = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        if stretch.start > 0 {
            let Stretch { partition, start, .. } = stretch;
            eprintln!(
                "partition {partition}: begins at offset {start}; quotes before it are not counted in the windows after it"
            );
        }
        reports.push(recorded.decide(stretch, &mut files, &progress)?);
    }
    files.flush()?;
    progress.finish_and_clear();
    Ok(TopicReport(reports))
}

fn stretches(kafka: &KafkaConfig, from: Option<i64>, only: Option<u32>) -> Result<(Vec<Stretch>, NonZeroU32)> {
    let reader = Reader::open(kafka, Topic::Quotes)?;
    let partitions = NonZeroU32::new(reader.partitions()?).context("the topic has no partition")?;
    if let Some(only) = only.filter(|only| *only >= partitions.get()) {
        return Err(anyhow!("--partition: there is no partition {only}, the topic has {partitions}"));
    }
    let chosen = only.map_or(0..partitions.get(), |only| only..only + 1);
    let stretch = |partition: u32| -> Result<Stretch> {
        let number = i32::try_from(partition)?;
        let (low, end) = reader.range(number)?;
        let start = match from {
            Some(time_ms) => reader.offset_at(number, time_ms)?.unwrap_or(end),
            None => low,
        };
        Ok(Stretch { partition, low, start, end })
    };
    Ok((chosen.map(stretch).collect::<Result<_>>()?, partitions))
}

impl Recorded {
    /// What is recorded now: `rules` are given the window that the log keeps, seconds.
    pub(super) fn open(
        args: TopicArgs,
        mut config: Config,
        rules: impl FnOnce(i64) -> Result<Option<RuleBook>>,
    ) -> Result<(Recorded, Vec<Stretch>)> {
        if let Some(topic) = args.topic {
            config.kafka.topics.quotes = topic;
        }
        let kafka = adapter(&config)?;
        // Ends first: whatever a pointer before them names is in the control topic by then.
        let (stretches, partitions) = stretches(&kafka, args.from, args.partition)?;
        let control = ControlCopy::read(&kafka)?;
        if control.log.partitions != partitions.get() {
            let (topic, was) = (&kafka.topics.quotes, control.log.partitions);
            return Err(anyhow!(
                "{topic} has {partitions} partitions and had {was} when the log was made: name the topic of this log"
            ));
        }
        let settings = fixed::read(&control.log.settings, &control.log.log_id, 0)?;
        let rules = rules(settings.retention_secs)?;
        refuse_another_clock(&config, &control.log)?;
        let is_event_time = config.time.arrival.clock() == ArrivalClock::Event;
        Ok((Recorded { config: kafka, settings, partitions, is_event_time, control, rules }, stretches))
    }

    /// Those of one partition.
    pub(super) fn settings_of(&self, partition: u32) -> Settings {
        Settings { partition, ..self.settings.clone() }
    }

    /// The last record of the control topic.
    pub(super) fn newest_control(&self) -> Option<u64> {
        self.control.next.checked_sub(1)
    }

    /// The JSON of each.
    pub(super) fn rulings_between(&self, after: Option<u64>, offset: u64) -> impl Iterator<Item = Vec<u8>> {
        between(&self.control.rulings, after, offset).iter().map(|record| record.json.to_vec())
    }

    fn decide(self: &Arc<Self>, stretch: Stretch, files: &mut Files, progress: &ProgressBar) -> Result<PartitionReport> {
        let before = (files.decisions_count, files.rejects_count);
        let metrics = Arc::new(Metrics::new()?);
        let (loaded, control) = (self.empty(stretch.partition), self.clone());
        let mut owner = Owner::new(loaded, &mut *files, Frontier::default(), control, Arc::new(Waiters::default()), metrics);
        let (batches, ready) = sync_channel(BATCHES_WAITING);
        let (recorded, counter) = (self.clone(), progress.clone());
        let reading = thread::Builder::new().name("read".to_owned());
        let reading = reading.spawn(move || recorded.read(stretch, &batches, &counter))?;
        let mut records = 0;
        for batch in ready {
            for record in batch {
                records += u64::from(record.last.offset >= stretch.start);
                owner.take(record)?;
            }
            // Nobody saves them.
            owner.forgive();
        }
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let state = owner.state();
        let (next_offset, held_digest, digest) = (state.next_offset(), state.held_digest(), state.digest());
        drop(owner);
        let (decisions, dead_letters) = (files.decisions_count - before.0, files.rejects_count - before.1);
        Ok(PartitionReport { partition: stretch.partition, records, decisions, dead_letters, next_offset, held_digest, digest })
    }

    /// The state before the first record.
    fn empty(&self, partition: u32) -> Loaded {
        let (mut state, mut books) = (State::new(self.settings_of(partition)), Books::default());
        if let Some(book) = &self.rules {
            state.restore(0, Arrivals::default(), vec![(0, book.reference())]);
            books.add(Arc::new(book.clone()));
        }
        let partitions = self.partitions.get();
        let manifest = Manifest { engine_version: ENGINE_VERSION.into(), partitions, ..Manifest::default() };
        Loaded { state, books, manifest, base: None }
    }

    /// Reads and prepares the stretch. Of what lies before it only the pointers are taken, for the rule book that is in force.
    pub(super) fn read(&self, stretch: Stretch, batches: &SyncSender<Vec<Ready>>, progress: &ProgressBar) -> Result<()> {
        let Stretch { partition, low, start, end } = stretch;
        let place = Place { partition, partitions: self.partitions, is_event_time: self.is_event_time };
        let mut batch = Vec::with_capacity(BATCH_RECORDS);
        read(&self.config, Topic::Quotes, i32::try_from(partition)?, From::Offset(low), &mut |record| {
            if record.offset() >= end {
                return ControlFlow::Break(());
            }
            progress.inc(1);
            let record = fetched(Fetched::from(record));
            if record.offset >= start || record.is_pointer {
                batch.push(prepare(record, place));
            }
            let is_full = batch.len() == BATCH_RECORDS;
            match is_full.then(|| batches.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH_RECORDS)))) {
                // The decider failed, and says why.
                Some(Err(_)) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        })?;
        let _ = batches.send(batch);
        Ok(())
    }
}

impl Control for Recorded {
    fn up_to(&self, applied: Option<u64>, offset: u64, _wait: Duration) -> Result<Brought, ControlError> {
        if offset >= self.control.next {
            return Err(ControlError::Impossible);
        }
        let books = self.control.books.iter().take_while(|book| book.offset <= offset);
        let book = books.last().filter(|_| self.rules.is_none()).map(compiled).transpose()?;
        let rulings = between(&self.control.rulings, applied, offset).iter().map(ruling).collect::<Result<_, _>>()?;
        Ok(Brought { book, rulings })
    }
}

/// The decisions and rejects of all partitions.
struct Files {
    topic: Box<str>,
    decisions: BufWriter<File>,
    rejects: RejectsWriter,
    decisions_count: u64,
    rejects_count: u64,
}

impl Files {
    fn create((decisions, rejects): (&Path, &Path), topic: &str) -> Result<Files> {
        let file = File::create(decisions).with_context(|| decisions.display().to_string())?;
        let rejects = RejectsWriter::create(rejects).with_context(|| rejects.display().to_string())?;
        Ok(Files { topic: topic.into(), decisions: BufWriter::new(file), rejects, decisions_count: 0, rejects_count: 0 })
    }

    fn flush(&mut self) -> Result<()> {
        self.decisions.flush().context("writing the decisions")?;
        self.rejects.flush().context("writing the rejects")
    }

    fn write(&mut self, record: Outgoing) -> std::io::Result<()> {
        let Outgoing { kind, value, headers, .. } = record;
        let header = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| String::from_utf8_lossy(value));
        let raw = value.map(Vec::from).unwrap_or_default();
        match kind {
            // What stands already, told again.
            OutgoingKind::Decision if header(ANSWERS).is_some() => {}
            OutgoingKind::Decision => {
                self.decisions_count += 1;
                self.decisions.write_all(&raw)?;
                self.decisions.write_all(b"\n")?;
            }
            OutgoingKind::DeadLetter => {
                self.rejects_count += 1;
                let number = |name| header(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
                let file = format!("{}/{}", self.topic, number(SOURCE_PARTITION)).into();
                let error = header(ERROR).unwrap_or_default().into_owned();
                self.rejects.write(&Reject { file, line: number(SOURCE_OFFSET) + 1, error, pointer: String::new(), raw })?;
            }
        }
        Ok(())
    }
}

impl Emit for &mut Files {
    fn emit(&mut self, record: Outgoing) -> Result<(), StoreError> {
        self.write(record).map_err(|error| StoreError::Refused(format!("writing the decisions: {error}")))
    }

    fn acknowledged(&self) -> u64 {
        self.decisions_count + self.rejects_count
    }

    fn decisions_end(&self) -> u64 {
        0
    }
}
