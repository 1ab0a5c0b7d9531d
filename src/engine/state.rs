//! Keyed state. (interface first; the body follows)
use super::decision::RuleBookRef;
use super::quote::Quote;
use super::step::{Current, Input, Step};

/// Settings that belong to the log: they may not change under recorded state without a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Random, written when the log is made; the constant `file` for plain files.
    pub log_id: Box<str>,
    pub partition: u32,
    /// Longest window of a rule, seconds.
    pub retention_secs: i64,
    pub max_live_attempts: usize,
    pub lateness_http_secs: i64,
    pub lateness_stream_secs: i64,
    pub max_skew_secs: i64,
    pub max_age_secs: i64,
    pub max_jump_secs: i64,
}

/// A quote made ready without any state: safe to do in parallel.
#[derive(Clone, Debug)]
pub struct Prepared {
    _todo: (),
}

/// Everything one record changes. Carries the position it leads to and refuses gaps.
#[derive(Clone, Debug)]
pub struct Delta {
    _todo: (),
}

#[derive(Debug, PartialEq, Eq)]
pub struct CorruptDelta(pub &'static str);

impl Delta {
    /// Appends the stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let _ = out;
        todo!()
    }
    /// Reads one delta off the front of `bytes`.
    pub fn decode(bytes: &mut &[u8]) -> Result<Delta, CorruptDelta> {
        let _ = bytes;
        todo!()
    }
}

pub struct State {
    _todo: (),
}

/// Compiled rule books by (version, hash): those in force within the look-back of amendments.
pub struct Books {
    _todo: (),
}

impl State {
    pub fn new(settings: Settings) -> State {
        let _ = settings;
        todo!()
    }
    /// The only mutator. Panics never; a delta that does not start at `next_offset` is refused.
    pub fn apply(&mut self, delta: &Delta) -> Result<(), CorruptDelta> {
        let _ = delta;
        todo!()
    }
    /// Next offset to read.
    pub fn next_offset(&self) -> u64 {
        todo!()
    }
    /// Order-free digest of the live set.
    pub fn digest(&self) -> u64 {
        todo!()
    }
    pub fn live_attempts(&self) -> usize {
        todo!()
    }
    pub fn resident_bytes(&self) -> usize {
        todo!()
    }
    /// The decision that stands for a live quote id.
    pub fn current(&self, tenant: &str, quote_id: &str) -> Option<Current> {
        let _ = (tenant, quote_id);
        todo!()
    }
    /// The rule book in force at the next offset.
    pub fn rule_book(&self) -> Option<RuleBookRef> {
        todo!()
    }
}

pub fn prepare(quote: &Quote, log_id: &str) -> Prepared {
    let _ = (quote, log_id);
    todo!()
}

/// Pure: the same state, input and books give the same step.
pub fn decide(state: &State, input: &Input, books: &Books) -> Step {
    let _ = (state, input, books);
    todo!()
}
