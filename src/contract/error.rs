//! Why bytes are not a quote, in a form every source can show: HTTP as a problem, files as a reject, Kafka as a dead letter.
//!
//! Texts name the field and the fix and never repeat the value: a value may be personal data.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is wrong with one field. Machine-readable: texts may improve, codes are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldCode {
    /// Missing, or given as null or an empty string.
    Required,
    /// Another JSON type than the contract's.
    WrongType,
    /// More characters than allowed.
    TooLong,
    /// More elements than allowed.
    TooMany,
    /// Not written in the required form, or outside the allowed alphabet.
    Format,
    /// A well-formed date or time that the calendar does not have.
    NoSuchDate,
    /// Not one of the listed values.
    NotAllowed,
    /// A number outside the allowed range.
    OutOfRange,
    /// Holds the character U+0000.
    Nul,
    /// The same key twice in one object.
    DuplicateKey,
    /// Nested deeper than allowed.
    TooDeep,
}

/// One offending field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body; empty for the body itself.
    #[schema(example = "/vehicle/year")]
    pub pointer: String,
    pub code: FieldCode,
    /// What to change.
    pub detail: String,
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pointer = if self.pointer.is_empty() { "body" } else { &self.pointer };
        write!(f, "{pointer}: {}", self.detail)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// More than `limits::BODY_BYTES_MAX`.
    TooLarge,
    InvalidUtf8,
    NotJson,
    /// Nested deeper than `limits::JSON_DEPTH_MAX`; reading stopped there.
    TooDeep,
    /// JSON, but not a quote: `fields` says why.
    InvalidFields,
    /// The body names another tenant than its source's.
    TenantMismatch,
}

impl DecodeErrorKind {
    /// The HTTP status of the contract.
    pub fn status(self) -> u16 {
        match self {
            DecodeErrorKind::InvalidUtf8 | DecodeErrorKind::NotJson | DecodeErrorKind::TooDeep => 400,
            DecodeErrorKind::TenantMismatch => 403,
            DecodeErrorKind::TooLarge => 413,
            DecodeErrorKind::InvalidFields => 422,
        }
    }

    /// The reason label of dead letters, rejects and metrics.
    pub fn name(self) -> &'static str {
        match self {
            DecodeErrorKind::TooLarge => "too_large",
            DecodeErrorKind::InvalidUtf8 => "invalid_utf8",
            DecodeErrorKind::NotJson => "not_json",
            DecodeErrorKind::TooDeep => "too_deep",
            DecodeErrorKind::InvalidFields => "invalid_fields",
            DecodeErrorKind::TenantMismatch => "tenant_mismatch",
        }
    }
}

/// Bytes that are not a quote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct DecodeError {
    pub kind: DecodeErrorKind,
    /// One sentence; with one offending field it names it.
    pub detail: String,
    /// At most `limits::ERRORS_SHOWN_MAX`, in the order of the body; empty for bodies that are not JSON.
    pub fields: Vec<FieldError>,
}

impl DecodeError {
    pub(super) fn new(kind: DecodeErrorKind, detail: impl Into<String>) -> DecodeError {
        DecodeError { kind, detail: detail.into(), fields: Vec::new() }
    }

    /// The pointer of the first offending field.
    pub fn pointer(&self) -> Option<&str> {
        self.fields.first().map(|field| field.pointer.as_str())
    }
}
