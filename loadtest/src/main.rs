//! `loadtest`: see `loadtest --help`.

use std::fs::File;
use std::io::{BufReader, BufWriter, IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use loadtest::http::{Load, Options};
use loadtest::keep::{KeepArgs, Measured};
use loadtest::plan::{Config, Mix};
use loadtest::report::command::ReportArgs as PageArgs;
use loadtest::score::{self, Report, Tally};
use loadtest::slow::Crowd;
use loadtest::{demo, disk, generate, http, naive, report, slow};
use serde_json::json;

/// Labelled workload, scorer and load driver for quoteguard.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a labelled workload: quotes in order of arrival, and the truth about each.
    Generate(GenerateArgs),
    /// Hold decisions against the truth: who was caught, which honest people were referred.
    Score(ScoreArgs),
    /// Decide with the naive baseline: same device, phone, document or VIN, refer at the fourth within a day.
    Naive(NaiveArgs),
    /// Drive a service on this machine over HTTP: open loop at a fixed rate, or saturated.
    Http(HttpArgs),
    /// Measure checks at a fixed rate alone and beside slow clients and idle connections, in turns; exit 1 above twice the p99.
    Slow(SlowArgs),
    /// Drive a service over Kafka: a backlog, decisions at a rate, an outage; and the floors of each.
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Kafka(loadtest::kafka::Command),
    /// Make a page of a run, alone or beside another, and tell which targets it has met.
    Report(PageArgs),
    /// Show a service at work: ordinary people, a tweaker among them, and why he was referred.
    Demo(DemoArgs),
    /// Measure how long this machine takes to make 4 KB durable: the floor of a durable answer.
    Fdatasync(FdatasyncArgs),
}

#[derive(Args)]
struct GenerateArgs {
    /// The same seed gives the same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Lines of the quotes file.
    #[arg(long, default_value_t = 200_000)]
    quotes: usize,
    #[arg(long, value_enum, default_value_t = MixArg::Normal)]
    mix: MixArg,
    /// Length of the period in days, from 2026-11-01.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=365))]
    days: u32,
    /// Spread the applicants over so many tenants, each applicant whole in one; without it no tenant is named.
    #[arg(long, default_value_t = 0)]
    tenants: u32,
    /// Where the quotes go, JSONL.
    #[arg(long)]
    out: PathBuf,
    /// Where the labels go, JSONL.
    #[arg(long)]
    truth: PathBuf,
}

#[derive(Args)]
struct ScoreArgs {
    /// Labels of a workload; give one for each decisions file, in the same order, and they are summed.
    #[arg(long, required = true)]
    truth: Vec<PathBuf>,
    /// Decisions of that workload, JSONL.
    #[arg(long, required = true)]
    decisions: Vec<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long, value_enum)]
    report: Option<ReportArg>,
    /// Exit with 1 when a target is missed.
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportArg {
    Json,
}

#[derive(Args)]
struct NaiveArgs {
    /// Quotes, JSONL.
    #[arg(long = "in")]
    input: PathBuf,
    /// Where the decisions go, JSONL.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
struct HttpArgs {
    /// The check, for instance http://127.0.0.1:8080/v1/quotes/check; loopback only.
    #[arg(long)]
    url: String,
    /// Quotes, JSONL; sent in turn, each time with a fresh id and the present time.
    #[arg(long = "in")]
    input: PathBuf,
    /// Requests a second.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    #[arg(long, default_value_t = 60)]
    secs: u64,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Further instances, their checks as in --url: who gets no answer, or 503, sends the same quote to the next one.
    #[arg(long)]
    other: Vec<String>,
    /// Do not send what is overdue at the end.
    #[arg(long)]
    no_drain: bool,
    #[command(flatten)]
    keep: KeepArgs,
    /// Closed loop: each connection sends as soon as it has its answer.
    #[arg(long)]
    saturate: bool,
    /// Keep ids and times as they stand in the file; each line is sent once, at most 200,000 of them.
    #[arg(long)]
    as_is: bool,
    #[arg(long, env = "QUOTEGUARD_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Print one line of JSON instead of text.
    #[arg(long, num_args = 0..=1, default_missing_value = "json", value_enum)]
    report: Option<ReportArg>,
}

#[derive(Args)]
struct SlowArgs {
    /// The check, for instance http://127.0.0.1:8080/v1/quotes/check; loopback only.
    #[arg(long)]
    url: String,
    /// Quotes, JSONL; sent in turn, each time with a fresh id and the present time.
    #[arg(long = "in")]
    input: PathBuf,
    /// Ordinary requests a second.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Of each turn.
    #[arg(long, default_value_t = 20)]
    secs: u64,
    /// Alone and beside the crowd, so often.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Clients that send a byte four times a second.
    #[arg(long, default_value_t = 300)]
    slow: usize,
    /// Connections that asked once.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    #[arg(long, env = "QUOTEGUARD_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Print one line of JSON instead of text.
    #[arg(long, num_args = 0..=1, default_missing_value = "json", value_enum)]
    report: Option<ReportArg>,
}

#[derive(Args)]
struct DemoArgs {
    /// Address of the service; loopback only.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    #[arg(long, env = "QUOTEGUARD_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

#[derive(Args)]
struct FdatasyncArgs {
    /// A directory on the disk to measure.
    #[arg(long)]
    dir: PathBuf,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    secs: u64,
    /// Print one line of JSON instead of text.
    #[arg(long, num_args = 0..=1, default_missing_value = "json", value_enum)]
    report: Option<ReportArg>,
}

#[derive(Clone, Copy, ValueEnum)]
enum MixArg {
    /// 3 % manipulated.
    Normal,
    /// 10 % manipulated.
    Stress,
    /// 50 % manipulated: campaigns.
    Attack,
    /// As normal, but all from one device, session, network and address: the blocks that everybody meets in.
    HotBlock,
    /// Strangers only: each quote with keys that no other has.
    KeyFlood,
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Generate(args) => generate(&args),
        Command::Score(args) => score(&args),
        Command::Naive(args) => naive(&args),
        Command::Http(args) => http(args),
        Command::Slow(args) => slow(args),
        #[cfg(feature = "kafka")]
        Command::Kafka(command) => loadtest::kafka::run(command),
        Command::Report(args) => report::command::run(&args),
        Command::Demo(args) => demo(args),
        Command::Fdatasync(args) => fdatasync(&args),
    }
}

fn generate(args: &GenerateArgs) -> Result<ExitCode> {
    let mix = match args.mix {
        MixArg::Normal => Mix::Normal,
        MixArg::Stress => Mix::Stress,
        MixArg::Attack => Mix::Attack,
        MixArg::HotBlock => Mix::HotBlock,
        MixArg::KeyFlood => Mix::KeyFlood,
    };
    let config = Config { seed: args.seed, quotes: args.quotes, mix, days: args.days, tenants: args.tenants };
    let (quotes, labels) = generate::write(&config, &mut create(&args.out)?, &mut create(&args.truth)?)?;
    eprintln!("{quotes} quotes in {}, {labels} labels in {}", args.out.display(), args.truth.display());
    Ok(ExitCode::SUCCESS)
}

fn score(args: &ScoreArgs) -> Result<ExitCode> {
    if args.truth.len() != args.decisions.len() {
        bail!(
            "{} truth files but {} decisions files: give one --decisions for each --truth",
            args.truth.len(),
            args.decisions.len()
        );
    }
    let mut tally = Tally::default();
    for (truth, decisions) in args.truth.iter().zip(&args.decisions) {
        let said = score::read_decisions(open(decisions)?).with_context(|| decisions.display().to_string())?;
        score::add(&mut tally, open(truth)?, &said).with_context(|| truth.display().to_string())?;
    }
    let report = Report::new(tally);
    match args.report {
        Some(ReportArg::Json) => println!("{:#}", report.json()),
        None => print!("{report}"),
    }
    Ok(if args.check && !report.all_met() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn naive(args: &NaiveArgs) -> Result<ExitCode> {
    let decided = naive::run(open(&args.input)?, &mut create(&args.out)?)?;
    eprintln!("{decided} decisions in {}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

fn http(args: HttpArgs) -> Result<ExitCode> {
    let load = Load {
        url: args.url,
        api_key: args.api_key,
        rate: args.rate,
        secs: args.secs,
        connections: args.connections,
        saturate: args.saturate,
        as_is: args.as_is,
    };
    let quotes = open(&args.input)?;
    let kept = args.keep.begin()?;
    let options = Options { others: args.other, no_drain: args.no_drain };
    let (outcome, detail) = http::drive_with(&load, &options, quotes)?;
    let http::Detail { run, slots, accepted, without_retry_after, moved } = detail;
    let last = Duration::from_secs_f64(outcome.seconds);
    let (over, target_rate, secs) = ("http", outcome.target_rate, load.secs);
    kept.finish(Measured { over, target_rate, secs, run, slots, accepted, without_retry_after, moved, last })?;
    match args.report {
        Some(ReportArg::Json) => println!("{}", serde_json::to_string(&outcome)?),
        None => println!("{outcome}"),
    }
    Ok(if outcome.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn slow(args: SlowArgs) -> Result<ExitCode> {
    let SlowArgs { url, input, rate, secs, rounds, slow, idle, api_key, report } = args;
    let load = Load { url, api_key, rate, secs, connections: 32, saturate: false, as_is: false };
    let compared = slow::compare(&load, Crowd { slow, idle }, rounds, || open(&input))?;
    match report {
        Some(ReportArg::Json) => println!("{}", serde_json::to_string(&compared)?),
        None => println!("{compared}"),
    }
    Ok(if compared.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Colours only where somebody looks and wants them (<https://no-color.org>).
fn demo(args: DemoArgs) -> Result<ExitCode> {
    let colour = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let referred = demo::run(&args.url, args.api_key, colour, &mut stdout())?;
    Ok(if referred { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn fdatasync(args: &FdatasyncArgs) -> Result<ExitCode> {
    let latencies = disk::fdatasync(&args.dir, Duration::from_secs(args.secs))?;
    match args.report {
        Some(ReportArg::Json) => println!("{}", json!({"syncs": latencies.count(), "latency": latencies.summary()})),
        None => println!("fdatasync of 4 KB, {} times: {}", latencies.count(), latencies.summary()),
    }
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}
