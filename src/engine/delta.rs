//! Everything one record changes, and its stored form.

use std::sync::Arc;

use super::blocking::{KEYS_MAX, Key, derive};
use super::codec::{Reader, put_bytes};
use super::decision::{Cause, Flags, ReferralId, RuleBookRef, Verdict};
use super::fingerprint::Fingerprint;
use super::quote::{Position, Quote};
use super::rules::book::LiveHit;
use super::rulings::Ruling;
use super::state::{Attempt, Standing, id_hash};
use super::time::{Arrivals, EventTime};

/// Carries the state from one offset to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// The record's offset.
    pub from: u64,
    /// The next offset to read.
    pub to: u64,
    /// Running arrivals after the record.
    pub arrivals: Arrivals,
    /// A rule book in force from `from`.
    pub rule_book: Option<RuleBookRef>,
    /// In force from `from`, in this order.
    pub rulings: Vec<Arc<Ruling>>,
    pub insert: Option<(Arc<Attempt>, Standing)>,
    /// Keys of the inserted attempt before they are placed: derived again when a delta is read, never stored.
    pub keys: Arc<[Key]>,
    /// By the inserted attempt.
    pub amended: Vec<Amended>,
    /// The quote that brought the standing of the inserted attempt, if it was amended; told only where a whole state is written anew.
    pub cause: Option<Cause>,
    /// Newest event time that a cap has evicted; told only where a whole state is written anew, for the evicted are not in it.
    pub evicted: Option<EventTime>,
}

/// A new standing for an attempt held already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amended {
    pub offset: u64,
    /// Hash of (tenant, quote id): finds the attempt.
    pub id_hash: u64,
    pub standing: Standing,
}

/// A stored delta that cannot be read or does not fit, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt delta: {0}")]
pub struct CorruptDelta(pub &'static str);

const HAS_LOG_ARRIVAL: u8 = 1;
const HAS_BOOK: u8 = 2;
const HAS_INSERT: u8 = 4;
const HAS_EVENT_ARRIVAL: u8 = 8;
const HAS_EVICTED: u8 = 16;
const HAS_CAUSE: u8 = 32;
const HAS_RULINGS: u8 = 64;

/// Stored for a rule where none is told; a book holds fewer.
const NOTHING_TOLD: u16 = u16::MAX;

impl Delta {
    /// Leaves of an inserted attempt who it is and when: what is stored of a quote that was erased since. Loading goes on from it to
    /// the erasure, which takes it out.
    pub fn empty_form(&mut self) {
        let Some((attempt, _)) = &mut self.insert else { return };
        let (quote_id, tenant) = (attempt.print.quote_id().into(), attempt.print.tenant().into());
        let print = Fingerprint::new(&Quote { quote_id, tenant, ..Quote::default() });
        let Attempt { event_time, offset, id_hash, .. } = **attempt;
        *attempt = Arc::new(Attempt { print, event_time, offset, body_hash: 0, id_hash });
        self.keys = Arc::default();
    }

    /// Appends the stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = (u8::from(self.arrivals.log.is_some()) * HAS_LOG_ARRIVAL)
            | (u8::from(self.arrivals.event.is_some()) * HAS_EVENT_ARRIVAL)
            | (u8::from(self.rule_book.is_some()) * HAS_BOOK)
            | (u8::from(self.insert.is_some()) * HAS_INSERT)
            | (u8::from(self.evicted.is_some()) * HAS_EVICTED)
            | (u8::from(self.cause.is_some()) * HAS_CAUSE)
            | (u8::from(!self.rulings.is_empty()) * HAS_RULINGS);
        out.push(flags);
        out.extend_from_slice(&self.from.to_le_bytes());
        out.extend_from_slice(&self.to.to_le_bytes());
        for arrival in [self.arrivals.log, self.arrivals.event].into_iter().flatten() {
            out.extend_from_slice(&arrival.to_le_bytes());
        }
        if let Some(evicted) = &self.evicted {
            out.extend_from_slice(&evicted.0.to_le_bytes());
        }
        if let Some(cause) = &self.cause {
            out.extend_from_slice(&cause.position.partition.to_le_bytes());
            out.extend_from_slice(&cause.position.offset.to_le_bytes());
            put_bytes(out, cause.quote_id.as_bytes());
        }
        if let Some(book) = &self.rule_book {
            out.extend_from_slice(&book.version.to_le_bytes());
            out.extend_from_slice(&book.hash.to_le_bytes());
        }
        if !self.rulings.is_empty() {
            out.extend_from_slice(&(self.rulings.len() as u32).to_le_bytes());
            self.rulings.iter().for_each(|ruling| ruling.encode(out));
        }
        if let Some((attempt, standing)) = &self.insert {
            put_standing(out, standing);
            out.extend_from_slice(&attempt.event_time.0.to_le_bytes());
            out.extend_from_slice(&attempt.offset.to_le_bytes());
            out.extend_from_slice(&attempt.body_hash.to_le_bytes());
            attempt.print.encode(out);
        }
        out.extend_from_slice(&(self.amended.len() as u32).to_le_bytes());
        for amended in &self.amended {
            out.extend_from_slice(&amended.offset.to_le_bytes());
            out.extend_from_slice(&amended.id_hash.to_le_bytes());
            put_standing(out, &amended.standing);
        }
    }

    /// Reads one delta off the front of `bytes`.
    pub fn decode(bytes: &mut &[u8]) -> Result<Delta, CorruptDelta> {
        let mut reader = Reader(bytes);
        let delta = Delta::read(&mut reader)?;
        *bytes = reader.0;
        Ok(delta)
    }

    fn read(reader: &mut Reader) -> Result<Delta, CorruptDelta> {
        let flags = reader.u8()?;
        let (from, to) = (reader.u64()?, reader.u64()?);
        let mut arrival = |flag: u8| if flags & flag != 0 { reader.u64().map(|a| Some(a as i64)) } else { Ok(None) };
        let arrivals = Arrivals { log: arrival(HAS_LOG_ARRIVAL)?, event: arrival(HAS_EVENT_ARRIVAL)? };
        let evicted = if flags & HAS_EVICTED != 0 { Some(EventTime(reader.u64()? as i64)) } else { None };
        let cause = if flags & HAS_CAUSE != 0 { Some(read_cause(reader)?) } else { None };
        let rule_book =
            if flags & HAS_BOOK != 0 { Some(RuleBookRef { version: reader.u32()?, hash: reader.u64()? }) } else { None };
        let count = if flags & HAS_RULINGS != 0 { reader.u32()? } else { 0 };
        let rulings = (0..count).map(|_| Ruling::decode(reader).map(Arc::new)).collect::<Result<_, _>>()?;
        let insert = if flags & HAS_INSERT != 0 { Some(read_insert(reader)?) } else { None };
        let count = reader.u32()?;
        let mut keys = Vec::new();
        if let Some((attempt, _)) = &insert {
            keys.reserve_exact(KEYS_MAX);
            derive(&attempt.print, &mut keys);
        }
        let mut amended = Vec::new();
        for _ in 0..count {
            amended.push(Amended { offset: reader.u64()?, id_hash: reader.u64()?, standing: read_standing(reader)? });
        }
        Ok(Delta { from, to, arrivals, rule_book, rulings, insert, keys: keys.into(), amended, cause, evicted })
    }
}

fn read_cause(reader: &mut Reader) -> Result<Cause, CorruptDelta> {
    let position = Position { partition: reader.u32()?, offset: reader.u64()? };
    let quote_id = std::str::from_utf8(reader.bytes()?).map_err(|_| CorruptDelta("a quote id is not UTF-8"))?;
    Ok(Cause { quote_id: quote_id.into(), position })
}

fn read_insert(reader: &mut Reader) -> Result<(Arc<Attempt>, Standing), CorruptDelta> {
    let standing = read_standing(reader)?;
    let event_time = EventTime(reader.u64()? as i64);
    let offset = reader.u64()?;
    let body_hash = reader.u128()?;
    let print = Fingerprint::decode(reader)?;
    let id_hash = id_hash(print.tenant(), print.quote_id());
    Ok((Arc::new(Attempt { print, event_time, offset, body_hash, id_hash }), standing))
}

fn put_standing(out: &mut Vec<u8>, standing: &Standing) {
    out.extend_from_slice(&standing.content.to_le_bytes());
    out.extend_from_slice(&standing.referral.map_or(0, |r| r.0).to_le_bytes());
    out.push(u8::from(standing.referral.is_some()));
    out.extend_from_slice(&standing.revision.to_le_bytes());
    out.extend_from_slice(&[standing.verdict as u8, standing.answer as u8, standing.flags.0]);
    out.extend_from_slice(&standing.told.map_or(NOTHING_TOLD, |rule| rule.0).to_le_bytes());
}

fn read_standing(reader: &mut Reader) -> Result<Standing, CorruptDelta> {
    let content = reader.u64()?;
    let referral = ReferralId(reader.u64()?);
    let referral = (reader.u8()? != 0).then_some(referral);
    let revision = reader.u32()?;
    let (verdict, answer) = (read_verdict(reader)?, read_verdict(reader)?);
    let flags = Flags(reader.u8()?);
    let told = Some(reader.u16()?).filter(|rule| *rule != NOTHING_TOLD).map(LiveHit);
    Ok(Standing { content, referral, revision, verdict, answer, flags, told })
}

fn read_verdict(reader: &mut Reader) -> Result<Verdict, CorruptDelta> {
    match reader.u8()? {
        0 => Ok(Verdict::Accept),
        1 => Ok(Verdict::Flag),
        2 => Ok(Verdict::Refer),
        _ => Err(CorruptDelta("an unknown verdict")),
    }
}
