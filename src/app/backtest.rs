//! `quoteguard backtest`: from the command line to a run, and its figures to where they were asked for.

use std::fs::File;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use super::commands::{BYTES, RECORDS, inputs, progress_bar, rule_book};
#[cfg(feature = "kafka")]
use super::kafka::{replay::TopicArgs, topic_log};
use super::outputs::check_outputs;
use crate::backtest::{self, Labels, Options, Request, candidates, page, table};
use crate::config::{Config, Flags};
use crate::contract::rule_file::{from_canonical, shipped};
use crate::engine::rules::RuleBook;
use crate::engine::time::SECOND;
use crate::pipeline::RecordKind;
use crate::pipeline::recover::join;
use crate::replay::{self, Inputs};

/// Records of the log that are looked through for rulings at a time.
const RULINGS_PAGE: usize = 4_096;

const EXAMPLES: &str = "Examples:
  quoteguard backtest --input history.jsonl.zst --set picking-24h.n=4
  quoteguard backtest --input quoteguard.db --sweep --labels log --report out.html

The history passes once, with up to 64 candidate books beside the baseline. docs/backtest.md defines every figure.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct BacktestArgs {
    /// The history: JSONL or CSV files in the order of the log (repeat it; .gz and .zst too, `-` is stdin), or one SQLite file of a service
    #[arg(long = "input", value_name = "FILE")]
    #[cfg_attr(feature = "kafka", arg(required_unless_present = "topic", conflicts_with = "topic"))]
    #[cfg_attr(not(feature = "kafka"), arg(required = true))]
    inputs: Vec<PathBuf>,
    /// How the columns of CSV files are named, where not by the paths of a quote (docs/backtest.md)
    #[arg(long, value_name = "FILE.toml")]
    #[cfg_attr(feature = "kafka", arg(conflicts_with = "topic"))]
    columns: Option<PathBuf>,
    #[cfg(feature = "kafka")]
    #[command(flatten)]
    topic: TopicArgs,
    /// Try a parameter at another value; several of them together are one candidate
    #[arg(long, value_name = "RULE.PARAM=VALUE")]
    set: Vec<String>,
    /// Try every value of the `sweep` list of every parameter of a live rule, one at a time, each a candidate of its own
    #[arg(long)]
    sweep: bool,
    /// Try a whole folder of rule files; --set and --sweep then start from it instead of from the baseline
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// What to compare with: `live` (the books that a recorded log holds; for files the one of `rules.dir`, else the shipped one),
    /// `shipped`, or a folder of rule files
    #[arg(long, value_name = "live|shipped|DIR", default_value = "live")]
    baseline: String,
    /// What is known of the quotes, one a line: {"quote_id": "...", "honest": true}, an underwriter's {"case": "R-...", "disposition":
    /// "confirmed"}, or the truth file of a generated workload; `log`: what underwriters decided by the recorded log itself
    #[arg(long, value_name = "FILE.jsonl|log")]
    labels: Option<PathBuf>,
    /// Write the report: one HTML page with charts and examples
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
    /// Write the same figures as JSON
    #[arg(long, value_name = "OUT.json")]
    json: Option<PathBuf>,
    /// Show names, papers, contacts and VINs in the examples instead of masking them
    #[arg(long)]
    show_personal_data: bool,
    /// Configuration file (TOML) [default: quoteguard.toml when it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn backtest(args: BacktestArgs) -> Result<ExitCode> {
    let config = Config::load(&Flags { config: args.config.clone(), ..Flags::default() })?;
    check_writable(&args)?;
    let labels = match args.labels.as_deref() {
        None => None,
        Some(path) if path == Path::new("log") => Some(ruled(open(&args, &config)?)?),
        Some(path) => Some(Labels::read(path)?),
    };
    let history = History::new(open(&args, &config)?, &config, &args.baseline)?;
    let rules =
        args.rules.map(|dir| Ok::<_, anyhow::Error>((dir.display().to_string(), rule_book(Some(&dir), history.retention_secs)?)));
    let request = Request { set: args.set, sweep: args.sweep, rules: rules.transpose()? };
    let (candidates, too_long) = candidates(&history.newest, request, history.retention_secs)?;
    for name in too_long {
        eprintln!("{name} is left out: its window is longer than what is kept (time.retention_secs)");
    }
    // Before the run: what cannot be written is told at once.
    let create = |path: Option<PathBuf>| path.map(Output::create).transpose();
    let (json, report) = (create(args.json)?, create(args.report)?);
    let progress = progress_bar(if matches!(history.inputs[..], [Inputs::Files(..)]) { BYTES } else { RECORDS });
    let done = backtest::run(Options {
        inputs: history.inputs,
        name: history.name,
        rules: history.in_force,
        candidates,
        labels,
        settings: config.settings(),
        preparers: replay::preparers(),
        progress,
        show_personal_data: args.show_personal_data,
    })?;
    if let Some(output) = json {
        let mut json = serde_json::to_vec_pretty(&done.figures)?;
        json.push(b'\n');
        output.write(&json)?;
    }
    if let Some(output) = report {
        output.write(page(&done.figures, !args.show_personal_data)?.as_bytes())?;
    }
    write!(stdout(), "{}", table(&done.figures))?;
    eprintln!("{:.0} records/s", done.records_per_second);
    Ok(ExitCode::SUCCESS)
}

fn open(args: &BacktestArgs, config: &Config) -> Result<Vec<Inputs>> {
    #[cfg(feature = "kafka")]
    if args.topic.is_given() {
        return topic(args.topic.clone(), config);
    }
    Ok(vec![inputs(args.inputs.clone(), args.columns.as_deref(), config)?])
}

/// What the underwriters decided, from the log that is then tried: it is read once for this alone.
fn ruled(inputs: Vec<Inputs>) -> Result<Labels> {
    let mut rulings = Vec::new();
    for inputs in inputs {
        let Inputs::Log(mut log) = inputs else {
            bail!("--labels log: files hold no rulings; give the SQLite file of a service, or --topic")
        };
        loop {
            let records = log.page(RULINGS_PAGE)?;
            if records.is_empty() {
                break;
            }
            for record in records.into_iter().filter(|record| record.kind == RecordKind::Ruling) {
                rulings.push(crate::pipeline::rulings::read(record.offset, &record.body)?.0);
            }
        }
    }
    Labels::ruled(rulings).context("--labels log")
}

/// One log for each partition.
#[cfg(feature = "kafka")]
fn topic(args: TopicArgs, config: &Config) -> Result<Vec<Inputs>> {
    let logs = topic_log::logs(args, config.clone())?;
    Ok(logs.into_iter().map(Inputs::Log).collect())
}

struct Output(PathBuf, File);

impl Output {
    fn create(path: PathBuf) -> Result<Output> {
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok(Output(path, file))
    }

    fn write(mut self, bytes: &[u8]) -> Result<()> {
        self.1.write_all(bytes).with_context(|| self.0.display().to_string())
    }
}

/// What is written must be nothing that is read.
fn check_writable(args: &BacktestArgs) -> Result<()> {
    let read: Vec<PathBuf> = args.inputs.iter().chain(&args.labels).cloned().collect();
    let named = [("--report", &args.report), ("--json", &args.json)];
    let outputs: Vec<(&str, &Path)> = named.into_iter().filter_map(|(name, path)| Some((name, path.as_deref()?))).collect();
    check_outputs(&read, &outputs)
}

/// What is read, and the book that candidates are compared with.
struct History {
    inputs: Vec<Inputs>,
    /// How the baseline is called.
    name: String,
    /// Throughout; `None` for those of the log.
    in_force: Option<RuleBook>,
    /// What sets and sweeps start from.
    newest: RuleBook,
    retention_secs: i64,
}

impl History {
    fn new(mut inputs: Vec<Inputs>, config: &Config, baseline: &str) -> Result<History> {
        let mut log = inputs.iter_mut().find_map(|input| match input {
            Inputs::Log(log) => Some(log),
            Inputs::Files(..) => None,
        });
        let retention_secs = log.as_ref().map_or(config.time.retention_secs, |log| log.settings().retention_secs);
        let (name, in_force, newest) = match (baseline, &mut log) {
            ("live", Some(log)) => {
                let source = log.newest_rule_book()?.context("the log holds no rule book; name a --baseline")?;
                let book = from_canonical(std::str::from_utf8(&source)?).map_err(|errors| anyhow!("{}", join(&errors)))?;
                ("live".to_owned(), None, book)
            }
            ("shipped", _) => ("shipped".to_owned(), Some(shipped()), shipped()),
            (given, _) => {
                let folder = if given == "live" { config.rules.dir.clone() } else { Some(given.into()) };
                let name = folder.as_ref().map_or_else(|| "shipped".to_owned(), |dir| dir.display().to_string());
                let book = rule_book(folder.as_deref(), retention_secs)?;
                (name, Some(book.clone()), book)
            }
        };
        if newest.longest() > retention_secs * SECOND {
            bail!("--baseline {name}: a rule looks back further than what is kept (time.retention_secs = {retention_secs})");
        }
        Ok(History { inputs, name, in_force, newest, retention_secs })
    }
}
