//! Rulings on the wire: what people decided about a case, as `POST /v1/rulings` takes it and as the log keeps it.
//!
//! A record says who ruled, on which quotes and until when, and nothing of why: comments are not inputs of decisions.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::error::{FieldCode, FieldError};
use super::instant::{self, Utc};
use crate::engine::decision::ReferralId;
use crate::engine::limits::{QUOTE_ID_CHARS_MAX, RULING_ATTEMPTS_MAX, RULING_ID_CHARS_MAX, STRING_CHARS_MAX, TENANT_CHARS_MAX};
use crate::engine::rulings::{Ruling, RulingKind};
use crate::engine::state::id_hash;
use crate::engine::time::{DAY, EventTime};

/// The version of the record's form. A greater one is refused: it may say what this release does not know.
const FORM: u32 = 1;
/// How long a ruling lasts unless it says so, and at most.
const DAYS: i64 = 90;
const DAYS_MAX: i64 = 366;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RulingKindV1 {
    /// The versions of the facts in these quotes count as one for later linked quotes.
    Cleared,
    /// Later linked quotes with a new version are referred when they share a source with the case, else flagged.
    Confirmed,
    /// Takes the clearing or confirmation of the case back.
    Reopened,
    /// The rule does not match for later linked quotes.
    Snooze,
    /// These quotes are absent from every later computation, and their copies here are emptied.
    Erased,
    /// Nothing follows for quotes.
    ProofRequested,
}

impl RulingKindV1 {
    pub const ALL: [RulingKindV1; 6] = [
        RulingKindV1::Cleared,
        RulingKindV1::Confirmed,
        RulingKindV1::Reopened,
        RulingKindV1::Snooze,
        RulingKindV1::Erased,
        RulingKindV1::ProofRequested,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            RulingKindV1::Cleared => "cleared",
            RulingKindV1::Confirmed => "confirmed",
            RulingKindV1::Reopened => "reopened",
            RulingKindV1::Snooze => "snooze",
            RulingKindV1::Erased => "erased",
            RulingKindV1::ProofRequested => "proof_requested",
        }
    }

    pub fn parse(name: &str) -> Option<RulingKindV1> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A ruling as a record of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulingV1 {
    pub form: u32,
    pub ruling_id: String,
    pub kind: RulingKindV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// Of a snooze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    pub tenant: String,
    pub quote_ids: Vec<String>,
    pub until: String,
    /// Name of the API key, or of the person.
    pub by: String,
}

/// `POST /v1/rulings`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RulingRequestV1 {
    /// 1-64 of `A-Z a-z 0-9 . _ : -`: sent again with the same ruling, it counts once. Left out: a random one.
    #[schema(value_type = Option<String>)]
    pub ruling_id: Option<Value>,
    #[schema(value_type = RulingKindV1)]
    pub kind: Option<Value>,
    /// The referral, `R-` and 16 hex digits. An erasure needs none.
    #[schema(value_type = Option<String>, example = "R-00d5c1e2f3a4b5c6")]
    pub case: Option<Value>,
    /// Of a snooze: the id of the rule.
    #[schema(value_type = Option<String>)]
    pub rule: Option<Value>,
    /// Left out: the tenant of the API key, else `default`.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Value>,
    /// The quotes it is about, at most 256; `reopened` and `proof_requested` may name none.
    #[schema(value_type = Option<Vec<String>>, max_items = 256)]
    pub quote_ids: Option<Value>,
    /// RFC 3339, by event time; at most 366 days from now. Left out: 90 days.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Value>,
}

/// The answer: where the ruling stands in the log, or in the control topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuledV1 {
    pub ruling_id: String,
    /// Its offset in the log: quotes after it are judged under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Over Kafka, its offset in the control topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_offset: Option<u64>,
}

/// Who asks, and when.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub by: &'a str,
    /// The tenant a request without one speaks for.
    pub tenant: &'a str,
    pub now: EventTime,
    /// For a request without one.
    pub ruling_id: String,
}

/// A record that is not a ruling of this release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ruling cannot be read: {0}")]
pub struct NotRuling(String);

impl RulingV1 {
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("memory takes every byte and all keys are strings")
    }

    /// # Errors
    /// No ruling, or one of a form or kind that this release does not know.
    pub fn parse(json: &[u8]) -> Result<RulingV1, NotRuling> {
        let record: RulingV1 = serde_json::from_slice(json).map_err(|error| NotRuling(error.to_string()))?;
        match record.form {
            FORM => Ok(record),
            form => Err(NotRuling(format!("it has form {form}, this release knows {FORM}; a newer release wrote it"))),
        }
    }

    /// As the engine takes it; `record` is where it is kept.
    ///
    /// # Errors
    /// A record that no request of ours can have made.
    pub fn ruling(&self, record: u64) -> Result<Ruling, NotRuling> {
        let kind = match (self.kind, &self.rule) {
            (RulingKindV1::Cleared, _) => RulingKind::Cleared,
            (RulingKindV1::Confirmed, _) => RulingKind::Confirmed,
            (RulingKindV1::Reopened, _) => RulingKind::Reopened,
            (RulingKindV1::Snooze, Some(rule)) => RulingKind::Snooze { rule: rule.as_str().into() },
            (RulingKindV1::Snooze, None) => return Err(NotRuling("`rule` is missing in a snooze".to_owned())),
            (RulingKindV1::Erased, _) => RulingKind::Erased,
            (RulingKindV1::ProofRequested, _) => RulingKind::ProofRequested,
        };
        let case = self.case.as_deref().map(|case| parse_case(case).ok_or_else(|| NotRuling("`case` is no referral".to_owned())));
        if self.quote_ids.len() > RULING_ATTEMPTS_MAX {
            return Err(NotRuling(format!("`quote_ids` has more than {RULING_ATTEMPTS_MAX}")));
        }
        let mut attempts: Vec<u64> = self.quote_ids.iter().map(|id| id_hash(&self.tenant, id)).collect();
        attempts.sort_unstable();
        attempts.dedup();
        let until = instant::parse(&self.until).map_err(|error| NotRuling(format!("`until`: {error}")))?;
        let (id, tenant) = (self.ruling_id.as_str().into(), self.tenant.as_str().into());
        Ok(Ruling { id, tenant, case: case.transpose()?, kind, attempts: attempts.into(), until, record })
    }
}

fn parse_case(text: &str) -> Option<ReferralId> {
    let digits = text.strip_prefix("R-").filter(|digits| digits.len() == 16)?;
    let is_hex = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    u64::from_str_radix(digits, 16).ok().filter(|_| is_hex).map(ReferralId)
}

/// The alphabet of quote ids, which ruling ids share.
fn is_id(text: &str, chars_max: usize) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    (1..=chars_max).contains(&text.len()) && text.bytes().all(allowed)
}

impl RulingRequestV1 {
    /// The record of what is asked for.
    ///
    /// # Errors
    /// Every offending field.
    pub fn record(self, asked: Asked) -> Result<RulingV1, Vec<FieldError>> {
        let mut fields = Fields(Vec::new());
        let ruling_id = fields.text("ruling_id", self.ruling_id).unwrap_or(asked.ruling_id);
        fields.check(is_id(&ruling_id, RULING_ID_CHARS_MAX), "ruling_id", FieldCode::Format, ID);
        let kind = fields.kind(self.kind);
        let case = fields.text("case", self.case);
        if case.as_deref().is_some_and(|case| parse_case(case).is_none()) {
            fields.push("case", FieldCode::Format, "write the referral as it was told: R- and 16 hex digits");
        }
        let needs_case = kind.is_some_and(|kind| kind != RulingKindV1::Erased);
        fields.check(case.is_some() || !needs_case, "case", FieldCode::Required, "name the referral that is ruled on");
        let rule = fields.text("rule", self.rule);
        match (kind, &rule) {
            (Some(RulingKindV1::Snooze), None) => fields.push("rule", FieldCode::Required, "name the rule to be snoozed"),
            (Some(RulingKindV1::Snooze), Some(rule)) => {
                fields.check(rule.chars().count() <= STRING_CHARS_MAX, "rule", FieldCode::TooLong, "no rule has an id so long");
            }
            (Some(_), Some(_)) => fields.push("rule", FieldCode::NotAllowed, "only a snooze names a rule"),
            _ => {}
        }
        let tenant = fields.text("tenant", self.tenant).unwrap_or_else(|| asked.tenant.to_owned());
        fields.check(tenant.chars().count() <= TENANT_CHARS_MAX, "tenant", FieldCode::TooLong, "no tenant has a name so long");
        let quote_ids = fields.quote_ids(self.quote_ids);
        let needs_quotes = kind.is_some_and(|kind| !matches!(kind, RulingKindV1::Reopened | RulingKindV1::ProofRequested));
        let has_quotes = !needs_quotes || !quote_ids.is_empty() || fields.has("/quote_ids");
        fields.check(has_quotes, "quote_ids", FieldCode::Required, "name the quotes that it is about");
        let until = fields.until(self.until, asked.now);
        let by = asked.by.to_owned();
        match kind {
            Some(kind) if fields.0.is_empty() => {
                Ok(RulingV1 { form: FORM, ruling_id, kind, case, rule, tenant, quote_ids, until, by })
            }
            _ => Err(fields.0),
        }
    }
}

const ID: &str = "write 1 to 64 of A-Z a-z 0-9 . _ : -";

/// What is wrong so far.
struct Fields(Vec<FieldError>);

impl Fields {
    fn push(&mut self, field: &str, code: FieldCode, detail: impl Into<String>) {
        self.0.push(FieldError { pointer: format!("/{field}"), code, detail: detail.into() });
    }

    fn check(&mut self, holds: bool, field: &str, code: FieldCode, detail: &str) {
        if !holds && !self.has(&format!("/{field}")) {
            self.push(field, code, detail);
        }
    }

    fn has(&self, pointer: &str) -> bool {
        self.0.iter().any(|error| error.pointer.starts_with(pointer))
    }

    /// `None` when it was not given.
    fn text(&mut self, field: &str, value: Option<Value>) -> Option<String> {
        match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.push(field, FieldCode::WrongType, "write it as a string");
                None
            }
        }
    }

    fn kind(&mut self, value: Option<Value>) -> Option<RulingKindV1> {
        let names = RulingKindV1::ALL.map(RulingKindV1::name).join(", ");
        let text = self.text("kind", value);
        let Some(text) = text else {
            self.check(false, "kind", FieldCode::Required, &format!("write one of {names}"));
            return None;
        };
        let kind = RulingKindV1::parse(&text);
        self.check(kind.is_some(), "kind", FieldCode::NotAllowed, &format!("write one of {names}"));
        kind
    }

    fn quote_ids(&mut self, value: Option<Value>) -> Vec<String> {
        let items = match value {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.push("quote_ids", FieldCode::WrongType, "write a list of quote ids");
                return Vec::new();
            }
        };
        if items.len() > RULING_ATTEMPTS_MAX {
            self.push(
                "quote_ids",
                FieldCode::TooMany,
                format!("name at most {RULING_ATTEMPTS_MAX}; rule on the others with a second ruling"),
            );
            return Vec::new();
        }
        let mut ids = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            match item {
                Value::String(id) if is_id(&id, QUOTE_ID_CHARS_MAX) => ids.push(id),
                Value::String(_) => self.push(&format!("quote_ids/{i}"), FieldCode::Format, ID),
                _ => self.push(&format!("quote_ids/{i}"), FieldCode::WrongType, "write it as a string"),
            }
        }
        ids
    }

    fn until(&mut self, value: Option<Value>, now: EventTime) -> String {
        let default = EventTime(now.0 + DAYS * DAY);
        let until = match self.text("until", value).map(|text| instant::parse(&text)) {
            None => default,
            Some(Ok(until)) => until,
            Some(Err(error)) => {
                let is_missing = error == instant::InstantError::NoSuchTime;
                let code = if is_missing { FieldCode::NoSuchDate } else { FieldCode::Format };
                self.push("until", code, error.to_string());
                default
            }
        };
        let range = now.0 + 1..=now.0 + DAYS_MAX * DAY;
        self.check(range.contains(&until.0), "until", FieldCode::OutOfRange, "let it end after now, and within 366 days");
        Utc(until).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: EventTime = EventTime(1_793_491_200_000_000);

    fn record(body: &Value) -> Result<RulingV1, Vec<FieldError>> {
        let request: RulingRequestV1 = serde_json::from_value(body.clone()).expect("known fields");
        request.record(Asked { by: "anna", tenant: "t1", now: NOW, ruling_id: "made-up".to_owned() })
    }

    #[test]
    fn what_is_asked_for_is_what_the_log_holds_and_the_engine_takes() {
        let body = json!({"kind": "snooze", "case": "R-00000000000000ab", "rule": "picking-24h", "quote_ids": ["q2", "q1", "q2"],
                          "until": "2026-11-02T00:00:00+03:00"});
        let record = record(&body).expect("a ruling");
        let json = String::from_utf8(record.to_json()).expect("text");
        assert_eq!(
            json,
            r#"{"form":1,"ruling_id":"made-up","kind":"snooze","case":"R-00000000000000ab","rule":"picking-24h","tenant":"t1","quote_ids":["q2","q1","q2"],"until":"2026-11-01T21:00:00Z","by":"anna"}"#
        );
        assert_eq!(RulingV1::parse(json.as_bytes()), Ok(record.clone()));
        let ruling = record.ruling(7).expect("ours");
        assert_eq!((ruling.case, &*ruling.id, ruling.attempts.len()), (Some(ReferralId(0xab)), "made-up", 2));
        assert!(ruling.attempts.contains(&id_hash("t1", "q1")));
        assert_eq!(ruling.kind, RulingKind::Snooze { rule: "picking-24h".into() });
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let erased = record(&json!({"kind": "erased", "quote_ids": ["q1"], "case": null, "tenant": ""})).expect("a ruling");
        assert_eq!((erased.case, &*erased.tenant, &*erased.until), (None, "t1", "2027-01-30T00:00:00Z"));
        assert!(record(&json!({"kind": "reopened", "case": "R-00000000000000ab"})).is_ok(), "it needs no quotes");
    }

    #[test]
    fn every_offending_field_is_named() {
        let case = "R-00000000000000ab";
        let many: Vec<String> = (0..257).map(|i| format!("q{i}")).collect();
        for (body, expected) in [
            (json!({}), vec![("/kind", FieldCode::Required)]),
            (json!({"kind": "cleared"}), vec![("/case", FieldCode::Required), ("/quote_ids", FieldCode::Required)]),
            (json!({"kind": "pardoned", "case": case, "quote_ids": ["q"]}), vec![("/kind", FieldCode::NotAllowed)]),
            (json!({"kind": 1, "quote_ids": "q"}), vec![("/kind", FieldCode::WrongType), ("/quote_ids", FieldCode::WrongType)]),
            (json!({"kind": "cleared", "case": "R-AB", "quote_ids": ["q"]}), vec![("/case", FieldCode::Format)]),
            (json!({"kind": "cleared", "case": 7, "quote_ids": ["q"]}), vec![("/case", FieldCode::WrongType)]),
            (json!({"kind": "snooze", "case": case, "quote_ids": ["q"]}), vec![("/rule", FieldCode::Required)]),
            (json!({"kind": "cleared", "case": case, "quote_ids": ["q"], "rule": "r"}), vec![("/rule", FieldCode::NotAllowed)]),
            (
                json!({"kind": "cleared", "case": case, "quote_ids": ["q", "q q", 1]}),
                vec![("/quote_ids/1", FieldCode::Format), ("/quote_ids/2", FieldCode::WrongType)],
            ),
            (json!({"kind": "cleared", "case": case, "quote_ids": many}), vec![("/quote_ids", FieldCode::TooMany)]),
            (json!({"kind": "cleared", "case": case, "quote_ids": ["q"], "until": "soon"}), vec![("/until", FieldCode::Format)]),
            (
                json!({"kind": "cleared", "case": case, "quote_ids": ["q"], "until": "2026-11-01T00:00:00Z"}),
                vec![("/until", FieldCode::OutOfRange)],
            ),
            (
                json!({"kind": "cleared", "case": case, "quote_ids": ["q"], "until": "2027-11-03T00:00:00Z"}),
                vec![("/until", FieldCode::OutOfRange)],
            ),
            (
                json!({"kind": "erased", "quote_ids": ["q"], "ruling_id": "a b", "tenant": "t".repeat(65)}),
                vec![("/ruling_id", FieldCode::Format), ("/tenant", FieldCode::TooLong)],
            ),
        ] {
            let errors = record(&body).expect_err(&body.to_string());
            let found: Vec<(&str, FieldCode)> = errors.iter().map(|error| (&*error.pointer, error.code)).collect();
            assert_eq!(found, expected, "{body}");
        }
    }

    #[test]
    fn a_record_of_a_later_release_is_refused() {
        let record = record(&json!({"kind": "erased", "quote_ids": ["q1"]})).expect("a ruling");
        let later = RulingV1 { form: 2, ..record.clone() };
        assert!(RulingV1::parse(&later.to_json()).is_err_and(|error| error.to_string().contains("newer release")));
        let unknown = String::from_utf8(record.to_json()).expect("text").replace("erased", "pardoned");
        assert!(RulingV1::parse(unknown.as_bytes()).is_err_and(|error| error.to_string().contains("pardoned")));
        assert!(RulingV1 { kind: RulingKindV1::Snooze, ..record }.ruling(0).is_err());
    }
}
