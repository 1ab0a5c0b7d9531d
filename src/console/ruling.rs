//! What is done with a case: rule, snooze, comment, assign, take and give back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Response;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::access::form::{Fields, Form};
use super::access::guard::{Ctx, see_other};
use super::failure::Failure;
use super::queue::LEASE;
use super::{Console, case};
use crate::contract::instant::Utc;
use crate::contract::ruling::{Asked, RulingRequestV1};
use crate::engine::limits::RULING_ATTEMPTS_MAX;
use crate::engine::time::{DAY, EventTime};
use crate::pipeline::desk::{Case, RulingKind, Status};

/// How long a clearing or a confirmation counts for later quotes.
const RULING_DAYS: i64 = 90;
const SNOOZE_DAYS_MAX: i64 = 366;
/// How long the answer waits for the ruling to come back through the log.
const SEEN_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Clears, confirms, asks for proof or reopens, if the case still is what the form has shown.
pub async fn rule(
    State(console): State<Arc<Console>>,
    ctx: Ctx,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    let kind = form.0.given("kind").and_then(RulingKind::parse).filter(|kind| kind.status().is_some()).ok_or(Failure::BadForm)?;
    let seen = form.0.given("revision").and_then(|seen| seen.parse().ok()).ok_or(Failure::BadForm)?;
    let mut case = console.desk.case(&id, ctx.who.tenant.as_deref()).await?;
    keep_shown(&mut case, &form.0)?;
    match write(&console, &ctx, &case, seen, Wanted { kind, rule: None, days: RULING_DAYS }).await {
        Ok(()) => {
            let status = kind.status().unwrap_or(Status::Open);
            let done = if is_seen(&console, &id, status).await { "ruled" } else { "ruled-slow" };
            Ok(back(&id, &form.0, done))
        }
        Err(failure) => refused(&console, &ctx, &id, &form.0, kind, seen, failure).await,
    }
}

/// The quotes of a page, for its forms to bring along.
pub fn shown(case: &Case) -> String {
    case.quotes.iter().map(|quote| format!("{}.{}", quote.partition, quote.offset)).collect::<Vec<_>>().join(" ")
}

/// Others may have joined since, newer ones and older ones that these link to: nobody has looked at them, and no ruling covers them. A form
/// that does not say what it has shown is about the case as it is now.
fn keep_shown(case: &mut Case, fields: &Fields) -> Result<(), Failure> {
    let Some(shown) = fields.given("shown") else { return Ok(()) };
    let place =
        |text: &str| text.split_once('.').and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
    let places: Option<BTreeSet<(u32, u64)>> = shown.split(' ').map(place).collect();
    let places = places.ok_or(Failure::BadForm)?;
    case.quotes.retain(|quote| places.contains(&(quote.partition, quote.offset)));
    if case.quotes.is_empty() { Err(Failure::BadForm) } else { Ok(()) }
}

/// A second click finds the case as the first one has made it: that is no conflict.
async fn refused(
    console: &Console,
    ctx: &Ctx,
    id: &str,
    fields: &Fields,
    kind: RulingKind,
    seen: u32,
    failure: Failure,
) -> Result<Response<Body>, Failure> {
    if failure == Failure::Stale {
        let case = console.desk.case(id, ctx.who.tenant.as_deref()).await?;
        let is_own = case.dispositions.last().is_some_and(|last| last.kind == kind && last.by.as_deref() == Some(&*ctx.who.name));
        if case.row.revision == seen + 1 && Some(case.row.status) == kind.status() && is_own {
            return Ok(back(id, fields, "ruled"));
        }
    }
    case::with_failure(console, ctx, id, fields, failure).await
}

pub async fn snooze(
    State(console): State<Arc<Console>>,
    ctx: Ctx,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    let rule = form.0.given("rule").ok_or(Failure::BadForm)?.to_owned();
    let days = form.0.given("days").and_then(|days| days.parse().ok()).filter(|days| (1..=SNOOZE_DAYS_MAX).contains(days));
    let days = days.ok_or(Failure::BadForm)?;
    let mut case = console.desk.case(&id, ctx.who.tenant.as_deref()).await?;
    keep_shown(&mut case, &form.0)?;
    let seen = case.row.revision;
    match write(&console, &ctx, &case, seen, Wanted { kind: RulingKind::Snooze, rule: Some(rule), days }).await {
        Ok(()) => Ok(back(&id, &form.0, "snooze")),
        Err(failure) => case::with_failure(&console, &ctx, &id, &form.0, failure).await,
    }
}

struct Wanted {
    kind: RulingKind,
    rule: Option<String>,
    days: i64,
}

/// Reserves the status, then appends the ruling to the log: whoever else ruled on what we have not seen was first.
async fn write(console: &Console, ctx: &Ctx, case: &Case, seen: u32, wanted: Wanted) -> Result<(), Failure> {
    let Wanted { kind, rule, days } = wanted;
    let id = &case.row.referral_id;
    let mut ruling_id = console.desk.reserve(id, seen, kind, &ctx.who.name).await?;
    let skipped = case.quotes.len().saturating_sub(RULING_ATTEMPTS_MAX);
    let quote_ids: Vec<&str> = case.quotes[skipped..].iter().map(|quote| quote.quote_id.as_str()).collect();
    if let Some(rule) = &rule {
        // Two rules may be snoozed under one revision, and one rule again when quotes have joined.
        let snoozed = format!("{rule} {days} {}", quote_ids.join(" "));
        ruling_id = format!("{ruling_id}.{:08x}", xxhash_rust::xxh3::xxh3_64(snoozed.as_bytes()) as u32);
    }
    let now = console.now();
    let request = RulingRequestV1 {
        ruling_id: Some(json!(ruling_id)),
        kind: Some(json!(kind.name())),
        case: Some(json!(id)),
        rule: rule.as_ref().map(|rule| json!(rule)),
        tenant: Some(json!(case.row.tenant)),
        quote_ids: Some(json!(quote_ids)),
        until: Some(json!(Utc(EventTime(now.0 + days * DAY)).to_string())),
    };
    let asked = Asked { by: &ctx.who.name, tenant: &case.row.tenant, now, ruling_id: String::new() };
    let record = request.record(asked).map_err(|fields| {
        tracing::error!(?fields, "a ruling of the console is not one of the contract");
        Failure::Internal
    })?;
    // It is in the audit when it comes back through the log, as those of others are.
    console.rule(record).await
}

/// Whether the desk shows the new status in time for the page that follows.
async fn is_seen(console: &Console, id: &str, status: Status) -> bool {
    let deadline = Instant::now() + SEEN_WITHIN;
    while Instant::now() < deadline {
        let now = console.desk.referral(id, None).await;
        if now.is_ok_and(|now| now.status == status.name()) {
            return true;
        }
        sleep(LOOK_EVERY).await;
    }
    false
}

pub async fn comment(
    State(console): State<Arc<Console>>,
    ctx: Ctx,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    let Some(text) = form.0.given("comment") else { return Ok(back(&id, &form.0, "")) };
    console.desk.referral(&id, ctx.who.tenant.as_deref()).await?;
    let key = format!("{} {} {}", ctx.token.csrf(), id, form.0.given("once").unwrap_or_default());
    if !console.once.is_first(&key) {
        return Ok(back(&id, &form.0, "comment"));
    }
    if let Err(error) = console.desk.comment(&id, &ctx.who.name, &text.replace("\r\n", "\n")).await {
        console.once.forget(&key);
        return case::with_failure(&console, &ctx, &id, &form.0, error.into()).await;
    }
    Ok(back(&id, &form.0, "comment"))
}

pub async fn assign(
    State(console): State<Arc<Console>>,
    ctx: Ctx,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    let tenant = console.desk.case(&id, ctx.who.tenant.as_deref()).await?.row.tenant;
    let assignee = form.0.given("assignee").map(str::to_lowercase);
    if let Some(name) = &assignee
        && console
            .access
            .account(name)
            .await?
            .is_none_or(|account| account.is_disabled || account.tenant.is_some_and(|of| of != tenant))
    {
        return Err(Failure::BadForm);
    }
    console.desk.assign(&id, assignee.as_deref(), &ctx.who.name).await?;
    Ok(back(&id, &form.0, "assign"))
}

/// Takes the case, or gives it back.
pub async fn claim(
    State(console): State<Arc<Console>>,
    ctx: Ctx,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    console.desk.referral(&id, ctx.who.tenant.as_deref()).await?;
    if form.0.has("release") {
        console.desk.release(&id, &ctx.who.name).await?;
        return Ok(back(&id, &form.0, "release"));
    }
    match console.desk.claim(&id, &ctx.who.name, LEASE).await {
        Ok(_) => Ok(back(&id, &form.0, "claim")),
        Err(error) => case::with_failure(&console, &ctx, &id, &form.0, error.into()).await,
    }
}

/// To the case, with what was open still open.
fn back(id: &str, fields: &Fields, done: &str) -> Response<Body> {
    let open = fields.given("open_state").map_or_else(String::new, |open| format!("&{open}"));
    see_other(&format!("/console/referrals/{id}?done={done}{open}"))
}
