//! `loadtest report`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::page;
use crate::record::Record;
use crate::verdict::{self, Verdict};

#[derive(Args)]
pub struct ReportArgs {
    /// The run, as `--run` of a driver wrote it.
    run: PathBuf,
    /// Another one to show it beside.
    base: Option<PathBuf>,
    /// Where the page goes.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Print a line for each target of such a run, and exit with 1 when one is missed.
    #[arg(long, value_enum)]
    targets: Option<Targets>,
    /// With `--targets cap`: the service's `limits.live_attempts_max`.
    #[arg(long, required_if_eq("targets", "cap"))]
    live_attempts_max: Option<u32>,
    /// With `--targets overload`: answers a second when saturated.
    #[arg(long, required_if_eq("targets", "overload"))]
    peak: Option<f64>,
    /// With `--targets overload`: ids that were answered 200 or 202, and those of the decisions in the store, one a line.
    #[arg(long, num_args = 2, value_names = ["ACCEPTED", "STORED"], required_if_eq("targets", "overload"))]
    ids: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Targets {
    /// A constant rate below the peak.
    Soak,
    /// The same up to the cap on live attempts.
    Cap,
    /// Far above the peak.
    Overload,
}

/// # Errors
/// Files that cannot be read or written.
pub fn run(args: &ReportArgs) -> Result<ExitCode> {
    let run = Record::read(&args.run)?;
    let base = args.base.as_deref().map(Record::read).transpose()?;
    let verdicts = verdicts(args, &run)?;
    for verdict in &verdicts {
        println!("{verdict}");
    }
    if let Some(html) = &args.html {
        fs::write(html, page(&run, base.as_ref(), &verdicts)).with_context(|| html.display().to_string())?;
        println!("report: {}", html.display());
    }
    Ok(if verdicts.iter().all(|verdict| verdict.is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdicts(args: &ReportArgs, run: &Record) -> Result<Vec<Verdict>> {
    Ok(match args.targets {
        None => Vec::new(),
        Some(Targets::Soak) => verdict::soak(run),
        Some(Targets::Cap) => verdict::cap(run, args.live_attempts_max.map_or(0.0, f64::from)),
        Some(Targets::Overload) => {
            let [accepted, stored] = &args.ids[..] else { anyhow::bail!("--ids takes two files") };
            verdict::overload(run, args.peak.unwrap_or(0.0), &ids(stored)?, &ids(accepted)?)
        }
    })
}

fn ids(path: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.lines().map(str::to_owned).collect())
}
