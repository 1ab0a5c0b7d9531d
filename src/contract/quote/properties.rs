//! What holds for any quote and any bytes.

use proptest::prelude::*;
use serde_json::Value;

use super::tests::full;
use super::*;

/// A visible text: nothing in it is stripped.
fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[A-Za-zА-Яа-яЁё0-9 .,/~\"\\\\é-]{1,24}")
}

fn number() -> impl Strategy<Value = Option<f64>> {
    proptest::option::of((-1_000_000_000i64..1_000_000_000).prop_map(|cents| cents as f64 / 100.0))
}

fn day() -> impl Strategy<Value = Option<String>> {
    proptest::option::of((0u32..=9999, 1u32..=12, 1u32..=28).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}")))
}

fn scalar() -> impl Strategy<Value = ScalarV1> {
    prop_oneof![
        any::<bool>().prop_map(ScalarV1::Bool),
        any::<i32>().prop_map(|n| ScalarV1::Number(n.into())),
        "[a-zа-я]{1,8}".prop_map(ScalarV1::Text),
    ]
}

prop_compose! {
    fn driver()(last_name in text(), first_name in text(), birth_date in day(), driver_licence in text(), licensed_since in day()) -> DriverV1 {
        DriverV1 { last_name, first_name, middle_name: None, birth_date, driver_licence, licensed_since }
    }
}

prop_compose! {
    fn quote()(
        texts in proptest::collection::vec(text(), 16),
        numbers in proptest::collection::vec(number(), 3),
        birth_date in day(),
        year in proptest::option::of(0u16..=9999),
        premium in proptest::option::of(0u32..),
        extra in proptest::collection::btree_map("[a-z/~]{0,6}", scalar(), 0..6),
        drivers in proptest::collection::vec(driver(), 0..=4),
    ) -> QuoteV1 {
        let mut texts = texts.into_iter();
        let mut text = move || texts.next().flatten();
        QuoteV1 {
            channel: ChannelV1 { device_id: text(), session_id: text(), ip: text(), ..full().channel },
            policyholder: PolicyholderV1 {
                last_name: text().unwrap_or_default(),
                first_name: text().unwrap_or_default(),
                middle_name: text(),
                birth_date,
                phone: text(),
                email: text(),
                address: Some(AddressV1 { city: text(), street: text(), line: text(), ..AddressV1::default() }),
                ..PolicyholderV1::default()
            },
            drivers,
            vehicle: Some(VehicleV1 { vin: text(), plate: text(), make: text(), model: text(), year: year.map(f64::from), power_hp: numbers[0] }),
            coverage: Some(CoverageV1 { term_months: numbers[1], deductible: numbers[2], extra }),
            premium: premium.map(f64::from),
            ..full()
        }
    }
}

/// The same JSON written otherwise: keys reversed, spaces between, integers as decimals.
fn rewrite(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            out.push_str("{ ");
            for (i, (key, value)) in map.iter().rev().enumerate() {
                out.push_str(if i == 0 { "" } else { " ,\n" });
                out.push_str(&format!("{} :\t", Value::from(key.as_str())));
                rewrite(value, out);
            }
            out.push_str(" }");
        }
        Value::Array(list) => {
            out.push('[');
            for (i, value) in list.iter().enumerate() {
                out.push_str(if i == 0 { " " } else { " , " });
                rewrite(value, out);
            }
            out.push(']');
        }
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 => out.push_str(&format!("{float:.2}")),
            _ => out.push_str(&format!("{number}00")),
        },
        other => out.push_str(&other.to_string()),
    }
}

fn opt(text: &Option<Box<str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

proptest! {
    #[test]
    fn a_written_quote_reads_as_it_was(written in quote()) {
        let bytes = serde_json::to_vec(&written).expect("serialises");
        let decoded = decode(&bytes, None).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let read = decoded.quote;
        prop_assert_eq!(decoded.unknown_fields, 0);
        let vehicle = written.vehicle.unwrap_or_default();
        prop_assert_eq!(opt(&read.vehicle.vin), vehicle.vin);
        prop_assert_eq!(opt(&read.vehicle.model), vehicle.model);
        prop_assert_eq!(f64::from(read.vehicle.year), vehicle.year.unwrap_or(0.0));
        prop_assert_eq!(read.vehicle.power_hp, vehicle.power_hp);
        prop_assert_eq!(opt(&read.policyholder.last_name).unwrap_or_default(), written.policyholder.last_name);
        prop_assert_eq!(opt(&read.policyholder.email), written.policyholder.email);
        let date = |date: crate::engine::time::Date| date.is_given().then(|| date.to_string());
        prop_assert_eq!(date(read.policyholder.birth_date), written.policyholder.birth_date);
        let given: Vec<_> = written.drivers.into_iter().filter(|driver| *driver != DriverV1::default()).collect();
        prop_assert_eq!(read.drivers.len(), given.len());
        for (read, written) in read.drivers.iter().zip(given) {
            prop_assert_eq!(opt(&read.last_name), written.last_name);
            prop_assert_eq!(date(read.licensed_since), written.licensed_since);
        }
        let coverage = written.coverage.unwrap_or_default();
        prop_assert_eq!(read.coverage.deductible, coverage.deductible);
        prop_assert_eq!(read.coverage.extra_hash == 0, coverage.extra.is_empty());
        prop_assert_eq!(read.premium, written.premium);
    }

    #[test]
    fn the_way_of_writing_changes_nothing(written in quote()) {
        let value = serde_json::to_value(&written).expect("serialises");
        let mut other = String::new();
        rewrite(&value, &mut other);
        prop_assert_eq!(decode(value.to_string().as_bytes(), None), decode(other.as_bytes(), None));
    }

    #[test]
    fn any_bytes_end_in_a_quote_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, None);
    }

    /// One byte of a good body changed, removed or doubled: close to valid, so it reaches deep into the decoder.
    #[test]
    fn damaged_quotes_end_in_a_quote_or_a_bounded_error(written in quote(), at in any::<prop::sample::Index>(), byte in any::<u8>(), kind in 0..3) {
        let mut bytes = serde_json::to_vec(&written).expect("serialises");
        let at = at.index(bytes.len());
        match kind {
            0 => bytes[at] = byte,
            1 => _ = bytes.remove(at),
            _ => bytes.insert(at, byte),
        }
        if let Err(error) = decode(&bytes, None) {
            prop_assert!(error.detail.len() < 2_000, "{}", error.detail);
            prop_assert_eq!(error.fields.is_empty(), error.kind.status() == 400 && error.kind != DecodeErrorKind::TooDeep);
        }
    }

    #[test]
    fn invisible_characters_never_survive(noise in "\\PC{0,8}[\u{200b}-\u{200f}\u{0}-\u{1f}\u{feff}\u{e0020}а-я]{0,8}") {
        let vehicle = Some(VehicleV1 { model: Some(noise.replace('\0', "")), ..VehicleV1::default() });
        let bytes = serde_json::to_vec(&QuoteV1 { vehicle, ..full() }).expect("serialises");
        let read = decode(&bytes, None).map_err(|error| TestCaseError::fail(error.to_string()))?.quote;
        let cleaned = read.vehicle.model.as_deref().map(crate::engine::normalise::clean::clean).unwrap_or_default();
        let is_hidden = |c: char| c.is_control() || ('\u{200b}'..='\u{200f}').contains(&c);
        prop_assert!(!cleaned.text.chars().any(is_hidden));
    }
}
