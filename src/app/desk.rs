//! The underwriters' desk of a service: its store, and the sink that keeps it up with the log.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use tokio::runtime::Handle;

use super::rules_folder::Watching;
use crate::adapters::desk::{DeskStore, Keeping, Projector};
#[cfg(feature = "postgres")]
use crate::adapters::desk::{Schema, ServerOptions};
use crate::config::{Config, Flags};
use crate::metrics::Metrics;
#[cfg(feature = "postgres")]
use crate::pipeline::StoreError;
use crate::pipeline::desk::feed::Feed;
use crate::pipeline::desk::sink::Sink;
use crate::pipeline::desk::views::Tampering;
use crate::pipeline::desk::{AuditVerdict, Desk};
use crate::pipeline::health::Health;
use crate::vault::Vault;

/// Opens what `desk.url` names, or the file beside the log.
pub(super) async fn open(config: &Config, vault: Arc<Vault>) -> Result<DeskStore> {
    let keeping = Keeping::new(config.desk.retention_days, config.time.retention_secs);
    #[cfg(feature = "postgres")]
    if config.desk.is_postgres() {
        let desk = DeskStore::of_server(server(config), vault, keeping)?;
        return match desk.prepare().await {
            Ok(()) => Ok(desk),
            // Decisions do not wait for it; the sink looks again.
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::error!(%error, "the desk is away; decisions go on without it");
                Ok(desk)
            }
            Err(error) => Err(error.into()),
        };
    }
    let path = file(config);
    DeskStore::open_file(&path, vault, keeping).await.with_context(|| format!("desk.url: {}", path.display()))
}

#[cfg(feature = "postgres")]
fn server(config: &Config) -> ServerOptions {
    ServerOptions {
        url: config.desk.url.clone().unwrap_or_default(),
        password_file: config.desk.password_file.clone(),
        ca_file: config.desk.ca_file.clone(),
        connections_max: config.desk.connections_max,
    }
}

/// Where the desk is an SQLite file.
fn file(config: &Config) -> PathBuf {
    match config.desk.file() {
        Some(path) => path,
        None => {
            let stem = config.storage.path.file_stem().unwrap_or_default().to_string_lossy();
            config.storage.path.with_file_name(format!("{stem}-desk.db"))
        }
    }
}

/// Of the commands that work on a desk.
#[derive(Args)]
pub struct DeskArgs {
    /// SQLite file of the service [default: `storage.path`]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Configuration file (TOML) [default: quoteguard.toml when it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl DeskArgs {
    /// Does something on the desk that the configuration names.
    pub(super) fn with<T>(&self, act: impl AsyncFnOnce(&Config, &DeskStore) -> Result<T>) -> Result<T> {
        let config = Config::load(&Flags { data: self.data.clone(), config: self.config.clone(), ..Flags::default() })?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let vault = Arc::new(config.privacy.vault()?);
        runtime.block_on(async {
            let desk = open(&config, vault).await?;
            let done = act(&config, &desk).await;
            desk.close().await;
            done
        })
    }
}

/// Starts the sink on a thread of its own.
pub(super) fn start_sink(
    desk: DeskStore,
    feed: impl Feed + 'static,
    config: &Config,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    runtime: Handle,
) -> Result<Watching> {
    let (stop, stopped) = mpsc::channel();
    let sink = Sink {
        feed,
        projection: Projector::new(desk, runtime),
        metrics,
        health,
        currency: config.desk.currency.clone().unwrap_or_default(),
    };
    Ok((thread::Builder::new().name("desk-sink".to_owned()).spawn(move || sink.run(&stopped))?, stop))
}

/// A desk that was filled from the log before it was rebuilt is filled from it anew.
pub(super) async fn start_over(config: &Config) -> Result<()> {
    let is_there = config.desk.is_postgres() || file(config).exists();
    if !is_there {
        return Ok(());
    }
    let desk = open(config, Arc::new(config.privacy.vault()?)).await?;
    desk.start_over().await.context("desk.url: the desk still shows the log as it was; empty it before the service starts")?;
    desk.close().await;
    Ok(())
}

#[derive(Subcommand)]
pub enum AuditCommand {
    /// Read the whole chain, name the first row that was changed, deleted or cut, and print the head, to be noted elsewhere
    Verify {
        /// A head that was noted before: whether all up to it is still there, so that an end which was cut off is missed
        #[arg(long, value_name = "HASH[@N]", value_parser = noted)]
        head: Option<Noted>,
        #[command(flatten)]
        desk: DeskArgs,
    },
}

/// The hash of an entry, and its number.
#[derive(Clone)]
pub struct Noted {
    hash: String,
    seq: Option<u64>,
}

fn noted(text: &str) -> Result<Noted, String> {
    let (hash, seq) = text.split_once('@').map_or((text, None), |(hash, seq)| (hash, Some(seq)));
    let digits = hash.strip_prefix('h').unwrap_or(hash);
    let seq = seq.map(str::parse).transpose().map_err(|_| "after the @ comes the number of an entry".to_owned())?;
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("a head is what `quoteguard audit verify` prints: 64 hex digits, perhaps an h before them".to_owned());
    }
    Ok(Noted { hash: hash.to_ascii_lowercase(), seq })
}

/// Exit code 1 when the chain is broken.
pub fn audit(command: &AuditCommand) -> Result<ExitCode> {
    let AuditCommand::Verify { head: noted, desk } = command;
    let (verdict, is_held) = desk.with(async |_, desk| {
        let verdict = desk.audit_verify().await?;
        let is_held = match noted {
            Some(Noted { hash, seq }) => desk.audit_holds(hash, *seq).await?,
            None => true,
        };
        Ok((verdict, is_held))
    })?;
    match verdict {
        AuditVerdict::Whole { .. } if !is_held => {
            writeln!(stdout(), "broken: the head that was noted is not in the chain; it was cut off, or all was written anew")?;
            Ok(ExitCode::FAILURE)
        }
        AuditVerdict::Whole { entries, head, keyed_from } => {
            writeln!(stdout(), "{entries} entries, none changed, deleted or cut; the last hash is {head}@{entries}")?;
            let bound = match keyed_from {
                Some(from) => format!("from entry {from} on they are bound with a key"),
                None => "they are bound without a key: whoever can write to the database can write them anew".to_owned(),
            };
            writeln!(stdout(), "{bound}; note the last hash elsewhere, for --head")?;
            Ok(ExitCode::SUCCESS)
        }
        AuditVerdict::Broken { seq, what } => {
            let what = match what {
                Tampering::Changed => "is not what was written",
                Tampering::Deleted => "was deleted",
                Tampering::Cut => "and all after it were cut off",
                Tampering::Unkeyed => {
                    "and all after it are not bound with a key, though privacy.* has one: written anew, or begun before there was one; for these `quoteguard keys reseal`"
                }
            };
            writeln!(stdout(), "broken: entry {seq} {what}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// `quoteguard migrate`
#[derive(Args)]
pub struct MigrateArgs {
    /// Change nothing; exit with 1 when there is something to do
    #[arg(long)]
    check: bool,
    /// Configuration file (TOML) [default: quoteguard.toml when it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Brings the desk's tables up to this version, or says whether they are.
pub fn migrate(args: &MigrateArgs) -> Result<ExitCode> {
    let config = Config::load(&Flags { config: args.config.clone(), ..Flags::default() })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    #[cfg(feature = "postgres")]
    if config.desk.is_postgres() {
        return runtime.block_on(migrate_server(&config, args.check));
    }
    let path = file(&config);
    if args.check && !path.exists() {
        writeln!(stdout(), "{} is not there; the service makes it", path.display())?;
        return Ok(ExitCode::FAILURE);
    }
    let desk = runtime.block_on(open(&config, Arc::new(config.privacy.vault()?)))?;
    runtime.block_on(desk.close());
    writeln!(stdout(), "{} has the tables of this version", path.display())?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "postgres")]
async fn migrate_server(config: &Config, check: bool) -> Result<ExitCode> {
    let desk = DeskStore::of_server(server(config), Arc::default(), Keeping::default())?;
    let (said, is_done) = match desk.schema().await? {
        Some(Schema::Empty) => ("there are no tables yet".to_owned(), false),
        Some(Schema::Older(missing)) => (format!("{missing} migrations are missing"), false),
        Some(Schema::Later) => ("the tables are of a later version, which this one can work on".to_owned(), true),
        Some(Schema::Current) | None => ("the tables are those of this version".to_owned(), true),
    };
    writeln!(stdout(), "{said}")?;
    if check || is_done {
        return Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    desk.migrate().await?;
    writeln!(stdout(), "migrated")?;
    Ok(ExitCode::SUCCESS)
}
