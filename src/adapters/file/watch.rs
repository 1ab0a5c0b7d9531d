//! A watched folder as a continuous source: every JSONL and CSV file is read once, from where the checkpoint says.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use xxhash_rust::xxh3::xxh3_64;

use super::{Columns, Format, Next, RecordReader, Refused, format_of, read_quote};
use crate::contract::csv::CsvMapping;
use crate::engine::step::ArrivalClock;
use crate::pipeline::pipelines::{Pipeline, Standing};
use crate::pipeline::queue::{Job, Payload, Queue};
use crate::pipeline::{DeadLetter, FileIdent, FilePosition, Progress, Source};

/// Records in the queue at once: files wait, so that interactive quotes always find room.
const IN_FLIGHT_MAX: usize = 128;
/// First bytes that tell one file from another under the same name.
const PREFIX_BYTES_MAX: u64 = 4096;
/// A last record without a line end is taken once its file has not grown for this long.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// Positions of files that are gone. Beyond: those gone longest are forgotten before their time.
const GONE_MAX: usize = 10_000;

pub struct Watch {
    folder: PathBuf,
    poll: Duration,
    queue: Queue,
    pipeline: Arc<Pipeline>,
    runtime: Handle,
    room: Arc<Semaphore>,
    positions: BTreeMap<Box<str>, FilePosition>,
    /// What a file looked like when it was last read to its end, and since when.
    rested: BTreeMap<Box<str>, Rested>,
    /// Files with a position that are no longer in the folder, and since when this process has missed them.
    gone: BTreeMap<Box<str>, Instant>,
    forget_after: Duration,
}

#[derive(Clone, Copy, PartialEq)]
struct Rested {
    len: u64,
    modified: Option<SystemTime>,
    since: Instant,
    /// Nothing is left, not even an unterminated record.
    whole: bool,
}

/// Why reading ends in the middle.
enum Stop {
    /// The service is shutting down.
    Asked,
    /// An operator holds the pipeline.
    Held,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

impl Watch {
    /// `positions` are those of the checkpoint. One is forgotten when its file has been gone for `forget_after`: under that name
    /// whatever comes then is a new file, read from its beginning.
    pub fn new(
        folder: PathBuf,
        poll: Duration,
        forget_after: Duration,
        queue: Queue,
        pipeline: Arc<Pipeline>,
        positions: Vec<FilePosition>,
    ) -> Watch {
        let positions = positions.into_iter().map(|position| (position.name.clone(), position)).collect();
        let (room, runtime) = (Arc::new(Semaphore::new(IN_FLIGHT_MAX)), Handle::current());
        let (rested, gone) = (BTreeMap::new(), BTreeMap::new());
        Watch { folder, poll, queue, pipeline, runtime, room, positions, rested, gone, forget_after }
    }

    /// Polls until the sender of `stop` is dropped. Blocks its thread.
    pub fn run(mut self, stop: &Receiver<()>) {
        loop {
            match self.scan(stop) {
                Ok(()) => self.pipeline.fails(None),
                Err(Stop::Held) => {}
                Err(Stop::Asked) => return,
                Err(Stop::Io(error)) => {
                    self.pipeline.fails(Some(format!("the folder cannot be read: {error}")));
                    tracing::warn!(folder = %self.folder.display(), %error, "the watched folder cannot be read; trying again");
                }
            }
            if stop.recv_timeout(self.poll) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn scan(&mut self, stop: &Receiver<()>) -> Result<(), Stop> {
        if !self.pipeline.is_open() {
            return Err(Stop::Held);
        }
        let mut names = fs::read_dir(&self.folder)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_source(name))
            .collect::<Vec<_>>();
        names.sort_unstable();
        self.forget_gone(&names)?;
        for name in names {
            match self.read_file(&name, stop) {
                Ok(()) => {}
                Err(stop @ (Stop::Asked | Stop::Held)) => return Err(stop),
                Err(Stop::Io(error)) => tracing::warn!(file = name, %error, "a watched file cannot be read; trying again"),
            }
        }
        Ok(())
    }

    /// `names` are those of the folder, sorted.
    fn forget_gone(&mut self, names: &[String]) -> Result<(), Stop> {
        let is_here = |name: &str| names.binary_search_by(|other| other.as_str().cmp(name)).is_ok();
        self.gone.retain(|name, _| !is_here(name));
        for name in self.positions.keys().filter(|name| !is_here(name)) {
            self.gone.entry(name.clone()).or_insert_with(Instant::now);
        }
        let mut longest_first: Vec<(Instant, Box<str>)> = self.gone.iter().map(|(name, since)| (*since, name.clone())).collect();
        longest_first.sort_unstable();
        let surplus = longest_first.len().saturating_sub(GONE_MAX);
        for (i, (since, name)) in longest_first.into_iter().enumerate() {
            if i >= surplus && since.elapsed() < self.forget_after {
                break;
            }
            self.enqueue(Payload::Forget(name.clone()), None)?;
            self.positions.remove(&name);
            self.rested.remove(&name);
            self.gone.remove(&name);
            tracing::info!(file = &*name, "a watched file is gone; its position is forgotten");
        }
        Ok(())
    }

    fn read_file(&mut self, name: &str, stop: &Receiver<()>) -> Result<(), Stop> {
        let path = self.folder.join(name);
        let meta = path.metadata()?;
        if !meta.is_file() {
            return Ok(());
        }
        let (len, modified) = (meta.len(), meta.modified().ok());
        let rested = self.rested.get(name).copied().filter(|rested| rested.len == len && rested.modified == modified);
        let settled = rested.is_some_and(|rested| rested.since.elapsed() >= SETTLED_AFTER);
        if rested.is_some_and(|rested| rested.whole || !settled) {
            return Ok(());
        }
        let mut file = File::open(&path)?;
        let start = self.start(name, &mut file, len)?;
        let whole = self.read_records(file, &path, start, settled, stop)?;
        let since = rested.map_or_else(Instant::now, |rested| rested.since);
        self.rested.insert(name.into(), Rested { len, modified, since, whole });
        Ok(())
    }

    /// Where to go on: the known position, or the beginning of a file not seen before.
    fn start(&self, name: &str, file: &mut File, len: u64) -> io::Result<FilePosition> {
        let known = self.positions.get(name);
        if let Some(known) = known {
            if len >= known.byte_offset && ident(file, known.ident.prefix_bytes)? == known.ident {
                return Ok(known.clone());
            }
            tracing::warn!(file = name, "another file under a name already read: reading it from the beginning");
        }
        let ident = ident(file, len.min(PREFIX_BYTES_MAX))?;
        Ok(FilePosition { name: name.into(), ident, byte_offset: 0, lines: 0 })
    }

    /// Submits every record from `position` on; returns whether nothing was left over.
    fn read_records(
        &mut self,
        mut file: File,
        path: &Path,
        mut position: FilePosition,
        settled: bool,
        stop: &Receiver<()>,
    ) -> Result<bool, Stop> {
        let format = format_of(path);
        let columns = match format {
            Format::Jsonl => None,
            Format::Csv => match header(&mut file, &mut position)? {
                Some(columns) => Some(columns),
                None => return Ok(true),
            },
        };
        file.seek(SeekFrom::Start(position.byte_offset))?;
        let mut reader = RecordReader::new(BufReader::new(file), format, position.byte_offset, position.lines);
        let mut record = Vec::new();
        loop {
            if stop.try_recv() == Err(TryRecvError::Disconnected) {
                return Err(Stop::Asked);
            }
            let Some(_passage) = self.pipeline.enter() else { return Err(Stop::Held) };
            record.clear();
            let next = reader.next(&mut record)?;
            match next {
                Next::End => return Ok(true),
                Next::Unterminated if !settled => return Ok(false),
                Next::Record | Next::TooLong | Next::Unterminated => {}
            }
            position.byte_offset = reader.byte_offset();
            position.lines = reader.lines() + u64::from(next == Next::Unterminated);
            let read = if next == Next::TooLong { Err(Refused::too_long()) } else { read_quote(&record, columns.as_ref()) };
            let payload = match read {
                Ok((quote, json)) => Payload::quote(quote, json.into_owned()),
                Err(refused) => Payload::Skipped(dead_letter(refused, &position, &record)),
            };
            self.enqueue(payload, Some(Progress::File(position.clone())))?;
            let standing = format!("{}:{}", position.name, position.lines);
            self.pipeline.took(1);
            self.pipeline.stands(Standing { position: standing, ..Standing::default() });
            self.positions.insert(position.name.clone(), position.clone());
        }
    }

    fn enqueue(&self, payload: Payload, progress: Option<Progress>) -> Result<(), Stop> {
        let permit = self.runtime.block_on(self.room.clone().acquire_owned()).map_err(|_| Stop::Asked)?;
        let job = Job {
            payload,
            clock: ArrivalClock::Event,
            source: Source::File,
            client: None,
            progress,
            reply: None,
            room: Some(permit),
            submitted: Instant::now(),
            span: None,
        };
        self.queue.submit_blocking(job).map_err(|_| Stop::Asked)
    }
}

/// Hidden and half-written files are left alone.
fn is_source(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    !name.starts_with('.') && matches!(extension, Some("jsonl" | "ndjson" | "csv"))
}

/// Reads the header, and leaves a position at the beginning behind it. `None`, with a warning, when it is of no use.
fn header(file: &mut File, position: &mut FilePosition) -> io::Result<Option<Columns>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    let mut reader = RecordReader::new(BufReader::new(file), Format::Csv, 0, 0);
    if reader.next(&mut bytes)? != Next::Record {
        return Ok(None); // Not there yet, or without end: looked at again when the file changes.
    }
    if position.byte_offset == 0 {
        (position.byte_offset, position.lines) = (reader.byte_offset(), reader.lines());
    }
    match Columns::parse(&bytes, &CsvMapping::default()) {
        Ok(columns) => Ok(Some(columns)),
        Err(refused) => {
            tracing::warn!(
                file = &*position.name,
                error = refused.error,
                "a CSV header cannot be read; the file waits for a change"
            );
            Ok(None)
        }
    }
}

fn dead_letter(refused: Refused, position: &FilePosition, record: &[u8]) -> DeadLetter {
    let Refused { reason, error, pointer } = refused;
    let file = Some((position.name.clone(), position.lines));
    DeadLetter { offset: 0, reason, error, pointer, file, raw: record.to_vec() }
}

fn ident(file: &mut File, prefix_bytes: u64) -> io::Result<FileIdent> {
    file.seek(SeekFrom::Start(0))?;
    let mut prefix = Vec::new();
    file.take(prefix_bytes).read_to_end(&mut prefix)?;
    Ok(FileIdent { prefix_bytes: prefix.len() as u64, prefix_hash: xxh3_64(&prefix) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finished_quote_files_are_sources() {
        for (name, expected) in [
            ("a.jsonl", true),
            ("a.ndjson", true),
            ("a.csv", true),
            (".a.jsonl", false),
            ("a.jsonl.tmp", false),
            ("a.csv.part", false),
            ("a.jsonl.gz", false),
            ("readme.txt", false),
            ("jsonl", false),
        ] {
            assert_eq!(is_source(name), expected, "{name}");
        }
    }
}
