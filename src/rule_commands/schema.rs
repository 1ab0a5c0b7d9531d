//! `quoteguard rules schema`: the JSON Schema of a rule file, for an editor's completion.

use serde_json::{Map, Value, json};

use crate::engine::evidence::{Arguments, CATALOGUE};
use crate::engine::limits;

/// Draft 2020-12. What needs more than shapes (the condition, values within their bounds) is left to `rules check`.
pub fn schema() -> Value {
    let text = json!({"type": "string", "minLength": 1, "maxLength": limits::RULE_TEXT_BYTES_MAX});
    let names = json!({"type": "array", "maxItems": 64, "items": {"type": "string", "minLength": 1, "maxLength": 64}});
    let described = |mut schema: Value, description: &str| {
        schema["description"] = description.into();
        schema
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A rule of quoteguard",
        "type": "object",
        "additionalProperties": false,
        "required": ["id", "version", "title", "owner", "mode", "reason_code", "when", "reason"],
        "oneOf": [{"required": ["then"]}, {"required": ["score"]}],
        "properties": {
            "id": {"type": "string", "pattern": "^[a-z0-9-]{1,64}$", "description": "Unique in the book."},
            "version": {"type": "integer", "minimum": 1, "description": "An edit of a live rule takes the next."},
            "title": described(text.clone(), "What the rule finds, in a sentence."),
            "owner": described(text.clone(), "Who answers for this rule."),
            "mode": {"enum": ["off", "shadow", "live"], "description": "off: checked only; shadow: counted, without effect; live."},
            "reason_code": {"type": "string", "pattern": "^[A-Z0-9_]{1,64}$", "description": "The reason on the wire."},
            "params": {
                "type": "object",
                "maxProperties": 32,
                "additionalProperties": param(),
                "description": "The dials of the condition, by name."
            },
            "when": {"type": "string", "minLength": 1, "maxLength": limits::CONDITION_BYTES_MAX, "description": when()},
            "then": {"enum": ["flag", "refer"], "description": "What a match leads to."},
            "score": {
                "type": "number",
                "minimum": -limits::SCORE_MAX,
                "maximum": limits::SCORE_MAX,
                "description": "What a match adds in a book that sums scores, in place of `then`."
            },
            "always": {"type": "boolean", "description": "The condition is meant to be always true."},
            "critical": {"type": "boolean", "description": "No circuit breaker may silence the rule, only raise the alarm."},
            "expected": {
                "type": "object",
                "additionalProperties": false,
                "required": ["referred_pct_max"],
                "properties": {
                    "referred_pct_max": {
                        "type": "number",
                        "exclusiveMinimum": 0,
                        "maximum": 100,
                        "description": "The highest share of applicants the rule should refer, per cent."
                    }
                }
            },
            "priority": {"type": "integer", "description": "Greater goes first among rules of one answer; 0 when left out."},
            "products": described(names.clone(), "Only these products; all when left out."),
            "tenants": described(names, "Only these tenants; all when left out."),
            "reason": reason(&text),
            "tests": {"type": "array", "items": test(), "description": "Run by `quoteguard rules test`."}
        }
    })
}

fn reason(text: &Value) -> Value {
    let mut underwriter = text.clone();
    underwriter["description"] = "A sentence with {placeholders} for features, parameters and {window}.".into();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["underwriter"],
        "properties": {
            "underwriter": underwriter,
            "applicant": {
                "type": "object",
                "additionalProperties": false,
                "required": ["ru", "en"],
                "properties": {"ru": text, "en": text},
                "description": "What the applicant is told; it holds no placeholder."
            }
        }
    })
}

fn param() -> Value {
    let value = json!({"type": ["number", "string"]});
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["type", "default"],
        "properties": {
            "type": {"enum": ["int", "double", "duration"]},
            "default": value,
            "min": value,
            "max": value,
            "sweep": {"type": "array", "items": value, "description": "What a backtest tries."}
        }
    })
}

fn test() -> Value {
    let fields = json!({"type": "object", "description": "Dotted paths of the quote and their values; null: not given."});
    let ids = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "quotes", "expect"],
        "properties": {
            "name": {"type": "string"},
            "base": fields,
            "quotes": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "at": {"type": "string", "pattern": "^-?([0-9]+[dhms])+$", "description": "Event time from now."},
                        "person": {"type": "integer", "minimum": 0, "description": "0 is the base quote's applicant."},
                        "set": fields
                    }
                }
            },
            "expect": {
                "type": "object",
                "additionalProperties": false,
                "required": ["decision"],
                "properties": {"decision": {"enum": ["accept", "flag", "refer"]}, "rules": ids, "rules_not": ids}
            }
        }
    })
}

/// The features, where the editor shows help for the condition.
fn when() -> String {
    let call = |arguments| match arguments {
        Arguments::None => "",
        Arguments::Window => "(window)",
        Arguments::FieldAndWindow => "(field, window)",
    };
    let features: Vec<String> = CATALOGUE.iter().map(|spec| format!("{}{}", spec.name, call(spec.arguments))).collect();
    format!("The condition in CEL. Features: {}.", features.join(", "))
}

/// As it is checked in and printed: keys in order, two spaces.
pub fn text() -> String {
    let schema = schema().as_object().map_or_else(Map::new, Clone::clone);
    serde_json::to_string_pretty(&schema).unwrap_or_else(|error| unreachable!("plain values are JSON: {error}")) + "\n"
}
