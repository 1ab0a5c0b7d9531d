//! Rulings over a real Kafka and a real Redis: in force by a pointer, kept by the checkpoint, the same in a replay.

use std::process::Command;

use serde_json::{Value, json};

use crate::faults::check::check;
use crate::faults::cluster::{Cluster, PARTITIONS, Told};
use crate::faults::instance::Instance;
use crate::quotes::quote;
use crate::servers::run;

fn ask(service: &Instance, path: &str, body: &Value) -> Value {
    let (status, answer) = service.post(path, &body.to_string()).expect("answered");
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).expect("JSON")
}

/// A tweaker's form: each number is another VIN at a lower price.
fn tweak(service: &Instance, id: &str, number: u32) -> Value {
    let mut form = quote(id);
    form["vehicle"]["vin"] = json!(format!("XTA219010K01{number:02}456"));
    form["premium"] = json!(10_000 - 400 * number);
    ask(service, "/v1/quotes/check", &form)
}

#[test]
fn a_cleared_case_outlives_the_instance_and_redis() {
    let cluster = Cluster::start();
    let mut service = cluster.serve();
    let ids: Vec<String> = (0..4).map(|n| format!("q-{n}")).collect();
    let told: Vec<Value> = (0..).zip(&ids).map(|(n, id)| tweak(&service, id, n)).collect();
    assert_eq!(told[3]["decision"], "refer");
    let case = &told[3]["referral_id"];
    let cleared = json!({"ruling_id": "r-1", "kind": "cleared", "case": case, "quote_ids": ids});
    let ruled = ask(&service, "/v1/rulings", &cleared);
    assert!(ruled["control_offset"].is_u64(), "{ruled}");
    assert_eq!(ask(&service, "/v1/rulings", &cleared), ruled, "sent again it is the same ruling");
    let other = json!({"ruling_id": "r-1", "kind": "confirmed", "case": case, "quote_ids": ids});
    assert_eq!(service.post("/v1/rulings", &other.to_string()).expect("answered").0, 409);
    assert_eq!(tweak(&service, "at-once", 3)["decision"], "accept");
    check(&cluster, &Told::default(), &[&service]);

    service.kill();
    service = cluster.serve();
    assert_eq!(tweak(&service, "after-a-kill", 3)["decision"], "accept");
    let erased = json!({"ruling_id": "r-2", "kind": "erased", "quote_ids": [ids[1]]});
    ask(&service, "/v1/rulings", &erased);
    assert_eq!(tweak(&service, "after-an-erasure", 3)["decision"], "accept");
    check(&cluster, &Told::default(), &[&service]);

    // The erasure has made a whole checkpoint: its segments hold no ruling, the manifest says where they are.
    let manifests = (0..PARTITIONS).filter_map(|partition| cluster.manifest(partition));
    assert_eq!(manifests.map(|manifest| manifest.rulings.len()).sum::<usize>(), 2);
    service.kill();
    service = cluster.serve();
    assert_eq!(tweak(&service, "from-a-whole-checkpoint", 3)["decision"], "accept");

    service.kill();
    run(Command::new("redis-cli").args(["-u", &cluster.redis.url(), "flushall"]));
    service = cluster.serve();
    assert_eq!(tweak(&service, "after-redis", 3)["decision"], "accept");
    assert_eq!(ask(&service, "/v1/rulings", &cleared), ruled);
    let snooze = json!({"kind": "snooze", "rule": "picking-24h", "case": case, "quote_ids": ids});
    ask(&service, "/v1/rulings", &snooze);
    ask(&service, "/v1/rulings", &json!({"kind": "reopened", "case": case}));
    tweak(&service, "snoozed", 5);
    check(&cluster, &Told::default(), &[&service]);
    cluster.replay(&["--topic", &cluster.kafka.topics.quotes, "--decisions", "out.jsonl"]);
    let replayed = String::from_utf8(cluster.read("out.jsonl")).expect("text");
    let last: Value = serde_json::from_str(replayed.lines().last().expect("a decision")).expect("JSON");
    assert_eq!((&last["quote_id"], &last["suspicious_attempts"]), (&json!("snoozed"), &json!(3)), "q-1 is gone: {last}");
    assert!(!last["reasons"].to_string().contains("picking-24h"), "{last}");

    let topic = cluster.kafka.topics.quotes.as_str();
    cluster.command("backtest", &["--topic", topic, "--set", "picking-24h.n=2", "--json", "figures.json"]);
    let figures: Value = serde_json::from_slice(&cluster.read("figures.json")).expect("JSON");
    let is_referred = |line: &&str| line.contains("\"revision\":1,") && line.contains("\"answer\":\"refer\"");
    let referred = replayed.lines().filter(is_referred).count() as u64;
    assert_eq!(figures["baseline"]["told"]["refer"].as_u64(), Some(referred), "a backtest of the topic knows the rulings");
}
