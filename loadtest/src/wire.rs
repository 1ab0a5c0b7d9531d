//! QuoteV1 as the generator writes it. Empty strings are left out: they mean "not given".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    pub quote_id: String,
    /// RFC 3339.
    pub submitted_at: String,
    pub product: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    pub channel: Channel,
    pub policyholder: Policyholder,
    pub drivers: Vec<Driver>,
    pub vehicle: Vehicle,
    pub coverage: Coverage,
    /// Roubles, the tariff shown for this form.
    pub premium: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Channel {
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policyholder {
    pub last_name: String,
    pub first_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub middle_name: String,
    /// `YYYY-MM-DD`.
    pub birth_date: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id_document: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver_licence: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phone: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    pub address: Address,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub postal_code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub city: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub street: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub house: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub flat: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub line: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Driver {
    pub last_name: String,
    pub first_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub middle_name: String,
    /// `YYYY-MM-DD`.
    pub birth_date: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver_licence: String,
    /// `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub licensed_since: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vehicle {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vin: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub plate: String,
    pub make: String,
    pub model: String,
    pub year: i32,
    pub power_hp: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Coverage {
    pub term_months: u32,
    /// Roubles.
    pub deductible: u32,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, serde_json::Value>,
}
