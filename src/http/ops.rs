//! For operators: alive, ready, measured, described.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;

use super::{Shared, openapi, problem, reply};
use crate::contract::problem::Problem;
use crate::pipeline::health::{Health, Readiness};

/// The process answers.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Quotes are taken and made durable.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    responses(
        (status = 200, description = "Ready", body = String, content_type = "text/plain"),
        (status = 503, description = "Not now, and why", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn readyz(State(shared): State<Arc<Shared>>) -> Response<Body> {
    if !shared.door.is_open() && refusal(&shared.health).is_none() {
        return problem(&Problem::unavailable(
            "the pipeline http is held by an operator; `quoteguard pipelines resume http` ends that",
        ));
    }
    match refusal(&shared.health) {
        // Checks are answered all the same: the instance must not be taken out for what all of them lack.
        Some(reason) if shared.fallback.is_some() && shared.health.get() == Readiness::StoreDown => {
            format!("degraded: {reason}\n").into_response()
        }
        Some(reason) => problem(&Problem::unavailable(reason)),
        None => {
            let stopped = shared.health.stopped_partitions();
            let lines = stopped.iter().map(|(partition, reason)| format!("partition {partition} is stopped: {reason}\n"));
            let held = shared.health.held_partitions();
            let held = held.iter().map(|partition| format!("partition {partition} is held by an operator\n"));
            let desk = shared.health.desk_stands_still().map(|reason| format!("the desk is degraded, {reason}\n"));
            format!("ok\n{}", lines.chain(held).chain(desk).collect::<String>()).into_response()
        }
    }
}

/// Why quotes are not taken now.
pub fn refusal(health: &Health) -> Option<&'static str> {
    match health.get() {
        Readiness::Ready => None,
        Readiness::Starting => Some("the window of earlier quotes is being loaded"),
        Readiness::StoreDown => Some("nothing can be made durable now; what was accepted is kept and tried again"),
        Readiness::Stopping => Some("the service is stopping"),
    }
}

/// Metrics in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(shared): State<Arc<Shared>>) -> Response<Body> {
    shared.metrics.queue(shared.queue.len());
    shared.metrics.ready(refusal(&shared.health).is_none() && shared.door.is_open());
    match shared.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            problem(&Problem::internal())
        }
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", responses((status = 200, body = Object)))]
pub async fn openapi() -> Response<Body> {
    reply::json(StatusCode::OK, &openapi::document())
}
