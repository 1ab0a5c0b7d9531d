//! The circuit breaker of rules: it watches from outside how many applicants each rule refers, and takes a rule that leaves its
//! stated band out of the answers. It decides nothing itself: what it does is a rule book in the log, like any other change.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::engine::rules::{Mode, RuleBook, RuleSource};

/// Looks kept: the window is cut into so many parts.
const LOOKS_MAX: u32 = 60;

/// What a rule is expected to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    pub rule: Box<str>,
    /// Hash of what the rule says.
    pub content: u64,
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
    /// What each rule says, and at which look it was first seen to: earlier ones tell nothing about it.
    since: BTreeMap<Box<str>, (u64, Instant)>,
}

/// The live rules that can refer and say how often they may.
pub fn bands(book: &RuleBook) -> Vec<Band> {
    let live = book.contents().filter(|(rule, _)| rule.mode == Mode::Live && rule.may_refer());
    let band = |(rule, content): (&RuleSource, u64)| {
        Some(Band { rule: rule.id.clone(), content, referred_pct_max: rule.referred_pct_max?, is_critical: rule.critical })
    };
    live.filter_map(band).collect()
}

impl Breaker {
    pub fn new(window: Duration, applicants_min: u64) -> Breaker {
        Breaker { window, applicants_min, looks: VecDeque::new(), since: BTreeMap::new() }
    }

    /// How often it should look.
    pub fn every(&self) -> Duration {
        (self.window / LOOKS_MAX).max(Duration::from_secs(1))
    }

    /// Which of the rules are outside of their bands over the window that ends now. A change of the book begins only those rules
    /// anew that it changes.
    pub fn look(&mut self, now: Instant, counts: Counts, bands: &[Band]) -> Vec<Outside> {
        while self.looks.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= self.window) {
            self.looks.pop_front();
        }
        self.looks.push_back((now, counts));
        self.since.retain(|rule, (content, _)| bands.iter().any(|band| band.rule == *rule && band.content == *content));
        for band in bands {
            self.since.entry(band.rule.clone()).or_insert((band.content, now));
        }
        bands.iter().filter_map(|band| self.judge(band)).collect()
    }

    fn judge(&self, band: &Band) -> Option<Outside> {
        let (_, since) = self.since.get(&band.rule)?;
        let (_, now) = self.looks.back()?;
        // What was counted before its first look may be history that is decided again.
        let (_, before) = self.looks.iter().find(|(at, _)| at >= since)?;
        let applicants = now.applicants.saturating_sub(before.applicants);
        let of = |counts: &Counts| counts.referred.get(&band.rule).copied().unwrap_or(0);
        let referred = of(now).saturating_sub(of(before));
        let is_outside = applicants >= self.applicants_min && share_pct(referred, applicants) > band.referred_pct_max;
        is_outside.then(|| Outside { band: band.clone(), referred, applicants })
    }
}

fn share_pct(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(applicants: u64, referred: [u64; 2]) -> Counts {
        let [many, other] = referred;
        Counts { applicants, referred: BTreeMap::from([("many".into(), many), ("other".into(), other)]) }
    }

    fn band(rule: &str, content: u64) -> Band {
        Band { rule: rule.into(), content, referred_pct_max: 1.0, is_critical: false }
    }

    #[test]
    fn a_share_above_the_band_over_the_window_is_outside() {
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
            let outside = breaker.look(now, counts(applicants, [referred, 0]), &[band("many", 1)]);
            let share = outside.first().map(Outside::referred_pct);
            assert_eq!(share, expected, "minute {minute}");
        }
    }

    #[test]
    fn a_change_of_the_book_begins_only_the_rules_anew_that_it_changes() {
        let start = Instant::now();
        let mut breaker = Breaker::new(Duration::from_secs(3600), 100);
        // Minutes, applicants, referred by each, which content `many` and `other` have, and who is outside then.
        for (minute, applicants, referred, contents, expected) in [
            (0, 0, [0, 0], [Some(1), Some(1)], ""),
            (1, 1_000, [5, 9], [Some(1), Some(1)], ""),
            // Another rule changes, and the one that runs away is seen all the same.
            (2, 1_100, [50, 90], [Some(1), Some(2)], "rule many referred 50 of 1100 applicants (4.55 %), its band ends at 1 %"),
            (3, 1_200, [50, 90], [Some(2), Some(2)], ""),
            (4, 1_250, [60, 100], [Some(2), Some(2)], "rule other referred 10 of 150 applicants (6.67 %), its band ends at 1 %"),
            (5, 1_350, [60, 100], [Some(2), None], "rule many referred 10 of 150 applicants (6.67 %), its band ends at 1 %"),
            // Live again as it was.
            (6, 1_500, [60, 200], [Some(1), Some(2)], ""),
        ] {
            let now = start + Duration::from_secs(minute * 60);
            let bands = ["many", "other"].into_iter().zip(contents).filter_map(|(rule, content)| Some(band(rule, content?)));
            let outside = breaker.look(now, counts(applicants, referred), &bands.collect::<Vec<_>>());
            let told: Vec<String> = outside.iter().map(ToString::to_string).collect();
            assert_eq!(told.join("; "), expected, "minute {minute}");
        }
    }
}
