//! What a driver writes down of its run, when it is asked to.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::record::{Record, Slots, Told};
use crate::template;
use crate::watch::Watch;

#[derive(Args, Clone, Debug, Default)]
pub struct KeepArgs {
    /// Write the run there, JSON, for `loadtest report`.
    #[arg(long)]
    run: Option<PathBuf>,
    /// What it is called in reports.
    #[arg(long, default_value = "run")]
    name: String,
    /// The service's process, to measure what it takes.
    #[arg(long)]
    pid: Option<u32>,
    /// Where its metrics are, as http://127.0.0.1:8080.
    #[arg(long, requires = "pid")]
    metrics: Option<String>,
    /// Write the ids that were answered 200 or 202 there, one a line.
    #[arg(long)]
    accepted: Option<PathBuf>,
}

/// A run that is watched, as asked for.
pub struct Kept {
    args: KeepArgs,
    watch: Option<Watch>,
}

/// What a driver has measured, for the record.
#[derive(Debug, Default)]
pub struct Measured {
    pub over: &'static str,
    pub target_rate: f64,
    pub secs: u64,
    /// The number in the ids of the run.
    pub run: u64,
    pub slots: Slots,
    pub accepted: Vec<u64>,
    pub without_retry_after: u64,
    pub moved: u64,
    /// From the start to the last answer.
    pub last: Duration,
}

impl KeepArgs {
    /// Begins to watch; the run follows at once.
    ///
    /// # Errors
    /// There is no such process.
    pub fn begin(&self) -> Result<Kept> {
        let watch = self.pid.map(|pid| Watch::start(pid, self.metrics.clone())).transpose()?;
        Ok(Kept { args: self.clone(), watch })
    }
}

impl Kept {
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(self, measured: Measured) -> Result<()> {
        let Measured { over, target_rate, secs, run, slots, accepted, without_retry_after, moved, last } = measured;
        let samples = self.watch.map(Watch::stop).unwrap_or_default();
        if let Some(path) = &self.args.accepted {
            let mut file = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
            for number in accepted {
                writeln!(file, "{}", template::id(run, number))?;
            }
            file.flush()?;
        }
        let Some(path) = &self.args.run else { return Ok(()) };
        let told = Told { name: self.args.name, over, target_rate, secs, slots, without_retry_after, moved, last, samples };
        Record::new(told).write(path)
    }
}
