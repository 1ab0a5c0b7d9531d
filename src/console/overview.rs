//! The first page: is it well, what is decided, what waits, what is worth it.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use super::Console;
use super::access::form::Fields;
use super::access::guard::Ctx;
use super::explore::{Line, line};
use super::failure::Failure;
use super::page::{Frame, html};
use super::show::{latency, percent, span};
use super::svg::bars;
use super::texts::Texts;
use crate::engine::time::{EventTime, MINUTE, SECOND};
use crate::pipeline::desk::Bucket;
use crate::pipeline::desk::views::RuleFigures;
use crate::pipeline::health::{Health, Readiness};
use crate::shown::{money, whole};

const MINUTES: usize = 60;

#[derive(Template)]
#[template(path = "console/overview.html")]
struct OverviewView {
    frame: Frame,
    figures: FiguresView,
}

#[derive(Template)]
#[template(path = "console/overview_figures.html")]
struct FiguresView {
    t: &'static Texts,
    is_well: bool,
    health: String,
    decided: String,
    accept: String,
    flag: String,
    refer: String,
    chart: String,
    chart_from: String,
    chart_to: String,
    open: String,
    oldest: Option<String>,
    proof: String,
    opened_today: String,
    protected: String,
    /// Half of the answers and 99 of 100 came within; all tenants' together, so not for an account of one.
    answered: Option<(String, String)>,
    rules: Vec<RuleLine>,
    latest: Vec<Line>,
}

struct RuleLine {
    rule: String,
    hits: String,
    precision: Option<String>,
    ruled: String,
}

pub async fn overview(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    let frame = Frame::of(&console, &ctx, ctx.look.t.overview, &query).live();
    html(&OverviewView { frame, figures: figures(&console, &ctx).await? }, ctx.look.t)
}

pub async fn fragment(State(console): State<Arc<Console>>, ctx: Ctx) -> Result<Response<Body>, Failure> {
    html(&figures(&console, &ctx).await?, ctx.look.t)
}

async fn figures(console: &Console, ctx: &Ctx) -> Result<FiguresView, Failure> {
    let (t, zone, now) = (ctx.look.t, console.settings.zone, console.now());
    let read = console.figures.of(console, ctx.who.tenant.as_deref()).await?;
    let shown = &read.overview;
    let from = EventTime((now.0.div_euclid(MINUTE) - MINUTES as i64 + 1) * MINUTE);
    let sum = |of: fn(&Bucket) -> u64| shown.minutes.iter().map(of).sum::<u64>();
    let (accept, flag, refer) = (sum(|b| b.accept), sum(|b| b.flag), sum(|b| b.refer));
    let (is_well, health) = health(t, &console.health);
    let title = |bucket: &Bucket| {
        format!(
            "{}: {} {}, {} {}, {} {}",
            zone.minute(bucket.at),
            t.accept,
            bucket.accept,
            t.flag,
            bucket.flag,
            t.refer,
            bucket.refer
        )
    };
    let quantile = |share| console.metrics.check_quantile(share).map_or_else(|| "—".to_owned(), |secs| latency(t, secs));
    let is_of_all = ctx.who.tenant.is_none();
    Ok(FiguresView {
        t,
        is_well,
        health,
        decided: whole(accept + flag + refer),
        accept: whole(accept),
        flag: whole(flag),
        refer: whole(refer),
        chart: bars(&shown.minutes, from, MINUTE, MINUTES, t.decisions_minute, title),
        chart_from: zone.minute(from),
        chart_to: zone.minute(now),
        open: whole(shown.counts.open),
        oldest: shown.counts.oldest.map(|at| span(t, (now.0 - at.0) / SECOND)),
        proof: whole(shown.counts.proof_requested),
        opened_today: whole(shown.opened_today),
        protected: money(shown.premium_protected),
        answered: is_of_all.then(|| (quantile(0.5), quantile(0.99))),
        rules: shown.rules.iter().map(rule).collect(),
        latest: read.latest.iter().map(|row| line(console, t, row)).collect(),
    })
}

fn rule(figures: &RuleFigures) -> RuleLine {
    let ruled = figures.confirmed + figures.cleared;
    RuleLine {
        rule: figures.rule.clone(),
        hits: whole(figures.hits),
        precision: percent(figures.confirmed, ruled),
        ruled: format!("{} / {}", whole(figures.confirmed), whole(ruled)),
    }
}

pub fn health(t: &Texts, health: &Health) -> (bool, String) {
    let (is_well, text) = match health.get() {
        Readiness::Ready => (true, t.health_ready),
        Readiness::Starting => (false, t.health_starting),
        Readiness::StoreDown => (false, t.health_down),
        Readiness::Stopping => (false, t.health_stopping),
    };
    let is_stopped = !health.stopped_partitions().is_empty();
    let text = if is_stopped { format!("{text} {}", t.partition_stopped) } else { text.to_owned() };
    (is_well && !is_stopped, text)
}
