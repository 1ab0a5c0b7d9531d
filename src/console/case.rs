//! One case as a page: why, the diff matrix, what was done, and what may be done.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Response;
use serde_json::json;

use super::access::form::Fields;
use super::access::guard::Ctx;
use super::access::roles::{Right, may};
use super::explore::verdict_text;
use super::failure::Failure;
use super::matrix::{Matrix, Open};
use super::page::{Flash, Frame, html};
use super::reasons::{Reasons, reasons};
use super::show::visible;
use super::texts::Texts;
use super::{Console, opening};
use crate::contract::decision::VerdictV1;
use crate::engine::decision::Verdict;
use crate::engine::time::EventTime;
use crate::pipeline::desk::views::{CaseQuote, Happened};
use crate::pipeline::desk::{Case, RulingKind, Status};

#[derive(Template)]
#[template(path = "console/case.html")]
struct CaseView {
    frame: Frame,
    id: String,
    revision: u32,
    /// Its quotes, as the forms bring them along: a ruling goes no further.
    shown: String,
    status: Status,
    status_text: &'static str,
    age: String,
    opened_at: String,
    tenant: String,
    assignee: String,
    /// Somebody else works on it.
    worker: Option<String>,
    /// Until when it is the reader's.
    mine_until: Option<String>,
    snoozed: Option<(String, String)>,
    reasons: Reasons,
    matrix: Matrix,
    matrix_hint: &'static str,
    history: Vec<Event>,
    related: Vec<RelatedLine>,
    rules: Vec<String>,
    /// What the transition table offers now.
    offers: Offers,
    can: Can,
    /// Proof of what is open, for the forms to bring along.
    open: String,
    open_until: Option<String>,
    comment: String,
    /// Of this form: it counts once.
    once: String,
    /// Who may be assigned.
    people: Vec<String>,
}

/// What the reader may do.
struct Can {
    open: bool,
    rule: bool,
    comment: bool,
    snooze: bool,
}

struct Offers {
    clear: bool,
    confirm: bool,
    proof: bool,
    reopen: bool,
}

struct Event {
    at: String,
    who: String,
    what: String,
    text: String,
    is_comment: bool,
}

struct RelatedLine {
    id: String,
    status: &'static str,
    status_text: &'static str,
    opened_at: String,
    shared: u32,
}

pub async fn case(
    State(console): State<Arc<Console>>,
    ctx: Ctx,
    Path(id): Path<String>,
    query: Fields,
) -> Result<Response<Body>, Failure> {
    let frame = Frame::of(&console, &ctx, &id, &query);
    let case = console.desk.case(&id, ctx.who.tenant.as_deref()).await?;
    console.record(&ctx.who.name, "case.view", &id, json!({})).await?;
    let (open, until) = opening::granted(&console, &ctx, &id, &query);
    let people = people(&console, &ctx).await?;
    html(&view(&console, &ctx, frame, &case, Shown { open, until, query: &query, people }), ctx.look.t)
}

/// The case again, with what is wrong with the form that was sent about it.
pub async fn with_failure(
    console: &Console,
    ctx: &Ctx,
    id: &str,
    fields: &Fields,
    failure: Failure,
) -> Result<Response<Body>, Failure> {
    let is_about_it = matches!(failure, Failure::Stale | Failure::Transition | Failure::Taken(_) | Failure::TooLong { .. });
    if !is_about_it {
        return Err(failure);
    }
    let case = console.desk.case(id, ctx.who.tenant.as_deref()).await?;
    let (open, until) = opening::granted(console, ctx, id, fields);
    let t = ctx.look.t;
    let mut frame = Frame::of(console, ctx, id, &Fields::default());
    frame.path = format!("/console/referrals/{id}");
    frame.flash = Some(Flash { is_bad: true, text: failure.text(t) });
    let people = people(console, ctx).await?;
    let mut response = html(&view(console, ctx, frame, &case, Shown { open, until, query: fields, people }), t)?;
    *response.status_mut() = failure.status();
    Ok(response)
}

struct Shown<'a> {
    open: Open,
    until: Option<EventTime>,
    query: &'a Fields,
    people: Vec<String>,
}

/// Those who may rule, for whom assigns.
async fn people(console: &Console, ctx: &Ctx) -> Result<Vec<String>, Failure> {
    if !ctx.may(Right::Rule) {
        return Ok(Vec::new());
    }
    let accounts = console.access.accounts().await?;
    // Whoever is bound to one tenant sees none of another's people.
    let is_met = |tenant: &Option<String>| ctx.who.tenant.is_none() || *tenant == ctx.who.tenant;
    let may =
        accounts.into_iter().filter(|account| !account.is_disabled && may(account.role, Right::Rule) && is_met(&account.tenant));
    Ok(may.map(|account| account.name).collect())
}

fn view(console: &Console, ctx: &Ctx, frame: Frame, case: &Case, shown: Shown<'_>) -> CaseView {
    let (t, zone, row) = (ctx.look.t, console.settings.zone, &case.row);
    let now = console.now();
    let lease = row.lease.as_ref().filter(|lease| lease.until > now);
    let offers = |kind| row.status.after(kind).is_ok();
    let snoozed = row.snooze.as_ref().filter(|snooze| snooze.until > now);
    CaseView {
        id: row.referral_id.clone(),
        revision: row.revision,
        shown: super::ruling::shown(case),
        status: row.status,
        status_text: t.status(row.status),
        age: super::show::span(t, (now.0 - row.opened_at.0) / crate::engine::time::SECOND),
        opened_at: zone.moment(t, row.opened_at),
        tenant: row.tenant.clone(),
        assignee: row.assignee.clone().unwrap_or_default(),
        worker: lease.filter(|lease| lease.by != ctx.who.name).map(|lease| lease.by.clone()),
        mine_until: lease.filter(|lease| lease.by == ctx.who.name).map(|lease| zone.minute(lease.until)),
        snoozed: snoozed.map(|snooze| (snooze.rule.clone(), zone.moment(t, snooze.until))),
        reasons: reasons(t, case),
        matrix: Matrix::new(t, zone, &case.quotes, &row.tenant, &shown.open),
        matrix_hint: t.matrix_hint,
        history: history(t, zone, case),
        related: case
            .related
            .iter()
            .map(|related| RelatedLine {
                id: related.referral_id.clone(),
                status: related.status.name(),
                status_text: t.status(related.status),
                opened_at: zone.moment(t, related.opened_at),
                shared: related.shared,
            })
            .collect(),
        rules: rules(&case.quotes, &row.rule),
        offers: Offers {
            clear: offers(RulingKind::Cleared),
            confirm: offers(RulingKind::Confirmed),
            proof: offers(RulingKind::ProofRequested),
            reopen: offers(RulingKind::Reopened),
        },
        can: Can {
            open: ctx.may(Right::OpenFields),
            rule: ctx.may(Right::Rule),
            comment: ctx.may(Right::Comment),
            snooze: ctx.may(Right::Snooze),
        },
        open: if shown.open.is_some() { opening::proof(ctx, &row.referral_id, &shown.open, shown.until) } else { String::new() },
        open_until: shown.until.map(|until| zone.clock(until)),
        once: super::access::token::random::<12>().map(|bytes| bytes.map(|b| format!("{b:02x}")).concat()).unwrap_or_default(),
        people: shown.people,
        comment: shown.query.get("comment").unwrap_or_default().to_owned(),
        frame,
    }
}

/// Rules that matched its quotes: what may be snoozed. The case's own first.
fn rules(quotes: &[CaseQuote], own: &str) -> Vec<String> {
    let decisions = quotes.iter().filter_map(super::reasons::current);
    let others: BTreeSet<String> =
        decisions.flat_map(|decision| decision.reasons).map(|reason| reason.rule).filter(|rule| rule != own).collect();
    std::iter::once(own.to_owned()).filter(|own| !own.is_empty()).chain(others).collect()
}

/// Newest first.
fn history(t: &Texts, zone: super::show::Zone, case: &Case) -> Vec<Event> {
    let mut events: Vec<(EventTime, Event)> = Vec::new();
    let opened =
        Event { at: String::new(), who: String::new(), what: t.opened.to_owned(), text: String::new(), is_comment: false };
    events.push((case.row.opened_at, opened));
    for done in &case.dispositions {
        let until =
            done.until.filter(|_| done.kind == RulingKind::Snooze).map(|until| format!("{} {}", t.until, zone.moment(t, until)));
        let text = [done.rule.clone(), until].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let who = done.by.clone().unwrap_or_default();
        events.push((done.at, Event { at: String::new(), who, what: t.ruling(done.kind).to_owned(), text, is_comment: false }));
    }
    for event in &case.events {
        let (who, what, text) = happened(t, &event.what);
        events.push((event.at, Event { at: String::new(), who, what: what.to_owned(), text, is_comment: false }));
    }
    for comment in &case.comments {
        let text = comment.text.split('\n').map(visible).collect::<Vec<_>>().join("\n");
        let what = if comment.text.is_empty() { t.comment_erased } else { t.comment };
        let event = Event { at: String::new(), who: comment.actor.clone(), what: what.to_owned(), text, is_comment: true };
        events.push((comment.at, event));
    }
    events.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    events.into_iter().map(|(at, event)| Event { at: zone.moment(t, at), ..event }).collect()
}

/// Who, what, and its text.
fn happened(t: &Texts, what: &Happened) -> (String, &'static str, String) {
    match what {
        Happened::Claimed { by } => (by.clone(), t.claimed, String::new()),
        Happened::Released { by } => (by.clone(), t.released, String::new()),
        Happened::Assigned { by, assignee } => {
            (by.clone(), t.assigned_to, assignee.clone().unwrap_or_else(|| t.to_nobody.to_owned()))
        }
        Happened::Amended { quote_id, before, after, .. } => {
            let told = |verdict: &VerdictV1| Verdict::parse(verdict.name()).map_or("", |verdict| verdict_text(t, verdict));
            (String::new(), t.amended, format!("{}: {} → {}", visible(quote_id), told(before), told(after)))
        }
    }
}
