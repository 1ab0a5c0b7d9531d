//! One function for each command of the command line.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

#[cfg(feature = "kafka")]
use super::kafka;
#[cfg(feature = "kafka")]
use super::kafka::replay::TopicArgs;
#[cfg(all(feature = "kafka", feature = "redis"))]
use super::kafka::service::KafkaService;
use super::outputs::check_outputs;
use super::rules_remote::{RemoteCommand, remote};
use super::{Service, logs};
use crate::adapters::file::rejects_path;
use crate::adapters::sqlite::{is_sqlite, recorded_log};
use crate::config::{Config, Flags};
use crate::contract::csv::CsvMapping;
use crate::contract::quote::decode;
use crate::contract::rule_file::{load_within, shipped};
use crate::engine::decide::{Books, Prepared, decide};
use crate::engine::quote::Position;
use crate::engine::rules::RuleBook;
use crate::engine::state::{Settings, State};
use crate::engine::step::{ArrivalClock, Input, LoggedQuote};
use crate::engine::time::{ArrivalTime, Arrivals, SECOND};
use crate::replay::{self, Depth, Inputs, Options};
use crate::rule_commands::{self, Decided, Report};
use crate::telemetry;

/// Time that the last spans are given at a stop, beyond that of the service.
const LAST_SPANS: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Args)]
pub struct ReplayArgs {
    /// JSONL or CSV files in the order of the log (.gz and .zst too, `-` is stdin), or one SQLite file of a service
    #[arg(value_name = "FILE")]
    #[cfg_attr(feature = "kafka", arg(required_unless_present = "topic", conflicts_with = "topic"))]
    #[cfg_attr(not(feature = "kafka"), arg(required = true))]
    files: Vec<PathBuf>,
    /// How the columns of CSV files are named, where not by the paths of a quote (docs/backtest.md)
    #[arg(long, value_name = "FILE.toml")]
    #[cfg_attr(feature = "kafka", arg(conflicts_with = "topic"))]
    columns: Option<PathBuf>,
    #[cfg(feature = "kafka")]
    #[command(flatten)]
    topic: TopicArgs,
    /// Where the decisions go, one a line
    #[arg(long, value_name = "OUT.jsonl")]
    decisions: PathBuf,
    /// Where records that could not be decided go [default: OUT.rejects.jsonl]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Folder of rule files, in force from the first record [default: the shipped book; for an SQLite file or a topic those of its log]
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Configuration file (TOML) [default: quoteguard.toml when it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
pub enum RulesCommand {
    /// Compile the rules of a folder and show every error
    Check {
        /// Folder of rule files
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Configuration of the service they are for: windows must not be longer than it keeps quotes
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Compile them and run the tests they carry
    Test {
        /// Folder of rule files
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Say in words what the rules do, what they read and over which window
    Explain {
        /// Folder of rule files
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Only this rule
        #[arg(value_name = "ID")]
        id: Option<String>,
    },
    /// Show what one book says otherwise than another, a line each
    Diff {
        /// Folder of the book before
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// Folder of the book after
        #[arg(value_name = "NEW")]
        new: PathBuf,
        /// Exit with 1 when they differ
        #[arg(long)]
        exit_code: bool,
    },
    /// Print the JSON Schema of a rule file, for an editor's completion
    Schema,
    #[command(flatten)]
    Running(RemoteCommand),
}

#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Read all sources of the configuration and show what is wrong
    Check(Flags),
    /// Print the configuration in force as TOML, keys hidden
    Print {
        #[command(flatten)]
        flags: Flags,
        /// One line for each key, with where its value came from: default, file, environment or flag
        #[arg(long)]
        origin: bool,
    },
}

/// How the process ends; what went wrong goes to stderr.
pub fn finish(done: Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        eprintln!("quoteguard: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs until SIGINT or SIGTERM; a second one ends at once.
pub fn serve(flags: &Flags) -> Result<ExitCode> {
    let config = Config::load(flags)?;
    logs::init(&config.log)?;
    let rules = given(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let mut interrupt = Signals::new()?;
        let mut service = Running::start(&config, rules).await?;
        tracing::info!(address = %service.addr(), "listening");
        tokio::select! {
            () = interrupt.next() => {}
            error = service.failed() => {
                // Whoever waits is told that nothing was accepted.
                service.stop().await;
                return Err(error);
            }
        }
        tracing::info!("stopping: no new quotes, answering what was accepted");
        let report = tokio::select! {
            report = service.stop() => report,
            () = interrupt.next() => return Err(anyhow!("stopped at once; what was not answered was not promised")),
        };
        telemetry::flush(LAST_SPANS);
        if !report.is_complete {
            return Err(anyhow!("not everything ended within http.shutdown_timeout_ms; the rest was cut off"));
        }
        Ok(ExitCode::SUCCESS)
    });
    // Threads still at work have had their time.
    runtime.shutdown_background();
    done
}

/// The service over its own file, or over a topic.
enum Running {
    Embedded(Service),
    #[cfg(all(feature = "kafka", feature = "redis"))]
    Kafka(KafkaService),
}

impl Running {
    async fn start(config: &Config, rules: Given) -> Result<Running> {
        if config.kafka.brokers.is_none() {
            return Ok(Running::Embedded(Service::start(config, rules).await?));
        }
        #[cfg(all(feature = "kafka", feature = "redis"))]
        return Ok(Running::Kafka(KafkaService::start(config, rules).await?));
        #[cfg(not(all(feature = "kafka", feature = "redis")))]
        Err(anyhow!("kafka.brokers: this build is embedded; build it with the features kafka and redis"))
    }

    fn addr(&self) -> std::net::SocketAddr {
        match self {
            Running::Embedded(service) => service.addr,
            #[cfg(all(feature = "kafka", feature = "redis"))]
            Running::Kafka(service) => service.addr,
        }
    }

    async fn failed(&mut self) -> anyhow::Error {
        match self {
            Running::Embedded(service) => service.failed().await,
            #[cfg(all(feature = "kafka", feature = "redis"))]
            Running::Kafka(service) => service.failed().await,
        }
    }

    async fn stop(self) -> super::StopReport {
        match self {
            Running::Embedded(service) => service.stop().await,
            #[cfg(all(feature = "kafka", feature = "redis"))]
            Running::Kafka(service) => service.stop().await,
        }
    }
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

pub fn replay(args: ReplayArgs) -> Result<ExitCode> {
    let config = Config::load(&Flags { config: args.config.clone(), ..Flags::default() })?;
    let rejects = args.rejects.clone().unwrap_or_else(|| rejects_path(&args.decisions));
    check_outputs(&args.files, &[("--decisions", &args.decisions), ("--rejects", &rejects)])?;
    #[cfg(feature = "kafka")]
    if args.topic.is_given() {
        return replay_topic(args, config);
    }
    let ReplayArgs { files, columns, decisions, rejects, rules, .. } = args;
    let inputs = inputs(files, columns.as_deref(), &config)?;
    let rules = match (&inputs, rules) {
        (Inputs::Log(log), Some(dir)) => Some(rule_book(Some(&dir), log.settings().retention_secs)?),
        (Inputs::Log(_), None) => None,
        (Inputs::Files(..), dir) => Some(rule_book(dir.or(config.rules.dir.clone()).as_deref(), config.time.retention_secs)?),
    };
    let options = Options {
        inputs,
        decisions,
        rejects,
        rules,
        settings: config.settings(),
        depth: Depth::Full,
        preparers: replay::preparers(),
        progress: progress_bar(BYTES),
    };
    let report = replay::run(options)?;
    writeln!(stdout(), "{report}")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "kafka")]
fn replay_topic(args: ReplayArgs, config: Config) -> Result<ExitCode> {
    let ReplayArgs { topic, decisions, rejects, rules, .. } = args;
    let rejects = rejects.unwrap_or_else(|| rejects_path(&decisions));
    let rules = |retention_secs| rules.map(|dir| rule_book(Some(&dir), retention_secs)).transpose();
    let report = kafka::replay::replay(topic, config, rules, (&decisions, &rejects), progress_bar(RECORDS))?;
    writeln!(stdout(), "{report}")?;
    Ok(ExitCode::SUCCESS)
}

/// Files, or the log of one SQLite file.
pub(super) fn inputs(files: Vec<PathBuf>, columns: Option<&Path>, config: &Config) -> Result<Inputs> {
    match files.iter().find(|path| is_sqlite(path)) {
        None => Ok(Inputs::Files(files, columns.map(mapping).transpose()?.unwrap_or_default())),
        Some(path) if files.len() > 1 => Err(anyhow!("{} is a recorded log: replay it alone", path.display())),
        Some(path) => {
            let vault = Arc::new(config.privacy.vault()?);
            Ok(Inputs::Log(Box::new(recorded_log(path, vault).with_context(|| path.display().to_string())?)))
        }
    }
}

/// How the columns of CSV files are to be read.
fn mapping(path: &Path) -> Result<CsvMapping> {
    let at = || format!("--columns {}", path.display());
    let text = std::fs::read_to_string(path).with_context(at)?;
    let mapping: CsvMapping = toml::from_str(&text).with_context(at)?;
    mapping.check().with_context(at)?;
    Ok(mapping)
}

pub(super) const RECORDS: &str = "{bar:40} {percent:>3} %  {human_pos} of {human_len} records  {per_sec}  {eta} left";
pub(super) const BYTES: &str = "{bar:40} {percent:>3} %  {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";

/// On stderr, and only where somebody looks at it.
pub(super) fn progress_bar(template: &str) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style)
}

pub fn rules(command: &RulesCommand) -> Result<ExitCode> {
    let Report { text, ok } = match command {
        RulesCommand::Running(command) => return remote(command),
        RulesCommand::Check { dir, config } => {
            let config = config.as_ref().map(|path| Config::load(&Flags { config: Some(path.clone()), ..Flags::default() }));
            rule_commands::check(dir, config.transpose()?.map(|config| config.time.retention_secs))
        }
        RulesCommand::Test { dir } => rule_commands::test(dir, decide_all),
        RulesCommand::Explain { dir, id } => rule_commands::explain(dir, id.as_deref()),
        RulesCommand::Diff { old, new, exit_code } => match rule_commands::diff(old, new) {
            Ok((text, equal)) => Report { text, ok: equal || !exit_code },
            Err(report) => report,
        },
        RulesCommand::Schema => Report { text: rule_commands::schema::text(), ok: true },
    };
    write!(stdout(), "{text}")?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub fn config(command: &ConfigCommand) -> Result<ExitCode> {
    match command {
        ConfigCommand::Check(flags) => {
            Config::load(flags)?;
            writeln!(stdout(), "the configuration is valid")?;
        }
        ConfigCommand::Print { flags, origin: true } => write!(stdout(), "{}", Config::print_origin(flags)?)?,
        ConfigCommand::Print { flags, origin: false } => write!(stdout(), "{}", Config::load(flags)?.print()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The book of a folder, or the shipped one, if the window that is kept is long enough for it. Its version is given when it enters a
/// log.
pub(super) fn rule_book(dir: Option<&Path>, retention_secs: i64) -> Result<RuleBook> {
    let Some(dir) = dir else {
        let book = shipped();
        let longest = book.longest() / SECOND;
        if longest > retention_secs {
            return Err(anyhow!(
                "time.retention_secs: a rule looks back {longest} s and only {retention_secs} s are kept; shorten its window, or keep more"
            ));
        }
        return Ok(book);
    };
    let files = rule_commands::read_folder(dir).with_context(|| format!("rules.dir: cannot read {}", dir.display()))?;
    if files.is_empty() {
        return Err(anyhow!("rules.dir: {} holds no .yaml file", dir.display()));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let loaded = load_within(1, &files, retention_secs);
    let loaded =
        loaded.map_err(|errors| anyhow!("{}", rule_commands::listing(&rule_commands::within(dir, errors)).trim_end()))?;
    // A folder half copied would accept everything.
    if loaded.rules.is_empty() {
        return Err(anyhow!("rules.dir: {} holds no rule", dir.display()));
    }
    Ok(loaded.book)
}

/// The book that a service is started with, or why its folder gives none: a log that has a book goes on by that one.
pub(super) type Given = Result<RuleBook, String>;

/// # Errors
/// Without a folder: the shipped book looks back further than quotes are kept.
fn given(config: &Config) -> Result<Given> {
    let dir = config.rules.dir.as_deref();
    match rule_book(dir, config.time.retention_secs) {
        Err(error) if dir.is_some() => Ok(Err(format!("{error:#}"))),
        book => book.map(Ok),
    }
}

/// Decides on the quotes of one rule test, from an empty state.
fn decide_all(book: &RuleBook, bodies: &[Vec<u8>]) -> Result<Vec<Decided>, String> {
    let mut state = State::new(Settings::default());
    let mut books = Books::default();
    books.add(Arc::new(book.clone()));
    state.restore(0, Arrivals::default(), vec![(0, book.reference())]);
    let mut decided = Vec::with_capacity(bodies.len());
    for (number, body) in (1..).zip(bodies) {
        let quote = decode(body, None).map_err(|error| format!("quote {number}: {error}"))?.quote;
        let position = Position { partition: 0, offset: state.next_offset() };
        let prepared = Arc::new(Prepared::new(&quote));
        // Each arrives when it was submitted: tests may leap weeks ahead, which the event clock refuses.
        let arrival = ArrivalTime(quote.submitted_at.0);
        let logged = LoggedQuote { position, arrival, clock: ArrivalClock::Stream, prepared };
        let step = decide(&state, &Input::Quote(logged), &books).map_err(|error| error.to_string())?;
        let decision = step.decisions.first().ok_or_else(|| format!("quote {number} was not decided: {:?}", step.outcome))?;
        let rules = decision.reasons.iter().map(|reason| reason.rule.to_string()).collect();
        decided.push(Decided { decision: decision.answer, rules });
        state.apply(&step.delta).map_err(|error| error.to_string())?;
    }
    Ok(decided)
}
