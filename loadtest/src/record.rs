//! A run as a file: what was sent and answered in each second, what the service took meanwhile. Reports are made of these.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::latency::{Latencies, Summary};

/// Raised when a field changes its meaning.
const VERSION: u32 = 1;
/// A minute, and less in a run that is shorter than six of them: what stands for "the first minute" of a soak.
const PIECE_SECS_MAX: u64 = 60;
const PIECES_MIN: u64 = 6;
/// Shares of the answers whose latency is told.
const CURVE: [f64; 12] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];

/// Whether an answer says that the quote is in the log.
pub fn is_accepted(code: &str) -> bool {
    matches!(code, "200" | "202")
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    /// What it is called in reports.
    pub name: String,
    /// Processor, cores and kernel.
    pub machine: String,
    /// `http` or `kafka`.
    pub over: String,
    /// Requests a second asked for; 0 where as many were sent as were answered.
    pub target_rate: f64,
    /// Length of the schedule.
    pub secs: u64,
    pub sent: u64,
    /// From the schedule's end to the last answer.
    pub drained_secs: f64,
    /// Answers by status, and failures by kind.
    pub codes: BTreeMap<String, u64>,
    pub without_retry_after: u64,
    pub moved: u64,
    /// From when each request was due.
    pub latency: Summary,
    /// Of the answers 200 and 202 alone.
    pub accepted: Summary,
    /// Share of the answers, and milliseconds within which they came.
    pub curve: Vec<(f64, f64)>,
    /// Seconds of a piece.
    pub piece_secs: u64,
    /// Of each piece, a minute in a long run, by when requests were due.
    pub pieces: Vec<Summary>,
    /// Of all but the first piece.
    pub after_first: Summary,
    pub seconds: Vec<Second>,
    pub samples: Vec<Sample>,
}

/// One second of the schedule, and what followed it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Requests due in it that were sent.
    pub due: u64,
    /// Of these.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Answers that came in it.
    pub codes: BTreeMap<String, u64>,
}

/// What the service took at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// From the start of the run.
    pub at_secs: f64,
    pub rss_bytes: u64,
    /// Cores in use since the sample before.
    pub cpu_cores: f64,
    pub live_attempts: f64,
    /// How far the decisions look back, seconds.
    pub look_back_secs: f64,
    pub queue_jobs: f64,
}

/// Latencies and answers by second; exact, eight bytes an answer.
#[derive(Clone, Debug, Default)]
pub struct Slots(Vec<Slot>);

#[derive(Clone, Debug, Default)]
struct Slot {
    /// Microseconds of the requests due in it, with whether they were accepted.
    latencies: Vec<(u32, bool)>,
    codes: BTreeMap<String, u64>,
}

impl Slots {
    /// An answer `code` that came at `answered` to a request due at `due`, both from the start of the run.
    pub fn add(&mut self, due: Duration, answered: Duration, code: &str) {
        let latency = u32::try_from(answered.saturating_sub(due).as_micros()).unwrap_or(u32::MAX);
        self.at(due).latencies.push((latency, is_accepted(code)));
        let codes = &mut self.at(answered).codes;
        match codes.get_mut(code) {
            Some(count) => *count += 1,
            None => _ = codes.insert(code.to_owned(), 1),
        }
    }

    pub fn merge(&mut self, other: Slots) {
        for (second, mut slot) in (0..).zip(other.0) {
            let own = self.at(Duration::from_secs(second));
            own.latencies.append(&mut slot.latencies);
            for (code, count) in slot.codes {
                *own.codes.entry(code).or_default() += count;
            }
        }
    }

    fn at(&mut self, time: Duration) -> &mut Slot {
        let second = usize::try_from(time.as_secs()).unwrap_or(usize::MAX);
        if self.0.len() <= second {
            self.0.resize_with(second + 1, Slot::default);
        }
        &mut self.0[second]
    }

    /// Of what was due in these seconds.
    fn latencies(&self, seconds: std::ops::Range<usize>, only_accepted: bool) -> Latencies {
        let mut latencies = Latencies::default();
        let slots = self.0.get(seconds.start.min(self.0.len())..seconds.end.min(self.0.len())).unwrap_or_default();
        for (micros, is_accepted) in slots.iter().flat_map(|slot| &slot.latencies) {
            if *is_accepted || !only_accepted {
                latencies.record(Duration::from_micros(u64::from(*micros)));
            }
        }
        latencies
    }
}

/// What the drivers know of a run.
#[derive(Debug, Default)]
pub struct Told {
    pub name: String,
    pub over: &'static str,
    pub target_rate: f64,
    pub secs: u64,
    pub slots: Slots,
    pub without_retry_after: u64,
    pub moved: u64,
    /// From the start to the last answer.
    pub last: Duration,
    pub samples: Vec<Sample>,
}

impl Record {
    pub fn new(told: Told) -> Record {
        let Told { name, over, target_rate, secs, slots, without_retry_after, moved, last, samples } = told;
        let all = 0..slots.0.len();
        let latency = slots.latencies(all.clone(), false);
        let piece_secs = PIECE_SECS_MAX.min(secs / PIECES_MIN).max(1);
        let piece = |number: u64| (number * piece_secs) as usize..((number + 1) * piece_secs) as usize;
        let mut codes: BTreeMap<String, u64> = BTreeMap::new();
        for (code, count) in slots.0.iter().flat_map(|slot| &slot.codes) {
            *codes.entry(code.clone()).or_default() += count;
        }
        Record {
            version: VERSION,
            name,
            machine: machine(),
            over: over.to_owned(),
            target_rate,
            secs,
            sent: latency.count(),
            drained_secs: (last.as_secs_f64() - secs as f64).max(0.0),
            codes,
            without_retry_after,
            moved,
            latency: latency.summary(),
            accepted: slots.latencies(all.clone(), true).summary(),
            curve: CURVE.iter().map(|share| (*share, latency.at_ms(*share))).collect(),
            piece_secs,
            pieces: (0..secs / piece_secs).map(|number| slots.latencies(piece(number), false).summary()).collect(),
            after_first: slots.latencies(piece_secs as usize..all.end, false).summary(),
            seconds: all.map(|second| slots.second(second)).collect(),
            samples,
        }
    }

    /// Answers a second, 200 or 202, that came within the schedule.
    pub fn goodput(&self) -> f64 {
        let within = self.seconds.iter().take(self.secs as usize);
        let accepted: u64 = within.flat_map(|second| &second.codes).filter(|(code, _)| is_accepted(code)).map(|(_, n)| n).sum();
        accepted as f64 / self.secs.max(1) as f64
    }

    /// Requests a second that were sent within the schedule.
    pub fn offered(&self) -> f64 {
        self.sent as f64 / self.secs.max(1) as f64
    }

    /// # Errors
    /// A file that cannot be read, is no record, or one of another version.
    pub fn read(path: &Path) -> Result<Record> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let record: Record = serde_json::from_str(&text).with_context(|| format!("{}: no record of a run", path.display()))?;
        ensure!(record.version == VERSION, "{}: version {}, and this reads {VERSION}", path.display(), record.version);
        Ok(record)
    }

    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string(self)?).with_context(|| path.display().to_string())
    }
}

impl Slots {
    fn second(&self, second: usize) -> Second {
        let latencies = self.latencies(second..second + 1, false);
        let Summary { p50_ms, p99_ms, max_ms, .. } = latencies.summary();
        Second { due: latencies.count(), p50_ms, p99_ms, max_ms, codes: self.0[second].codes.clone() }
    }
}

fn machine() -> String {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = text("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, {}", text("/proc/sys/kernel/osrelease").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_hold_what_was_due_and_what_came() {
        let (mut slots, mut others) = (Slots::default(), Slots::default());
        let ms = Duration::from_millis;
        slots.add(ms(100), ms(110), "200");
        slots.add(ms(900), ms(1_400), "202");
        others.add(ms(1_000), ms(1_001), "503");
        slots.merge(others);
        let told = Told { secs: 2, over: "http", target_rate: 2.0, slots, last: ms(2_500), ..Told::default() };
        let record = Record::new(told);
        assert_eq!((record.sent, record.seconds[0].due, record.seconds[1].due), (3, 2, 1));
        assert_eq!((record.seconds[0].codes["200"], record.seconds[1].codes["202"], record.codes["503"]), (1, 1, 1));
        assert!((record.accepted.max_ms - 500.0).abs() < 1.0 && (record.seconds[1].max_ms - 1.0).abs() < 0.1, "{record:?}");
        assert!((record.goodput() - 1.0).abs() < 1e-9 && (record.drained_secs - 0.5).abs() < 1e-9);
        let file = std::env::temp_dir().join(format!("quoteguard-record-{}", std::process::id()));
        record.write(&file).expect("written");
        assert_eq!(Record::read(&file).expect("read"), record);
        fs::write(&file, "{}").expect("written");
        assert!(Record::read(&file).is_err());
        fs::remove_file(&file).expect("removed");
    }
}
