//! `quoteguard export` and `export.dir`: decisions of the embedded log as Parquet files.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use xxhash_rust::xxh3::xxh3_64;

use super::rules_folder::Watching;
use crate::adapters::sqlite::Published;
use crate::adapters::warehouse::{Folder, Range, parts};
use crate::config::{Config, Flags};
use crate::contract::instant;
use crate::engine::time::EventTime;
use crate::fault;
use crate::metrics::Metrics;
use crate::pipeline::desk::feed::DecisionRecord;

/// Decisions of one run, and so of a file at the most. About 1.5 KB each are held meanwhile.
const ROWS_MAX: usize = 32_768;

#[derive(Args)]
pub struct ExportArgs {
    /// Folder of the files; what is there already is not written again
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Only decisions on quotes submitted at or after it (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only decisions on quotes submitted before it
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The service's SQLite file [default: storage.path]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Configuration file (TOML) [default: quoteguard.toml when it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Writes what was decided since the last run into that folder; the service may be running.
pub fn export(args: ExportArgs) -> Result<ExitCode> {
    let config = Config::load(&Flags { config: args.config, data: args.data, ..Flags::default() })?;
    if config.kafka.brokers.is_some() {
        return Err(anyhow!("kafka.brokers: the decisions are in the topic; let the warehouse read that"));
    }
    let mut exporter = Exporter::open(&config.storage.path, &args.to, Range { from: args.from, until: args.until })?;
    let (mut decisions, mut files) = (0, 0);
    while let Some(run) = exporter.run()? {
        decisions += run.decisions;
        files += run.files;
    }
    writeln!(stdout(), "{decisions} decisions in {files} new files")?;
    Ok(ExitCode::SUCCESS)
}

/// Exports every so often until told to stop.
pub(super) fn start(config: &Config, metrics: Arc<Metrics>) -> Result<Option<Watching>> {
    let Some(dir) = config.export.dir.clone() else { return Ok(None) };
    let (stop, stopped) = channel();
    let (path, every) = (config.storage.path.clone(), Duration::from_secs(config.export.every_secs));
    let run = move || follow(&path, &dir, every, &metrics, &stopped);
    Ok(Some((thread::Builder::new().name("export".to_owned()).spawn(run)?, stop)))
}

fn follow(path: &Path, dir: &Path, every: Duration, metrics: &Metrics, stop: &Receiver<()>) {
    let mut exporter = None;
    while stop.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        let done = exporter.take().map_or_else(|| Exporter::open(path, dir, Range::default()), Ok).and_then(|mut opened| {
            while let Some(run) = opened.run()? {
                metrics.exported(run.decisions);
            }
            Ok(opened)
        });
        match done {
            Ok(opened) => exporter = Some(opened),
            Err(error) => tracing::error!(error = format!("{error:#}"), "the export has failed; it is tried again"),
        }
    }
}

fn hash(record: &DecisionRecord) -> u64 {
    xxh3_64(record.json.as_bytes())
}

struct Exporter {
    published: Published,
    folder: Folder,
    from: Option<EventTime>,
    until: Option<EventTime>,
}

struct Run {
    decisions: usize,
    files: usize,
}

impl Exporter {
    fn open(path: &Path, dir: &Path, range: Range) -> Result<Exporter> {
        let time = |flag: &str, text: &Option<String>| {
            text.as_deref().map(instant::parse).transpose().map_err(|error| anyhow!("{flag}: {error}"))
        };
        let (from, until) = (time("--from", &range.from)?, time("--until", &range.until)?);
        let published = Published::open(path).with_context(|| path.display().to_string())?;
        let folder = Folder::open(dir, published.log_id(), &range)?;
        let mut exporter = Exporter { published, folder, from, until };
        exporter.check_last(dir)?;
        Ok(exporter)
    }

    /// A log that was rebuilt has its decisions in other places.
    fn check_last(&mut self, dir: &Path) -> Result<()> {
        let (next, _) = self.folder.stands();
        let (Some(last), Some(place)) = (self.folder.last(), next.checked_sub(1)) else { return Ok(()) };
        let (found, _) = self.published.page(place, Some(next), 1)?;
        match found.first() {
            Some(record) if hash(record) == last => Ok(()),
            _ => Err(anyhow!("{}: the log was rebuilt since; export it into another folder", dir.display())),
        }
    }

    /// The next files; `None` when everything is there.
    fn run(&mut self) -> Result<Option<Run>> {
        let (from, to) = self.folder.stands();
        // Whatever one run is now: what was begun is done to its end.
        let limit = if to.is_some() { usize::MAX >> 1 } else { ROWS_MAX };
        let (records, next) = self.published.page(from, to, limit)?;
        if records.is_empty() && to.is_none() {
            return Ok(None);
        }
        let to = to.unwrap_or(next);
        self.folder.begin(to)?;
        fault::point("export.begun");
        let last = records.last().map(hash);
        let wanted: Vec<DecisionRecord> = records.into_iter().filter(|record| self.is_wanted(record)).collect();
        let decisions = wanted.len();
        let parts = parts(wanted);
        for part in &parts {
            self.folder.write(part)?;
            fault::point("export.written");
        }
        self.folder.finish(last)?;
        Ok(Some(Run { decisions, files: parts.len() }))
    }

    fn is_wanted(&self, record: &DecisionRecord) -> bool {
        self.from.is_none_or(|from| record.event_time >= from) && self.until.is_none_or(|until| record.event_time < until)
    }
}
