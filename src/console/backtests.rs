//! Reports of `quoteguard backtest` that lie in a folder: what came out, and the report itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Response;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::Console;
use super::access::form::Fields;
use super::access::guard::Ctx;
use super::failure::Failure;
use super::page::{Frame, html};
use super::show::visible;
use crate::engine::time::EventTime;
use crate::shown::{money, whole};

/// Reports that are listed, the newest.
const REPORTS_MAX: usize = 50;
/// Books of one report that are listed, the baseline first; all are in the report.
const BOOKS_MAX: usize = 9;
const FIGURES_BYTES_MAX: u64 = 8 << 20;
const REPORT_BYTES_MAX: u64 = 32 << 20;
const NAME_CHARS_MAX: usize = 128;
/// A report has its style within, and needs nothing else: whatever lies in the folder, it runs nothing and asks for nothing.
const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'; \
    form-action 'none'; sandbox";

/// Of the figures that a run writes with `--json`, those that are shown here.
#[derive(Deserialize)]
struct Figures {
    history: History,
    baseline: Book,
    candidates: Vec<Book>,
}

#[derive(Deserialize)]
struct History {
    decided: u64,
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct Book {
    name: String,
    referrals_per_day: f64,
    applicants_referred: u64,
    premium_protected: f64,
    labelled: Option<Labelled>,
}

#[derive(Deserialize)]
struct Labelled {
    honest_referred_pct: f64,
}

#[derive(Template)]
#[template(path = "console/backtests.html")]
struct BacktestsView {
    frame: Frame,
    /// A folder is named.
    is_kept: bool,
    reports: Vec<ReportLine>,
}

struct ReportLine {
    name: String,
    written: String,
    period: String,
    decided: String,
    books: Vec<BookLine>,
    /// Books that are not listed.
    more: usize,
}

struct BookLine {
    name: String,
    per_day: String,
    applicants: String,
    premium: String,
    honest: String,
}

pub async fn list(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    let folder = console.settings.backtests.clone();
    let is_kept = folder.is_some();
    let read = spawn_blocking(move || folder.map_or_else(|| Ok(Vec::new()), |folder| reports(&folder)));
    let reports = read.await.map_err(|_| Failure::Internal)?.unwrap_or_else(|error| {
        tracing::warn!(%error, "console.backtests cannot be read");
        Vec::new()
    });
    let (t, zone) = (ctx.look.t, console.settings.zone);
    let reports = reports.into_iter().map(|(name, written, figures)| {
        let all = figures.candidates.len() + 1;
        let books: Vec<BookLine> =
            std::iter::once(&figures.baseline).chain(&figures.candidates).take(BOOKS_MAX).map(book).collect();
        ReportLine {
            name,
            written: zone.moment(t, written),
            period: format!("{} – {}", visible(&figures.history.from), visible(&figures.history.to)),
            decided: whole(figures.history.decided),
            more: all - books.len(),
            books,
        }
    });
    let view = BacktestsView { is_kept, reports: reports.collect(), frame: Frame::of(&console, &ctx, t.backtests, &query) };
    html(&view, t)
}

fn book(book: &Book) -> BookLine {
    BookLine {
        name: visible(&book.name),
        per_day: format!("{:.1}", book.referrals_per_day),
        applicants: whole(book.applicants_referred),
        premium: money(book.premium_protected),
        honest: book.labelled.as_ref().map_or_else(|| "—".to_owned(), |of| format!("{:.2}\u{a0}%", of.honest_referred_pct)),
    }
}

/// Pairs of a page and its figures, the newest first. What is no such pair is passed over.
fn reports(folder: &FilePath) -> io::Result<Vec<(String, EventTime, Figures)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".html")).filter(|name| is_name(name)) else { continue };
        let written = entry.metadata().and_then(|about| about.modified()).unwrap_or(UNIX_EPOCH);
        found.push((written, name.to_owned()));
    }
    found.sort_by(|a, b| b.cmp(a));
    let read = found.into_iter().filter_map(|(written, name)| {
        let bytes = bounded(&folder.join(format!("{name}.json")), FIGURES_BYTES_MAX).ok()?;
        Some((name, moment(written), serde_json::from_slice(&bytes).ok()?))
    });
    Ok(read.take(REPORTS_MAX).collect())
}

fn moment(written: SystemTime) -> EventTime {
    let micros = written.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    EventTime(i64::try_from(micros).unwrap_or_default())
}

/// A name that leads to a file of the folder and nowhere else.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=NAME_CHARS_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(fits)
}

/// A plain file, whole.
fn bounded(path: &FilePath, most: u64) -> io::Result<Vec<u8>> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

pub async fn report(State(console): State<Arc<Console>>, ctx: Ctx, Path(name): Path<String>) -> Result<Response<Body>, Failure> {
    let folder = console.settings.backtests.clone().filter(|_| is_name(&name)).ok_or(Failure::NotFound)?;
    let path = folder.join(format!("{name}.html"));
    let page = spawn_blocking(move || bounded(&path, REPORT_BYTES_MAX)).await.map_err(|_| Failure::Internal)?;
    let page = page.map_err(|_| Failure::NotFound)?;
    console.record(&ctx.who.name, "backtest.view", &name, json!({})).await?;
    Ok(([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, REPORT_POLICY)], page).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_the_folder() {
        assert!(["a", "2026-11-29_sweep.v2"].into_iter().all(is_name));
        for name in ["", ".", "..", ".hidden", "a/b", "..\\b", "ж", "a b", "%2e", &"a".repeat(129)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
