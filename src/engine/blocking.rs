//! Blocking keys: which attempts are worth comparing. A function of the fingerprint alone, so keys are never stored.

use super::fingerprint::{Fingerprint, Text};
use super::normalise::name::code;

/// Where a key comes from. Hits in two families, or three hits, make a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    Vin = 0,
    Document = 1,
    Licence = 2,
    Phone = 3,
    Plate = 4,
    Person = 5,
    Address = 6,
    Email = 7,
    Device = 8,
    Session = 9,
}

/// A block's name: a hash over tenant, kind and value. As [`derive`] gives it, 64 bits that every log agrees on; as the index
/// uses it, 44 bits of that, mixed with the seed of the log by [`place`].
///
/// Two values that share their bits share a block; that depends on the values alone, never on what else is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub hash: u64,
    pub family: Family,
    /// The whole value, not a part of it: its population tells a hub.
    pub source: bool,
}

pub const KEY_BITS: u32 = 44;
/// Most keys one fingerprint has: 10 + 3 + 4 + 3 + 1 + 4 + 4 + 2 + 1 + 1 + 1, and a licence per driver.
pub const KEYS_MAX: usize = 34 + super::limits::DRIVERS_MAX;

/// The seed of the log: an attacker who does not know it cannot aim at one bucket.
pub fn seed(log_id: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(log_id.as_bytes(), 0x71_75_6f_74_65)
}

struct Keys<'a> {
    out: &'a mut Vec<Key>,
    buffer: Vec<u8>,
    tenant: usize,
}

impl Keys<'_> {
    fn add(&mut self, family: Family, kind: u8, source: bool, parts: &[&[u8]]) {
        self.buffer.truncate(self.tenant);
        self.buffer.push(kind);
        for part in parts {
            self.buffer.extend_from_slice(part);
            self.buffer.push(0);
        }
        let hash = xxhash_rust::xxh3::xxh3_64(&self.buffer);
        self.out.push(Key { hash, family, source });
    }
}

/// Appends the keys of one fingerprint, placed in the log with that seed, distinct, in a fixed order.
pub fn keys(print: &Fingerprint, seed: u64, out: &mut Vec<Key>) {
    let from = out.len();
    derive(print, out);
    for key in &mut out[from..] {
        *key = place(*key, seed);
    }
}

/// The place of a key in the log with that seed: a folded multiplication, so that whoever can aim a 64-bit hash still cannot
/// aim at one bucket of the index.
pub fn place(key: Key, seed: u64) -> Key {
    let product = u128::from(key.hash ^ seed) * u128::from((0x9E37_79B9_7F4A_7C15 ^ seed.rotate_left(32)) | 1);
    Key { hash: ((product as u64) ^ (product >> 64) as u64) >> (64 - KEY_BITS), ..key }
}

/// Appends the keys of one fingerprint before they are placed in a log.
pub fn derive(print: &Fingerprint, out: &mut Vec<Key>) {
    let from = out.len();
    let mut buffer = Vec::with_capacity(128);
    buffer.extend_from_slice(print.tenant().as_bytes());
    buffer.push(0);
    let tenant = buffer.len();
    let mut keys = Keys { out, buffer, tenant };
    vehicle_keys(&mut keys, print);
    paper_keys(&mut keys, print);
    person_keys(&mut keys, print);
    address_keys(&mut keys, print);
    source_keys(&mut keys, print);
    debug_assert!(out.len() - from <= KEYS_MAX);
}

/// Five interleaved parts, any three kept: finds every two substitutions and every swap of neighbours (pigeonhole).
const THREE_OF_FIVE: [[usize; 3]; 10] =
    [[0, 1, 2], [0, 1, 3], [0, 1, 4], [0, 2, 3], [0, 2, 4], [0, 3, 4], [1, 2, 3], [1, 2, 4], [1, 3, 4], [2, 3, 4]];

fn vehicle_keys(keys: &mut Keys, print: &Fingerprint) {
    let vin = print.text(Text::Vin).as_bytes();
    if vin.len() >= 8 {
        for (n, parts) in THREE_OF_FIVE.iter().enumerate() {
            let mut kept = [0u8; 96];
            let mut length = 0;
            for (_, c) in vin.iter().enumerate().filter(|(i, _)| parts.contains(&(i % 5))).take(kept.len()) {
                kept[length] = *c;
                length += 1;
            }
            keys.add(Family::Vin, n as u8, false, &[&kept[..length]]);
        }
    } else if !vin.is_empty() {
        keys.add(Family::Vin, 10, false, &[vin]);
    }
    let plate = print.text(Text::Plate);
    let (main, region) = plate.split_once(' ').unwrap_or((plate, ""));
    if main.is_empty() {
        return;
    }
    keys.add(Family::Plate, 11, false, &[main.as_bytes()]);
    if main.len() == 6 {
        for (n, range) in [0..2, 2..4, 4..6].into_iter().enumerate() {
            let rest = [&main.as_bytes()[..range.start], &main.as_bytes()[range.end..]].concat();
            keys.add(Family::Plate, 12 + n as u8, false, &[&rest, region.as_bytes()]);
        }
    }
}

/// Three contiguous parts, any two kept: finds one wrong character, and a swap inside a part.
fn two_of_three(keys: &mut Keys, family: Family, kind: u8, text: &str) {
    let b = text.as_bytes();
    if b.len() < 6 {
        if !b.is_empty() {
            keys.add(family, kind + 3, false, &[b]);
        }
        return;
    }
    let (i, j) = (b.len() / 3, b.len() - b.len() / 3);
    keys.add(family, kind, false, &[&b[..j]]);
    keys.add(family, kind + 1, false, &[&b[i..]]);
    keys.add(family, kind + 2, false, &[&b[..i], &b[j..]]);
}

fn paper_keys(keys: &mut Keys, print: &Fingerprint) {
    two_of_three(keys, Family::Document, 20, print.text(Text::IdDocument));
    let licence = print.text(Text::DriverLicence);
    two_of_three(keys, Family::Licence, 30, licence);
    let own = if licence.is_empty() { 0 } else { super::normalise::hash32(licence.as_bytes()) };
    let mut seen = [0u32; 1 + super::limits::DRIVERS_MAX];
    let papers = std::iter::once(own).chain(print.drivers.iter().map(|d| d.licence)).filter(|l| *l != 0);
    for (n, paper) in papers.take(seen.len()).enumerate() {
        if !seen[..n].contains(&paper) {
            keys.add(Family::Licence, 35, false, &[&paper.to_le_bytes()]);
        }
        seen[n] = paper;
    }
    two_of_three(keys, Family::Phone, 40, print.text(Text::Phone));
    if !print.text(Text::Phone).is_empty() {
        keys.add(Family::Phone, 45, true, &[print.text(Text::Phone).as_bytes()]);
    }
}

fn person_keys(keys: &mut Keys, print: &Fingerprint) {
    let (given, middle) = (print.text(Text::FirstName), print.text(Text::MiddleName));
    let born = print.birth_date;
    if !born.is_given() {
        return;
    }
    let (day, month) = (born.day() as u8, born.month() as u8);
    let canonical = [&born.year().to_le_bytes()[..2], &[day.min(month), day.max(month)]].concat();
    let unordered = &canonical[2..];
    let surname = print.surname_code.to_le_bytes();
    if print.surname_code != 0 {
        keys.add(Family::Person, 50, false, &[&canonical, &surname]);
        keys.add(Family::Person, 51, false, &[unordered, &surname, &code(given)]);
    }
    if !given.is_empty() {
        keys.add(Family::Person, 52, false, &[&canonical, given.as_bytes()]);
        if !middle.is_empty() {
            keys.add(Family::Person, 53, false, &[unordered, given.as_bytes(), middle.as_bytes()]);
        }
    }
}

fn address_keys(keys: &mut Keys, print: &Fingerprint) {
    let [city, street, house, flat] = [Text::City, Text::Street, Text::House, Text::Flat].map(|slot| print.text(slot).as_bytes());
    if street.is_empty() && house.is_empty() {
        return;
    }
    keys.add(Family::Address, 60, true, &[city, street, house, flat]);
    if print.surname_code != 0 && !house.is_empty() {
        keys.add(Family::Address, 61, false, &[house, flat, &print.surname_code.to_le_bytes()]);
    }
}

fn source_keys(keys: &mut Keys, print: &Fingerprint) {
    let email = print.text(Text::Email);
    if !email.is_empty() {
        keys.add(Family::Email, 70, true, &[email.as_bytes()]);
    }
    if print.device != 0 {
        keys.add(Family::Device, 80, true, &[&print.device.to_le_bytes()]);
    }
    if print.session != 0 {
        keys.add(Family::Session, 81, true, &[&print.session.to_le_bytes()]);
    }
}
