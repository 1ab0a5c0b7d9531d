//! `/v1/ops/pipelines`: what is read from where and how far, and the orders to pause, to resume and to drain.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;

use super::asking::Asking;
use super::reply::Refusal;
use super::{Shared, reply};
use crate::config::Permission;
use crate::contract::pipelines::{PipelineActV1, PipelineV1};
use crate::contract::problem::Problem;
use crate::pipeline::pipelines::NotOrdered;

/// The pipelines of this instance.
#[utoipa::path(
    get,
    path = "/v1/ops/pipelines",
    tag = "operations",
    security((), ("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "By name", body = [PipelineV1]),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not operate", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
    ),
)]
pub async fn list(State(shared): State<Arc<Shared>>, asking: Asking) -> Response<Body> {
    let answer = asking.authorise(Permission::Ops);
    let answer = answer.map(|_| reply::json(StatusCode::OK, &shared.pipelines.list()));
    answer.unwrap_or_else(Refusal::into_response)
}

/// Pauses, resumes or drains a pipeline of this instance. The order is kept over restarts; a drain goes on after the answer.
#[utoipa::path(
    post,
    path = "/v1/ops/pipelines/{name}/{act}",
    tag = "operations",
    security((), ("bearer" = []), ("api_key" = [])),
    params(
        ("name" = String, Path, description = "As the list names it", example = "watch"),
        ("act" = PipelineActV1, Path, description = "What to do", example = "pause"),
    ),
    responses(
        (status = 200, description = "The pipeline after the order", body = PipelineV1),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not operate", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 404, description = "No such pipeline here, or no such act", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The order cannot be kept, and is not carried out", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub async fn order(
    State(shared): State<Arc<Shared>>,
    Path((name, act)): Path<(String, String)>,
    asking: Asking,
) -> Response<Body> {
    answer(shared, asking, name, &act).await.unwrap_or_else(Refusal::into_response)
}

async fn answer(shared: Arc<Shared>, asking: Asking, name: String, act: &str) -> Result<Response<Body>, Refusal> {
    asking.authorise(Permission::Ops)?;
    let act = PipelineActV1::parse(act).ok_or_else(|| Problem::not_found("the acts are pause, resume and drain"))?;
    // Off the runtime's threads: a file is written.
    let ordered = tokio::task::spawn_blocking(move || shared.pipelines.order(&name, act));
    let pipeline = ordered.await.map_err(|_| Problem::internal())?.map_err(|error| match error {
        NotOrdered::Unknown(_) => Problem::not_found(error.to_string()),
        NotOrdered::NotKept(_) => Problem::unavailable(error.to_string()),
    })?;
    Ok(reply::json(StatusCode::OK, &pipeline))
}
