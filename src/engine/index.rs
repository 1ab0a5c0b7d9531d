//! From blocking keys to the attempts that have them: a flat table in parts, about 10 bytes a key.
//!
//! Each part is a table sorted by tag (linear probing with ordered displacement), so an absent key is noticed early and a
//! part grows by a quarter, in one sequential pass, when it is full; no growth touches more than 1/4096 of the keys. A key held
//! by one attempt lies in the table itself; more attempts are a block in a pool, sorted by (event time, id).

use std::collections::VecDeque;

use super::blocking::{KEY_BITS, Key};

/// Number of an attempt in the state's slab; below 2^31.
pub type Slot = u32;

const PART_BITS: u32 = KEY_BITS - 32;
const EMPTY: u32 = u32::MAX;
const POOLED: u32 = 1 << 31;
/// Pools hold blocks of 2, 4 ... 128; larger ones are big.
const POOL_CLASSES: usize = 7;
const BIG: u32 = 0;

#[derive(Clone, Copy)]
struct Entry {
    tag: u32,
    value: u32,
}

const VACANT: Entry = Entry { tag: 0, value: EMPTY };

/// One part: entries sorted by tag, gaps between. An entry lies at its home or to the right of it, without wrapping.
#[derive(Default)]
struct Part {
    entries: Vec<Entry>,
    capacity: u32,
    held: u32,
}

impl Part {
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * u64::from(self.capacity)) >> 32) as usize
    }

    /// The place of the tag: `Ok` where it lies, `Err` where it would go.
    fn find(&self, tag: u32) -> Result<usize, usize> {
        let mut at = self.home(tag);
        while let Some(entry) = self.entries.get(at) {
            if entry.value == EMPTY || entry.tag > tag {
                return Err(at);
            }
            if entry.tag == tag {
                return Ok(at);
            }
            at += 1;
        }
        Err(at)
    }

    fn insert(&mut self, at: usize, entry: Entry) {
        if self.held + 1 > self.capacity - self.capacity / 8 || at >= self.entries.len() {
            return self.grow_and_insert(entry);
        }
        let Some(gap) = self.entries[at..].iter().position(|e| e.value == EMPTY) else {
            return self.grow_and_insert(entry);
        };
        self.entries.copy_within(at..at + gap, at + 1);
        self.entries[at] = entry;
        self.held += 1;
    }

    /// Places all entries anew, in order. Displaced entries may run past the capacity: the tail makes room.
    fn grow_and_insert(&mut self, entry: Entry) {
        let capacity = self.capacity + self.capacity / 4 + 16;
        let mut grown = Part { entries: vec![VACANT; capacity as usize + 32], capacity, held: 0 };
        let mut next = 0;
        let mut added = false;
        let mut place = |e: Entry| {
            next = grown.home(e.tag).max(next);
            if next >= grown.entries.len() {
                grown.entries.resize(next + 32, VACANT);
            }
            grown.entries[next] = e;
            grown.held += 1;
            next += 1;
        };
        for old in self.entries.iter().filter(|e| e.value != EMPTY) {
            if !added && old.tag > entry.tag {
                place(entry);
                added = true;
            }
            place(*old);
        }
        if !added {
            place(entry);
        }
        *self = grown;
    }

    /// Closes the gap: entries to the right move back unless they are at home.
    fn remove(&mut self, at: usize) {
        let mut end = at + 1;
        while end < self.entries.len() && self.entries[end].value != EMPTY && self.home(self.entries[end].tag) < end {
            end += 1;
        }
        self.entries.copy_within(at + 1..end, at);
        self.entries[end - 1] = VACANT;
        self.held -= 1;
    }
}

/// Blocks of one capacity, one after another; unused places at the end of a block are EMPTY.
#[derive(Default)]
struct Pool {
    places: Vec<Slot>,
    free: Vec<u32>,
}

pub struct Index {
    parts: Vec<Part>,
    pools: [Pool; POOL_CLASSES],
    big: Vec<VecDeque<Slot>>,
    free_big: Vec<u32>,
}

/// The attempts of one block in (event time, id) order.
#[derive(Clone, Copy)]
pub enum Block<'a> {
    One(Slot),
    Many(&'a [Slot], &'a [Slot]),
}

impl<'a> Block<'a> {
    pub const NONE: Block<'static> = Block::Many(&[], &[]);

    pub(super) fn len(self) -> usize {
        match self {
            Block::One(_) => 1,
            Block::Many(a, b) => a.len() + b.len(),
        }
    }

    pub fn get(self, i: usize) -> Slot {
        match self {
            Block::One(slot) => slot,
            Block::Many(a, b) => a.get(i).or_else(|| b.get(i - a.len())).copied().unwrap_or(EMPTY),
        }
    }

    /// How many attempts satisfy `earlier`, which must hold for a prefix. In-order arrivals look at the last one only.
    pub fn prefix(self, earlier: impl Fn(Slot) -> bool) -> usize {
        let length = self.len();
        if length == 0 || earlier(self.get(length - 1)) {
            return length;
        }
        let (mut low, mut high) = (0, length - 1);
        while low < high {
            let middle = (low + high) / 2;
            if earlier(self.get(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

impl Default for Index {
    fn default() -> Index {
        Index {
            parts: (0..1 << PART_BITS).map(|_| Part::default()).collect(),
            pools: Default::default(),
            big: Vec::new(),
            free_big: Vec::new(),
        }
    }
}

fn split(key: Key) -> (usize, u32) {
    ((key.hash >> 32) as usize, key.hash as u32)
}

fn class_of(value: u32) -> u32 {
    (value >> 28) & 7
}

fn number_of(value: u32) -> u32 {
    value & 0x0FFF_FFFF
}

fn pooled(class: u32, number: u32) -> u32 {
    POOLED | class << 28 | number
}

impl Index {
    /// Brings the homes of all keys into the cache at once: the misses overlap instead of queueing.
    pub fn touch(&self, keys: &[Key]) -> u32 {
        keys.iter().fold(0, |sum, key| {
            let (part, tag) = split(*key);
            let part = &self.parts[part];
            sum.wrapping_add(part.entries.get(part.home(tag)).map_or(0, |e| e.tag))
        })
    }

    pub fn get(&self, key: Key) -> Block<'_> {
        let (part, tag) = split(key);
        let part = &self.parts[part];
        match part.find(tag) {
            Ok(at) => self.block(part.entries[at].value),
            Err(_) => Block::NONE,
        }
    }

    fn block(&self, value: u32) -> Block<'_> {
        if value & POOLED == 0 {
            return Block::One(value);
        }
        let number = number_of(value) as usize;
        match class_of(value) {
            BIG => {
                let (a, b) = self.big[number].as_slices();
                Block::Many(a, b)
            }
            class => {
                let size = 1usize << class;
                let places = &self.pools[class as usize - 1].places[number * size..(number + 1) * size];
                let used = places.partition_point(|slot| *slot != EMPTY);
                Block::Many(&places[..used], &[])
            }
        }
    }

    /// Adds an attempt to a block. `earlier(other)`: the other attempt comes before this one by (event time, id).
    pub fn insert(&mut self, key: Key, slot: Slot, earlier: impl Fn(Slot) -> bool) {
        let (part, tag) = split(key);
        match self.parts[part].find(tag) {
            Err(at) => self.parts[part].insert(at, Entry { tag, value: slot }),
            Ok(at) => {
                let value = self.parts[part].entries[at].value;
                self.parts[part].entries[at].value = self.add(value, slot, earlier);
            }
        }
    }

    fn add(&mut self, value: u32, slot: Slot, earlier: impl Fn(Slot) -> bool) -> u32 {
        if value & POOLED == 0 {
            let pair = if earlier(value) { [value, slot] } else { [slot, value] };
            return self.new_block(1, &pair);
        }
        let (class, number) = (class_of(value), number_of(value) as usize);
        let at = self.block(value).prefix(earlier);
        if class == BIG {
            self.big[number].insert(at, slot);
            return value;
        }
        let size = 1usize << class;
        let places = &mut self.pools[class as usize - 1].places[number * size..(number + 1) * size];
        if places[size - 1] == EMPTY {
            places.copy_within(at..size - 1, at + 1);
            places[at] = slot;
            return value;
        }
        let mut moved = places.to_vec();
        moved.insert(at, slot);
        self.release(class, number as u32);
        self.new_block(class + 1, &moved)
    }

    fn new_block(&mut self, class: u32, slots: &[Slot]) -> u32 {
        if class as usize > POOL_CLASSES {
            let block: VecDeque<Slot> = slots.iter().copied().collect();
            let number = self.free_big.pop().unwrap_or(self.big.len() as u32);
            if number as usize == self.big.len() {
                self.big.push(block)
            } else {
                self.big[number as usize] = block
            }
            return pooled(BIG, number);
        }
        let size = 1usize << class;
        let pool = &mut self.pools[class as usize - 1];
        let number = pool.free.pop().unwrap_or_else(|| {
            pool.places.resize(pool.places.len() + size, EMPTY);
            (pool.places.len() / size - 1) as u32
        });
        let places = &mut pool.places[number as usize * size..(number as usize + 1) * size];
        places.fill(EMPTY);
        places[..slots.len()].copy_from_slice(slots);
        pooled(class, number)
    }

    fn release(&mut self, class: u32, number: u32) {
        if class == BIG {
            self.big[number as usize] = VecDeque::new();
            self.free_big.push(number);
        } else {
            self.pools[class as usize - 1].free.push(number);
        }
    }

    /// Takes an attempt out of a block; nothing happens when it is not there.
    pub fn remove(&mut self, key: Key, slot: Slot) {
        let (part, tag) = split(key);
        let Ok(at) = self.parts[part].find(tag) else { return };
        let value = self.parts[part].entries[at].value;
        if value & POOLED == 0 {
            if value == slot {
                self.parts[part].remove(at);
            }
            return;
        }
        let left = self.take(value, slot);
        if let Some(last) = left {
            self.release(class_of(value), number_of(value));
            self.parts[part].entries[at].value = last;
        }
    }

    /// Removes from a block; the one attempt left, if it is one.
    fn take(&mut self, value: u32, slot: Slot) -> Option<Slot> {
        let (class, number) = (class_of(value), number_of(value) as usize);
        if class == BIG {
            let block = &mut self.big[number];
            if let Some(at) = block.iter().position(|s| *s == slot) {
                block.remove(at);
            }
            return (block.len() == 1).then(|| block[0]);
        }
        let size = 1usize << class;
        let places = &mut self.pools[class as usize - 1].places[number * size..(number + 1) * size];
        if let Some(at) = places.iter().position(|s| *s == slot) {
            places.copy_within(at + 1.., at);
            places[size - 1] = EMPTY;
        }
        (places[0] != EMPTY && places.get(1) == Some(&EMPTY)).then(|| places[0])
    }

    /// Bytes of the table and the blocks as allocated.
    pub fn resident_bytes(&self) -> usize {
        let tables: usize = self.parts.iter().map(|p| p.entries.capacity() * 8 + 40).sum();
        let pools: usize = self.pools.iter().map(|p| p.places.capacity() * 4 + p.free.capacity() * 4).sum();
        let big: usize = self.big.iter().map(|b| b.capacity() * 4 + 32).sum();
        tables + pools + big
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::blocking::Family;
    use std::collections::BTreeMap;

    fn key(hash: u64) -> Key {
        Key { hash, family: Family::Vin, source: false }
    }

    /// A seeded stream of inserts and removals against a plain map of sorted lists.
    #[test]
    fn agrees_with_a_plain_map() {
        let mut random = 0x9E37_79B9_7F4A_7C15u64;
        let mut next = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let mut index = Index::default();
        let mut plain: BTreeMap<u64, Vec<Slot>> = BTreeMap::new();
        for round in 0..200_000u32 {
            // Two parts, many tags; small keys give blocks of every class up to big.
            let hash = if next(3) == 0 { next(40) << 26 } else { (next(2) << 32) | next(1 << 32) };
            let block = plain.entry(hash).or_default();
            if next(5) < 3 {
                let slot = next(1 << 20) as Slot;
                if let Err(at) = block.binary_search(&slot) {
                    block.insert(at, slot);
                    index.insert(key(hash), slot, |other| other < slot);
                }
            } else if !block.is_empty() {
                let slot = block.remove(next(block.len() as u64) as usize);
                index.remove(key(hash), slot);
            }
            if round % 1000 == 0 {
                for (hash, expected) in &plain {
                    let got = index.get(key(*hash));
                    assert_eq!((0..got.len()).map(|i| got.get(i)).collect::<Vec<_>>(), *expected, "round {round} key {hash:x}");
                }
            }
        }
        assert!(plain.values().any(|block| block.len() > 128), "the test reaches big blocks");
    }
}
