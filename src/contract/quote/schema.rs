//! QuoteV1 as a plain structure, for those who write quotes: the API description, generators, tests. Reading goes through
//! [`super::decode`], which alone knows the rules; a test keeps the two together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};

use crate::engine::limits::{EXTRA_MAX, STRING_CHARS_MAX};

/// One submission of the quote form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuoteV1 {
    /// Idempotency key within the tenant.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._:-]+$", example = "q-2026-000123")]
    pub quote_id: String,
    /// RFC 3339 with offset: the event time.
    #[schema(format = DateTime, example = "2026-11-24T09:30:00+03:00")]
    pub submitted_at: String,
    #[schema(min_length = 1, max_length = 32, pattern = "^[^\\x00]*$", example = "osago")]
    pub product: String,
    /// From the API key or the record key when absent, else `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, pattern = "^[^\\x00]*$")]
    pub tenant: Option<String>,
    pub channel: ChannelV1,
    pub policyholder: PolicyholderV1,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 10)]
    pub drivers: Vec<DriverV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<VehicleV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageV1>,
    /// The tariff shown for this form, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, example = 12450.5)]
    pub premium: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKindV1 {
    #[default]
    Web,
    App,
    Agent,
    Phone,
    Api,
}

/// Declares an object: fields that are required, a semicolon, fields that may be absent.
macro_rules! fields {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$required_attr:meta])* $required:ident: $required_type:ty,)* ;
        $($(#[$attr:meta])* $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
        pub struct $name {
            $($(#[$required_attr])* pub $required: $required_type,)*
            $($(#[$attr])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }
    };
}

fields! {
    /// Where the form was filled.
    ChannelV1 {
        kind: ChannelKindV1,
        ;
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] session_id: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] device_id: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] ip: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] agent_id: String,
    }
}

fields! {
    /// Who buys. The names must be present, possibly empty.
    PolicyholderV1 {
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] last_name: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] first_name: String,
        ;
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] middle_name: String,
        #[schema(format = Date)] birth_date: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] id_document: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] driver_licence: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] phone: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] email: String,
        address: AddressV1,
    }
}

fields! {
    /// In parts, as free text in `line`, or both.
    AddressV1 {
        ;
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] postal_code: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] region: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] city: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] street: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] house: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] flat: String,
        #[schema(max_length = 512, pattern = "^[^\\x00]*$")] line: String,
    }
}

fields! {
    /// A person allowed to drive.
    DriverV1 {
        ;
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] last_name: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] first_name: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] middle_name: String,
        #[schema(format = Date)] birth_date: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] driver_licence: String,
        #[schema(format = Date)] licensed_since: String,
    }
}

fields! {
    /// The insured vehicle.
    VehicleV1 {
        ;
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] vin: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] plate: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] make: String,
        #[schema(max_length = 256, pattern = "^[^\\x00]*$")] model: String,
        /// A whole number, however written.
        #[schema(minimum = 0, maximum = 9999, multiple_of = 1.0, example = 2019)] year: f64,
        #[schema(example = 106)] power_hp: f64,
    }
}

/// What the applicant chooses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CoverageV1 {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 12)]
    pub term_months: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 15000)]
    pub deductible: Option<f64>,
    /// The insurer's own choices: at most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(schema_with = extra)]
    pub extra: BTreeMap<String, ScalarV1>,
}

/// Up to 64 scalars under keys of up to 256 characters.
fn extra() -> Schema {
    let plain = |kind: Type| ObjectBuilder::new().schema_type(kind);
    let text = || plain(Type::String).max_length(Some(STRING_CHARS_MAX)).pattern(Some("^[^\\x00]*$"));
    let scalar = OneOfBuilder::new().item(plain(Type::Boolean)).item(plain(Type::Number)).item(text());
    let entries = ObjectBuilder::new().property_names(Some(text())).additional_properties(Some(Schema::from(scalar)));
    entries.max_properties(Some(EXTRA_MAX)).description(Some("The insurer's own choices: at most 64.")).into()
}

/// A string, a number, true or false.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ScalarV1 {
    Bool(bool),
    Number(f64),
    Text(String),
}
