//! `GET /v1/referrals/{id}`: a case as the insurer's site sees it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;

use super::asking::Asking;
use super::decisions::{Parameters, tenant_of};
use super::reply::Refusal;
use super::{Shared, reply};
use crate::contract::problem::Problem;
use crate::pipeline::desk::{DeskError, Referral};

/// What became of a referral.
#[utoipa::path(
    get,
    path = "/v1/referrals/{referral_id}",
    tag = "quotes",
    security((), ("bearer" = []), ("api_key" = [])),
    params(
        ("referral_id" = String, Path, description = "As the check named it"),
        ("tenant" = Option<String>, Query, description = "Without API keys: whose referral; `default` when absent"),
    ),
    responses(
        (status = 200, description = "The case as it stands", body = Referral),
        (status = 400, description = "The path or query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another tenant than the key's", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such referral, or not on the desk yet", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "The desk cannot be read", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn referral(
    State(shared): State<Arc<Shared>>,
    asking: Asking,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Response<Body> {
    find(&shared, asking, path, query).await.unwrap_or_else(Refusal::into_response)
}

async fn find(
    shared: &Shared,
    asking: Asking,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response<Body>, Refusal> {
    let tenant = tenant_of(asking, query)?;
    let Path(id) = path.map_err(|_| Problem::bad_request("the id in the path cannot be read; escape it as UTF-8"))?;
    match shared.desk.referral(&id, Some(&tenant)).await {
        Ok(referral) => Ok(reply::json(StatusCode::OK, &referral)),
        Err(DeskError::NoCase(_)) => Err(Problem::not_found("no referral with this id is known for this tenant").into()),
        Err(error) => {
            tracing::error!(%error, "a referral could not be read");
            Err(Problem::unavailable("the desk cannot be read now").into())
        }
    }
}
