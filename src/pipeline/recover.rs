//! From what is stored back to the state that wrote it.

use std::sync::mpsc::sync_channel;

use super::{LoggedBook, Recovery, Segment, StoreError};
use crate::contract::rule_file::from_canonical;
use crate::engine::decision::RuleBookRef;
use crate::engine::delta::Delta;
use crate::engine::rules::RuleBook;
use crate::engine::state::{Settings, State};
use crate::engine::time::{ArrivalTime, Arrivals};

pub struct Recovered {
    pub state: State,
    /// Every rule book of the log, oldest first.
    pub books: Vec<RuleBook>,
    /// Of the last record.
    pub arrival: ArrivalTime,
}

/// Applies the kept segments in order.
///
/// # Errors
/// [`StoreError::Damaged`] for a gap, a delta that does not decode, a rule book that no longer compiles, or a log and
/// checkpoint that disagree: nothing is guessed.
pub fn recover(store: &mut dyn Recovery, settings: &Settings) -> Result<Recovered, StoreError> {
    let books = store.rule_books()?.into_iter().map(compile).collect::<Result<Vec<_>, _>>()?;
    let (next_offset, arrival) = store.position()?;
    let mut state = load_segments(store, settings, &books)?;
    state.loaded();
    if state.next_offset() != next_offset {
        return Err(StoreError::Damaged(format!(
            "the checkpoint ends at offset {}, the log at {next_offset}; restore a whole copy of the file",
            state.next_offset()
        )));
    }
    check_book(&state, &books)?;
    Ok(Recovered { state, books: books.into_iter().map(|(_, book)| book).collect(), arrival })
}

/// A segment with its deltas read.
struct Decoded {
    from: u64,
    to: u64,
    deltas: Vec<Delta>,
}

/// Segments on their way from the reader to the state; a full channel makes the reader wait.
const DECODED_WAITING_MAX: usize = 64;

/// Reads and decodes on this thread, builds the state on another.
fn load_segments(store: &mut dyn Recovery, settings: &Settings, books: &[(u64, RuleBook)]) -> Result<State, StoreError> {
    let (sender, receiver) = sync_channel::<Decoded>(DECODED_WAITING_MAX);
    std::thread::scope(|scope| {
        let builder = scope.spawn(move || {
            let mut state = State::new(settings.clone());
            let mut is_first = true;
            for segment in receiver {
                if std::mem::take(&mut is_first) {
                    let before = books.iter().filter(|(offset, _)| *offset < segment.from);
                    state.restore(
                        segment.from,
                        Arrivals::default(),
                        before.map(|(offset, book)| (*offset, book.reference())).collect(),
                    );
                }
                load(&mut state, &segment)?;
            }
            Ok(state)
        });
        // A builder that stopped has the better reason: it is asked first.
        let read = store.segments(&mut |segment| {
            let decoded = decode(&segment)?;
            sender.send(decoded).map_err(|_| damaged(segment.from, "it could not be loaded"))
        });
        drop(sender);
        let state = builder.join().map_err(|_| StoreError::Damaged("loading the state failed".to_owned()))??;
        read.map(|()| state)
    })
}

fn decode(segment: &Segment) -> Result<Decoded, StoreError> {
    let mut bytes = segment.deltas.as_slice();
    let mut deltas = Vec::new();
    while !bytes.is_empty() {
        deltas.push(Delta::decode(&mut bytes).map_err(|e| damaged(segment.from, e.0))?);
    }
    Ok(Decoded { from: segment.from, to: segment.to, deltas })
}

fn load(state: &mut State, segment: &Decoded) -> Result<(), StoreError> {
    if state.next_offset() != segment.from {
        return Err(damaged(segment.from, "the segment before it is missing"));
    }
    for delta in &segment.deltas {
        if delta.from != state.next_offset() {
            return Err(damaged(segment.from, "a record is missing in it"));
        }
        state.load(delta);
    }
    if state.next_offset() != segment.to {
        return Err(damaged(segment.from, "it does not end where it says"));
    }
    if state.is_over_cap() {
        state.loaded(); // Keeps a capped state capped while it loads.
    }
    Ok(())
}

fn compile(logged: LoggedBook) -> Result<(u64, RuleBook), StoreError> {
    let LoggedBook { offset, source } = logged;
    let unreadable = |e: String| StoreError::Damaged(format!("the rule book at offset {offset} does not compile: {e}"));
    let text = std::str::from_utf8(&source).map_err(|e| unreadable(e.to_string()))?;
    let book = from_canonical(text).map_err(|errors| unreadable(join(&errors)))?;
    Ok((offset, book))
}

/// All problems of a rule book as one text.
pub fn join(errors: &[impl std::fmt::Display]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The state's last word on rules and the log's must be the same.
fn check_book(state: &State, books: &[(u64, RuleBook)]) -> Result<(), StoreError> {
    let logged: Option<RuleBookRef> = books.last().map(|(_, book)| book.reference());
    if state.rule_book() == logged.as_ref() {
        return Ok(());
    }
    Err(StoreError::Damaged("the rule book in force is not the last one of the log; restore a whole copy of the file".to_owned()))
}

fn damaged(from: u64, reason: &str) -> StoreError {
    StoreError::Damaged(format!("segment at offset {from}: {reason}; restore a whole copy of the file"))
}
