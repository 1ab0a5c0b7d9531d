//! `quoteguard backtest`: a history through the same engine, with candidate books beside the one that was in force, in one pass.
//!
//! The stages before are those of the replay; what is kept of a quote goes when its attempt expires, so memory follows the window
//! and not the history.

mod books;
mod charts;
mod examples;
mod figures;
mod labels;
mod page;
mod table;
mod tally;

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Instant;

use anyhow::Result;
use indicatif::ProgressBar;

pub use books::{CANDIDATES_MAX, Candidate, Request, candidates};
pub use figures::Figures;
pub use labels::Labels;
pub use page::page;
pub use table::table;

use crate::engine::beside::Candidates;
use crate::engine::decide::decide_beside;
use crate::engine::decision::RuleBookRef;
use crate::engine::rules::RuleBook;
use crate::engine::state::Settings;
use crate::replay::{self, Depth, Inputs, Ready, ReadyRecord, Replayed};
use tally::Tally;

pub struct Options {
    /// Each is a log of its own, decided from an empty state.
    pub inputs: Vec<Inputs>,
    /// How the baseline is called.
    pub name: String,
    /// The baseline, in force throughout; `None` for the books that a recorded log holds.
    pub rules: Option<RuleBook>,
    pub candidates: Vec<Candidate>,
    pub labels: Option<Labels>,
    /// For files; a recorded log brings its own.
    pub settings: Settings,
    pub preparers: usize,
    pub progress: ProgressBar,
    /// Personal data in the examples is not masked.
    pub show_personal_data: bool,
}

/// The figures, and how fast they came.
pub struct Outcome {
    pub figures: Figures,
    pub records_per_second: f64,
}

/// Runs on threads of its own and returns when the history is read.
///
/// # Errors
/// Files that cannot be read, and a damaged recorded log. A record that is no quote is counted and is not an error.
pub fn run(options: Options) -> Result<Outcome> {
    let Options { inputs, name, rules, candidates, labels, settings, preparers, progress, show_personal_data } = options;
    let began = Instant::now();
    let books: Vec<Arc<RuleBook>> = candidates.iter().map(|candidate| candidate.book.clone()).collect();
    let mut run = Run { candidates: Candidates::new(&books), tally: Tally::new(books, labels), in_force: None };
    for input in inputs {
        progress.reset();
        let feed = replay::open(input, progress.clone())?;
        let log = Replayed::new(feed.settings(settings.clone()), rules.clone());
        thread::scope(|scope| {
            let lanes = feed.prepare(scope, preparers, Depth::Full)?;
            run.decide(log, &lanes)
        })?;
    }
    progress.finish_and_clear();
    let Run { tally, in_force, .. } = run;
    let records_per_second = tally.records.records as f64 / began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
    let figures = Figures::new(&tally, (name, in_force), &candidates, show_personal_data);
    Ok(Outcome { figures, records_per_second })
}

struct Run {
    candidates: Candidates,
    tally: Tally,
    /// The book of the baseline after the last record.
    in_force: Option<RuleBookRef>,
}

impl Run {
    fn decide(&mut self, mut log: Replayed, lanes: &[Receiver<Result<Ready>>]) -> Result<()> {
        self.tally.next_log();
        for lane in lanes.iter().cycle() {
            let Ok(ready) = lane.recv() else { break };
            let Ready { chunk, records } = ready?;
            for (i, record) in records.iter().enumerate() {
                let input = log.input(&chunk, i, record)?;
                if matches!(record, ReadyRecord::Skipped(_)) {
                    self.tally.skip();
                }
                let (step, beside) = decide_beside(&log.state, &input, &log.books, &self.candidates)?;
                log.apply(&step.delta)?;
                self.tally.take(&step, &beside, &log.state);
            }
        }
        self.in_force = log.state.rule_book().cloned();
        Ok(())
    }
}
