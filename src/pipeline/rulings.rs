//! How a ruling gets into the log, and what its caller is told.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::StoreError;
use super::queue::{Job, Payload, Queue};
use crate::contract::ruling::RulingV1;
use crate::engine::limits::RULINGS_MAX;
use crate::engine::rulings::{Ruling, RulingKind};
use crate::engine::state::State;

/// Where a ruling stands, durable. Given again for the same ruling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruled {
    /// At this offset of the log.
    Log(u64),
    /// At this offset of the control topic.
    Control(u64),
}

/// Why a ruling is not in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRuled {
    #[error("this ruling_id was used for another ruling; give a new ruling a new id")]
    IdReused,
    #[error("{RULINGS_MAX} rulings are in force; repeat when some have ended, or give them earlier ends")]
    TooMany,
    #[error("the ruling cannot be read: {0}")]
    Unreadable(String),
    #[error("it is not known whether the ruling is in the log: {0}; repeat it with the same ruling_id")]
    Unavailable(String),
}

/// The way into the log.
pub trait Rulings: Send + Sync {
    /// Blocks until the ruling is durable.
    ///
    /// # Errors
    /// See [`NotRuled`].
    fn rule(&self, ruling: &RulingV1) -> Result<Ruled, NotRuled>;
}

/// A ruling on its way to the writer.
#[derive(Debug)]
pub struct NewRuling {
    /// Not yet in a place.
    pub ruling: Box<Ruling>,
    pub record: Box<RulingV1>,
    /// Its offset, once it is durable.
    pub reply: oneshot::Sender<Result<u64, NotRuled>>,
}

/// The log of this process.
impl Rulings for Queue {
    fn rule(&self, ruling: &RulingV1) -> Result<Ruled, NotRuled> {
        let away = || NotRuled::Unavailable("the service is stopping".to_owned());
        let (reply, told) = oneshot::channel();
        let record = Box::new(ruling.clone());
        let ruling = Box::new(ruling.ruling(0).map_err(|error| NotRuled::Unreadable(error.to_string()))?);
        self.submit_blocking(Job::control(Payload::Ruling(NewRuling { ruling, record, reply }))).map_err(|_| away())?;
        told.blocking_recv().map_err(|_| away())?.map(Ruled::Log)
    }
}

/// Where the same ruling stands already.
///
/// # Errors
/// Its id was used for another, or there is no room for one more.
pub fn admit(state: &State, ruling: &Ruling) -> Result<Option<u64>, NotRuled> {
    match state.rulings().find(&ruling.tenant, &ruling.id) {
        Some(((at, _), held)) if is_same(ruling, held) => Ok(Some(at)),
        Some(_) => Err(NotRuled::IdReused),
        // An erasure is never refused: it is owed.
        None if state.rulings().len() >= RULINGS_MAX && ruling.kind != RulingKind::Erased => Err(NotRuled::TooMany),
        None => Ok(None),
    }
}

/// Whether the one sent again says the same. Its end may be counted from another moment.
pub fn is_same(again: &Ruling, ruling: &Ruling) -> bool {
    Ruling { until: ruling.until, record: ruling.record, ..again.clone() } == *ruling
}

/// A ruling found in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedRuling {
    pub offset: u64,
    pub json: Vec<u8>,
}

/// What an erasure names: the store empties its copies of these quotes, of those before it in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    pub tenant: Box<str>,
    pub quote_ids: Vec<Box<str>>,
    /// Offset of the erasure.
    pub before: u64,
}

impl Erasure {
    /// `None` for a ruling of another kind.
    pub fn of(record: &RulingV1, ruling: &Ruling) -> Option<Erasure> {
        let quote_ids = || record.quote_ids.iter().map(|id| id.as_str().into()).collect();
        let erasure = || Erasure { tenant: ruling.tenant.clone(), quote_ids: quote_ids(), before: ruling.record };
        (ruling.kind == RulingKind::Erased).then(erasure)
    }
}

/// The ruling of a record at an offset of the log.
///
/// # Errors
/// A newer release wrote it, or the record is damaged.
pub fn read(offset: u64, json: &[u8]) -> Result<(RulingV1, Arc<Ruling>), StoreError> {
    let record = RulingV1::parse(json);
    let read = record.and_then(|record| record.ruling(offset).map(|ruling| (record, Arc::new(ruling))));
    read.map_err(|error| StoreError::Damaged(format!("the record at offset {offset}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::decide::{Books, decide};
    use crate::engine::quote::Position;
    use crate::engine::state::Settings;
    use crate::engine::step::Input;
    use crate::engine::time::EventTime;

    fn ruling(id: usize, kind: RulingKind) -> Ruling {
        let (id, tenant) = (format!("r{id}").into(), "default".into());
        Ruling { id, tenant, case: None, kind, attempts: Box::default(), until: EventTime(7), record: 0 }
    }

    #[test]
    fn a_full_log_takes_erasures_only_and_knows_what_it_has() {
        let mut state = State::new(Settings::default());
        let rulings = (0..RULINGS_MAX).map(|id| Arc::new(ruling(id, RulingKind::ProofRequested))).collect();
        let input = Input::Control { position: Position { partition: 0, offset: 3 }, book: None, rulings };
        let step = decide(&state, &input, &Books::default()).expect("needs no book");
        state.apply(&step.delta).expect("fits");
        let again = Ruling { until: EventTime(8), record: 9, ..ruling(0, RulingKind::ProofRequested) };
        assert_eq!(admit(&state, &again), Ok(Some(3)));
        assert_eq!(admit(&state, &ruling(0, RulingKind::Cleared)), Err(NotRuled::IdReused));
        assert_eq!(admit(&state, &ruling(RULINGS_MAX, RulingKind::Cleared)), Err(NotRuled::TooMany));
        assert_eq!(admit(&state, &ruling(RULINGS_MAX, RulingKind::Erased)), Ok(None));
    }
}
