//! `quoteguard replay`: recorded submissions through the same engine, as fast as the machine allows.
//!
//! Four stages joined by bounded channels of chunks: read, prepare (in parallel, order kept), decide (the one thread that
//! owns the state), write. A chunk is a few hundred records, so a hand-over costs nothing a record would feel.

mod chunk;
mod decide;
mod feed;
mod log;
mod prepare;
mod report;
mod write;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

use anyhow::{Context, Result};
use indicatif::ProgressBar;

pub use chunk::{Ready, ReadyRecord};
pub use feed::{Feed, open};
pub use log::Replayed;
pub use report::Report;

use crate::adapters::file::rejects_path;
use crate::contract::csv::CsvMapping;
use crate::engine::rules::RuleBook;
use crate::engine::state::Settings;
use crate::pipeline::Log;
use chunk::Chunk;

/// Chunks waiting between two stages. Beyond: the faster stage waits.
const CHUNKS_WAITING: usize = 4;

/// How far each record goes: what is left out shows what it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Read and cut into records: the floor.
    Read,
    /// Decode the bytes to a quote.
    Decode,
    /// Normalise and compute blocking keys.
    Prepare,
    /// Decide and write.
    #[default]
    Full,
}

pub enum Inputs {
    /// In the order of the log; `-` is stdin. The mapping is for CSV.
    Files(Vec<PathBuf>, CsvMapping),
    Log(Box<dyn Log>),
}

pub struct Options {
    pub inputs: Inputs,
    pub decisions: PathBuf,
    /// Beside the decisions when not given.
    pub rejects: Option<PathBuf>,
    /// In force from the first record to the last; `None` for those that a recorded log holds.
    pub rules: Option<RuleBook>,
    /// `log_id` is replaced by the recorded log's.
    pub settings: Settings,
    pub depth: Depth,
    /// Threads that prepare.
    pub preparers: usize,
    pub progress: ProgressBar,
}

/// Threads that prepare on this machine: one core is the decider's.
pub fn preparers() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1)).clamp(1, 8)
}

/// Runs the whole replay on threads of its own and returns when everything is written.
///
/// # Errors
/// Files that cannot be read or written, and a damaged recorded log. A record that is no quote is not an error.
pub fn run(options: Options) -> Result<Report> {
    let Options { inputs, decisions, rejects, rules, settings, depth, preparers, progress } = options;
    let feed = open(inputs, progress.clone())?;
    let settings = feed.settings(settings);
    let decider = decide::Decider::new(Replayed::new(settings, rules));
    let rejects = rejects.unwrap_or_else(|| rejects_path(&decisions));
    let writer = (depth == Depth::Full).then(|| write::Writer::create(&decisions, &rejects)).transpose()?;
    let report = thread::scope(|scope| {
        let prepared = feed.prepare(scope, preparers, depth)?;
        let (emit, emitted) = sync_channel(CHUNKS_WAITING);
        let write = |writer: write::Writer| stage("write").spawn_scoped(scope, move || writer.run(&emitted));
        let writing = writer.map(write).transpose()?;
        let decided = decider.run(prepared, emit, depth);
        let written = writing.map_or(Ok(Ok(())), thread::ScopedJoinHandle::join);
        written.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).context("writing the decisions")?;
        decided
    })?;
    progress.finish_and_clear();
    Ok(report)
}

impl Feed {
    /// Reads and prepares on threads of their own. Chunks come in order, one from each lane in turn, until a lane ends or an error.
    ///
    /// # Errors
    /// A machine without threads to spare.
    pub fn prepare<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        preparers: usize,
        depth: Depth,
    ) -> Result<Vec<Receiver<Result<Ready>>>> {
        let Lanes { work, preparers, prepared } = Lanes::new(preparers.max(1));
        for (chunks, out) in preparers {
            stage("prepare").spawn_scoped(scope, move || prepare::run(&chunks, &out, depth))?;
        }
        stage("read").spawn_scoped(scope, move || self.run(&work))?;
        Ok(prepared)
    }
}

/// A named thread, so that a profile tells the stages apart.
fn stage(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

/// Chunk `i` takes lane `i % n` on both sides of the preparers, which keeps the order without a reorder buffer.
struct Lanes {
    work: Vec<SyncSender<Result<Chunk>>>,
    preparers: Vec<Preparer>,
    prepared: Vec<Receiver<Result<Ready>>>,
}

/// The two ends of one preparer.
type Preparer = (Receiver<Result<Chunk>>, SyncSender<Result<Ready>>);

impl Lanes {
    fn new(count: usize) -> Lanes {
        let mut lanes = Lanes { work: Vec::new(), preparers: Vec::new(), prepared: Vec::new() };
        for _ in 0..count {
            let (chunk_in, chunk_out) = sync_channel(CHUNKS_WAITING);
            let (ready_in, ready_out) = sync_channel(CHUNKS_WAITING);
            lanes.work.push(chunk_in);
            lanes.preparers.push((chunk_out, ready_in));
            lanes.prepared.push(ready_out);
        }
        lanes
    }
}
