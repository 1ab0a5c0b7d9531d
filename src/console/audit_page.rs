//! Who did and saw what, and whether the chain of it is whole.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use form_urlencoded::Serializer;
use serde_json::json;

use super::Console;
use super::access::form::{Fields, Form};
use super::access::guard::Ctx;
use super::failure::Failure;
use super::page::{Flash, Frame, html};
use super::show::visible;
use crate::pipeline::desk::views::{AuditEntry, Tampering};
use crate::pipeline::desk::{AuditFilter, AuditVerdict};
use crate::shown::whole;

const PAGE_ROWS: usize = 100;

#[derive(Template)]
#[template(path = "console/audit.html")]
struct AuditView {
    frame: Frame,
    actor: String,
    action: String,
    subject: String,
    rows: Vec<Line>,
    next: Option<String>,
    is_first: bool,
}

struct Line {
    seq: u64,
    at: String,
    actor: String,
    action: String,
    subject: String,
    /// Set where the subject is a case.
    case: Option<String>,
    detail: String,
    hash: String,
}

pub async fn list(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    page(&console, &ctx, &query, None).await
}

pub async fn verify(State(console): State<Arc<Console>>, ctx: Ctx, _form: Form) -> Result<Response<Body>, Failure> {
    let t = ctx.look.t;
    let (is_bad, text, found) = match console.desk.audit_verify().await? {
        AuditVerdict::Whole { entries, head, .. } => {
            let head: String = head.chars().take(16).collect();
            (false, format!("{} {} ({head}…).", t.chain_whole, whole(entries)), json!({"entries": entries}))
        }
        AuditVerdict::Broken { seq, what } => {
            let what = match what {
                Tampering::Changed => t.tampered_changed,
                Tampering::Deleted => t.tampered_deleted,
                Tampering::Cut => t.tampered_cut,
                Tampering::Unkeyed => t.tampered_unkeyed,
            };
            (true, format!("{} {seq}: {what}.", t.chain_broken), json!({"broken_at": seq}))
        }
    };
    console.record(&ctx.who.name, "audit.verify", "audit", found).await?;
    page(&console, &ctx, &Fields::default(), Some(Flash { is_bad, text })).await
}

async fn page(console: &Console, ctx: &Ctx, query: &Fields, flash: Option<Flash>) -> Result<Response<Body>, Failure> {
    let t = ctx.look.t;
    let own = |name: &str| query.given(name).map(str::to_owned);
    let filter = AuditFilter { actor: own("actor"), subject: own("subject"), action: own("action") };
    let before = query.given("before").and_then(|before| before.parse().ok());
    let shown = console.desk.audit_page(filter, before, PAGE_ROWS).await?;
    let mut frame = Frame::of(console, ctx, t.audit, query);
    frame.path = frame.path.replace("/console/audit/verify", "/console/audit");
    frame.flash = flash;
    let text = |name: &str| query.given(name).unwrap_or_default().to_owned();
    let view = AuditView {
        frame,
        actor: text("actor"),
        action: text("action"),
        subject: text("subject"),
        rows: shown.entries.iter().map(|entry| line(console, ctx, entry)).collect(),
        next: shown.next.map(|next| again(query, next)),
        is_first: before.is_none(),
    };
    html(&view, t)
}

fn again(query: &Fields, before: u64) -> String {
    let mut out = Serializer::new(String::new());
    for name in ["actor", "action", "subject"] {
        if let Some(value) = query.given(name) {
            out.append_pair(name, value);
        }
    }
    out.append_pair("before", &before.to_string()).finish()
}

fn line(console: &Console, ctx: &Ctx, entry: &AuditEntry) -> Line {
    let (t, zone) = (ctx.look.t, console.settings.zone);
    Line {
        seq: entry.seq,
        at: format!("{} {}", zone.date(t, entry.at), zone.clock(entry.at)),
        actor: visible(&entry.actor),
        action: entry.action.clone(),
        subject: visible(&entry.subject),
        case: entry.subject.starts_with("R-").then(|| entry.subject.clone()),
        detail: if entry.detail == "{}" { String::new() } else { visible(&entry.detail) },
        hash: entry.hash.chars().take(10).collect(),
    }
}
