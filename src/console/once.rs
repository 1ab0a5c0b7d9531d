//! Forms that count once: a second click on the same form does nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_128;

/// Forms remembered. Beyond: the oldest is forgotten, and would count again.
const FORMS_MAX: usize = 4_096;

#[derive(Default)]
pub struct Once(Mutex<VecDeque<u128>>);

impl Once {
    /// Whether this key comes for the first time.
    pub fn is_first(&self, key: &str) -> bool {
        let hash = xxh3_128(key.as_bytes());
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(&hash) {
            return false;
        }
        if seen.len() == FORMS_MAX {
            seen.pop_front();
        }
        seen.push_back(hash);
        true
    }

    /// What it announced did not happen.
    pub fn forget(&self, key: &str) {
        let hash = xxh3_128(key.as_bytes());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|seen| *seen != hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_counts_once_unless_it_failed() {
        let once = Once::default();
        assert!(once.is_first("a") && !once.is_first("a") && once.is_first("b"));
        once.forget("a");
        assert!(once.is_first("a"));
        for i in 0..FORMS_MAX {
            once.is_first(&i.to_string());
        }
        assert!(once.is_first("a"), "the oldest are forgotten");
    }
}
