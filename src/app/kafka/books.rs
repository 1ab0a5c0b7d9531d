//! Rule books of a log in Kafka: bodies in the control topic, in force by a pointer in each partition.

use std::sync::{Arc, OnceLock};

use super::compiled;
use crate::adapters::kafka::{Control, KafkaError, Published};
use crate::contract::rule_file::canonical_source;
use crate::engine::rules::RuleBook;
use crate::engine::time::ArrivalTime;
use crate::pipeline::books::{BookVersion, Change, NotActivated, Publish, Shelf};

/// The control topic, once it is reached.
#[derive(Default)]
pub(super) struct ControlLog(OnceLock<Arc<Control>>);

impl ControlLog {
    pub(super) fn reached(&self, control: Arc<Control>) {
        // A second time it is the same topic.
        let _ = self.0.set(control);
    }

    fn control(&self) -> Result<&Control, NotActivated> {
        self.0.get().map(|control| &**control).ok_or_else(|| NotActivated::Unavailable("kafka was not reached yet".to_owned()))
    }
}

impl Publish for ControlLog {
    fn publish(&self, book: &Arc<RuleBook>, after: u32, by: &str) -> Result<(), NotActivated> {
        let control = self.control()?;
        match control.publish_book(&canonical_source(book), book.hash(), after, by).map_err(away)? {
            Published::Accepted(accepted) => point(control, accepted.offset),
            Published::Overtaken(last) => Err(NotActivated::Overtaken { after, last: last.version }),
        }
    }

    fn catch_up(&self, shelf: &Shelf) {
        let Ok(control) = self.control() else { return };
        if control.last_book().is_none_or(|last| shelf.get(last.version).is_some()) {
            return;
        }
        for found in control.books_up_to(u64::MAX) {
            if shelf.get(found.version).is_some() {
                continue;
            }
            // One that a later version wrote is nothing we can show or compare; the partitions that need it say so.
            let Ok(book) = compiled(&found) else { continue };
            let since = ArrivalTime(found.appended_ms.saturating_mul(1_000));
            shelf.put(BookVersion { book: Arc::new(book), offset: found.offset, since, by: found.by.as_deref().map(Into::into) });
        }
    }

    /// A partition that was not told goes on under the book before until it is.
    fn remind(&self, last: &BookVersion) -> Result<(), NotActivated> {
        point(self.control()?, last.offset)
    }
}

/// Puts the control topic in force up to `offset` in every partition.
fn point(control: &Control, offset: u64) -> Result<(), NotActivated> {
    for partition in 0..control.log().partitions {
        control.publish_pointer(partition.cast_signed(), offset).map_err(|error| {
            NotActivated::Unavailable(format!("the book is in the log, but partition {partition} was not told ({error})"))
        })?;
    }
    Ok(())
}

fn away(error: KafkaError) -> NotActivated {
    NotActivated::Unavailable(error.to_string())
}

/// Puts a book in force that the log has never had, and gives the last one: an instance that starts again with rules of before must
/// not bring them back.
///
/// # Errors
/// The log is away, or has no book and takes none.
pub(super) fn install(
    control: &Arc<Control>,
    shelf: &Shelf,
    rules: &RuleBook,
    four_eyes: bool,
) -> Result<BookVersion, KafkaError> {
    let log = ControlLog::default();
    log.reached(control.clone());
    log.catch_up(shelf);
    let waits = four_eyes && shelf.last().is_some();
    if !waits && !shelf.has(rules.hash()) {
        let change = Change { book: rules.clone(), after: None, by: "start".into() };
        match shelf.activate(change, &log) {
            Ok(_) => {}
            Err(NotActivated::Unavailable(reason)) => return Err(KafkaError::Unavailable(reason)),
            Err(refused) => tracing::error!(%refused, "the rule book given is not put in force; the last one of the log stays"),
        }
        log.catch_up(shelf);
    }
    shelf.last().ok_or_else(|| KafkaError::Refused("the control topic has no rule book that this version can read".to_owned()))
}
