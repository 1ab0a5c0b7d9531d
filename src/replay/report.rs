//! What a replay tells at its end.

use std::fmt;
use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub records: u64,
    pub accepted: u64,
    pub flagged: u64,
    pub referred: u64,
    pub amendments: u64,
    pub duplicates: u64,
    pub rejected: u64,
    pub live_attempts: usize,
    /// Of the live set; equal for equal histories, in whatever order they came.
    pub digest: u64,
    pub elapsed: Duration,
}

impl Report {
    pub fn records_per_second(&self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in [
            ("records", self.records),
            ("accept", self.accepted),
            ("flag", self.flagged),
            ("refer", self.referred),
            ("amendments", self.amendments),
            ("duplicates", self.duplicates),
            ("rejected", self.rejected),
            ("live attempts", self.live_attempts as u64),
        ] {
            writeln!(f, "{name:<14}{value:>12}")?;
        }
        writeln!(f, "{:<14}{:>12.2}", "seconds", self.elapsed.as_secs_f64())?;
        writeln!(f, "{:<14}{:>12.0}", "quotes/s", self.records_per_second())?;
        write!(f, "{:<14}{:016x}", "digest", self.digest)
    }
}
