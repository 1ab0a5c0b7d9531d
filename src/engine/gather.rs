//! Gathering evidence: from the blocks of a quote to its linked attempts.

use std::sync::Arc;

use super::blocking::{Family, Key};
use super::fingerprint::{Fingerprint, Text};
use super::index::Slot;
use super::limits::{BLOCK_NEWEST_MAX, COMPARISONS_MAX};
use super::link::{Hubs, Pair, judge};
use super::matching::Matching;
use super::rulings::Ruled;
use super::state::{Attempt, State};
use super::time::EventTime;

/// Newest attempts of a shared thing that are asked for their surnames.
pub(super) const HUB_NEWEST: usize = 64;

/// The state, and beside it an attempt that is not in it yet: what the state would be after a late quote.
pub(super) struct View<'a> {
    pub state: &'a State,
    pub extra: Option<&'a Extra>,
}

pub(super) struct Extra {
    pub attempt: Arc<Attempt>,
    /// Sorted by hash.
    pub keys: Vec<Key>,
}

/// Which attempts count as evidence.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those earlier than the subject by (event time, id): what the law says.
    Earlier,
    /// All that arrived: what the subject would get as the newest of them.
    All,
}

/// A linked attempt and why.
pub(super) struct Link<'a> {
    pub attempt: &'a Arc<Attempt>,
    pub pair: Pair,
    /// Its standing, when it is in the state.
    pub slot: Option<Slot>,
}

/// A shared thing of the subject (device, phone ...) and who was seen with it, newest first.
pub(super) struct Shared {
    pub family: Family,
    /// (event time, surname) of up to `BLOCK_NEWEST_MAX` attempts within the look-back.
    pub seen: Vec<(EventTime, u32)>,
}

#[derive(Default)]
pub(super) struct Gathered<'a> {
    /// In (event time, id) order.
    pub links: Vec<Link<'a>>,
    pub shared: Vec<Shared>,
    /// What the rulings in force say of it.
    pub ruled: Ruled<'a>,
    pub candidates: u32,
    pub comparisons: u32,
    pub saturated: u32,
    pub truncated: bool,
}

/// A slot met in a block, packed as slot, family, size of the block: one sort of numbers groups a slot's meetings by family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Meeting(u64);

impl Meeting {
    fn new(slot: Slot, family: Family, block: usize) -> Meeting {
        Meeting(u64::from(slot) << 32 | (family as u64) << 16 | block as u64)
    }

    fn slot(self) -> Slot {
        (self.0 >> 32) as Slot
    }

    fn family(self) -> u16 {
        (self.0 >> 16) as u16
    }

    fn block(self) -> u16 {
        self.0 as u16
    }
}

/// An attempt worth comparing.
struct Candidate {
    slot: Slot,
    /// Size of the rarest block it was met in.
    rarest: u16,
}

/// The place of `View::extra` among slots.
const EXTRA: Slot = (1 << 31) - 1;

impl<'a> View<'a> {
    pub(super) fn attempt(&self, slot: Slot) -> Option<&'a Arc<Attempt>> {
        if slot == EXTRA { self.extra.map(|extra| &extra.attempt) } else { self.state.attempt(slot) }
    }

    pub(super) fn seen(&self, slot: Slot) -> (EventTime, u32) {
        match (slot, self.extra) {
            (EXTRA, Some(extra)) => (extra.attempt.event_time, extra.attempt.print.surname_code),
            _ => {
                let hot = self.state.hot(slot);
                (hot.event_time, hot.surname)
            }
        }
    }

    fn extra_has(&self, key: Key) -> bool {
        self.extra.is_some_and(|extra| extra.keys.binary_search_by_key(&key.hash, |k| k.hash).is_ok())
    }

    /// Evidence for `subject`, whose look-back begins after `since`.
    pub(super) fn gather(
        &self,
        subject: &Attempt,
        keys: &[Key],
        reach: Reach,
        since: EventTime,
        matching: &Matching,
    ) -> Gathered<'a> {
        let mut gathered = Gathered::default();
        let mut meetings: Vec<Meeting> = Vec::with_capacity(256);
        std::hint::black_box(self.state.index.touch(keys));
        let newest = self.extra.is_none() && self.state.is_newest(subject);
        let mut found: Vec<Slot> = Vec::with_capacity(BLOCK_NEWEST_MAX + 2);
        for key in keys {
            let reach = if newest { Reach::All } else { reach };
            gathered.saturated += u32::from(self.newest(*key, subject, reach, since, &mut found));
            meetings.extend(found.iter().map(|slot| Meeting::new(*slot, key.family, found.len())));
            if key.source {
                gathered.shared.push(self.shared(*key, &found, &subject.print, since));
            }
        }
        let candidates = candidates(&mut meetings, &mut gathered, self);
        let hubs = hubs(&gathered.shared, subject, matching);
        for candidate in candidates {
            let Some(attempt) = self.attempt(candidate.slot) else { continue };
            if attempt.event_time <= since || attempt.print.tenant() != subject.print.tenant() {
                continue;
            }
            gathered.comparisons += 1;
            if let Some(pair) = judge(&subject.print, &attempt.print, &hubs, matching) {
                let slot = (candidate.slot != EXTRA).then_some(candidate.slot);
                gathered.links.push(Link { attempt, pair, slot });
            }
        }
        gathered.links.sort_by(|a, b| a.attempt.order().cmp(&b.attempt.order()));
        gathered
    }

    /// Fills `found` with the newest attempts of a block that count, newest first. True when more than fit saturate it.
    fn newest(&self, key: Key, subject: &Attempt, reach: Reach, since: EventTime, found: &mut Vec<Slot>) -> bool {
        let block = self.state.index.get(key);
        let end = match reach {
            Reach::Earlier => block.prefix(|slot| self.state.earlier(slot, subject)),
            Reach::All => block.len(),
        };
        found.clear();
        found.extend((0..end).rev().take(BLOCK_NEWEST_MAX + 1).map(|i| block.get(i)));
        if let Some(extra) = self.extra
            && (reach == Reach::All || extra.attempt.order() < subject.order())
            && self.extra_has(key)
        {
            let at = found.partition_point(|slot| !self.state.earlier(*slot, &extra.attempt));
            found.insert(at, EXTRA);
        }
        let over = found.get(BLOCK_NEWEST_MAX).is_some_and(|slot| self.seen(*slot).0 > since);
        found.truncate(BLOCK_NEWEST_MAX);
        over
    }

    /// Who was seen with the thing a source key stands for. Two values may share a key, and then a stranger's broker would be counted
    /// here: each attempt is asked for the value itself.
    fn shared(&self, key: Key, found: &[Slot], subject: &Fingerprint, since: EventTime) -> Shared {
        let within = found.iter().map(|slot| (*slot, self.seen(*slot))).take_while(|(_, (time, _))| *time > since);
        let has = |slot: Slot| self.attempt(slot).is_some_and(|a| same_thing(key.family, &a.print, subject));
        Shared { family: key.family, seen: within.filter(|(slot, _)| has(*slot)).map(|(_, seen)| seen).collect() }
    }
}

/// The gate: hits in two key families, or three hits. Families of the hits in ascending order.
pub(super) fn is_candidate(mut hits: impl Iterator<Item = u16>) -> bool {
    let (Some(first), Some(second)) = (hits.next(), hits.next()) else { return false };
    first != second || hits.next().is_some()
}

/// Those that pass the gate. Over budget the rarest block goes first, then the newest, then the id.
fn candidates(meetings: &mut [Meeting], gathered: &mut Gathered, view: &View) -> Vec<Candidate> {
    meetings.sort_unstable();
    let mut candidates: Vec<Candidate> = Vec::new();
    for group in meetings.chunk_by(|a, b| a.slot() == b.slot()) {
        gathered.candidates += 1;
        if is_candidate(group.iter().map(|meeting| meeting.family())) {
            let rarest = group.iter().map(|meeting| meeting.block()).min().unwrap_or(0);
            candidates.push(Candidate { slot: group[0].slot(), rarest });
        }
    }
    if candidates.len() > COMPARISONS_MAX {
        let order = |slot: Slot| view.attempt(slot).map(|a| a.order());
        candidates.sort_by(|a, b| a.rarest.cmp(&b.rarest).then_with(|| order(b.slot).cmp(&order(a.slot))));
        candidates.truncate(COMPARISONS_MAX);
        gathered.truncated = true;
    }
    candidates
}

/// Do two forms give the same device, phone, address ...?
pub(super) fn same_thing(family: Family, a: &Fingerprint, b: &Fingerprint) -> bool {
    let same = |slot: Text| a.text(slot) == b.text(slot);
    match family {
        Family::Phone => same(Text::Phone),
        Family::Email => same(Text::Email),
        Family::Address => [Text::City, Text::Street, Text::House, Text::Flat].into_iter().all(same),
        Family::Device => a.device == b.device,
        Family::Session => a.session == b.session,
        Family::Vin | Family::Document | Family::Licence | Family::Plate | Family::Person => true,
    }
}

fn hubs(shared: &[Shared], subject: &Attempt, matching: &Matching) -> Hubs {
    let share = |family: Family| {
        let seen = shared.iter().find(|s| s.family == family).map_or(&[][..], |s| &s.seen[..s.seen.len().min(HUB_NEWEST)]);
        matching.hub_share(surnames(seen.iter().map(|(_, surname)| *surname), subject.print.surname_code))
    };
    Hubs {
        phone: share(Family::Phone),
        email: share(Family::Email),
        address: share(Family::Address),
        device: share(Family::Device),
        session: share(Family::Session),
    }
}

/// Distinct surnames, the subject's own among them. A form without one names nobody: alone it counts as one applicant.
pub(super) fn surnames(seen: impl Iterator<Item = u32>, own: u32) -> usize {
    let mut distinct = Vec::with_capacity(8);
    for surname in std::iter::once(own).chain(seen).filter(|surname| *surname != 0) {
        if !distinct.contains(&surname) {
            distinct.push(surname);
        }
    }
    distinct.len().max(1)
}

/// Do two linked attempts come from one source: a device, a session, an agent, or an address of the network? Between strangers an
/// IP says little; between attempts of one applicant it says who typed.
pub(super) fn same_source(a: &Fingerprint, b: &Fingerprint) -> bool {
    let same = |x: u64, y: u64| x != 0 && x == y;
    let agent = a.text(Text::Agent);
    same(a.device, b.device)
        || same(a.session, b.session)
        || same(a.ip, b.ip)
        || (!agent.is_empty() && agent == b.text(Text::Agent))
}

/// Does the form say anything about its technical source?
pub(super) fn has_source(print: &Fingerprint) -> bool {
    print.device != 0 || print.session != 0 || print.ip != 0 || !print.text(Text::Agent).is_empty()
}

/// Numbers the source of each attempt: those connected by a shared device, session, agent or IP have one number. Attempts that say
/// nothing of their source have a number each.
pub(super) fn number_sources(prints: &[&Fingerprint]) -> Vec<usize> {
    let mut number: Vec<usize> = (0..prints.len()).collect();
    for i in 1..prints.len() {
        for j in 0..i {
            if number[i] != number[j] && same_source(prints[i], prints[j]) {
                let (from, to) = (number[i].max(number[j]), number[i].min(number[j]));
                number.iter_mut().filter(|n| **n == from).for_each(|n| *n = to);
            }
        }
    }
    number
}
