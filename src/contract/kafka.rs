//! Names of record headers. Numbers in them are decimal text.

/// On `quotes`: opaque bytes by which the instance that waits for the answer knows its own record.
pub const TOKEN: &str = "quoteguard-token";
/// On `quotes`: name of the API key that the quote came with.
pub const CLIENT: &str = "quoteguard-client";
/// On `quotes`: the record is no quote; it says how far the control topic is in force.
pub const POINTER: &str = "quoteguard-pointer";

/// On `quotes` and `decisions` of a traced quote: W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";

/// On `decisions`, 32 hex digits.
pub const DECISION_ID: &str = "decision-id";
/// On `decisions`.
pub const REVISION: &str = "revision";
/// On `decisions`: offset of the decided quote in the same partition of `quotes`.
pub const SOURCE_OFFSET: &str = "source-offset";
/// On `decisions`: offset of the record whose step emitted it.
pub const CAUSE_OFFSET: &str = "cause-offset";
/// On `decisions`: number of the emission within its step.
pub const STEP_INDEX: &str = "step-index";
/// On `decisions`: the claim of the partition by the instance that sent it; a later owner's is greater.
pub const EPOCH: &str = "epoch";
/// On `decisions`: `partition/offset` of a later record with the same id that this answers.
pub const ANSWERS: &str = "answers";
/// On `decisions`: why that record was refused.
pub const REJECTED: &str = "rejected";

/// On `quotes.dlq`: what is wrong.
pub const ERROR: &str = "error";
/// On `quotes.dlq`: the stable code of it.
pub const REASON: &str = "reason";
/// On `quotes.dlq`, with some codes: the number or name that the error speaks of.
pub const REASON_VALUE: &str = "reason-value";
/// On `quotes.dlq`, where the bytes were cut: how many there were.
pub const LENGTH: &str = "length";
/// On `quotes.dlq`: where the bytes came from.
pub const SOURCE_PARTITION: &str = "source-partition";
