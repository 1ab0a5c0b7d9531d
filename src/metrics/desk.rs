//! The desk's sink, and what underwriters have to do and have done.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{CounterVec, Gauge, IntCounterVec, IntGauge};

use super::Metrics;
use super::register::{Register, counters, float_counters, float_gauge, gauge};
use crate::engine::time::{ArrivalTime, SECOND};
use crate::pipeline::desk::RulingKind;
use crate::pipeline::desk::sink::Gained;
use crate::pipeline::desk::views::QueueCounts;

/// What answers a case. A snooze or a reopening does not; a proof that was asked for is no verdict on the rule yet, and shown beside them.
const ANSWERS: [RulingKind; 3] = [RulingKind::Cleared, RulingKind::Confirmed, RulingKind::ProofRequested];
/// A rule that no book since the start holds: those of old cases must not grow the labels without bound.
const OTHER_RULE: &str = "other";

/// What waits for underwriters, and what came of their work.
pub(super) struct Underwriting {
    open: IntGauge,
    oldest_age_seconds: Gauge,
    premium_protected: CounterVec,
    rule_feedback: IntCounterVec,
    /// Rules that have been in force since the start: others are not named in labels.
    rules_seen: Mutex<BTreeSet<Box<str>>>,
}

impl Underwriting {
    pub(super) fn register(r: &Register) -> Result<Underwriting, prometheus::Error> {
        let protected = "How far prices fell on applicants as they were referred.";
        let feedback = "Answers of underwriters to cases that it matched in.";
        Ok(Underwriting {
            open: gauge(r, "referrals_open", "Cases that wait for an answer.")?,
            oldest_age_seconds: float_gauge(r, "referral_oldest_age_seconds", "Age of the oldest of them.")?,
            premium_protected: float_counters(r, "premium_protected_total", protected, &["currency"])?,
            rule_feedback: counters(r, "rule_feedback_total", feedback, &["rule", "outcome"])?,
            rules_seen: Mutex::default(),
        })
    }
}

impl Metrics {
    /// Whether the desk follows the log.
    pub fn desk_up(&self, is_up: bool) {
        self.store_up("desk", is_up);
    }

    pub fn desk_projected(&self, records: usize, took: Duration) {
        self.desk_records.inc_by(records as u64);
        self.desk_seconds.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
    }

    /// `records` wait; the newest that is there needed so many microseconds since its arrival.
    pub fn desk_lag(&self, records: u64, micros: i64) {
        self.desk_lag_records.set(records.cast_signed());
        self.desk_lag_seconds.set(micros.max(0) as f64 / SECOND as f64);
    }

    /// Of all tenants. Told by the instance that fills the desk; the others say that nobody waits.
    pub fn desk_waiting(&self, counts: QueueCounts, now: ArrivalTime) {
        self.underwriting.open.set((counts.open + counts.proof_requested).cast_signed());
        let micros = counts.oldest.map_or(0, |oldest| now.0.saturating_sub(oldest.0));
        self.underwriting.oldest_age_seconds.set(micros.max(0) as f64 / SECOND as f64);
    }

    pub fn desk_gained(&self, currency: &str, gained: &Gained) {
        self.underwriting.premium_protected.with_label_values(&[currency]).inc_by(gained.protected.max(0.0));
        let seen = self.underwriting.rules_seen.lock().unwrap_or_else(PoisonError::into_inner);
        for answer in gained.answers.iter().filter(|answer| ANSWERS.contains(&answer.kind)) {
            let rule = if seen.contains(&*answer.rule) { &*answer.rule } else { OTHER_RULE };
            self.underwriting.rule_feedback.with_label_values(&[rule, answer.kind.name()]).inc_by(answer.count);
        }
    }

    /// It begins at 0, so that its first answer is seen as a change.
    pub(super) fn answered_rule(&self, rule: &str) {
        self.underwriting.rules_seen.lock().unwrap_or_else(PoisonError::into_inner).insert(rule.into());
        ANSWERS.iter().for_each(|kind| drop(self.underwriting.rule_feedback.with_label_values(&[rule, kind.name()])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::rule_file::shipped;
    use crate::pipeline::desk::sink::RuleAnswer;

    #[test]
    fn rules_of_no_book_share_one_label_and_only_answers_count() {
        let metrics = Metrics::new().expect("registered");
        metrics.rule_book(&shipped());
        let answer = |rule: &str, kind| RuleAnswer { rule: rule.to_owned(), kind, count: 2 };
        let answers = vec![
            answer("picking-24h", RulingKind::Cleared),
            answer("long-gone", RulingKind::Confirmed),
            answer("longer-gone", RulingKind::Confirmed),
            answer("picking-24h", RulingKind::Reopened),
        ];
        metrics.desk_gained("RUB", &Gained { protected: 12.5, answers });
        let text = String::from_utf8(metrics.encode().expect("encoded")).expect("text");
        for line in [
            "quoteguard_premium_protected_total{currency=\"RUB\"} 12.5",
            "quoteguard_rule_feedback_total{outcome=\"cleared\",rule=\"picking-24h\"} 2",
            "quoteguard_rule_feedback_total{outcome=\"confirmed\",rule=\"picking-24h\"} 0",
            "quoteguard_rule_feedback_total{outcome=\"confirmed\",rule=\"other\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("reopened") && !text.contains("long-gone"), "{text}");
    }
}
