//! The queue of referrals: the oldest first, a page at a time.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use form_urlencoded::Serializer;

use super::Console;
use super::access::form::{Fields, Form};
use super::access::guard::{Ctx, see_other};
use super::access::roles::Right;
use super::failure::Failure;
use super::page::{Frame, html};
use super::show::span;
use super::texts::Texts;
use super::values::masked_name;
use crate::contract::quote::decode;
use crate::engine::time::{EventTime, SECOND};
use crate::pipeline::desk::views::CaseRow;
use crate::pipeline::desk::{QueueFilter, QueueKey, QueuePage, Status};
use crate::shown::{money, whole};

const PAGE_ROWS: usize = 50;
/// How long a taken case is kept from others.
pub const LEASE: Duration = Duration::from_secs(15 * 60);

#[derive(Template)]
#[template(path = "console/queue.html")]
struct QueueView {
    frame: Frame,
    table: Table,
    choices: Choices,
    may_rule: bool,
}

/// The part that is fetched anew when something has happened.
#[derive(Template)]
#[template(path = "console/queue_rows.html")]
struct Table {
    t: &'static Texts,
    rows: Vec<Line>,
    open: String,
    proof: String,
    oldest: Option<String>,
    next: Option<String>,
    is_first: bool,
    is_filtered: bool,
    /// What brings this very page again.
    query: String,
    shows_tenant: bool,
}

struct Line {
    id: String,
    age: String,
    opened_at: String,
    is_old: bool,
    status: Status,
    status_text: &'static str,
    reason: String,
    rule: String,
    applicant: String,
    quotes: u32,
    variants: u32,
    first: String,
    last: String,
    fall: String,
    tenant: String,
    assignee: String,
    worker: Option<String>,
}

/// What the filter's form shows chosen.
struct Choices {
    statuses: Vec<(&'static str, &'static str)>,
    status: String,
    who: String,
    reason: String,
    tenant: String,
    fixed_tenant: bool,
}

pub async fn queue(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    let table = table(&console, &ctx, &query).await?;
    let t = ctx.look.t;
    let text = |name: &str| query.given(name).unwrap_or_default().to_owned();
    let choices = Choices {
        statuses: Status::ALL.iter().map(|status| (status.name(), t.status(*status))).collect(),
        status: text("status"),
        who: text("who"),
        reason: text("reason"),
        tenant: ctx.tenant(query.given("tenant")).unwrap_or_default(),
        fixed_tenant: ctx.who.tenant.is_some(),
    };
    let frame = Frame::of(&console, &ctx, t.referrals, &query).live();
    html(&QueueView { frame, table, choices, may_rule: ctx.may(Right::Rule) }, t)
}

pub async fn rows(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    html(&table(&console, &ctx, &query).await?, ctx.look.t)
}

/// Takes the oldest open case that nobody works on.
pub async fn take_next(State(console): State<Arc<Console>>, ctx: Ctx, form: Form) -> Result<Response<Body>, Failure> {
    let filter = QueueFilter { status: Some(Status::Open), ..filter(&ctx, &form.0) };
    match console.desk.claim_next(filter, &ctx.who.name, LEASE).await? {
        Some(id) => Ok(see_other(&format!("/console/referrals/{id}"))),
        None => Ok(see_other("/console/referrals?done=no-next")),
    }
}

fn filter(ctx: &Ctx, query: &Fields) -> QueueFilter {
    let who = query.given("who");
    QueueFilter {
        tenant: ctx.tenant(query.given("tenant")),
        status: query.given("status").and_then(Status::parse),
        assignee: (who == Some("me")).then(|| ctx.who.name.clone()),
        unassigned: who == Some("nobody"),
        reason: query.given("reason").map(str::to_owned),
    }
}

async fn table(console: &Console, ctx: &Ctx, query: &Fields) -> Result<Table, Failure> {
    let filter = filter(ctx, query);
    let is_filtered = filter != QueueFilter { tenant: ctx.who.tenant.clone(), ..QueueFilter::default() };
    let after = query.given("after").and_then(read_key);
    let is_first = after.is_none();
    let QueuePage { cases, next, counts } = console.desk.queue(filter, after, PAGE_ROWS).await?;
    let now = console.now();
    let t = ctx.look.t;
    Ok(Table {
        t,
        rows: cases.iter().map(|row| line(console, t, row, now)).collect(),
        open: whole(counts.open),
        proof: whole(counts.proof_requested),
        oldest: counts.oldest.map(|at| span(t, (now.0 - at.0) / SECOND)),
        next: next.map(|key| again(query, Some(&write_key(&key)))),
        is_first,
        is_filtered,
        query: again(query, query.given("after")),
        shows_tenant: ctx.who.tenant.is_none(),
    })
}

/// The filter as a query, with another place to begin.
fn again(query: &Fields, after: Option<&str>) -> String {
    let mut out = Serializer::new(String::new());
    for name in ["status", "who", "reason", "tenant"] {
        if let Some(value) = query.given(name) {
            out.append_pair(name, value);
        }
    }
    if let Some(after) = after {
        out.append_pair("after", after);
    }
    out.finish()
}

fn write_key(key: &QueueKey) -> String {
    format!("{}.{}", key.opened_at.0, key.referral_id)
}

fn read_key(text: &str) -> Option<QueueKey> {
    let (time, id) = text.split_once('.')?;
    Some(QueueKey { opened_at: EventTime(time.parse().ok()?), referral_id: id.to_owned() })
}

/// Waiting for longer, a case is marked. Seconds.
const OLD_SECS: i64 = 4 * 3_600;

fn line(console: &Console, t: &Texts, row: &CaseRow, now: EventTime) -> Line {
    let age = (now.0 - row.opened_at.0) / SECOND;
    let form = row.newest_form.as_deref().and_then(|body| decode(body, Some(&row.tenant)).ok());
    let price = |premium: Option<f64>| premium.map_or_else(String::new, money);
    let (first, last) = (row.premium.first, row.premium.last);
    let fall = first.zip(last).filter(|(first, last)| last < first && *first > 0.0);
    Line {
        id: row.referral_id.clone(),
        age: span(t, age),
        opened_at: console.settings.zone.moment(t, row.opened_at),
        is_old: row.status.is_waiting() && age > OLD_SECS,
        status: row.status,
        status_text: t.status(row.status),
        reason: t.reason(&row.reason).to_owned(),
        rule: row.rule.clone(),
        applicant: form.map_or_else(|| "•••".to_owned(), |form| masked_name(&form.quote)),
        quotes: row.quotes,
        variants: row.variants,
        first: price(first),
        last: price(last),
        fall: fall.map_or_else(String::new, |(first, last)| format!("−{:.0}\u{a0}%", (first - last) / first * 100.0)),
        tenant: row.tenant.clone(),
        assignee: row.assignee.clone().unwrap_or_default(),
        worker: row.lease.as_ref().filter(|lease| lease.until > now).map(|lease| lease.by.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_queue_is_read_back() {
        let key = QueueKey { opened_at: EventTime(-5), referral_id: "R-0d5c".into() };
        assert_eq!(read_key(&write_key(&key)), Some(key));
        for text in ["", "x.R", "5"] {
            assert_eq!(read_key(text), None, "{text}");
        }
    }

    #[test]
    fn the_filter_goes_on_to_the_next_page() {
        let query = Fields::parse("status=open&tenant=a%26b&after=1.R&other=x".as_bytes());
        assert_eq!(again(&query, Some("2.R-1")), "status=open&tenant=a%26b&after=2.R-1");
        assert_eq!(again(&query, None), "status=open&tenant=a%26b");
    }
}
