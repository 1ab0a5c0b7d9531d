//! The scorer on a table made by hand, and the naive baseline.

use std::fmt::Write;

use loadtest::naive;
use loadtest::score::{Report, Tally, add, read_decisions};

const HOUR_MS: i64 = 3_600_000;

struct Hand {
    truth: String,
    decisions: String,
}

impl Hand {
    fn new() -> Hand {
        Hand { truth: String::new(), decisions: String::new() }
    }

    /// One actor's quotes, an hour apart: (suspicious attempts so far, answer).
    fn actor(&mut self, name: &str, class: &str, kind: &str, quotes: &[(u32, &str)]) {
        for (attempt, (suspicious, answer)) in quotes.iter().enumerate() {
            let (id, at, manipulated) = (format!("{name}-{attempt}"), attempt as i64 * HOUR_MS, class == "manipulated");
            writeln!(
                self.truth,
                r#"{{"quote_id":"{id}","actor":"{name}","episode":"{name}","class":"{class}","kind":"{kind}","attempt":{attempt},"suspicious":{suspicious},"manipulated":{manipulated},"at_ms":{at}}}"#
            )
            .expect("memory takes it");
            self.decide(&id, 1, answer, answer);
        }
    }

    fn decide(&mut self, id: &str, revision: u32, decision: &str, answer: &str) {
        writeln!(
            self.decisions,
            r#"{{"quote_id":"{id}","revision":{revision},"decision":"{decision}","answer":"{answer}","flags":[]}}"#
        )
        .expect("memory takes it");
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        let decisions = read_decisions(self.decisions.as_bytes()).expect("decisions are well formed");
        add(&mut tally, self.truth.as_bytes(), &decisions).expect("labels are well formed");
        tally
    }
}

fn by_hand() -> Hand {
    let mut hand = Hand::new();
    let picker = |hand: &mut Hand, name: &str, quotes: &[(u32, &str)]| hand.actor(name, "manipulated", "vin_swap", quotes);
    picker(
        &mut hand,
        "third",
        &[(0, "accept"), (1, "flag"), (2, "accept"), (3, "refer"), (4, "flag"), (4, "accept"), (5, "refer")],
    );
    picker(&mut hand, "fourth", &[(0, "accept"), (1, "accept"), (2, "accept"), (3, "accept"), (4, "refer")]);
    picker(&mut hand, "returned", &[(0, "accept"), (1, "accept"), (2, "accept"), (3, "accept"), (3, "refer")]);
    picker(&mut hand, "late", &[(0, "accept"), (1, "accept"), (2, "accept"), (3, "flag"), (4, "accept"), (5, "refer")]);
    picker(&mut hand, "never", &[(0, "accept"), (1, "accept"), (2, "accept"), (3, "flag")]);
    picker(&mut hand, "short", &[(0, "accept"), (1, "accept"), (2, "refer")]);
    hand.actor("poisoner", "manipulated", "copy_victim", &[(0, "accept"), (1, "accept"), (2, "accept"), (3, "refer")]);
    hand.actor(
        "broken",
        "manipulated",
        "copy_victim",
        &[(0, "accept"), (1, "accept"), (2, "accept"), (3, "accept"), (4, "refer")],
    );
    let mut clients = [(0, "accept"); 12];
    clients[9].1 = "flag";
    hand.actor("ghost", "manipulated", "ghost_broker", &clients);
    clients[9].1 = "accept";
    clients[10].1 = "refer";
    hand.actor("slow-ghost", "manipulated", "ghost_broker", &clients);
    hand.actor("good", "single", "single", &[(0, "accept")]);
    hand.actor("wronged", "family", "family", &[(0, "accept"), (0, "refer"), (0, "refer")]);
    hand.actor("watched", "family", "family", &[(0, "flag"), (0, "accept")]);
    hand.actor("amended", "family", "family", &[(0, "accept")]);
    hand.decide("amended-0", 2, "refer", "accept");
    hand.actor("victim", "victim", "victim", &[(0, "refer")]);
    hand
}

#[test]
fn a_table_by_hand_is_counted_rightly() {
    let json = Report::new(by_hand().tally()).json();
    for (pointer, expected) in [
        ("/kinds/vin_swap/episodes", 6),
        ("/kinds/vin_swap/eligible", 5),
        ("/kinds/vin_swap/eligible_in_24h", 5),
        ("/kinds/vin_swap/by_3rd", 2),
        ("/kinds/vin_swap/by_4th", 3),
        ("/kinds/vin_swap/by_5th", 4),
        ("/kinds/vin_swap/ever", 4),
        ("/kinds/vin_swap/later", 2),
        ("/kinds/vin_swap/later_priced", 1),
        ("/overall/eligible", 5),
        ("/poisoners/eligible", 2),
        ("/poisoners/referred_by_4th_variant", 1),
        ("/ghost_brokers/eligible", 2),
        ("/ghost_brokers/flagged_by_10th", 1),
        ("/classes/family/actors", 3),
        ("/classes/family/referred", 1),
        ("/classes/family/flagged", 1),
        ("/classes/family/amended", 1),
        ("/classes/victim/referred", 1),
        ("/honest/actors", 4),
        ("/honest/referred", 1),
        ("/missing", 0),
    ] {
        assert_eq!(json.pointer(pointer).and_then(serde_json::Value::as_u64), Some(expected), "{pointer} in {json:#}");
    }
}

#[test]
fn a_slow_episode_is_eligible_by_the_month_only() {
    let mut hand = Hand::new();
    hand.actor("slow", "manipulated", "slow_drip", &[(0, "accept"), (1, "accept"), (2, "accept"), (3, "accept")]);
    hand.truth = hand.truth.replace(&format!("\"at_ms\":{}", 3 * HOUR_MS), &format!("\"at_ms\":{}", 40 * HOUR_MS));
    let json = Report::new(hand.tally()).json();
    assert_eq!((json["overall"]["eligible"].as_u64(), json["overall"]["eligible_in_24h"].as_u64()), (Some(1), Some(0)));
}

#[test]
fn workloads_add_up_and_a_label_without_decision_is_missing() {
    let hand = by_hand();
    let mut tally = hand.tally();
    let first = tally.clone();
    let none = read_decisions(&b""[..]).expect("empty is well formed");
    add(&mut tally, hand.truth.as_bytes(), &none).expect("labels are well formed");
    assert_eq!((tally.missing, tally.kinds.clone()), (first.quotes, first.kinds.clone()));
    assert!(!Report::new(tally).all_met());
    let mut twice = hand.tally();
    let decisions = read_decisions(hand.decisions.as_bytes()).expect("decisions are well formed");
    add(&mut twice, hand.truth.as_bytes(), &decisions).expect("labels are well formed");
    assert_eq!(twice.overall().eligible, 2 * first.overall().eligible);
}

#[test]
fn targets_are_met_by_the_good_and_missed_by_the_bad() {
    let mut hand = Hand::new();
    for kind in ["vin_swap", "flooding", "unflooded", "copy_victim"] {
        hand.actor(kind, "manipulated", kind, &[(0, "accept"), (1, "accept"), (2, "accept"), (3, "refer")]);
    }
    hand.actor("ghost", "manipulated", "ghost_broker", &[(0, "flag"); 12]);
    hand.actor("good", "single", "single", &[(0, "accept")]);
    hand.actor("victim", "victim", "victim", &[(0, "flag")]);
    let good = Report::new(hand.tally());
    assert!(good.all_met(), "{good}");
    hand.decisions = hand.decisions.replace(
        r#""good-0","revision":1,"decision":"accept","answer":"accept""#,
        r#""good-0","revision":1,"decision":"refer","answer":"refer""#,
    );
    let bad = Report::new(hand.tally());
    let missed: Vec<String> = bad.targets().into_iter().filter(|target| !target.met()).map(|target| target.name).collect();
    assert_eq!(missed, ["honest actors referred, all classes", "honest referred, worst class (single)"]);
}

#[test]
fn wrong_lines_are_named() {
    for (text, expected) in [("{\"quote_id\":1}", "decisions, line 1"), ("\n{}", "decisions, line 2")] {
        let error = read_decisions(text.as_bytes()).expect_err("not a decision");
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
}

#[test]
fn the_naive_baseline_refers_at_the_fourth_within_a_day() {
    let quote = |id: u32, hour: u32, device: &str, vin: &str| {
        format!(
            r#"{{"quote_id":"q{id}","submitted_at":"2026-11-{:02}T{:02}:00:{id:02}.000Z","product":"osago","channel":{{"kind":"web","device_id":"{device}"}},"policyholder":{{"last_name":"","first_name":"","birth_date":"1990-01-01","address":{{}}}},"drivers":[],"vehicle":{{"vin":"{vin}","make":"","model":"","year":2020,"power_hp":90}},"coverage":{{"term_months":12,"deductible":0}},"premium":1}}"#,
            1 + hour / 24,
            hour % 24
        )
    };
    let lines = [
        quote(1, 0, "d", "A"),
        quote(2, 0, "d", "B"),
        quote(3, 0, "d", "C"),
        quote(3, 0, "d", "C"),
        quote(4, 1, "d", "D"),
        quote(5, 1, "", "D"),
        quote(6, 23, "d", "E"),
        quote(7, 48, "d", "F"),
    ];
    let mut out = Vec::new();
    naive::run(lines.join("\n").as_bytes(), &mut out).expect("lines are well formed");
    let out = String::from_utf8(out).expect("UTF-8");
    let referred: Vec<bool> = out.lines().map(|line| line.contains(r#""answer":"refer""#)).collect();
    // Of the retry nothing is said; at 23 h the four before are within a day, at 48 h one of them.
    assert_eq!(referred, [false, false, false, true, false, true, false]);
}
