//! Submitters of this instance who wait for the decision on a record of the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::pipeline::queue::{Answered, Reply};

/// Submitters held. Beyond: those who have gone are forgotten; those who still wait are bounded by the connections of HTTP.
const WAITERS_MAX: usize = 16_384;

/// By the token that the record carries.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<HashMap<Box<[u8]>, Reply>>);

impl Waiters {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Box<[u8]>, Reply>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn wait(&self, token: &[u8], reply: Reply) {
        self.with(|waiting| {
            if waiting.len() >= WAITERS_MAX {
                waiting.retain(|_, reply| !reply.sender.is_closed());
            }
            waiting.insert(token.into(), reply)
        });
    }

    /// The record was not appended: nobody waits for it any more.
    pub fn forget(&self, token: &[u8]) {
        self.with(|waiting| waiting.remove(token));
    }

    pub fn answer(&self, token: &[u8], offset: u64, answer: Answered) {
        if let Some(Reply { sender, mark }) = self.with(|waiting| waiting.remove(token)) {
            mark.settle(offset, || sender.send(answer).map_err(|answer| answer.outcome));
        }
    }

    pub fn is_waiting(&self, token: &[u8]) -> bool {
        self.with(|waiting| waiting.contains_key(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::queue::bounded;

    #[test]
    fn those_who_have_gone_are_forgotten_at_the_bound() {
        let waiters = Waiters::default();
        let (queue, _jobs) = bounded(1);
        let (stays, _answer) = queue.reply("t", "stays");
        waiters.wait(b"stays", stays);
        for number in 0..WAITERS_MAX as u32 {
            let (gone, _) = queue.reply("t", "gone");
            waiters.wait(&number.to_be_bytes(), gone);
        }
        assert!(waiters.is_waiting(b"stays"));
        assert_eq!(waiters.with(|waiting| waiting.len()), 2, "the last one came after the others went");
    }
}
