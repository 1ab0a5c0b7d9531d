//! What an outage looked like from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::live::{Received, Run};
use crate::latency::Summary;

/// A decision later than this after its quote was due is lag.
const LAG: Duration = Duration::from_millis(100);
/// Lag after so much calm is another matter.
const CALM: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Serialize)]
pub struct Outage {
    pub rate: f64,
    pub quotes: u64,
    pub undecided: u64,
    pub repeated: u64,
    /// The longest time without a decision on a partition, of those that end after the kill.
    pub silence_secs: f64,
    /// From the kill until decisions came within 100 ms again.
    pub caught_up_secs: f64,
    pub latency_before: Summary,
}

impl std::fmt::Display for Outage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Outage { rate, quotes, undecided, repeated, silence_secs, caught_up_secs, latency_before } = self;
        writeln!(f, "{rate:.0}/s, {quotes} quotes, {undecided} undecided, {repeated} decided twice")?;
        writeln!(
            f,
            "silence   {silence_secs:.2} s at the longest on a partition; caught up {caught_up_secs:.2} s after the kill"
        )?;
        write!(f, "before    {latency_before}")
    }
}

pub fn judge(run: &Run, warm_up: Duration, killed: Duration) -> Outage {
    let all = run.latency(Duration::ZERO);
    Outage {
        rate: run.rate,
        quotes: all.quotes,
        undecided: all.undecided,
        repeated: run.repeated,
        silence_secs: silence(run, killed).as_secs_f64(),
        caught_up_secs: caught_up(run, killed).as_secs_f64(),
        latency_before: run.latency_of(warm_up..killed.saturating_sub(LAG)).latency,
    }
}

fn silence(run: &Run, killed: Duration) -> Duration {
    let mut by_partition: BTreeMap<i32, Vec<Duration>> = BTreeMap::new();
    for Received { at, partition } in run.received.iter().flatten() {
        by_partition.entry(*partition).or_default().push(*at);
    }
    let mut longest = Duration::ZERO;
    for times in by_partition.values_mut() {
        times.sort_unstable();
        let gaps = times.windows(2).filter(|pair| pair[1] > killed).map(|pair| pair[1] - pair[0]);
        longest = longest.max(gaps.max().unwrap_or_default());
    }
    longest
}

/// The end of the lag that began with the kill.
fn caught_up(run: &Run, killed: Duration) -> Duration {
    let mut end = killed;
    for (number, received) in run.received.iter().enumerate() {
        let late_from = run.due(number) + LAG;
        let Some(received) = received.filter(|received| received.at > late_from.max(killed)) else { continue };
        if late_from > end + CALM {
            break;
        }
        end = end.max(received.at);
    }
    end - killed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latencies;

    /// Two partitions at 100/s; partition 1 stands still from 5 s to 8 s, and everything once more for half a second at 15 s.
    #[test]
    fn an_outage_is_measured_on_its_partition() {
        let ms = Duration::from_millis;
        let mut run = Run { rate: 100.0, received: Vec::new(), repeated: 0, send_lag: Latencies::default() };
        for number in 0..2_000 {
            let (due, partition) = (run.due(number), i32::from(number % 2 == 1));
            let at = match due {
                due if partition == 1 && due >= ms(5_000) && due < ms(8_000) => ms(8_000),
                due if due >= ms(15_000) && due < ms(15_500) => ms(15_500),
                due => due + ms(1),
            };
            run.received.push(Some(Received { at, partition }));
        }
        let outage = judge(&run, ms(1_000), ms(5_000));
        assert!((outage.silence_secs - 3.0).abs() < 0.03, "{outage}");
        assert!((outage.caught_up_secs - 3.0).abs() < 0.03, "{outage}");
        assert_eq!((outage.undecided, outage.quotes), (0, 2_000));
        assert!(outage.latency_before.max_ms < 1.1, "{outage}");
    }
}
