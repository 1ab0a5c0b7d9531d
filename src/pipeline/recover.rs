//! From what is stored back to the state that wrote it.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use super::books::BookVersion;
use super::rulings::{self, LoggedRuling};
use super::{CheckpointStore, LoggedBook, Segment, StoreError};
use crate::contract::rule_file::from_canonical;
use crate::engine::decide::MissingBook;
use crate::engine::delta::Delta;
use crate::engine::rulings::{Place, Ruling};
use crate::engine::state::{Settings, State};
use crate::engine::time::{ArrivalTime, Arrivals};

pub struct Recovered {
    pub state: State,
    /// Every rule book of the log, oldest first.
    pub books: Vec<BookVersion>,
    /// Of the last record.
    pub arrival: ArrivalTime,
}

/// Every control record of a log, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Logged {
    pub books: Vec<LoggedBook>,
    pub rulings: Vec<LoggedRuling>,
}

/// Applies the kept segments in order.
///
/// # Errors
/// [`StoreError::Damaged`] for a gap, a delta that does not decode, a rule book that no longer compiles, a ruling that cannot be read, or a log and
/// checkpoint that disagree: nothing is guessed.
pub fn recover(logged: Logged, store: &mut dyn CheckpointStore, settings: &Settings) -> Result<Recovered, StoreError> {
    let books = logged.books.into_iter().map(compile).collect::<Result<Vec<_>, _>>()?;
    let ruling = |logged: &LoggedRuling| Ok(((logged.offset, 0), rulings::read(logged.offset, &logged.json)?.1));
    let rulings = logged.rulings.iter().map(ruling).collect::<Result<Vec<_>, StoreError>>()?;
    let (next_offset, arrival) = store.position()?;
    let mut state = load_segments(store, settings, &books, &rulings)?;
    state.loaded();
    if state.next_offset() != next_offset {
        return Err(StoreError::Damaged(format!(
            "the checkpoint ends at offset {}, the log at {next_offset}; run `quoteguard rebuild` to compute it from the log again",
            state.next_offset()
        )));
    }
    check_books(&state, &books)?;
    check_rulings(&state, &rulings)?;
    Ok(Recovered { state, books, arrival })
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
fn load_segments(
    store: &mut dyn CheckpointStore,
    settings: &Settings,
    books: &[BookVersion],
    rulings: &[(Place, Arc<Ruling>)],
) -> Result<State, StoreError> {
    let (sender, receiver) = sync_channel::<Decoded>(DECODED_WAITING_MAX);
    std::thread::scope(|scope| {
        let builder = scope.spawn(move || {
            let mut state = State::new(settings.clone());
            let mut is_first = true;
            for segment in receiver {
                if std::mem::take(&mut is_first) {
                    let before = books.iter().filter(|version| version.offset < segment.from);
                    state.restore(
                        segment.from,
                        Arrivals::default(),
                        before.map(|version| (version.offset, version.book.reference())).collect(),
                    );
                    state.restore_rulings(rulings.iter().filter(|((at, _), _)| *at < segment.from).cloned());
                }
                load(&mut state, &segment)?;
            }
            Ok::<_, StoreError>(state)
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
    let deltas = segment.read().map_err(|error| damaged(segment.from, error.0))?;
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

pub(super) fn compile(logged: LoggedBook) -> Result<BookVersion, StoreError> {
    let LoggedBook { offset, since, by, source } = logged;
    let unreadable = |e: String| StoreError::Damaged(format!("the rule book at offset {offset} does not compile: {e}"));
    let text = std::str::from_utf8(&source).map_err(|e| unreadable(e.to_string()))?;
    let book = from_canonical(text).map_err(|errors| unreadable(join(&errors)))?;
    Ok(BookVersion { book: Arc::new(book), offset, since, by })
}

/// All problems of a rule book as one text.
pub fn join(errors: &[impl std::fmt::Display]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Late quotes are decided under books of long ago: all that were in force must be in the log, and be those of the state.
fn check_books(state: &State, books: &[BookVersion]) -> Result<(), StoreError> {
    let logged: Vec<_> = books.iter().map(|version| (version.offset, version.book.reference())).collect();
    if let Some((_, book)) = state.books().iter().find(|book| !logged.contains(book)) {
        return Err(MissingBook(book.clone()).into());
    }
    // What dropped segments said of rule books is gone with them. Versions count from 1, and a log begins with a book.
    let is_whole = books.iter().zip(1..).all(|(version, number)| version.book.version() == number);
    if is_whole && state.books().len() == logged.len() && (state.next_offset() == 0 || !books.is_empty()) {
        return Ok(());
    }
    Err(StoreError::Damaged("a rule book is missing in the log or in its checkpoint; run `quoteguard rebuild`".to_owned()))
}

/// Those that the checkpoint has brought must be the log's.
fn check_rulings(state: &State, rulings: &[(Place, Arc<Ruling>)]) -> Result<(), StoreError> {
    let is_logged = |place: Place, held: &Arc<Ruling>| {
        rulings.binary_search_by_key(&place, |(place, _)| *place).is_ok_and(|at| rulings[at].1 == *held)
    };
    match state.rulings().iter().find(|(place, held)| !is_logged(*place, held)) {
        None => Ok(()),
        Some(((at, _), _)) => Err(StoreError::Damaged(format!(
            "the log has not the ruling of its checkpoint at offset {at}; run `quoteguard rebuild`"
        ))),
    }
}

fn damaged(from: u64, reason: &str) -> StoreError {
    StoreError::Damaged(format!("segment at offset {from}: {reason}; run `quoteguard rebuild` to compute it from the log again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::rule_file::{canonical_source, shipped};
    use crate::engine::decide::{Books, decide};
    use crate::engine::quote::Position;
    use crate::engine::rules::RuleBook;
    use crate::engine::step::Input;
    use crate::engine::time::EventTime;

    /// A checkpoint of one segment.
    struct One(Segment);

    impl CheckpointStore for One {
        fn segments(&mut self, each: &mut dyn FnMut(Segment) -> Result<(), StoreError>) -> Result<(), StoreError> {
            each(self.0.clone())
        }

        fn position(&mut self) -> Result<(u64, ArrivalTime), StoreError> {
            Ok((self.0.to, ArrivalTime(0)))
        }
    }

    /// Two rule books, one after the other: as the log has them, and as the checkpoint does.
    fn two_books() -> (Vec<LoggedBook>, One) {
        let shipped = shipped();
        let rules: Vec<_> = shipped.rules().cloned().collect();
        let (mut state, mut deltas, mut logged) = (State::new(Settings::default()), Vec::new(), Vec::new());
        for (offset, rules) in (0..).zip([rules[..1].to_vec(), rules]) {
            let book = RuleBook::build(offset as u32 + 1, rules).expect("a book");
            let input =
                Input::Control { position: Position { partition: 0, offset }, book: Some(book.reference()), rulings: Vec::new() };
            let step = decide(&state, &input, &Books::default()).expect("needs no book");
            step.delta.encode(&mut deltas);
            state.apply(&step.delta).expect("fits");
            let (since, by) = (ArrivalTime(0), None);
            logged.push(LoggedBook { offset, since, by, source: canonical_source(&book).into_bytes() });
        }
        (logged, One(Segment { from: 0, to: 2, max_event_time: EventTime(0), deltas }))
    }

    fn only(books: Vec<LoggedBook>) -> Logged {
        Logged { books, rulings: Vec::new() }
    }

    #[test]
    fn the_checkpoint_and_the_log_have_the_same_rule_books() {
        let (logged, mut store) = two_books();
        let recovered = recover(only(logged.clone()), &mut store, &Settings::default()).expect("they agree");
        assert_eq!(recovered.books.len(), 2);
        let moved = LoggedBook { offset: 1, ..logged[0].clone() };
        for books in [vec![], logged[..1].to_vec(), logged[1..].to_vec(), vec![moved, logged[1].clone()]] {
            let offsets: Vec<u64> = books.iter().map(|book| book.offset).collect();
            let refused = recover(only(books), &mut store, &Settings::default()).map(|_| ()).expect_err("one is missing");
            assert!(
                matches!(&refused, StoreError::Damaged(text) if text.contains("run `quoteguard rebuild`")),
                "{offsets:?}: {refused}"
            );
        }
        let more = [logged.clone(), vec![LoggedBook { offset: 2, ..logged[0].clone() }]].concat();
        let refused = recover(only(more), &mut store, &Settings::default()).map(|_| ()).expect_err("one too many");
        assert!(matches!(&refused, StoreError::Damaged(text) if text.contains("run `quoteguard rebuild`")), "{refused}");
    }
}
