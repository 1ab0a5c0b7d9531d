//! The kinds of places a quote has: texts, numbers, dates, objects with known keys, the drivers, the extra choices.
//!
//! Each is made by a function from the slot it fills, so that `objects` reads like the contract's table.

use std::borrow::Cow;

use serde::de::{MapAccess, SeqAccess};

use super::cursor::{Cursor, Number, SeenKeys, Segment, Typed, entry_hash};
use super::node::{Handler, KeySeed, Node, Scalar, Skip, WrongType};
use crate::contract::error::FieldCode;
use crate::engine::limits::{DRIVERS_MAX, EXTRA_MAX, STRING_CHARS_MAX};
use crate::engine::quote::{Driver, Text};

/// Free text: bounded, without invisible characters.
pub(super) fn text<const CHARS_MAX: usize>(slot: &mut Text) -> TextField<'_> {
    TextField { slot, chars_max: CHARS_MAX, is_as_written: false }
}

/// Text that may be a disguise: bounded and kept as it came, for the engine to strip and to hold as evidence.
pub(super) fn identity<const CHARS_MAX: usize>(slot: &mut Text) -> TextField<'_> {
    TextField { slot, chars_max: CHARS_MAX, is_as_written: true }
}

pub(super) struct TextField<'t> {
    slot: &'t mut Text,
    chars_max: usize,
    is_as_written: bool,
}

impl<'de> Handler<'de> for TextField<'_> {
    const EXPECTED: &'static str = "a string";

    fn scalar(self, cursor: &mut Cursor<'de>, value: Scalar<'_>) -> Result<(), WrongType> {
        let Scalar::Text(raw) = value else { return Err(WrongType) };
        let visible = cursor.clean(raw, self.chars_max);
        *self.slot = visible.map(|visible| if self.is_as_written { raw.into() } else { visible.into() });
        Ok(())
    }
}

/// Why a text of a fixed form was refused.
pub(super) type Refusal = (FieldCode, &'static str);

/// A text of a fixed form, read as it came: there is nothing to strip in a date.
pub(super) struct Parsed<'t, T> {
    pub slot: &'t mut T,
    pub parse: fn(&str) -> Result<T, Refusal>,
}

impl<'de, T> Handler<'de> for Parsed<'_, T> {
    const EXPECTED: &'static str = "a string";

    fn scalar(self, cursor: &mut Cursor<'de>, value: Scalar<'_>) -> Result<(), WrongType> {
        let Scalar::Text(raw) = value else { return Err(WrongType) };
        match (self.parse)(raw) {
            Ok(parsed) => *self.slot = parsed,
            Err((code, detail)) => cursor.fail(code, detail),
        }
        cursor.hash(Typed::Text, raw.as_bytes());
        Ok(())
    }
}

/// A number within bounds of its own.
pub(super) struct NumberField<'t, T> {
    pub slot: &'t mut T,
    pub convert: fn(f64) -> Result<T, Refusal>,
}

impl<'de, T> Handler<'de> for NumberField<'_, T> {
    const EXPECTED: &'static str = "a number (without quotes)";

    fn scalar(self, cursor: &mut Cursor<'de>, value: Scalar<'_>) -> Result<(), WrongType> {
        let Scalar::Number(number) = value else { return Err(WrongType) };
        match (self.convert)(number.to_f64()) {
            Ok(converted) => *self.slot = converted,
            Err((code, detail)) => cursor.fail(code, detail),
        }
        hash_number(cursor, number);
        Ok(())
    }
}

fn hash_number(cursor: &mut Cursor<'_>, number: Number) {
    let (typed, bytes) = number.canonical();
    cursor.hash(typed, &bytes);
}

/// An object whose keys the contract lists.
pub(super) trait Object<'de>: Sized {
    /// At most 32; the hash of the body names a field by its place here: append only.
    const KEYS: &'static [&'static str];
    /// Tells the objects of a quote apart in the hash of the body. Drivers use theirs and those that follow.
    const NUMBER: u64;

    /// Reads the value of `KEYS[key]`.
    fn value<A: MapAccess<'de>>(&mut self, key: usize, cursor: &mut Cursor<'de>, map: &mut A) -> Result<(), A::Error>;
}

/// An object and which of its keys were there, with a value or without.
#[derive(Default)]
pub(super) struct Seen<T> {
    pub value: T,
    keys: u32,
}

impl<T> Seen<T> {
    pub fn has<'de>(&self, key: &str) -> bool
    where
        T: Object<'de>,
    {
        T::KEYS.iter().position(|known| *known == key).is_some_and(|i| self.keys & (1 << i) != 0)
    }
}

pub(super) fn object<T>(slot: &mut Seen<T>) -> ObjectField<'_, T> {
    ObjectField { slot: &mut slot.value, keys: &mut slot.keys, number_offset: 0 }
}

pub(super) struct ObjectField<'t, T> {
    slot: &'t mut T,
    keys: &'t mut u32,
    number_offset: u64,
}

impl<'de, T: Object<'de>> Handler<'de> for ObjectField<'_, T> {
    const EXPECTED: &'static str = "an object";

    fn scalar(self, _: &mut Cursor<'de>, _: Scalar<'_>) -> Result<(), WrongType> {
        Err(WrongType)
    }

    fn object<A: MapAccess<'de>>(self, cursor: &mut Cursor<'de>, mut map: A) -> Result<(), A::Error> {
        let (mut unknown, mut expected) = (SeenKeys::default(), 0);
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let Some(found) = find(T::KEYS, expected, &key) else {
                cursor.unknown_fields = cursor.unknown_fields.saturating_add(1);
                cursor.push(Segment::Key(key.clone()));
                unknown.note(key, cursor);
                map.next_value_seed(Node { cursor: &mut *cursor, handler: Skip })?;
                cursor.pop();
                continue;
            };
            cursor.push(Segment::Key(Cow::Borrowed(T::KEYS[found])));
            if *self.keys & (1 << found) != 0 {
                cursor.duplicate();
            }
            *self.keys |= 1 << found;
            expected = found + 1;
            cursor.tag = ((T::NUMBER + self.number_offset) << 8) | found as u64;
            self.slot.value(found, cursor, &mut map)?;
            cursor.pop();
        }
        Ok(())
    }
}

/// The place of `key`, tried first where it stands when a writer keeps the contract's order.
fn find(keys: &[&str], expected: usize, key: &str) -> Option<usize> {
    if keys.get(expected).is_some_and(|known| *known == key) {
        return Some(expected);
    }
    keys.iter().position(|known| *known == key)
}

pub(super) fn drivers(slot: &mut Vec<Driver>) -> DriversField<'_> {
    DriversField(slot)
}

/// The drivers; one in whom nothing is given is no driver.
pub(super) struct DriversField<'t>(&'t mut Vec<Driver>);

impl<'de> Handler<'de> for DriversField<'_> {
    const EXPECTED: &'static str = "an array";

    fn scalar(self, _: &mut Cursor<'de>, _: Scalar<'_>) -> Result<(), WrongType> {
        Err(WrongType)
    }

    fn array<A: SeqAccess<'de>>(self, cursor: &mut Cursor<'de>, mut seq: A) -> Result<(), A::Error> {
        let mut count = 0;
        loop {
            let (mut driver, mut keys, hash_before) = (Driver::default(), 0, cursor.hash);
            let handler = ObjectField { slot: &mut driver, keys: &mut keys, number_offset: self.0.len() as u64 };
            cursor.push(Segment::Index(count));
            let next = seq.next_element_seed(Node { cursor: &mut *cursor, handler })?;
            cursor.pop();
            if next.is_none() {
                break;
            }
            count += 1;
            if cursor.hash != hash_before && count <= DRIVERS_MAX {
                self.0.push(driver);
            }
        }
        if count > DRIVERS_MAX {
            cursor.fail(FieldCode::TooMany, format!("give at most {DRIVERS_MAX} drivers"));
        }
        Ok(())
    }
}

pub(super) fn extra(slot: &mut u64) -> ExtraField<'_> {
    ExtraField(slot)
}

/// The insurer's own choices: any scalars, kept as one order-free hash.
pub(super) struct ExtraField<'t>(&'t mut u64);

impl<'de> Handler<'de> for ExtraField<'_> {
    const EXPECTED: &'static str = "an object";

    fn scalar(self, _: &mut Cursor<'de>, _: Scalar<'_>) -> Result<(), WrongType> {
        Err(WrongType)
    }

    fn object<A: MapAccess<'de>>(self, cursor: &mut Cursor<'de>, mut map: A) -> Result<(), A::Error> {
        let (mut seen, mut count, mut sum) = (SeenKeys::default(), 0, None);
        let tag = cursor.tag;
        while let Some(key) = map.next_key_seed(KeySeed)? {
            cursor.push(Segment::Key(key.clone()));
            count += 1;
            if super::text::is_longer(&key, STRING_CHARS_MAX) {
                cursor.fail(FieldCode::TooLong, format!("give the key at most {STRING_CHARS_MAX} characters"));
            } else if key.contains('\0') {
                cursor.fail(FieldCode::Nul, "remove the character U+0000 from the key");
            }
            cursor.tag = entry_hash(&key, Typed::Text, &tag.to_le_bytes());
            map.next_value_seed(Node { cursor: &mut *cursor, handler: ExtraValue { key: &key, sum: &mut sum } })?;
            seen.note(key, cursor);
            cursor.pop();
        }
        if count > EXTRA_MAX {
            cursor.fail(FieldCode::TooMany, format!("give at most {EXTRA_MAX} entries"));
        }
        // 0 is taken: it means that there are none.
        *self.0 = sum.map_or(0, |sum: u64| sum.max(1));
        Ok(())
    }
}

struct ExtraValue<'t> {
    key: &'t str,
    sum: &'t mut Option<u64>,
}

impl<'de> Handler<'de> for ExtraValue<'_> {
    const EXPECTED: &'static str = "a string, a number, true or false";

    fn scalar(self, cursor: &mut Cursor<'de>, value: Scalar<'_>) -> Result<(), WrongType> {
        let hash = match value {
            Scalar::Text(raw) => match cursor.clean(raw, STRING_CHARS_MAX) {
                Some(clean) => entry_hash(self.key, Typed::Text, clean.as_bytes()),
                None => return Ok(()),
            },
            Scalar::Number(number) => {
                hash_number(cursor, number);
                let (typed, bytes) = number.canonical();
                entry_hash(self.key, typed, &bytes)
            }
            Scalar::Bool(value) => {
                cursor.hash(Typed::Bool, &[u8::from(value)]);
                entry_hash(self.key, Typed::Bool, &[u8::from(value)])
            }
        };
        *self.sum = Some(self.sum.unwrap_or(0).wrapping_add(hash));
        Ok(())
    }
}
