//! `POST /v1/quotes/check`: a quote form in, the applicant-safe decision out, durable before it is told.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_LANGUAGE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use tokio::time::timeout;
use tracing::Instrument;

use super::asking::Asking;
use super::auth::Client;
use super::body::read_json;
use super::reply::{Pending, Refusal};
use super::{Shared, ops, reply};
use crate::config::Permission;
use crate::contract::check::{CheckAnswer, Language};
use crate::contract::error::{FieldCode, FieldError};
use crate::contract::problem::Problem;
use crate::contract::quote::{Decoded, QuoteV1, decode};
use crate::engine::decision::Verdict;
use crate::engine::limits::BODY_BYTES_MAX;
use crate::engine::quote::Quote;
use crate::engine::step::Outcome;
use crate::pipeline::Source;
use crate::pipeline::health::Readiness;
use crate::pipeline::queue::{Answered, Awaited, Job, NotTaken, Payload};
use crate::telemetry::{self, Kind, Span, TRACEPARENT};

/// Checks one quote form.
///
/// The decision is durable before it is told. Sending the same form with the same `quote_id` again is safe: it is counted once.
#[utoipa::path(
    post,
    path = "/v1/quotes/check",
    tag = "quotes",
    security((), ("bearer" = []), ("api_key" = [])),
    params(("Accept-Language" = Option<String>, Header, description = "Language of `message`: ru or en")),
    request_body = QuoteV1,
    responses(
        (status = 200, description = "Decided; or, while the log is away and `kafka.when_down` says so, answered with `degraded`", body = CheckAnswer),
        (status = 202, description = "Accepted; the decision will be at `Location`", body = Pending,
            headers(("Location" = String, description = "Where the decision will be"))),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another tenant than the key's", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The id was used with another body", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "More than 64 KiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Invalid fields, each named", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too often, or too many quotes of this API key are waiting; nothing was accepted, come again after `Retry-After`",
            body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 500, description = "The service failed", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nothing was accepted; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
    ),
)]
pub async fn check(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let mut began = Instant::now();
    let (parts, body) = request.into_parts();
    let language = Language::negotiate(parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()));
    let span = begin(&parts.headers);
    let asking = Asking::of(&shared, &parts);
    let answer = answer(&shared, asking, &parts.headers, body, language, &mut began, span.as_ref());
    let answer = answer.instrument(telemetry::logged(span.as_ref())).await;
    let response = answer.unwrap_or_else(Refusal::into_response);
    if let Some(span) = span {
        end(&span, response.status());
    }
    // The service level counts what is missing here among the requests.
    if !response.status().is_server_error() {
        shared.metrics.check(Source::Http, began.elapsed());
    }
    response
}

/// `began` is set to when the body was there, or given up: how long a client takes to send it is not ours.
async fn answer(
    shared: &Shared,
    asking: Asking,
    headers: &HeaderMap,
    body: Body,
    language: Language,
    began: &mut Instant,
    span: Option<&Span>,
) -> Result<Response<Body>, Refusal> {
    let client = asking.authorise(Permission::Checks)?;
    let body = read_json(shared, headers, body, BODY_BYTES_MAX).await;
    *began = Instant::now();
    let body = body?;
    // Refusing must cost little, or it would take from those who are served: not even the body is looked into.
    if shared.queue.is_full() && fallback(shared).is_none() {
        return Err(too_many_waiting().into());
    }
    let Decoded { quote, unknown_fields } = decode(&body, client.as_ref().map(|client| &*client.tenant))?;
    shared.metrics.unknown_fields(unknown_fields);
    let Some(_passage) = shared.door.enter() else {
        return Err(Problem::unavailable("an operator has paused the checks of this instance; nothing was accepted").into());
    };
    shared.door.took(1);
    let quote_id = quote.quote_id.clone();
    if let Some(span) = span {
        span.set("quoteguard.quote_id", &quote_id);
    }
    if let Some(fallback) = fallback(shared) {
        // If there is room it is counted when the log is back; nobody is told that it will be.
        let _ = submit(shared, client, quote, body, span);
        return Ok(degraded(shared, &quote_id, fallback, language));
    }
    if let Some(reason) = ops::refusal(&shared.health) {
        return Err(Problem::unavailable(reason).into());
    }
    if shared.health.is_stopped_for(&quote.tenant) {
        return Err(Problem::unavailable("the partition of this tenant is stopped or held; /readyz tells why").into());
    }
    let mut awaited = submit(shared, client, quote, body, span)?;
    let mut answered = timeout(shared.answer_timeout, &mut awaited.answer).await;
    if answered.is_err() {
        // From here on the writer sees that nobody waits; what it sent just before is told.
        awaited.answer.close();
        answered = awaited.answer.try_recv().map(Ok).or(answered);
    }
    match (answered, fallback(shared)) {
        (Err(_), _) if awaited.is_accepted() => Ok(pending(&quote_id)),
        (Err(_), Some(fallback)) => Ok(degraded(shared, &quote_id, fallback, language)),
        (Err(_), None) => {
            Err(Problem::unavailable("it is not known whether the quote is in the log; send the same quote_id again").into())
        }
        // The writer has stopped, or the log took no record; what is durable is told to the retry.
        (Ok(Err(_)), _) => Err(Problem::unavailable("the quote was not made durable; send the same quote_id again").into()),
        (Ok(Ok(answered)), _) => told(&quote_id, answered, language, shared.max_age_secs),
    }
}

fn begin(headers: &HeaderMap) -> Option<Span> {
    if !telemetry::is_on() {
        return None;
    }
    let traceparent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    telemetry::begin("POST /v1/quotes/check", Kind::Server, traceparent)
}

fn end(span: &Span, status: StatusCode) {
    span.set("http.request.method", "POST");
    span.set("http.route", "/v1/quotes/check");
    span.set_number("http.response.status_code", u64::from(status.as_u16()));
    telemetry::logged(Some(span)).in_scope(|| tracing::debug!(status = status.as_u16(), "a traced check is answered"));
    if status.is_server_error() {
        span.fail("not answered with a decision");
    }
}

/// What is answered instead of a decision now, if the operator has set that.
fn fallback(shared: &Shared) -> Option<Verdict> {
    shared.fallback.filter(|_| shared.health.get() == Readiness::StoreDown)
}

fn degraded(shared: &Shared, quote_id: &str, fallback: Verdict, language: Language) -> Response<Body> {
    shared.metrics.degraded(fallback);
    let answer = CheckAnswer::degraded(quote_id, fallback, language);
    reply::with_language(reply::json(StatusCode::OK, &answer), language.tag())
}

fn too_many_waiting() -> Problem {
    Problem::unavailable("too many quotes are waiting; nothing was accepted")
}

/// Prepares and queues; a quote that is not queued was not accepted.
fn submit(shared: &Shared, client: Option<Client>, quote: Quote, body: Bytes, span: Option<&Span>) -> Result<Awaited, Refusal> {
    // Given back when the quote is stepped.
    let room = client.as_ref().map(|client| client.room().try_acquire_owned());
    let room = room.transpose().map_err(|_| Problem::too_many_requests())?;
    let (reply, answer) = shared.queue.reply(&quote.tenant, &quote.quote_id);
    let job = Job {
        payload: Payload::quote(quote, body.into()),
        clock: shared.clock,
        source: Source::Http,
        client: client.map(|client| client.name),
        progress: None,
        reply: Some(reply),
        room,
        submitted: Instant::now(),
        span: span.map(|span| span.child("append quote", Kind::Producer)),
    };
    shared.queue.try_submit(job).map_err(|not_taken| match not_taken {
        NotTaken::Full => too_many_waiting(),
        NotTaken::Closed => Problem::unavailable("the service is stopping"),
    })?;
    Ok(answer)
}

fn told(quote_id: &str, answered: Answered, language: Language, max_age_secs: i64) -> Result<Response<Body>, Refusal> {
    let (decision_id, verdict, referral_id) = match (answered.outcome, answered.decision) {
        (Outcome::Decided, Some(decision)) => (decision.decision_id, decision.answer, decision.referral_id),
        (Outcome::Duplicate(current), _) => (current.decision_id, current.stricter(), current.referral_id),
        (outcome, _) => return Err(refused(&outcome, max_age_secs).into()),
    };
    let answer = CheckAnswer::decided(quote_id, decision_id, verdict, referral_id, answered.text.as_ref(), language);
    Ok(reply::with_language(reply::json(StatusCode::OK, &answer), language.tag()))
}

/// The problem of an outcome that decides nothing.
pub(super) fn refused(outcome: &Outcome, max_age_secs: i64) -> Problem {
    match outcome {
        Outcome::IdReused(_) => Problem::id_reused(),
        Outcome::TooOld { behind_secs } => Problem::too_old(*behind_secs, max_age_secs),
        Outcome::TimeJump { setting } => time_jump(setting),
        Outcome::Decided | Outcome::Duplicate(_) | Outcome::Applied => Problem::internal(),
    }
}

/// 422: only where HTTP quotes bring their own arrival clock (`time.arrival=event`).
fn time_jump(setting: &str) -> Problem {
    let detail = format!("submitted_at lies outside what {setting} allows");
    let field = FieldError { pointer: "/submitted_at".to_owned(), code: FieldCode::OutOfRange, detail: detail.clone() };
    Problem::invalid_fields(detail, vec![field])
}

/// Accepted, and the deadline came first: the decision will be at `Location`.
fn pending(quote_id: &str) -> Response<Body> {
    let mut response = reply::json(StatusCode::ACCEPTED, &Pending { quote_id: quote_id.to_owned() });
    // The alphabet of quote ids needs no escaping in a path.
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/decisions/{quote_id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
