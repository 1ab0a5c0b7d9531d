//! Around every request: an id, a count, and a problem for whatever no handler answers.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Response};
use axum::middleware::Next;

use super::problem;
use crate::contract::problem::Problem;
use crate::metrics::Metrics;

const REQUEST_ID: &str = "x-request-id";
/// Longer or stranger ids of clients are replaced: they go into our log.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Takes over the client's request id or makes one, and counts the answer by its route.
pub async fn envelope(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response<Body> {
    let id = request.headers().get(REQUEST_ID).filter(|id| is_usable(id)).cloned().unwrap_or_else(new_id);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let status = response.status();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let method = if is_standard(&method) { method.as_str() } else { "other" };
    metrics.http_request(method, route, status.as_u16());
    if status.is_server_error() {
        tracing::warn!(method, route, status = status.as_u16(), request_id = ?id, "request failed");
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

pub async fn not_found() -> Response<Body> {
    problem(&Problem::not_found("see /docs for what is here"))
}

pub async fn method_not_allowed() -> Response<Body> {
    problem(&Problem::method_not_allowed())
}

/// A defect: the client gets a problem, the log its place (the panic hook has written it).
pub fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    problem(&Problem::internal())
}

fn is_usable(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
}

/// Labels are bounded whatever a client invents.
fn is_standard(method: &axum::http::Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS")
}

/// Unique while the process lives; the process id keeps two lives apart.
fn new_id() -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    HeaderValue::from_str(&format!("{:x}-{number:x}", std::process::id())).unwrap_or_else(|_| HeaderValue::from_static("none"))
}
