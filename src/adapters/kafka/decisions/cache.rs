//! The newest decisions by quote and by the record they answer, bounded, and who waits for one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::oneshot;

use crate::contract::kafka as headers;

/// Decisions held. Beyond: the one that came first goes.
const HELD_MAX: usize = 65_536;
/// Bytes of their values. Beyond: the same.
const HELD_BYTES_MAX: usize = 128 << 20;
/// Records that are waited for. Beyond: the waiter that came last is sent away.
const WAITERS_MAX: usize = 16_384;

/// Refusals held for those who learn of their record's place a moment later. Beyond: the one that came first goes.
const REFUSED_MAX: usize = 256;

/// One record of `decisions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedDecision {
    /// Of `quotes` and `decisions` alike.
    pub partition: i32,
    pub tenant: Box<str>,
    pub quote_id: Box<str>,
    /// Of the decided quote.
    pub source_offset: u64,
    /// Of the record whose step emitted it.
    pub cause_offset: u64,
    pub revision: u32,
    /// The record that it answers, where that is not the decided quote itself.
    pub answers: Option<u64>,
    /// Why that record was refused.
    pub rejected: Option<Box<str>>,
    /// DecisionV1.
    pub value: Box<[u8]>,
}

/// What became of a record that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Published(Arc<PublishedDecision>),
    /// It is among the dead letters: reason code, and what the error speaks of.
    Refused {
        reason: Box<str>,
        value: Box<str>,
    },
}

#[derive(Deserialize)]
struct Names {
    tenant: Box<str>,
    quote_id: Box<str>,
}

impl PublishedDecision {
    /// `None` for what is not a decision with our headers.
    pub fn read<'a>(
        partition: i32,
        header: impl Fn(&str) -> Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    ) -> Option<PublishedDecision> {
        let text = |name: &str| std::str::from_utf8(header(name)?).ok();
        let value = value?;
        let Names { tenant, quote_id } = serde_json::from_slice(value).ok()?;
        let answered = |text: &str| {
            let (of, offset) = text.split_once('/')?;
            (of.parse() == Ok(partition)).then(|| offset.parse().ok()).flatten()
        };
        Some(PublishedDecision {
            partition,
            tenant,
            quote_id,
            source_offset: text(headers::SOURCE_OFFSET)?.parse().ok()?,
            cause_offset: text(headers::CAUSE_OFFSET)?.parse().ok()?,
            revision: text(headers::REVISION)?.parse().ok()?,
            answers: text(headers::ANSWERS).and_then(answered),
            rejected: text(headers::REJECTED).map(Into::into),
            value: value.into(),
        })
    }

    /// Offset of the record that waits for it; `None` for an amendment, which nobody waits for.
    fn answered(&self) -> Option<u64> {
        self.answers.or_else(|| (self.cause_offset == self.source_offset).then_some(self.source_offset))
    }
}

#[derive(Default)]
pub(super) struct Cache {
    /// By tenant and quote id.
    newest: HashMap<(Box<str>, Box<str>), Arc<PublishedDecision>>,
    /// By partition and offset of the record answered.
    answers: BTreeMap<(i32, u64), Arc<PublishedDecision>>,
    waiters: BTreeMap<(i32, u64), Vec<oneshot::Sender<Told>>>,
    /// In order of coming.
    held: VecDeque<Arc<PublishedDecision>>,
    refused: VecDeque<((i32, u64), Told)>,
    held_bytes: usize,
}

impl Cache {
    pub fn take(&mut self, published: Arc<PublishedDecision>) {
        if let Some(offset) = published.answered() {
            let place = (published.partition, offset);
            self.tell(place, &Told::Published(published.clone()));
            self.answers.insert(place, published.clone());
        }
        let key = (published.tenant.clone(), published.quote_id.clone());
        let rank = |published: &PublishedDecision| (published.source_offset, published.revision);
        if self.newest.get(&key).is_none_or(|held| rank(held) <= rank(&published)) {
            self.newest.insert(key, published.clone());
        }
        self.held_bytes += published.value.len();
        self.held.push_back(published);
        while self.held.len() > HELD_MAX || self.held_bytes > HELD_BYTES_MAX {
            self.forget_first();
        }
    }

    /// The record at this place of `quotes` was refused.
    pub fn refuse(&mut self, partition: i32, offset: u64, reason: &str, value: &str) {
        let told = Told::Refused { reason: reason.into(), value: value.into() };
        self.tell((partition, offset), &told);
        if self.refused.len() == REFUSED_MAX {
            self.refused.pop_front();
        }
        self.refused.push_back(((partition, offset), told));
    }

    fn tell(&mut self, place: (i32, u64), told: &Told) {
        for waiter in self.waiters.remove(&place).unwrap_or_default() {
            // It may have gone away.
            let _ = waiter.send(told.clone());
        }
    }

    fn forget_first(&mut self) {
        let Some(first) = self.held.pop_front() else { return };
        self.held_bytes -= first.value.len();
        let key = (first.tenant.clone(), first.quote_id.clone());
        if self.newest.get(&key).is_some_and(|held| Arc::ptr_eq(held, &first)) {
            self.newest.remove(&key);
        }
        if let Some(place) = first.answered().map(|offset| (first.partition, offset))
            && self.answers.get(&place).is_some_and(|held| Arc::ptr_eq(held, &first))
        {
            self.answers.remove(&place);
        }
    }

    pub fn newest(&self, tenant: &str, quote_id: &str) -> Option<Arc<PublishedDecision>> {
        self.newest.get(&(tenant.into(), quote_id.into())).cloned()
    }

    pub fn answer(&mut self, partition: i32, offset: u64) -> oneshot::Receiver<Told> {
        let (tell, told) = oneshot::channel();
        let place = (partition, offset);
        if let Some(published) = self.answers.get(&place) {
            let _ = tell.send(Told::Published(published.clone()));
            return told;
        }
        if let Some((_, refused)) = self.refused.iter().find(|(refused, _)| *refused == place) {
            let _ = tell.send(refused.clone());
            return told;
        }
        if self.waiters.len() >= WAITERS_MAX {
            self.waiters.retain(|_, waiters| {
                waiters.retain(|waiter| !waiter.is_closed());
                !waiters.is_empty()
            });
        }
        if self.waiters.len() < WAITERS_MAX {
            self.waiters.entry(place).or_default().push(tell);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(id: &str, source: u64, cause: u64, revision: u32, answers: Option<&str>) -> Arc<PublishedDecision> {
        let numbers = [(headers::SOURCE_OFFSET, source), (headers::CAUSE_OFFSET, cause), (headers::REVISION, revision.into())];
        let mut all: Vec<(&str, Vec<u8>)> = numbers.map(|(name, number)| (name, number.to_string().into_bytes())).to_vec();
        all.extend(answers.map(|answers| (headers::ANSWERS, answers.as_bytes().to_vec())));
        let value = format!(r#"{{"tenant":"t","quote_id":"{id}","revision":{revision}}}"#);
        let header = |name: &str| all.iter().find(|(key, _)| *key == name).map(|(_, value)| &value[..]);
        Arc::new(PublishedDecision::read(1, header, Some(value.as_bytes())).expect("a decision"))
    }

    #[test]
    fn what_is_no_decision_is_not_taken() {
        assert_eq!(PublishedDecision::read(0, |_| None, Some(br#"{"tenant":"t","quote_id":"q"}"#)), None);
        assert_eq!(PublishedDecision::read(0, |_| Some(b"1"), None), None);
        assert_eq!(PublishedDecision::read(0, |_| Some(b"1"), Some(b"{}")), None);
        assert_eq!(PublishedDecision::read(0, |_| Some(b"\xff"), Some(br#"{"tenant":"t","quote_id":"q"}"#)), None);
    }

    #[test]
    fn the_newest_revision_of_the_newest_quote_counts() {
        let mut cache = Cache::default();
        for (source, cause, revision) in [(5, 5, 1), (5, 9, 3), (5, 7, 2), (2, 2, 1)] {
            cache.take(published("q", source, cause, revision, None));
        }
        assert_eq!(cache.newest("t", "q").map(|held| (held.source_offset, held.revision)), Some((5, 3)));
        assert_eq!(cache.newest("u", "q"), None);
        cache.take(published("q", 20, 20, 1, None));
        assert_eq!(cache.newest("t", "q").map(|held| held.source_offset), Some(20));
    }

    #[test]
    fn whoever_waits_is_told_before_and_after() {
        let mut cache = Cache::default();
        let mut early = cache.answer(1, 8);
        let mut other = cache.answer(0, 8);
        cache.take(published("q", 5, 8, 2, None));
        assert!(early.try_recv().is_err(), "an amendment answers nobody");
        cache.take(published("q", 5, 8, 2, Some("0/8")));
        assert!(early.try_recv().is_err(), "it answers another partition's record");
        let duplicate = published("q", 5, 8, 2, Some("1/8"));
        cache.take(duplicate.clone());
        assert_eq!(early.try_recv().ok(), Some(Told::Published(duplicate.clone())));
        assert_eq!(cache.answer(1, 8).try_recv().ok(), Some(Told::Published(duplicate)));
        let own = published("p", 9, 9, 1, None);
        cache.take(own.clone());
        assert_eq!(cache.answer(1, 9).try_recv().ok(), Some(Told::Published(own)));
        assert!(other.try_recv().is_err());
    }

    #[test]
    fn a_refusal_is_told_before_and_after() {
        let mut cache = Cache::default();
        let refused = Told::Refused { reason: "too_old".into(), value: "90000".into() };
        let mut early = cache.answer(1, 8);
        cache.refuse(1, 8, "too_old", "90000");
        assert_eq!(early.try_recv().ok(), Some(refused.clone()));
        assert_eq!(cache.answer(1, 8).try_recv().ok(), Some(refused));
        for offset in 0..REFUSED_MAX as u64 {
            cache.refuse(0, offset, "too_old", "1");
        }
        assert!(cache.answer(1, 8).try_recv().is_err(), "forgotten");
        assert_eq!(cache.refused.len(), REFUSED_MAX);
    }

    #[test]
    fn it_is_bounded() {
        let mut cache = Cache::default();
        for offset in 0..HELD_MAX as u64 + 10 {
            cache.take(published(&offset.to_string(), offset, offset, 1, None));
        }
        assert_eq!((cache.held.len(), cache.newest.len(), cache.answers.len()), (HELD_MAX, HELD_MAX, HELD_MAX));
        assert_eq!(cache.newest("t", "9"), None);
        assert!(cache.newest("t", "10").is_some());
        let mut waiting: Vec<_> = (0..WAITERS_MAX as u64).map(|offset| cache.answer(2, offset)).collect();
        assert!(matches!(cache.answer(2, u64::MAX).try_recv(), Err(oneshot::error::TryRecvError::Closed)), "one too many");
        waiting.truncate(5);
        assert!(matches!(cache.answer(2, u64::MAX).try_recv(), Err(oneshot::error::TryRecvError::Empty)), "the others are gone");
        assert_eq!(cache.waiters.len(), 6);
    }
}
