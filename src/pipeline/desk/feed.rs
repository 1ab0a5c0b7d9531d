//! The log as the desk reads it: decisions, the quotes they are about, and rulings, each from a position on.

use std::collections::BTreeMap;
use std::time::Duration;

use super::status::RulingKind;
use crate::contract::decision::DecisionV1;
use crate::contract::instant;
use crate::contract::quote::decode;
use crate::contract::ruling::RulingV1;
use crate::engine::time::{ArrivalTime, EventTime};
use crate::pipeline::{Source, StoreError};
use crate::telemetry::Span;

/// The parts of a log that are read each at its own pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Decisions,
    Quotes,
    Control,
}

impl Part {
    pub const ALL: [Part; 3] = [Part::Decisions, Part::Quotes, Part::Control];

    pub fn name(self) -> &'static str {
        match self {
            Part::Decisions => "decisions",
            Part::Quotes => "quotes",
            Part::Control => "control",
        }
    }

    pub fn parse(name: &str) -> Option<Part> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }
}

/// How far each part and partition has been read: the next position. Absent: from its beginning.
pub type Positions = BTreeMap<(Part, u32), u64>;

/// What a feed gives at once.
#[derive(Debug, Default)]
pub struct Page {
    pub decisions: Vec<DecisionRecord>,
    pub forms: Vec<Form>,
    pub rulings: Vec<RulingRecord>,
    /// Where the page begins and ends, for each part that it moves.
    pub moves: Vec<Move>,
    /// Of traced quotes: until the page is on the desk.
    pub spans: Vec<Span>,
}

impl Page {
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    pub fn records(&self) -> usize {
        self.decisions.len() + self.forms.len() + self.rulings.len()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub part: Part,
    pub partition: u32,
    pub from: u64,
    pub to: u64,
}

/// A reader of the log that is no part of it: it never holds up the writer.
pub trait Feed: Send {
    /// The id of the log: a desk is the projection of one.
    fn log_id(&self) -> &str;

    /// What follows these positions, about `limit` records at most; an empty page when nothing came within `wait`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] passes; [`StoreError::Refused`] and [`StoreError::Damaged`] do not.
    fn next(&mut self, after: &Positions, limit: usize, wait: Duration) -> Result<Page, StoreError>;

    /// How many records followed the last page when it was read, as far as that is known.
    fn behind(&self) -> u64;
}

/// A decision as published, and what the tables need of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRecord {
    pub decision: DecisionV1,
    pub event_time: EventTime,
    pub json: String,
}

impl DecisionRecord {
    /// # Errors
    /// What is wrong with bytes that are no DecisionV1.
    pub fn read(json: Vec<u8>) -> Result<DecisionRecord, String> {
        let json = String::from_utf8(json).map_err(|error| error.to_string())?;
        let decision: DecisionV1 = serde_json::from_str(&json).map_err(|error| error.to_string())?;
        let event_time = instant::parse(&decision.event_time).map_err(|error| error.to_string())?;
        Ok(DecisionRecord { decision, event_time, json })
    }
}

/// A quote as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    pub partition: u32,
    pub offset: u64,
    pub arrival: ArrivalTime,
    pub source: Source,
    pub tenant: String,
    pub quote_id: String,
    pub product: String,
    pub channel: &'static str,
    pub premium: Option<f64>,
    pub body: Vec<u8>,
}

impl Form {
    /// Of a record of the log; `None` for a body that is no quote.
    pub fn read(partition: u32, offset: u64, arrival: ArrivalTime, source: Source, tenant: &str, body: Vec<u8>) -> Option<Form> {
        let quote = decode(&body, Some(tenant).filter(|tenant| !tenant.is_empty())).ok()?.quote;
        Some(Form {
            partition,
            offset,
            arrival,
            source,
            tenant: quote.tenant.into(),
            quote_id: quote.quote_id.into(),
            product: quote.product.into(),
            channel: quote.channel.kind.name(),
            premium: quote.premium,
            body,
        })
    }
}

/// A ruling with its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct RulingRecord {
    pub partition: u32,
    pub offset: u64,
    pub arrival: ArrivalTime,
    pub ruling_id: String,
    pub tenant: String,
    pub referral_id: String,
    pub kind: RulingKind,
    pub rule: Option<String>,
    pub until: Option<EventTime>,
    pub by: Option<String>,
    pub quote_ids: Vec<String>,
}

impl RulingRecord {
    /// # Errors
    /// What is wrong with bytes that are no ruling of this version.
    pub fn read(partition: u32, offset: u64, arrival: ArrivalTime, body: &[u8]) -> Result<RulingRecord, String> {
        let record = RulingV1::parse(body).map_err(|error| error.to_string())?;
        let until = instant::parse(&record.until).map_err(|error| format!("until: {error}"))?;
        Ok(RulingRecord {
            partition,
            offset,
            arrival,
            ruling_id: record.ruling_id,
            tenant: record.tenant,
            referral_id: record.case.unwrap_or_default(),
            kind: record.kind,
            rule: record.rule,
            until: Some(until),
            by: Some(record.by),
            quote_ids: record.quote_ids,
        })
    }
}
