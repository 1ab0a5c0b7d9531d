//! `quoteguard health`: asks a running service whether it takes quotes, for health checks where there is no curl.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;

use crate::contract::problem::Problem;

#[derive(Args)]
pub struct HealthArgs {
    /// Where the service listens
    #[arg(long, value_name = "URL", env = "QUOTEGUARD_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// How long it may take to answer
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout_ms: u64,
}

/// Prints what `/readyz` says.
///
/// # Errors
/// It takes no quotes, does not answer in time, or is no quoteguard; the reason.
pub fn health(args: &HealthArgs) -> Result<ExitCode> {
    let HealthArgs { url, timeout_ms } = args;
    let timeout = Some(Duration::from_millis(*timeout_ms));
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(timeout).build().into();
    let answer = agent.get(format!("{}/readyz", url.trim_end_matches('/'))).call();
    let mut answer = answer.with_context(|| format!("{url} does not answer"))?;
    let text = answer.body_mut().read_to_string().with_context(|| format!("{url} broke off"))?;
    if answer.status() == 200 && (text.starts_with("ok\n") || text.starts_with("degraded: ")) {
        write!(stdout(), "{text}")?;
        return Ok(ExitCode::SUCCESS);
    }
    match serde_json::from_str::<Problem>(&text) {
        Ok(problem) => Err(anyhow!("{url} takes no quotes: {}", problem.detail)),
        Err(_) => Err(anyhow!("{url} answers {}: it is no quoteguard", answer.status())),
    }
}
