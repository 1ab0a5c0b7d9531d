//! The pipelines of a service: how each source is held, and `quoteguard pipelines`, which talks to a running one.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use clap::Subcommand;

use super::rules_remote::Remote;
use crate::config::Config;
use crate::contract::pipelines::{PipelineActV1, PipelineStateV1, PipelineV1};
use crate::metrics::Metrics;
use crate::pipeline::pipelines::{HTTP, Hands, NewPipeline, Pipeline, Pipelines, Standing};
use crate::pipeline::queue::{Queue, QueueView};

/// How often a drain is asked after.
const POLL: Duration = Duration::from_millis(200);

/// A source that asks at its door for every record, and submits to a queue.
struct ByQueue {
    queue: QueueView,
    /// What waits there is its lag.
    is_all: bool,
}

impl Hands for ByQueue {
    fn settle(&self, patience: Duration) -> bool {
        self.queue.settle(patience)
    }

    fn look(&self) -> Option<Standing> {
        let lag_records = Some(self.queue.len() as u64);
        self.is_all.then(|| Standing { lag_records, ..Standing::default() })
    }
}

/// Opens the file of the orders, beside the log's.
pub(super) fn open(config: &Config, metrics: Arc<Metrics>) -> Result<Arc<Pipelines>> {
    let stem = config.storage.path.file_stem().unwrap_or_default().to_string_lossy();
    let file: PathBuf = config.storage.path.with_file_name(format!("{stem}-pipelines.json"));
    Ok(Arc::new(Pipelines::open(file, metrics)?))
}

/// The pipeline of the checks.
pub(super) fn door(pipelines: &Pipelines, config: &Config, queue: &Queue) -> Arc<Pipeline> {
    let sinks = if config.kafka.brokers.is_some() { vec!["quotes topic"] } else { sinks(config) };
    let hands = Box::new(ByQueue { queue: queue.view(), is_all: true });
    pipelines.add(NewPipeline { name: HTTP.to_owned(), source: format!("HTTP {}", config.http.listen), sinks, hands })
}

/// Of what is in the embedded log.
fn sinks(config: &Config) -> Vec<&'static str> {
    if config.export.dir.is_some() { vec!["log", "desk", "parquet"] } else { vec!["log", "desk"] }
}

/// The pipeline of a source that the embedded log is fed by.
pub(super) fn fed(pipelines: &Pipelines, config: &Config, name: String, source: String, queue: &Queue) -> Arc<Pipeline> {
    let hands = Box::new(ByQueue { queue: queue.view(), is_all: false });
    pipelines.add(NewPipeline { name, source, sinks: sinks(config), hands })
}

#[derive(Subcommand)]
pub enum PipelinesCommand {
    /// Show each source of a running service: state, position, lag, rate
    List(Remote),
    /// Let a source take nothing until it is resumed; kept over restarts
    Pause {
        /// As `pipelines list` names it
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Let a paused or drained source go on
    Resume {
        /// As `pipelines list` names it
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Let a source take nothing more, and wait until all it took is durable; kept over restarts
    Drain {
        /// As `pipelines list` names it
        #[arg(value_name = "NAME")]
        name: String,
        /// Seconds to wait; then exit code 1, and the drain goes on
        #[arg(long, value_name = "SECS", default_value_t = 60)]
        wait: u64,
        #[command(flatten)]
        remote: Remote,
    },
}

pub fn pipelines(command: &PipelinesCommand) -> Result<ExitCode> {
    match command {
        PipelinesCommand::List(remote) => list(&remote.get::<Vec<PipelineV1>>("/v1/ops/pipelines")?)?,
        PipelinesCommand::Pause { name, remote } => told(&order(remote, name, PipelineActV1::Pause)?)?,
        PipelinesCommand::Resume { name, remote } => told(&order(remote, name, PipelineActV1::Resume)?)?,
        PipelinesCommand::Drain { name, wait, remote } => return drain(remote, name, Duration::from_secs(*wait)),
    }
    Ok(ExitCode::SUCCESS)
}

fn order(remote: &Remote, name: &str, act: PipelineActV1) -> Result<PipelineV1> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(anyhow!("{name}: no pipeline has such a name; `quoteguard pipelines list` shows them"));
    }
    remote.post(&format!("/v1/ops/pipelines/{name}/{}", act.name()), &())
}

fn drain(remote: &Remote, name: &str, wait: Duration) -> Result<ExitCode> {
    let until = Instant::now() + wait;
    let mut pipeline = order(remote, name, PipelineActV1::Drain)?;
    while pipeline.state == PipelineStateV1::Draining && Instant::now() < until {
        thread::sleep(POLL);
        let all: Vec<PipelineV1> = remote.get("/v1/ops/pipelines")?;
        pipeline = all.into_iter().find(|other| other.name == name).ok_or_else(|| anyhow!("{name} is no longer here"))?;
    }
    told(&pipeline)?;
    Ok(if pipeline.state == PipelineStateV1::Stopped { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told(pipeline: &PipelineV1) -> Result<()> {
    writeln!(stdout(), "{} is {}", pipeline.name, pipeline.state.name())?;
    Ok(())
}

fn list(pipelines: &[PipelineV1]) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{:20} {:9} {:>10} {:>9} {:>9}  source -> sinks, position", "pipeline", "state", "lag", "lag s", "records/s")?;
    for pipeline in pipelines {
        let PipelineV1 { name, source, sinks, state, reason, position, lag_records, lag_secs, records_per_sec } = pipeline;
        let records = lag_records.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
        let secs = lag_secs.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1}"));
        let state = state.name();
        write!(out, "{name:20} {state:9} {records:>10} {secs:>9} {records_per_sec:>9.1}  {source} -> {}", sinks.join(", "))?;
        writeln!(out, "{}{position}", if position.is_empty() { "" } else { ", at " })?;
        if let Some(reason) = reason {
            writeln!(out, "{:20} {reason}", "")?;
        }
    }
    Ok(())
}
