//! Bodies of requests: bounded in bytes and in time, and JSON.

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Shared;
use super::reply::Refusal;
use crate::contract::problem::Problem;

/// A body that says it is JSON; nothing is looked into yet.
///
/// # Errors
/// 415; 408, 413 and 400 when it comes too slowly, is too long or breaks off.
pub(super) async fn read_json(shared: &Shared, headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    if !is_json(headers) {
        return Err(Problem::unsupported_media_type().into());
    }
    read_body(shared, body, bytes_max).await
}

/// # Errors
/// 400: not this JSON.
pub(super) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("the body: {error}")).into())
}

/// `application/json` or any `+json`, parameters aside.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    kind.eq_ignore_ascii_case("application")
        && (subtype.eq_ignore_ascii_case("json") || subtype.len() > 5 && subtype.to_ascii_lowercase().ends_with("+json"))
}

async fn read_body(shared: &Shared, body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    match timeout(shared.body_timeout, Limited::new(body, bytes_max).collect()).await {
        Err(_) => Err(Problem::request_timeout().into()),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(bytes_max).into()),
        Ok(Err(_)) => Err(Problem::bad_request("the body broke off; send it whole").into()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_json_is_taken() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.insurer.quote+json", true),
            ("application/+json", false),
            ("text/json", false),
            ("text/plain", false),
            ("application/jsonp", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(is_json(&headers), expected, "{content_type:?}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
