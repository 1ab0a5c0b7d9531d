//! The rule book alone: what evaluating it costs for one quote.
//!
//! `cargo bench --bench rules`; nanoseconds, the best of ten rounds, beside an empty book as the floor.

use std::hint::black_box;
use std::time::Instant;

use quoteguard::contract::rule_file::shipped;
use quoteguard::engine::decision::Verdict;
use quoteguard::engine::evidence::{Evidence, WindowEvidence};
use quoteguard::engine::rules::{Mode, RuleBook, RuleSource};

const EVALUATIONS: u32 = 200_000;
/// Live rules of the large book.
const MANY: usize = 200;
/// Four comparisons that are all true, so that none is skipped.
const FOUR: &str =
    "suspicion(duration(\"24h\")) >= 2.5 && suspicious_attempts(duration(\"30d\")) >= 3 && premium > 0.0 && channel != \"agent\"";

fn main() {
    let one = RuleBook::build(1, vec![rule("four-comparisons", FOUR)]).expect("valid");
    for (name, book, matching, target) in [
        ("200 rules, all match", many(true), MANY, 15_000.0),
        ("200 rules, none matches", many(false), 0, 15_000.0),
        ("empty book", RuleBook::empty(), 0, f64::INFINITY),
        ("one rule, four comparisons", one, 1, 60.0),
        ("the shipped book", shipped(), shipped().rules().filter(|rule| &*rule.id == "picking-24h").count(), f64::INFINITY),
    ] {
        let evidence = tweaker(&book);
        let nanos = (0..10).map(|_| nanos(&book, &evidence, matching)).fold(f64::MAX, f64::min);
        let verdict = if nanos <= target { "met" } else { "MISSED" };
        println!("{name:28} {nanos:7.1} ns  target {target:7.0} ns  {verdict}");
    }
}

fn nanos(book: &RuleBook, evidence: &Evidence, matching: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..EVALUATIONS {
        assert!(black_box(book).evaluate(black_box(evidence)).live.len() >= matching);
    }
    start.elapsed().as_nanos() as f64 / f64::from(EVALUATIONS)
}

/// Rules of four comparisons over two windows each, by turns in plain, summed and text form.
fn many(matching: bool) -> RuleBook {
    let rules = (0..MANY).map(|i| {
        let (short, long) = (["1h", "6h", "24h", "3d"][i % 4], ["7d", "14d", "30d"][i % 3]);
        let least = if matching { 0.5 } else { 3.5 };
        let last = ["channel != \"agent\"", "!agent_id.startsWith(\"B-\")", "!rightful_owner(duration(\"30d\"))"][i % 3];
        let when = format!(
            "suspicious_attempts(duration(\"{short}\")) >= 3 && {last} && premium + {i}.0 > 0.0 \
             && suspicion(duration(\"{long}\")) >= {least}"
        );
        rule(&format!("rule-{i}"), &when)
    });
    RuleBook::build(1, rules.collect::<Vec<_>>()).expect("valid")
}

/// A quote that the rules have something to say about.
fn tweaker(book: &RuleBook) -> Evidence {
    let window = WindowEvidence { attempts: 5, suspicion: 3.0, suspicious_attempts: 4, ..WindowEvidence::default() };
    Evidence { windows: vec![window; book.windows().len()], premium: 1.0, ..Evidence::default() }
}

fn rule(id: &str, when: &str) -> RuleSource {
    RuleSource {
        id: id.into(),
        version: 1,
        title: "a title".into(),
        owner: "an owner".into(),
        mode: Mode::Live,
        reason_code: "PARAMETER_PICKING".into(),
        params: Default::default(),
        when: when.into(),
        then: Verdict::Refer,
        priority: 0,
        products: vec![],
        tenants: vec![],
        applicant: Default::default(),
        underwriter: "{attempts} within {window}".into(),
        ..RuleSource::default()
    }
}
