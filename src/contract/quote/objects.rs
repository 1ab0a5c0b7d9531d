//! QuoteV1's objects, key by key, and the forms of their values.

use serde::de::MapAccess;

use super::cursor::{Cursor, Typed};
use super::handlers::{NumberField, Object, Parsed, Refusal, Seen, drivers, extra, identity, object, text};
use super::node::{Handler, Node, Scalar, WrongType};
use crate::contract::error::FieldCode;
use crate::contract::instant::{self, InstantError};
use crate::engine::limits::{LINE_CHARS_MAX, PRODUCT_CHARS_MAX, QUOTE_ID_CHARS_MAX, STRING_CHARS_MAX, TENANT_CHARS_MAX};
use crate::engine::quote::{Address, Channel, ChannelKind, Coverage, Driver, Policyholder, Text, Vehicle};
use crate::engine::time::{Date, EventTime};

/// A quote while it is read: what the contract requires may still be missing.
#[derive(Default)]
pub(super) struct Draft {
    pub quote_id: Text,
    pub submitted_at: Option<EventTime>,
    pub product: Text,
    pub tenant: Text,
    pub channel: Seen<ChannelDraft>,
    pub policyholder: Seen<PolicyholderDraft>,
    pub drivers: Vec<Driver>,
    pub vehicle: Seen<Vehicle>,
    pub coverage: Seen<CoverageDraft>,
    pub premium: Option<f64>,
}

#[derive(Default)]
pub(super) struct ChannelDraft {
    pub kind: Option<ChannelKind>,
    pub session_id: Text,
    pub device_id: Text,
    pub ip: Text,
    pub agent_id: Text,
}

#[derive(Default)]
pub(super) struct PolicyholderDraft {
    pub last_name: Text,
    pub first_name: Text,
    pub middle_name: Text,
    pub birth_date: Date,
    pub id_document: Text,
    pub driver_licence: Text,
    pub phone: Text,
    pub email: Text,
    pub address: Seen<Address>,
}

#[derive(Default)]
pub(super) struct CoverageDraft {
    pub term_months: Option<f64>,
    pub deductible: Option<f64>,
    pub extra: u64,
}

impl ChannelDraft {
    pub fn finish(self, kind: ChannelKind) -> Channel {
        let ChannelDraft { kind: _, session_id, device_id, ip, agent_id } = self;
        Channel { kind, session_id, device_id, ip, agent_id }
    }
}

impl From<PolicyholderDraft> for Policyholder {
    fn from(draft: PolicyholderDraft) -> Policyholder {
        Policyholder {
            last_name: draft.last_name,
            first_name: draft.first_name,
            middle_name: draft.middle_name,
            birth_date: draft.birth_date,
            id_document: draft.id_document,
            driver_licence: draft.driver_licence,
            phone: draft.phone,
            email: draft.email,
            address: draft.address.value,
        }
    }
}

impl From<CoverageDraft> for Coverage {
    fn from(draft: CoverageDraft) -> Coverage {
        Coverage { term_months: draft.term_months, deductible: draft.deductible, extra_hash: draft.extra }
    }
}

/// Lists an object's keys in the contract's order, each with the handler that fills the field of the same name.
macro_rules! object {
    ($type:ty, $number:literal, { $($key:ident: $handler:expr,)* }) => {
        impl<'de> Object<'de> for $type {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];
            const NUMBER: u64 = $number;

            fn value<A: MapAccess<'de>>(&mut self, key: usize, cursor: &mut Cursor<'de>, map: &mut A) -> Result<(), A::Error> {
                #[allow(non_camel_case_types)]
                enum Key { $($key),* }
                $(if key == Key::$key as usize {
                    return map.next_value_seed(Node { cursor, handler: $handler(&mut self.$key) });
                })*
                Ok(())
            }
        }
    };
}

object!(Draft, 0, {
    quote_id: quote_id,
    submitted_at: Instant,
    product: text::<PRODUCT_CHARS_MAX>,
    tenant: Tenant,
    channel: object,
    policyholder: object,
    drivers: drivers,
    vehicle: object,
    coverage: object,
    premium: premium,
});

object!(ChannelDraft, 1, {
    kind: kind,
    session_id: text::<STRING_CHARS_MAX>,
    device_id: text::<STRING_CHARS_MAX>,
    ip: text::<STRING_CHARS_MAX>,
    agent_id: text::<STRING_CHARS_MAX>,
});

object!(PolicyholderDraft, 2, {
    last_name: identity::<STRING_CHARS_MAX>,
    first_name: identity::<STRING_CHARS_MAX>,
    middle_name: identity::<STRING_CHARS_MAX>,
    birth_date: date,
    id_document: identity::<STRING_CHARS_MAX>,
    driver_licence: identity::<STRING_CHARS_MAX>,
    phone: identity::<STRING_CHARS_MAX>,
    email: identity::<STRING_CHARS_MAX>,
    address: object,
});

object!(Address, 3, {
    postal_code: identity::<STRING_CHARS_MAX>,
    region: identity::<STRING_CHARS_MAX>,
    city: identity::<STRING_CHARS_MAX>,
    street: identity::<STRING_CHARS_MAX>,
    house: identity::<STRING_CHARS_MAX>,
    flat: identity::<STRING_CHARS_MAX>,
    line: identity::<LINE_CHARS_MAX>,
});

object!(Vehicle, 4, {
    vin: identity::<STRING_CHARS_MAX>,
    plate: identity::<STRING_CHARS_MAX>,
    make: identity::<STRING_CHARS_MAX>,
    model: identity::<STRING_CHARS_MAX>,
    year: year,
    power_hp: number,
});

object!(CoverageDraft, 5, {
    term_months: number,
    deductible: number,
    extra: extra,
});

// The numbers from here on are the drivers'.
object!(Driver, 16, {
    last_name: identity::<STRING_CHARS_MAX>,
    first_name: identity::<STRING_CHARS_MAX>,
    middle_name: identity::<STRING_CHARS_MAX>,
    birth_date: date,
    driver_licence: identity::<STRING_CHARS_MAX>,
    licensed_since: date,
});

fn quote_id(slot: &mut Text) -> Parsed<'_, Text> {
    fn parse(raw: &str) -> Result<Text, Refusal> {
        if raw.len() > QUOTE_ID_CHARS_MAX {
            return Err((FieldCode::TooLong, "give at most 64 characters"));
        }
        if !raw.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-')) {
            return Err((FieldCode::Format, "use only A-Z a-z 0-9 . _ : -"));
        }
        Ok(Some(raw.into()))
    }
    Parsed { slot, parse }
}

fn kind(slot: &mut Option<ChannelKind>) -> Parsed<'_, Option<ChannelKind>> {
    let parse = |raw: &str| match ChannelKind::parse(raw) {
        Some(kind) => Ok(Some(kind)),
        None => Err((FieldCode::NotAllowed, "use one of web, app, agent, phone, api")),
    };
    Parsed { slot, parse }
}

fn date(slot: &mut Date) -> Parsed<'_, Date> {
    Parsed { slot, parse: parse_date }
}

fn parse_date(raw: &str) -> Result<Date, Refusal> {
    let is_date_shaped = || {
        let mut bytes = raw.bytes().enumerate();
        raw.len() == 10 && bytes.all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
    };
    match Date::parse(raw) {
        Some(date) => Ok(date),
        None if is_date_shaped() => Err((FieldCode::NoSuchDate, "the calendar has no such day")),
        None => Err((FieldCode::Format, "write the date as YYYY-MM-DD")),
    }
}

fn number(slot: &mut Option<f64>) -> NumberField<'_, Option<f64>> {
    NumberField { slot, convert: |value| Ok(Some(value)) }
}

fn premium(slot: &mut Option<f64>) -> NumberField<'_, Option<f64>> {
    let convert = |value| match value {
        0.0.. => Ok(Some(value)),
        _ => Err((FieldCode::OutOfRange, "give a premium of 0 or more")),
    };
    NumberField { slot, convert }
}

fn year(slot: &mut u16) -> NumberField<'_, u16> {
    let convert = |value: f64| match value {
        0.0..=9999.0 if value.fract() == 0.0 => Ok(value as u16),
        _ => Err((FieldCode::OutOfRange, "give a whole year from 0 to 9999")),
    };
    NumberField { slot, convert }
}

/// `submitted_at`: hashed as the instant, so that offsets and digits beyond the microsecond do not make another body.
struct Instant<'t>(&'t mut Option<EventTime>);

impl<'de> Handler<'de> for Instant<'_> {
    const EXPECTED: &'static str = "a string";

    fn scalar(self, cursor: &mut Cursor<'de>, value: Scalar<'_>) -> Result<(), WrongType> {
        let Scalar::Text(raw) = value else { return Err(WrongType) };
        match instant::parse(raw) {
            Ok(time) => {
                cursor.hash(Typed::Instant, &time.0.to_le_bytes());
                *self.0 = Some(time);
            }
            Err(error @ InstantError::Format) => cursor.fail(FieldCode::Format, error.to_string()),
            Err(error @ InstantError::NoSuchTime) => cursor.fail(FieldCode::NoSuchDate, error.to_string()),
        }
        Ok(())
    }
}

/// `tenant`: hashed once it is resolved, so that naming one's own tenant does not make another body.
struct Tenant<'t>(&'t mut Text);

impl<'de> Handler<'de> for Tenant<'_> {
    const EXPECTED: &'static str = "a string";

    fn scalar(self, cursor: &mut Cursor<'de>, value: Scalar<'_>) -> Result<(), WrongType> {
        let hash = cursor.hash;
        identity::<TENANT_CHARS_MAX>(self.0).scalar(cursor, value)?;
        cursor.hash = hash;
        Ok(())
    }
}
