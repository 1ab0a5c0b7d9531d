//! Bytes to [`Quote`]: one pass, no intermediate tree, every offending field named.
//!
//! `null`, `""` and absent mean "not given". Unknown fields are ignored and counted; duplicate keys are refused at any level.

mod cursor;
mod handlers;
mod node;
mod objects;
mod schema;
mod text;

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(in crate::contract) mod tests;

use serde::de::DeserializeSeed;

use self::cursor::{Cursor, Typed};
use self::handlers::{Seen, object};
use self::node::Node;
use self::objects::Draft;
use super::error::{DecodeError, DecodeErrorKind, FieldCode, FieldError};
use crate::engine::limits::{BODY_BYTES_MAX, JSON_DEPTH_MAX};
use crate::engine::quote::Quote;

pub use self::schema::{AddressV1, ChannelKindV1, ChannelV1, CoverageV1, DriverV1, PolicyholderV1, QuoteV1, ScalarV1, VehicleV1};

/// The tenant of a quote that names none and whose source names none.
pub const TENANT_DEFAULT: &str = "default";

/// The resolved tenant's place in the hash of the body; no field of an object has it.
const TENANT_TAG: u64 = u64::MAX >> 8;

#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub quote: Quote,
    /// Keys outside the contract, not counting what is inside their values.
    pub unknown_fields: u32,
}

/// Reads one QuoteV1. `source_tenant` is the tenant of the API key or of the record key, where the source has one.
///
/// # Errors
/// Every kind of [`DecodeErrorKind`]; a body of `BODY_BYTES_MAX` and any content costs time linear in its length.
pub fn decode(bytes: &[u8], source_tenant: Option<&str>) -> Result<Decoded, DecodeError> {
    if bytes.len() > BODY_BYTES_MAX {
        let detail = format!("the body has {} bytes; send at most {BODY_BYTES_MAX}", bytes.len());
        return Err(DecodeError::new(DecodeErrorKind::TooLarge, detail));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let detail = format!("the body is not UTF-8 at byte {}", error.valid_up_to());
        DecodeError::new(DecodeErrorKind::InvalidUtf8, detail)
    })?;
    let mut cursor = Cursor::default();
    let mut draft = Seen::<Draft>::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Node { cursor: &mut cursor, handler: object(&mut draft) }.deserialize(&mut json).and_then(|()| json.end());
    if let Err(error) = read {
        return Err(refuse_json(&error, cursor));
    }
    finish(draft.value, cursor, source_tenant)
}

/// Tells a number that no type holds, which is one more invalid field, from text that is not JSON.
fn refuse_json(error: &serde_json::Error, mut cursor: Cursor<'_>) -> DecodeError {
    if cursor.is_too_deep {
        cursor.errors.clear();
        cursor.fail(FieldCode::TooDeep, format!("nest at most {JSON_DEPTH_MAX} levels"));
        let detail = format!("the body nests deeper than {JSON_DEPTH_MAX} levels");
        return DecodeError { kind: DecodeErrorKind::TooDeep, detail, fields: cursor.errors };
    }
    let message = error.to_string();
    if message.starts_with("number out of range") {
        cursor.fail(FieldCode::OutOfRange, "give a number that a 64-bit float can hold");
        return invalid_fields(cursor);
    }
    DecodeError::new(DecodeErrorKind::NotJson, format!("the body is not JSON: {message}"))
}

/// Checks what must be there, resolves the tenant and puts the quote together.
fn finish(draft: Draft, mut cursor: Cursor<'_>, source_tenant: Option<&str>) -> Result<Decoded, DecodeError> {
    if let (Some(source), Some(own)) = (source_tenant, draft.tenant.as_deref())
        && own != source
    {
        return Err(tenant_mismatch());
    }
    require(&draft, &mut cursor);
    let (Some(quote_id), Some(submitted_at), Some(product), Some(kind), true) =
        (draft.quote_id, draft.submitted_at, draft.product, draft.channel.value.kind, cursor.errors.is_empty())
    else {
        return Err(invalid_fields(cursor));
    };
    let tenant = draft.tenant.unwrap_or_else(|| source_tenant.unwrap_or(TENANT_DEFAULT).into());
    cursor.tag = TENANT_TAG;
    cursor.hash(Typed::Text, tenant.as_bytes());
    let quote = Quote {
        quote_id,
        submitted_at,
        product,
        tenant,
        channel: draft.channel.value.finish(kind),
        policyholder: draft.policyholder.value.into(),
        drivers: draft.drivers,
        vehicle: draft.vehicle.value,
        coverage: draft.coverage.value.into(),
        premium: draft.premium,
        body_hash: cursor.hash,
    };
    Ok(Decoded { quote, unknown_fields: cursor.unknown_fields })
}

fn require(draft: &Draft, cursor: &mut Cursor<'_>) {
    let holder = &draft.policyholder;
    for (is_there, pointer, detail) in [
        (draft.quote_id.is_some(), "/quote_id", "give an id, unique for the submission"),
        (draft.submitted_at.is_some(), "/submitted_at", "give the time of submission"),
        (draft.product.is_some(), "/product", "give the product, like osago or kasko"),
        (draft.channel.value.kind.is_some(), "/channel/kind", "give one of web, app, agent, phone, api"),
        (holder.has("last_name"), "/policyholder/last_name", "give the last name, empty when there is none"),
        (holder.has("first_name"), "/policyholder/first_name", "give the first name, empty when there is none"),
    ] {
        if !is_there {
            cursor.require(pointer, detail);
        }
    }
}

fn tenant_mismatch() -> DecodeError {
    let detail = "leave the tenant out, or give the one of the API key or record key";
    let field = FieldError { pointer: "/tenant".into(), code: FieldCode::NotAllowed, detail: detail.into() };
    let detail = "the body names another tenant than its source".into();
    DecodeError { kind: DecodeErrorKind::TenantMismatch, detail, fields: vec![field] }
}

fn invalid_fields(cursor: Cursor<'_>) -> DecodeError {
    let count = cursor.errors.len() + cursor.errors_hidden;
    let detail = match cursor.errors.as_slice() {
        [only] if count == 1 => only.to_string(),
        [first, ..] => format!("{count} invalid fields, the first {first}"),
        [] => "invalid fields".into(),
    };
    DecodeError { kind: DecodeErrorKind::InvalidFields, detail, fields: cursor.errors }
}
