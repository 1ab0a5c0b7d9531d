//! What a late quote means for the attempts after it: which of them have to be decided again.
//!
//! It is evidence for a later attempt in two ways: as a candidate (two key families, or three hits) that links to it, or by being
//! counted among those seen with a shared thing. All others keep their decision, so a crowd that shares a block with it costs nothing.

use super::blocking::{Family, Key};
use super::decide::MissingBook;
use super::gather::{HUB_NEWEST, View, is_candidate, same_thing};
use super::index::{Block, Slot};
use super::limits::{BLOCK_NEWEST_MAX, REDECIDED_MAX};
use super::link::{Hubs, judge};
use super::rules::RuleBook;
use super::state::Attempt;
use super::time::EventTime;

/// The attempts that a late quote is earlier than.
#[derive(Default)]
pub(super) struct Later {
    /// Those whose evidence it enters, in (event time, id) order. Where a block was saturated for an attempt already, its decision
    /// says so, and that block alone does not bring it here.
    pub redecided: Vec<Slot>,
    /// There is one in some block of the late quote.
    pub any: bool,
    /// There were more than one late quote may re-decide, and some were left out.
    pub cut: bool,
}

/// What the late quote is to a later attempt in one block of both, packed as slot, family and the bits below: one sort of numbers
/// groups the meetings of a slot by family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Meeting(u64);

/// It is among the newest that the block offers the attempt: a hit.
const HIT: u64 = 1;
/// The block was not saturated for the attempt without it.
const OPEN: u64 = 2;
/// It changes what is counted over the block, or saturates it.
const COUNTS: u64 = 4;

impl Meeting {
    fn new(slot: Slot, family: Family, bits: u64) -> Meeting {
        Meeting(u64::from(slot) << 32 | (family as u64) << 16 | bits)
    }

    fn slot(self) -> Slot {
        (self.0 >> 32) as Slot
    }

    fn family(self) -> u16 {
        (self.0 >> 16) as u16
    }

    fn is(self, bit: u64) -> bool {
        self.0 & bit != 0
    }
}

/// A late quote and its place in one of its blocks.
struct Late<'a> {
    attempt: &'a Attempt,
    key: Key,
    block: Block<'a>,
    /// Attempts of the block before it.
    from: usize,
}

impl View<'_> {
    /// What a late quote means for those later than it. `book_of` is the book in force for one of them.
    pub(super) fn later<'b>(
        &self,
        late: &Attempt,
        keys: &[Key],
        book_of: impl Fn(&Attempt) -> Result<&'b RuleBook, MissingBook>,
    ) -> Result<Later, MissingBook> {
        let mut meetings: Vec<Meeting> = Vec::new();
        let mut any = false;
        for key in keys {
            let block = self.state.index.get(*key);
            let from = block.prefix(|slot| self.state.earlier(slot, late));
            any |= from < block.len();
            self.meet(&Late { attempt: late, key: *key, block, from }, &book_of, &mut meetings)?;
        }
        meetings.sort_unstable();
        // Attempts met in most blocks are the likeliest to be linked: they go first.
        let mut met: Vec<(usize, Slot)> = Vec::new();
        for group in meetings.chunk_by(|a, b| a.slot() == b.slot()) {
            if self.enters(late, group, &book_of)? {
                met.push((group.len(), group[0].slot()));
            }
        }
        let cut = met.len() > REDECIDED_MAX;
        let order = |slot: Slot| self.attempt(slot).map(|a| a.order());
        if cut {
            met.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| order(a.1).cmp(&order(b.1))));
            met.truncate(REDECIDED_MAX);
        }
        met.sort_by(|a, b| order(a.1).cmp(&order(b.1)));
        Ok(Later { redecided: met.into_iter().map(|(_, slot)| slot).collect(), any, cut })
    }

    /// Meets the attempts for which the late quote is among the newest before them in the block, and the one for which it is the
    /// first beyond: for that one it may saturate the block.
    fn meet<'b>(
        &self,
        late: &Late,
        book_of: impl Fn(&Attempt) -> Result<&'b RuleBook, MissingBook>,
        meetings: &mut Vec<Meeting>,
    ) -> Result<(), MissingBook> {
        let mut crowd = Crowd::default();
        for i in late.from..late.block.len().min(late.from + BLOCK_NEWEST_MAX + 1) {
            let slot = late.block.get(i);
            let Some(attempt) = self.attempt(slot) else { continue };
            let since = EventTime(attempt.event_time.0 - book_of(attempt)?.longest());
            let counted = late.key.source && crowd.changes(late, i, attempt);
            // Beyond the look-back of one attempt says nothing of the next: it may be under another book.
            if late.attempt.event_time <= since || attempt.print.tenant() != late.attempt.print.tenant() {
                continue;
            }
            let within = |at: usize| self.seen(late.block.get(at)).0 > since;
            let open = !i.checked_sub(BLOCK_NEWEST_MAX + 1).is_some_and(within);
            let saturates = match i.checked_sub(BLOCK_NEWEST_MAX) {
                Some(pushed) => pushed == late.from || within(pushed),
                None => false,
            };
            let hit = i < late.from + BLOCK_NEWEST_MAX;
            let bit = |is: bool, bit: u64| if is { bit } else { 0 };
            let bits = bit(hit, HIT) | bit(open, OPEN) | bit(open && (counted || saturates), COUNTS);
            meetings.push(Meeting::new(slot, late.key.family, bits));
        }
        Ok(())
    }

    /// Does the late quote enter the evidence of the attempt it meets so? Hubs only take from a weight: what does not link without
    /// them does not link.
    fn enters<'b>(
        &self,
        late: &Attempt,
        group: &[Meeting],
        book_of: impl Fn(&Attempt) -> Result<&'b RuleBook, MissingBook>,
    ) -> Result<bool, MissingBook> {
        if group.iter().any(|meeting| meeting.is(COUNTS)) {
            return Ok(true);
        }
        let candidate = || is_candidate(group.iter().filter(|meeting| meeting.is(HIT)).map(|meeting| meeting.family()));
        match self.attempt(group[0].slot()) {
            Some(attempt) if group.iter().any(|meeting| meeting.is(OPEN)) && candidate() => {
                Ok(judge(&attempt.print, &late.print, &Hubs::default(), book_of(attempt)?.matching()).is_some())
            }
            _ => Ok(false),
        }
    }
}

/// Those between a late quote and a later attempt who were seen with the same thing.
#[derive(Default)]
struct Crowd {
    between: usize,
    /// One of them has the late quote's surname: it is counted without it.
    named: bool,
}

impl Crowd {
    /// Does the late quote change how many surnames are counted for the attempt at `i` of the block? It adds its own, or it takes the
    /// place of the last one that is asked.
    fn changes(&mut self, late: &Late, i: usize, attempt: &Attempt) -> bool {
        let (print, own) = (&late.attempt.print, late.attempt.print.surname_code);
        if !same_thing(late.key.family, print, &attempt.print) {
            return false;
        }
        let adds = own != 0 && !self.named && own != attempt.print.surname_code;
        let displaces = i >= HUB_NEWEST && self.between < HUB_NEWEST;
        self.between += 1;
        self.named |= own == attempt.print.surname_code;
        adds || displaces
    }
}
