//! What the trace of a quote says of its decision: codes, ids and places.

use crate::engine::quote::Position;
use crate::engine::step::{Outcome, Step};
use crate::telemetry::Span;

/// Call when the step is done; the span ends with it where it has no other copy.
pub fn decided(span: &Span, position: Position, step: &Step) {
    span.set_number("messaging.destination.partition.id", u64::from(position.partition));
    span.set_number("messaging.kafka.offset", position.offset);
    let outcome = match &step.outcome {
        Outcome::Decided => "decided",
        Outcome::Duplicate(_) => "duplicate",
        Outcome::IdReused(_) => "id_reused",
        Outcome::TooOld { .. } => "too_old",
        Outcome::TimeJump { .. } => "time_jump",
        Outcome::Applied => "applied",
    };
    span.set("quoteguard.outcome", outcome);
    if let Some(decision) = step.decisions.first() {
        span.set("quoteguard.quote_id", &decision.quote_id);
        span.set("quoteguard.decision_id", &decision.decision_id.to_string());
        span.set("quoteguard.decision", decision.verdict.name());
    }
}
