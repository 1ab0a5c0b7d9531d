//! From the log alone: decisions and checkpoint computed again, into an empty store.

use std::sync::Arc;

use super::batch::{self, dead_letter};
use super::recover::compile;
use super::rulings;
use super::writer::WriterError;
use super::{BATCH_DECISIONS_MAX, BATCH_MAX, Batch, DeadLetter, Log, LogRecord, LoggedBook, RecordKind, Store, StoreError};
use crate::contract::quote::decode;
use crate::engine::decide::{Books, Prepared};
use crate::engine::quote::Position;
use crate::engine::state::State;
use crate::engine::step::{Input, LoggedQuote};

/// What was computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    pub records: u64,
    /// Amendments included.
    pub decisions: u64,
    /// Quotes of the log that no longer decode: they keep their place, with a dead letter that says why.
    pub unreadable: u64,
}

/// Every record through the engine again, with its stored arrival and the rule books of the log. `progress` is told how many
/// records each page had.
///
/// # Errors
/// A log with a hole, or with a rule book that is missing or does not compile, and whatever the store says: nothing is tried twice.
pub fn rebuild(log: &mut dyn Log, store: &mut dyn Store, mut progress: impl FnMut(u64)) -> Result<Rebuilt, WriterError> {
    let mut state = State::new(log.settings().clone());
    let (mut books, mut rebuilt) = (Books::default(), Rebuilt::default());
    loop {
        let page = log.page(BATCH_MAX)?;
        if page.is_empty() {
            return Ok(rebuilt);
        }
        progress(page.len() as u64);
        let mut batch = batch::open(&state);
        for record in page {
            let input = input(&record, &state, &mut books, &mut batch)?;
            rebuilt.records += 1;
            rebuilt.unreadable += u64::from(record.kind == RecordKind::Quote && matches!(input, Input::Skipped { .. }));
            let step = batch::step(&mut state, &books, &mut batch, &input)?;
            batch.dead_letters.extend(dead_letter(record.offset, &step.outcome));
            batch.records.push(record);
            if batch.decisions.len() >= BATCH_DECISIONS_MAX {
                rebuilt.decisions += commit(store, std::mem::replace(&mut batch, batch::open(&state)))?;
            }
        }
        rebuilt.decisions += commit(store, batch)?;
    }
}

/// Returns the number of decisions.
fn commit(store: &mut dyn Store, batch: Batch) -> Result<u64, StoreError> {
    if !batch.records.is_empty() {
        store.commit(&batch)?;
    }
    Ok(batch.decisions.len() as u64)
}

fn input(record: &LogRecord, state: &State, books: &mut Books, batch: &mut Batch) -> Result<Input, StoreError> {
    let position = Position { partition: state.settings().partition, offset: record.offset };
    let next_version = state.rule_book().map_or(1, |book| book.version + 1);
    match record.kind {
        RecordKind::Skipped => Ok(Input::Skipped { position }),
        RecordKind::RuleBook => {
            let LogRecord { offset, arrival: since, client: by, body: source, .. } = record.clone();
            let book = compile(LoggedBook { offset, since, by, source })?.book;
            if book.version() != next_version {
                return Err(lacks_book(next_version, record.offset));
            }
            let reference = book.reference();
            books.add(book);
            Ok(Input::Control { position, book: Some(reference), rulings: Vec::new() })
        }
        // What was erased is empty in the log already.
        RecordKind::Ruling => {
            let (_, ruling) = rulings::read(record.offset, &record.body)?;
            Ok(Input::Control { position, book: None, rulings: vec![ruling] })
        }
        RecordKind::Quote if state.rule_book().is_none() => Err(lacks_book(next_version, record.offset)),
        RecordKind::Quote => match decode(&record.body, Some(&record.tenant)) {
            Ok(decoded) => {
                let prepared = Arc::new(Prepared::new(&decoded.quote));
                Ok(Input::Quote(LoggedQuote { position, arrival: record.arrival, clock: record.clock, prepared }))
            }
            Err(error) => {
                batch.dead_letters.push(DeadLetter {
                    offset: record.offset,
                    reason: error.kind.name(),
                    pointer: error.pointer().unwrap_or_default().to_owned(),
                    error: error.to_string(),
                    file: None,
                    raw: Vec::new(),
                });
                Ok(Input::Skipped { position })
            }
        },
    }
}

/// Deciding under another book than was in force would make up a past.
fn lacks_book(version: u32, before: u64) -> StoreError {
    StoreError::Damaged(format!(
        "the log has no rule book of version {version} before offset {before}; restore a whole copy of the file"
    ))
}
