//! What the commands print, held against files: `UPDATE_DOCS=1 cargo test golden` writes them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{explain, schema};
use crate::contract::rule_diff::diff;
use crate::contract::rule_file::{SHIPPED, load};
use crate::engine::rules::RuleBook;

/// Every kind of condition that has words of its own.
const ODD: &str = r#"id: odd
version: 2
title: Everything that has words of its own
owner: an owner
mode: off
reason_code: ODD
critical: true
expected: {referred_pct_max: 0.5}
params:
  n: {type: int, default: 3, min: 2, sweep: [2, 3]}
when: >-
  agent_id in list("brokers") || !(tenant in list("brokers"))
  || channel in ["web", "app"] && product != "kasko"
  || agent_id.startsWith("B-") && !product.matches("^os") || size(agent_id) > 2 * n
  || double(attempts(duration("7d"))) / suspicion(duration("1h")) >= 1.5
  || seconds_since_first(duration("7d")) < duration("2h")
  || distinct("vehicle.vin", duration("7d")) - n >= attempts(duration("7d"))
  || (known_form(duration("7d")) ? int(premium) : -n) == 7
  || known_form(duration("7d")) == fresh_source(duration("7d"))
score: 0.5
products: [osago]
tenants: [north, south]
reason: {underwriter: "{attempts}"}
"#;
const MANY: &str = r#"id: many
version: 1
title: A title
owner: an owner
mode: shadow
reason_code: MANY
when: attempts(duration("24h")) >= 3
then: flag
reason: {underwriter: "{attempts}"}
"#;
const BOOK: &str = "scoring: sum\nbands: {flag: 2, refer: 4.5}\n";

fn book(files: &[(&str, &str)]) -> RuleBook {
    load(1, files).unwrap_or_else(|errors| panic!("{}", errors[0])).book
}

fn matches_file(path: &str, text: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).expect("written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "{} is behind the code: run `UPDATE_DOCS=1 cargo test golden`; it is now\n{text}", path.display());
}

#[test]
fn rules_are_explained_in_words() {
    let odd = book(&[("many.yaml", MANY), ("odd.yaml", ODD), ("lists/brokers.csv", "B-7\n"), ("book.yaml", BOOK)]);
    let shipped = explain::explain(&book(SHIPPED), Some("picking-24h")).expect("there");
    let odd_words = explain::explain(&odd, None).expect("all");
    matches_file("src/rule_commands/golden/explain.txt", &format!("{shipped}\n{odd_words}"));
    let unknown = explain::explain(&odd, Some("mnay")).expect_err("unknown");
    assert_eq!(unknown, "the book has no rule `mnay` did you mean `many`?\n");
}

#[test]
fn a_difference_is_a_line() {
    let twins = book(&[("odd.yaml", ODD), ("lists/brokers.csv", "B-7\nB-8\n"), ("many.yaml", MANY), ("book.yaml", BOOK)]);
    let old = book(&[("many.yaml", MANY), ("odd.yaml", ODD), ("lists/brokers.csv", "B-8\nB-7\n"), ("book.yaml", BOOK)]);
    assert_eq!(diff(&old, &twins), Vec::<String>::new());
    let changed = ODD
        .replace("version: 2", "version: 3")
        .replace("mode: off", "mode: live")
        .replace("default: 3", "default: 4")
        .replace("7d", "30d")
        .replace("score: 0.5", "then: refer")
        .replace("products: [osago]\n", "priority: 1\n")
        .replace("critical: true\n", "");
    let many: String = (0..20).map(|i| format!("B-{i:02}\n")).collect();
    let files = [
        ("odd.yaml", &*changed),
        ("new.yaml", &MANY.replace("id: many", "id: new")),
        ("lists/brokers.csv", "B-7\nB-9\n"),
        ("lists/many.csv", &many),
        ("lists/none.csv", ""),
        ("matching.yaml", "threshold: 20\nweights: {vehicle.vin: {near: 8.5}}\nfrequent_surnames: [Иванов]\n"),
    ];
    let lines = diff(&old, &book(&files));
    let back = diff(&book(&files), &old);
    matches_file("src/rule_commands/golden/diff.txt", &(lines.join("\n") + "\n\n" + &back.join("\n") + "\n"));
}

#[test]
fn the_schema_is_checked_in_and_the_shipped_rules_are_valid() {
    matches_file("docs/rule.schema.json", &schema::text());
    let schema = schema::schema();
    // Read as YAML 1.1, a bare `off` is a bool; editors read 1.2.
    let odd = ODD.replace("mode: off", "mode: 'off'");
    for (name, text) in SHIPPED.iter().copied().filter(|(name, _)| *name != "matching.yaml").chain([("odd.yaml", &*odd)]) {
        let rule: Value = serde_saphyr::from_str(text).expect(name);
        assert_eq!(violations(&schema, &rule, name), Vec::<String>::new());
    }
    let rule: Value = serde_saphyr::from_str(MANY).expect("YAML");
    for (key, value) in [
        ("mode", Value::from("lvie")),
        ("version", 0.into()),
        ("version", "1".into()),
        ("id", "Many".into()),
        ("owner", Value::Null),
        ("score", 1.5.into()),
        ("expected", serde_json::json!({"referred_pct_max": 101})),
        ("params", serde_json::json!({"n": {"type": "int"}})),
        ("tests", serde_json::json!([{"name": "t", "quotes": [], "expect": {"decision": "flag"}}])),
        ("whn", "x".into()),
    ] {
        let mut wrong = rule.clone();
        wrong[key] = value;
        assert_eq!(violations(&schema, &wrong, "rule").len(), 1, "{key}: {:?}", violations(&schema, &wrong, "rule"));
    }
}

/// The reader names all keys where one is unknown: they are those of the schema.
#[test]
fn the_schema_has_the_keys_of_a_rule_file() {
    let known = |text: &str| {
        let errors = load(1, &[("a.yaml", text)]).expect_err("an unknown key");
        let help = errors[0].help.clone().unwrap_or_default();
        let mut keys: Vec<String> = help.trim_start_matches("the keys here are ").split(", ").map(str::to_owned).collect();
        keys.sort();
        keys
    };
    let schema = schema::schema();
    let described = |pointer: &str| {
        let properties = schema.pointer(pointer).and_then(Value::as_object).expect(pointer);
        properties.keys().cloned().collect::<Vec<_>>()
    };
    let test = |inner: &str| format!("{MANY}tests: [{{{inner}}}]\n");
    for (text, pointer) in [
        (format!("{MANY}qwertyuiop: 1\n"), "/properties"),
        (MANY.replace("{underwriter", "{qwertyuiop: 1, underwriter"), "/properties/reason/properties"),
        (format!("{MANY}params: {{n: {{qwertyuiop: 1}}}}\n"), "/properties/params/additionalProperties/properties"),
        (test("qwertyuiop: 1"), "/properties/tests/items/properties"),
        (test("quotes: [{qwertyuiop: 1}]"), "/properties/tests/items/properties/quotes/items/properties"),
        (test("expect: {qwertyuiop: 1}"), "/properties/tests/items/properties/expect/properties"),
    ] {
        assert_eq!(known(&text), described(pointer), "{pointer}");
    }
}

/// What breaks the schema, by path: as much of JSON Schema as ours uses.
fn violations(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut require = |holds: bool, keyword: &str| {
        if !holds {
            found.push(format!("{path}: {keyword}"));
        }
    };
    let has_type = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        other => panic!("the type {other} is not known here"),
    };
    for (keyword, wanted) in schema.as_object().expect("a schema") {
        let number = wanted.as_f64().unwrap_or_default();
        let length = value.as_str().map(|text| text.chars().count() as f64);
        let count = value.as_array().map(|items| items.len() as f64);
        match keyword.as_str() {
            "type" if wanted.is_array() => {
                let names = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
                require(names.into_iter().any(has_type), "type");
            }
            "type" => require(wanted.as_str().is_some_and(has_type), "type"),
            "enum" => require(wanted.as_array().is_some_and(|values| values.contains(value)), "enum"),
            "pattern" => {
                let pattern = regex::Regex::new(wanted.as_str().unwrap_or_default()).expect("a pattern");
                require(value.as_str().is_none_or(|text| pattern.is_match(text)), "pattern");
            }
            "minimum" => require(value.as_f64().is_none_or(|v| v >= number), "minimum"),
            "maximum" => require(value.as_f64().is_none_or(|v| v <= number), "maximum"),
            "exclusiveMinimum" => require(value.as_f64().is_none_or(|v| v > number), "exclusiveMinimum"),
            "minLength" => require(length.is_none_or(|v| v >= number), "minLength"),
            "maxLength" => require(length.is_none_or(|v| v <= number), "maxLength"),
            "minItems" => require(count.is_none_or(|v| v >= number), "minItems"),
            "maxItems" => require(count.is_none_or(|v| v <= number), "maxItems"),
            "maxProperties" => require(value.as_object().is_none_or(|keys| keys.len() as f64 <= number), "maxProperties"),
            "required" => {
                let mut keys = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
                require(keys.all(|key| value.get(key).is_some()), "required");
            }
            "oneOf" => {
                let fitting = wanted.as_array().into_iter().flatten().filter(|one| violations(one, value, path).is_empty());
                require(fitting.count() == 1, "oneOf");
            }
            "properties" | "items" | "additionalProperties" | "title" | "description" | "$schema" => {}
            other => panic!("the keyword {other} is not known here"),
        }
    }
    found.extend(violations_within(schema, value, path));
    found
}

fn violations_within(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, inner) in value.as_object().into_iter().flatten() {
        match (schema.pointer(&format!("/properties/{key}")), &schema["additionalProperties"]) {
            (Some(known), _) => found.extend(violations(known, inner, &format!("{path}.{key}"))),
            (None, Value::Bool(false)) => found.push(format!("{path}.{key}: unknown")),
            (None, other) if other.is_object() => found.extend(violations(other, inner, &format!("{path}.{key}"))),
            (None, _) => {}
        }
    }
    if let Some(items) = schema.get("items") {
        found.extend(value.as_array().into_iter().flatten().flat_map(|inner| violations(items, inner, &format!("{path}[]"))));
    }
    found
}
