//! The load driver. Open loop: request `i` is due at `start + i / rate`, fixed in advance, and its latency counts from that
//! moment, so a stalled server cannot slow the clock that judges it (no coordinated omission). Closed loop with `saturate`.
//!
//! One thread a connection with blocking sockets: a thread wakes within some 50 us of its due time (an async timer rounds to
//! a millisecond) and costs the server's cores next to nothing.

mod balanced;
pub mod client;
mod connection;
mod request;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use balanced::Balanced;
pub use request::Head;
use request::Request;

use crate::latency::{Latencies, Summary};
use crate::record::{Slots, is_accepted};

/// Requests held ready in memory; beyond, they are sent again in turn under new ids.
const REQUESTS_HELD_MAX: usize = 200_000;
const CONNECTIONS_MAX: usize = 1_024;
const RATE_MAX: f64 = 1e6;
const SECS_MAX: u64 = 3_600;
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after the schedule's end overdue requests are still sent.
const DRAIN: Duration = Duration::from_secs(20);

/// What to send and how.
#[derive(Clone, Debug)]
pub struct Load {
    pub url: String,
    pub api_key: Option<String>,
    /// Requests a second; not used by a closed loop.
    pub rate: f64,
    pub secs: u64,
    pub connections: usize,
    /// Closed loop: every connection sends as soon as it has its answer.
    pub saturate: bool,
    /// Send ids and times as they stand in the file, once each.
    pub as_is: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub mode: &'static str,
    pub connections: usize,
    /// Requests a second asked for; 0 for a closed loop.
    pub target_rate: f64,
    /// Answers a second from the start to the last answer.
    pub achieved_rate: f64,
    pub seconds: f64,
    pub answered: u64,
    /// Answers other than 200 by status, and failures by kind.
    pub errors: BTreeMap<String, u64>,
    /// From the due moment (open loop) or the sending (closed loop) to the whole answer.
    pub latency: Summary,
    /// How far behind its due moment a request was sent: connections all busy, or the client late.
    pub send_lag: Summary,
}

/// What more than one instance, and a report, need.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Further instances, their checks as `url`: connections are dealt out in turn, and who gets no answer, or 503, asks the next one
    /// with the same id, as a balancer does.
    pub others: Vec<String>,
    /// What is overdue at the end is not sent any more.
    pub no_drain: bool,
}

/// What a report needs besides the outcome.
#[derive(Debug, Default)]
pub struct Detail {
    /// The number in the ids of this run.
    pub run: u64,
    pub slots: Slots,
    /// Numbers of the quotes that were answered 200 or 202.
    pub accepted: Vec<u64>,
    /// Refusals, 429 or 503, that did not say when to come again.
    pub without_retry_after: u64,
    /// Requests that asked another instance.
    pub moved: u64,
}

/// What one connection counted.
#[derive(Default)]
struct Counted {
    latency: Latencies,
    send_lag: Latencies,
    errors: BTreeMap<String, u64>,
    answered: u64,
    last: Option<Instant>,
    slots: Slots,
    accepted: Vec<u64>,
    without_retry_after: u64,
    moved: u64,
}

/// What all connections share.
struct Run<'a> {
    load: &'a Load,
    drain: Duration,
    requests: &'a [Request],
    next: AtomicU64,
    /// Requests to send in all; a closed loop ends by time.
    total: u64,
    start: Instant,
    start_ms: i64,
    id: u64,
}

/// Drives the load to its end.
///
/// # Errors
/// A load that cannot be, quotes that cannot be read, a service that is not there.
pub fn drive(load: &Load, quotes: impl BufRead) -> Result<Outcome> {
    Ok(drive_with(load, &Options::default(), quotes)?.0)
}

/// As [`drive`], with what a report needs.
///
/// # Errors
/// As there.
pub fn drive_with(load: &Load, options: &Options, quotes: impl BufRead) -> Result<(Outcome, Detail)> {
    ensure!((1..=CONNECTIONS_MAX).contains(&load.connections), "--connections must be 1 to {CONNECTIONS_MAX}");
    ensure!(load.saturate || (load.rate > 0.0 && load.rate <= RATE_MAX), "--rate must be above 0 and at most {RATE_MAX}");
    ensure!((1..=SECS_MAX).contains(&load.secs), "--secs must be 1 to {SECS_MAX}");
    let (address, head) = target(&load.url, load.api_key.clone())?;
    let scheduled = if load.saturate { u64::MAX } else { (load.rate * load.secs as f64).round().max(1.0) as u64 };
    let requests = request::load(&head, quotes, scheduled.min(REQUESTS_HELD_MAX as u64) as usize, load.as_is)?;
    let total = if load.as_is { scheduled.min(requests.len() as u64) } else { scheduled };
    let mut at = vec![address];
    for other in &options.others {
        at.push(target(other, None)?.0);
    }
    let connections: Vec<usize> = (0..load.connections).map(|number| number % at.len()).collect();
    let connect = |&first: &usize| Balanced::open(&at, first).with_context(|| format!("cannot connect to {}", at[first]));
    let connections: Vec<Balanced> = connections.iter().map(connect).collect::<Result<_>>()?;
    let start_ms = wall_clock_ms();
    let id = crate::rng::mix(start_ms as u64 ^ (u64::from(std::process::id()) << 48));
    let drain = if options.no_drain { Duration::ZERO } else { DRAIN };
    let start = Instant::now();
    let run = Run { load, drain, requests: &requests, next: AtomicU64::new(0), total, start, start_ms, id };
    let counted = thread::scope(|scope| {
        let workers: Vec<_> = connections.into_iter().map(|connection| scope.spawn(|| work(&run, connection))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    Ok(outcome(&run, counted))
}

/// The address and the head of the requests; only a loopback host is driven.
pub(crate) fn target(url: &str, api_key: Option<String>) -> Result<(SocketAddr, Head)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("--url {url}: only http:// is driven"))?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let with_port = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_string()
    } else {
        format!("{host}:80")
    };
    let mut found = with_port.to_socket_addrs().with_context(|| format!("--url {url}: unknown host"))?;
    let address = found.next().with_context(|| format!("--url {url}: unknown host"))?;
    if !address.ip().is_loopback() {
        bail!("--url {url}: only a service on this machine is driven (127.0.0.1, [::1] or localhost)");
    }
    Ok((address, Head { host: host.to_string(), path: path.to_string(), api_key }))
}

fn work(run: &Run<'_>, mut connection: Balanced) -> Counted {
    let mut counted = Counted::default();
    let mut bytes = Vec::with_capacity(4096);
    let end = run.start + Duration::from_secs(run.load.secs);
    loop {
        let number = run.next.fetch_add(1, Ordering::Relaxed);
        if number >= run.total || (run.load.saturate && Instant::now() >= end) {
            return counted;
        }
        let due =
            if run.load.saturate { Instant::now() } else { run.start + Duration::from_secs_f64(number as f64 / run.load.rate) };
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            thread::sleep(early);
        }
        let sent = Instant::now();
        if sent > end + run.drain {
            *counted.errors.entry("unsent".to_string()).or_default() += 1;
            continue;
        }
        let since_start = sent.duration_since(run.start).as_millis() as i64;
        let request = &run.requests[(number % run.requests.len() as u64) as usize];
        request.write(&mut bytes, run.id, number, run.start_ms + since_start);
        let result = connection.exchange(&bytes, &mut counted.moved);
        let answered = Instant::now();
        counted.send_lag.record(sent.duration_since(due));
        counted.latency.record(answered.duration_since(due));
        counted.last = Some(answered);
        let code = match &result {
            Ok(status) => status.to_string(),
            Err(error) => format!("{:?}", error.kind()),
        };
        counted.slots.add(due.duration_since(run.start), answered.duration_since(run.start), &code);
        if is_accepted(&code) {
            counted.accepted.push(number);
        }
        counted.without_retry_after += u64::from(matches!(result, Ok(429 | 503)) && !connection.says_when_to_retry());
        counted.answered += u64::from(result.is_ok());
        if code != "200" {
            *counted.errors.entry(code).or_default() += 1;
        }
    }
}

fn outcome(run: &Run<'_>, counted: Vec<Counted>) -> (Outcome, Detail) {
    let mut all = Counted::default();
    for mut one in counted {
        all.latency.merge(&one.latency);
        all.send_lag.merge(&one.send_lag);
        all.answered += one.answered;
        all.last = all.last.max(one.last);
        all.slots.merge(one.slots);
        all.accepted.append(&mut one.accepted);
        all.without_retry_after += one.without_retry_after;
        all.moved += one.moved;
        for (error, times) in one.errors {
            *all.errors.entry(error).or_default() += times;
        }
    }
    let seconds = all.last.map_or(0.0, |last| last.duration_since(run.start).as_secs_f64());
    let Counted { slots, accepted, without_retry_after, moved, .. } = &mut all;
    let (slots, accepted) = (std::mem::take(slots), std::mem::take(accepted));
    let detail = Detail { run: run.id, slots, accepted, without_retry_after: *without_retry_after, moved: *moved };
    let outcome = Outcome {
        mode: if run.load.saturate { "closed" } else { "open" },
        connections: run.load.connections,
        target_rate: if run.load.saturate { 0.0 } else { run.load.rate },
        achieved_rate: if seconds > 0.0 { all.answered as f64 / seconds } else { 0.0 },
        seconds,
        answered: all.answered,
        errors: all.errors,
        latency: all.latency.summary(),
        send_lag: all.send_lag.summary(),
    };
    (outcome, detail)
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let asked = if self.mode == "open" { format!(" of {:.0} asked", self.target_rate) } else { String::new() };
        writeln!(f, "{} loop, {} connections, {:.1} s", self.mode, self.connections, self.seconds)?;
        writeln!(f, "rate      {:.1}/s{asked}, {} answers", self.achieved_rate, self.answered)?;
        writeln!(f, "latency   {}", self.latency)?;
        writeln!(f, "send lag  {}", self.send_lag)?;
        match self.errors.is_empty() {
            true => write!(f, "errors    none"),
            false => write!(f, "errors    {:?}", self.errors),
        }
    }
}

/// Milliseconds since 1970, read once: the submitted times of the run count from here.
#[expect(
    clippy::disallowed_methods,
    reason = "a live service judges submitted times by the wall clock, so the driver must know it"
)]
pub(crate) fn wall_clock_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
