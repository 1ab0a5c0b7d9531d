//! Tells those who read the log beside its writer that there is more of it.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts commits.
#[derive(Debug, Default)]
pub struct Committed {
    count: Mutex<u64>,
    more: Condvar,
}

impl Committed {
    pub fn tell(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.more.notify_all();
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there were other commits than `seen`, at most so long; gives how many there are now.
    pub fn wait(&self, seen: u64, most: Duration) -> u64 {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.more.wait_timeout_while(count, most, |count| *count == seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
