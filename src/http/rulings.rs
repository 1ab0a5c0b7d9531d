//! `/v1/rulings`: what people decide about a case, into the log.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;

use super::asking::Asking;
use super::body::{parsed, read_json};
use super::reply::Refusal;
use super::{Shared, reply};
use crate::config::Permission;
use crate::contract::problem::Problem;
use crate::contract::quote::TENANT_DEFAULT;
use crate::contract::ruling::{Asked, RuledV1, RulingRequestV1, RulingV1};
use crate::engine::limits::BODY_BYTES_MAX;
use crate::engine::time::EventTime;
use crate::pipeline::Clock;
use crate::pipeline::clock::SystemClock;
use crate::pipeline::random::random_id;
use crate::pipeline::rulings::{NotRuled, Ruled};

/// Rules on a case, snoozes a rule for one applicant, or erases quotes. It is durable before it is answered.
#[utoipa::path(
    post,
    path = "/v1/rulings",
    tag = "rulings",
    security((), ("bearer" = []), ("api_key" = [])),
    request_body = RulingRequestV1,
    responses(
        (status = 200, description = "In the log; the same ruling sent again is answered alike", body = RuledV1),
        (status = 400, description = "Not this JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not rule, or not for this tenant", body = Problem,
            content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The id was used for another ruling", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Invalid fields", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "Too many rulings, or it is not known whether it is in the log", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub async fn rule(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let asking = Asking::of(&shared, &parts);
    answer(shared, asking, &parts.headers, body).await.unwrap_or_else(Refusal::into_response)
}

async fn answer(shared: Arc<Shared>, asking: Asking, headers: &HeaderMap, body: Body) -> Result<Response<Body>, Refusal> {
    let client = asking.authorise(Permission::Rulings)?;
    let request: RulingRequestV1 = parsed(&read_json(&shared, headers, body, BODY_BYTES_MAX).await?)?;
    // A key may be called as somebody is.
    let by = client.as_ref().map_or("anyone".to_owned(), |client| format!("key:{}", client.name));
    let tenant = client.as_ref().map_or(TENANT_DEFAULT, |client| &*client.tenant);
    let asked =
        Asked { by: &by, tenant, now: EventTime(SystemClock.now().0), ruling_id: random_id().map_err(|_| Problem::internal())? };
    let record = request.record(asked).map_err(Problem::invalid_ruling)?;
    if client.is_some() && record.tenant != tenant {
        return Err(Problem::forbidden("the key speaks for another tenant; leave `tenant` out").into());
    }
    // Off the runtime's threads: the log is waited for.
    let ruled = tokio::task::spawn_blocking(move || shared.rulings.rule(&record).map(|ruled| told(record, ruled)));
    let ruled = ruled.await.map_err(|_| Problem::internal())?.map_err(Problem::from)?;
    Ok(reply::json(StatusCode::OK, &ruled))
}

fn told(record: RulingV1, ruled: Ruled) -> RuledV1 {
    let (position, control_offset) = match ruled {
        Ruled::Log(offset) => (Some(offset), None),
        Ruled::Control(offset) => (None, Some(offset)),
    };
    RuledV1 { ruling_id: record.ruling_id, position, control_offset }
}

impl From<NotRuled> for Problem {
    fn from(refused: NotRuled) -> Problem {
        let detail = refused.to_string();
        match refused {
            NotRuled::IdReused => Problem::ruling_id_reused(detail),
            NotRuled::TooMany | NotRuled::Unavailable(_) => Problem::unavailable(detail),
            NotRuled::Unreadable(_) => Problem::bad_request(detail),
        }
    }
}
