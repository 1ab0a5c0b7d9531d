//! QuoteV1 as a plain structure, for those who write quotes: the API description, generators, tests. Reading goes through
//! [`super::decode`], which alone knows the rules; a test keeps the two together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One submission of the quote form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuoteV1 {
    /// Idempotency key within the tenant.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._:-]+$", example = "q-2026-000123")]
    pub quote_id: String,
    /// RFC 3339 with offset: the event time.
    #[schema(format = DateTime, example = "2026-11-24T09:30:00+03:00")]
    pub submitted_at: String,
    #[schema(min_length = 1, max_length = 32, example = "osago")]
    pub product: String,
    /// From the API key or the record key when absent, else `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
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
        #[schema(max_length = 256)] session_id: String,
        #[schema(max_length = 256)] device_id: String,
        #[schema(max_length = 256)] ip: String,
        #[schema(max_length = 256)] agent_id: String,
    }
}

fields! {
    /// Who buys. The names must be present, possibly empty.
    PolicyholderV1 {
        #[schema(max_length = 256)] last_name: String,
        #[schema(max_length = 256)] first_name: String,
        ;
        #[schema(max_length = 256)] middle_name: String,
        #[schema(format = Date)] birth_date: String,
        #[schema(max_length = 256)] id_document: String,
        #[schema(max_length = 256)] driver_licence: String,
        #[schema(max_length = 256)] phone: String,
        #[schema(max_length = 256)] email: String,
        address: AddressV1,
    }
}

fields! {
    /// In parts, as free text in `line`, or both.
    AddressV1 {
        ;
        #[schema(max_length = 256)] postal_code: String,
        #[schema(max_length = 256)] region: String,
        #[schema(max_length = 256)] city: String,
        #[schema(max_length = 256)] street: String,
        #[schema(max_length = 256)] house: String,
        #[schema(max_length = 256)] flat: String,
        #[schema(max_length = 512)] line: String,
    }
}

fields! {
    /// A person allowed to drive.
    DriverV1 {
        ;
        #[schema(max_length = 256)] last_name: String,
        #[schema(max_length = 256)] first_name: String,
        #[schema(max_length = 256)] middle_name: String,
        #[schema(format = Date)] birth_date: String,
        #[schema(max_length = 256)] driver_licence: String,
        #[schema(format = Date)] licensed_since: String,
    }
}

fields! {
    /// The insured vehicle.
    VehicleV1 {
        ;
        #[schema(max_length = 256)] vin: String,
        #[schema(max_length = 256)] plate: String,
        #[schema(max_length = 256)] make: String,
        #[schema(max_length = 256)] model: String,
        /// A whole number, however written.
        #[schema(minimum = 0, maximum = 9999, example = 2019)] year: f64,
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
    pub extra: BTreeMap<String, ScalarV1>,
}

/// A string, a number, true or false.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ScalarV1 {
    Bool(bool),
    Number(f64),
    Text(String),
}
