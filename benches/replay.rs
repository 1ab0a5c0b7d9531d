//! Replay of a JSONL file at each depth: read only (the floor), decode, prepare, full.
//!
//! `cargo bench --bench replay -- QUOTES.jsonl [RUNS]`; prints the median rate of each depth and its share of the floor.

use std::path::PathBuf;

use indicatif::ProgressBar;
use quoteguard::contract::csv::CsvMapping;
use quoteguard::contract::rule_file::shipped;
use quoteguard::engine::state::Settings;
use quoteguard::replay::{Depth, Inputs, Options, Report, preparers, run};

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let Some(input) = words.next().map(PathBuf::from) else {
        println!("replay: skipped, give a JSONL file: cargo bench --bench replay -- QUOTES.jsonl");
        return;
    };
    let runs: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(3);
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let mut floor = 0.0;
    for (name, depth) in
        [("read only", Depth::Read), ("decode", Depth::Decode), ("prepare", Depth::Prepare), ("full", Depth::Full)]
    {
        let mut reports: Vec<Report> = (0..runs.max(1))
            .map(|_| {
                run(Options {
                    inputs: Inputs::Files(vec![input.clone()], CsvMapping::default()),
                    decisions: scratch.path().join("decisions.jsonl"),
                    rejects: None,
                    rules: Some(shipped()),
                    settings: Settings::default(),
                    depth,
                    preparers: preparers(),
                    progress: ProgressBar::hidden(),
                })
                .expect("the file replays")
            })
            .collect();
        reports.sort_by(|a, b| a.records_per_second().total_cmp(&b.records_per_second()));
        let median = &reports[reports.len() / 2];
        let rate = median.records_per_second();
        if depth == Depth::Read {
            floor = rate;
        }
        println!(
            "replay {name:<10} {rate:>9.0} quotes/s   {:.3} of the floor   {} live attempts",
            rate / floor,
            median.live_attempts
        );
    }
}
