//! `quoteguard rules activate|rollback|approve|status|snooze` and `quoteguard erase`: a running service, over its HTTP API.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::contract::problem::Problem;
use crate::contract::rule_books::{
    ActivateV1, ApproveV1, BookV1, ChangeStatus, ChangedV1, ProposalV1, ProposedV1, ReloadState, RollbackV1, RuleHitsV1, RuleV1,
    RulesV1,
};
use crate::contract::ruling::{RuledV1, RulingRequestV1};
use crate::rule_commands::read_folder;

/// The service waits as long for its log.
const PATIENCE: Duration = Duration::from_secs(60);
/// Versions printed.
const VERSIONS_SHOWN: usize = 10;

#[derive(Subcommand)]
pub enum RemoteCommand {
    /// Show the rule book a running service judges by, what waits for approval, and the versions before
    Status(Remote),
    /// Put a folder of rule files in force in a running service; with four eyes, propose it
    Activate {
        /// Folder of rule files
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Only if this version is still the last
        #[arg(long, value_name = "VERSION")]
        after: Option<u32>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Put the content of an earlier version in force again, as a new version
    Rollback {
        /// Which; `rules status` lists them
        #[arg(value_name = "VERSION")]
        version: u32,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show what somebody else has proposed, and put it in force
    Approve {
        /// Of the proposed book, as `rules status` shows it
        #[arg(value_name = "HASH")]
        hash: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Let a rule be silent for one applicant until a time
    Snooze {
        /// The rule's id
        #[arg(long, value_name = "ID")]
        rule: String,
        /// The referral
        #[arg(long, value_name = "R-…")]
        case: String,
        /// A quote of the case; quotes linked to one of them are meant. Repeat it
        #[arg(long = "quote", value_name = "ID", required = true)]
        quotes: Vec<String>,
        /// RFC 3339, by the time of the quotes [default: in 90 days]
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        ruling: RulingArgs,
    },
}

/// What every ruling may say.
#[derive(Args)]
pub struct RulingArgs {
    /// Tenant of the quotes [default: the API key's, else `default`]
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Sent again under the same id it counts once [default: a random one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args)]
pub struct EraseArgs {
    /// The quotes
    #[arg(value_name = "QUOTE_ID", required = true)]
    quotes: Vec<String>,
    #[command(flatten)]
    ruling: RulingArgs,
}

#[derive(Args)]
pub struct Remote {
    /// Where the service listens
    #[arg(long, value_name = "URL", env = "QUOTEGUARD_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// File that holds an API key that may do it [default: no key]
    #[arg(long, value_name = "FILE", env = "QUOTEGUARD_KEY_FILE")]
    key_file: Option<PathBuf>,
}

pub fn remote(command: &RemoteCommand) -> Result<ExitCode> {
    match command {
        RemoteCommand::Status(remote) => status(remote)?,
        RemoteCommand::Activate { dir, after, remote } => {
            changed(&remote.post("/v1/rules/activate", &ActivateV1 { files: files(dir)?, after: *after })?)?;
        }
        RemoteCommand::Rollback { version, remote } => {
            changed(&remote.post("/v1/rules/rollback", &RollbackV1 { version: *version, after: None })?)?;
        }
        RemoteCommand::Approve { hash, yes, remote } => {
            show(&remote.get(&format!("/v1/rules/proposals/{hash}"))?)?;
            if !yes && !is_agreed()? {
                return Err(anyhow!("nothing has changed: answer `y`, or say --yes"));
            }
            changed(&remote.post("/v1/rules/approve", &ApproveV1 { hash: hash.clone() })?)?;
        }
        RemoteCommand::Snooze { rule, case, quotes, until, ruling } => {
            let [kind, rule, case] = ["snooze", rule, case].map(given);
            ruling.send(RulingRequestV1 { kind, rule, case, until: until.as_ref().map(value), ..about(quotes) })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes quotes out of every later computation, and empties the service's copies of them.
pub fn erase(args: &EraseArgs) -> Result<ExitCode> {
    args.ruling.send(RulingRequestV1 { kind: given("erased"), ..about(&args.quotes) })?;
    Ok(ExitCode::SUCCESS)
}

fn value(text: impl AsRef<str>) -> Value {
    Value::from(text.as_ref())
}

fn given(text: impl AsRef<str>) -> Option<Value> {
    Some(value(text))
}

fn about(quotes: &[String]) -> RulingRequestV1 {
    RulingRequestV1 { quote_ids: Some(Value::from(quotes)), ..RulingRequestV1::default() }
}

impl RulingArgs {
    fn send(&self, request: RulingRequestV1) -> Result<()> {
        let (tenant, ruling_id) = (self.tenant.as_ref().map(value), self.id.as_ref().map(value));
        let ruled: RuledV1 = self.remote.post("/v1/rulings", &RulingRequestV1 { tenant, ruling_id, ..request })?;
        let RuledV1 { ruling_id, position, control_offset } = ruled;
        match (position, control_offset) {
            (Some(at), _) => writeln!(stdout(), "ruling {ruling_id} is in the log at offset {at}")?,
            (None, at) => writeln!(stdout(), "ruling {ruling_id} is in the control topic at offset {}", at.unwrap_or_default())?,
        }
        Ok(())
    }
}

/// By their names within the folder.
fn files(dir: &Path) -> Result<BTreeMap<String, String>> {
    let files = read_folder(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    Ok(files.into_iter().collect())
}

fn changed(changed: &ChangedV1) -> Result<()> {
    let ChangedV1 { status, version, hash } = changed;
    match status {
        ChangeStatus::Activated => writeln!(stdout(), "version {version} ({hash}) is in force")?,
        ChangeStatus::InForce => writeln!(stdout(), "version {version} ({hash}) has this content and is in force already")?,
        ChangeStatus::Proposed => writeln!(stdout(), "proposed: somebody else puts it in force by `rules approve {hash}`")?,
    }
    Ok(())
}

/// What would be approved.
fn show(proposed: &ProposedV1) -> Result<()> {
    let ProposedV1 { proposal: ProposalV1 { by, since, version, hash, .. }, against, diff, .. } = proposed;
    let mut out = stdout().lock();
    writeln!(out, "proposed by {by} at {since}: version {version} ({hash}); what it says otherwise than version {against}:")?;
    diff.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    Ok(())
}

fn is_agreed() -> Result<bool> {
    write!(stderr(), "put it in force? [y/N] ")?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn status(remote: &Remote) -> Result<()> {
    let RulesV1 { book, rules, reload, proposals, .. } = remote.get("/v1/rules")?;
    let versions: Vec<BookV1> = remote.get("/v1/rules/versions")?;
    let mut out = stdout().lock();
    writeln!(out, "version {} ({}) is in force", book.version, book.hash)?;
    for RuleV1 { id, version, title, mode, then, hits, .. } in rules {
        writeln!(out, "  {mode:6} {then:5} {id} v{version}: {title}")?;
        if let Some(RuleHitsV1 { live, shadow, errors }) = hits {
            writeln!(out, "{:15}{live} live hits, {shadow} in shadow, {errors} errors since the start", "")?;
        }
    }
    if reload.state == ReloadState::Refused {
        writeln!(out, "\nthe rules folder is refused:\n{}", reload.error.unwrap_or_default())?;
    }
    if !reload.held.is_empty() {
        writeln!(
            out,
            "\nin shadow, where the circuit breaker put them, stay: {}\n\
             the next `version` of a rule makes it live, or `rules activate` of the folder",
            reload.held.join(", ")
        )?;
    }
    for ProposalV1 { by, version, hash, approvals_needed, .. } in proposals {
        let keys = if approvals_needed > 1 { "; it needs two approvals, with different keys" } else { "" };
        writeln!(out, "\nproposed by {by}: version {version} ({hash}){keys}")?;
    }
    writeln!(out, "\nversions")?;
    for BookV1 { version, hash, since, by, .. } in versions.iter().take(VERSIONS_SHOWN) {
        writeln!(out, "  {version:>5}  {hash}  {since}  {}", by.as_deref().unwrap_or("-"))?;
    }
    if versions.len() > VERSIONS_SHOWN {
        writeln!(out, "  and {} before", versions.len() - VERSIONS_SHOWN)?;
    }
    Ok(())
}

impl Remote {
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let mut request = agent().get(self.at(path));
        if let Some(key) = self.key()? {
            request = request.header("x-api-key", key);
        }
        self.read(request.call())
    }

    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let mut request = agent().post(self.at(path)).header("content-type", "application/json");
        if let Some(key) = self.key()? {
            request = request.header("x-api-key", key);
        }
        self.read(request.send(serde_json::to_string(body)?))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    fn key(&self) -> Result<Option<String>> {
        let Some(file) = &self.key_file else { return Ok(None) };
        let key = fs::read_to_string(file).with_context(|| format!("--key-file: cannot read {}", file.display()))?;
        Ok(Some(key.trim().to_owned()))
    }

    fn read<T: DeserializeOwned>(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<T> {
        let mut answer = answer.with_context(|| format!("{} does not answer", self.url))?;
        let text = answer.body_mut().read_to_string().with_context(|| format!("{} broke off", self.url))?;
        if answer.status().is_success() {
            return serde_json::from_str(&text).with_context(|| format!("{} is no quoteguard of this version", self.url));
        }
        let Ok(problem) = serde_json::from_str::<Problem>(&text) else {
            return Err(anyhow!("{} answers {}: it is no quoteguard", self.url, answer.status()));
        };
        let errors: String = problem.errors.iter().map(|error| format!("\n\n{}", error.detail)).collect();
        Err(anyhow!("{}: {}{errors}", problem.title, problem.detail))
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into()
}
