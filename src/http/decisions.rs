//! `GET /v1/decisions/{quote_id}`: the full lineage of one decision.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::asking::Asking;
use super::check::refused;
use super::reply::{Pending, Refusal};
use super::{Shared, reply};
use crate::config::Permission;
use crate::contract::decision::DecisionV1;
use crate::contract::problem::Problem;
use crate::contract::quote::TENANT_DEFAULT;
use crate::pipeline::fate::Fate;

#[derive(Deserialize)]
pub struct Parameters {
    tenant: Option<String>,
}

/// The decision on one quote with its lineage.
#[utoipa::path(
    get,
    path = "/v1/decisions/{quote_id}",
    tag = "quotes",
    security((), ("bearer" = []), ("api_key" = [])),
    params(
        ("quote_id" = String, Path, description = "As it was sent"),
        ("tenant" = Option<String>, Query, description = "Without API keys: whose quote; `default` when absent"),
    ),
    responses(
        (status = 200, description = "The newest revision", body = DecisionV1),
        (status = 202, description = "Accepted and not decided yet", body = Pending),
        (status = 400, description = "The path or query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another tenant than the key's", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Never seen", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Refused after a 202: the field is named", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "The store cannot be read", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn decision(
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
    let Path(quote_id) = path.map_err(|_| Problem::bad_request("the quote id in the path cannot be read; escape it as UTF-8"))?;
    // What the newest record with this id met comes before what an earlier one was told, unless it was another form under an id
    // that is taken: there the decision on the first stands. Asked first: between the commit and
    // this answer a pending quote becomes a stored one, never the other way.
    match shared.queue.fate(&tenant, &quote_id) {
        Some(Fate::Pending) => return Ok(reply::json(StatusCode::ACCEPTED, &Pending { quote_id })),
        Some(Fate::Refused(outcome)) => return Err(refused(&outcome, shared.max_age_secs).into()),
        None => {}
    }
    match shared.decisions.newest(&tenant, &quote_id).await {
        Ok(Some(decision)) => Ok(reply::json_bytes(decision)),
        Ok(None) => Err(Problem::not_found("no quote with this id was decided for this tenant").into()),
        Err(error) => {
            tracing::error!(%error, "a decision could not be read");
            Err(Problem::unavailable("the store cannot be read now").into())
        }
    }
}

/// Whose things are asked for: the API key's tenant, or without keys the one that the query names.
pub(super) fn tenant_of(asking: Asking, query: Result<Query<Parameters>, QueryRejection>) -> Result<String, Refusal> {
    let client = asking.authorise(Permission::Checks)?;
    let Query(Parameters { tenant }) =
        query.map_err(|_| Problem::bad_request("the query cannot be read; send ?tenant=NAME or nothing"))?;
    match (client, tenant.filter(|tenant| !tenant.is_empty())) {
        (Some(client), Some(tenant)) if *tenant != *client.tenant => {
            Err(Problem::forbidden("leave the tenant out, or give the one of the API key").into())
        }
        (Some(client), _) => Ok(client.tenant.to_string()),
        (None, tenant) => Ok(tenant.unwrap_or_else(|| TENANT_DEFAULT.to_owned())),
    }
}
