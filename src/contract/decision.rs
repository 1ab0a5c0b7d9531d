//! DecisionV1: the engine's [`Decision`] written byte for byte the same wherever it is recomputed, and read back by those who
//! look at decisions.

mod number;
mod wire;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::decision::Decision;

/// The engine of this build: normalisers, keys, comparators and the walk. A change that can alter a decision raises it.
pub const ENGINE_VERSION: &str = "1";

/// Appends the decision as one JSON object in the contract's field order, without a line end.
pub fn write_decision(decision: &Decision, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &wire::DecisionWire(decision)).expect("memory takes every byte and all keys are strings");
}

/// What was decided on one quote, with its lineage. No wall-clock value and no personal data inside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionV1 {
    /// 32 hex digits; stays through amendments.
    pub decision_id: String,
    pub quote_id: String,
    /// More than 1: an amendment.
    pub revision: u32,
    pub decision: VerdictV1,
    /// What the submitter is told: never milder than revision 1's `decision`.
    pub answer: VerdictV1,
    pub referral_id: Option<String>,
    pub tenant: String,
    pub reasons: Vec<ReasonV1>,
    /// Linked attempts in the window, this one included.
    pub attempts: u32,
    /// Contradicting versions of the facts in the window, less one.
    pub suspicious_attempts: u32,
    #[serde(serialize_with = "number::two_decimals")]
    pub suspicion: f64,
    #[serde(serialize_with = "number::two_decimals_each")]
    pub features: BTreeMap<String, f64>,
    /// Newest first, at most 64.
    pub linked: Vec<LinkedV1>,
    pub linked_total: u32,
    pub rule_book: RuleBookV1,
    pub engine: String,
    #[schema(format = DateTime)]
    pub event_time: String,
    pub position: PositionV1,
    pub cause: Option<CauseV1>,
    pub flags: Vec<FlagV1>,
    /// Rules in shadow that matched; left out when none did. They have no part in the decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictV1 {
    Accept,
    /// Accepted, worth a look.
    Flag,
    /// No price: contact the underwriter.
    Refer,
}

impl VerdictV1 {
    pub fn name(self) -> &'static str {
        match self {
            VerdictV1::Accept => "accept",
            VerdictV1::Flag => "flag",
            VerdictV1::Refer => "refer",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonV1 {
    #[schema(example = "PARAMETER_PICKING")]
    pub code: String,
    pub rule: String,
    pub text: String,
}

/// An earlier attempt judged to be the same applicant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LinkedV1 {
    pub quote_id: String,
    #[schema(format = DateTime)]
    pub submitted_at: String,
    /// Match weight in bits.
    #[serde(serialize_with = "number::one_decimal")]
    pub weight: f64,
    pub changes: Vec<ChangeV1>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeV1 {
    #[schema(example = "vehicle.vin")]
    pub field: String,
    pub level: LevelV1,
    pub is: KindV1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LevelV1 {
    Missing,
    Same,
    Disguised,
    Near,
    Different,
}

/// A fact cannot honestly vary for one applicant and vehicle, a choice can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KindV1 {
    Fact,
    Choice,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleBookV1 {
    pub version: u32,
    /// 16 hex digits.
    pub hash: String,
}

/// Where a record stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PositionV1 {
    pub partition: u32,
    pub offset: u64,
}

/// The later-arrived quote that brought an amendment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CauseV1 {
    pub quote_id: String,
    pub position: PositionV1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlagV1 {
    /// Later attempts had already arrived.
    Late,
    /// The submitted time could not be true and was clamped.
    TimeSuspect,
    /// A blocking key held more attempts than are compared.
    Saturated,
    /// A bound cut the evidence.
    Truncated,
    /// A field equals an earlier one only after a look-alike fold.
    Disguised,
    /// One word mixes scripts.
    MixedScript,
}

#[cfg(test)]
mod tests;
