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
    /// Takes in a record of the sink. Of several at one place the first stands.
    pub fn take(&mut self, place: Emitted, value: &[u8]) {
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
        frontier.take((7, 0), b"a");
        frontier.take((7, 1), b"b");
        frontier.take((7, 1), b"a late copy of a zombie");
        frontier.take((9, 0), b"c");
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
}
