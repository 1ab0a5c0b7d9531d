//! `loadtest`: see `loadtest --help`.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use loadtest::plan::{Config, Mix};
use loadtest::score::{self, Report, Tally};
use loadtest::{generate, naive};

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

#[derive(Clone, Copy, ValueEnum)]
enum MixArg {
    /// 3 % manipulated.
    Normal,
    /// 10 % manipulated.
    Stress,
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Generate(args) => generate(&args),
        Command::Score(args) => score(&args),
        Command::Naive(args) => naive(&args),
    }
}

fn generate(args: &GenerateArgs) -> Result<ExitCode> {
    let mix = match args.mix {
        MixArg::Normal => Mix::Normal,
        MixArg::Stress => Mix::Stress,
    };
    let config = Config { seed: args.seed, quotes: args.quotes, mix, days: args.days };
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

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}
