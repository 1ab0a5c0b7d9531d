//! Rule books and rulings of a log in Kafka: bodies in the control topic, in force by a pointer in each partition that they concern.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use super::super::commands::Given;
use super::super::service::no_rules;
use super::{compiled, ruling};
use crate::adapters::kafka::{Control, ControlBook, KafkaError, Published};
use crate::contract::rule_file::canonical_source;
use crate::contract::ruling::RulingV1;
use crate::engine::limits::RULINGS_MAX;
use crate::engine::rules::RuleBook;
use crate::engine::rulings::{Ruling, RulingKind};
use crate::engine::time::ArrivalTime;
use crate::fault;
use crate::pipeline::Clock;
use crate::pipeline::books::{Admitted, BookVersion, Change, NotActivated, Proposal, Publish, Shelf};
use crate::pipeline::clock::SystemClock;
use crate::pipeline::partitioner::partition_of;
use crate::pipeline::rulings::{NotRuled, Ruled, Rulings, is_same};

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
            Published::Accepted(accepted) => {
                fault::point("book_published");
                point(control, accepted.offset)
            }
            Published::Overtaken(last) => Err(NotActivated::Overtaken { after, last: last.version }),
        }
    }

    fn propose(&self, book: &Arc<RuleBook>, after: u32, by: &str) -> Result<(), NotActivated> {
        let overtaken = self.control()?.publish_proposal(&canonical_source(book), book.hash(), after, by).map_err(away)?;
        overtaken.map_or(Ok(()), |last| Err(NotActivated::Overtaken { after, last: last.version }))
    }

    fn catch_up(&self, shelf: &Shelf) {
        let Ok(control) = self.control() else { return };
        let known = shelf.last().map_or(0, |last| last.book.version());
        control.books_after(known).iter().filter_map(version).for_each(|book| shelf.put(book));
        let is_new = |found: &ControlBook| !shelf.is_proposed(&found.reference(), found.by.as_deref().unwrap_or_default());
        let proposed = control.proposals();
        proposed.iter().filter(|found| is_new(found)).filter_map(version).for_each(|book| shelf.suggest(Proposal::of(book)));
    }

    /// A partition that was not told goes on under the book before until it is.
    fn remind(&self, last: &BookVersion) -> Result<(), NotActivated> {
        point(self.control()?, last.offset)
    }
}

impl Rulings for ControlLog {
    fn rule(&self, record: &RulingV1) -> Result<Ruled, NotRuled> {
        let control = self.0.get().ok_or_else(|| NotRuled::Unavailable("kafka was not reached yet".to_owned()))?;
        let away = |error: KafkaError| NotRuled::Unavailable(error.to_string());
        let unreadable = |error: String| NotRuled::Unreadable(error);
        let wanted = record.ruling(0).map_err(|error| unreadable(error.to_string()))?;
        let offset = match earlier(control, &wanted)? {
            Some(offset) => offset,
            None => {
                let json = serde_json::to_value(record).map_err(|error| unreadable(error.to_string()))?;
                control.publish_ruling(json).map_err(away)?;
                // Of two who sent it at once, the first counts.
                earlier(control, &wanted)?.ok_or_else(|| NotRuled::Unavailable("the ruling was not read back".to_owned()))?
            }
        };
        let partitions = NonZeroU32::new(control.log().partitions);
        let partition = partitions.map_or(0, |partitions| partition_of(wanted.tenant.as_bytes(), partitions));
        control.publish_pointer(partition.cast_signed(), offset).map_err(away)?;
        Ok(Ruled::Control(offset))
    }
}

/// Where the ruling is in the control topic, if it is there.
///
/// # Errors
/// Its id is another ruling's, or there is no room for one more.
fn earlier(control: &Control, wanted: &Ruling) -> Result<Option<u64>, NotRuled> {
    let now = SystemClock.now().0;
    let mut in_force = 0;
    for record in control.rulings_between(None, u64::MAX) {
        // What a newer release wrote is nothing that we can compare.
        let Ok(found) = ruling(&record) else { continue };
        if found.id == wanted.id && found.tenant == wanted.tenant {
            return if is_same(wanted, &found) { Ok(Some(record.offset)) } else { Err(NotRuled::IdReused) };
        }
        in_force += usize::from(found.until.0 > now);
    }
    let is_full = in_force >= RULINGS_MAX && wanted.kind != RulingKind::Erased;
    if is_full { Err(NotRuled::TooMany) } else { Ok(None) }
}

/// `None` for one that a later version of quoteguard wrote: it is nothing we can show or compare; the partitions that need it say so.
fn version(found: &ControlBook) -> Option<BookVersion> {
    let book = Arc::new(compiled(found).ok()?);
    let since = ArrivalTime(found.appended_ms.saturating_mul(1_000));
    Some(BookVersion { book, offset: found.offset, since, by: found.by.as_deref().map(Into::into) })
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
pub(super) fn install(control: &Arc<Control>, shelf: &Shelf, rules: &Given, four_eyes: bool) -> Result<BookVersion, KafkaError> {
    let log = ControlLog::default();
    log.reached(control.clone());
    log.catch_up(shelf);
    let waits = four_eyes && shelf.last().is_some();
    if let Ok(rules) = rules.as_ref()
        && !waits
        && !shelf.has(rules.hash())
    {
        let activate = |admitted: Admitted| {
            admitted.tell();
            // With what the breaker took out left out, the log may have had it.
            let is_known = shelf.has(admitted.book.hash());
            let change = Change { book: admitted.book, after: None, by: "start".into() };
            if is_known { Ok(()) } else { shelf.activate(change, &log).map(drop) }
        };
        match shelf.admit(rules.clone()).and_then(activate) {
            Ok(()) => {}
            Err(NotActivated::Unavailable(reason)) => return Err(KafkaError::Unavailable(reason)),
            Err(refused) => tracing::error!(%refused, "the rule book given is not put in force; the last one of the log stays"),
        }
        log.catch_up(shelf);
    }
    shelf.last().ok_or_else(|| match rules {
        Ok(_) => KafkaError::Refused("the control topic has no rule book that this version can read".to_owned()),
        Err(reason) => KafkaError::Refused(no_rules(reason).to_string()),
    })
}
