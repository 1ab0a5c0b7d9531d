//! The short table on stdout.

use std::fmt::Write;

use super::figures::{Book, Figures};
use crate::shown::{money, whole};

/// A line for each book, the baseline first.
pub fn table(figures: &Figures) -> String {
    let width = figures.books().map(|book| book.name.chars().count()).max().unwrap_or(0).max(8) + 2;
    let history = &figures.history;
    let mut out = format!(
        "{} quotes decided, {} to {} (UTC), {} duplicates, {} rejected\n",
        whole(history.decided),
        history.from,
        history.to,
        whole(history.duplicates),
        whole(history.rejected)
    );
    if let Some(labels) = &figures.labels {
        let (tweakers, eligible, honest) = (whole(labels.tweakers), whole(labels.eligible), whole(labels.honest));
        let _ = writeln!(
            out,
            "labels: {tweakers} tweakers ({eligible} with 3 suspicious attempts, however far apart), {honest} honest applicants"
        );
    }
    let _ =
        write!(out, "\n{:<width$}{:>9}{:>9}{:>9}{:>11}{:>12}", "book", "flagged", "referred", "a day", "applicants", "protected");
    if figures.labels.is_some() {
        let _ = write!(out, "{:>11}{:>9}{:>19}", "catch by 4", "honest", "95 % interval");
    }
    let _ = writeln!(out, "{:>9}{:>9}", "new", "gone");
    for book in figures.books() {
        line(&mut out, book, width);
    }
    out
}

fn line(out: &mut String, book: &Book, width: usize) {
    let [flagged, referred, applicants] = [book.told.flag, book.told.refer, book.applicants_referred].map(whole);
    let protected = money(book.premium_protected);
    let _ = write!(
        out,
        "{:<width$}{flagged:>9}{referred:>9}{:>9.1}{applicants:>11}{protected:>12}",
        book.name, book.referrals_per_day
    );
    if let Some(labelled) = &book.labelled {
        let [low, high] = labelled.honest_referred_interval_pct;
        let interval = format!("{low:.3}-{high:.3} %");
        let catch = labelled.catch_by_pct[3];
        let _ = write!(out, "{catch:>9.1} %{:>7.3} %{interval:>19}", labelled.honest_referred_pct);
    }
    let _ = match &book.overlap {
        Some(overlap) => writeln!(out, "{:>9}{:>9}", whole(overlap.only_candidate), whole(overlap.only_baseline)),
        None => writeln!(out, "{:>9}{:>9}", "", ""),
    };
}
