//! What was emitted before this instance took the partition over: compared with what it computes again, and not sent twice.

use std::collections::HashMap;

use crate::engine::normalise::hash64;

/// Place of an emission: offset of the record whose step emitted it, and its number in the step.
pub type Emitted = (u64, u32);

/// The emissions found in the sink from the checkpoint on.
#[derive(Debug, Default)]
pub struct Frontier {
    found: HashMap<Emitted, u64>,
    /// The greatest place found: emission goes on after it.
    last: Option<Emitted>,
    /// The latest owner whose record was found.
    epoch: u64,
}

/// What to do with a computed emission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emission {
    Send,
    /// It is there.
    Known,
    /// Something else is there: the first emitted stands.
    Diverged,
    /// Nothing is there, though later ones are: it is sent, and counts as a divergence.
    Missing,
}

impl Frontier {
    /// `epoch` is the earliest whose records count.
    pub fn since(epoch: u64) -> Frontier {
        Frontier { epoch, ..Frontier::default() }
    }

    /// Takes in a record of the sink. Of several at one place the first stands.
    ///
    /// What an owner sends has no gaps: it begins where its own frontier ended. What an earlier one still sends after that are
    /// copies, of which any part may lie before the place that the sink is read from: they would tell of a frontier with holes.
    pub fn take(&mut self, epoch: Option<u64>, place: Emitted, value: &[u8]) {
        // Earlier releases do not say who they are.
        if epoch.is_some_and(|epoch| epoch < self.epoch) {
            return;
        }
        self.epoch = self.epoch.max(epoch.unwrap_or_default());
        self.found.entry(place).or_insert_with(|| hash64(value));
        self.last = self.last.max(Some(place));
    }

    /// Whether everything that was found is of records before this offset.
    pub fn is_passed(&self, next_offset: u64) -> bool {
        self.last.is_none_or(|(cause, _)| cause < next_offset)
    }

    pub fn judge(&mut self, place: Emitted, value: &[u8]) -> Emission {
        if self.last.is_none_or(|last| place > last) {
            // Passed: what was kept for the comparison can go.
            self.found = HashMap::new();
            self.last = None;
            return Emission::Send;
        }
        match self.found.remove(&place) {
            Some(found) if found == hash64(value) => Emission::Known,
            Some(_) => Emission::Diverged,
            None => Emission::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_compared_and_what_follows_is_sent() {
        let mut frontier = Frontier::default();
        frontier.take(None, (7, 0), b"a");
        frontier.take(None, (7, 1), b"b");
        frontier.take(Some(3), (7, 1), b"a late copy of a zombie");
        frontier.take(Some(4), (9, 0), b"c");
        assert!(!frontier.is_passed(9) && frontier.is_passed(10));
        for (place, value, expected) in [
            ((7, 0), &b"a"[..], Emission::Known),
            ((7, 1), b"x", Emission::Diverged),
            ((8, 0), b"never sent", Emission::Missing),
            ((9, 0), b"c", Emission::Known),
            ((9, 1), b"d", Emission::Send),
            ((12, 0), b"e", Emission::Send),
        ] {
            assert_eq!(frontier.judge(place, value), expected, "{place:?}");
        }
    }

    #[test]
    fn a_late_copy_by_an_earlier_owner_is_not_how_far_the_later_one_came() {
        let mut frontier = Frontier::since(2);
        frontier.take(Some(1), (5, 0), b"before the place that the sink is read from, its (3, 0) and (4, 0)");
        frontier.take(Some(2), (3, 0), b"c");
        frontier.take(Some(3), (4, 0), b"d");
        frontier.take(Some(2), (7, 0), b"g");
        assert!(frontier.is_passed(5) && !frontier.is_passed(4));
        assert_eq!(frontier.judge((3, 0), b"c"), Emission::Known);
        assert_eq!(frontier.judge((4, 0), b"d"), Emission::Known);
        assert_eq!(frontier.judge((5, 0), b"e"), Emission::Send);
    }
}
