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
use crate::contract::decision::{DecisionV1, VerdictV1};
use crate::engine::decision::Verdict;
use crate::engine::time::EventTime;
use crate::pipeline::desk::views::{AuditEntry, CaseQuote};
use crate::pipeline::desk::{AuditFilter, Case, RulingKind, Status};

/// Of each kind of act: a case that is handed to and fro must not fill the page.
const ACTS_SHOWN_MAX: usize = 50;

#[derive(Template)]
#[template(path = "console/case.html")]
struct CaseView {
    frame: Frame,
    id: String,
    revision: u32,
    /// Offset of the newest quote that is shown: a ruling goes no further.
    newest: u64,
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
    let (people, acts) = (people(&console, &ctx).await?, acts(&console, &id).await?);
    html(&view(&console, &ctx, frame, &case, Shown { open, until, query: &query, people, acts }), ctx.look.t)
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
    let (people, acts) = (people(console, ctx).await?, acts(console, id).await?);
    let mut response = html(&view(console, ctx, frame, &case, Shown { open, until, query: fields, people, acts }), t)?;
    *response.status_mut() = failure.status();
    Ok(response)
}

struct Shown<'a> {
    open: Open,
    until: Option<EventTime>,
    query: &'a Fields,
    people: Vec<String>,
    acts: Vec<AuditEntry>,
}

/// Who has taken, given back and assigned it: the newest of each.
async fn acts(console: &Console, id: &str) -> Result<Vec<AuditEntry>, Failure> {
    let mut acts = Vec::new();
    for action in ["case.claim", "case.release", "case.assign"] {
        let filter = AuditFilter { subject: Some(id.to_owned()), action: Some(action.to_owned()), ..AuditFilter::default() };
        acts.extend(console.desk.audit_page(filter, None, ACTS_SHOWN_MAX).await?.entries);
    }
    Ok(acts)
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
        newest: case.quotes.iter().map(|quote| quote.offset).max().unwrap_or_default(),
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
        history: history(t, zone, case, &shown.acts),
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
fn history(t: &Texts, zone: super::show::Zone, case: &Case, acts: &[AuditEntry]) -> Vec<Event> {
    let event = |who: &str, what: &str, text: String| Event {
        at: String::new(),
        who: who.to_owned(),
        what: what.to_owned(),
        text,
        is_comment: false,
    };
    let mut events: Vec<(EventTime, Event)> = vec![(case.row.opened_at, event("", t.opened, String::new()))];
    for done in &case.dispositions {
        let until =
            done.until.filter(|_| done.kind == RulingKind::Snooze).map(|until| format!("{} {}", t.until, zone.moment(t, until)));
        let text = [done.rule.clone(), until].into_iter().flatten().collect::<Vec<_>>().join(" ");
        events.push((done.at, event(done.by.as_deref().unwrap_or_default(), t.ruling(done.kind), text)));
    }
    for act in acts {
        let (what, text) = match act.action.as_str() {
            "case.claim" => (t.was_taken, String::new()),
            "case.release" => (t.was_released, String::new()),
            _ => (t.was_assigned, assignee(&act.detail).unwrap_or_else(|| t.nobody.to_owned())),
        };
        events.push((act.at, event(&act.actor, what, text)));
    }
    events.extend(amendments(t, &case.quotes).map(|(at, text)| (at, event("", t.was_amended, text))));
    for comment in &case.comments {
        let text = comment.text.split('\n').map(visible).collect::<Vec<_>>().join("\n");
        events.push((comment.at, Event { is_comment: true, ..event(&comment.actor, t.comment, text) }));
    }
    events.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    events.into_iter().map(|(at, event)| Event { at: zone.moment(t, at), ..event }).collect()
}

/// To whom, as the audit's entry has it.
fn assignee(detail: &str) -> Option<String> {
    let detail: serde_json::Value = serde_json::from_str(detail).ok()?;
    detail.get("assignee")?.as_str().map(str::to_owned)
}

/// Decisions that a later quote has changed, at the time of that quote where the case holds it.
fn amendments(t: &Texts, quotes: &[CaseQuote]) -> impl Iterator<Item = (EventTime, String)> {
    quotes.iter().flat_map(move |quote| {
        let read = |json: &String| serde_json::from_str::<DecisionV1>(json).ok();
        let revisions: Vec<DecisionV1> = quote.decisions.iter().filter_map(read).collect();
        let told = |verdict: VerdictV1| Verdict::parse(verdict.name()).map_or("", |verdict| verdict_text(t, verdict));
        let amended = revisions.windows(2).filter(|pair| pair[0].decision != pair[1].decision).map(|pair| {
            let (before, after) = (told(pair[0].decision), told(pair[1].decision));
            let cause = pair[1].cause.as_ref().map(|cause| cause.quote_id.as_str());
            let at =
                quotes.iter().find(|other| Some(other.quote_id.as_str()) == cause).map_or(quote.event_time, |by| by.event_time);
            let by = cause.map(|cause| format!(", {} {}", t.amended_by, visible(cause))).unwrap_or_default();
            (at, format!("{}: {before} → {after}{by}", visible(&quote.quote_id)))
        });
        amended.collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::check::Language;

    fn decision(revision: u32, verdict: &str, cause: Option<&str>) -> String {
        let position = json!({"partition": 0, "offset": 1});
        json!({"decision_id": "0", "quote_id": "q-1", "revision": revision, "decision": verdict, "answer": verdict, "referral_id": null,
            "tenant": "default", "reasons": [], "attempts": 1, "suspicious_attempts": 0, "suspicion": 0.0, "features": {}, "linked": [],
            "linked_total": 0, "rule_book": {"version": 1, "hash": "0"}, "engine": "1", "event_time": "2026-11-29T00:00:00Z",
            "position": position, "cause": cause.map(|id| json!({"quote_id": id, "position": position})), "flags": []})
        .to_string()
    }

    fn quote(id: &str, at: i64, decisions: Vec<String>) -> CaseQuote {
        CaseQuote {
            quote_id: id.into(),
            event_time: EventTime(at),
            partition: 0,
            offset: 1,
            is_referred: true,
            premium: None,
            form: None,
            decisions,
            changes: Vec::new(),
        }
    }

    #[test]
    fn a_decision_that_a_later_quote_changed_is_told_at_its_time() {
        let t = Texts::of(Language::En);
        let revisions =
            vec![decision(1, "accept", None), decision(2, "accept", Some("q-0")), decision(3, "refer", Some("q-2")), "{".into()];
        let quotes = [quote("q-1", 10, revisions), quote("q-2", 5, vec![decision(1, "accept", None)])];
        let told: Vec<_> = amendments(t, &quotes).collect();
        assert_eq!(told, [(EventTime(5), "q-1: accept → refer, by the later quote q-2".to_owned())]);
        // Its cause belongs to another case.
        let alone = [quote("q-1", 10, vec![decision(1, "refer", None), decision(2, "accept", Some("q-9"))])];
        let told: Vec<_> = amendments(t, &alone).collect();
        assert_eq!(told, [(EventTime(10), "q-1: refer → accept, by the later quote q-9".to_owned())]);
    }
}
