//! What the decoder carries while it walks one body: where it stands, what it found wrong, and the hash so far.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

use serde::de::Error;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use super::text;
use crate::contract::error::{FieldCode, FieldError};
use crate::engine::limits::{ERRORS_SHOWN_MAX, JSON_DEPTH_MAX, STRING_CHARS_MAX};

pub(super) type Key<'de> = Cow<'de, str>;

pub(super) enum Segment<'de> {
    Key(Key<'de>),
    Index(usize),
}

#[derive(Default)]
pub(super) struct Cursor<'de> {
    path: Vec<Segment<'de>>,
    depth: usize,
    pub errors: Vec<FieldError>,
    /// Errors beyond `ERRORS_SHOWN_MAX`.
    pub errors_hidden: usize,
    pub is_too_deep: bool,
    pub unknown_fields: u32,
    /// The place of the value being read, unique among known fields: the seed of its part of the hash.
    pub tag: u64,
    /// Sum of the hashes of all values given, so that the order of keys does not matter.
    pub hash: u128,
}

/// The type of a hashed value: `"1"`, `1` and `true` differ.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Typed {
    Text = 1,
    Integer = 2,
    Decimal = 3,
    Bool = 4,
    Instant = 5,
}

impl<'de> Cursor<'de> {
    pub fn push(&mut self, segment: Segment<'de>) {
        self.path.push(segment);
    }

    pub fn pop(&mut self) {
        self.path.pop();
    }

    /// Steps into an object or array; fails the whole body beyond the depth limit, before more stack or input is used.
    pub fn enter<E: Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth > JSON_DEPTH_MAX {
            self.is_too_deep = true;
            return Err(E::custom("too deep"));
        }
        Ok(())
    }

    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Notes an error at the value being read.
    pub fn fail(&mut self, code: FieldCode, detail: impl Into<String>) {
        self.fail_at(self.pointer(), code, detail.into());
    }

    fn fail_at(&mut self, pointer: String, code: FieldCode, detail: String) {
        if self.errors.len() < ERRORS_SHOWN_MAX {
            self.errors.push(FieldError { pointer, code, detail });
        } else {
            self.errors_hidden += 1;
        }
    }

    pub fn duplicate(&mut self) {
        self.fail(FieldCode::DuplicateKey, "give this key once");
    }

    /// Notes that a required field is missing, unless it, or what it would stand in, was given and refused.
    pub fn require(&mut self, pointer: &str, detail: &str) {
        let covers = |error: &FieldError| {
            pointer.strip_prefix(error.pointer.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !self.errors.iter().any(covers) {
            self.fail_at(pointer.to_owned(), FieldCode::Required, detail.to_owned());
        }
    }

    pub fn wrong_type(&mut self, expected: &str, found: &str) {
        self.fail(FieldCode::WrongType, format!("expected {expected}, found {found}"));
    }

    /// JSON pointer of the value being read. Long keys are cut: an error must stay small whatever the body.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for segment in &self.path {
            pointer.push('/');
            match segment {
                Segment::Index(index) => _ = write!(pointer, "{index}"),
                Segment::Key(key) => push_escaped(&mut pointer, key),
            }
        }
        pointer
    }

    /// Adds a value that was given to the hash of the body.
    pub fn hash(&mut self, typed: Typed, bytes: &[u8]) {
        let seed = (self.tag << 8) | typed as u64;
        self.hash = self.hash.wrapping_add(xxh3_128_with_seed(bytes, seed));
    }

    /// Checks a string, hashes it as written and strips it. `None` when it was refused or nothing visible is left.
    pub fn clean<'t>(&mut self, raw: &'t str, chars_max: usize) -> Option<Cow<'t, str>> {
        if text::is_longer(raw, chars_max) {
            self.fail(FieldCode::TooLong, format!("give at most {chars_max} characters"));
            return None;
        }
        let clean = text::strip(raw);
        self.hash(Typed::Text, raw.as_bytes());
        if matches!(clean, Cow::Owned(_)) && raw.contains('\0') {
            self.fail(FieldCode::Nul, "remove the character U+0000");
            return None;
        }
        (!clean.is_empty()).then_some(clean)
    }
}

fn push_escaped(pointer: &mut String, key: &str) {
    for (i, c) in key.chars().enumerate() {
        match c {
            _ if i >= STRING_CHARS_MAX => return pointer.push('…'),
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// A number in the one form that equal numbers share: `1`, `1.0` and `10e-1` are the integer 1, exactly.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Integer(i128),
    Decimal(f64),
}

impl Number {
    pub fn from_f64(value: f64) -> Number {
        const INTEGERS_BELOW: f64 = 18_446_744_073_709_551_616.0;
        if value.fract() == 0.0 && value.abs() < INTEGERS_BELOW {
            return Number::Integer(value as i128);
        }
        Number::Decimal(value)
    }

    pub fn to_f64(self) -> f64 {
        match self {
            Number::Integer(value) => value as f64,
            Number::Decimal(value) => value,
        }
    }

    /// Type and bytes for hashing.
    pub fn canonical(self) -> (Typed, [u8; 16]) {
        match self {
            Number::Integer(value) => (Typed::Integer, value.to_le_bytes()),
            Number::Decimal(value) => (Typed::Decimal, u128::from(value.to_bits()).to_le_bytes()),
        }
    }
}

/// Hash of one entry of `coverage.extra`; the sum over the entries is order-free.
pub(super) fn entry_hash(key: &str, typed: Typed, value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64_with_seed(key.as_bytes(), typed as u64))
}

/// The keys an object has shown so far, for objects whose keys are not known beforehand.
#[derive(Default)]
pub(super) struct SeenKeys<'de>(HashSet<Key<'de>>);

impl<'de> SeenKeys<'de> {
    /// Notes a repeated key as an error; the path must end with it.
    pub fn note(&mut self, key: Key<'de>, cursor: &mut Cursor<'de>) {
        if !self.0.insert(key) {
            cursor.duplicate();
        }
    }
}
