//! From the configuration to the Kafka adapter, and `quoteguard topics`.

mod books;
#[cfg(feature = "redis")]
mod elsewhere;
#[cfg(feature = "redis")]
mod emit;
#[cfg(feature = "redis")]
mod hands;
#[cfg(feature = "redis")]
mod intake;
#[cfg(feature = "redis")]
mod partitions;
#[cfg(feature = "redis")]
mod referrals;
pub(super) mod replay;
#[cfg(feature = "redis")]
pub(super) mod service;
#[cfg(feature = "redis")]
mod takeover;
pub(super) mod topic_log;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::{Args, Subcommand};

use crate::adapters::kafka::{
    Control, ControlBook, ControlRuling, CreateOptions, Created, Fetched, Finding, KafkaConfig, LogInfo, Needs, Password,
    Producer, Sasl, Security, Severity, TopicNames, check, create,
};
use crate::config::{self, Config, Flags};
use crate::contract::rule_file::from_canonical;
use crate::engine::rules::RuleBook;
use crate::engine::rulings::Ruling;
use crate::engine::step::ArrivalClock;
use crate::pipeline::books::Shelf;
use crate::pipeline::fixed;
use crate::pipeline::partition::owner::ControlError;
use crate::pipeline::partition::prepare;
use crate::pipeline::rulings;

use super::commands::rule_book;

const DAY_SECS: i64 = 86_400;

#[derive(Subcommand)]
pub enum TopicsCommand {
    /// Create what is missing and give the log its id; what is there stays as it is
    Create(CreateArgs),
    /// Say what is wrong with the topics and how to put it right; exit code 1 where it is dangerous
    Check {
        /// Configuration file (TOML) [default: quoteguard.toml when it exists]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Args)]
pub struct CreateArgs {
    /// Partitions of quotes and decisions, for the life of the log [default: 4, or what is there]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: Option<u32>,
    /// Copies of each partition [default: the brokers']
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u16).range(1..=100))]
    replication: Option<u16>,
    /// How long quotes and decisions are kept [default: the longest window and an outage]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=36_500))]
    retention: Option<i64>,
    /// Configuration file (TOML) [default: quoteguard.toml when it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn topics(command: &TopicsCommand) -> Result<ExitCode> {
    match command {
        TopicsCommand::Create(args) => create_topics(args),
        TopicsCommand::Check { config } => {
            let config = load(config.clone())?;
            let findings = findings(&config)?;
            for finding in &findings {
                writeln!(stdout(), "{finding}")?;
            }
            if findings.iter().any(|finding| finding.severity == Severity::Dangerous) {
                return Ok(ExitCode::FAILURE);
            }
            writeln!(stdout(), "the topics are fit for use")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What is wrong with the topics, for this configuration.
pub(super) fn findings(config: &Config) -> Result<Vec<Finding>> {
    Ok(check(&adapter(config)?, Needs { retention_secs: needed_secs(config) })?)
}

fn create_topics(args: &CreateArgs) -> Result<ExitCode> {
    let config = load(args.config.clone())?;
    let needed = needed_secs(&config);
    let retention_secs = args.retention.map_or(needed, |days| days * DAY_SECS);
    if retention_secs < needed {
        let days = (needed + DAY_SECS - 1) / DAY_SECS;
        return Err(anyhow!(
            "--retention: the longest window and an outage need {days} days (time.retention_secs + kafka.outage_secs)"
        ));
    }
    let mut settings: BTreeMap<String, String> =
        fixed::pairs(&config.settings()).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    settings.insert(ARRIVAL.to_owned(), arrival(&config).to_owned());
    let (partitions, replication) = (args.partitions, args.replication);
    let options = CreateOptions { partitions, replication, retention_ms: retention_secs * 1_000, settings };
    let Created { log, new, is_new_log } = create(&adapter(&config)?, &options)?;
    for name in &new {
        writeln!(stdout(), "created   {name}")?;
    }
    let is_new = if is_new_log { "new" } else { "there already" };
    writeln!(stdout(), "log       {} ({is_new}), {} partitions", log.log_id, log.partitions)?;
    let rules = Ok(rule_book(config.rules.dir.as_deref(), config.time.retention_secs)?);
    let kafka = adapter(&config)?;
    let control = Arc::new(Control::start(&kafka, Arc::new(Producer::new(&kafka)?))?);
    // Before the first quote: it is decided by these rules, not by none.
    let last = books::install(&control, &Shelf::default(), &rules, config.rules.four_eyes)?.book;
    writeln!(stdout(), "rules     version {} ({:016x}) are the last of the log", last.version(), last.hash())?;
    Ok(ExitCode::SUCCESS)
}

/// The rule book of a control record.
fn compiled(book: &ControlBook) -> Result<RuleBook, ControlError> {
    from_canonical(&book.source).map_err(|_| ControlError::Unreadable(book.version))
}

/// The ruling of a control record.
fn ruling(record: &ControlRuling) -> Result<Arc<Ruling>, ControlError> {
    let read = rulings::read(record.offset, &record.json);
    read.map(|(_, ruling)| ruling).map_err(|_| ControlError::UnreadableRuling(record.offset))
}

/// The ruling whose record is at this offset, if this version can read it.
#[cfg(feature = "redis")]
fn ruling_at(control: &Control, offset: u64) -> Option<Ruling> {
    let record = control.rulings_between(offset.checked_sub(1), offset).pop()?;
    ruling(&record).ok().map(Arc::unwrap_or_clone)
}

/// The rule book with this hash, if the control topic has brought it and this version can read it.
#[cfg(feature = "redis")]
fn book_by_hash(control: &Control, hash: u64) -> Option<RuleBook> {
    control.book_with(hash).and_then(|book| compiled(&book).ok())
}

/// Which clock the times of quotes are judged by is a matter of the log, like the settings of the engine.
const ARRIVAL: &str = "time.arrival";

fn arrival(config: &Config) -> &'static str {
    match config.time.arrival.clock() {
        ArrivalClock::Event => "event",
        ArrivalClock::Log | ArrivalClock::Stream => "log",
    }
}

/// # Errors
/// The configuration has another clock than the log was made with.
pub(super) fn refuse_another_clock(config: &Config, log: &LogInfo) -> Result<()> {
    match log.settings.get(ARRIVAL) {
        Some(was) if was != arrival(config) => {
            Err(anyhow!("{ARRIVAL}: the log was made with `{was}`; it is fixed for the life of the log"))
        }
        Some(_) | None => Ok(()),
    }
}

fn load(config: Option<PathBuf>) -> Result<Config> {
    Ok(Config::load(&Flags { config, ..Flags::default() })?)
}

fn needed_secs(config: &Config) -> i64 {
    config.time.retention_secs.saturating_add(config.kafka.outage_secs)
}

/// A record as the partition's writer takes it.
fn fetched(raw: Fetched) -> prepare::Fetched {
    let Fetched { offset, append_time_ms, key, value, token, traceparent, is_pointer, .. } = raw;
    prepare::Fetched { offset, arrival: append_time_ms * 1_000, key, value, token, traceparent, is_pointer }
}

/// What the adapter needs of the configuration, with the secrets read.
pub(super) fn adapter(config: &Config) -> Result<KafkaConfig> {
    let kafka = &config.kafka;
    let brokers = kafka.brokers.clone().context("kafka.brokers: name the brokers, host:port")?;
    let config::Topics { quotes, decisions, dead_letters, control, referrals } = kafka.topics.clone();
    let ca_file = kafka.ca_file.clone();
    let security = match kafka.security {
        config::Security::Plaintext => Security::Plaintext,
        config::Security::Ssl => Security::Ssl { ca_file },
        config::Security::SaslSsl => Security::SaslSsl { ca_file, sasl: sasl(kafka)? },
    };
    Ok(KafkaConfig {
        brokers,
        topics: TopicNames { quotes, decisions, dead_letters, control, referrals },
        group: kafka.group.clone(),
        instance_id: kafka.instance_id.clone(),
        client_id: kafka.instance_id.as_ref().map_or("quoteguard".to_owned(), |instance| format!("quoteguard-{instance}")),
        session_timeout_ms: kafka.session_timeout_ms,
        security,
        properties: kafka.properties.clone(),
    })
}

fn sasl(kafka: &config::Kafka) -> Result<Sasl> {
    let password = match (&kafka.password, &kafka.password_file) {
        (Some(password), _) => password.0.clone(),
        (None, Some(file)) => {
            let text =
                fs::read_to_string(file).with_context(|| format!("kafka.password_file: cannot read {}", file.display()))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, None) => return Err(anyhow!("kafka.password_file: give the password of kafka.username")),
    };
    let username = kafka.username.clone().unwrap_or_default();
    Ok(Sasl { mechanism: kafka.sasl_mechanism.clone(), username, password: Password(password) })
}
