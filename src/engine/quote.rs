//! One submission of the quote form, as the engine sees it: decoded and bounded, values still raw.
//!
//! `None` means "not given"; a `Some` string is never empty, holds no NUL and is as written: `normalise` strips bidi,
//! zero-width and control characters, and keeps that as evidence.

use super::time::{Date, EventTime};

/// A field the applicant left out, or the text they gave.
pub type Text = Option<Box<str>>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quote {
    /// Idempotency key within the tenant.
    pub quote_id: Box<str>,
    pub submitted_at: EventTime,
    pub product: Box<str>,
    /// Resolved tenant: the body's, else the source's, else `default`.
    pub tenant: Box<str>,
    pub channel: Channel,
    pub policyholder: Policyholder,
    pub drivers: Vec<Driver>,
    pub vehicle: Vehicle,
    pub coverage: Coverage,
    /// The tariff shown for this form, in the insurer's currency.
    pub premium: Option<f64>,
    /// Hash of the known fields as written : two bodies are equal exactly when their hashes are.
    pub body_hash: u128,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    #[default]
    Web,
    App,
    Agent,
    Phone,
    Api,
}

impl ChannelKind {
    pub const ALL: [ChannelKind; 5] =
        [ChannelKind::Web, ChannelKind::App, ChannelKind::Agent, ChannelKind::Phone, ChannelKind::Api];

    pub fn name(self) -> &'static str {
        match self {
            ChannelKind::Web => "web",
            ChannelKind::App => "app",
            ChannelKind::Agent => "agent",
            ChannelKind::Phone => "phone",
            ChannelKind::Api => "api",
        }
    }

    pub fn parse(name: &str) -> Option<ChannelKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channel {
    pub kind: ChannelKind,
    pub session_id: Text,
    pub device_id: Text,
    pub ip: Text,
    pub agent_id: Text,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policyholder {
    pub last_name: Text,
    pub first_name: Text,
    pub middle_name: Text,
    pub birth_date: Date,
    pub id_document: Text,
    pub driver_licence: Text,
    pub phone: Text,
    pub email: Text,
    pub address: Address,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Address {
    pub postal_code: Text,
    pub region: Text,
    pub city: Text,
    pub street: Text,
    pub house: Text,
    pub flat: Text,
    /// The whole address as free text, beside or instead of the parts.
    pub line: Text,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Driver {
    pub last_name: Text,
    pub first_name: Text,
    pub middle_name: Text,
    pub birth_date: Date,
    pub driver_licence: Text,
    pub licensed_since: Date,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vehicle {
    pub vin: Text,
    pub plate: Text,
    pub make: Text,
    pub model: Text,
    /// Model year, 0 when not given.
    pub year: u16,
    /// Engine power in metric horsepower, absent when not given.
    pub power_hp: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coverage {
    pub term_months: Option<f64>,
    pub deductible: Option<f64>,
    /// Order-free hash of the insurer's own choices (`coverage.extra`), 0 when there are none.
    pub extra_hash: u64,
}

/// Where a record stands in the log. `offset` counts from 0 within the partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub partition: u32,
    pub offset: u64,
}
