//! `quoteguard keys`: the keys that personal data is sealed with.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Subcommand;

use super::commands::progress_bar;
use crate::adapters::sqlite::{Resealed, reseal};
use crate::config::{Config, Flags};
use crate::vault::new_key;

#[derive(Subcommand)]
pub enum KeysCommand {
    /// Print a new key: a line for `privacy.key_file`, to be put above those that are there
    New,
    /// Seal everything in a stopped service's SQLite file and on its desk with the first key, so that older ones can be taken out
    Reseal {
        /// SQLite file of a service that is stopped
        #[arg(long, value_name = "FILE")]
        data: Option<PathBuf>,
        /// Configuration file (TOML) [default: quoteguard.toml when it exists]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

pub fn keys(command: &KeysCommand) -> Result<ExitCode> {
    match command {
        KeysCommand::New => writeln!(stdout(), "{}", new_key()?)?,
        KeysCommand::Reseal { data, config } => {
            let config = Config::load(&Flags { data: data.clone(), config: config.clone(), ..Flags::default() })?;
            let vault = Arc::new(config.privacy.vault()?);
            let path = &config.storage.path;
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let progress = progress_bar("{spinner} {human_pos} rows  {per_sec}");
            let again = || format!("{} and its desk are not sealed throughout; run it again", path.display());
            // Over Kafka there is no such log, and checkpoints follow by themselves.
            let Resealed { rows } = if config.kafka.brokers.is_some() {
                Resealed::default()
            } else {
                reseal(path, &vault, runtime.handle(), |rows| progress.inc(rows)).with_context(again)?
            };
            let desk = runtime.block_on(async {
                let desk = super::desk::open(&config, vault.clone()).await?;
                let resealed = desk.reseal().await.with_context(again)?;
                desk.close().await;
                anyhow::Ok(resealed)
            })?;
            progress.finish_and_clear();
            let with = vault.key().map_or("without a key".to_owned(), |key| format!("with key {key}"));
            let (forms, comments) = (desk.forms, desk.comments);
            writeln!(stdout(), "{rows} rows of the log, {comments} comments and {forms} forms of the desk sealed anew {with}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
