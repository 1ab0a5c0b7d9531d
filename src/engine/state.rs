//! Keyed state: the live attempts, their index, the decision that stands for each, and the control state.
//!
//! [`State::apply`] is the only mutator. What it does follows from the delta alone, so a state built from stored deltas equals the
//! state that produced them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashTable;

use super::blocking::{self, KEYS_MAX, Key};
use super::decision::{Cause, DecisionId, Flags, ReferralId, RuleBookRef, Verdict};
use super::delta::{Amended, CorruptDelta, Delta};
use super::export::Export;
use super::fingerprint::Fingerprint;
use super::index::{Index, Slot};
use super::normalise::hash64;
use super::quote::Position;
use super::rules::book::LiveHit;
use super::rulings::{Place, Ruling, RulingKind, Rulings};
use super::step::Current;
use super::time::{Arrivals, EventTime, MINUTE, SECOND};

/// Settings that belong to the log: they may not change under recorded state without a replay. Times in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Random, written when the log is made; the constant `file` for plain files.
    pub log_id: Box<str>,
    pub partition: u32,
    /// Longest window of a rule.
    pub retention_secs: i64,
    /// At either cap, attempts or the bytes they are counted with, the oldest by (event time, id) goes.
    pub max_live_attempts: usize,
    pub max_live_bytes: usize,
    pub lateness_http_secs: i64,
    pub lateness_stream_secs: i64,
    pub max_skew_secs: i64,
    pub max_age_secs: i64,
    pub max_jump_secs: i64,
    /// Where the `event` clock stands before its first record; without it, the first record sets it.
    pub event_start: Option<EventTime>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            log_id: "file".into(),
            partition: 0,
            retention_secs: 30 * 24 * 3600,
            max_live_attempts: 2_000_000,
            max_live_bytes: 3_000_000_000,
            lateness_http_secs: 30,
            lateness_stream_secs: 3600,
            max_skew_secs: 120,
            max_age_secs: 24 * 3600,
            max_jump_secs: 7 * 24 * 3600,
            event_start: None,
        }
    }
}

/// One live attempt: what never changes about it.
#[derive(Debug, PartialEq)]
pub struct Attempt {
    pub print: Fingerprint,
    pub event_time: EventTime,
    pub offset: u64,
    pub body_hash: u128,
    /// Hash of (tenant, quote id), by which amendments find their attempt.
    pub id_hash: u64,
}

impl Attempt {
    /// The total order of evidence: event time, then quote id, then tenant.
    pub fn order(&self) -> (EventTime, &str, &str) {
        (self.event_time, self.print.quote_id(), self.print.tenant())
    }
}

/// The decision that stands for an attempt, as far as later steps need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Hash of what an amendment would change: verdict, reasons, numbers, linked set.
    pub content: u64,
    pub referral: Option<ReferralId>,
    pub revision: u32,
    pub verdict: Verdict,
    pub answer: Verdict,
    /// As emitted.
    pub flags: Flags,
    /// The rule, by its number in the book of the attempt, that led to the stricter of verdict and answer: its text is told.
    pub told: Option<LiveHit>,
}

/// What gathering evidence reads of an attempt without opening it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hot {
    pub event_time: EventTime,
    pub surname: u32,
}

struct Tenant {
    newest: EventTime,
    /// Live attempts.
    held: usize,
}

#[derive(Default)]
struct Slab {
    attempts: Vec<Option<Arc<Attempt>>>,
    hot: Vec<Hot>,
    standings: Vec<Standing>,
    free: Vec<Slot>,
    /// Attempts held, and what they count towards the cap.
    held: usize,
    live_bytes: usize,
    /// Of the attempts as allocated.
    boxed_bytes: usize,
}

impl Slab {
    /// Opens the attempt only when the event times are equal.
    fn earlier(&self, slot: Slot, than: &Attempt) -> bool {
        let (time, attempt) = (self.hot[slot as usize].event_time, &self.attempts[slot as usize]);
        time < than.event_time || (time == than.event_time && attempt.as_ref().is_some_and(|a| a.order() < than.order()))
    }
}

pub struct State {
    pub(super) settings: Settings,
    pub(super) seed: u64,
    pub(super) index: Index,
    slab: Slab,
    ids: HashTable<Slot>,
    /// Slots by minute of event time, each minute in order: for expiry and eviction.
    calendar: BTreeMap<i64, VecDeque<Slot>>,
    /// By hash, the tenants that have live attempts.
    tenants: BTreeMap<u64, Tenant>,
    /// Rule books by the offset from which they are in force.
    books: Vec<(u64, RuleBookRef)>,
    rulings: Rulings,
    next_offset: u64,
    arrivals: Arrivals,
    /// Newest event time that the cap evicted.
    evicted: Option<EventTime>,
    /// Newest event time ever held.
    newest_anywhere: EventTime,
    held_digest: u64,
    /// Of the attempts whose standing is an amendment, the quote that brought it.
    causes: BTreeMap<Slot, Cause>,
}

/// Hash of (tenant, quote id).
pub fn id_hash(tenant: &str, quote_id: &str) -> u64 {
    hash64(quote_id.as_bytes()) ^ hash64(tenant.as_bytes()).rotate_left(17)
}

/// Bytes an attempt is counted with beside its text, drivers and keys: the attempt, its slot, standing, id and place in the calendar.
const ATTEMPT_BYTES: usize = 512;
/// Bytes of one key: its entry with the room of a table that has just grown, and a place in a block.
const KEY_BYTES: usize = 14;

/// What an attempt counts towards `max_live_bytes`. It follows from the form alone: the same on every machine, for whoever is cut by
/// the cap is a matter of the log.
fn bytes_of(attempt: &Attempt, keys: usize) -> usize {
    let drivers = std::mem::size_of_val(&*attempt.print.drivers);
    ATTEMPT_BYTES + attempt.print.arena.len() + drivers + keys * KEY_BYTES
}

/// Bytes of an attempt as allocated, with 16 for the counts of the Arc and 16 of overhead for each of up to three blocks.
fn boxed_bytes(attempt: &Attempt) -> usize {
    size_of::<Attempt>() + 16 + attempt.print.arena.len() + std::mem::size_of_val(&*attempt.print.drivers) + 3 * 16
}

/// An attempt's part in the digest: tenant and id, body, event time, and the decision that stands.
fn digest_of(attempt: &Attempt, standing: &Standing) -> u64 {
    let mut bytes = [0u8; 33];
    bytes[..8].copy_from_slice(&attempt.id_hash.to_le_bytes());
    bytes[8..24].copy_from_slice(&attempt.body_hash.to_le_bytes());
    bytes[24..32].copy_from_slice(&attempt.event_time.0.to_le_bytes());
    bytes[32] = standing.verdict as u8;
    hash64(&bytes)
}

impl State {
    pub fn new(settings: Settings) -> State {
        State {
            seed: blocking::seed(&settings.log_id),
            settings,
            index: Index::default(),
            slab: Slab::default(),
            ids: HashTable::new(),
            calendar: BTreeMap::new(),
            tenants: BTreeMap::new(),
            books: Vec::new(),
            rulings: Rulings::default(),
            next_offset: 0,
            arrivals: Arrivals::default(),
            evicted: None,
            newest_anywhere: EventTime(i64::MIN),
            held_digest: 0,
            causes: BTreeMap::new(),
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Next offset to read.
    pub fn next_offset(&self) -> u64 {
        self.next_offset
    }

    /// The running arrivals: each clock's largest so far.
    pub fn arrivals(&self) -> Arrivals {
        self.arrivals
    }

    /// Nothing older than this is needed by any later quote, in event time.
    pub fn expiry_horizon(&self) -> EventTime {
        let lateness = self.settings.lateness_http_secs.max(self.settings.lateness_stream_secs);
        let kept = self.settings.retention_secs + lateness + self.settings.max_skew_secs;
        EventTime(self.arrivals.watermark().unwrap_or(i64::MIN / 2).saturating_sub(kept * SECOND))
    }

    pub fn live_attempts(&self) -> usize {
        self.slab.held
    }

    /// Bytes the live attempts are counted with; never more than `max_live_bytes`.
    pub fn live_bytes(&self) -> usize {
        self.slab.live_bytes
    }

    /// Over one of the caps, as only a state that is being loaded can be.
    pub fn is_over_cap(&self) -> bool {
        self.slab.held > self.settings.max_live_attempts || self.slab.live_bytes > self.settings.max_live_bytes
    }

    /// Bytes of attempts, index and tables as allocated.
    pub fn resident_bytes(&self) -> usize {
        let per_slot = size_of::<Option<Arc<Attempt>>>() + size_of::<Hot>() + size_of::<Standing>();
        self.index.resident_bytes() + self.slab.boxed_bytes + self.slab.attempts.capacity() * per_slot + self.ids.capacity() * 6
    }

    /// Seconds of look-back really held: retention, unless a cap has evicted an attempt that is not older than that.
    pub fn look_back_secs(&self) -> i64 {
        let retention = self.settings.retention_secs;
        let (Some(watermark), Some(evicted)) = (self.arrivals.watermark(), self.evicted) else { return retention };
        ((watermark - evicted.0) / SECOND).clamp(0, retention)
    }

    /// Order-free digest of the live set: tenant, id, body, event time and final decision of every attempt newer than
    /// watermark - retention.
    pub fn digest(&self) -> u64 {
        let horizon = self.arrivals.watermark().map_or(i64::MIN, |a| a - self.settings.retention_secs * SECOND);
        let live = self.slab.attempts.iter().zip(&self.slab.standings);
        live.filter_map(|(attempt, standing)| Some((attempt.as_ref()?, standing)))
            .filter(|(attempt, _)| attempt.event_time.0 > horizon)
            .fold(0u64, |sum, (attempt, standing)| sum.wrapping_add(digest_of(attempt, standing)))
    }

    /// The same over all that is held, kept up to date with every change: what a checkpoint is checked by.
    pub fn held_digest(&self) -> u64 {
        self.held_digest
    }

    /// The decision that stands for a live quote id.
    pub fn current(&self, tenant: &str, quote_id: &str) -> Option<Current> {
        self.find(tenant, quote_id).map(|slot| self.current_of(slot))
    }

    /// The live attempt with a quote id.
    pub fn live(&self, tenant: &str, quote_id: &str) -> Option<&Arc<Attempt>> {
        self.attempt(self.find(tenant, quote_id)?)
    }

    /// Attempts older than this are not held any more: no later quote can amend them.
    pub fn held_from(&self) -> EventTime {
        let minute = EventTime(self.expiry_horizon().0.div_euclid(MINUTE) * MINUTE);
        self.evicted.map_or(minute, |evicted| evicted.max(minute))
    }

    pub(super) fn current_of(&self, slot: Slot) -> Current {
        let standing = self.standing(slot);
        let position = Position { partition: self.settings.partition, offset: self.attempt(slot).map_or(0, |a| a.offset) };
        Current {
            decision_id: self.decision_id(position.offset),
            position,
            revision: standing.revision,
            verdict: standing.verdict,
            answer: standing.answer,
            referral_id: standing.referral,
        }
    }

    /// H(log id, partition, offset).
    pub(super) fn decision_id(&self, offset: u64) -> DecisionId {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(self.settings.log_id.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&self.settings.partition.to_le_bytes());
        bytes.extend_from_slice(&offset.to_le_bytes());
        DecisionId(xxhash_rust::xxh3::xxh3_128(&bytes))
    }

    /// The rule book in force at the next offset.
    pub fn rule_book(&self) -> Option<&RuleBookRef> {
        self.books.last().map(|(_, book)| book)
    }

    /// The rule book in force for the record at an offset.
    pub(super) fn rule_book_at(&self, offset: u64) -> Option<&RuleBookRef> {
        let after = self.books.partition_point(|(from, _)| *from <= offset);
        self.books[..after].last().map(|(_, book)| book)
    }

    pub(super) fn find(&self, tenant: &str, quote_id: &str) -> Option<Slot> {
        let same =
            |slot: &Slot| self.attempt(*slot).is_some_and(|a| a.print.quote_id() == quote_id && a.print.tenant() == tenant);
        self.ids.find(id_hash(tenant, quote_id), same).copied()
    }

    pub(super) fn attempt(&self, slot: Slot) -> Option<&Arc<Attempt>> {
        self.slab.attempts.get(slot as usize)?.as_ref()
    }

    pub(super) fn hot(&self, slot: Slot) -> Hot {
        self.slab.hot[slot as usize]
    }

    pub(super) fn standing(&self, slot: Slot) -> Standing {
        self.slab.standings[slot as usize]
    }

    pub(super) fn newest_of(&self, tenant: &str) -> Option<EventTime> {
        self.tenants.get(&hash64(tenant.as_bytes())).map(|tenant| tenant.newest)
    }

    pub(super) fn evicted(&self) -> Option<EventTime> {
        self.evicted
    }

    /// Is the attempt in the slot earlier than the given one?
    pub(super) fn earlier(&self, slot: Slot, than: &Attempt) -> bool {
        self.slab.earlier(slot, than)
    }

    /// Applies one delta. A delta that begins before the next offset, or that amends what is not held, is refused whole. It may
    /// begin later: offsets of a shared log are sparse.
    pub fn apply(&mut self, delta: &Delta) -> Result<(), CorruptDelta> {
        if delta.from < self.next_offset {
            return Err(CorruptDelta("it begins before the next offset"));
        }
        if delta.amended.iter().any(|amended| self.amended_slot(amended).is_none()) {
            return Err(CorruptDelta("it amends an attempt that is not held"));
        }
        self.load(delta);
        self.expire();
        Ok(())
    }

    /// [`State::apply`] for stored deltas, in order, where earlier ones may have been dropped with what they held: gaps are
    /// accepted, amendments of attempts no longer held are ignored, as are books and rulings that were restored, and nothing expires until
    /// [`State::loaded`].
    pub fn load(&mut self, delta: &Delta) {
        self.next_offset = delta.to;
        self.arrivals = delta.arrivals;
        self.evicted = self.evicted.max(delta.evicted);
        if let Some(book) = &delta.rule_book {
            // One that was restored is there already.
            if self.books.last().is_none_or(|(from, _)| *from < delta.from) {
                self.books.push((delta.from, book.clone()));
            }
        }
        for (number, ruling) in (0..).zip(&delta.rulings) {
            if ruling.kind == RulingKind::Erased {
                self.erase(ruling, delta.from);
            }
            self.rulings.enter((delta.from, number), ruling);
        }
        if let Some((attempt, standing)) = &delta.insert {
            let slot = self.insert(attempt, *standing, &delta.keys);
            if let Some(cause) = &delta.cause {
                self.causes.insert(slot, cause.clone());
            }
        }
        for amended in &delta.amended {
            if let Some(slot) = self.amended_slot(amended) {
                self.restand(slot, amended.standing);
                if let Some((late, _)) = &delta.insert {
                    self.causes.insert(slot, self.cause_of(late));
                }
            }
        }
    }

    /// How an attempt is named as the cause of an amendment.
    pub(super) fn cause_of(&self, late: &Attempt) -> Cause {
        let position = Position { partition: self.settings.partition, offset: late.offset };
        Cause { quote_id: late.print.quote_id().into(), position }
    }

    /// The quote that brought the standing of an attempt, if that is an amendment.
    pub(super) fn cause(&self, slot: Slot) -> Option<&Cause> {
        self.causes.get(&slot)
    }

    fn restand(&mut self, slot: Slot, standing: Standing) {
        let before = std::mem::replace(&mut self.slab.standings[slot as usize], standing);
        if let Some(attempt) = &self.slab.attempts[slot as usize] {
            let changed = digest_of(attempt, &standing).wrapping_sub(digest_of(attempt, &before));
            self.held_digest = self.held_digest.wrapping_add(changed);
        }
    }

    fn amended_slot(&self, amended: &Amended) -> Option<Slot> {
        self.ids.find(amended.id_hash, |slot| self.attempt(*slot).is_some_and(|a| a.offset == amended.offset)).copied()
    }

    /// Ends loading: what has expired goes.
    pub fn loaded(&mut self) {
        self.expire();
    }

    /// Sets what outlives the window when the segments that brought it are gone.
    pub fn restore(&mut self, next_offset: u64, arrivals: Arrivals, books: Vec<(u64, RuleBookRef)>) {
        self.next_offset = next_offset;
        self.arrivals = arrivals;
        self.books = books;
    }

    /// Sets the rulings that outlive the window. Nothing is erased again: that has happened.
    pub fn restore_rulings(&mut self, rulings: impl IntoIterator<Item = (Place, Arc<Ruling>)>) {
        rulings.into_iter().for_each(|(place, ruling)| self.rulings.enter(place, &ruling));
    }

    /// What is held, as deltas that make an equal state of a fresh one: load them after [`State::restore`] has brought the
    /// arrivals and the books, and [`State::restore_rulings`] the rulings. Takes no part in what happens to this state later.
    pub fn export(&self) -> Export {
        let held = (0..).zip(self.slab.attempts.iter().zip(&self.slab.standings));
        let held = held.filter_map(|(slot, (attempt, standing))| Some((attempt.clone()?, *standing, self.cause(slot).cloned())));
        let held = held.collect();
        Export::new(held, self.next_offset, self.arrivals, self.evicted)
    }

    /// The rulings that may still matter.
    pub fn rulings(&self) -> &Rulings {
        &self.rulings
    }

    /// Rule books by the offset from which each is in force, oldest first.
    pub fn books(&self) -> &[(u64, RuleBookRef)] {
        &self.books
    }

    /// Lets go of books under which nothing held was decided. Looks at every attempt.
    pub fn forget_books(&mut self) {
        let oldest = self.slab.attempts.iter().flatten().map(|attempt| attempt.offset).min().unwrap_or(self.next_offset);
        let in_force = self.books.partition_point(|(from, _)| *from <= oldest).saturating_sub(1);
        self.books.drain(..in_force);
    }

    fn insert(&mut self, attempt: &Arc<Attempt>, standing: Standing, keys: &[Key]) -> Slot {
        self.held_digest = self.held_digest.wrapping_add(digest_of(attempt, &standing));
        let hot = Hot { event_time: attempt.event_time, surname: attempt.print.surname_code };
        let slab = &mut self.slab;
        slab.held += 1;
        slab.live_bytes += bytes_of(attempt, keys.len());
        slab.boxed_bytes += boxed_bytes(attempt);
        let slot = match slab.free.pop() {
            Some(slot) => {
                slab.attempts[slot as usize] = Some(attempt.clone());
                slab.hot[slot as usize] = hot;
                slab.standings[slot as usize] = standing;
                slot
            }
            None => {
                slab.attempts.push(Some(attempt.clone()));
                slab.hot.push(hot);
                slab.standings.push(standing);
                (slab.attempts.len() - 1) as Slot
            }
        };
        let attempts = &self.slab.attempts;
        let hash_of = |slot: &Slot| attempts[*slot as usize].as_ref().map_or(0, |a| a.id_hash);
        self.ids.insert_unique(attempt.id_hash, slot, hash_of);
        let newest = self.newest_anywhere < attempt.event_time;
        self.newest_anywhere = self.newest_anywhere.max(attempt.event_time);
        let minute = self.calendar.entry(attempt.event_time.0.div_euclid(MINUTE)).or_default();
        let in_order = minute.back().is_none_or(|last| self.slab.earlier(*last, attempt));
        let at = if in_order { minute.len() } else { minute.partition_point(|other| self.slab.earlier(*other, attempt)) };
        minute.insert(at, slot);
        let new = Tenant { newest: attempt.event_time, held: 0 };
        let tenant = self.tenants.entry(hash64(attempt.print.tenant().as_bytes())).or_insert(new);
        tenant.newest = tenant.newest.max(attempt.event_time);
        tenant.held += 1;
        self.index_attempt(slot, attempt, keys, newest);
        slot
    }

    /// An attempt newer than all others goes to the end of its blocks without a look at who is there.
    fn index_attempt(&mut self, slot: Slot, attempt: &Attempt, keys: &[Key], newest: bool) {
        let placed = self.placed(keys);
        std::hint::black_box(self.index.touch(&placed));
        let State { index, slab, .. } = self;
        for key in placed {
            index.insert(key, slot, |other| newest || slab.earlier(other, attempt));
        }
    }

    /// Is the attempt newer than every attempt held?
    pub(super) fn is_newest(&self, attempt: &Attempt) -> bool {
        self.newest_anywhere < attempt.event_time
    }

    pub(super) fn placed(&self, keys: &[Key]) -> Vec<Key> {
        keys.iter().map(|key| blocking::place(*key, self.seed)).collect()
    }

    pub(super) fn keys_of(&self, print: &Fingerprint) -> Vec<Key> {
        let mut keys = Vec::with_capacity(KEYS_MAX);
        blocking::keys(print, self.seed, &mut keys);
        keys
    }

    /// Deletes whole minutes behind the horizon, and the oldest attempts beyond the caps.
    fn expire(&mut self) {
        let horizon = self.expiry_horizon().0.div_euclid(MINUTE);
        while let Some(entry) = self.calendar.first_entry() {
            if *entry.key() >= horizon {
                break;
            }
            for slot in entry.remove() {
                self.remove(slot);
            }
        }
        self.rulings.sweep(EventTime(horizon * MINUTE));
        while self.is_over_cap() {
            self.evict_oldest();
        }
    }

    /// Takes the attempts out that an erasure names, of those before it in the log.
    fn erase(&mut self, erasure: &Ruling, before: u64) {
        for id_hash in &erasure.attempts {
            let named = |slot: &Slot| self.attempt(*slot).is_some_and(|a| a.id_hash == *id_hash && a.offset < before);
            let Some(slot) = self.ids.find(*id_hash, named).copied() else { continue };
            let minute = self.hot(slot).event_time.0.div_euclid(MINUTE);
            if let Some(slots) = self.calendar.get_mut(&minute) {
                slots.retain(|other| *other != slot);
                if slots.is_empty() {
                    self.calendar.remove(&minute);
                }
            }
            self.remove(slot);
        }
        let key = hash64(erasure.tenant.as_bytes());
        let of_tenant = |slot: &Slot| self.attempt(*slot).is_some_and(|a| a.print.tenant() == &*erasure.tenant);
        let newest = self.calendar.values().rev().find_map(|minute| minute.iter().rev().find(|slot| of_tenant(slot)));
        let newest = newest.map(|slot| self.hot(*slot).event_time);
        if let (Some(tenant), Some(newest)) = (self.tenants.get_mut(&key), newest) {
            tenant.newest = newest;
        }
    }

    fn evict_oldest(&mut self) {
        let Some(mut entry) = self.calendar.first_entry() else { return };
        let oldest = entry.get_mut().pop_front();
        if entry.get().is_empty() {
            entry.remove();
        }
        if let Some(slot) = oldest {
            self.evicted = self.evicted.max(Some(self.hot(slot).event_time));
            self.remove(slot);
        }
    }

    fn remove(&mut self, slot: Slot) {
        let Some(attempt) = self.slab.attempts[slot as usize].take() else { return };
        self.held_digest = self.held_digest.wrapping_sub(digest_of(&attempt, &self.slab.standings[slot as usize]));
        let keys = self.keys_of(&attempt.print);
        self.slab.live_bytes -= bytes_of(&attempt, keys.len());
        self.slab.boxed_bytes -= boxed_bytes(&attempt);
        for key in keys {
            self.index.remove(key, slot);
        }
        if let Ok(entry) = self.ids.find_entry(attempt.id_hash, |other| *other == slot) {
            entry.remove();
        }
        if let std::collections::btree_map::Entry::Occupied(mut tenant) =
            self.tenants.entry(hash64(attempt.print.tenant().as_bytes()))
        {
            tenant.get_mut().held -= 1;
            if tenant.get().held == 0 {
                tenant.remove();
            }
        }
        self.causes.remove(&slot);
        self.slab.held -= 1;
        self.slab.free.push(slot);
    }
}
