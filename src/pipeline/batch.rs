//! A batch being filled: what the live writer and a rebuild do alike with a record.

use super::writer::WriterError;
use super::{Batch, DeadLetter, Emitted, Segment, StoreError};
use crate::contract;
use crate::engine::decide::{Books, TIME_JUMP_SETTINGS, decide};
use crate::engine::decision::Decision;
use crate::engine::delta::CorruptDelta;
use crate::engine::state::State;
use crate::engine::step::{Input, Outcome, Step};
use crate::engine::time::{EventTime, MINUTE};

/// An empty batch that begins where the state stands.
pub fn open(state: &State) -> Batch {
    let from = state.next_offset();
    Batch {
        records: Vec::new(),
        decisions: Vec::new(),
        dead_letters: Vec::new(),
        segment: Segment::empty(from),
        files: Vec::new(),
        tables: Vec::new(),
        forgotten: Vec::new(),
        erasures: Vec::new(),
        horizon: kept_from(state),
    }
}

/// The state forgets whole minutes: a segment that went earlier would take ids along that are known until a restart.
pub(super) fn kept_from(state: &State) -> EventTime {
    EventTime(state.expiry_horizon().0.div_euclid(MINUTE) * MINUTE)
}

/// Decides, applies and collects what one input changes; its record is pushed by the caller.
///
/// # Errors
/// Those of [`advance`].
pub fn step(state: &mut State, books: &Books, batch: &mut Batch, input: &Input) -> Result<Step, WriterError> {
    let step = advance(state, books, &mut batch.segment, input)?;
    batch.decisions.extend(step.decisions.iter().map(emitted));
    Ok(step)
}

/// Decides one input, applies what it changes to the state, and appends that to the segment.
///
/// # Errors
/// A rule book that the log does not hold: [`StoreError::Damaged`]. A delta that the state refuses: [`WriterError::Diverged`].
pub fn advance(state: &mut State, books: &Books, segment: &mut Segment, input: &Input) -> Result<Step, WriterError> {
    let step = decide(state, input, books).map_err(StoreError::from)?;
    let offset = step.delta.from;
    state.apply(&step.delta).map_err(|CorruptDelta(reason)| WriterError::Diverged { offset, reason })?;
    step.delta.encode(&mut segment.deltas);
    segment.to = state.next_offset();
    for decision in &step.decisions {
        segment.max_event_time = segment.max_event_time.max(decision.event_time);
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

/// What beside its reason code tells a refusal to another instance: the seconds of `too_old`, the setting of `time_jump`.
pub fn refusal_value(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::TooOld { behind_secs } => Some(behind_secs.to_string()),
        Outcome::TimeJump { setting } => Some((*setting).to_owned()),
        Outcome::Decided | Outcome::Duplicate(_) | Outcome::IdReused(_) | Outcome::Applied => None,
    }
}

/// The outcome of a reason code and its value; `None` for what a submitter is not told by it.
pub fn refused(reason: &str, value: &str) -> Option<Outcome> {
    match reason {
        "too_old" => value.parse().ok().map(|behind_secs| Outcome::TooOld { behind_secs }),
        "time_jump" => {
            TIME_JUMP_SETTINGS.into_iter().find(|setting| *setting == value).map(|setting| Outcome::TimeJump { setting })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contract::quote::decode;
    use crate::engine::decide::Prepared;
    use crate::engine::quote::Position;
    use crate::engine::state::Settings;
    use crate::engine::step::{ArrivalClock, LoggedQuote};
    use crate::engine::time::ArrivalTime;

    fn submit(state: &mut State, id: &str, time: &str) -> Batch {
        let body = format!(
            r#"{{"quote_id":"{id}","submitted_at":"2026-03-02T{time}Z","product":"osago","channel":{{"kind":"web"}},
                "policyholder":{{"last_name":"","first_name":""}}}}"#
        );
        let prepared = Arc::new(Prepared::new(&decode(body.as_bytes(), None).expect("a quote").quote));
        let position = Position { partition: 0, offset: state.next_offset() };
        let input = Input::Quote(LoggedQuote { position, arrival: ArrivalTime(0), clock: ArrivalClock::Event, prepared });
        let mut batch = open(state);
        step(state, &Books::default(), &mut batch, &input).expect("steps");
        batch
    }

    #[test]
    fn a_refusal_is_told_by_its_code_and_value() {
        let told = [Outcome::TooOld { behind_secs: 90_000 }, Outcome::TimeJump { setting: TIME_JUMP_SETTINGS[1] }];
        for outcome in told {
            let (_, reason, _) = refusal(&outcome).expect("refused");
            let value = refusal_value(&outcome).expect("has one");
            assert_eq!(refused(reason, &value), Some(outcome));
        }
        for (reason, value) in [("too_old", ""), ("time_jump", "time.retention_secs"), ("not_json", "1")] {
            assert_eq!(refused(reason, value), None, "{reason}");
        }
    }

    #[test]
    fn a_segment_is_kept_as_long_as_the_state_knows_its_ids() {
        let settings = Settings {
            retention_secs: 60,
            lateness_http_secs: 0,
            lateness_stream_secs: 0,
            max_skew_secs: 0,
            ..Settings::default()
        };
        let mut state = State::new(settings);
        let segment = submit(&mut state, "a", "12:00:10").segment;
        for (others, time, is_known) in
            [(1, "12:01:05", true), (2, "12:01:40", true), (3, "12:01:59", true), (4, "12:02:00", false)]
        {
            submit(&mut state, &format!("b-{others}"), time);
            assert_eq!(state.live_attempts() == others + 1, is_known, "{time}");
            assert_eq!(segment.max_event_time >= open(&state).horizon, is_known, "{time}");
        }
    }
}
