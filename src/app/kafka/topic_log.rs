//! The partitions of a recorded topic as logs that are read from their beginning: what a backtest reads.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use indicatif::ProgressBar;

use super::replay::{BATCHES_WAITING, Recorded, Stretch, TopicArgs};
use crate::config::Config;
use crate::contract::rule_file::canonical_source;
use crate::engine::state::Settings;
use crate::engine::step::ArrivalClock;
use crate::engine::time::ArrivalTime;
use crate::pipeline::partition::owner::{Control, ControlError};
use crate::pipeline::partition::prepare::{Content, Ready};
use crate::pipeline::{Log, LogRecord, RecordKind, Source, StoreError};

/// One log for each partition.
///
/// # Errors
/// Brokers that do not answer, topics without a log.
pub fn logs(args: TopicArgs, config: Config) -> Result<Vec<Box<dyn Log>>> {
    let (recorded, stretches) = Recorded::open(args, config, |_| Ok(None))?;
    let recorded = Arc::new(recorded);
    Ok(stretches.into_iter().map(|stretch| Box::new(TopicLog::new(&recorded, stretch)) as Box<dyn Log>).collect())
}

/// A thread that fetches and prepares.
struct Reading {
    batches: Receiver<Vec<Ready>>,
    /// Until it has ended.
    thread: Option<JoinHandle<Result<()>>>,
}

struct TopicLog {
    recorded: Arc<Recorded>,
    stretch: Stretch,
    settings: Settings,
    /// Once the first page was asked for.
    reading: Option<Reading>,
    /// The greatest control record that a pointer has named.
    control_applied: Option<u64>,
    /// Hash of the book that is in force.
    in_force: Option<u64>,
}

impl TopicLog {
    fn new(recorded: &Arc<Recorded>, stretch: Stretch) -> TopicLog {
        let settings = recorded.settings_of(stretch.partition);
        TopicLog { recorded: recorded.clone(), stretch, settings, reading: None, control_applied: None, in_force: None }
    }

    fn start(&self) -> Result<Reading, StoreError> {
        let (batches, ready) = sync_channel(BATCHES_WAITING);
        let (recorded, stretch) = (self.recorded.clone(), self.stretch);
        let thread = thread::Builder::new().name("fetch".to_owned());
        let thread = thread.spawn(move || recorded.read(stretch, &batches, &ProgressBar::hidden()));
        Ok(Reading { batches: ready, thread: Some(thread.map_err(|error| StoreError::Unavailable(error.to_string()))?) })
    }

    /// None for a pointer that brings nothing new, several for one that brings more than one control record.
    fn records_of(&mut self, ready: Ready) -> Result<Vec<LogRecord>, StoreError> {
        let record = |kind, clock, tenant, body| LogRecord {
            offset: ready.last.offset,
            kind,
            clock,
            arrival: ArrivalTime(ready.last.arrival),
            source: Source::Stream,
            tenant,
            client: None,
            body,
        };
        let nothing = |kind, body| record(kind, ArrivalClock::Stream, "".into(), body);
        Ok(match ready.content {
            Content::Quote { clock, raw, .. } => {
                let tenant = String::from_utf8_lossy(raw.key.as_deref().unwrap_or_default()).into();
                vec![record(RecordKind::Quote, clock, tenant, raw.value.map(Vec::from).unwrap_or_default())]
            }
            Content::Pointer { control, .. } => {
                self.brought_by(control)?.into_iter().map(|(kind, body)| nothing(kind, body)).collect()
            }
            Content::Dead { .. } => vec![nothing(RecordKind::Skipped, Vec::new())],
        })
    }

    /// The book that a pointer puts in force, if it is another one, and the rulings.
    fn brought_by(&mut self, control: u64) -> Result<Vec<(RecordKind, Vec<u8>)>, StoreError> {
        if self.control_applied.is_some_and(|applied| control <= applied) {
            return Ok(Vec::new());
        }
        let book = match self.recorded.up_to(self.control_applied, control, Duration::ZERO) {
            Ok(brought) => brought.book,
            Err(ControlError::Impossible) => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::Refused(error.to_string())),
        };
        let rulings = self.recorded.rulings_between(self.control_applied, control);
        self.control_applied = Some(control);
        let new = book.filter(|book| self.in_force != Some(book.hash()));
        self.in_force = new.as_ref().map(|book| book.hash()).or(self.in_force);
        let book = new.map(|book| (RecordKind::RuleBook, canonical_source(&book).into_bytes()));
        Ok(book.into_iter().chain(rulings.map(|json| (RecordKind::Ruling, json))).collect())
    }
}

impl Log for TopicLog {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn records(&self) -> u64 {
        self.stretch.records()
    }

    fn newest_rule_book(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(newest) = self.recorded.newest_control() else { return Ok(None) };
        let brought = self.recorded.up_to(Some(newest), newest, Duration::ZERO);
        let book = brought.map_err(|error| StoreError::Refused(error.to_string()))?.book;
        Ok(book.map(|book| canonical_source(&book).into_bytes()))
    }

    /// Pages are as large as the batches of the reader.
    fn page(&mut self, _limit: usize) -> Result<Vec<LogRecord>, StoreError> {
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => self.start()?,
        };
        let mut page = Vec::new();
        while page.is_empty()
            && let Ok(batch) = reading.batches.recv()
        {
            for ready in batch {
                page.extend(self.records_of(ready)?);
            }
        }
        if let Some(thread) = reading.thread.take_if(|_| page.is_empty()) {
            let ended = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            ended.map_err(|error| StoreError::Unavailable(format!("{error:#}")))?;
        }
        self.reading = Some(reading);
        Ok(page)
    }
}
