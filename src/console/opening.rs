//! Opening personal data: asked for by a form, recorded, and granted for some minutes by a proof in the address that only this session
//! has. A link that somebody else made opens nothing.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Response;
use form_urlencoded::Serializer;
use serde_json::json;

use super::Console;
use super::access::form::{Fields, Form};
use super::access::guard::{Ctx, see_other};
use super::access::roles::Right;
use super::failure::Failure;
use super::matrix::Open;
use super::values::is_personal;
use crate::engine::field::Field;
use crate::engine::time::{EventTime, MINUTE, SECOND};

/// How long what was opened stays open.
const OPEN_MICROS: i64 = 10 * MINUTE;
const ALL: &str = "all";

pub async fn open(
    State(console): State<Arc<Console>>,
    ctx: Ctx,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    let asked = form.0.given("field").unwrap_or_default();
    let field = Field::parse(asked).filter(|field| is_personal(*field));
    if field.is_none() && asked != ALL {
        return Err(Failure::BadForm);
    }
    // Only of a case that the account may see.
    console.desk.referral(&id, ctx.who.tenant.as_deref()).await?;
    console.record(&ctx.who.name, "field.open", &id, json!({"field": asked})).await?;
    let (mut open, _) = granted(&console, &ctx, &id, &form.0);
    match field {
        Some(field) => drop(open.fields.insert(field)),
        None => open.all = true,
    }
    let until = EventTime(console.now().0 + OPEN_MICROS);
    Ok(see_other(&format!("/console/referrals/{id}?{}", proof(&ctx, &id, &open, Some(until)))))
}

/// What the query proves to be open, and until when.
pub fn granted(console: &Console, ctx: &Ctx, id: &str, query: &Fields) -> (Open, Option<EventTime>) {
    let parsed = read(query).filter(|(open, until, proof)| {
        let is_proven = ctx.token.is_signed(&purpose(id, &names(open), *until), proof);
        is_proven && *until > console.now() && ctx.may(Right::OpenFields)
    });
    parsed.map_or_else(|| (Open::default(), None), |(open, until, _)| (open, Some(until)))
}

fn read(query: &Fields) -> Option<(Open, EventTime, String)> {
    let carried = query.get("open_state").map(|state| Fields::parse(state.as_bytes()));
    let query = carried.as_ref().unwrap_or(query);
    let text = query.given("open")?;
    let until = EventTime(query.given("until")?.parse::<i64>().ok()?.checked_mul(SECOND)?);
    let mut open = Open::default();
    for name in text.split(',') {
        match Field::parse(name) {
            _ if name == ALL => open.all = true,
            Some(field) => drop(open.fields.insert(field)),
            None => return None,
        }
    }
    Some((open, until, query.given("proof")?.to_owned()))
}

/// The query that proves it.
pub fn proof(ctx: &Ctx, id: &str, open: &Open, until: Option<EventTime>) -> String {
    let secs = until.unwrap_or_default().0 / SECOND;
    let names = names(open);
    let proof = ctx.token.sign(&purpose(id, &names, EventTime(secs * SECOND)));
    let mut query = Serializer::new(String::new());
    query.append_pair("open", &names).append_pair("until", &secs.to_string()).append_pair("proof", &proof);
    query.finish()
}

fn names(open: &Open) -> String {
    let all = open.all.then_some(ALL);
    all.into_iter().chain(open.fields.iter().map(|field| field.name())).collect::<Vec<_>>().join(",")
}

fn purpose(id: &str, names: &str, until: EventTime) -> String {
    format!("open {id} {names} {}", until.0)
}
