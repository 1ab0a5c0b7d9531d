//! The rule books of a running service, as they are read and changed over HTTP.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/rules/check`: a folder of rule files, by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFilesV1 {
    /// Name and YAML text of each file, as they lie in the folder.
    pub files: BTreeMap<String, String>,
}

/// `POST /v1/rules/activate`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateV1 {
    /// Name and YAML text of each file, as they lie in the folder.
    pub files: BTreeMap<String, String>,
    /// The version it was made from: refused with 409 when another is the last by now. Left out: whatever is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
}

/// `POST /v1/rules/rollback`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackV1 {
    /// Its content takes effect again, as a new version.
    pub version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
}

/// `POST /v1/rules/approve`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveV1 {
    /// Of the proposed book, 16 hex digits: what was looked at is what takes effect.
    pub hash: String,
}

/// What a folder of files is, were it put in force.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CheckedV1 {
    pub hash: String,
    /// Whether the last version has the same content.
    pub is_in_force: bool,
    pub rules: Vec<RuleV1>,
}

/// What became of a change.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChangedV1 {
    #[schema(example = "activated")]
    pub status: ChangeStatus,
    /// In force, or the one it would get.
    pub version: u32,
    pub hash: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeStatus {
    /// It is durable in the log; quotes after it are judged by it.
    Activated,
    /// The last version has this content: nothing was written.
    InForce,
    /// It waits for the approval of somebody else.
    Proposed,
}

/// `GET /v1/rules`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RulesV1 {
    #[serde(flatten)]
    pub book: BookV1,
    /// In the order of evaluation.
    pub rules: Vec<RuleV1>,
    pub reload: ReloadV1,
    pub four_eyes: bool,
    pub proposals: Vec<ProposalV1>,
}

/// A version of the rule book.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BookV1 {
    pub version: u32,
    pub hash: String,
    /// When it was written to the log.
    #[schema(format = DateTime)]
    pub since: String,
    /// Name of the API key; or `start`, `folder`.
    pub by: Option<String>,
    /// Position of its record: in the log, or in the control topic.
    pub offset: u64,
}

/// `GET /v1/rules/versions/{version}`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BookSourceV1 {
    #[serde(flatten)]
    pub book: BookV1,
    /// The whole content, from which the hash is made.
    #[schema(value_type = Object)]
    pub source: Box<serde_json::value::RawValue>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RuleV1 {
    pub id: String,
    pub version: u32,
    pub title: String,
    pub owner: String,
    /// `off`, `shadow` or `live`.
    pub mode: String,
    /// `flag` or `refer`.
    pub then: String,
    /// Decisions of this instance since its start that it matched; left out where no service was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<RuleHitsV1>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleHitsV1 {
    pub live: u64,
    pub shadow: u64,
    /// Quotes for which it had no value: it did not match.
    pub errors: u64,
}

/// How the last reading of the rules folder ended.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReloadV1 {
    pub state: ReloadState,
    /// Why the last good book stays in force.
    pub error: Option<String>,
    /// Rules that the folder would make live and that stay in shadow, where the circuit breaker put them.
    #[serde(default)]
    pub held: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReloadState {
    /// There was none since the start.
    None,
    Done,
    Refused,
}

/// A book that waits for a second person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProposalV1 {
    pub hash: String,
    pub by: String,
    /// When it was written to the log.
    #[schema(format = DateTime)]
    pub since: String,
    /// The version it would get.
    pub version: u32,
    /// By holders of different keys: 2 for what the folder proposes, until one has approved it.
    pub approvals_needed: u8,
}

/// `GET /v1/rules/proposals/{hash}`: what would be approved.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProposedV1 {
    #[serde(flatten)]
    pub proposal: ProposalV1,
    /// The last version, which it is compared with.
    pub against: u32,
    /// What it says otherwise than that, a line each, in the words of `rules diff`.
    pub diff: Vec<String>,
    /// The whole content, from which the hash is made.
    #[schema(value_type = Object)]
    pub source: Box<serde_json::value::RawValue>,
}
