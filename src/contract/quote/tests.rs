use serde_json::json;

use super::*;
use crate::contract::error::FieldCode::*;
use crate::engine::limits::{DRIVERS_MAX, ERRORS_SHOWN_MAX, EXTRA_MAX};
use crate::engine::quote::ChannelKind;
use crate::engine::time::Date;

/// The least that is a quote, with `extra` spliced in as further top-level members.
fn body(extra: &str) -> String {
    let comma = if extra.is_empty() { "" } else { "," };
    format!(
        r#"{{"quote_id":"q-1","submitted_at":"2026-11-24T09:30:00+03:00","product":"osago","channel":{{"kind":"web"}},
        "policyholder":{{"last_name":"Петрова","first_name":""}}{comma}{extra}}}"#
    )
}

fn quote(extra: &str) -> Quote {
    match decode(body(extra).as_bytes(), None) {
        Ok(decoded) => decoded.quote,
        Err(error) => panic!("{extra}: {error}"),
    }
}

pub(in crate::contract) fn full() -> QuoteV1 {
    let some = |text: &str| Some(text.to_owned());
    QuoteV1 {
        quote_id: "q-2026.11:24_1".into(),
        submitted_at: "2026-11-24T09:30:00.123456+03:00".into(),
        product: "kasko".into(),
        tenant: some("north"),
        channel: ChannelV1 {
            kind: ChannelKindV1::Agent,
            session_id: some("s-81"),
            device_id: some("d-17"),
            ip: some("192.0.2.7"),
            agent_id: some("a-3"),
        },
        policyholder: PolicyholderV1 {
            last_name: "Петрова".into(),
            first_name: "Мария".into(),
            middle_name: some("Ивановна"),
            birth_date: some("1984-02-29"),
            id_document: some("00 00 123456"),
            driver_licence: some("00 00 654321"),
            phone: some("+7 900 000-00-00"),
            email: some("m.petrova@example.org"),
            address: Some(AddressV1 {
                postal_code: some("000000"),
                region: some("Область"),
                city: some("Город"),
                street: some("Мира"),
                house: some("5к1"),
                flat: some("12"),
                line: some("Город, Мира 5к1-12"),
            }),
        },
        drivers: vec![DriverV1 {
            last_name: some("Петров"),
            first_name: some("Олег"),
            middle_name: some("Ильич"),
            birth_date: some("1980-01-31"),
            driver_licence: some("00 00 111111"),
            licensed_since: some("1999-06-01"),
        }],
        vehicle: Some(VehicleV1 {
            vin: some("XTA219010K0123456"),
            plate: some("А000АА00"),
            make: some("Lada"),
            model: some("Granta"),
            year: Some(2019.0),
            power_hp: Some(87.5),
        }),
        coverage: Some(CoverageV1 {
            term_months: Some(12.0),
            deductible: Some(15000.0),
            extra: [("garage".to_owned(), ScalarV1::Bool(true)), ("franchise".to_owned(), ScalarV1::Number(3.0))].into(),
        }),
        premium: Some(12450.5),
    }
}

#[test]
fn every_field_of_the_schema_reaches_its_place() {
    let bytes = serde_json::to_vec(&full()).expect("serialises");
    let decoded = decode(&bytes, Some("north")).expect("decodes");
    assert_eq!(decoded.unknown_fields, 0);
    let Quote { channel, policyholder: holder, drivers, vehicle, coverage, .. } = &decoded.quote;
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let address = &holder.address;
    let driver = &drivers[0];
    for (got, expected) in [
        (decoded.quote.quote_id.to_string(), "q-2026.11:24_1"),
        (decoded.quote.submitted_at.0.to_string(), "1795501800123456"),
        (decoded.quote.product.to_string(), "kasko"),
        (decoded.quote.tenant.to_string(), "north"),
        (channel.kind.name().to_owned(), "agent"),
        (text(&channel.session_id), "s-81"),
        (text(&channel.device_id), "d-17"),
        (text(&channel.ip), "192.0.2.7"),
        (text(&channel.agent_id), "a-3"),
        (text(&holder.last_name), "Петрова"),
        (text(&holder.first_name), "Мария"),
        (text(&holder.middle_name), "Ивановна"),
        (holder.birth_date.to_string(), "1984-02-29"),
        (text(&holder.id_document), "00 00 123456"),
        (text(&holder.driver_licence), "00 00 654321"),
        (text(&holder.phone), "+7 900 000-00-00"),
        (text(&holder.email), "m.petrova@example.org"),
        (text(&address.postal_code), "000000"),
        (text(&address.region), "Область"),
        (text(&address.city), "Город"),
        (text(&address.street), "Мира"),
        (text(&address.house), "5к1"),
        (text(&address.flat), "12"),
        (text(&address.line), "Город, Мира 5к1-12"),
        (text(&driver.last_name), "Петров"),
        (text(&driver.first_name), "Олег"),
        (text(&driver.middle_name), "Ильич"),
        (driver.birth_date.to_string(), "1980-01-31"),
        (text(&driver.driver_licence), "00 00 111111"),
        (driver.licensed_since.to_string(), "1999-06-01"),
        (text(&vehicle.vin), "XTA219010K0123456"),
        (text(&vehicle.plate), "А000АА00"),
        (text(&vehicle.make), "Lada"),
        (text(&vehicle.model), "Granta"),
        (vehicle.year.to_string(), "2019"),
        (format!("{:?}", vehicle.power_hp), "Some(87.5)"),
        (format!("{:?}", coverage.term_months), "Some(12.0)"),
        (format!("{:?}", coverage.deductible), "Some(15000.0)"),
        ((coverage.extra_hash != 0).to_string(), "true"),
        (format!("{:?}", decoded.quote.premium), "Some(12450.5)"),
    ] {
        assert_eq!(got, expected);
    }
}

/// A change of any one leaf, or its absence, makes another body; nothing is left out of the hash or mixed up in it.
#[test]
fn every_leaf_enters_the_body_hash_at_its_own_place() {
    let whole = serde_json::to_value(full()).expect("serialises");
    let mut hashes = vec![decode(whole.to_string().as_bytes(), None).expect("decodes").quote.body_hash];
    for pointer in leaves("", &whole) {
        for new in [json!(null), json!("web"), json!("2000-01-01"), json!("2000-01-01T00:00:00Z"), json!(7)] {
            let mut changed = whole.clone();
            *changed.pointer_mut(&pointer).expect("a leaf") = new;
            hashes.extend(decode(changed.to_string().as_bytes(), None).map(|decoded| decoded.quote.body_hash));
        }
    }
    let total = hashes.len();
    assert!(total > 100, "{total}");
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), total);
}

pub(in crate::contract) fn leaves(pointer: &str, value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Object(map) => {
            map.iter().flat_map(|(key, value)| leaves(&format!("{pointer}/{key}"), value)).collect()
        }
        serde_json::Value::Array(list) => {
            list.iter().enumerate().flat_map(|(i, value)| leaves(&format!("{pointer}/{i}"), value)).collect()
        }
        _ => vec![pointer.to_owned()],
    }
}

/// The hashes are stored with each attempt: another value would make every resubmission across an upgrade another body.
#[test]
fn hashes_stay_what_they_were() {
    let bytes = serde_json::to_vec(&full()).expect("serialises");
    let quote = decode(&bytes, None).expect("decodes").quote;
    assert_eq!(quote.body_hash, 0xacdf_dac8_03fc_2293_0a8a_8328_d387_63b5);
    assert_eq!(quote.coverage.extra_hash, 0x5a03_9966_fad3_a23f);
}

#[test]
fn bodies_are_equal_in_what_they_say() {
    for (left, right, expected) in [
        (r#""premium":1"#, r#""premium":1.0"#, true),
        (r#""premium":1"#, r#""premium":10e-1"#, true),
        (r#""premium":0"#, r#""premium":-0.0"#, true),
        (r#""premium":1.5"#, r#""premium":1.50"#, true),
        (r#""premium":1"#, r#""premium":2"#, false),
        (r#""premium":null"#, "", true),
        (r#""premium":0"#, "", false),
        (r#""tenant":"default""#, "", true),
        (r#""tenant":"other""#, "", false),
        (r#""vehicle":{"vin":""}"#, "", true),
        (r#""vehicle":{}"#, r#""vehicle":null"#, true),
        (r#""vehicle":{"vin":"A"}"#, r#""vehicle":{"plate":"A"}"#, false),
        (r#""vehicle":{"vin":"A","plate":"B"}"#, r#""vehicle":{"plate":"B", "vin":"\u0041"}"#, true),
        (r#""vehicle":{"vin":"A"}"#, r#""vehicle":{"vin":"A\u200b"}"#, false),
        (r#""vehicle":{"vin":"A"}"#, r#""vehicle":{"vin":"a"}"#, false),
        (r#""drivers":[]"#, "", true),
        (r#""drivers":[{},null,""]"#, "", true),
        (r#""drivers":[{},{"last_name":"A"}]"#, r#""drivers":[{"last_name":"A"}]"#, true),
        (r#""drivers":[{"last_name":"A"},{"last_name":"B"}]"#, r#""drivers":[{"last_name":"B"},{"last_name":"A"}]"#, false),
        (r#""coverage":{"extra":{"a":1,"b":"x"}}"#, r#""coverage":{"extra":{"b":"x","a":1.0,"c":null,"d":""}}"#, true),
        (r#""coverage":{"extra":{"a":1}}"#, r#""coverage":{"extra":{"a":"1"}}"#, false),
        (r#""coverage":{"extra":{"a":1}}"#, r#""coverage":{"extra":{"a":true}}"#, false),
        (r#""coverage":{"extra":{"a":1,"b":2}}"#, r#""coverage":{"extra":{"a":2,"b":1}}"#, false),
        (r#""coverage":{"extra":{"a":9007199254740993}}"#, r#""coverage":{"extra":{"a":9007199254740992}}"#, false),
        (r#""coverage":{"extra":{}}"#, "", true),
        (r#""note":"unknown""#, "", true),
    ] {
        let (left_quote, right_quote) = (quote(left), quote(right));
        assert_eq!(left_quote.body_hash == right_quote.body_hash, expected, "{left} / {right}");
        if expected {
            assert_eq!(left_quote, right_quote, "{left} / {right}");
        }
    }
    let shifted = body("").replace("09:30:00+03:00", "06:30:00.0000009Z");
    assert_eq!(decode(shifted.as_bytes(), None).expect("decodes").quote, quote(""));
}

#[test]
fn extra_choices_are_hashed_without_order_and_without_what_is_invisible() {
    let hash = |extra: &str| quote(&format!(r#""coverage":{{"extra":{extra}}}"#)).coverage.extra_hash;
    for (left, right, expected) in [
        (r#"{"a":1,"b":2}"#, r#"{"b":2.0,"a":1}"#, true),
        (r#"{"a":"x"}"#, r#"{"a":"x\u200b"}"#, true),
        (r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#, false),
        (r#"{"a":null}"#, "{}", true),
        (r#"{"a":false}"#, "{}", false),
    ] {
        assert_eq!(hash(left) == hash(right), expected, "{left} / {right}");
    }
    assert_eq!(hash("{}"), 0);
}

#[test]
fn odd_but_honest_input_is_kept() {
    assert_eq!(quote("").channel.kind, ChannelKind::Web);
    assert_eq!(quote(r#""vehicle":{"year":2015.0}"#).vehicle.year, 2015);
    assert_eq!(quote(r#""vehicle":{"vin":"bad vin!","power_hp":-1}"#).vehicle.vin.as_deref(), Some("bad vin!"));
    for year in ["0000-01-01", "9999-12-31"] {
        let holder = format!(r#""drivers":[{{"birth_date":"{year}"}}]"#);
        assert_eq!(Some(quote(&holder).drivers[0].birth_date), Date::parse(year));
    }
    let disguised = quote(r#""vehicle":{"vin":"\u202eXTA\u200d","plate":"\u2060"}"#);
    assert_eq!((disguised.vehicle.vin.as_deref(), disguised.vehicle.plate), (Some("\u{202e}XTA\u{200d}"), None));
    let long = "я".repeat(256);
    assert_eq!(quote(&format!(r#""vehicle":{{"model":"{long}"}}"#)).vehicle.model.as_deref(), Some(long.as_str()));
    let unknown = decode(body(r#""x":{"y":{"z":[1,{"a":null}]}},"y":1"#).as_bytes(), None).expect("decodes");
    assert_eq!(unknown.unknown_fields, 2);
}

#[test]
fn the_tenant_is_the_bodys_or_the_sources_and_never_two() {
    for (own, source, expected) in [
        ("", None, Ok("default")),
        ("", Some("north"), Ok("north")),
        (r#""tenant":null"#, Some("north"), Ok("north")),
        (r#""tenant":"north""#, None, Ok("north")),
        (r#""tenant":"north""#, Some("north"), Ok("north")),
        (r#""tenant":"south""#, Some("north"), Err(DecodeErrorKind::TenantMismatch)),
        (r#""tenant":"south","premium":-1"#, Some("north"), Err(DecodeErrorKind::TenantMismatch)),
    ] {
        let got =
            decode(body(own).as_bytes(), source).map(|decoded| decoded.quote.tenant.to_string()).map_err(|error| error.kind);
        assert_eq!(got, expected.map(str::to_owned), "{own}");
    }
}

/// Bodies that are refused as a whole.
#[test]
fn bytes_that_are_no_json_are_refused() {
    let bomb = "[".repeat(60_000);
    let nested = |levels: usize| body(&format!(r#""x":{}{}"#, "[".repeat(levels - 1), "]".repeat(levels - 1)));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(17), "}".repeat(17));
    for (bytes, expected) in [
        (b"".as_slice(), Some(DecodeErrorKind::NotJson)),
        (b"{", Some(DecodeErrorKind::NotJson)),
        (b"quote", Some(DecodeErrorKind::NotJson)),
        (b"\xEF\xBB\xBF{}", Some(DecodeErrorKind::NotJson)),
        (br#"{"premium":NaN}"#, Some(DecodeErrorKind::NotJson)),
        (br#"{"premium":Infinity}"#, Some(DecodeErrorKind::NotJson)),
        (br#"{"premium":01}"#, Some(DecodeErrorKind::NotJson)),
        (br#"{"quote_id":"\ud800"}"#, Some(DecodeErrorKind::NotJson)),
        (b"{\"quote_id\":\"a\nb\"}", Some(DecodeErrorKind::NotJson)),
        (b"{\"quote_id\":\"\xFF\"}", Some(DecodeErrorKind::InvalidUtf8)),
        (b"{\"quote_id\":\"\xED\xA0\x80\"}", Some(DecodeErrorKind::InvalidUtf8)),
        ([body("").as_bytes(), b" {}"].concat().as_slice(), Some(DecodeErrorKind::NotJson)),
        ([body("").as_bytes(), b" \n"].concat().as_slice(), None),
        (bomb.as_bytes(), Some(DecodeErrorKind::TooDeep)),
        (nested(16).as_bytes(), None),
        (nested(17).as_bytes(), Some(DecodeErrorKind::TooDeep)),
        (objects.as_bytes(), Some(DecodeErrorKind::TooDeep)),
        (body(&format!(r#""x":"{}""#, "x".repeat(100_000))).as_bytes(), Some(DecodeErrorKind::TooLarge)),
        (vec![b' '; BODY_BYTES_MAX + 1].as_slice(), Some(DecodeErrorKind::TooLarge)),
        (b"[]", Some(DecodeErrorKind::InvalidFields)),
        (b"null", Some(DecodeErrorKind::InvalidFields)),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert_eq!(decode(bytes, None).err().map(|error| error.kind), expected, "{shown}");
    }
}

/// Fields that are refused, each alone in an otherwise good body.
#[test]
fn offending_fields_are_named() {
    let long = "x".repeat(257);
    let huge = "x".repeat(60_000);
    let digits = "9".repeat(400);
    let drivers = [r#"{"last_name":"A"}"#; DRIVERS_MAX + 1].join(",");
    let extra = (0..=EXTRA_MAX).map(|i| format!(r#""k{i}":1"#)).collect::<Vec<_>>().join(",");
    for (member, expected) in [
        (r#""tenant":5"#.to_owned(), ("/tenant", WrongType)),
        (format!(r#""tenant":"{}""#, "t".repeat(65)), ("/tenant", TooLong)),
        (r#""vehicle":[]"#.into(), ("/vehicle", WrongType)),
        (r#""vehicle":"car""#.into(), ("/vehicle", WrongType)),
        (r#""vehicle":{"vin":1}"#.into(), ("/vehicle/vin", WrongType)),
        (r#""vehicle":{"vin":{"a":1}}"#.into(), ("/vehicle/vin", WrongType)),
        (r#""vehicle":{"vin":"A\u0000"}"#.into(), ("/vehicle/vin", Nul)),
        (format!(r#""vehicle":{{"vin":"{long}"}}"#), ("/vehicle/vin", TooLong)),
        (format!(r#""vehicle":{{"vin":"{huge}"}}"#), ("/vehicle/vin", TooLong)),
        (r#""vehicle":{"year":"2015"}"#.into(), ("/vehicle/year", WrongType)),
        (r#""vehicle":{"year":2015.5}"#.into(), ("/vehicle/year", OutOfRange)),
        (r#""vehicle":{"year":-1}"#.into(), ("/vehicle/year", OutOfRange)),
        (r#""vehicle":{"year":10000}"#.into(), ("/vehicle/year", OutOfRange)),
        (r#""vehicle":{"power_hp":1e999}"#.into(), ("/vehicle/power_hp", OutOfRange)),
        (r#""vehicle":{"power_hp":true}"#.into(), ("/vehicle/power_hp", WrongType)),
        (r#""vehicle":{"vin":"A","vin":"A"}"#.into(), ("/vehicle/vin", DuplicateKey)),
        (r#""vehicle":{"vin":"A","v\u0069n":null}"#.into(), ("/vehicle/vin", DuplicateKey)),
        (r#""premium":-0.01"#.into(), ("/premium", OutOfRange)),
        (format!(r#""premium":{digits}"#), ("/premium", OutOfRange)),
        (r#""premium":1,"premium":1"#.into(), ("/premium", DuplicateKey)),
        (r#""product":"kasko""#.into(), ("/product", DuplicateKey)),
        (r#""x":1,"x":2"#.into(), ("/x", DuplicateKey)),
        (r#""x":[0,{"a/b~":{"c":1,"c":2}}]"#.into(), ("/x/1/a~1b~0/c", DuplicateKey)),
        (r#""x":{"vin":{"y":1,"y":1}}"#.into(), ("/x/vin/y", DuplicateKey)),
        (r#""x":[1,-1e400]"#.into(), ("/x/1", OutOfRange)),
        (r#""drivers":{}"#.into(), ("/drivers", WrongType)),
        (r#""drivers":[{"last_name":"A"},7]"#.into(), ("/drivers/1", WrongType)),
        (r#""drivers":[{"birth_date":"1983-02-29"}]"#.into(), ("/drivers/0/birth_date", NoSuchDate)),
        (r#""drivers":[{"birth_date":"29.02.1984"}]"#.into(), ("/drivers/0/birth_date", Format)),
        (r#""drivers":[{},{"licensed_since":"2001-1-1"}]"#.into(), ("/drivers/1/licensed_since", Format)),
        (format!(r#""drivers":[{drivers}]"#), ("/drivers", TooMany)),
        (r#""coverage":{"term_months":"12"}"#.into(), ("/coverage/term_months", WrongType)),
        (r#""coverage":{"extra":[]}"#.into(), ("/coverage/extra", WrongType)),
        (r#""coverage":{"extra":{"a":[1]}}"#.into(), ("/coverage/extra/a", WrongType)),
        (r#""coverage":{"extra":{"a":{}}}"#.into(), ("/coverage/extra/a", WrongType)),
        (r#""coverage":{"extra":{"a":1,"a":1}}"#.into(), ("/coverage/extra/a", DuplicateKey)),
        (r#""coverage":{"extra":{"a":"\u0000"}}"#.into(), ("/coverage/extra/a", Nul)),
        (format!(r#""coverage":{{"extra":{{"a":"{long}"}}}}"#), ("/coverage/extra/a", TooLong)),
        (format!(r#""coverage":{{"extra":{{{extra}}}}}"#), ("/coverage/extra", TooMany)),
    ] {
        let shown: String = member.chars().take(80).collect();
        let error = decode(body(&member).as_bytes(), None).expect_err(&shown);
        let fields: Vec<_> = error.fields.iter().map(|field| (field.pointer.as_str(), field.code)).collect();
        assert_eq!((error.kind, fields), (DecodeErrorKind::InvalidFields, vec![expected]), "{shown}");
    }
}

/// Members of [`body`] replaced by others.
#[test]
fn required_fields_are_checked() {
    for (from, to, expected) in [
        (r#""quote_id":"q-1""#, r#""quote_id":"""#, ("/quote_id", Required)),
        (r#""quote_id":"q-1""#, r#""quote_id":null"#, ("/quote_id", Required)),
        (r#""quote_id":"q-1""#, r#""quote_id":"q 1""#, ("/quote_id", Format)),
        (r#""quote_id":"q-1""#, r#""quote_id":"q\u200b1""#, ("/quote_id", Format)),
        (r#""quote_id":"q-1""#, r#""quote_id":17"#, ("/quote_id", WrongType)),
        ("q-1", "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq", ("/quote_id", TooLong)),
        (r#""submitted_at""#, r#""sent_at""#, ("/submitted_at", Required)),
        ("+03:00", "", ("/submitted_at", Format)),
        ("2026-11-24", "2026-11-31", ("/submitted_at", NoSuchDate)),
        ("2026-11-24T09:30:00+03:00", "0000-01-01T00:00:00+03:00", ("/submitted_at", NoSuchDate)),
        (r#""osago""#, r#""\u200b""#, ("/product", Required)),
        ("osago", "an insurance product of a long name", ("/product", TooLong)),
        (r#"{"kind":"web"}"#, "null", ("/channel/kind", Required)),
        (r#"{"kind":"web"}"#, "[]", ("/channel", WrongType)),
        (r#""web""#, r#""fax""#, ("/channel/kind", NotAllowed)),
        (r#","first_name":"""#, "", ("/policyholder/first_name", Required)),
        (r#""last_name":"Петрова","#, "", ("/policyholder/last_name", Required)),
    ] {
        let error = decode(body("").replace(from, to).as_bytes(), None).expect_err(to);
        let fields: Vec<_> = error.fields.iter().map(|field| (field.pointer.as_str(), field.code)).collect();
        assert_eq!(fields, [expected], "{to}");
    }
    let nulls = body("").replace("\"Петрова\"", "null").replace("\"\"", "null");
    assert!(decode(nulls.as_bytes(), None).is_ok());
}

#[test]
fn all_offending_fields_are_named_at_once_and_no_value_is_repeated() {
    let bad = r#"{"quote_id":"secret!","submitted_at":"secret","channel":{"kind":"secret"},"vehicle":{"year":"secret"},"premium":-4711}"#;
    let error = decode(bad.as_bytes(), None).expect_err("bad");
    let pointers: Vec<_> = error.fields.iter().map(|field| field.pointer.as_str()).collect();
    let expected = [
        "/quote_id",
        "/submitted_at",
        "/channel/kind",
        "/vehicle/year",
        "/premium",
        "/product",
        "/policyholder/last_name",
        "/policyholder/first_name",
    ];
    assert_eq!(pointers, expected);
    let shown = format!("{error:?} {error}");
    assert!(!shown.contains("secret") && !shown.contains("4711"), "{shown}");
    assert!(error.detail.starts_with("8 invalid fields, the first /quote_id: "), "{}", error.detail);
}

#[test]
fn errors_stay_small_whatever_the_body() {
    let key = "k".repeat(50_000);
    let twice = vec![r#""a":1"#; 2_000].join(",");
    let error = decode(body(&format!(r#""{key}":{{{twice}}}"#)).as_bytes(), None).expect_err("duplicates");
    assert_eq!(error.fields.len(), ERRORS_SHOWN_MAX);
    assert!(error.detail.starts_with("1999 invalid fields"), "{}", error.detail);
    assert!(error.fields.iter().all(|field| field.pointer.len() < 600));
}
