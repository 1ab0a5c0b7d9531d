//! The thread of the circuit breaker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::rules_folder::Watching;
use crate::config::Config;
use crate::engine::rules::{Mode, RuleBook};
use crate::metrics::Metrics;
use crate::pipeline::books::{BREAKER, Books, Change};
use crate::pipeline::breaker::{Breaker, Outside, bands};

/// Looks on until its sender is dropped.
pub(super) fn start(config: &Config, books: Arc<Books>, metrics: Arc<Metrics>) -> Result<Watching> {
    let window = Duration::from_secs(config.rules.breaker_window_secs);
    metrics.watch(i64::try_from(window.as_micros()).unwrap_or(i64::MAX));
    let mut watcher = Watcher {
        breaker: Breaker::new(window, config.rules.breaker_applicants_min),
        books,
        metrics,
        told: BTreeSet::new(),
        watched: BTreeSet::new(),
    };
    let (stop, stopped) = mpsc::channel::<()>();
    let run = move || {
        while stopped.recv_timeout(watcher.breaker.every()) == Err(RecvTimeoutError::Timeout) {
            watcher.look(Instant::now());
        }
    };
    Ok((thread::Builder::new().name("breaker".to_owned()).spawn(run)?, stop))
}

struct Watcher {
    breaker: Breaker,
    books: Arc<Books>,
    metrics: Arc<Metrics>,
    /// Critical rules outside of their bands, of which somebody was told.
    told: BTreeSet<Box<str>>,
    /// Rules that had a band at the last look.
    watched: BTreeSet<Box<str>>,
}

impl Watcher {
    fn look(&mut self, now: Instant) {
        self.books.log.catch_up(&self.books.shelf);
        let Some(last) = self.books.shelf.last() else { return };
        let mut bands = bands(&last.book);
        let counts = self.metrics.referred_applicants(bands.iter().map(|band| &*band.rule));
        let outside = self.breaker.look(now, counts, &bands);
        let of = |rule: &str, found: &[Outside]| found.iter().any(|one| *one.band.rule == *rule);
        self.told.retain(|rule| of(rule, &outside));
        let (critical, tripped): (Vec<_>, Vec<_>) = outside.into_iter().partition(|one| one.band.is_critical);
        for one in &critical {
            if self.told.insert(one.band.rule.clone()) {
                tracing::error!(rule = &*one.band.rule, "{one}; it is critical and stays live");
            }
        }
        if !tripped.is_empty() && self.trip(&last.book, &tripped) {
            bands.retain(|band| !of(&band.rule, &tripped));
        }
        for band in &bands {
            self.metrics.rule_band(band, of(&band.rule, &critical) || of(&band.rule, &tripped));
        }
        let watched = bands.into_iter().map(|band| band.rule).collect();
        let before = std::mem::replace(&mut self.watched, watched);
        before.difference(&self.watched).for_each(|rule| self.metrics.no_rule_band(rule));
    }

    /// Puts the rules in shadow. Four eyes do not hold it up: it only takes referrals back, and is undone like any change.
    fn trip(&self, book: &RuleBook, tripped: &[Outside]) -> bool {
        let by: Vec<String> = tripped.iter().map(ToString::to_string).collect();
        let by = format!("{BREAKER}{}", by.join("; "));
        let rules: Vec<&str> = tripped.iter().map(|one| &*one.band.rule).collect();
        let Some(silenced) = book.with_mode(&rules, Mode::Shadow) else { return false };
        let change = Change { book: silenced, after: Some(book.version()), by: by.as_str().into() };
        match self.books.shelf.activate(change, &*self.books.log) {
            Ok(done) => {
                tracing::error!(version = done.book.version, "{by}; in shadow now, until a book makes it live again");
                rules.iter().for_each(|rule| self.metrics.rule_tripped(rule));
                true
            }
            // It looks again.
            Err(error) => {
                tracing::error!(%error, "{by}; it could not be put in shadow");
                false
            }
        }
    }
}
