//! A small strict reader of QuoteV1, written from the contract and apart from the generator.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use loadtest::calendar::Date;

/// Every rule of the contract that a line breaks.
pub fn faults(line: &str) -> Vec<String> {
    let mut check = Check { faults: Vec::new() };
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(quote)) => check.quote(&quote),
        other => check.faults.push(format!("not a JSON object: {other:?}")),
    }
    check.faults
}

struct Check {
    faults: Vec<String>,
}

const IDENTITY_CHARS_MAX: usize = 256;
const LINE_CHARS_MAX: usize = 512;

impl Check {
    fn fault(&mut self, at: &str, what: &str) {
        self.faults.push(format!("{at}: {what}"));
    }

    fn expect(&mut self, holds: bool, at: &str, what: &str) {
        if !holds {
            self.fault(at, what);
        }
    }

    fn known(&mut self, object: &Map<String, Value>, at: &str, names: &[&str]) {
        let names: BTreeSet<&str> = names.iter().copied().collect();
        for name in object.keys().filter(|name| !names.contains(name.as_str())) {
            self.fault(at, &format!("unknown field {name}"));
        }
    }

    fn object<'a>(&mut self, parent: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
        let object = parent.get(name).and_then(Value::as_object);
        self.expect(object.is_some(), name, "missing or no object");
        object
    }

    fn text(&mut self, object: &Map<String, Value>, at: &str, most: usize) {
        match object.get(at.rsplit('/').next().unwrap_or(at)) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => {
                self.expect(text.chars().count() <= most, at, "too long");
                self.expect(!text.contains('\0'), at, "holds NUL");
            }
            Some(other) => self.fault(at, &format!("no text: {other}")),
        }
    }

    fn date(&mut self, object: &Map<String, Value>, name: &str, required: bool) {
        match object.get(name) {
            None if !required => {}
            Some(Value::String(text)) => self.expect(Date::parse(text).is_some(), name, "no calendar date"),
            _ => self.fault(name, "missing"),
        }
    }

    fn quote(&mut self, quote: &Map<String, Value>) {
        #[rustfmt::skip]
        let fields = [
            "quote_id", "submitted_at", "product", "tenant", "channel", "policyholder", "drivers", "vehicle", "coverage", "premium",
        ];
        let tenant = quote.get("tenant").map_or("default", |tenant| tenant.as_str().unwrap_or_default());
        self.expect((1..=64).contains(&tenant.len()), "tenant", "empty or too long");
        self.known(quote, "", &fields);
        let id = quote.get("quote_id").and_then(Value::as_str).unwrap_or_default();
        let id_char = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        self.expect((1..=64).contains(&id.len()) && id.chars().all(id_char), "quote_id", "outside its alphabet or length");
        let at = quote.get("submitted_at").and_then(Value::as_str).unwrap_or_default();
        let parsed = loadtest::calendar::parse_rfc3339(at);
        self.expect(
            at.ends_with('Z') && parsed.is_some_and(|ms| loadtest::calendar::rfc3339(ms) == at),
            "submitted_at",
            "no RFC 3339",
        );
        let product = quote.get("product").and_then(Value::as_str).unwrap_or_default();
        self.expect((1..=32).contains(&product.len()), "product", "missing or too long");
        self.expect(quote.get("premium").and_then(Value::as_f64).is_some_and(|p| p > 0.0), "premium", "missing or not above 0");
        if let Some(channel) = self.object(quote, "channel") {
            self.channel(channel);
        }
        if let Some(holder) = self.object(quote, "policyholder") {
            self.policyholder(holder);
        }
        if let Some(vehicle) = self.object(quote, "vehicle") {
            self.vehicle(vehicle);
        }
        if let Some(coverage) = self.object(quote, "coverage") {
            self.coverage(coverage);
        }
        let drivers = quote.get("drivers").and_then(Value::as_array);
        self.expect(drivers.is_some_and(|d| d.len() <= 10), "drivers", "missing or more than 10");
        for driver in drivers.into_iter().flatten().filter_map(Value::as_object) {
            self.known(
                driver,
                "drivers",
                &["last_name", "first_name", "middle_name", "birth_date", "driver_licence", "licensed_since"],
            );
            for name in ["last_name", "first_name", "middle_name", "driver_licence"] {
                self.text(driver, name, IDENTITY_CHARS_MAX);
            }
            self.date(driver, "birth_date", true);
            self.date(driver, "licensed_since", false);
        }
    }

    fn channel(&mut self, channel: &Map<String, Value>) {
        self.known(channel, "channel", &["kind", "session_id", "device_id", "ip", "agent_id"]);
        let kind = channel.get("kind").and_then(Value::as_str).unwrap_or_default();
        self.expect(["web", "app", "agent", "phone", "api"].contains(&kind), "channel/kind", "not in the list");
        for name in ["session_id", "device_id", "ip", "agent_id"] {
            self.text(channel, name, IDENTITY_CHARS_MAX);
        }
        let ip = channel.get("ip").and_then(Value::as_str).unwrap_or_default();
        self.expect(ip.parse::<std::net::IpAddr>().is_ok(), "channel/ip", "no address");
    }

    fn policyholder(&mut self, holder: &Map<String, Value>) {
        let fields = [
            "last_name",
            "first_name",
            "middle_name",
            "birth_date",
            "id_document",
            "driver_licence",
            "phone",
            "email",
            "address",
        ];
        self.known(holder, "policyholder", &fields);
        for name in ["last_name", "first_name"] {
            self.expect(holder.get(name).is_some_and(Value::is_string), name, "missing");
        }
        for name in fields.iter().filter(|name| !["birth_date", "address"].contains(name)) {
            self.text(holder, name, IDENTITY_CHARS_MAX);
        }
        self.date(holder, "birth_date", true);
        if let Some(address) = self.object(holder, "address") {
            self.known(address, "address", &["postal_code", "region", "city", "street", "house", "flat", "line"]);
            for name in address.keys() {
                self.text(address, name, if name == "line" { LINE_CHARS_MAX } else { IDENTITY_CHARS_MAX });
            }
        }
    }

    fn vehicle(&mut self, vehicle: &Map<String, Value>) {
        self.known(vehicle, "vehicle", &["vin", "plate", "make", "model", "year", "power_hp"]);
        for name in ["vin", "plate", "make", "model"] {
            self.text(vehicle, name, IDENTITY_CHARS_MAX);
        }
        self.expect(
            vehicle.get("year").and_then(Value::as_u64).is_some_and(|y| (1980..=2028).contains(&y)),
            "year",
            "implausible",
        );
        self.expect(
            vehicle.get("power_hp").and_then(Value::as_f64).is_some_and(|p| (30.0..600.0).contains(&p)),
            "power_hp",
            "implausible",
        );
    }

    fn coverage(&mut self, coverage: &Map<String, Value>) {
        self.known(coverage, "coverage", &["term_months", "deductible", "extra"]);
        for value in coverage.get("extra").and_then(Value::as_object).into_iter().flat_map(|extra| extra.values()) {
            self.expect(!value.is_object() && !value.is_array(), "extra", "no scalar");
        }
    }
}

#[test]
fn the_reader_finds_faults() {
    let good = r#"{"quote_id":"a","submitted_at":"2026-11-01T00:00:00.000Z","product":"osago","channel":{"kind":"web","ip":"10.0.0.1"},
        "policyholder":{"last_name":"","first_name":"","birth_date":"1984-02-29","address":{}},"drivers":[],
        "vehicle":{"year":2020,"power_hp":90},"coverage":{},"premium":1}"#;
    assert_eq!(faults(good), Vec::<String>::new());
    for (from, to, expected) in [
        ("1984-02-29", "1983-02-29", "no calendar date"),
        ("\"a\"", "\"a b\"", "alphabet"),
        ("web", "fax", "not in the list"),
        ("000Z", "000", "RFC 3339"),
        ("\"last_name\":\"\",", "", "missing"),
        ("\"premium\":1", "\"premium\":1,\"x\":1", "unknown field"),
    ] {
        let found = faults(&good.replace(from, to));
        assert!(found.iter().any(|fault| fault.contains(expected)), "{from} -> {to}: {found:?}");
    }
}
