//! A whole state as deltas, for a checkpoint that is written anew.

use std::iter::Peekable;
use std::sync::Arc;
use std::vec::IntoIter;

use super::blocking::{KEYS_MAX, derive};
use super::decision::Cause;
use super::delta::Delta;
use super::state::{Attempt, Standing};
use super::time::{Arrivals, EventTime};

/// The live attempts of a state when it was asked, each with the decision that stands, in order of offset. Attempts are shared,
/// so it costs little memory and may be read on another thread while the state goes on.
///
/// One delta ends where the next begins, and the last one at the state's next offset.
#[derive(Clone)]
pub struct Export {
    held: Peekable<IntoIter<Held>>,
    next_offset: u64,
    arrivals: Arrivals,
    /// Told by the first delta.
    evicted: Option<EventTime>,
}

/// An attempt, the decision that stands, and what brought it if it is an amendment.
type Held = (Arc<Attempt>, Standing, Option<Cause>);

impl Export {
    pub(super) fn new(mut held: Vec<Held>, next_offset: u64, arrivals: Arrivals, evicted: Option<EventTime>) -> Export {
        held.sort_unstable_by_key(|(attempt, ..)| attempt.offset);
        Export { held: held.into_iter().peekable(), next_offset, arrivals, evicted }
    }
}

impl Iterator for Export {
    type Item = Delta;

    fn next(&mut self) -> Option<Delta> {
        let (attempt, standing, cause) = self.held.next()?;
        let mut keys = Vec::with_capacity(KEYS_MAX);
        derive(&attempt.print, &mut keys);
        Some(Delta {
            from: attempt.offset,
            to: self.held.peek().map_or(self.next_offset, |(next, ..)| next.offset),
            arrivals: self.arrivals,
            insert: Some((attempt, standing)),
            keys: keys.into(),
            cause,
            evicted: self.evicted.take(),
            ..Delta::default()
        })
    }
}
