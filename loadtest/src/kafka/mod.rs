//! The load driver over Kafka: what a site that produces quotes and consumes decisions sees. Open loop as over HTTP: quote `i` is
//! due at `start + i / rate`, and its latency counts from that moment.

mod backlog;
mod client;
mod live;
mod outage;

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::calendar::parse_rfc3339;
use crate::keep::KeepArgs;
use live::{Kill, Live};

const RATE_MAX: f64 = 1e6;
const SECS_MAX: u64 = 3_600;

#[derive(Subcommand)]
pub enum Command {
    /// Produce a quotes file to a topic as fast as it goes, keyed by tenant.
    Fill {
        #[command(flatten)]
        at: At,
        #[arg(long, default_value = "quotes")]
        topic: String,
        /// Quotes, JSONL.
        #[arg(long = "in")]
        input: PathBuf,
    },
    /// Read a topic from its beginning to its present end and count: the floor of catching up.
    Read {
        #[command(flatten)]
        at: At,
        #[arg(long, default_value = "quotes")]
        topic: String,
    },
    /// Wait until so many quotes have their decision or dead letter, and tell how long the service took by the log's own times.
    CatchUp {
        #[command(flatten)]
        at: At,
        #[arg(long, default_value = "decisions")]
        decisions: String,
        #[arg(long, default_value = "quotes.dlq")]
        dead_letters: String,
        #[arg(long)]
        quotes: u64,
        /// When the service was started, milliseconds since 1970.
        #[arg(long)]
        since_ms: i64,
        #[arg(long, default_value_t = 600)]
        patience_secs: u64,
    },
    /// Print the id of each quote that has a decision, one a line.
    Decided {
        #[command(flatten)]
        at: At,
        #[arg(long, default_value = "decisions")]
        topic: String,
    },
    /// Produce at a rate to a topic and consume the same records from it: the floor of a decision's latency.
    RoundTrip {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        pace: Pace,
        #[arg(long)]
        topic: String,
    },
    /// Produce quotes at a rate; latency from when a quote is due to its decision received.
    Latency {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        pace: Pace,
        #[command(flatten)]
        topics: Topics,
        #[command(flatten)]
        keep: KeepArgs,
    },
    /// The same with a process killed (SIGKILL) on the way: how long partitions were silent, and when the lag was back.
    Outage {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        pace: Pace,
        #[command(flatten)]
        topics: Topics,
        /// The process to kill.
        #[arg(long)]
        kill: u32,
        /// When, from the first quote.
        #[arg(long, default_value_t = 10)]
        after_secs: u64,
    },
}

#[derive(Args)]
pub struct At {
    /// host:port, several with commas.
    #[arg(long)]
    brokers: String,
    /// Print one line of JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Topics {
    #[arg(long, default_value = "quotes")]
    quotes: String,
    #[arg(long, default_value = "decisions")]
    decisions: String,
}

#[derive(Args)]
pub struct Pace {
    /// Quotes, JSONL; sent in turn, each time with a fresh id and time.
    #[arg(long = "in")]
    input: PathBuf,
    /// Quotes a second.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    #[arg(long, default_value_t = 60)]
    secs: u64,
    /// Sent before that, and not counted among the latencies.
    #[arg(long, default_value_t = 5)]
    warm_up_secs: u64,
    /// Submitted times begin here (RFC 3339) instead of now: after a backlog that has its own times.
    #[arg(long)]
    begin: Option<String>,
}

/// # Errors
/// A broker that cannot be reached, a topic that is not there, quotes that cannot be read.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Fill { at, topic, input } => told(&at, &backlog::fill(&at.brokers, &topic, open(&input)?)?, true),
        Command::Read { at, topic } => told(&at, &backlog::read(&at.brokers, &topic)?, true),
        Command::CatchUp { at, decisions, dead_letters, quotes, since_ms, patience_secs } => {
            let topics = [decisions.as_str(), dead_letters.as_str()];
            let patience = Duration::from_secs(patience_secs);
            told(&at, &backlog::catch_up(&at.brokers, topics, quotes, since_ms, patience)?, true)
        }
        Command::Decided { at, topic } => {
            let mut out = std::io::stdout().lock();
            backlog::keys(&at.brokers, &topic)?.iter().try_for_each(|id| writeln!(out, "{id}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::RoundTrip { at, pace, topic } => {
            let topics = Topics { quotes: topic.clone(), decisions: topic };
            latency(&at, &pace, topics, true, &KeepArgs::default())
        }
        Command::Latency { at, pace, topics, keep } => latency(&at, &pace, topics, false, &keep),
        Command::Outage { at, pace, topics, kill, after_secs } => {
            let kill = Kill { process: kill, after: Duration::from_secs(after_secs) };
            let run = live::drive(&live(&at, &pace, topics, false)?, open(&pace.input)?, Some(kill))?;
            let outcome = outage::judge(&run, Duration::from_secs(pace.warm_up_secs), kill.after);
            told(&at, &outcome, outcome.undecided == 0)
        }
    }
}

fn latency(at: &At, pace: &Pace, topics: Topics, is_echo: bool, keep: &KeepArgs) -> Result<ExitCode> {
    let (load, quotes) = (live(at, pace, topics, is_echo)?, open(&pace.input)?);
    let kept = keep.begin()?;
    let run = live::drive(&load, quotes, None)?;
    kept.finish(run.measured(pace.warm_up_secs + pace.secs))?;
    let outcome = run.latency(Duration::from_secs(pace.warm_up_secs));
    told(at, &outcome, outcome.undecided == 0)
}

fn live(at: &At, pace: &Pace, topics: Topics, is_echo: bool) -> Result<Live> {
    ensure!(pace.rate > 0.0 && pace.rate <= RATE_MAX, "--rate must be above 0 and at most {RATE_MAX}");
    let secs = pace.warm_up_secs + pace.secs;
    ensure!((1..=SECS_MAX).contains(&secs), "--secs must be 1 to {SECS_MAX}, the warm-up included");
    let begin_ms = pace.begin.as_deref().map(|text| parse_rfc3339(text).with_context(|| format!("--begin {text}: no time")));
    Ok(Live {
        brokers: at.brokers.clone(),
        quotes: topics.quotes,
        decisions: topics.decisions,
        rate: pace.rate,
        total: (pace.rate * secs as f64).round().max(1.0) as u64,
        begin_ms: begin_ms.transpose()?,
        is_echo,
    })
}

fn told<T: Serialize + std::fmt::Display>(at: &At, outcome: &T, is_good: bool) -> Result<ExitCode> {
    match at.json {
        true => println!("{}", serde_json::to_string(outcome)?),
        false => println!("{outcome}"),
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}
