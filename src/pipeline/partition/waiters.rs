//! Submitters of this instance who wait for the decision on a record of the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::pipeline::queue::{Answered, Reply};

/// By the token that the record carries. Bounded by the queue's length: whoever is not in the queue is here.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<HashMap<Box<[u8]>, Reply>>);

impl Waiters {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Box<[u8]>, Reply>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn wait(&self, token: &[u8], reply: Reply) {
        self.with(|waiting| waiting.insert(token.into(), reply));
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
