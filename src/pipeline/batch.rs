//! A batch being filled: what the live writer and a rebuild do alike with a record.

use super::writer::WriterError;
use super::{Batch, DeadLetter, Emitted, Segment, StoreError};
use crate::contract;
use crate::engine::decide::{Books, decide};
use crate::engine::decision::Decision;
use crate::engine::delta::CorruptDelta;
use crate::engine::state::State;
use crate::engine::step::{Input, Outcome, Step};
use crate::engine::time::EventTime;

/// An empty batch that begins where the state stands.
pub fn open(state: &State) -> Batch {
    let from = state.next_offset();
    Batch {
        records: Vec::new(),
        decisions: Vec::new(),
        dead_letters: Vec::new(),
        segment: Segment { from, to: from, max_event_time: EventTime(i64::MIN), deltas: Vec::new() },
        files: Vec::new(),
        forgotten: Vec::new(),
        horizon: state.expiry_horizon(),
    }
}

/// Decides, applies and collects what one input changes; its record is pushed by the caller.
///
/// # Errors
/// A rule book that the log does not hold: [`StoreError::Damaged`]. A delta that the state refuses: [`WriterError::Diverged`].
pub fn step(state: &mut State, books: &Books, batch: &mut Batch, input: &Input) -> Result<Step, WriterError> {
    let step = decide(state, input, books).map_err(StoreError::from)?;
    let offset = state.next_offset();
    state.apply(&step.delta).map_err(|CorruptDelta(reason)| WriterError::Diverged { offset, reason })?;
    step.delta.encode(&mut batch.segment.deltas);
    batch.segment.to = state.next_offset();
    for decision in &step.decisions {
        batch.segment.max_event_time = batch.segment.max_event_time.max(decision.event_time);
        batch.decisions.push(emitted(decision));
    }
    Ok(step)
}

fn emitted(decision: &Decision) -> Emitted {
    let mut json = Vec::with_capacity(1024);
    contract::decision::write_decision(decision, &mut json);
    Emitted {
        offset: decision.position.offset,
        revision: decision.revision,
        tenant: decision.tenant.clone(),
        quote_id: decision.quote_id.clone(),
        json,
    }
}

/// The dead letter of an outcome that decides nothing.
pub fn dead_letter(offset: u64, outcome: &Outcome) -> Option<DeadLetter> {
    let (error, reason, pointer) = refusal(outcome)?;
    Some(DeadLetter { offset, reason, error, pointer: pointer.to_owned(), file: None, raw: Vec::new() })
}

/// The dead letter of an outcome that decides nothing: error with its fix, reason code, JSON pointer.
pub fn refusal(outcome: &Outcome) -> Option<(String, &'static str, &'static str)> {
    match outcome {
        Outcome::IdReused(_) => Some((
            "this quote_id was used with another body; send a changed form under a new quote_id".to_owned(),
            "id_reused",
            "/quote_id",
        )),
        Outcome::TooOld { behind_secs } => Some((
            format!("submitted_at is {behind_secs} s behind arrival, beyond time.max_age_secs; send quotes as they are made"),
            "too_old",
            "/submitted_at",
        )),
        Outcome::TimeJump { setting } => Some((
            format!("submitted_at lies outside what `{setting}` allows; correct the time or the setting"),
            "time_jump",
            "/submitted_at",
        )),
        Outcome::Decided | Outcome::Duplicate(_) | Outcome::Applied => None,
    }
}
