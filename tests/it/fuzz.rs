//! The fuzz targets on a stable compiler: the committed corpus, and mutations of it that are the same in every run.

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quoteguard::contract::quote::decode;
use quoteguard::contract::rule_file::{canonical_source, shipped};
use quoteguard::engine::decide::{Books, Prepared, decide};
use quoteguard::engine::quote::Position;
use quoteguard::engine::state::{Settings, State};
use quoteguard::engine::step::{ArrivalClock, Input, LoggedQuote};
use quoteguard::engine::time::{ArrivalTime, Arrivals};

use crate::quotes::{EPOCH, quote_at};

/// Of each corpus file; compiling a rule takes longer than reading a record.
const MUTATIONS: usize = 3_000;
const MUTATIONS_RULES: usize = 500;
/// For one input, in a test build on a busy machine.
const INPUT_MOST: Duration = Duration::from_secs(5);

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// A generator of its own, so that a finding comes again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % most.max(1)
    }
}

/// Cut, one byte changed, a piece repeated, or a piece of another file put in.
fn mutate(bytes: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut mutated = bytes.to_vec();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(mutated.len() + 1);
        match numbers.below(4) {
            0 => mutated.truncate(at),
            1 => {
                if let Some(byte) = mutated.get_mut(at) {
                    *byte = numbers.below(256) as u8;
                }
            }
            2 => {
                let piece = mutated[at..].iter().take(numbers.below(40)).copied().collect::<Vec<_>>();
                mutated.splice(at..at, piece);
            }
            _ => {
                let from = numbers.below(other.len());
                mutated.splice(at..at, other[from..].iter().take(numbers.below(80)).copied());
            }
        }
    }
    mutated
}

/// Whether it could be read.
fn run(name: &str, target: fn(&[u8]) -> bool, input: &[u8], of: &str) -> bool {
    let began = Instant::now();
    let Ok(is_read) = catch_unwind(AssertUnwindSafe(|| target(input))) else {
        panic!("target {name}, from {of}: it panics at {:?}", String::from_utf8_lossy(input));
    };
    assert!(began.elapsed() < INPUT_MOST, "target {name}, from {of}: {:?} for {} bytes", began.elapsed(), input.len());
    is_read
}

#[test]
fn the_corpus_and_its_mutations_neither_panic_nor_hang() {
    for (name, target) in targets::TARGETS {
        let mut files: Vec<PathBuf> =
            fs::read_dir(corpus(name)).expect("a corpus").map(|f| f.expect("an entry").path()).collect();
        files.sort();
        assert!(files.len() > 2, "{name}");
        let inputs: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("read")).collect();
        let mutations = if ["rule", "condition", "book"].contains(name) { MUTATIONS_RULES } else { MUTATIONS };
        let (mut numbers, mut read) = (Numbers(7), 0);
        for (file, input) in files.iter().zip(&inputs) {
            let of = file.file_name().expect("a name").to_string_lossy();
            read += usize::from(run(name, *target, input, &of));
            for _ in 0..mutations {
                let other = &inputs[numbers.below(inputs.len())];
                run(name, *target, &mutate(input, other, &mut numbers), &of);
            }
        }
        assert!(
            (1..inputs.len()).contains(&read),
            "{name}: {read} of the corpus are read; some must be, and some must be refused"
        );
    }
}

/// Inputs that only the service can write. They are renewed with `UPDATE_CORPUS=1`, after a change of their form.
#[test]
fn the_corpus_holds_what_the_service_writes() {
    let book = shipped();
    let mut state = State::new(Settings::default());
    let mut books = Books::default();
    books.add(Arc::new(book.clone()));
    state.restore(0, Arrivals::default(), vec![(0, book.reference())]);
    let mut deltas = Vec::new();
    for n in 0..3 {
        let mut form = quote_at(&format!("q-{n}"), EPOCH + time::Duration::minutes(n), 1);
        form["vehicle"]["year"] = (2015 + n).into();
        let quote = decode(form.to_string().as_bytes(), None).expect("a quote").quote;
        let (position, arrival) = (Position { partition: 0, offset: state.next_offset() }, ArrivalTime(quote.submitted_at.0));
        let prepared = Arc::new(Prepared::new(&quote));
        let logged = LoggedQuote { position, arrival, clock: ArrivalClock::Stream, prepared };
        let step = decide(&state, &Input::Quote(logged), &books).expect("a step");
        step.delta.encode(&mut deltas);
        state.apply(&step.delta).expect("applies");
    }
    for (target, bytes) in [("delta", deltas), ("book", canonical_source(&book).into_bytes())] {
        let file = corpus(target).join("written");
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            fs::write(&file, &bytes).expect("written");
        }
        assert!(fs::read(&file).is_ok_and(|kept| kept == bytes), "fuzz/corpus/{target}/written: renew it with UPDATE_CORPUS=1");
    }
}
