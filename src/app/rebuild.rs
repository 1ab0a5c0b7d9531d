//! `quoteguard rebuild`: the SQLite file from its own log.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;

use super::commands::{progress_bar, rule_book};
use super::desk;
use crate::adapters::sqlite::{Rebuild, Replaced};
use crate::config::{Config, Flags};
use crate::pipeline::Log;
use crate::pipeline::rebuild::{Rebuilt, rebuild as compute};

#[derive(Args)]
pub struct RebuildArgs {
    /// SQLite file of a service that is stopped
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Configuration file (TOML) [default: quoteguard.toml when it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Decides on every record of the log again, under the present settings, into a new file that takes the place of the old one.
pub fn rebuild(args: RebuildArgs) -> Result<ExitCode> {
    let RebuildArgs { data, config } = args;
    let config = Config::load(&Flags { data, config, ..Flags::default() })?;
    // Refuses a window that `serve` would refuse.
    rule_book(config.rules.dir.as_deref(), config.time.retention_secs)?;
    let path = &config.storage.path;
    let vault = Arc::new(config.privacy.vault()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let at = || format!("{} was not rebuilt and is as it was", path.display());
    let mut under_way = Rebuild::begin(path, config.settings(), vault, runtime.handle()).with_context(at)?;
    let progress = progress_bar("{bar:40} {percent:>3} %  {human_pos} of {human_len} records  {per_sec}  {eta} left");
    progress.set_length(under_way.log.records());
    let Rebuild { log, store, .. } = &mut under_way;
    let Rebuilt { records, decisions, unreadable } = compute(log, store, |done| progress.inc(done)).with_context(at)?;
    progress.finish_and_clear();
    let Replaced { backup, differing } = under_way.finish().with_context(at)?;
    runtime.block_on(desk::start_over(&config))?;
    let differing = differing.map_or("unknown".to_owned(), |count| count.to_string());
    let (records, decisions, unreadable) = (records.to_string(), decisions.to_string(), unreadable.to_string());
    for (name, value) in
        [("records", records), ("unreadable", unreadable), ("decisions", decisions), ("otherwise than published", differing)]
    {
        writeln!(stdout(), "{name:<26}{value:>12}")?;
    }
    writeln!(stdout(), "the file before is {}", backup.display())?;
    Ok(ExitCode::SUCCESS)
}
