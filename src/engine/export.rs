//! A whole state as deltas, for a checkpoint that is written anew.

use std::iter::Peekable;
use std::sync::Arc;
use std::vec::IntoIter;

use super::blocking::{KEYS_MAX, derive};
use super::delta::Delta;
use super::state::{Attempt, Standing};
use super::time::{Arrivals, EventTime};

/// The live attempts of a state when it was asked, each with the decision that stands, in order of offset. Attempts are shared,
/// so it costs little memory and may be read on another thread while the state goes on.
///
/// One delta ends where the next begins, and the last one at the state's next offset.
#[derive(Clone)]
pub struct Export {
    held: Peekable<IntoIter<(Arc<Attempt>, Standing)>>,
    next_offset: u64,
    arrivals: Arrivals,
    /// Told by the first delta.
    evicted: Option<EventTime>,
}

impl Export {
    pub(super) fn new(
        mut held: Vec<(Arc<Attempt>, Standing)>,
        next_offset: u64,
        arrivals: Arrivals,
        evicted: Option<EventTime>,
    ) -> Export {
        held.sort_unstable_by_key(|(attempt, _)| attempt.offset);
        Export { held: held.into_iter().peekable(), next_offset, arrivals, evicted }
    }
}

impl Iterator for Export {
    type Item = Delta;

    fn next(&mut self) -> Option<Delta> {
        let (attempt, standing) = self.held.next()?;
        let mut keys = Vec::with_capacity(KEYS_MAX);
        derive(&attempt.print, &mut keys);
        Some(Delta {
            from: attempt.offset,
            to: self.held.peek().map_or(self.next_offset, |(next, _)| next.offset),
            arrivals: self.arrivals,
            insert: Some((attempt, standing)),
            keys: keys.into(),
            evicted: self.evicted.take(),
            ..Delta::default()
        })
    }
}
