//! `loadtest`: see `loadtest --help`.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use loadtest::generate;
use loadtest::plan::{Config, Mix};

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

#[derive(Clone, Copy, ValueEnum)]
enum MixArg {
    /// 3 % manipulated.
    Normal,
    /// 10 % manipulated.
    Stress,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Generate(args) => generate(&args),
    }
}

fn generate(args: &GenerateArgs) -> Result<()> {
    let mix = match args.mix {
        MixArg::Normal => Mix::Normal,
        MixArg::Stress => Mix::Stress,
    };
    let config = Config { seed: args.seed, quotes: args.quotes, mix, days: args.days };
    let (quotes, labels) = generate::write(&config, &mut create(&args.out)?, &mut create(&args.truth)?)?;
    eprintln!("{quotes} quotes in {}, {labels} labels in {}", args.out.display(), args.truth.display());
    Ok(())
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}
