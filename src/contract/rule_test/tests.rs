use super::*;

fn test(yaml: &str) -> Result<RuleTest, serde_saphyr::Error> {
    serde_saphyr::from_str(yaml)
}

/// The quotes of a test as JSON.
fn quotes(yaml: &str) -> Vec<Value> {
    let bodies = test(yaml).expect("shape").quotes().expect("quotes");
    bodies.iter().map(|body| serde_json::from_slice(body).expect("JSON")).collect()
}

#[test]
fn steps_change_the_base_quote_and_not_each_other() {
    let built = quotes(
        r#"
name: n
base: {policyholder.last_name: Орлова, vehicle.vin: XTA219010K0123456}
quotes:
  - {at: -2h, set: {vehicle.vin: XTA219010K0123465, drivers.0.birth_date: 1990-02-01}}
  - {at: 0m, set: {drivers.1.last_name: Орлов, coverage.extra.tyres: true, coverage.deductible: 10000}}
  - {at: 1m, person: 1, set: {policyholder.phone: null, drivers.0: null}}
expect: {decision: accept}
"#,
    );
    let field = |quote: usize, pointer: &str| built[quote].pointer(pointer).cloned().unwrap_or_default();
    for (quote, pointer, expected) in [
        (0, "/quote_id", Value::from("test-1")),
        (0, "/submitted_at", Value::from("2026-03-02T10:00:00Z")),
        (0, "/policyholder/last_name", Value::from("Орлова")),
        (0, "/vehicle/vin", Value::from("XTA219010K0123465")),
        (0, "/drivers/0/birth_date", Value::from("1990-02-01")),
        (1, "/submitted_at", Value::from("2026-03-02T12:00:00Z")),
        (1, "/vehicle/vin", Value::from("XTA219010K0123456")),
        (1, "/drivers/1/last_name", Value::from("Орлов")),
        (1, "/coverage/extra/tyres", Value::from(true)),
        (1, "/coverage/deductible", Value::from(10_000)),
        (2, "/submitted_at", Value::from("2026-03-02T12:01:00Z")),
        (2, "/policyholder/phone", Value::Null),
        (2, "/drivers", Value::Array(vec![])),
        (2, "/channel/device_id", Value::from("device-1")),
    ] {
        assert_eq!(field(quote, pointer), expected, "{quote} {pointer}");
    }
}

#[test]
fn mistakes_in_a_test_are_named() {
    for (set, expected) in [
        ("{vehicle.vim: x}", "quote 1: a quote has no `vehicle.vim` did you mean `vin`?"),
        ("{weather: x}", "quote 1: a quote has no `weather`"),
        ("{premium.net: 1}", "quote 1: `premium` is a plain value, so `premium.net` leads nowhere"),
        ("{drivers.2.last_name: x}", "quote 1: `drivers` holds 1, so `drivers.2.last_name` leads nowhere"),
        ("{drivers.x: x}", "quote 1: `drivers` holds 1, so `drivers.x` leads nowhere"),
    ] {
        let yaml = format!("{{name: n, quotes: [{{at: 0m, set: {set}}}], expect: {{decision: accept}}}}");
        assert_eq!(test(&yaml).expect("shape").quotes().expect_err(set), expected);
    }
    for (at, expected) in [("-2", "`2` is not a duration"), ("soon", "`soon` is not a duration")] {
        let yaml = format!("{{name: n, quotes: [{{at: {at}}}], expect: {{decision: accept}}}}");
        let found = test(&yaml).expect("shape").quotes().expect_err(at);
        assert!(found.contains(expected), "{found}");
    }
    assert!(test("{name: n, quotes: [], expect: {decision: accept}}").expect("shape").quotes().is_err());
    assert!(test("{name: n, quotes: [{at: 0m, sett: {}}], expect: {decision: accept}}").is_err());
}

#[test]
fn people_differ_in_every_identity_field() {
    let people: Vec<Value> = (0..40).map(base::quote).collect();
    for pointer in [
        "/policyholder/id_document",
        "/policyholder/driver_licence",
        "/policyholder/phone",
        "/policyholder/email",
        "/vehicle/vin",
        "/vehicle/plate",
        "/channel/device_id",
        "/channel/session_id",
    ] {
        let mut values: Vec<String> = people.iter().filter_map(|quote| quote.pointer(pointer)).map(Value::to_string).collect();
        values.sort();
        values.dedup();
        assert_eq!(values.len(), people.len(), "{pointer}");
    }
    for person in &people {
        let vin = person.pointer("/vehicle/vin").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(vin.len(), 17, "{vin}");
    }
}
