//! Errors over HTTP: RFC 9457 `application/problem+json`, one constructor for each status of the contract.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{DecodeError, FieldCode, FieldError};

/// What went wrong with one request. Members beyond RFC 9457: `errors`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A stable name of the kind of problem, to branch on.
    #[schema(example = "urn:quoteguard:problem:invalid-fields")]
    pub r#type: String,
    /// The kind in words, always the same for one `type`.
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// What was wrong this time and what to do about it.
    pub detail: String,
    /// The request this answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The offending fields, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    fn new(status: u16, kind: &str, title: &str, detail: impl Into<String>) -> Problem {
        let r#type = format!("urn:quoteguard:problem:{kind}");
        Problem { r#type, title: title.to_owned(), status, detail: detail.into(), instance: None, errors: Vec::new() }
    }

    pub fn with_instance(self, instance: impl Into<String>) -> Problem {
        Problem { instance: Some(instance.into()), ..self }
    }

    /// 400: the request cannot be read at all.
    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(400, "bad-request", "The request cannot be read", detail)
    }

    /// 400
    pub fn not_json(detail: impl Into<String>) -> Problem {
        Problem::new(400, "not-json", "The body is not JSON", detail)
    }

    /// 401
    pub fn unauthorized(detail: impl Into<String>) -> Problem {
        Problem::new(401, "unauthorized", "An API key is required", detail)
    }

    /// 403
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(403, "forbidden", "The API key does not allow this", detail)
    }

    /// 404
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(404, "not-found", "There is nothing here", detail)
    }

    /// 405; the header `Allow` names the methods.
    pub fn method_not_allowed() -> Problem {
        Problem::new(405, "method-not-allowed", "The method is not allowed here", "use a method of the header Allow")
    }

    /// 408
    pub fn request_timeout() -> Problem {
        Problem::new(408, "request-timeout", "The request took too long to arrive", "send the whole body without a pause")
    }

    /// 409: the quote id was used with another body.
    pub fn id_reused() -> Problem {
        let detail = "this quote_id was used with another body; give a new submission a new id";
        Problem::new(409, "id-reused", "The quote id was used before", detail).with_field(
            "/quote_id",
            FieldCode::NotAllowed,
            detail,
        )
    }

    /// 409: the ruling id was used for another ruling.
    pub fn ruling_id_reused(detail: impl Into<String>) -> Problem {
        Problem::new(409, "ruling-id-reused", "The ruling id was used before", detail)
    }

    /// 409: another change came first.
    pub fn overtaken(detail: impl Into<String>) -> Problem {
        Problem::new(409, "overtaken", "Another version came first", detail)
    }

    /// 413
    pub fn too_large(bytes_max: usize) -> Problem {
        Problem::new(413, "too-large", "The body is too large", format!("send at most {bytes_max} bytes"))
    }

    /// 415
    pub fn unsupported_media_type() -> Problem {
        let detail = "send JSON with the header Content-Type: application/json";
        Problem::new(415, "unsupported-media-type", "The content type is not supported", detail)
    }

    /// 422
    pub fn invalid_fields(detail: impl Into<String>, errors: Vec<FieldError>) -> Problem {
        Problem { errors, ..Problem::new(422, "invalid-fields", "The quote has invalid fields", detail) }
    }

    /// 422
    pub fn invalid_rules(detail: impl Into<String>, errors: Vec<FieldError>) -> Problem {
        Problem { errors, ..Problem::new(422, "invalid-rules", "The rules cannot be put in force", detail) }
    }

    /// 422
    pub fn invalid_ruling(errors: Vec<FieldError>) -> Problem {
        let detail = errors.first().map_or_else(String::new, ToString::to_string);
        Problem { errors, ..Problem::new(422, "invalid-ruling", "The ruling has invalid fields", detail) }
    }

    /// 422: the event time is out of reach of the window.
    pub fn too_old(behind_secs: i64, age_max_secs: i64) -> Problem {
        let detail = format!("the quote was submitted {behind_secs} s before it arrived; at most {age_max_secs} s are taken");
        Problem::invalid_fields(detail.clone(), vec![]).with_field("/submitted_at", FieldCode::OutOfRange, &detail)
    }

    /// 429; the header `Retry-After` says when.
    pub fn too_many_requests() -> Problem {
        Problem::new(
            429,
            "too-many-requests",
            "Too many requests",
            "too many quotes of this API key are waiting; nothing was accepted, repeat after the header Retry-After",
        )
    }

    /// 429: more often than the key, or without keys the address, may ask; the header `Retry-After` says when.
    pub fn rate_limited() -> Problem {
        let detail = "this client asks too often; nothing was accepted, repeat after the header Retry-After";
        Problem::new(429, "rate-limited", "The rate limit is reached", detail)
    }

    /// 500: ours alone, the cause is in our log.
    pub fn internal() -> Problem {
        Problem::new(500, "internal", "The service failed", "repeat with the same quote_id: it is counted once")
    }

    /// 503; the header `Retry-After` says when.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(503, "unavailable", "The service cannot take quotes now", detail)
    }

    fn with_field(mut self, pointer: &str, code: FieldCode, detail: &str) -> Problem {
        self.errors.push(FieldError { pointer: pointer.to_owned(), code, detail: detail.to_owned() });
        self
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Problem {
        let problem = match error.kind.status() {
            403 => Problem::forbidden(error.detail),
            413 => Problem { detail: error.detail, ..Problem::too_large(0) },
            422 => Problem::invalid_fields(error.detail, vec![]),
            _ => Problem::not_json(error.detail),
        };
        Problem { errors: error.fields, ..problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::quote::decode;
    use crate::engine::limits::BODY_BYTES_MAX;

    #[test]
    fn every_status_of_the_contract_has_its_problem() {
        let problems = [
            (Problem::bad_request("x"), 400),
            (Problem::not_json("x"), 400),
            (Problem::unauthorized("x"), 401),
            (Problem::forbidden("x"), 403),
            (Problem::not_found("x"), 404),
            (Problem::method_not_allowed(), 405),
            (Problem::request_timeout(), 408),
            (Problem::id_reused(), 409),
            (Problem::overtaken("x"), 409),
            (Problem::invalid_rules("x", vec![]), 422),
            (Problem::too_large(1), 413),
            (Problem::unsupported_media_type(), 415),
            (Problem::invalid_fields("x", vec![]), 422),
            (Problem::too_old(90_000, 86_400), 422),
            (Problem::too_many_requests(), 429),
            (Problem::rate_limited(), 429),
            (Problem::internal(), 500),
            (Problem::unavailable("x"), 503),
        ];
        for (problem, expected) in problems {
            assert_eq!(problem.status, expected);
            let text = serde_json::to_string(&problem).expect("serialises");
            assert_eq!(serde_json::from_str::<Problem>(&text).expect("reads"), problem);
        }
    }

    #[test]
    fn a_decode_error_becomes_the_problem_of_its_kind() {
        let large = vec![b' '; BODY_BYTES_MAX + 1];
        for (bytes, tenant, expected) in [
            (b"{".as_slice(), None, (400, "urn:quoteguard:problem:not-json", 0)),
            (b"\xFF", None, (400, "urn:quoteguard:problem:not-json", 0)),
            (b"[[[[[[[[[[[[[[[[[[[", None, (400, "urn:quoteguard:problem:not-json", 1)),
            (br#"{"tenant":"a"}"#, Some("b"), (403, "urn:quoteguard:problem:forbidden", 1)),
            (&large, None, (413, "urn:quoteguard:problem:too-large", 0)),
            (b"{}", None, (422, "urn:quoteguard:problem:invalid-fields", 6)),
        ] {
            let problem = Problem::from(decode(bytes, tenant).expect_err("no quote"));
            assert_eq!((problem.status, problem.r#type.as_str(), problem.errors.len()), expected);
        }
    }

    #[test]
    fn a_problem_names_field_code_and_fix() {
        let problem = Problem::from(decode(br#"{"quote_id":7}"#, None).expect_err("no quote")).with_instance("/v1/quotes/check");
        let json = serde_json::to_value(&problem).expect("serialises");
        assert_eq!(json["errors"][0]["pointer"], "/quote_id");
        assert_eq!(json["errors"][0]["code"], "wrong_type");
        assert_eq!(json["errors"][0]["detail"], "expected a string, found a number");
        assert_eq!(json["instance"], "/v1/quotes/check");
        assert_eq!(json["title"], "The quote has invalid fields");
    }
}
