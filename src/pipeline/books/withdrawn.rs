//! What the circuit breaker or a rollback took out of force. The folder may still hold it: saving something else there does not bring
//! it back.

use std::collections::BTreeMap;

use super::{BookVersion, NotActivated, is_breaker, is_folder};
use crate::engine::rules::{Mode, RuleBook, RuleSource};

/// A book as it may take effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    pub book: RuleBook,
    /// Rules that it would make live and that stay in shadow.
    pub held: Vec<Box<str>>,
}

impl Admitted {
    /// Says in the log what is not as the files say.
    pub fn tell(&self) {
        if !self.held.is_empty() {
            let rules = self.held.join(", ");
            tracing::warn!(
                rules,
                "the circuit breaker put these in shadow, and they stay there; their next `version` makes them live"
            );
        }
    }
}

#[derive(Default)]
pub(super) struct Withdrawn {
    /// By rule: what it said, its mode aside, when the breaker put it in shadow.
    tripped: BTreeMap<Box<str>, u64>,
    /// By part of the book: what it said until a rollback; `None` where it was not there.
    rolled_back: BTreeMap<Box<str>, Option<u64>>,
}

impl Withdrawn {
    /// A version of the log, the one before it, and whether the log has had its content already.
    pub(super) fn follow(&mut self, before: Option<&BookVersion>, now: &BookVersion, is_again: bool) {
        for (rule, content) in now.book.contents().filter(|(rule, _)| rule.mode == Mode::Live) {
            if self.tripped.get(&rule.id) == Some(&content) {
                self.tripped.remove(&rule.id);
            }
        }
        if !self.rolled_back.is_empty() {
            let parts = now.book.parts();
            self.rolled_back.retain(|name, said| parts.get(name) != said.as_ref());
        }
        let Some(before) = before else { return };
        let by = |version: &BookVersion, is: fn(&str) -> bool| version.by.as_deref().is_some_and(is);
        if by(now, is_breaker) {
            let shadowed = |rule: &str| now.book.rule(rule).is_some_and(|rule| rule.mode == Mode::Shadow);
            let tripped = before.book.contents().filter(|(rule, _)| rule.mode == Mode::Live && shadowed(&rule.id));
            self.tripped.extend(tripped.map(|(rule, content)| (rule.id.clone(), content)));
        } else if is_again && !by(now, is_folder) && !by(before, is_breaker) {
            let (old, new) = (before.book.parts(), now.book.parts());
            let names = old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name));
            self.rolled_back.extend(names.map(|name| (name.clone(), old.get(name).copied())));
        }
    }

    /// What may take effect of a book that nobody has asked for by name.
    ///
    /// # Errors
    /// It would undo a rollback.
    pub(super) fn admit(&self, book: RuleBook) -> Result<Admitted, NotActivated> {
        if !self.rolled_back.is_empty() {
            let parts = book.parts();
            let again = self.rolled_back.iter().filter(|(name, said)| parts.get(*name) == said.as_ref());
            let again: Vec<Box<str>> = again.map(|(name, _)| name.clone()).collect();
            if !again.is_empty() {
                return Err(NotActivated::RolledBack(again));
            }
        }
        let is_held =
            |(rule, content): &(&RuleSource, u64)| rule.mode == Mode::Live && self.tripped.get(&rule.id) == Some(content);
        let held: Vec<Box<str>> = book.contents().filter(is_held).map(|(rule, _)| rule.id.clone()).collect();
        if held.is_empty() {
            return Ok(Admitted { book, held });
        }
        let names: Vec<&str> = held.iter().map(|rule| &**rule).collect();
        match book.with_mode(&names, Mode::Shadow) {
            Some(book) => Ok(Admitted { book, held }),
            None => Err(NotActivated::RolledBack(held)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::decision::Verdict;
    use crate::engine::time::ArrivalTime;
    use crate::pipeline::books::Shelf;

    type Rule = (&'static str, u32, Mode);

    fn book(number: u32, rules: &[Rule]) -> RuleBook {
        let rule = |(id, version, mode): &Rule| RuleSource {
            id: (*id).into(),
            version: *version,
            title: "a title".into(),
            owner: "tests".into(),
            mode: *mode,
            reason_code: "A".into(),
            when: "attempts(duration(\"1h\")) >= 2".into(),
            then: Verdict::Refer,
            underwriter: "a".into(),
            ..RuleSource::default()
        };
        RuleBook::build(number, rules.iter().map(rule).collect::<Vec<_>>()).expect("sound")
    }

    fn put(shelf: &Shelf, number: u32, by: &str, rules: &[Rule]) {
        let book = Arc::new(book(number, rules));
        shelf.put(BookVersion { book, offset: u64::from(number), since: ArrivalTime(0), by: Some(by.into()) });
    }

    fn held(admitted: &Admitted) -> Vec<&str> {
        admitted.held.iter().map(|rule| &**rule).collect()
    }

    fn modes(admitted: &Admitted) -> Vec<(&str, Mode)> {
        admitted.book.rules().map(|rule| (&*rule.id, rule.mode)).collect()
    }

    #[test]
    fn a_tripped_rule_stays_in_shadow_until_it_has_a_new_version_or_is_made_live_by_name() {
        use Mode::{Live, Shadow};
        let shelf = Shelf::default();
        put(&shelf, 1, "start", &[("a", 1, Live), ("b", 1, Live)]);
        put(&shelf, 2, "breaker: rule a referred 9 of 10", &[("a", 1, Shadow), ("b", 1, Live)]);
        let admit = |rules: &[Rule]| shelf.admit(book(1, rules)).expect("nothing was rolled back");
        // Saved again and again, however many versions later.
        for number in 3..6 {
            let admitted = admit(&[("a", 1, Live), ("b", number, Live)]);
            assert_eq!(modes(&admitted), [("a", Shadow), ("b", Live)]);
            assert_eq!(held(&admitted), ["a"]);
            put(&shelf, number, "folder", &[("a", 1, Shadow), ("b", number, Live)]);
        }
        put(&shelf, 6, "folder", &[("b", 5, Live)]);
        assert_eq!(held(&admit(&[("a", 1, Live), ("b", 5, Live)])), ["a"], "it was away for a while");
        assert!(held(&admit(&[("a", 2, Live), ("b", 5, Live)])).is_empty());
        put(&shelf, 7, "anna", &[("a", 1, Live), ("b", 5, Live)]);
        assert!(held(&admit(&[("a", 1, Live), ("b", 6, Live)])).is_empty());
    }

    #[test]
    fn what_a_rollback_took_back_is_refused_until_it_is_changed_or_activated_by_name() {
        use Mode::{Live, Off};
        let shelf = Shelf::default();
        let old = [("a", 1, Live), ("gone", 1, Live)];
        put(&shelf, 1, "start", &old);
        put(&shelf, 2, "folder", &[("a", 2, Live), ("new", 1, Live)]);
        put(&shelf, 3, "anna", &old);
        let refused = |rules: &[Rule]| match shelf.admit(book(1, rules)) {
            Ok(_) => Vec::new(),
            Err(NotActivated::RolledBack(names)) => names.iter().map(ToString::to_string).collect(),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(refused(&[("a", 2, Live), ("new", 1, Live), ("other", 1, Live)]), ["a", "gone", "new"]);
        assert_eq!(refused(&[("a", 2, Live), ("gone", 1, Live)]), ["a"]);
        assert_eq!(refused(&[("a", 3, Live), ("gone", 1, Off)]), [""; 0]);
        assert_eq!(refused(&[("a", 1, Live), ("gone", 1, Live), ("other", 1, Live)]), [""; 0]);
        // A folder that was put back is no rollback: it may go forth again.
        put(&shelf, 4, "folder", &[("a", 3, Live), ("gone", 1, Live)]);
        put(&shelf, 5, "folder", &old);
        assert_eq!(refused(&[("a", 3, Live), ("gone", 1, Live)]), [""; 0]);
        put(&shelf, 6, "boris", &[("a", 2, Live), ("new", 1, Live)]);
        assert_eq!(refused(&[("a", 2, Live), ("new", 1, Live), ("other", 1, Live)]), [""; 0]);
    }
}
