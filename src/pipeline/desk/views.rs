//! What the desk shows.

use serde::Serialize;
use utoipa::ToSchema;

use super::matrix::Changed;
use super::status::{RulingKind, Status};
use crate::contract::decision::VerdictV1;
use crate::engine::decision::Verdict;
use crate::engine::time::EventTime;

/// Which cases of the queue. `None` leaves a thing open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueFilter {
    pub tenant: Option<String>,
    /// Without it: what waits for somebody, open or proof requested.
    pub status: Option<Status>,
    pub assignee: Option<String>,
    /// Assigned to nobody.
    pub unassigned: bool,
    /// Reason code.
    pub reason: Option<String>,
}

/// Where a page of the queue ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueKey {
    pub opened_at: EventTime,
    pub referral_id: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct QueuePage {
    pub cases: Vec<CaseRow>,
    pub next: Option<QueueKey>,
    /// Of the filter's tenant, whatever else it says.
    pub counts: QueueCounts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    pub open: u64,
    pub proof_requested: u64,
    /// When the oldest that waits was opened.
    pub oldest: Option<EventTime>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CaseRow {
    pub referral_id: String,
    pub tenant: String,
    pub status: Status,
    pub revision: u32,
    /// Event time of its first referral: its age for the promise to the applicant counts from here.
    pub opened_at: EventTime,
    pub active_at: EventTime,
    /// Of the newest referral.
    pub reason: String,
    pub rule: String,
    /// Referred quotes.
    pub quotes: u32,
    /// Contradicting versions of the facts.
    pub variants: u32,
    pub premium: Premium,
    pub snooze: Option<Snooze>,
    pub assignee: Option<String>,
    /// Who works on it now.
    pub lease: Option<Lease>,
    /// The newest quote as it came: QuoteV1; `None` where it is not held (any more).
    pub newest_form: Option<Vec<u8>>,
}

/// Of the applicant's quotes, in event time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Premium {
    pub first: Option<f64>,
    pub lowest: Option<f64>,
    pub last: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snooze {
    pub rule: String,
    pub until: EventTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub by: String,
    pub until: EventTime,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub row: CaseRow,
    /// In event time: the referred ones and the attempts linked to them.
    pub quotes: Vec<CaseQuote>,
    pub dispositions: Vec<Disposition>,
    pub comments: Vec<Comment>,
    /// What else happened to it, the oldest first.
    pub events: Vec<CaseEvent>,
    /// Other cases that hold one of the same quotes.
    pub related: Vec<Related>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CaseQuote {
    pub quote_id: String,
    pub event_time: EventTime,
    pub partition: u32,
    pub offset: u64,
    pub is_referred: bool,
    pub premium: Option<f64>,
    /// QuoteV1 as it came; `None` where it is not held (any more).
    pub form: Option<Vec<u8>>,
    /// DecisionV1, every revision in order.
    pub decisions: Vec<String>,
    /// Against the quote before it: fields that are not the same.
    pub changes: Vec<Changed>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposition {
    pub ruling_id: String,
    pub kind: RulingKind,
    pub at: EventTime,
    pub by: Option<String>,
    pub rule: Option<String>,
    pub until: Option<EventTime>,
    pub quote_ids: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    pub at: EventTime,
    pub actor: String,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseEvent {
    pub at: EventTime,
    pub what: Happened,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    Claimed {
        by: String,
    },
    Released {
        by: String,
    },
    /// To somebody, or to nobody.
    Assigned {
        by: String,
        assignee: Option<String>,
    },
    /// A late quote has changed the decision on one of its quotes.
    Amended {
        quote_id: String,
        revision: u32,
        before: VerdictV1,
        after: VerdictV1,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    pub referral_id: String,
    pub status: Status,
    pub opened_at: EventTime,
    /// Quotes that both hold.
    pub shared: u32,
}

/// A case as sites see it: the answer of `GET /v1/referrals/{id}` and the value of topic `referrals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Referral {
    #[schema(example = "R-0d5c6f7a8b9c0d1e")]
    pub referral_id: String,
    /// Grows with each change of the status, and with each further quote: of two messages the one with the greater is newer.
    pub revision: u32,
    /// `open`, `cleared`, `confirmed`, `proof_requested`
    pub status: String,
    /// The referred quotes, oldest first.
    pub quote_ids: Vec<String>,
    #[schema(format = DateTime)]
    pub opened_at: String,
    /// What was ruled last, if anything was.
    pub disposition: Option<ReferralDisposition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReferralDisposition {
    /// `cleared`, `confirmed`, `reopened`, `proof_requested`
    pub kind: String,
    #[schema(format = DateTime)]
    pub at: String,
    /// Until when it counts for later quotes.
    #[schema(format = DateTime)]
    pub until: Option<String>,
}

/// Which decisions. Only current revisions are found.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionFilter {
    pub tenant: Option<String>,
    /// Event time, inclusive.
    pub from: EventTime,
    /// Exclusive.
    pub to: EventTime,
    pub verdict: Option<Verdict>,
    pub rule: Option<String>,
    pub quote_id: Option<String>,
}

/// Where a page of decisions ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionKey {
    pub event_time: EventTime,
    pub partition: u32,
    pub offset: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DecisionPage {
    pub rows: Vec<DecisionRow>,
    pub next: Option<DecisionKey>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRow {
    pub key: DecisionKey,
    pub decision_id: String,
    pub revision: u32,
    pub tenant: String,
    pub quote_id: String,
    pub verdict: Verdict,
    pub answer: Verdict,
    pub referral_id: Option<String>,
    pub rules: Vec<String>,
    pub attempts: u32,
    pub suspicious_attempts: u32,
    pub suspicion: f64,
    /// Of the form, where it is held.
    pub product: Option<String>,
    pub channel: Option<String>,
    pub source: Option<String>,
    pub premium: Option<f64>,
}

/// Decisions of a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    pub at: EventTime,
    pub accept: u64,
    pub flag: u64,
    pub refer: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// The last hour by minute; minutes without any are left out.
    pub minutes: Vec<Bucket>,
    pub counts: QueueCounts,
    /// How far the price had fallen on the applicants referred today, summed.
    pub premium_protected: f64,
    /// Cases opened today.
    pub opened_today: u64,
    /// Of today, most hits first.
    pub rules: Vec<RuleFigures>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFigures {
    pub rule: String,
    /// Decisions that it matched today.
    pub hits: u64,
    /// Of all its cases, those that underwriters have confirmed and cleared: its precision is the share of the first.
    pub confirmed: u64,
    pub cleared: u64,
}

/// An entry of the audit chain that is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAudit {
    pub actor: String,
    /// A short name such as `case.clear` or `field.open`.
    pub action: String,
    /// What it was done to, such as a case or an account; no personal data.
    pub subject: String,
    /// A JSON object; no personal data.
    pub detail: serde_json::Value,
}

impl NewAudit {
    pub fn new(actor: &str, action: &str, subject: &str, detail: serde_json::Value) -> NewAudit {
        NewAudit { actor: actor.to_owned(), action: action.to_owned(), subject: subject.to_owned(), detail }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub seq: u64,
    pub at: EventTime,
    pub actor: String,
    pub action: String,
    pub subject: String,
    /// JSON.
    pub detail: String,
    pub hash: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub actor: Option<String>,
    pub subject: Option<String>,
    /// Whole or up to a dot: `case` finds `case.clear`.
    pub action: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// For the next, older page.
    pub next: Option<u64>,
}

/// What a reading of the whole chain has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// So many entries, and the hash of the last.
    Whole {
        entries: u64,
        head: String,
        /// From this entry on nobody computes the hashes anew without a key; `None`: of none.
        keyed_from: Option<u64>,
    },
    Broken {
        seq: u64,
        what: Tampering,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// The entry is not what was written.
    Changed,
    /// The entry is gone, and later ones are there.
    Deleted,
    /// The chain ends before it.
    Cut,
    /// There is a key, and the chain is not bound with one: written anew by somebody who has none, or begun before.
    Unkeyed,
}
