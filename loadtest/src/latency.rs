//! Latencies in a histogram, and their usual summary.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Nanoseconds, three significant digits, up to ten minutes.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

const MAX_NS: u64 = 600_000_000_000;

impl Default for Latencies {
    fn default() -> Latencies {
        // The bounds are constants that the crate accepts; any other histogram of it would count as well.
        let histogram = Histogram::new_with_bounds(1_000, MAX_NS, 3).or_else(|_| Histogram::new(3));
        Latencies(histogram.expect("three significant digits are valid"))
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(MAX_NS).min(MAX_NS));
    }

    pub fn merge(&mut self, other: &Latencies) {
        // Equal bounds by construction: adding cannot fail.
        let added = self.0.add(&other.0);
        debug_assert!(added.is_ok());
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds within which this share of them came.
    pub fn at_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e6
    }

    pub fn summary(&self) -> Summary {
        let at = |quantile: f64| self.at_ms(quantile);
        Summary { p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), p999_ms: at(0.999), max_ms: self.0.max() as f64 / 1e6 }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Summary { p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = self;
        write!(f, "p50 {p50_ms:.3} ms  p90 {p90_ms:.3} ms  p99 {p99_ms:.3} ms  p99.9 {p999_ms:.3} ms  max {max_ms:.3} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_in_milliseconds() {
        let mut all = Latencies::default();
        let mut second_half = Latencies::default();
        for i in 1..=1_000 {
            if i <= 500 { &mut all } else { &mut second_half }.record(Duration::from_micros(i * 10));
        }
        all.merge(&second_half);
        let summary = all.summary();
        assert_eq!(all.count(), 1_000);
        for (measured, expected) in [(summary.p50_ms, 5.0), (summary.p99_ms, 9.9), (summary.max_ms, 10.0)] {
            assert!((measured - expected).abs() < 0.02, "{measured} is not {expected}");
        }
    }
}
