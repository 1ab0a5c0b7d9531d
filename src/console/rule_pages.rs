//! The rule book in force, its rules with what they did, its source and history.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Response;

use super::Console;
use super::access::form::Fields;
use super::access::guard::Ctx;
use super::failure::Failure;
use super::page::{Frame, html};
use super::show::percent;
use super::texts::Texts;
use crate::contract::rule_file::canonical_source;
use crate::engine::rules::RuleBook;
use crate::engine::time::EventTime;
use crate::pipeline::books::{BookVersion, Listed};
use crate::shown::whole;

/// Versions listed, the newest.
const VERSIONS_MAX: usize = 50;

#[derive(Template)]
#[template(path = "console/rules.html")]
struct RulesView {
    frame: Frame,
    version: u32,
    hash: String,
    since: String,
    by: String,
    is_last: bool,
    is_of_all: bool,
    rules: Vec<RuleLine>,
    versions: Vec<VersionLine>,
    source: Option<String>,
}

struct RuleLine {
    id: String,
    version: u32,
    title: String,
    owner: String,
    mode: &'static str,
    then: &'static str,
    /// Live, shadow and faulty matches since the start; all tenants' together, so not for an account of one.
    counted: Option<[String; 3]>,
    today: String,
    precision: Option<String>,
    ruled: String,
}

struct VersionLine {
    version: u32,
    hash: String,
    since: String,
    by: String,
}

pub async fn current(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    let last = console.books.shelf.last().ok_or(Failure::NotFound)?;
    book(&console, &ctx, &query, &last, false).await
}

pub async fn version(
    State(console): State<Arc<Console>>,
    ctx: Ctx,
    Path(version): Path<u32>,
    query: Fields,
) -> Result<Response<Body>, Failure> {
    let of = console.books.shelf.get(version).ok_or(Failure::NotFound)?;
    book(&console, &ctx, &query, &of, true).await
}

async fn book(
    console: &Console,
    ctx: &Ctx,
    query: &Fields,
    of: &BookVersion,
    with_source: bool,
) -> Result<Response<Body>, Failure> {
    let (t, zone) = (ctx.look.t, console.settings.zone);
    let is_of_all = ctx.who.tenant.is_none();
    let read = console.figures.of(console, ctx.who.tenant.as_deref()).await?;
    let figures: BTreeMap<&str, _> = read.overview.rules.iter().map(|rule| (rule.rule.as_str(), rule)).collect();
    let rule = |rule: &crate::engine::rules::RuleSource| {
        let counted = is_of_all.then(|| {
            let (live, shadow, errors) = console.metrics.rule_hits(&rule.id);
            [live, shadow, errors].map(whole)
        });
        let figures = figures.get(&*rule.id);
        let (confirmed, ruled) = figures.map_or((0, 0), |of| (of.confirmed, of.confirmed + of.cleared));
        RuleLine {
            id: rule.id.to_string(),
            version: rule.version,
            title: rule.title.to_string(),
            owner: rule.owner.to_string(),
            mode: rule.mode.name(),
            then: rule.then.name(),
            counted,
            today: whole(figures.map_or(0, |of| of.hits)),
            precision: percent(confirmed, ruled),
            ruled: format!("{} / {}", whole(confirmed), whole(ruled)),
        }
    };
    let is_last = console.books.shelf.last().is_some_and(|last| last.book.version() == of.book.version());
    let line = version_line(t, zone, &Listed::of(of));
    let view = RulesView {
        version: line.version,
        hash: line.hash,
        since: line.since,
        by: line.by,
        is_last,
        is_of_all,
        rules: of.book.rules().map(rule).collect(),
        versions: console.books.shelf.newest(VERSIONS_MAX).iter().map(|of| version_line(t, zone, of)).collect(),
        source: with_source.then(|| source(&of.book)),
        frame: Frame::of(console, ctx, t.rules, query),
    };
    html(&view, t)
}

fn version_line(t: &Texts, zone: super::show::Zone, of: &Listed) -> VersionLine {
    VersionLine {
        version: of.book.version,
        hash: format!("{:016x}", of.book.hash),
        since: zone.moment(t, EventTime(of.since.0)),
        by: of.by.as_deref().unwrap_or_default().to_owned(),
    }
}

fn source(book: &RuleBook) -> String {
    let source = canonical_source(book);
    let read = serde_json::from_str::<serde_json::Value>(&source);
    read.and_then(|source| serde_json::to_string_pretty(&source)).unwrap_or(source)
}
