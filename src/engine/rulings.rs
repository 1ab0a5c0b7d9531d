//! Rulings: what people decided about a case, as inputs of the log.
//!
//! A quote is judged under the rulings before it in the log, and so is its amendment: what came later does not change the past. Of a
//! ruling's attempts only those before it in the log count.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::codec::{Reader, put_bytes};
use super::decision::{Reason, ReferralId, Verdict};
use super::delta::CorruptDelta;
use super::gather::{Link, same_source};
use super::limits::CLEARINGS_AT_ONCE_MAX;
use super::normalise::hash64;
use super::state::{Attempt, id_hash};
use super::time::EventTime;

/// What was decided about the attempts of a case, from its position in the log on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Given by whoever rules, unique in its tenant: the same id twice is one ruling.
    pub id: Box<str>,
    pub tenant: Box<str>,
    /// Every kind but an erasure has one.
    pub case: Option<ReferralId>,
    pub kind: RulingKind,
    /// Hashes of (tenant, quote id), as `Attempt::id_hash`; at most `limits::RULING_ATTEMPTS_MAX`.
    pub attempts: Box<[u64]>,
    /// It ends before this event time.
    pub until: EventTime,
    /// Offset of the record that holds it: in the log, or in the control topic.
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulingKind {
    /// The versions these attempts gave count as one for later quotes that are linked to one of them.
    Cleared,
    /// A later linked quote with a new version is referred when it shares a technical source with one of them, else flagged.
    Confirmed,
    /// Takes the last clearing or confirmation of the case back.
    Reopened,
    /// This rule does not match for later quotes that are linked to one of them.
    Snooze { rule: Box<str> },
    /// These attempts are absent from every later computation.
    Erased,
    /// Of the case alone: nothing follows for quotes.
    ProofRequested,
}

impl RulingKind {
    /// Whether it decides the whole case: of several the last one counts.
    fn is_disposition(&self) -> bool {
        matches!(self, RulingKind::Cleared | RulingKind::Confirmed | RulingKind::Reopened)
    }

    /// Whether quotes that are linked to its attempts meet it.
    fn meets_quotes(&self) -> bool {
        matches!(self, RulingKind::Cleared | RulingKind::Confirmed | RulingKind::Snooze { .. })
    }
}

/// Offset of the record that brought a ruling, and its number in that record.
pub type Place = (u64, u32);

/// The rulings of a log that may still matter, in the order in which they took effect.
#[derive(Default)]
pub struct Rulings {
    held: BTreeMap<Place, Arc<Ruling>>,
    /// By attempt, those that quotes linked to it meet.
    by_attempt: BTreeMap<u64, Vec<Place>>,
    /// The dispositions of each case.
    by_case: BTreeMap<u64, Vec<Place>>,
    /// By tenant and id.
    by_id: BTreeMap<u64, Place>,
    /// Those that end before it are gone.
    swept: Option<EventTime>,
}

/// What the rulings say of one quote and the attempts linked to it.
#[derive(Default)]
pub(super) struct Ruled<'a> {
    /// Of each link, the clearings that name it, one bit each. Empty when none is in force.
    pub cleared: Vec<u32>,
    /// Rules that count as not matched.
    pub snoozed: Vec<&'a str>,
    confirmed: Option<Confirmed>,
}

/// A confirmed case is among the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Confirmed {
    shares_source: bool,
}

fn case_key(tenant: &str, case: ReferralId) -> u64 {
    hash64(tenant.as_bytes()) ^ case.0
}

fn remove_from(index: &mut BTreeMap<u64, Vec<Place>>, key: u64, place: Place) {
    if let Some(places) = index.get_mut(&key) {
        places.retain(|other| *other != place);
        if places.is_empty() {
            index.remove(&key);
        }
    }
}

fn insert_into(index: &mut BTreeMap<u64, Vec<Place>>, key: u64, place: Place) {
    let places = index.entry(key).or_default();
    let at = places.partition_point(|other| *other < place);
    if places.get(at) != Some(&place) {
        places.insert(at, place);
    }
}

impl Rulings {
    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// In the order in which they took effect.
    pub fn iter(&self) -> impl Iterator<Item = (Place, &Arc<Ruling>)> {
        self.held.iter().map(|(place, ruling)| (*place, ruling))
    }

    /// The ruling with an id, while it is held.
    pub fn find(&self, tenant: &str, id: &str) -> Option<(Place, &Arc<Ruling>)> {
        let place = self.by_id.get(&id_hash(tenant, id))?;
        self.held.get(place).filter(|ruling| *ruling.id == *id && *ruling.tenant == *tenant).map(|ruling| (*place, ruling))
    }

    /// Nothing happens where one is in that place already.
    pub(super) fn enter(&mut self, place: Place, ruling: &Arc<Ruling>) {
        if self.held.insert(place, ruling.clone()).is_some() {
            return;
        }
        // One that has ended already goes with the next look.
        self.swept = self.swept.filter(|swept| ruling.until >= *swept);
        self.by_id.insert(id_hash(&ruling.tenant, &ruling.id), place);
        if ruling.kind.meets_quotes() {
            ruling.attempts.iter().for_each(|attempt| insert_into(&mut self.by_attempt, *attempt, place));
        }
        if let Some(case) = ruling.case.filter(|_| ruling.kind.is_disposition()) {
            insert_into(&mut self.by_case, case_key(&ruling.tenant, case), place);
        }
    }

    /// Drops those that end before the horizon: no quote from there on meets them. A disposition stays as long as an earlier one of
    /// its case, which it has put an end to.
    pub(super) fn sweep(&mut self, horizon: EventTime) {
        if self.held.is_empty() || self.swept.is_some_and(|swept| horizon <= swept) {
            return;
        }
        self.swept = Some(horizon);
        let ended: Vec<Place> = self.held.iter().filter(|(_, r)| r.until < horizon).map(|(place, _)| *place).collect();
        for place in ended {
            if let Some(ruling) = self.held.get(&place).filter(|ruling| self.is_first(place, ruling)).cloned() {
                self.remove(place, &ruling);
            }
        }
    }

    fn is_first(&self, place: Place, ruling: &Ruling) -> bool {
        let of_case = ruling.case.and_then(|case| self.by_case.get(&case_key(&ruling.tenant, case)));
        !ruling.kind.is_disposition() || of_case.and_then(|places| places.first()).is_none_or(|first| *first == place)
    }

    fn remove(&mut self, place: Place, ruling: &Ruling) {
        self.held.remove(&place);
        let id = id_hash(&ruling.tenant, &ruling.id);
        if self.by_id.get(&id) == Some(&place) {
            self.by_id.remove(&id);
        }
        ruling.attempts.iter().for_each(|attempt| remove_from(&mut self.by_attempt, *attempt, place));
        if let Some(case) = ruling.case {
            remove_from(&mut self.by_case, case_key(&ruling.tenant, case), place);
        }
    }

    /// The last disposition of a case before an offset.
    fn disposition(&self, tenant: &str, case: ReferralId, offset: u64) -> Option<Place> {
        let places = self.by_case.get(&case_key(tenant, case))?;
        places[..places.partition_point(|(at, _)| *at < offset)].last().copied()
    }

    /// May a referral at an offset join the case? Not once it was cleared or confirmed, until it is reopened.
    pub(super) fn is_open(&self, tenant: &str, case: ReferralId, offset: u64) -> bool {
        let last = self.disposition(tenant, case, offset).and_then(|place| self.held.get(&place));
        last.is_none_or(|ruling| ruling.kind == RulingKind::Reopened)
    }

    /// What is in force for a quote seen at the time `now`, by the attempts that are linked to it.
    pub(super) fn of<'a>(&'a self, subject: &Attempt, now: EventTime, links: &[Link]) -> Ruled<'a> {
        let mut ruled = Ruled::default();
        if self.by_attempt.is_empty() {
            return ruled;
        }
        let mut members: Vec<(Place, usize)> = Vec::new();
        for (i, link) in links.iter().enumerate() {
            let places = self.by_attempt.get(&link.attempt.id_hash).into_iter().flatten();
            members.extend(places.filter(|(at, _)| link.attempt.offset < *at && *at < subject.offset).map(|place| (*place, i)));
        }
        members.sort_unstable();
        let mut clearings = 0;
        for group in members.chunk_by(|a, b| a.0 == b.0).rev() {
            let place = group[0].0;
            let Some(ruling) = self.held.get(&place).filter(|ruling| self.is_in_force(place, ruling, subject, now)) else {
                continue;
            };
            match &ruling.kind {
                RulingKind::Cleared if clearings < CLEARINGS_AT_ONCE_MAX => {
                    ruled.cleared.resize(links.len(), 0);
                    group.iter().for_each(|(_, link)| ruled.cleared[*link] |= 1 << clearings);
                    clearings += 1;
                }
                RulingKind::Confirmed => {
                    let shares = group.iter().any(|(_, link)| same_source(&subject.print, &links[*link].attempt.print));
                    let before = ruled.confirmed.is_some_and(|confirmed| confirmed.shares_source);
                    ruled.confirmed = Some(Confirmed { shares_source: before || shares });
                }
                RulingKind::Snooze { rule } => ruled.snoozed.push(rule),
                RulingKind::Cleared | RulingKind::Reopened | RulingKind::Erased | RulingKind::ProofRequested => {}
            }
        }
        ruled
    }

    fn is_in_force(&self, place: Place, ruling: &Ruling, subject: &Attempt, now: EventTime) -> bool {
        let stands = |case| self.disposition(&ruling.tenant, case, subject.offset).is_none_or(|last| last == place);
        now < ruling.until && (!ruling.kind.is_disposition() || ruling.case.is_none_or(stands))
    }
}

/// What a confirmed case adds to what the rules say.
pub(super) const CONFIRMED_RULE: &str = "confirmed-case";

impl Ruled<'_> {
    /// For a quote that opens a new version of the facts.
    pub fn confirmed(&self, is_known_form: bool) -> Option<Confirmed> {
        self.confirmed.filter(|_| !is_known_form)
    }
}

impl Confirmed {
    pub fn verdict(self) -> Verdict {
        if self.shares_source { Verdict::Refer } else { Verdict::Flag }
    }

    pub fn reason(self) -> Reason {
        let text = match self.shares_source {
            true => {
                "A linked case was confirmed, and a new version of the facts comes from a device, session, agent or address of it."
            }
            false => "A linked case was confirmed; a new version of the facts comes from another source.",
        };
        Reason { code: "CONFIRMED_CASE".into(), rule: CONFIRMED_RULE.into(), text: text.into() }
    }
}

const CLEARED: u8 = 0;
const CONFIRMED: u8 = 1;
const REOPENED: u8 = 2;
const SNOOZE: u8 = 3;
const ERASED: u8 = 4;
const PROOF_REQUESTED: u8 = 5;

impl Ruling {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.id.as_bytes());
        put_bytes(out, self.tenant.as_bytes());
        out.push(u8::from(self.case.is_some()));
        out.extend_from_slice(&self.case.map_or(0, |case| case.0).to_le_bytes());
        let (code, rule) = match &self.kind {
            RulingKind::Cleared => (CLEARED, ""),
            RulingKind::Confirmed => (CONFIRMED, ""),
            RulingKind::Reopened => (REOPENED, ""),
            RulingKind::Snooze { rule } => (SNOOZE, &**rule),
            RulingKind::Erased => (ERASED, ""),
            RulingKind::ProofRequested => (PROOF_REQUESTED, ""),
        };
        out.push(code);
        put_bytes(out, rule.as_bytes());
        out.extend_from_slice(&self.until.0.to_le_bytes());
        out.extend_from_slice(&self.record.to_le_bytes());
        out.extend_from_slice(&(self.attempts.len() as u32).to_le_bytes());
        self.attempts.iter().for_each(|attempt| out.extend_from_slice(&attempt.to_le_bytes()));
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Ruling, CorruptDelta> {
        let (id, tenant) = (text(reader)?, text(reader)?);
        let has_case = reader.u8()? != 0;
        let case = Some(ReferralId(reader.u64()?)).filter(|_| has_case);
        let (code, rule) = (reader.u8()?, text(reader)?);
        let kind = match code {
            CLEARED => RulingKind::Cleared,
            CONFIRMED => RulingKind::Confirmed,
            REOPENED => RulingKind::Reopened,
            SNOOZE => RulingKind::Snooze { rule },
            ERASED => RulingKind::Erased,
            PROOF_REQUESTED => RulingKind::ProofRequested,
            _ => return Err(CorruptDelta("an unknown kind of ruling")),
        };
        let (until, record) = (EventTime(reader.u64()? as i64), reader.u64()?);
        let attempts = (0..reader.u32()?).map(|_| reader.u64()).collect::<Result<_, _>>()?;
        Ok(Ruling { id, tenant, case, kind, attempts, until, record })
    }
}

fn text(reader: &mut Reader) -> Result<Box<str>, CorruptDelta> {
    std::str::from_utf8(reader.bytes()?).map(Box::from).map_err(|_| CorruptDelta("a ruling's text is not UTF-8"))
}
