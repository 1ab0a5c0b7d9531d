//! Counts by adversary kind and by honest class, summed over workloads.

use std::collections::BTreeMap;

use super::{Decisions, Verdict};
use crate::truth::{Class, Kind, Truth};

/// The windows of the shipped rules: a day, and thirty days for the slow.
const DAY_MS: i64 = 86_400_000;
const WINDOW_MAX_MS: i64 = 30 * DAY_MS;
/// Suspicious attempts within a window that make an episode eligible.
const ELIGIBLE: usize = 3;

/// Episodes of one adversary kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caught {
    pub episodes: u64,
    /// With at least three suspicious attempts inside the longest shipped window.
    pub eligible: u64,
    /// With at least three suspicious attempts inside a day.
    pub eligible_day: u64,
    /// Eligible ones referred by the 3rd, 4th, 5th suspicious attempt, and ever.
    pub by_third: u64,
    pub by_fourth: u64,
    pub by_fifth: u64,
    pub ever: u64,
    /// New versions that came after the first referral, and how many of them were shown a price.
    pub later: u64,
    pub later_priced: u64,
}

/// Honest actors of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Honest {
    pub actors: u64,
    /// Told "refer" at least once.
    pub referred: u64,
    /// Told "flag" and never "refer".
    pub flagged: u64,
    /// Never told "refer", but a quote of theirs was amended to it.
    pub amended: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub kinds: BTreeMap<Kind, Caught>,
    pub classes: BTreeMap<Class, Honest>,
    /// Ghost brokers with at least ten applicants; flagged or referred by the tenth.
    pub brokers: (u64, u64),
    /// Poisoners with at least four variants; referred by the fourth.
    pub poisoners: (u64, u64),
    /// Quotes of the flood, and how many of them were referred.
    pub flood: (u64, u64),
    pub quotes: u64,
    /// Labels without a decision.
    pub missing: u64,
}

impl Tally {
    pub fn add(&mut self, labels: &[Truth], decisions: &Decisions) {
        let mut episodes: BTreeMap<&str, Vec<(&Truth, Verdict)>> = BTreeMap::new();
        let mut actors: BTreeMap<&str, (Class, Verdict, Verdict)> = BTreeMap::new();
        for label in labels {
            self.quotes += 1;
            let Some(told) = decisions.get(&label.quote_id) else {
                self.missing += 1;
                continue;
            };
            if label.manipulated {
                episodes.entry(&label.episode).or_default().push((label, told.answer));
            } else {
                let (_, answer, last) = actors.entry(&label.actor).or_insert((label.class, Verdict::Accept, Verdict::Accept));
                *answer = told.answer.max(*answer);
                *last = told.final_decision.max(*last);
            }
        }
        episodes.into_values().for_each(|attempts| self.add_episode(&attempts));
        for (class, answer, last) in actors.into_values() {
            let honest = self.classes.entry(class).or_default();
            honest.actors += 1;
            honest.referred += u64::from(answer == Verdict::Refer);
            honest.flagged += u64::from(answer == Verdict::Flag);
            honest.amended += u64::from(answer != Verdict::Refer && last == Verdict::Refer);
        }
    }

    fn add_episode(&mut self, attempts: &[(&Truth, Verdict)]) {
        let Some(kind) = attempts.first().and_then(|(first, _)| Kind::parse(&first.kind)) else { return };
        match kind {
            Kind::FloodJunk => {
                self.flood.0 += attempts.len() as u64;
                self.flood.1 += attempts.iter().filter(|(_, told)| *told == Verdict::Refer).count() as u64;
            }
            Kind::GhostBroker => {
                let flagged = |(label, told): &(&Truth, Verdict)| label.attempt < 10 && *told >= Verdict::Flag;
                if attempts.len() >= 10 {
                    self.brokers.0 += 1;
                    self.brokers.1 += u64::from(attempts.iter().any(flagged));
                }
            }
            _ => self.add_picker(kind, attempts),
        }
    }

    fn add_picker(&mut self, kind: Kind, attempts: &[(&Truth, Verdict)]) {
        let caught_at = attempts.iter().find(|(_, told)| *told == Verdict::Refer).map(|(label, _)| label.suspicious);
        let by = |nth: u32| u64::from(caught_at.is_some_and(|at| at <= nth));
        let suspicious: Vec<i64> = new_versions(attempts);
        if kind == Kind::CopyVictim && suspicious.len() >= ELIGIBLE {
            self.poisoners.0 += 1;
            // The first form is a variant too: the fourth is the third suspicious attempt.
            self.poisoners.1 += by(3);
        }
        let caught = self.kinds.entry(kind).or_default();
        caught.episodes += 1;
        if most_within(&suspicious, WINDOW_MAX_MS) < ELIGIBLE {
            return;
        }
        caught.eligible += 1;
        caught.eligible_day += u64::from(most_within(&suspicious, DAY_MS) >= ELIGIBLE);
        caught.by_third += by(3);
        caught.by_fourth += by(4);
        caught.by_fifth += by(5);
        caught.ever += u64::from(caught_at.is_some());
        let (later, priced) = after_referral(attempts);
        caught.later += later;
        caught.later_priced += priced;
    }

    /// All kinds whose actor re-quotes himself.
    pub fn overall(&self) -> Caught {
        let mut sum = Caught::default();
        for (_, one) in self.kinds.iter().filter(|(kind, _)| kind.requotes_himself()) {
            sum.episodes += one.episodes;
            sum.eligible += one.eligible;
            sum.eligible_day += one.eligible_day;
            sum.by_third += one.by_third;
            sum.by_fourth += one.by_fourth;
            sum.by_fifth += one.by_fifth;
            sum.ever += one.ever;
            sum.later += one.later;
            sum.later_priced += one.later_priced;
        }
        sum
    }

    /// All honest actors but the victims of poisoners.
    pub fn honest(&self) -> Honest {
        let mut sum = Honest::default();
        for (_, one) in self.classes.iter().filter(|(class, _)| **class != Class::Victim) {
            sum.actors += one.actors;
            sum.referred += one.referred;
            sum.flagged += one.flagged;
            sum.amended += one.amended;
        }
        sum
    }
}

/// New versions after the first referral, and how many of them were shown a price.
fn after_referral(attempts: &[(&Truth, Verdict)]) -> (u64, u64) {
    let first = attempts.iter().position(|(_, told)| *told == Verdict::Refer).unwrap_or(attempts.len());
    let mut shown = attempts.get(first).map_or(0, |(label, _)| label.suspicious);
    let (mut later, mut priced) = (0, 0);
    for (label, told) in attempts.iter().skip(first + 1) {
        if label.suspicious > shown {
            shown = label.suspicious;
            later += 1;
            priced += u64::from(*told != Verdict::Refer);
        }
    }
    (later, priced)
}

/// Event times of the attempts that showed a new version.
fn new_versions(attempts: &[(&Truth, Verdict)]) -> Vec<i64> {
    let mut shown = 0;
    let mut times = Vec::new();
    for (label, _) in attempts {
        if label.suspicious > shown {
            shown = label.suspicious;
            times.push(label.at_ms);
        }
    }
    times.sort_unstable();
    times
}

/// The most times that lie within one window.
fn most_within(times: &[i64], window_ms: i64) -> usize {
    (0..times.len()).map(|end| times[..=end].iter().filter(|time| times[end] - **time < window_ms).count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_exact() {
        for (times, window, expected) in
            [(&[][..], 10, 0), (&[0, 9, 10], 10, 2), (&[0, 10, 20], 10, 1), (&[0, 1, 2, 30, 31], 10, 3), (&[5], 1, 1)]
        {
            assert_eq!(most_within(times, window), expected, "{times:?} within {window}");
        }
    }
}
