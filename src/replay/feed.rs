//! The first stage: files or a recorded log, cut into chunks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::ProgressBar;

use super::Inputs;
use super::chunk::{CHUNK_RECORDS, Chunk, Line, Lines};
use crate::adapters::file::{self, Columns, Format, Next, RecordReader};
use crate::contract::csv::CsvMapping;
use crate::engine::state::Settings;
use crate::pipeline::Log;

pub enum Feed {
    Files { paths: Vec<PathBuf>, mapping: CsvMapping, progress: ProgressBar },
    Log { log: Box<dyn Log>, progress: ProgressBar },
}

/// Looks at the inputs and sets the length of the progress bar.
pub fn open(inputs: Inputs, progress: ProgressBar) -> Result<Feed> {
    let (paths, mapping) = match inputs {
        Inputs::Files(paths, mapping) => (paths, mapping),
        Inputs::Log(log) => {
            progress.set_length(log.records());
            return Ok(Feed::Log { log, progress });
        }
    };
    let mut bytes = Some(0);
    for path in &paths {
        if path == Path::new("-") {
            bytes = None;
            continue;
        }
        let size = path.metadata().with_context(|| path.display().to_string())?.len();
        bytes = bytes.map(|sum: u64| sum + size);
    }
    if let Some(bytes) = bytes {
        progress.set_length(bytes);
    }
    Ok(Feed::Files { paths, mapping, progress })
}

impl Feed {
    /// A recorded log brings its own identity and settings.
    pub fn settings(&self, given: Settings) -> Settings {
        match self {
            Feed::Files { .. } => given,
            Feed::Log { log, .. } => log.settings().clone(),
        }
    }

    /// Sends every chunk to lane `i % n`; an error is the last thing sent. Ends early when nobody listens.
    pub fn run(self, work: &[SyncSender<Result<Chunk>>]) {
        let mut lanes = work.iter().cycle();
        let mut send = |chunk: Result<Chunk>| lanes.next().is_some_and(|lane| lane.send(chunk).is_ok());
        let done = match self {
            Feed::Files { paths, mapping, progress } => paths.iter().try_fold(true, |listening, path| {
                if !listening {
                    return Ok(false);
                }
                feed_file(path, &mapping, &progress, &mut send).with_context(|| path.display().to_string())
            }),
            Feed::Log { mut log, progress } => feed_log(&mut *log, &progress, &mut send),
        };
        if let Err(error) = done {
            send(Err(error));
        }
    }
}

/// Returns whether somebody still listens.
fn feed_file(
    path: &Path,
    mapping: &CsvMapping,
    progress: &ProgressBar,
    send: &mut dyn FnMut(Result<Chunk>) -> bool,
) -> Result<bool> {
    let name: Arc<str> = if path == Path::new("-") { "stdin".into() } else { path.to_string_lossy().into() };
    let format = file::format_of(path);
    let counter = progress.clone();
    let input = file::open(path, move |read| counter.inc(read))?;
    let mut reader = RecordReader::new(input, format, 0, 0);
    let mut columns = None;
    if format == Format::Csv {
        let mut header = Vec::new();
        match reader.next(&mut header)? {
            Next::End => return Ok(true),
            Next::TooLong => bail!("the header is longer than a record may be"),
            Next::Record | Next::Unterminated => {}
        }
        columns = Some(Arc::new(Columns::parse(&header, mapping).map_err(|refused| anyhow!("the header: {}", refused.error))?));
    }
    loop {
        let lines = Lines { file: name.clone(), columns: columns.clone(), bytes: Vec::new(), records: Vec::new() };
        let (lines, more) = fill(&mut reader, lines)?;
        if !lines.records.is_empty() && !send(Ok(Chunk::Lines(lines))) {
            return Ok(false);
        }
        if !more {
            return Ok(true);
        }
    }
}

fn fill(reader: &mut RecordReader<file::Input>, mut lines: Lines) -> Result<(Lines, bool)> {
    lines.records.reserve(CHUNK_RECORDS);
    lines.bytes.reserve(CHUNK_RECORDS * 1024);
    while lines.records.len() < CHUNK_RECORDS {
        let next = reader.next(&mut lines.bytes)?;
        if next == Next::End {
            return Ok((lines, false));
        }
        // An unterminated record's line has not been counted.
        let number = reader.lines() + u64::from(next == Next::Unterminated);
        lines.records.push(Line { end: lines.bytes.len(), number, is_too_long: next == Next::TooLong });
    }
    Ok((lines, true))
}

fn feed_log(log: &mut dyn Log, progress: &ProgressBar, send: &mut dyn FnMut(Result<Chunk>) -> bool) -> Result<bool> {
    loop {
        let records = log.page(CHUNK_RECORDS)?;
        if records.is_empty() {
            return Ok(true);
        }
        progress.inc(records.len() as u64);
        if !send(Ok(Chunk::Log(records))) {
            return Ok(false);
        }
    }
}
