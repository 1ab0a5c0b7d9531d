//! HTTP: one more source, and the window through which decisions are read.

mod asking;
pub mod auth;
mod body;
mod check;
mod decisions;
pub mod desk_keys;
mod envelope;
pub mod openapi;
mod ops;
mod patience;
mod pipelines;
mod rate;
mod referrals;
mod reply;
mod rules;
mod rulings;
mod seats;
pub mod server;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_swagger_ui::SwaggerUi;

use crate::engine::decision::Verdict;
use crate::engine::step::ArrivalClock;
use crate::metrics::Metrics;
use crate::pipeline::Decisions;
use crate::pipeline::books::Books;
use crate::pipeline::desk::SharedDesk;
use crate::pipeline::health::Health;
use crate::pipeline::pipelines::{Pipeline, Pipelines};
use crate::pipeline::queue::Queue;
use crate::pipeline::rulings::Rulings;
use auth::Keys;
use reply::problem;

/// What the handlers share.
pub struct Shared {
    pub queue: Queue,
    pub pipelines: Arc<Pipelines>,
    /// That of the checks.
    pub door: Arc<Pipeline>,
    pub books: Arc<Books>,
    pub rulings: Arc<dyn Rulings>,
    /// How long quotes are kept: no rule may look back further. Seconds.
    pub retention_secs: i64,
    pub decisions: Arc<dyn Decisions>,
    pub desk: SharedDesk,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub keys: Arc<Keys>,
    pub clock: ArrivalClock,
    /// Largest age of a quote, told to those whose quote is older.
    pub max_age_secs: i64,
    /// What a check is answered while nothing can be made durable; `None`: 503.
    pub fallback: Option<Verdict>,
    pub body_timeout: Duration,
    pub answer_timeout: Duration,
}

/// `pages` are for people: they are served beside the API.
pub fn router(shared: Arc<Shared>, pages: Router) -> Router {
    let metrics = shared.metrics.clone();
    Router::new()
        .route("/v1/quotes/check", post(check::check))
        .route("/v1/decisions/{quote_id}", get(decisions::decision))
        .route("/v1/referrals/{referral_id}", get(referrals::referral))
        .route("/v1/rules", get(rules::current))
        .route("/v1/rules/check", post(rules::check))
        .route("/v1/rules/activate", post(rules::activate))
        .route("/v1/rules/approve", post(rules::approve))
        .route("/v1/rules/rollback", post(rules::rollback))
        .route("/v1/rules/proposals/{hash}", get(rules::proposed))
        .route("/v1/rules/versions", get(rules::versions))
        .route("/v1/rules/versions/{version}", get(rules::version))
        .route("/v1/rulings", post(rulings::rule))
        .route("/v1/ops/pipelines", get(pipelines::list))
        .route("/v1/ops/pipelines/{name}/{act}", post(pipelines::order))
        .route("/livez", get(ops::livez))
        .route("/readyz", get(ops::readyz))
        .route("/metrics", get(ops::metrics))
        .route("/openapi.json", get(ops::openapi))
        .with_state(shared)
        .merge(SwaggerUi::new("/docs").config(utoipa_swagger_ui::Config::new(["/openapi.json"])))
        .merge(pages)
        .fallback(envelope::not_found)
        .method_not_allowed_fallback(envelope::method_not_allowed)
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(axum::middleware::from_fn_with_state(metrics, envelope::envelope))
}
