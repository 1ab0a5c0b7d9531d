//! Which targets a run has met.

use std::collections::BTreeSet;

use crate::record::{Record, Sample, is_accepted};

/// Memory may move by so much from a third of the run on: minute 10 of 30.
const MEMORY_SHARE_MAX: f64 = 0.05;
/// Of the first minute's p99.
const P99_RATIO_MAX: f64 = 1.5;
/// Of the peak: five are asked for, and a driver that shares the machine does not reach them all.
const OFFERED_RATIO_MIN: f64 = 3.0;
/// Of the peak.
const GOODPUT_SHARE_MIN: f64 = 0.8;
const DRAINED_SECS_MAX: f64 = 30.0;

#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub what: &'static str,
    pub measured: String,
    pub target: String,
    pub is_met: bool,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Verdict { what, measured, target, is_met } = self;
        write!(f, "{:<7} {what:<58} {measured:>26}   target {target}", if *is_met { "MET" } else { "MISSED" })
    }
}

/// Of a run at a constant rate below the peak.
pub fn soak(record: &Record) -> Vec<Verdict> {
    let from_secs = record.secs as f64 / 3.0;
    let first = record.pieces.first().map_or(0.0, |first| first.p99_ms);
    let ratio = record.after_first.p99_ms / first.max(1e-9);
    vec![
        memory(record, from_secs),
        Verdict {
            what: "errors",
            measured: other_than(record, |code| matches!(code, "200" | "decided")),
            target: "none".to_owned(),
            is_met: record.sent > 0 && record.codes.keys().all(|code| matches!(&**code, "200" | "decided")),
        },
        Verdict {
            what: "p99 after the first minute, against that of the first",
            measured: format!("{ratio:.2} ({:.2} / {first:.2} ms)", record.after_first.p99_ms),
            target: format!("<= {P99_RATIO_MAX}"),
            is_met: ratio <= P99_RATIO_MAX,
        },
        at_its_rate(record),
    ]
}

/// Of a run that reaches the cap on live attempts.
pub fn cap(record: &Record, live_attempts_max: f64) -> Vec<Verdict> {
    let most = record.samples.iter().map(|sample| sample.live_attempts).fold(0.0, f64::max);
    let reached = record.samples.iter().find(|sample| sample.live_attempts >= live_attempts_max);
    let from_secs = reached.map_or(record.secs as f64, |sample| sample.at_secs + record.piece_secs as f64);
    vec![
        Verdict {
            what: "live attempts, at most",
            measured: format!("{most:.0}"),
            target: format!("{live_attempts_max:.0}, and reached"),
            is_met: reached.is_some() && most <= live_attempts_max,
        },
        memory(record, from_secs.max(record.secs as f64 / 3.0)),
        at_its_rate(record),
    ]
}

/// Of a run far above the peak, answers a second; `stored` are the ids of the decisions in the store, `sent` gives those that were
/// answered 200 or 202.
pub fn overload(record: &Record, peak: f64, stored: &BTreeSet<String>, answered: &BTreeSet<String>) -> Vec<Verdict> {
    let share = record.goodput() / peak.max(1e-9);
    let is_refusal = |code: &str| is_accepted(code) || matches!(code, "429" | "503");
    let lost = answered.difference(stored).count();
    vec![
        Verdict {
            what: "offered within the run, against the peak",
            measured: format!("{:.1}x ({:.0}/s)", record.offered() / peak.max(1e-9), record.offered()),
            target: format!(">= {OFFERED_RATIO_MIN}x of the 5x asked for"),
            is_met: record.offered() >= OFFERED_RATIO_MIN * peak,
        },
        Verdict {
            what: "goodput, against the peak",
            measured: format!("{:.0} % ({:.0} / {peak:.0}/s)", share * 100.0, record.goodput()),
            target: format!(">= {:.0} %", GOODPUT_SHARE_MIN * 100.0),
            is_met: share >= GOODPUT_SHARE_MIN,
        },
        Verdict {
            what: "answers other than 200, 202, 429 and 503",
            measured: other_than(record, is_refusal),
            target: "none".to_owned(),
            is_met: record.codes.keys().all(|code| is_refusal(code)),
        },
        Verdict {
            what: "refusals, and those of them without Retry-After",
            measured: format!("{} / {}", refusals(record), record.without_retry_after),
            target: "some / 0".to_owned(),
            is_met: refusals(record) > 0 && record.without_retry_after == 0,
        },
        Verdict {
            what: "last answer after the end",
            measured: format!("{:.1} s", record.drained_secs),
            target: format!("<= {DRAINED_SECS_MAX} s"),
            is_met: record.drained_secs <= DRAINED_SECS_MAX,
        },
        Verdict {
            what: "answered 200 or 202, and of them not in the store",
            measured: format!("{} / {lost}", answered.len()),
            target: "some / 0".to_owned(),
            is_met: !answered.is_empty() && lost == 0,
        },
        Verdict {
            what: "in the store without such an answer (client gone)",
            measured: stored.difference(answered).count().to_string(),
            target: "0 without failures of the client".to_owned(),
            is_met: stored.difference(answered).next().is_none() || record.codes.keys().any(|code| !is_refusal(code)),
        },
    ]
}

fn refusals(record: &Record) -> u64 {
    record.codes.iter().filter(|(code, _)| matches!(&***code, "429" | "503")).map(|(_, count)| count).sum()
}

fn other_than(record: &Record, is_right: impl Fn(&str) -> bool) -> String {
    let wrong: Vec<String> =
        record.codes.iter().filter(|(code, _)| !is_right(code)).map(|(code, count)| format!("{count} of {code}")).collect();
    if wrong.is_empty() { "none".to_owned() } else { wrong.join(", ") }
}

/// The schedule was kept: a driver that falls behind measures something else.
fn at_its_rate(record: &Record) -> Verdict {
    let share = record.goodput().max(decided_rate(record)) / record.target_rate.max(1e-9);
    Verdict {
        what: "answers within the run, against the rate asked for",
        measured: format!("{:.1} %", share * 100.0),
        target: ">= 99 %".to_owned(),
        is_met: share >= 0.99,
    }
}

fn decided_rate(record: &Record) -> f64 {
    let within = record.seconds.iter().take(record.secs as usize);
    within.filter_map(|second| second.codes.get("decided")).sum::<u64>() as f64 / record.secs.max(1) as f64
}

/// The median of each piece from `from_secs` on, against that of the first of them.
fn memory(record: &Record, from_secs: f64) -> Verdict {
    let mut medians = Vec::new();
    let mut begin = from_secs;
    while begin < record.secs as f64 {
        let end = begin + record.piece_secs.max(1) as f64;
        let within = |sample: &&Sample| (begin..end).contains(&sample.at_secs);
        let mut bytes: Vec<u64> = record.samples.iter().filter(within).map(|sample| sample.rss_bytes).collect();
        bytes.sort_unstable();
        medians.extend(bytes.get(bytes.len() / 2).map(|bytes| *bytes as f64));
        begin = end;
    }
    let first = medians.first().copied().unwrap_or(0.0);
    let change = |bytes: &f64| (bytes - first) / first.max(1.0);
    let farthest = medians.iter().map(change).fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
    Verdict {
        what: "memory (RSS) from a third of the run on, farthest change",
        measured: format!("{:+.1} % of {:.0} MB", farthest * 100.0, first / 1e6),
        target: format!("within {:.0} %", MEMORY_SHARE_MAX * 100.0),
        is_met: medians.len() >= 2 && farthest.abs() <= MEMORY_SHARE_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Summary;
    use crate::record::Second;

    fn p99(p99_ms: f64) -> Summary {
        Summary { p99_ms, ..Summary::default() }
    }

    /// 60 seconds at 10/s.
    fn good() -> Record {
        let codes = || [("200".to_owned(), 10)].into();
        let second = || Second { due: 10, codes: codes(), ..Second::default() };
        let sample =
            |at: u32| Sample { at_secs: f64::from(at), rss_bytes: 100_000_000, live_attempts: 50.0, ..Sample::default() };
        Record {
            target_rate: 10.0,
            secs: 60,
            sent: 600,
            piece_secs: 10,
            codes: [("200".to_owned(), 600)].into(),
            pieces: vec![p99(2.0); 6],
            after_first: p99(2.5),
            seconds: (0..60).map(|_| second()).collect(),
            samples: (0..60).map(sample).collect(),
            ..Record::default()
        }
    }

    fn missed(verdicts: &[Verdict]) -> Vec<&str> {
        verdicts.iter().filter(|verdict| !verdict.is_met).map(|verdict| verdict.what).collect()
    }

    fn ids(numbers: std::ops::Range<u32>) -> BTreeSet<String> {
        numbers.map(|number| number.to_string()).collect()
    }

    #[test]
    fn each_target_of_a_soak_can_be_missed() {
        assert_eq!(missed(&soak(&good())), [""; 0]);
        let mut grown = good();
        grown.samples[55..].iter_mut().for_each(|sample| sample.rss_bytes = 106_000_000);
        assert_eq!(missed(&soak(&grown))[..1], ["memory (RSS) from a third of the run on, farthest change"]);
        let early = Record { samples: good().samples[..15].to_vec(), ..good() };
        assert_eq!(missed(&soak(&early)).len(), 1, "memory that nobody looked at is not flat");
        let mut failed = good();
        failed.codes.insert("503".to_owned(), 1);
        assert_eq!(missed(&soak(&failed)), ["errors"]);
        assert_eq!(missed(&soak(&Record { after_first: p99(3.1), ..good() })).len(), 1);
        assert_eq!(missed(&soak(&Record { target_rate: 10.2, ..good() })).len(), 1);
    }

    #[test]
    fn a_cap_must_be_reached_and_kept() {
        assert_eq!(missed(&cap(&good(), 50.0)), [""; 0]);
        assert_eq!(missed(&cap(&good(), 49.0)), ["live attempts, at most"]);
        assert!(missed(&cap(&good(), 51.0)).contains(&"live attempts, at most"));
    }

    #[test]
    fn each_target_of_an_overload_can_be_missed() {
        let run = || {
            let mut record = good();
            record.codes.insert("503".to_owned(), 2_400);
            Record { sent: 3_000, ..record }
        };
        let judge = |record: &Record| overload(record, 12.0, &ids(0..600), &ids(0..600));
        assert_eq!(missed(&judge(&run())), [""; 0]);
        assert_eq!(missed(&overload(&run(), 13.0, &ids(0..600), &ids(0..600))), ["goodput, against the peak"]);
        assert_eq!(
            missed(&overload(&run(), 12.0, &ids(1..600), &ids(0..600))),
            ["answered 200 or 202, and of them not in the store"]
        );
        assert_eq!(missed(&overload(&run(), 12.0, &ids(0..601), &ids(0..600))).len(), 1);
        assert_eq!(missed(&judge(&Record { without_retry_after: 1, ..run() })).len(), 1);
        assert_eq!(missed(&judge(&Record { drained_secs: 31.0, ..run() })), ["last answer after the end"]);
        assert_eq!(missed(&judge(&Record { sent: 1_000, ..run() })), ["offered within the run, against the peak"]);
        let mut broken = run();
        broken.codes.insert("ConnectionReset".to_owned(), 1);
        assert_eq!(missed(&judge(&broken)), ["answers other than 200, 202, 429 and 503"]);
    }
}
