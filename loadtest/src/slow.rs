//! What a crowd of slow clients and idle connections costs those who ask in the ordinary way: their latency alone and beside the
//! crowd, in turns within one run, so that the machine's mood is the same for both.

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;

use crate::http::{Head, Load, Outcome, drive, target};

const CROWD_MAX: usize = 50_000;
const ROUNDS_MAX: usize = 20;
/// How much slower the slowest of a hundred may be beside the crowd.
const TARGET: f64 = 2.0;
/// A slow client sends a byte so often.
const PULSE: Duration = Duration::from_millis(250);
/// Idle connections are looked at in turns, one part of so many at each pulse.
const PARTS: usize = 8;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Bytes that a slow body promises.
const BODY_BYTES: usize = 60_000;

/// Who stands around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Crowd {
    /// Clients whose head, for one half, or body, for the other, comes a byte at a time.
    pub slow: usize,
    /// Connections that have asked once and ask no more.
    pub idle: usize,
}

/// One measurement beside a crowd, or without one.
#[derive(Clone, Debug, Serialize)]
pub struct Turn {
    pub outcome: Outcome,
    pub beside: Option<Held>,
}

/// What became of a crowd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Connections open at the end.
    pub open: usize,
    /// Slow clients that the service cut off, and that came again.
    pub slow_cut: u64,
    /// Idle connections that the service closed, and that came again.
    pub idle_cut: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub crowd: Crowd,
    pub turns: Vec<Turn>,
    /// Medians of the rounds, milliseconds.
    pub alone_p99_ms: f64,
    pub beside_p99_ms: f64,
    pub ratio: f64,
}

/// Measures `rounds` times alone and beside the crowd.
///
/// # Errors
/// The service cannot be reached, or the system allows fewer open files than the crowd needs.
pub fn compare<R: BufRead>(load: &Load, crowd: Crowd, rounds: usize, quotes: impl Fn() -> Result<R>) -> Result<Comparison> {
    ensure!((1..=ROUNDS_MAX).contains(&rounds), "--rounds must be 1 to {ROUNDS_MAX}");
    ensure!(crowd.slow + crowd.idle <= CROWD_MAX, "--slow and --idle together must be at most {CROWD_MAX}");
    let (address, head) = target(&load.url, load.api_key.clone())?;
    let crowded = Arc::new(Requests::of(&head));
    let mut turns = Vec::new();
    for _ in 0..rounds {
        turns.push(Turn { outcome: drive(load, quotes()?)?, beside: None });
        let keeper = Keeper::gather(address, crowded.clone(), crowd)?;
        let outcome = drive(load, quotes()?);
        let held = keeper.disperse()?;
        turns.push(Turn { outcome: outcome?, beside: Some(held) });
    }
    let p99 = |beside: bool| {
        let of = turns.iter().filter(|turn| turn.beside.is_some() == beside);
        median(of.map(|turn| turn.outcome.latency.p99_ms).collect())
    };
    let (alone_p99_ms, beside_p99_ms) = (p99(false), p99(true));
    Ok(Comparison { crowd, turns, alone_p99_ms, beside_p99_ms, ratio: beside_p99_ms / alone_p99_ms })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
}

impl Comparison {
    /// The target is met, everybody who asked in the ordinary way was answered, and the crowd was there.
    pub fn is_met(&self) -> bool {
        let is_whole = |turn: &Turn| turn.beside.is_none_or(|held| held.open == self.crowd.slow + self.crowd.idle);
        self.ratio <= TARGET && self.turns.iter().all(|turn| turn.outcome.errors.is_empty() && is_whole(turn))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Crowd { slow, idle } = self.crowd;
        for Turn { outcome, beside } in &self.turns {
            let Outcome { latency, answered, errors, .. } = outcome;
            write!(f, "{:<7} {latency}, {answered} answers", if beside.is_some() { "beside" } else { "alone" })?;
            if let Some(Held { open, slow_cut, idle_cut }) = beside {
                write!(f, "; {open} of the crowd open, {slow_cut} slow and {idle_cut} idle ones were cut off and came again")?;
            }
            if !errors.is_empty() {
                write!(f, "; errors {errors:?}")?;
            }
            writeln!(f)?;
        }
        let Comparison { alone_p99_ms, beside_p99_ms, ratio, .. } = self;
        let verdict = if self.is_met() { "met" } else { "missed" };
        write!(
            f,
            "p99 of ordinary checks: {alone_p99_ms:.3} ms alone, {beside_p99_ms:.3} ms beside {slow} slow clients and {idle} idle \
             connections: {ratio:.2}x (target {TARGET:.0}x: {verdict})"
        )
    }
}

/// What the crowd sends.
struct Requests {
    /// Asks once, before it idles.
    ask: String,
    /// The beginning of a head that does not end.
    head: String,
    /// A whole head, of a body that does not come.
    body: String,
}

impl Requests {
    fn of(head: &Head) -> Requests {
        let Head { host, path, .. } = head;
        Requests {
            ask: head.get("/livez"),
            head: format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nx-slow: "),
            body: head.post(path, BODY_BYTES),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    SlowHead,
    SlowBody,
    Idle,
}

struct Member {
    kind: Kind,
    stream: TcpStream,
}

impl Member {
    fn come(address: SocketAddr, requests: &Requests, kind: Kind) -> io::Result<Member> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let first = match kind {
            Kind::SlowHead => &requests.head,
            Kind::SlowBody => &requests.body,
            Kind::Idle => &requests.ask,
        };
        stream.write_all(first.as_bytes())?;
        if kind == Kind::Idle {
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            let mut answer = [0; 1_024];
            let read = stream.read(&mut answer)?;
            if !answer[..read].starts_with(b"HTTP/1.1 200") {
                return Err(io::Error::other("the service does not answer /livez with 200"));
            }
        }
        stream.set_nonblocking(true)?;
        Ok(Member { kind, stream })
    }

    /// Sends the next byte, where it is a slow one; whether it is still connected.
    fn is_there(&mut self) -> bool {
        let is_sent = self.kind == Kind::Idle || self.stream.write_all(b"1").is_ok();
        let mut unread = [0; 1_024];
        // An answer to a slow client tells it that its time is over.
        is_sent && matches!(self.stream.read(&mut unread), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// The crowd, kept up by a thread.
struct Keeper {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Held>>,
}

impl Keeper {
    /// Comes back when all are connected.
    fn gather(address: SocketAddr, requests: Arc<Requests>, crowd: Crowd) -> Result<Keeper> {
        let kinds = (0..crowd.idle)
            .map(|_| Kind::Idle)
            .chain((0..crowd.slow).map(|number| if number % 2 == 0 { Kind::SlowHead } else { Kind::SlowBody }));
        let members = kinds.map(|kind| Member::come(address, &requests, kind)).collect::<io::Result<Vec<_>>>();
        let mut members = members.context("the crowd cannot connect (more open files? ulimit -n)")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let keep = move || {
            let mut held = Held::default();
            for part in (0..PARTS).cycle() {
                let next = Instant::now() + PULSE;
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                for (number, member) in members.iter_mut().enumerate() {
                    let is_due = member.kind != Kind::Idle || number % PARTS == part;
                    if is_due && !member.is_there() {
                        *(if member.kind == Kind::Idle { &mut held.idle_cut } else { &mut held.slow_cut }) += 1;
                        *member = Member::come(address, &requests, member.kind)?;
                    }
                }
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            // Those that were cut off since their last turn come again before they are counted.
            for member in &mut members {
                if !member.is_there() {
                    *member = Member::come(address, &requests, member.kind)?;
                }
            }
            held.open = members.len();
            Ok(held)
        };
        Ok(Keeper { stop, thread: thread::spawn(keep) })
    }

    fn disperse(self) -> Result<Held> {
        self.stop.store(true, Ordering::Relaxed);
        let held = self.thread.join().map_err(|_| anyhow!("the crowd's thread has failed"))?;
        held.context("the crowd could not come again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_what_was_measured_counts() {
        assert_eq!(median(vec![9.0]), 9.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
    }
}
