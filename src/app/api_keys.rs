//! `quoteguard api-keys`, and the keys of a service: those of its configuration and those of its desk.

use std::fmt::Write as _;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::{Args, Subcommand, ValueEnum};

use super::desk::DeskArgs;
use crate::adapters::desk::DeskStore;
use crate::config::Config;
use crate::contract::instant::Utc;
use crate::contract::quote::TENANT_DEFAULT;
use crate::engine::time::EventTime;
use crate::http::auth::Keys;
use crate::http::desk_keys::follow;
use crate::pipeline::api_keys::{
    Actor, ApiKeys, Fresh, KeyId, KeyState, Limit, ListedKey, NewKey, NotDone, OVERLAP_MAX, Permission,
};
use crate::pipeline::health::Health;

/// Read once, and followed until the service stops.
pub(super) async fn keys(config: &Config, desk: &DeskStore, health: Arc<Health>) -> Arc<Keys> {
    let keys = Arc::new(Keys::new(&config.http, config.limits.queue_client_max));
    follow(keys.clone(), Arc::new(desk.clone()), health).await;
    keys
}

#[derive(Subcommand)]
pub enum ApiKeysCommand {
    /// Make a key and print it, this once
    Create(CreateArgs),
    /// List the keys of the desk: whose they are, what they open, when they were used
    List(DeskArgs),
    /// Make a key that takes the place of another, and print it; both hold for a while
    Rotate {
        /// The key of before, by its id: the 12 digits after `qg_`
        #[arg(value_name = "ID", value_parser = key_id)]
        id: KeyId,
        /// How long the key of before still holds
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(0..=OVERLAP_MAX.as_secs() / 3_600))]
        overlap_hours: u64,
        #[command(flatten)]
        desk: DeskArgs,
    },
    /// End a key at once, on every instance within two seconds
    Revoke {
        /// By its id: the 12 digits after `qg_`
        #[arg(value_name = "ID", value_parser = key_id)]
        id: KeyId,
        #[command(flatten)]
        desk: DeskArgs,
    },
}

#[derive(Args)]
pub struct CreateArgs {
    /// Whose it is: a site, a broker, a person
    #[arg(long)]
    name: String,
    /// The tenant that it speaks for
    #[arg(long, default_value = TENANT_DEFAULT)]
    tenant: String,
    /// What it opens
    #[arg(long, value_enum, value_delimiter = ',', default_value = "checks")]
    may: Vec<May>,
    /// Days until it ends [default: it does not]
    #[arg(long, value_name = "DAYS")]
    expires_days: Option<u32>,
    /// Requests a second; 0: no limit [default: `http.rate_per_sec`]
    #[arg(long, value_name = "N")]
    rate_per_sec: Option<u32>,
    /// Requests at once after a rest [default: one second's worth]
    #[arg(long, value_name = "N", requires = "rate_per_sec")]
    burst: Option<u32>,
    /// Where it is the first key: from now on requests without a key are refused
    #[arg(long)]
    close_api: bool,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum May {
    /// Quotes of its tenant and the decisions on them
    Checks,
    /// The rules, which are those of every tenant
    Rules,
    /// Rulings on cases of its tenant, snoozes and erasures
    Rulings,
    /// The pipelines of the instance: list, pause, resume, drain
    Ops,
}

fn key_id(text: &str) -> Result<KeyId, String> {
    KeyId::parse(text).ok_or_else(|| "an id is the 12 digits after `qg_`; `quoteguard api-keys list` shows them".to_owned())
}

pub fn api_keys(command: ApiKeysCommand) -> Result<ExitCode> {
    match command {
        ApiKeysCommand::Create(args) => create(args),
        ApiKeysCommand::List(desk) => {
            let listed = desk.with(async |_, desk| desk.api_keys(None).await.context("desk.url"))?;
            stdout().write_all(table(&listed).as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        ApiKeysCommand::Rotate { id, overlap_hours, desk } => {
            let fresh = Fresh::new()?;
            let overlap = Duration::from_secs(overlap_hours * 3_600);
            done(desk.with(async |_, desk| desk.rotate_api_key(id, &fresh, actor(), overlap).await.context("desk.url"))?)?;
            tell(&fresh, &format!("It takes the place of {id}, which holds for another {overlap_hours} h."))
        }
        ApiKeysCommand::Revoke { id, desk } => {
            done(desk.with(async |_, desk| desk.revoke_api_key(id, actor()).await.context("desk.url"))?)?;
            writeln!(stdout(), "{id} is revoked")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn create(args: CreateArgs) -> Result<ExitCode> {
    let CreateArgs { name, tenant, may, expires_days, rate_per_sec, burst, close_api, desk } = args;
    let permission = |may: &May| match may {
        May::Checks => Permission::Checks,
        May::Rules => Permission::Rules,
        May::Rulings => Permission::Rulings,
        May::Ops => Permission::Ops,
    };
    let mut may: Vec<Permission> = may.iter().map(permission).collect();
    may.sort_unstable();
    may.dedup();
    let new = NewKey { name, tenant, may, limit: Limit { per_sec: rate_per_sec, burst }, expires_days };
    let fresh = Fresh::new()?;
    let created = desk.with(async |config, desk| {
        let closes = close_api || config.http.require_keys || !config.http.keys.is_empty();
        desk.create_api_key(&fresh, new, actor(), closes).await.context("desk.url")
    })?;
    if created == Err(NotDone::WouldClose) {
        return Err(anyhow!(
            "there is no API key yet, so everybody may ask. With this one that ends: whoever has no key is refused. If that is \
             meant, say --close-api"
        ));
    }
    done(created)?;
    tell(&fresh, "A running service takes it within a second.")
}

fn done(done: Result<(), NotDone>) -> Result<()> {
    done.map_err(|refused| anyhow!("{refused}"))
}

/// The key alone on stdout, so that it can be piped to where it is kept.
fn tell(fresh: &Fresh, more: &str) -> Result<ExitCode> {
    writeln!(stdout(), "{}", fresh.text())?;
    writeln!(stderr(), "Key {}, shown this once. {more}", fresh.id)?;
    Ok(ExitCode::SUCCESS)
}

/// As the audit names whoever has a shell on the machine: the name is theirs to choose.
pub(super) fn actor() -> Actor {
    let user = std::env::var("USER").unwrap_or_default();
    let user: String = user.chars().filter(|c| c.is_ascii_graphic()).take(32).collect();
    Actor { name: if user.is_empty() { "cli".to_owned() } else { format!("cli:{user}") }, tenant: None }
}

const HEAD: [&str; 9] = ["ID", "NAME", "TENANT", "MAY", "RATE", "STATE", "CREATED", "EXPIRES", "LAST USED"];

/// Columns as wide as what they hold.
fn table(keys: &[ListedKey]) -> String {
    let rows: Vec<[String; 9]> = keys.iter().map(line).collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in std::iter::once(HEAD.map(str::to_owned)).chain(rows) {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out
}

fn line(key: &ListedKey) -> [String; 9] {
    let time = |at: Option<EventTime>| at.map_or_else(|| "-".to_owned(), |at| Utc(at).to_string());
    let state = match key.state {
        KeyState::InForce => "in force",
        KeyState::Replaced => "replaced",
        KeyState::Expired => "expired",
        KeyState::Revoked => "revoked",
    };
    let rate = match key.limit {
        Limit { per_sec: None, .. } => "-".to_owned(),
        Limit { per_sec: Some(0), .. } => "none".to_owned(),
        Limit { per_sec: Some(rate), burst } => format!("{rate}/s, {}", burst.unwrap_or(rate)),
    };
    [
        key.id.to_string(),
        key.name.clone(),
        key.tenant.escape_debug().to_string(),
        Permission::join(&key.may),
        rate,
        state.to_owned(),
        time(Some(key.created_at)),
        time(key.expires_at),
        time(key.last_used_at),
    ]
}
