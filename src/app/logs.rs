//! Where the log goes: stderr, readable on a terminal, JSON for machines. Never personal data.

use std::io::{IsTerminal, stderr};

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Call once in a process.
pub fn init(log: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(&log.filter).context("log.filter: not a filter such as `info,sqlx=warn`")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let is_json = match log.format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    let started = if is_json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
    started.map_err(|error| anyhow::anyhow!("the log could not be started: {error}"))
}
