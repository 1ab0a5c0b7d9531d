//! Responses in the contract's shapes.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::contract::problem::Problem;

/// Seconds after which a shed quote may be sent again: by then the queue has moved or a retry storm would only grow.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("1");

/// A quote that was accepted and is not decided yet.
#[derive(Serialize, ToSchema)]
pub struct Pending {
    pub quote_id: String,
}

/// What a handler answers instead of its result. Boxed: the way of success should not carry its size.
pub struct Refusal {
    problem: Box<Problem>,
    retry_after: HeaderValue,
}

impl Refusal {
    /// To be tried again after `wait`, which is told in whole seconds and never too short.
    pub fn until(problem: Problem, wait: Duration) -> Refusal {
        let secs = wait.as_nanos().div_ceil(1_000_000_000).clamp(1, u64::MAX.into()) as u64;
        Refusal { problem: Box::new(problem), retry_after: secs.into() }
    }
}

impl<E: Into<Problem>> From<E> for Refusal {
    fn from(error: E) -> Refusal {
        Refusal { problem: Box::new(error.into()), retry_after: RETRY_AFTER_SECS }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        answer(&self.problem, self.retry_after)
    }
}

/// A problem as a response; 429 and 503 say when to come again.
pub fn problem(problem: &Problem) -> Response<Body> {
    answer(problem, RETRY_AFTER_SECS)
}

fn answer(problem: &Problem, retry_after: HeaderValue) -> Response<Body> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_as(status, Problem::CONTENT_TYPE, problem);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(RETRY_AFTER, retry_after);
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    json_as(status, "application/json", value)
}

/// JSON that is bytes already.
pub fn json_bytes(bytes: Vec<u8>) -> Response<Body> {
    ([(CONTENT_TYPE, "application/json")], bytes).into_response()
}

pub fn with_language(mut response: Response<Body>, tag: &'static str) -> Response<Body> {
    response.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static(tag));
    response
}

fn json_as(status: StatusCode, content_type: &'static str, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => (status, [(CONTENT_TYPE, content_type)], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_come_too_early() {
        for (wait_ms, expected) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (59_999, "60"), (3_600_000, "3600")] {
            let refusal = Refusal::until(Problem::rate_limited(), Duration::from_millis(wait_ms));
            let response = refusal.into_response();
            assert_eq!(
                (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
                (429, &HeaderValue::from_static(expected))
            );
        }
    }
}
