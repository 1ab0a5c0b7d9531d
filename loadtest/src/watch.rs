//! What a service takes while it is driven: memory and processor by `/proc`, and some of its metrics, once a second.

use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::http::client::Client;
use crate::record::Sample;

const EVERY: Duration = Duration::from_secs(1);
/// Of `/proc/PID/stat`; Linux gives no other to programs.
const TICKS_A_SECOND: f64 = 100.0;
/// Of x86-64 and of most others.
const PAGE_BYTES: u64 = 4_096;

/// Samples are taken until it is stopped.
pub struct Watch {
    stop: Sender<()>,
    sampling: JoinHandle<Vec<Sample>>,
}

impl Watch {
    /// Of this process, and of the service at `url` where one is given.
    ///
    /// # Errors
    /// There is no such process.
    pub fn start(pid: u32, url: Option<String>) -> Result<Watch> {
        let first = Usage::of(pid).with_context(|| format!("process {pid}"))?;
        let (stop, stopped) = mpsc::channel();
        let sample = move || {
            let (start, mut before, mut samples) = (Instant::now(), (Instant::now(), first), Vec::new());
            let mut client = None;
            for number in 1_u32.. {
                let due = start + EVERY * number;
                match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => break,
                }
                let Ok(now) = Usage::of(pid) else { break };
                let mut sample = now.since(&before.1, before.0.elapsed());
                before = (Instant::now(), now);
                sample.at_secs = start.elapsed().as_secs_f64();
                client = client.or_else(|| Client::connect(url.as_deref()?, None).ok());
                if let Some(text) = client.as_mut().and_then(|client| client.text("/metrics").ok()) {
                    sample.live_attempts = sum(&text, "quoteguard_live_attempts");
                    sample.look_back_secs = sum(&text, "quoteguard_look_back_seconds");
                    sample.queue_jobs = sum(&text, "quoteguard_queue_jobs");
                }
                samples.push(sample);
            }
            samples
        };
        Ok(Watch { stop, sampling: thread::spawn(sample) })
    }

    pub fn stop(self) -> Vec<Sample> {
        drop(self.stop);
        self.sampling.join().unwrap_or_default()
    }
}

/// Of a process at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub rss_bytes: u64,
    /// User and system time since its start.
    pub cpu_secs: f64,
}

impl Usage {
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> Result<Usage> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold anything.
        let rest = stat.rsplit_once(')').context("no stat")?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        ensure!(fields.len() > 21, "no stat");
        let number = |field: usize| fields[field].parse::<u64>().context("no number");
        let cpu_secs = (number(11)? + number(12)?) as f64 / TICKS_A_SECOND;
        Ok(Usage { rss_bytes: number(21)? * PAGE_BYTES, cpu_secs })
    }

    fn since(&self, before: &Usage, time: Duration) -> Sample {
        let cpu_cores = (self.cpu_secs - before.cpu_secs) / time.as_secs_f64().max(1e-3);
        Sample { rss_bytes: self.rss_bytes, cpu_cores, ..Sample::default() }
    }
}

/// Of a metric over all its labels.
fn sum(text: &str, name: &str) -> f64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with(' ') || rest.starts_with('{')).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    };
    text.lines().filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_measured_and_metrics_are_summed() {
        let usage = Usage::of(std::process::id()).expect("this process");
        assert!(usage.rss_bytes > 100_000 && usage.cpu_secs >= 0.0, "{usage:?}");
        assert!(Watch::start(u32::MAX, None).is_err());
        let text = "# HELP a b\na{p=\"0\"} 2\na{p=\"1\"} 3.5\nab 7\na_b{} 9\n";
        assert!((sum(text, "a") - 5.5).abs() < 1e-9 && (sum(text, "ab") - 7.0).abs() < 1e-9);
    }
}
