//! Compiled rule books by content: the newest are held, and older ones found again when a late quote needs them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use super::rules::RuleBook;

/// Compiled books that are held where others can be found again. Beyond: the oldest is let go.
pub const BOOKS_HELD_MAX: usize = 16;

/// The book with a content hash, as it was added: the same for ever.
pub type Find = Arc<dyn Fn(u64) -> Option<Arc<RuleBook>> + Send + Sync>;

#[derive(Clone, Default)]
pub struct Held {
    /// Every book ever added; empty where it was let go and not asked for since.
    by_hash: BTreeMap<u64, OnceLock<Arc<RuleBook>>>,
    /// Hashes of those added last, oldest first.
    newest: VecDeque<u64>,
    find: Option<Find>,
}

impl Held {
    /// From now on a book may be let go, for it can be found again.
    pub fn found_by(&mut self, find: Find) {
        self.find = Some(find);
        self.let_go();
    }

    pub fn add(&mut self, book: Arc<RuleBook>) {
        let hash = book.hash();
        self.by_hash.insert(hash, OnceLock::from(book));
        self.newest.retain(|held| *held != hash);
        self.newest.push_back(hash);
        self.let_go();
    }

    pub fn get(&self, hash: u64) -> Option<&Arc<RuleBook>> {
        let held = self.by_hash.get(&hash)?;
        if let Some(book) = held.get() {
            return Some(book);
        }
        let found = self.find.as_ref()?(hash)?;
        Some(held.get_or_init(|| found))
    }

    fn let_go(&mut self) {
        if self.find.is_none() || self.by_hash.len() <= BOOKS_HELD_MAX {
            return;
        }
        let over = self.newest.len().saturating_sub(BOOKS_HELD_MAX);
        self.newest.drain(..over);
        for (hash, held) in &mut self.by_hash {
            if !self.newest.contains(hash) {
                held.take();
            }
        }
    }

    /// Compiled books in memory.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.by_hash.values().filter(|held| held.get().is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rules::RuleSource;

    #[test]
    fn the_newest_are_held_and_the_others_found_again() {
        let book = |title: usize| {
            let rule = RuleSource {
                id: "a".into(),
                version: 1,
                title: title.to_string().into(),
                owner: "tests".into(),
                reason_code: "A".into(),
                when: "attempts(duration(\"1h\")) >= 2".into(),
                then: crate::engine::decision::Verdict::Flag,
                underwriter: "a".into(),
                ..RuleSource::default()
            };
            Arc::new(RuleBook::build(1, vec![rule]).expect("sound"))
        };
        let books: Vec<_> = (0..3 * BOOKS_HELD_MAX).map(book).collect();
        let mut held = Held::default();
        books.iter().for_each(|book| held.add(book.clone()));
        assert_eq!(held.count(), books.len(), "nobody could find them again");
        let all = books.clone();
        held.found_by(Arc::new(move |hash| all.iter().find(|book| book.hash() == hash).cloned()));
        assert_eq!(held.count(), BOOKS_HELD_MAX);
        for book in &books {
            assert_eq!(held.get(book.hash()).map(|found| found.hash()), Some(book.hash()));
        }
        assert_eq!(held.count(), books.len(), "as long as nothing is added");
        held.add(books[0].clone());
        assert_eq!(held.count(), BOOKS_HELD_MAX);
        assert!(held.newest.contains(&books[0].hash()) && held.get(1).is_none());
    }
}
