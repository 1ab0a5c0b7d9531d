//! Faults of the service's servers, links, clocks and of itself, over a real Kafka and a real Redis. After each of them the topics
//! must hold what a replay of the log gives, within a minute and without hands.
//!
//! `FAULT_SEEDS="1 2 3"` runs each fault with these seeds, `FAULT_TABLE=FILE` collects a line for each; `make test-faults` does both.

mod broker;
pub mod check;
mod clock;
pub mod cluster;
mod group;
mod input;
pub mod instance;
mod kill;
mod log;
mod network;
mod redis;
mod store;
pub mod workload;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use check::Compared;

/// What a fault did.
struct Outcome {
    /// Times that it happened.
    fired: u64,
    compared: Compared,
}

/// Runs a fault with each seed, and tells what it did. A fault that did not happen proves nothing.
fn each_seed(name: &str, fault: impl Fn(u64) -> Outcome) {
    let seeds = std::env::var("FAULT_SEEDS").unwrap_or_else(|_| "1".to_owned());
    let (mut fired, mut decisions, mut copies, mut failed) = (0, 0, 0, None);
    let began = Instant::now();
    for seed in seeds.split_whitespace() {
        println!("{name}: seed {seed}");
        let seed = seed.parse().expect("FAULT_SEEDS are numbers");
        match catch_unwind(AssertUnwindSafe(|| fault(seed))) {
            Ok(outcome) => {
                assert!(outcome.fired > 0, "{name}: seed {seed}: the fault did not happen");
                fired += outcome.fired;
                decisions += outcome.compared.decisions;
                copies += outcome.compared.copies;
            }
            Err(panic) => {
                failed = Some(panic);
                break;
            }
        }
    }
    let result = if failed.is_some() { "FAILED" } else { "ok" };
    let secs = began.elapsed().as_secs();
    let row = format!("{name:<58} {seeds:<10} {fired:>7} {decisions:>10} {copies:>7} {secs:>5} {result}");
    println!("{row}");
    if let Ok(table) = std::env::var("FAULT_TABLE") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(table);
        writeln!(file.expect("the table"), "{row}").expect("written");
    }
    if let Some(panic) = failed {
        resume_unwind(panic);
    }
}
