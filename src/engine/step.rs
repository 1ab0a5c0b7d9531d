//! The closed input and the closed output of the engine.

use std::sync::Arc;

use super::decide::Prepared;
use super::decision::{Decision, DecisionId, ReferralId, RuleBookRef, Verdict};
use super::delta::Delta;
use super::quote::Position;
use super::rules::Fault;
use super::rulings::Ruling;
use super::time::ArrivalTime;

/// How a source tells when a record arrived, and how late it may be. Stored with the record, so replay judges alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ArrivalClock {
    /// Append time of the log (HTTP): `arrival` was read when the record was appended; lateness 30 s.
    Log = 0,
    /// Append time of the log (Kafka); lateness 1 h.
    Stream = 1,
    /// The largest event time so far (files, imports, benchmarks); `arrival` is not read; lateness 1 h.
    Event = 2,
}

/// One record of the log.
#[derive(Clone, Debug)]
pub enum Input {
    Quote(LoggedQuote),
    /// Control records take effect at this position.
    Control {
        position: Position,
        book: Option<RuleBookRef>,
        /// One pointer may bring several. One whose id is held is passed over.
        rulings: Vec<Arc<Ruling>>,
    },
    /// A record that could not be decoded: it takes its place in the log and changes nothing.
    Skipped {
        position: Position,
    },
}

#[derive(Clone, Debug)]
pub struct LoggedQuote {
    pub position: Position,
    pub arrival: ArrivalTime,
    pub clock: ArrivalClock,
    pub prepared: Arc<Prepared>,
}

/// What one record did.
#[derive(Debug)]
pub struct Step {
    pub outcome: Outcome,
    /// The quote's own decision first, then amendments in (event time, id) order. Empty unless `Outcome::Decided`.
    pub decisions: Vec<Decision>,
    /// Give it to `State::apply`, then store it: it carries the position.
    pub delta: Delta,
    pub gauges: Gauges,
    /// Rules that had no value for the quote, by id: they did not match. For metrics.
    pub faults: Vec<(Box<str>, Fault)>,
}

/// What the driver must tell the submitter.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Answer with `decisions[0].answer`.
    Decided,
    /// The same id and body were decided before: answer with the stricter of `answer` and `verdict`; nothing is emitted.
    Duplicate(Current),
    /// The id was used with another body: 409, or dead-letter `id_reused`.
    IdReused(Current),
    /// The event time is more than `max_age` behind arrival: 422 on `/submitted_at`, or dead-letter `too_old`.
    TooOld { behind_secs: i64 },
    /// `event` clock only. The event time lies outside 2000-2100 or more than `max_jump` ahead of the last arrival: reject,
    /// naming the setting.
    TimeJump { setting: &'static str },
    /// A control record or a skipped one: nobody waits.
    Applied,
}

/// The decision that stands for a live attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    pub decision_id: DecisionId,
    pub position: Position,
    pub revision: u32,
    pub verdict: Verdict,
    pub answer: Verdict,
    pub referral_id: Option<ReferralId>,
}

impl Current {
    /// What a submitter who asks again is told.
    pub fn stricter(&self) -> Verdict {
        self.verdict.max(self.answer)
    }
}

/// Numbers for metrics; nothing depends on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    pub candidates: u32,
    pub comparisons: u32,
    pub saturated_blocks: u32,
    pub redecided: u32,
}
