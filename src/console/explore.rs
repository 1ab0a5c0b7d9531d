//! Decisions by time, tenant, verdict, rule and quote, and by a condition: a histogram, a table page by page, and CSV.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::Response;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use form_urlencoded::Serializer;
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};

use super::access::form::Fields;
use super::access::guard::Ctx;
use super::access::roles::Right;
use super::asked::{Fault, Found};
use super::failure::Failure;
use super::page::{Flash, Frame, html};
use super::show::{Zone, visible};
use super::svg::bars;
use super::texts::Texts;
use super::{Console, asked};
use crate::contract::instant::Utc;
use crate::engine::decision::Verdict;
use crate::engine::rules::filter::Filter;
use crate::engine::time::{DAY, EventTime, MINUTE};
use crate::pipeline::StoreError;
use crate::pipeline::desk::views::DecisionRow;
use crate::pipeline::desk::{Bucket, DecisionFilter, DecisionKey};
use crate::shown::{money, whole};

const PAGE_ROWS: usize = 50;
/// Bars of the histogram at most.
const BARS_MAX: i64 = 120;
/// Rows of the CSV that are written at once.
const CSV_ROWS: usize = 256;
/// A download that takes longer is broken off, however slowly its client reads.
const EXPORT_LIFE: Duration = Duration::from_secs(1_800);

#[derive(Template)]
#[template(path = "console/explore.html")]
struct ExploreView {
    frame: Frame,
    from: String,
    to: String,
    tenant: String,
    fixed_tenant: bool,
    verdict: String,
    verdicts: Vec<(&'static str, &'static str)>,
    rule: String,
    quote_id: String,
    /// A condition in the rules' language.
    asked: String,
    faults: Vec<Fault>,
    features: Vec<(&'static str, &'static str)>,
    /// How many decisions were looked at for it.
    looked_at: Option<String>,
    chart: String,
    chart_from: String,
    chart_to: String,
    rows: Vec<Line>,
    next: Option<String>,
    is_first: bool,
    export: Option<String>,
}

/// A decision as a line of a table.
pub struct Line {
    pub time: String,
    pub clock: String,
    pub quote_id: String,
    pub tenant: String,
    pub verdict: &'static str,
    pub verdict_text: &'static str,
    pub referral_id: Option<String>,
    pub rules: String,
    pub attempts: u32,
    pub suspicious: u32,
    pub product: String,
    pub channel: String,
    pub premium: String,
    pub revision: u32,
}

pub fn line(console: &Console, t: &Texts, row: &DecisionRow) -> Line {
    let zone = console.settings.zone;
    Line {
        time: format!("{} {}", zone.date(t, row.key.event_time), zone.clock(row.key.event_time)),
        clock: zone.clock(row.key.event_time),
        quote_id: row.quote_id.clone(),
        tenant: visible(&row.tenant),
        verdict: row.verdict.name(),
        verdict_text: verdict_text(t, row.verdict),
        referral_id: row.referral_id.clone(),
        rules: row.rules.join(", "),
        attempts: row.attempts,
        suspicious: row.suspicious_attempts,
        product: visible(row.product.as_deref().unwrap_or_default()),
        channel: row.channel.clone().unwrap_or_default(),
        premium: row.premium.map_or_else(String::new, money),
        revision: row.revision,
    }
}

pub fn verdict_text(t: &Texts, verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => t.accept,
        Verdict::Flag => t.flag,
        Verdict::Refer => t.refer,
    }
}

/// The filter of a query; the last day unless it names times.
///
/// # Errors
/// A time that is none.
fn filter(console: &Console, ctx: &Ctx, query: &Fields) -> Result<DecisionFilter, Failure> {
    let (zone, now) = (console.settings.zone, console.now());
    let time = |name: &str| query.given(name).map(|text| zone.parse(text).ok_or(Failure::BadTime)).transpose();
    // To the end of this minute, or what has just come would be missing.
    let to = time("to")?.unwrap_or(EventTime((now.0.div_euclid(MINUTE) + 1) * MINUTE));
    let from = time("from")?.unwrap_or(EventTime(to.0 - DAY));
    Ok(DecisionFilter {
        tenant: ctx.tenant(query.given("tenant")),
        from,
        to,
        verdict: query.given("verdict").and_then(Verdict::parse),
        rule: query.given("rule").map(str::to_owned),
        quote_id: query.given("quote_id").map(str::to_owned),
    })
}

pub async fn explore(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    let (t, zone) = (ctx.look.t, console.settings.zone);
    let mut frame = Frame::of(&console, &ctx, t.explore, &query);
    let filter = match filter(&console, &ctx, &query) {
        Ok(filter) => filter,
        Err(failure) => {
            frame.flash = Some(Flash { is_bad: true, text: failure.text(t) });
            self::filter(&console, &ctx, &Fields::default())?
        }
    };
    let after = query.given("after").and_then(read_key);
    let asked = query.given("where").map(asked::compile).transpose();
    let page = match &asked {
        Ok(Some(asked)) => asked::search(&console, asked, filter.clone(), after, PAGE_ROWS).await?,
        Ok(None) => {
            let page = console.desk.decisions(filter.clone(), after, PAGE_ROWS).await?;
            Found { rows: page.rows, next: page.next, looked_at: 0 }
        }
        // What it asks for is not known, so nothing is shown for it.
        Err(_) => Found::default(),
    };
    let minutes = minutes(&filter);
    // A condition has no chart: it was not asked of every decision.
    let buckets = if matches!(asked, Ok(None)) { console.desk.histogram(filter.clone(), minutes).await? } else { Vec::new() };
    let width = i64::from(minutes) * MINUTE;
    // Buckets begin at whole multiples of their width.
    let first = EventTime(filter.from.0.div_euclid(width) * width);
    let count = usize::try_from((filter.to.0 - first.0 + width - 1) / width).unwrap_or(1);
    let title = |bucket: &Bucket| {
        format!(
            "{}: {} {}, {} {}, {} {}",
            zone.moment(t, bucket.at),
            t.accept,
            bucket.accept,
            t.flag,
            bucket.flag,
            t.refer,
            bucket.refer
        )
    };
    let text = |name: &str| query.given(name).unwrap_or_default().to_owned();
    let view = ExploreView {
        from: zone.input(filter.from),
        to: zone.input(filter.to),
        tenant: filter.tenant.clone().unwrap_or_default(),
        fixed_tenant: ctx.who.tenant.is_some(),
        verdict: text("verdict"),
        verdicts: [Verdict::Accept, Verdict::Flag, Verdict::Refer].map(|of| (of.name(), verdict_text(t, of))).into(),
        rule: text("rule"),
        quote_id: text("quote_id"),
        asked: text("where"),
        features: asked::features(),
        looked_at: matches!(asked, Ok(Some(_))).then(|| whole(page.looked_at)),
        chart: bars(&buckets, first, width, count, t.over_time, title),
        chart_from: zone.moment(t, first),
        chart_to: zone.moment(t, filter.to),
        rows: page.rows.iter().map(|row| line(&console, t, row)).collect(),
        next: page.next.map(|key| again(zone, &filter, &query, Some(key))),
        is_first: after.is_none(),
        export: (ctx.may(Right::Export) && asked.is_ok()).then(|| again(zone, &filter, &query, None)),
        faults: asked.err().unwrap_or_default(),
        frame,
    };
    html(&view, t)
}

/// Of one bar: a width that people count in.
fn minutes(filter: &DecisionFilter) -> u32 {
    let span = (filter.to.0 - filter.from.0).max(0);
    let steps = [1, 2, 5, 10, 15, 30, 60, 120, 240, 720, 1_440, 10_080];
    steps.into_iter().find(|minutes| span / (i64::from(*minutes) * MINUTE) < BARS_MAX).unwrap_or(43_200)
}

fn again(zone: Zone, filter: &DecisionFilter, query: &Fields, after: Option<DecisionKey>) -> String {
    let mut out = Serializer::new(String::new());
    out.append_pair("from", &zone.input(filter.from)).append_pair("to", &zone.input(filter.to));
    for name in ["tenant", "verdict", "rule", "quote_id", "where"] {
        if let Some(value) = query.given(name) {
            out.append_pair(name, value);
        }
    }
    if let Some(key) = after {
        out.append_pair("after", &format!("{}.{}.{}", key.event_time.0, key.partition, key.offset));
    }
    out.finish()
}

fn read_key(text: &str) -> Option<DecisionKey> {
    let mut parts = text.split('.');
    let event_time = EventTime(parts.next()?.parse().ok()?);
    Some(DecisionKey { event_time, partition: parts.next()?.parse().ok()?, offset: parts.next()?.parse().ok()? })
}

/// Every decision of the filter, written as it is read.
pub async fn csv(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    let filter = filter(&console, &ctx, &query)?;
    let asked = query.given("where").map(asked::compile).transpose().map_err(|_| Failure::BadForm)?;
    let about = json!({"from": Utc(filter.from).to_string(), "to": Utc(filter.to).to_string(), "tenant": filter.tenant,
        "verdict": filter.verdict.map(Verdict::name), "rule": filter.rule, "quote_id": filter.quote_id, "where": query.given("where")});
    console.record(&ctx.who.name, "decisions.export", "decisions", about).await?;
    let export = Export { rows: console.desk.export(filter, None), asked, ends: Instant::now() + EXPORT_LIFE, is_first: true };
    let headers =
        [(CONTENT_TYPE, "text/csv; charset=utf-8"), (CONTENT_DISPOSITION, "attachment; filename=\"quoteguard-decisions.csv\"")];
    let stream = unfold(export, |mut export| async move { export.chunk().await.map(|chunk| (chunk, export)) });
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// A download under way.
struct Export {
    rows: Receiver<Result<DecisionRow, StoreError>>,
    asked: Option<Filter>,
    ends: Instant,
    is_first: bool,
}

const COLUMNS: [&str; 15] = [
    "event_time",
    "tenant",
    "quote_id",
    "decision",
    "answer",
    "referral_id",
    "rules",
    "attempts",
    "suspicious_attempts",
    "suspicion",
    "premium",
    "product",
    "channel",
    "revision",
    "decision_id",
];

impl Export {
    /// The next rows as text; `None` at the end. A store that fails, or a time that is over, breaks the download off, so that half a file
    /// is not taken for a whole.
    async fn chunk(&mut self) -> Option<Result<Bytes, StoreError>> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let is_first = std::mem::take(&mut self.is_first);
        if is_first && writer.write_record(COLUMNS).is_err() {
            return None;
        }
        let mut count = 0;
        while count < CSV_ROWS {
            // The first is waited for; then what is there is enough.
            let row = if count == 0 && !is_first {
                match timeout_at(self.ends, self.rows.recv()).await {
                    Ok(row) => row,
                    Err(_) => return Some(Err(StoreError::Unavailable("the download took too long".into()))),
                }
            } else {
                self.rows.try_recv().ok()
            };
            match row {
                Some(Ok(row)) if self.asked.as_ref().is_some_and(|asked| !asked::holds(asked, &row)) => {}
                Some(Ok(row)) => {
                    drop(writer.write_record(record(&row)));
                    count += 1;
                }
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        let text = writer.into_inner().unwrap_or_default();
        (!text.is_empty()).then(|| Ok(Bytes::from(text)))
    }
}

fn record(row: &DecisionRow) -> [String; 15] {
    [
        Utc(row.key.event_time).to_string(),
        harmless(&row.tenant),
        harmless(&row.quote_id),
        row.verdict.name().to_owned(),
        row.answer.name().to_owned(),
        row.referral_id.clone().unwrap_or_default(),
        row.rules.join(" "),
        row.attempts.to_string(),
        row.suspicious_attempts.to_string(),
        format!("{:.2}", row.suspicion),
        row.premium.map_or_else(String::new, |premium| premium.to_string()),
        harmless(row.product.as_deref().unwrap_or_default()),
        row.channel.clone().unwrap_or_default(),
        row.revision.to_string(),
        row.decision_id.clone(),
    ]
}

/// A text that a spreadsheet would take for a formula gets an apostrophe in front.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::HOUR;

    #[test]
    fn bars_are_few_and_of_round_width() {
        let filter = |span| DecisionFilter {
            tenant: None,
            from: EventTime(0),
            to: EventTime(span),
            verdict: None,
            rule: None,
            quote_id: None,
        };
        for (span, expected) in [(HOUR, 1), (DAY, 15), (7 * DAY, 120), (30 * DAY, 720), (0, 1), (-DAY, 1), (400 * DAY, 10_080)] {
            assert_eq!(minutes(&filter(span)), expected, "{span}");
        }
    }

    #[test]
    fn spreadsheets_get_no_formulas() {
        for (text, expected) in [("q-1", "q-1"), ("=1+1", "'=1+1"), ("@x", "'@x"), ("-2", "'-2")] {
            assert_eq!(harmless(text), expected);
        }
        assert_eq!(read_key("5.0.7"), Some(DecisionKey { event_time: EventTime(5), partition: 0, offset: 7 }));
        assert_eq!(read_key("5.0"), None);
    }

    #[tokio::test]
    async fn a_download_whose_time_is_over_is_no_whole_file() {
        let (sender, rows) = tokio::sync::mpsc::channel(1);
        let mut export = Export { rows, asked: None, ends: Instant::now(), is_first: true };
        let head = export.chunk().await.expect("a head").expect("reads");
        assert!(head.starts_with(b"event_time,"));
        let broken = export.chunk().await.expect("not the end");
        assert!(matches!(broken, Err(StoreError::Unavailable(_))), "{broken:?}");
        drop(sender);
        assert!(export.chunk().await.is_none(), "the end of a file that was read");
    }
}
