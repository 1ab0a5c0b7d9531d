//! Submitters of this instance who wait for the decision on a record of the log.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use crate::engine::state::id_hash;
use crate::pipeline::queue::{Answered, Reply};

/// Submitters held. Beyond: those who have gone are forgotten; those who still wait are bounded by the connections of HTTP.
const WAITERS_MAX: usize = 16_384;

#[derive(Debug)]
struct Waiting {
    reply: Reply,
    /// Of tenant and quote id: a record that only bears the token answers nobody.
    id: u64,
    /// Partition and offset, once the log has told.
    place: Option<(i32, u64)>,
}

/// By the token that the record carries.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<BTreeMap<Box<[u8]>, Waiting>>);

impl Waiters {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Box<[u8]>, Waiting>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn wait(&self, token: &[u8], tenant: &str, quote_id: &str, reply: Reply) {
        let waiting = Waiting { reply, id: id_hash(tenant, quote_id), place: None };
        self.with(|all| {
            if all.len() >= WAITERS_MAX {
                all.retain(|_, waiting| !waiting.reply.sender.is_closed());
            }
            all.insert(token.into(), waiting)
        });
    }

    /// The log has the record: it will be decided. Its place is not told where the broker recognised a second try.
    pub fn logged(&self, token: &[u8], place: Option<(i32, u64)>) {
        self.with(|all| {
            if let Some(waiting) = all.get_mut(token) {
                waiting.place = place;
                waiting.reply.accepted.store(true, Ordering::Release);
            }
        });
    }

    /// Tokens and offsets of the records in a partition that nobody here decides any more.
    pub fn logged_in(&self, partition: i32) -> Vec<(Box<[u8]>, u64)> {
        let offset = |waiting: &Waiting| waiting.place.filter(|(at, _)| *at == partition).map(|(_, offset)| offset);
        self.with(|all| all.iter().filter_map(|(token, waiting)| Some((token.clone(), offset(waiting)?))).collect())
    }

    /// The record was not appended, or nothing is known of it: nobody waits for it any more.
    pub fn forget(&self, token: &[u8]) {
        self.with(|all| all.remove(token));
    }

    /// Answers whoever waits by the token for the quote at `offset`.
    pub fn answer(&self, token: &[u8], id: u64, offset: u64, answer: Answered) {
        let waiting = self.with(|all| {
            let is_his = all.get(token).is_some_and(|waiting| waiting.id == id);
            is_his.then(|| all.remove(token)).flatten()
        });
        if let Some(Waiting { reply: Reply { sender, mark, .. }, .. }) = waiting {
            mark.settle(offset, || sender.send(answer).map_err(|answer| answer.outcome));
        }
    }

    /// The id of the quote that somebody waits for by the token.
    pub fn awaited(&self, token: &[u8]) -> Option<u64> {
        self.with(|all| all.get(token).map(|waiting| waiting.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::step::Outcome;
    use crate::pipeline::queue::bounded_before_log;

    fn applied() -> Answered {
        Answered { outcome: Outcome::Applied, decision: None, text: None }
    }

    #[test]
    fn those_who_have_gone_are_forgotten_at_the_bound() {
        let waiters = Waiters::default();
        let (queue, _jobs) = bounded_before_log(1);
        let (stays, _answer) = queue.reply("t", "stays");
        waiters.wait(b"stays", "t", "stays", stays);
        for number in 0..WAITERS_MAX as u32 {
            let (gone, _) = queue.reply("t", "gone");
            waiters.wait(&number.to_be_bytes(), "t", "gone", gone);
        }
        assert!(waiters.awaited(b"stays").is_some());
        assert_eq!(waiters.with(|all| all.len()), 2, "the last one came after the others went");
    }

    #[test]
    fn a_token_alone_answers_nobody() {
        let waiters = Waiters::default();
        let (queue, _jobs) = bounded_before_log(1);
        let (reply, mut awaited) = queue.reply("t", "mine");
        waiters.wait(b"token", "t", "mine", reply);
        waiters.answer(b"token", id_hash("t", "another"), 7, applied());
        assert!(awaited.answer.try_recv().is_err());
        waiters.answer(b"token", id_hash("t", "mine"), 8, applied());
        assert!(awaited.answer.try_recv().is_ok());
    }

    #[test]
    fn it_is_accepted_once_the_log_has_it() {
        let waiters = Waiters::default();
        let (queue, _jobs) = bounded_before_log(1);
        let (reply, awaited) = queue.reply("t", "q");
        waiters.wait(b"token", "t", "q", reply);
        assert!(!awaited.is_accepted() && waiters.logged_in(3).is_empty());
        waiters.logged(b"token", Some((3, 40)));
        assert!(awaited.is_accepted());
        assert_eq!((waiters.logged_in(3), waiters.logged_in(2)), (vec![(Box::from(*b"token"), 40)], vec![]));
    }
}
