//! From the bytes of a record to something the engine can step: stateless, so safe to do ahead and in parallel.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::contract::quote::decode;
use crate::engine::decide::Prepared;
use crate::engine::step::ArrivalClock;
use crate::metrics::product_label;
use crate::pipeline::checkpoint::LastRecord;

use crate::pipeline::partitioner::partition_of;

/// A record as fetched from a partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fetched {
    pub offset: u64,
    /// Append time of the log, microseconds.
    pub arrival: i64,
    pub key: Option<Box<[u8]>>,
    pub value: Option<Box<[u8]>>,
    /// Set by the instance that appended the record for a submitter who waits.
    pub token: Option<Box<[u8]>>,
    /// Of a quote whose trace goes on here.
    pub traceparent: Option<Box<str>>,
    /// One of our own pointers into the control topic.
    pub is_pointer: bool,
}

impl Fetched {
    /// What tells the record from another one at its offset.
    pub fn last_record(&self) -> LastRecord {
        let mut crc = flate2::Crc::new();
        crc.update(self.key.as_deref().unwrap_or_default());
        crc.update(b"\0");
        crc.update(self.value.as_deref().unwrap_or_default());
        LastRecord { offset: self.offset, arrival: self.arrival, crc: crc.sum() }
    }
}

/// A record ready for its step.
#[derive(Clone, Debug)]
pub struct Ready {
    pub last: LastRecord,
    pub token: Option<Box<[u8]>>,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    Quote {
        clock: ArrivalClock,
        prepared: Arc<Prepared>,
        product: &'static str,
        /// Kept for the dead-letter topic, should the step refuse the quote.
        raw: Box<Fetched>,
    },
    /// Control records up to this offset are in force from here.
    Pointer { control: u64, raw: Box<Fetched> },
    /// No quote: to the dead-letter topic with a stable code and what to do.
    Dead { reason: &'static str, error: String, raw: Box<Fetched> },
}

/// Where records are read, and how their time is judged.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub partition: u32,
    pub partitions: NonZeroU32,
    /// Quotes bring their own time (`time.arrival=event`).
    pub is_event_time: bool,
}

pub fn prepare(fetched: Fetched, place: Place) -> Ready {
    let (last, token) = (fetched.last_record(), fetched.token.clone());
    let content = content(fetched, place);
    Ready { last, token, content }
}

fn content(fetched: Fetched, place: Place) -> Content {
    let dead = |reason, error: String, raw| Content::Dead { reason, error, raw: Box::new(raw) };
    let Some(value) = fetched.value.as_deref() else {
        return dead("tombstone", "the record has no value; write a quote".to_owned(), fetched);
    };
    if fetched.is_pointer {
        return match pointer(value) {
            Some(control) => Content::Pointer { control, raw: Box::new(fetched) },
            None => dead("pointer", "a pointer record needs {\"control_offset\": N}".to_owned(), fetched),
        };
    }
    let Some(key) = fetched.key.as_deref() else {
        return dead("misrouted", "the record has no key; its key is the tenant".to_owned(), fetched);
    };
    let expected = partition_of(key, place.partitions);
    if expected != place.partition {
        let error = format!("its key belongs to partition {expected}; use the murmur2 partitioner of Java's clients");
        return dead("misrouted", error, fetched);
    }
    let Ok(tenant) = std::str::from_utf8(key) else {
        return dead("misrouted", "the key is not UTF-8; it is the tenant".to_owned(), fetched);
    };
    match decode(value, Some(tenant)) {
        Err(error) => dead(error.kind.name(), error.to_string(), fetched),
        Ok(decoded) => {
            // Who waits for an answer submits as it happens; producers and imports may be an hour late.
            let clock = match fetched.token {
                _ if place.is_event_time => ArrivalClock::Event,
                Some(_) => ArrivalClock::Log,
                None => ArrivalClock::Stream,
            };
            let product = product_label(&decoded.quote.product);
            Content::Quote { clock, prepared: Arc::new(Prepared::new(&decoded.quote)), product, raw: Box::new(fetched) }
        }
    }
}

fn pointer(value: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Pointer {
        control_offset: u64,
    }
    serde_json::from_slice::<Pointer>(value).ok().map(|pointer| pointer.control_offset)
}
