//! One typed configuration: defaults < file < environment (`QUOTEGUARD__HTTP__LISTEN`) < flags. Bad values and unknown keys
//! are refused with the offending key.

mod console;
mod desk;
mod export;
mod kafka;
mod oidc;
mod origin;
mod privacy;
mod sources;
mod telemetry;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use console::Console;
pub use desk::Desk;
pub use export::Export;
pub use kafka::{Kafka, Security, Topics, WhenDown};
pub use oidc::Oidc;
pub use privacy::Privacy;
pub use telemetry::Telemetry;

pub use sources::{PostgresTable, Sources};
pub use webhooks::Webhook;

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize, Serializer};

use crate::contract::instant;
use crate::engine::decision::Verdict;
use crate::engine::rules::suggest::did_you_mean;
use crate::engine::state::Settings;
use crate::engine::step::ArrivalClock;
use crate::http::auth;
pub use crate::pipeline::api_keys::Permission;
use crate::pipeline::api_keys::{NAMES_RESERVED, RATE_MAX};

/// Read when no file is named and it exists.
const FILE_DEFAULT: &str = "quoteguard.toml";
const ENV_PREFIX: &str = "QUOTEGUARD__";
const RETENTION_SECS_MAX: i64 = 90 * 86_400;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub http: Http,
    pub storage: Storage,
    pub time: Time,
    pub limits: Limits,
    pub rules: Rules,
    pub watch: Watch,
    pub sources: Sources,
    pub log: Log,
    pub kafka: Kafka,
    pub redis: Redis,
    pub privacy: Privacy,
    pub desk: Desk,
    pub export: Export,
    pub console: Console,
    pub telemetry: Telemetry,
    pub webhooks: Vec<Webhook>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    pub listen: SocketAddr,
    /// Start without API keys on an address that others can reach.
    pub insecure_no_keys: bool,
    pub header_timeout_ms: u64,
    pub body_timeout_ms: u64,
    /// A check that takes longer is answered 202; its decision is made all the same.
    pub answer_timeout_ms: u64,
    /// Of the whole stop: after this, what has not ended is cut off.
    pub shutdown_timeout_ms: u64,
    /// Open connections. Beyond: a new one takes the place of the one idle for longest.
    pub connections_max: usize,
    /// Refuse whoever has no API key even while there is none: for keys that are kept on the desk alone.
    pub require_keys: bool,
    /// Requests a second of one API key, or without keys of one address; 0: no limit. A key may have its own.
    pub rate_per_sec: u32,
    /// Of those, how many at once after a rest; 0: one second's worth.
    pub rate_burst: u32,
    pub tls: Tls,
    pub keys: Vec<ApiKey>,
}

/// HTTPS where both are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The server's certificate and those that lead to its issuer, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Names the client in the log, the metrics and the history of the rules.
    pub name: String,
    pub tenant: String,
    /// The key itself, or better its SHA-256 in hex: exactly one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<String>,
    /// What it opens.
    #[serde(default = "checks")]
    pub may: Vec<Permission>,
    /// Requests a second instead of `http.rate_per_sec`; 0: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_sec: Option<u32>,
    /// Of those, how many at once after a rest; one second's worth when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

fn checks() -> Vec<Permission> {
    vec![Permission::Checks]
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    pub path: PathBuf,
}

/// Fixed for the life of a log, except `arrival`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// How HTTP quotes arrive: `log` by the machine's clock, `event` by their own times (imports, benchmarks).
    pub arrival: Arrival,
    pub retention_secs: i64,
    pub lateness_http_secs: i64,
    pub lateness_stream_secs: i64,
    pub max_skew_secs: i64,
    pub max_age_secs: i64,
    pub max_jump_secs: i64,
    /// RFC 3339. The first file record is held to `max_age_secs` and `max_jump_secs` of it; without it the first sets the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_start: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    Log,
    Event,
}

impl Arrival {
    pub fn clock(self) -> ArrivalClock {
        match self {
            Arrival::Log => ArrivalClock::Log,
            Arrival::Event => ArrivalClock::Event,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Attempts held, about 1.2 KB each. Beyond: the oldest go and decisions that would have seen them are flagged.
    pub live_attempts_max: usize,
    /// Bytes they are counted with; beyond: the same.
    pub live_bytes_max: usize,
    /// Quotes waiting for the writer. Beyond: HTTP answers 503, files wait.
    pub queue_max: usize,
    /// Of one API key. Beyond: 429, so that one client leaves room to the others.
    pub queue_client_max: usize,
}

/// Where checkpoints are kept when the log is a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// `redis://host:port/db`, or `rediss://` for TLS.
    pub url: String,
    /// ACL user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Certificates that may sign the server's; the system's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Default for Redis {
    fn default() -> Redis {
        let url = "redis://127.0.0.1:6379".to_owned();
        Redis { url, username: None, password: None, password_file: None, ca_file: None }
    }
}

#[cfg(feature = "redis")]
impl Redis {
    pub fn options(&self) -> crate::adapters::redis::Options {
        crate::adapters::redis::Options {
            url: self.url.clone(),
            user: self.username.clone(),
            password: self.password.as_ref().map(|password| password.0.clone()),
            password_file: self.password_file.clone(),
            ca_file: self.ca_file.clone(),
            ..crate::adapters::redis::Options::default()
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// A folder of rule files, watched: what is saved there takes effect. The shipped book when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// A change of the rules, by folder or HTTP, waits until the holder of another API key approves it; of the folder, until two do.
    pub four_eyes: bool,
    /// Over how long a rule's share of referred applicants is held to its `expected` band.
    pub breaker_window_secs: u64,
    /// With fewer new applicants in that time no rule is judged.
    pub breaker_applicants_min: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watch {
    /// A folder whose JSONL and CSV files are read as they come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    pub poll_ms: u64,
    /// A file gone for so long is forgotten: when it comes back it is read from its beginning.
    pub forget_after_secs: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub format: LogFormat,
    /// As in `RUST_LOG`.
    pub filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    Pretty,
    Json,
}

impl Default for Http {
    fn default() -> Self {
        Http {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            insecure_no_keys: false,
            header_timeout_ms: 10_000,
            body_timeout_ms: 10_000,
            answer_timeout_ms: 2_000,
            shutdown_timeout_ms: 10_000,
            connections_max: 16_384,
            require_keys: false,
            rate_per_sec: 0,
            rate_burst: 0,
            tls: Tls::default(),
            keys: Vec::new(),
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Storage { path: "data/quoteguard.db".into() }
    }
}

impl Default for Time {
    fn default() -> Self {
        Time {
            arrival: Arrival::Log,
            retention_secs: 30 * 86_400,
            lateness_http_secs: 30,
            lateness_stream_secs: 3_600,
            max_skew_secs: 120,
            max_age_secs: 86_400,
            max_jump_secs: 7 * 86_400,
            event_start: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { live_attempts_max: 2_000_000, live_bytes_max: 3_000_000_000, queue_max: 4_096, queue_client_max: 2_048 }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules { dir: None, four_eyes: false, breaker_window_secs: 3_600, breaker_applicants_min: 500 }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Watch { dir: None, poll_ms: 500, forget_after_secs: 86_400 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { format: LogFormat::Auto, filter: "info,sqlx=warn".into() }
    }
}

/// What the command line may say; `None` leaves it to the other sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Flags {
    /// Configuration file (TOML) [default: quoteguard.toml when it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// SQLite file that holds everything
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Folder of rule files [default: the shipped book]
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Folder whose JSONL and CSV files are read as they come
    #[arg(long, value_name = "DIR")]
    pub watch: Option<PathBuf>,
    /// Start without API keys on an address that others can reach
    #[arg(long)]
    pub insecure_no_keys: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0}: no such file; name an existing one with --config")]
    NoFile(PathBuf),
    #[error("{0}")]
    Read(String),
    /// A value that cannot be; the key and the fix.
    #[error("{key}: {problem}")]
    Value { key: String, problem: String },
}

impl Config {
    /// Reads all sources and checks the result.
    pub fn load(flags: &Flags) -> Result<Config, ConfigError> {
        let config: Config = Config::sources(flags)?.extract().map_err(explain)?;
        config.check()?;
        Ok(config)
    }

    /// All sources, the later winning.
    fn sources(flags: &Flags) -> Result<Figment, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        match &flags.config {
            Some(file) if !file.is_file() => return Err(ConfigError::NoFile(file.clone())),
            Some(file) => figment = figment.merge(Toml::file_exact(file)),
            None if Path::new(FILE_DEFAULT).is_file() => figment = figment.merge(Toml::file_exact(FILE_DEFAULT)),
            None => {}
        }
        figment = figment.merge(Env::prefixed(ENV_PREFIX).split("__"));
        figment = flag(figment, "http.listen", flags.listen.as_ref());
        figment = flag(figment, "storage.path", flags.data.as_ref());
        figment = flag(figment, "rules.dir", flags.rules.as_ref());
        figment = flag(figment, "watch.dir", flags.watch.as_ref());
        Ok(flag(figment, "http.insecure_no_keys", flags.insecure_no_keys.then_some(&true)))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("http.header_timeout_ms", self.http.header_timeout_ms),
            ("http.body_timeout_ms", self.http.body_timeout_ms),
            ("http.answer_timeout_ms", self.http.answer_timeout_ms),
            ("http.connections_max", self.http.connections_max as u64),
            ("limits.live_attempts_max", self.limits.live_attempts_max as u64),
            ("limits.live_bytes_max", self.limits.live_bytes_max as u64),
            ("limits.queue_max", self.limits.queue_max as u64),
            ("limits.queue_client_max", self.limits.queue_client_max as u64),
            ("rules.breaker_window_secs", self.rules.breaker_window_secs),
            ("rules.breaker_applicants_min", self.rules.breaker_applicants_min),
            ("watch.poll_ms", self.watch.poll_ms),
            ("watch.forget_after_secs", self.watch.forget_after_secs),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(wrong(key, "must be at least 1"));
            }
        }
        let time = &self.time;
        if !(1..=RETENTION_SECS_MAX).contains(&time.retention_secs) {
            return Err(wrong("time.retention_secs", format!("must lie between 1 and {RETENTION_SECS_MAX} (90 days)")));
        }
        let not_negative = [
            ("time.lateness_http_secs", time.lateness_http_secs),
            ("time.lateness_stream_secs", time.lateness_stream_secs),
            ("time.max_skew_secs", time.max_skew_secs),
            ("time.max_age_secs", time.max_age_secs),
            ("time.max_jump_secs", time.max_jump_secs),
        ];
        for (key, value) in not_negative {
            if !(0..=RETENTION_SECS_MAX).contains(&value) {
                return Err(wrong(key, format!("must lie between 0 and {RETENTION_SECS_MAX} (90 days)")));
            }
        }
        if let Some(start) = &time.event_start {
            instant::parse(start).map_err(|error| wrong("time.event_start", error.to_string()))?;
        }
        if self.http.tls.cert_file.is_some() != self.http.tls.key_file.is_some() {
            return Err(wrong("http.tls", "give both cert_file and key_file, or neither"));
        }
        self.kafka.check()?;
        self.privacy.check()?;
        self.desk.check()?;
        self.sources.check()?;
        self.export.check()?;
        self.console.check()?;
        self.telemetry.check()?;
        webhooks::check(&self.webhooks)?;
        if self.redis.url.contains('@') {
            return Err(wrong(
                "redis.url",
                "must hold no password, for it is shown: give redis.username and redis.password_file",
            ));
        }
        self.check_keys()
    }

    fn check_four_eyes(&self) -> Result<(), ConfigError> {
        let keys = self.http.keys.iter().filter(|key| key.may.contains(&Permission::Rules));
        let people: BTreeSet<&str> = keys.map(|key| key.name.as_str()).collect();
        // Those of the desk come and go: who is alone waits for the second.
        if self.rules.four_eyes && people.len() < 2 && !self.http.require_keys {
            return Err(wrong(
                "rules.four_eyes",
                "needs two people: give two http.keys with different names `may = [\"rules\"]`, or set http.require_keys and keep keys on the desk",
            ));
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<(), ConfigError> {
        let mut seen = BTreeMap::new();
        for (i, key) in self.http.keys.iter().enumerate() {
            let at = |field: &str| format!("http.keys.{i}.{field}");
            if key.name.is_empty() || NAMES_RESERVED.contains(&key.name.as_str()) {
                return Err(wrong(at("name"), format!("must not be empty, nor one of {}", NAMES_RESERVED.join(", "))));
            }
            if key.tenant.is_empty() || key.tenant.chars().count() > crate::engine::limits::TENANT_CHARS_MAX {
                return Err(wrong(at("tenant"), "must have 1 to 64 characters"));
            }
            match (&key.key, &key.key_sha256) {
                (Some(key), None) if key.0.len() < 16 => return Err(wrong(at("key"), "must have at least 16 characters")),
                (None, Some(hash)) if auth::parse_sha256(hash).is_none() => {
                    return Err(wrong(at("key_sha256"), "must be 64 hex digits: printf %s KEY | sha256sum"));
                }
                (Some(_), None) | (None, Some(_)) => {}
                _ => return Err(wrong(at("key"), "give exactly one of key and key_sha256")),
            }
            if key.may.is_empty() {
                return Err(wrong(at("may"), "must name what the key opens: checks, rules, rulings, ops"));
            }
            for (field, rate) in [("rate_per_sec", key.rate_per_sec), ("burst", key.burst)] {
                if rate.is_some_and(|rate| rate > RATE_MAX) {
                    return Err(wrong(at(field), format!("must be at most {RATE_MAX}")));
                }
            }
            if let Some(first) = seen.insert(auth::digest(key), i) {
                let again = format!("the same key as in http.keys.{first}; give each entry a key of its own");
                return Err(wrong(format!("http.keys.{i}"), again));
            }
        }
        self.check_four_eyes()?;
        self.check_open()
    }

    /// Whether those without a key may ask is said by whoever runs the service.
    fn check_open(&self) -> Result<(), ConfigError> {
        let Http { insecure_no_keys, require_keys, rate_per_sec, rate_burst, .. } = self.http;
        for (key, rate) in [("http.rate_per_sec", rate_per_sec), ("http.rate_burst", rate_burst)] {
            if rate > RATE_MAX {
                return Err(wrong(key, format!("must be at most {RATE_MAX}")));
            }
        }
        if insecure_no_keys && require_keys {
            return Err(wrong("http.require_keys", "contradicts http.insecure_no_keys; leave one of them out"));
        }
        if self.http.keys.is_empty() && !insecure_no_keys && !require_keys && !self.http.listen.ip().is_loopback() {
            return Err(wrong(
                "http.keys",
                format!(
                    "{} can be reached by others: add API keys, set http.require_keys and keep keys on the desk, listen on \
                     127.0.0.1, or start with --insecure-no-keys",
                    self.http.listen
                ),
            ));
        }
        Ok(())
    }

    /// What a check is answered while the log is away; `None` where it is refused.
    pub fn fallback(&self) -> Option<Verdict> {
        match (&self.kafka.brokers, self.kafka.when_down) {
            (None, _) | (_, WhenDown::Refuse) => None,
            (_, WhenDown::FailOpen) => Some(Verdict::Accept),
            (_, WhenDown::FailClosed) => Some(Verdict::Refer),
        }
    }

    /// The engine's settings; the store replaces the log id by its own.
    pub fn settings(&self) -> Settings {
        Settings {
            log_id: "file".into(),
            partition: 0,
            retention_secs: self.time.retention_secs,
            max_live_attempts: self.limits.live_attempts_max,
            max_live_bytes: self.limits.live_bytes_max,
            lateness_http_secs: self.time.lateness_http_secs,
            lateness_stream_secs: self.time.lateness_stream_secs,
            max_skew_secs: self.time.max_skew_secs,
            max_age_secs: self.time.max_age_secs,
            max_jump_secs: self.time.max_jump_secs,
            event_start: self.time.event_start.as_deref().and_then(|start| instant::parse(start).ok()),
        }
    }

    /// As TOML, secrets hidden.
    pub fn print(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|e| ConfigError::Read(e.to_string()))
    }

    /// As TOML with a line for each key that says where its value came from, secrets hidden.
    pub fn print_origin(flags: &Flags) -> Result<String, ConfigError> {
        let config = toml::Value::try_from(Config::load(flags)?).map_err(|e| ConfigError::Read(e.to_string()))?;
        Ok(origin::lines(&config, &Config::sources(flags)?))
    }
}

fn flag<T: Serialize>(figment: Figment, key: &str, value: Option<&T>) -> Figment {
    match value {
        Some(value) => figment.merge(origin::Flag(Serialized::default(key, value))),
        None => figment,
    }
}

/// A name that goes into metrics, positions and commands.
fn is_name(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// What a file holds that was written for one secret.
fn read_secret(key: &str, path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| wrong(key, format!("{}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}

fn wrong(key: impl Into<String>, problem: impl Into<String>) -> ConfigError {
    ConfigError::Value { key: key.into(), problem: problem.into() }
}

/// The key first, then what is wrong with it and where it was set.
fn explain(error: figment::Error) -> ConfigError {
    let from = error.metadata.as_ref().and_then(|m| m.source.as_ref()).map(|source| format!(" (in {source})"));
    let from = from.unwrap_or_default();
    let path = error.path.join(".");
    match &error.kind {
        Kind::UnknownField(field, known) => {
            let key = if path.is_empty() || path.ends_with(field.as_str()) { path.clone() } else { format!("{path}.{field}") };
            let key = if key.is_empty() { field.clone() } else { key };
            let hint = did_you_mean(field, known.iter().copied());
            let hint = hint.unwrap_or_else(|| format!("known here: {}", known.join(", ")));
            wrong(key, format!("no such key{from}; {hint}"))
        }
        kind if path.is_empty() => ConfigError::Read(format!("{kind}{from}")),
        kind => wrong(path, format!("{kind}{from}")),
    }
}

#[cfg(test)]
mod tests {
    use figment::Jail;

    use super::*;

    #[allow(clippy::result_large_err, reason = "the closure's type is figment's")]
    fn load(toml: &str, env: &[(&str, &str)], flags: Flags) -> Result<Config, String> {
        let mut loaded = Err(String::new());
        Jail::expect_with(|jail| {
            jail.create_file("quoteguard.toml", toml)?;
            for (key, value) in env {
                jail.set_env(key, value);
            }
            loaded = Config::load(&flags).map_err(|e| e.to_string());
            Ok(())
        });
        loaded
    }

    #[test]
    fn flags_beat_environment_beats_file_beats_defaults() {
        let toml = "[http]\nlisten = '127.0.0.1:1'\nbody_timeout_ms = 1\nheader_timeout_ms = 1";
        let env = [("QUOTEGUARD__HTTP__LISTEN", "127.0.0.1:2"), ("QUOTEGUARD__HTTP__BODY_TIMEOUT_MS", "2")];
        let flags = Flags { listen: Some(SocketAddr::from(([127, 0, 0, 1], 3))), ..Flags::default() };
        let http = load(toml, &env, flags).expect("valid").http;
        assert_eq!(http.listen.port(), 3);
        assert_eq!(http.body_timeout_ms, 2);
        assert_eq!(http.header_timeout_ms, 1);
        assert_eq!(http.answer_timeout_ms, Http::default().answer_timeout_ms);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        for (toml, expected) in [
            ("[http]\nlisen = '127.0.0.1:1'", "http.lisen: no such key"),
            ("[htp]\nlisten = '127.0.0.1:1'", "htp: no such key"),
            ("[http]\nlisten = 'nowhere'", "http.listen: "),
            ("[rules]\nfour_eyes = true", "rules.four_eyes: needs two people"),
            (
                "[[http.keys]]\nname = 'a'\ntenant = 't'\nkey = 'abcdefghijklmnop'\nmay = []",
                "http.keys.0.may: must name what the key opens",
            ),
            ("[[http.keys]]\nname = 'a'\ntenant = 't'\nkey = 'abcdefghijklmnop'\nmay = ['rule']", "http.keys"),
            ("[time]\nretention_secs = 0", "time.retention_secs: must lie between"),
            ("[time]\narrival = 'soon'", "time.arrival: "),
            ("[time]\nevent_start = '2026-11-01'", "time.event_start: write the time as RFC 3339"),
            ("[limits]\nqueue_max = 0", "limits.queue_max: must be at least 1"),
            ("[http.tls]\ncert_file = 'c.pem'", "http.tls: give both"),
            ("[http]\nlisten = '0.0.0.0:1'", "http.keys: 0.0.0.0:1 can be reached by others"),
            ("[[http.keys]]\nname = 'a'\ntenant = 't'", "http.keys.0.key: give exactly one"),
            ("[[http.keys]]\nname = 'a'\ntenant = 't'\nkey = 'short'", "http.keys.0.key: must have at least"),
            ("[[http.keys]]\nname = 'a'\ntenant = 't'\nkey_sha256 = 'x'", "http.keys.0.key_sha256: must be 64 hex"),
            ("[kafka]\nbroker = 'k:1'", "kafka.broker: no such key"),
            ("[kafka]\nbrokers = ''", "kafka.brokers: must be host:port"),
            ("[kafka]\nsession_timeout_ms = 1", "kafka.session_timeout_ms: must lie between"),
            ("[kafka]\nwhen_down = 'panic'", "kafka.when_down: "),
            ("[kafka.topics]\nquotes = 'a b'", "kafka.topics.quotes: must be 1 to 249"),
            ("[kafka.topics]\ndecisions = 'quotes'", "kafka.topics.decisions: must differ from kafka.topics.quotes"),
            ("[kafka]\nusername = 'u'", "kafka.username: needs kafka.security"),
            ("[kafka]\nsecurity = 'sasl_ssl'", "kafka.username: must be given"),
            ("[kafka]\nsecurity = 'sasl_ssl'\nusername = 'u'", "kafka.password_file: give exactly one"),
            (
                "[[http.keys]]\nname = 'a'\ntenant = 't'\nkey = 'abcdefghijklmnop'\n[[http.keys]]\nname = 'b'\ntenant = 'u'\n\
                 key_sha256 = 'F39DAC6CBABA535E2C207CD0CD8F154974223C848F727F98B3564CEA569B41CF'",
                "http.keys.1: the same key as in http.keys.0",
            ),
            ("[http]\nrate_per_sec = 1000001", "http.rate_per_sec: must be at most"),
            (
                "[[http.keys]]\nname = 'a'\ntenant = 't'\nkey = 'abcdefghijklmnop'\nburst = 1000001",
                "http.keys.0.burst: must be at most",
            ),
            ("[http]\nrequire_keys = true\ninsecure_no_keys = true", "http.require_keys: contradicts http.insecure_no_keys"),
            ("[http]\nlisten = '0.0.0.0:80'", "http.keys: 0.0.0.0:80 can be reached by others"),
            ("[rules]\nfour_eyes = true", "rules.four_eyes: needs two people"),
            ("[privacy]\nkey_file = 'k'\nkey_command = ['kms']", "privacy.key_command: give at most one"),
            ("[privacy]\nkey_command = []", "privacy.key_command: names no program"),
            ("[desk]\nurl = 'mysql://h/d'", "desk.url: must be postgres://"),
            ("[desk]\nurl = 'postgres://u:p@h/d'", "desk.url: must hold no password"),
            ("[desk]\nurl = 'postgres://u@h/d?password=p'", "desk.url: must hold no password"),
            ("[[webhooks]]\nname = 'a'\nurl = 'ftp://h'\nsecret = '0123456789abcdef'", "webhooks.0.url: must be https://"),
            ("[[webhooks]]\nname = 'a'\nurl = 'https://u:p@h/'\nsecret = '0123456789abcdef'", "webhooks.0.url: must be https://"),
            ("[[webhooks]]\nname = 'a'\nurl = 'https://h/'", "webhooks.0.secret: give exactly one"),
            ("[[webhooks]]\nname = 'a'\nurl = 'https://h/'\nsecret = 'short'", "webhooks: a: the secret must have"),
            ("[[webhooks]]\nname = 'a b'\nurl = 'https://h/'\nsecret = '0123456789abcdef'", "webhooks.0.name: must be"),
            ("[console]\nutc_offset = 'MSK'", "console.utc_offset: must be like +03:00"),
            ("[console]\nsession_idle_secs = 1", "console.session_idle_secs: must lie between"),
            ("[console]\naddress_header = 'x y'", "console.address_header: must be the name of a header"),
            ("[desk]\nretention_days = 0", "desk.retention_days: must be at least 1"),
            ("[desk]\ncurrency = 'rub'", "desk.currency: must be a code of ISO 4217"),
            ("[telemetry]\nsample_ratio = 1.5", "telemetry.sample_ratio: must lie between 0 and 1"),
            ("[telemetry]\notlp_endpoint = 'collector:4317'", "telemetry.otlp_endpoint: must be http:// or https://"),
            ("not toml", "TOML parse error"),
        ] {
            let error = load(toml, &[], Flags::default()).expect_err(toml);
            assert!(error.contains(expected), "{toml}: {error}");
        }
        // Their keys are on the desk.
        let desk = "[http]\nlisten = '0.0.0.0:80'\nrequire_keys = true\n[rules]\nfour_eyes = true";
        assert!(load(desk, &[], Flags::default()).is_ok());
        let suggested = load("[http]\nlisen = '127.0.0.1:1'", &[], Flags::default()).expect_err("refused");
        assert!(suggested.contains("listen"), "{suggested}");
    }

    #[test]
    fn half_a_provider_is_refused_and_so_is_a_console_without_a_way_in() {
        let whole = "[console.oidc]\nissuer = 'https://i'\nclient_id = 'c'\nclient_secret = 'a-very-secret-secret'\npublic_url = 'https://h'\n";
        for (toml, expected) in [
            ("[console.oidc]\nclient_id = 'c'".to_owned(), "console.oidc.issuer: must be given"),
            (whole.to_owned(), "console.oidc.roles: must map"),
            (format!("{whole}roles = {{ desk = 'boss' }}"), "console.oidc.roles"),
            ("[console]\nlocal_accounts = false".to_owned(), "console.local_accounts: without local accounts"),
            (format!("[console]\nlocal_accounts = false\n{whole}roles = {{ desk = 'underwriter' }}"), "console.local_accounts: "),
        ] {
            let error = load(&toml, &[], Flags::default()).expect_err(&toml);
            assert!(error.contains(expected), "{toml}: {error}");
        }
        let toml = format!("[console]\nlocal_accounts = false\n{whole}roles = {{ desk = 'admin' }}");
        let printed = load(&toml, &[], Flags::default()).expect("valid").print().expect("prints");
        assert!(!printed.contains("very-secret"), "{printed}");
    }

    #[test]
    fn printing_hides_keys_and_reads_back() {
        let toml =
            "[kafka]\nsecurity = 'sasl_ssl'\nusername = 'u'\n[[http.keys]]\nname = 'a'\ntenant = 't'\nkey = 'a-very-secret-key'";
        let env = [("QUOTEGUARD__KAFKA__PASSWORD", "a-very-secret-password")];
        let config = load(toml, &env, Flags::default()).expect("valid");
        let printed = config.print().expect("prints");
        assert!(!printed.contains("very-secret"), "{printed}");
        assert!(!format!("{config:?}").contains("very-secret"));
        assert!(printed.contains("listen = \"127.0.0.1:8080\""), "{printed}");
    }

    #[test]
    #[allow(clippy::result_large_err, reason = "the closure's type is figment's")]
    fn each_key_says_where_it_came_from() {
        Jail::expect_with(|jail| {
            let file = "[http]\nbody_timeout_ms = 7\n[[http.keys]]\nname = 'a'\ntenant = 't'\nkey = 'a-very-secret-key'\n\
                        [kafka.properties]\n\"socket.timeout.ms\" = '1'\n";
            jail.create_file("quoteguard.toml", file)?;
            jail.set_env("QUOTEGUARD__HTTP__HEADER_TIMEOUT_MS", "8");
            jail.set_env("QUOTEGUARD__TIME__RETENTION_SECS", "9");
            let flags = Flags { listen: Some(SocketAddr::from(([127, 0, 0, 1], 3))), ..Flags::default() };
            let printed = Config::print_origin(&flags).expect("prints");
            for line in [
                "http.answer_timeout_ms = 2000  # default",
                "http.body_timeout_ms = 7  # file quoteguard.toml",
                "http.header_timeout_ms = 8  # environment QUOTEGUARD__HTTP__HEADER_TIMEOUT_MS",
                "http.listen = \"127.0.0.1:3\"  # flag",
                "time.retention_secs = 9  # environment QUOTEGUARD__TIME__RETENTION_SECS",
                "kafka.properties.\"socket.timeout.ms\" = \"1\"  # file quoteguard.toml",
            ] {
                assert!(printed.lines().any(|printed| printed == line), "{line} is not in\n{printed}");
            }
            assert!(printed.contains("http.keys = [{ key = \"***\"") && !printed.contains("very-secret"), "{printed}");
            // Every line is TOML that gives the value again.
            assert!(toml::from_str::<toml::Value>(&printed).is_ok(), "{printed}");
            Ok(())
        });
    }
}
