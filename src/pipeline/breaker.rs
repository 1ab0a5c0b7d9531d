//! The circuit breaker of rules: it watches from outside how many applicants each rule refers, and takes a rule that leaves its
//! stated band out of the answers. It decides nothing itself: what it does is a rule book in the log, like any other change.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::engine::decision::Verdict;
use crate::engine::rules::{Mode, RuleBook};

/// Looks kept: the window is cut into so many parts.
const LOOKS_MAX: u32 = 60;

/// What a rule is expected to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    pub rule: Box<str>,
    /// Highest share of applicants that it may refer, percent.
    pub referred_pct_max: f64,
    /// It stays live whatever happens; somebody is told.
    pub is_critical: bool,
}

/// A rule outside of its band.
#[derive(Clone, Debug, PartialEq)]
pub struct Outside {
    pub band: Band,
    /// Applicants it referred first, of those first seen, both within the window.
    pub referred: u64,
    pub applicants: u64,
}

impl Outside {
    pub fn referred_pct(&self) -> f64 {
        share_pct(self.referred, self.applicants)
    }
}

impl std::fmt::Display for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Outside { band, referred, applicants } = self;
        let (pct, max) = (self.referred_pct(), band.referred_pct_max);
        write!(f, "rule {} referred {referred} of {applicants} applicants ({pct:.2} %), its band ends at {max} %", band.rule)
    }
}

/// Counters as they stood at one moment; they only grow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    pub applicants: u64,
    /// By rule.
    pub referred: BTreeMap<Box<str>, u64>,
}

pub struct Breaker {
    window: Duration,
    /// With fewer in the window nothing is judged: a share of few says nothing.
    applicants_min: u64,
    /// Oldest first. The first is the last that is older than the window, or the start.
    looks: VecDeque<(Instant, Counts)>,
}

/// The live rules that refer and say how often they may.
pub fn bands(book: &RuleBook) -> Vec<Band> {
    let live = book.rules().filter(|rule| rule.mode == Mode::Live && rule.then == Verdict::Refer);
    let band = |rule: &crate::engine::rules::RuleSource| {
        Some(Band { rule: rule.id.clone(), referred_pct_max: rule.referred_pct_max?, is_critical: rule.critical })
    };
    live.filter_map(band).collect()
}

impl Breaker {
    pub fn new(window: Duration, applicants_min: u64) -> Breaker {
        Breaker { window, applicants_min, looks: VecDeque::new() }
    }

    /// How often it should look.
    pub fn every(&self) -> Duration {
        (self.window / LOOKS_MAX).max(Duration::from_secs(1))
    }

    /// Which of the rules are outside of their bands over the window that ends now.
    pub fn look(&mut self, now: Instant, counts: Counts, bands: &[Band]) -> Vec<Outside> {
        while self.looks.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= self.window) {
            self.looks.pop_front();
        }
        // What was counted before the first look may be history that is decided again.
        let before = self.looks.front().map_or_else(|| counts.clone(), |(_, before)| before.clone());
        let applicants = counts.applicants.saturating_sub(before.applicants);
        let of = |counts: &Counts, rule: &str| counts.referred.get(rule).copied().unwrap_or(0);
        let judge = |band: &Band| {
            let referred = of(&counts, &band.rule).saturating_sub(of(&before, &band.rule));
            (share_pct(referred, applicants) > band.referred_pct_max).then(|| Outside {
                band: band.clone(),
                referred,
                applicants,
            })
        };
        let outside = if applicants < self.applicants_min { Vec::new() } else { bands.iter().filter_map(judge).collect() };
        self.looks.push_back((now, counts));
        outside
    }

    /// Begins anew: what was before the change says nothing about the rules after it.
    pub fn forget(&mut self) {
        self.looks.clear();
    }
}

fn share_pct(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(applicants: u64, referred: u64) -> Counts {
        Counts { applicants, referred: BTreeMap::from([("many".into(), referred)]) }
    }

    #[test]
    fn a_share_above_the_band_over_the_window_is_outside() {
        let band = Band { rule: "many".into(), referred_pct_max: 1.0, is_critical: false };
        let start = Instant::now();
        // Minutes, applicants and referred so far, and the share over the last hour where it is outside.
        let looks = [
            (0, 0, 0, None),
            (10, 90, 9, None),     // too few
            (20, 1_000, 10, None), // exactly at the band
            (30, 1_000, 11, Some(1.1)),
            (70, 2_000, 20, None),       // of 1,910 since minute 10
            (90, 3_000, 50, Some(1.95)), // since minute 30
            (200, 3_050, 60, None),      // 50 applicants in the hour
            (210, 4_000, 60, None),
        ];
        let mut breaker = Breaker::new(Duration::from_secs(3600), 100);
        for (minute, applicants, referred, expected) in looks {
            let now = start + Duration::from_secs(minute * 60);
            let outside = breaker.look(now, counts(applicants, referred), std::slice::from_ref(&band));
            let share = outside.first().map(Outside::referred_pct);
            assert_eq!(share, expected, "minute {minute}");
        }
    }

    #[test]
    fn what_was_before_a_change_is_forgotten() {
        let band = Band { rule: "many".into(), referred_pct_max: 1.0, is_critical: true };
        let start = Instant::now();
        let mut breaker = Breaker::new(Duration::from_secs(3600), 100);
        assert_eq!(breaker.look(start, counts(0, 0), std::slice::from_ref(&band)), []);
        let tripped = breaker.look(start, counts(1_000, 100), std::slice::from_ref(&band));
        assert_eq!(tripped[0].to_string(), "rule many referred 100 of 1000 applicants (10.00 %), its band ends at 1 %");
        breaker.forget();
        assert_eq!(breaker.look(start, counts(2_000, 101), std::slice::from_ref(&band)), []);
    }
}
