//! The engine alone: cost of a step and memory of an attempt with many live attempts held.
//!
//! `cargo bench --bench engine -- [LIVE]`; one line a figure, with the floor it is measured beside.

#[path = "engine/late.rs"]
mod late;

use std::sync::Arc;
use std::time::{Duration, Instant};

use loadtest::generate::release;
use loadtest::plan::{Config, Mix};
use quoteguard::contract::quote::decode;
use quoteguard::contract::rule_file::shipped;
use quoteguard::engine::decide::{Books, Prepared, decide};
use quoteguard::engine::quote::Position;
use quoteguard::engine::state::{Settings, State};
use quoteguard::engine::step::{ArrivalClock, Input, LoggedQuote};
use quoteguard::engine::time::ArrivalTime;

/// Steps that are timed one by one, the last of the run.
const TIMED: usize = 100_000;

fn main() {
    let live = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let before = resident_bytes();
    let mut bench = Bench::new();
    let config = Config { seed: 77, quotes: live + TIMED, mix: Mix::Normal, days: 29, tenants: 0 };
    let mut records = 0;
    release(&config, |record| {
        bench.take(record.quote.as_bytes(), records >= live);
        records += 1;
        Ok(())
    })
    .expect("the workload generates");
    bench.report(before);
    late::report();
}

/// A state that has nothing but the shipped book in force.
fn fresh() -> (State, Books) {
    let mut state = State::new(Settings::default());
    let mut books = Books::default();
    let book = Arc::new(shipped());
    let position = Position { partition: 0, offset: 0 };
    let input = Input::Control { position, book: Some(book.reference()), rulings: Vec::new() };
    books.add(book);
    state.apply(&decide(&state, &input, &books).expect("no book is needed").delta).expect("the first delta fits");
    (state, books)
}

struct Bench {
    state: State,
    books: Books,
    offset: u64,
    decode: Vec<Duration>,
    prepare: Vec<Duration>,
    decide: Vec<Duration>,
    apply: Vec<Duration>,
    step: Vec<Duration>,
    candidates: u64,
    comparisons: u64,
}

impl Bench {
    fn new() -> Bench {
        let (state, books) = fresh();
        let timings = || Vec::with_capacity(TIMED);
        Bench {
            state,
            books,
            offset: 1,
            decode: timings(),
            prepare: timings(),
            decide: timings(),
            apply: timings(),
            step: timings(),
            candidates: 0,
            comparisons: 0,
        }
    }

    fn take(&mut self, body: &[u8], timed: bool) {
        let start = Instant::now();
        let quote = decode(body, None).expect("generated quotes are valid").quote;
        let decoded = Instant::now();
        let prepared = Arc::new(Prepared::new(&quote));
        let ready = Instant::now();
        let position = Position { partition: 0, offset: self.offset };
        self.offset += 1;
        let logged = LoggedQuote { position, arrival: ArrivalTime(0), clock: ArrivalClock::Event, prepared };
        let step = decide(&self.state, &Input::Quote(logged), &self.books).expect("every book is held");
        let judged = Instant::now();
        self.state.apply(&step.delta).expect("a delta fits the state it was made from");
        let applied = Instant::now();
        if timed {
            self.decode.push(decoded - start);
            self.prepare.push(ready - decoded);
            self.decide.push(judged - ready);
            self.apply.push(applied - judged);
            self.step.push(applied - ready);
            self.candidates += u64::from(step.gauges.candidates);
            self.comparisons += u64::from(step.gauges.comparisons);
        }
    }

    fn report(&mut self, before: usize) {
        let live = self.state.live_attempts();
        let n = self.step.len().max(1) as u64;
        println!("live attempts        {live}");
        println!("candidates a quote   {} gathered, {} compared", self.candidates / n, self.comparisons / n);
        for (name, timings) in [
            ("decode", &mut self.decode),
            ("prepare", &mut self.prepare),
            ("decide", &mut self.decide),
            ("apply", &mut self.apply),
            ("engine step", &mut self.step),
        ] {
            timings.sort();
            let at = |share: f64| {
                timings.get((timings.len() as f64 * share) as usize).copied().unwrap_or_default().as_secs_f64() * 1e6
            };
            let mean = timings.iter().sum::<Duration>().as_secs_f64() * 1e6 / timings.len().max(1) as f64;
            println!("{name:20} p50 {:7.1} us   p99 {:7.1} us   mean {mean:7.1} us", at(0.5), at(0.99));
        }
        let resident = resident_bytes().saturating_sub(before);
        println!(
            "memory               {} B an attempt resident, {} B by our own account, {} B towards limits.live_bytes_max",
            resident / live.max(1),
            self.state.resident_bytes() / live.max(1),
            self.state.live_bytes() / live.max(1)
        );
    }
}

/// Resident set of this process, bytes.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok()).unwrap_or(0) * 1024
}
