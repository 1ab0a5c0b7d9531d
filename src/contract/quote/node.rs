//! The walk: serde calls back for every JSON value, and a [`Handler`] says what is expected there.
//!
//! A value of another type is noted as an error and skipped, so that one pass finds every offending field.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::cursor::{Cursor, Key, Number, SeenKeys, Segment};

/// A JSON value that is neither null, nor empty text, nor a container.
#[derive(Clone, Copy)]
pub(super) enum Scalar<'s> {
    Text(&'s str),
    Number(Number),
    Bool(bool),
}

impl Scalar<'_> {
    fn name(self) -> &'static str {
        match self {
            Scalar::Text(_) => "a string",
            Scalar::Number(_) => "a number",
            Scalar::Bool(_) => "true or false",
        }
    }
}

/// What is expected at one place of the body. `null` and `""` never reach it: they mean "not given".
pub(super) trait Handler<'de>: Sized {
    /// For error texts, with its article.
    const EXPECTED: &'static str;

    /// Takes a scalar, or gives it back as being of the wrong type.
    fn scalar(self, cursor: &mut Cursor<'de>, value: Scalar<'_>) -> Result<(), WrongType>;

    fn object<A: MapAccess<'de>>(self, cursor: &mut Cursor<'de>, map: A) -> Result<(), A::Error> {
        cursor.wrong_type(Self::EXPECTED, "an object");
        Skip.object(cursor, map)
    }

    fn array<A: SeqAccess<'de>>(self, cursor: &mut Cursor<'de>, seq: A) -> Result<(), A::Error> {
        cursor.wrong_type(Self::EXPECTED, "an array");
        Skip.array(cursor, seq)
    }
}

pub(super) struct WrongType;

/// One value about to be read.
pub(super) struct Node<'c, 'de, H> {
    pub cursor: &'c mut Cursor<'de>,
    pub handler: H,
}

impl<'de, H: Handler<'de>> Node<'_, 'de, H> {
    fn scalar<E: Error>(self, value: Scalar<'_>) -> Result<(), E> {
        if let Err(WrongType) = self.handler.scalar(self.cursor, value) {
            self.cursor.wrong_type(H::EXPECTED, value.name());
        }
        Ok(())
    }
}

impl<'de, H: Handler<'de>> DeserializeSeed<'de> for Node<'_, 'de, H> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, H: Handler<'de>> Visitor<'de> for Node<'_, 'de, H> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(H::EXPECTED)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if text.is_empty() { Ok(()) } else { self.scalar(Scalar::Text(text)) }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(Scalar::Number(Number::Integer(value.into())))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Number(Number::Integer(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Number(Number::from_f64(value)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.cursor.enter()?;
        self.handler.object(self.cursor, map)?;
        self.cursor.leave();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.cursor.enter()?;
        self.handler.array(self.cursor, seq)?;
        self.cursor.leave();
        Ok(())
    }
}

/// A key, borrowed from the body unless it holds escapes.
pub(super) struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// Any value at all: read over, with depth and duplicate keys still watched.
pub(super) struct Skip;

impl<'de> Handler<'de> for Skip {
    const EXPECTED: &'static str = "any value";

    fn scalar(self, _: &mut Cursor<'de>, _: Scalar<'_>) -> Result<(), WrongType> {
        Ok(())
    }

    fn object<A: MapAccess<'de>>(self, cursor: &mut Cursor<'de>, mut map: A) -> Result<(), A::Error> {
        let mut seen = SeenKeys::default();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            cursor.push(Segment::Key(key.clone()));
            seen.note(key, cursor);
            map.next_value_seed(Node { cursor: &mut *cursor, handler: Skip })?;
            cursor.pop();
        }
        Ok(())
    }

    fn array<A: SeqAccess<'de>>(self, cursor: &mut Cursor<'de>, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            cursor.push(Segment::Index(index));
            let next = seq.next_element_seed(Node { cursor: &mut *cursor, handler: Skip })?;
            cursor.pop();
            if next.is_none() {
                break;
            }
        }
        Ok(())
    }
}
