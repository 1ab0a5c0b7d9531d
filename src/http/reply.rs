//! Responses in the contract's shapes.

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
pub struct Refusal(Box<Problem>);

impl<E: Into<Problem>> From<E> for Refusal {
    fn from(error: E) -> Refusal {
        Refusal(Box::new(error.into()))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        problem(&self.0)
    }
}

/// A problem as a response; 429 and 503 say when to come again.
pub fn problem(problem: &Problem) -> Response<Body> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_as(status, Problem::CONTENT_TYPE, problem);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECS);
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
