//! `quoteguard replay --topic`, on a log that a service has decided.

use std::collections::BTreeMap;

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::faults::check::{check, ends};
use crate::faults::cluster::{Cluster, PARTITIONS};
use crate::faults::workload::{disorder, poisoned, quotes, tenants};
use crate::servers::secure;

/// Offsets of the decided quotes, by partition.
fn positions(decisions: &[u8]) -> BTreeMap<u64, Vec<u64>> {
    let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for line in decisions.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let decision: Value = serde_json::from_slice(line).expect("JSON");
        let position = &decision["position"];
        let number = |name: &str| position[name].as_u64().expect("a number");
        found.entry(number("partition")).or_default().push(number("offset"));
    }
    found
}

#[test]
fn a_topic_is_decided_again_as_the_service_decided_it() {
    let cluster = Cluster::start();
    let topic = cluster.kafka.topics.quotes.as_str();
    let service = cluster.serve();
    let records = poisoned(1, disorder(1, quotes(1, 800)));
    let (first, second) = records.split_at(records.len() / 2);
    let told = cluster.feed(first.to_vec(), 2_000).finish();
    // Quotes of the service's own submitters have another lateness.
    for (number, tenant) in tenants().iter().enumerate() {
        let mut form = crate::quotes::quote(&format!("http-{number}"));
        form["tenant"] = tenant.as_str().into();
        let (status, answer) = service.check(form.to_string().as_bytes()).expect("answered");
        assert_eq!(status, 200, "{answer}");
    }
    check(&cluster, &told, &[&service]);
    let middle = cluster.replay(&["--topic", topic, "--decisions", "first.jsonl"]);
    std::thread::sleep(std::time::Duration::from_millis(2));
    let now = OffsetDateTime::now_utc().format(&Rfc3339).expect("a time");
    let told = cluster.feed(second.to_vec(), 2_000).finish();
    check(&cluster, &told, &[&service]);

    let whole = cluster.replay(&["--topic", topic, "--decisions", "whole.jsonl"]);
    assert_eq!(whole.said, "", "nothing is missing");
    let again = cluster.replay(&["--topic", topic, "--decisions", "again.jsonl", "--partition", "2"]);
    let (decisions, part) = (cluster.read("whole.jsonl"), positions(&cluster.read("again.jsonl")));
    assert_eq!(positions(&decisions)[&2], part[&2]);
    assert_eq!((part.len(), ends(&again.report)[&2]), (1, ends(&whole.report)[&2]));

    let late = cluster.replay(&["--topic", topic, "--decisions", "late.jsonl", "--from", &now]);
    for partition in 0..PARTITIONS {
        let start = ends(&middle.report)[&partition].0;
        assert!(late.said.contains(&format!("partition {partition}: begins at offset {start};")), "{}", late.said);
        let found = &positions(&cluster.read("late.jsonl"))[&u64::from(partition)];
        assert!(found.iter().all(|offset| *offset >= start), "nothing before it is decided");
    }
    let book = |decisions: &[u8]| String::from_utf8_lossy(decisions).matches("16b09169bbfba7eb").count();
    assert_eq!(book(&cluster.read("late.jsonl")), cluster.read("late.jsonl").split(|byte| *byte == b'\n').count() - 1);
    let tomorrow = (OffsetDateTime::now_utc() + Duration::days(1)).date().to_string();
    let nothing = cluster.replay(&["--topic", topic, "--decisions", "none.jsonl", "--from", &tomorrow]);
    assert!(cluster.read("none.jsonl").is_empty() && nothing.report.lines().count() == 5, "{}", nothing.report);
}

#[test]
fn another_book_and_a_secure_broker() {
    let cluster = Cluster::start();
    let topic = cluster.kafka.topics.quotes.as_str();
    let service = cluster.serve();
    let told = cluster.feed(quotes(2, 400), 2_000).finish();
    check(&cluster, &told, &[&service]);
    cluster.replay(&["--topic", topic, "--decisions", "own.jsonl"]);

    let secure = secure();
    let (ca, password) = (secure.ca.display(), secure.password_file.display());
    let login = format!(
        "brokers = \"{}\"\nsecurity = \"sasl_ssl\"\nca_file = \"{ca}\"\nusername = \"{}\"\npassword_file = \"{password}\"\n",
        secure.kafka, secure.user
    );
    cluster.write("secure.toml", &cluster.toml().replace(&format!("brokers = \"{}\"\n", cluster.kafka.brokers), &login));
    cluster.replay(&["--topic", topic, "--decisions", "secure.jsonl", "--config", "secure.toml"]);
    assert_eq!(cluster.read("secure.jsonl"), cluster.read("own.jsonl"));

    cluster.command("backtest", &["--topic", topic, "--set", "picking-24h.n=2", "--json", "figures.json"]);
    let figures: Value = serde_json::from_slice(&cluster.read("figures.json")).expect("JSON");
    let own = String::from_utf8_lossy(&cluster.read("own.jsonl")).into_owned();
    let told = |answer: &str| {
        let answer = format!("\"answer\":\"{answer}\"");
        own.lines().filter(|line| line.contains("\"revision\":1,") && line.contains(&answer)).count()
    };
    let told = ["accept", "flag", "refer"].map(|answer| Some(told(answer) as u64));
    assert_eq!(["accept", "flag", "refer"].map(|answer| figures["baseline"]["told"][answer].as_u64()), told);
    assert!(told[2] > Some(0) && figures["candidates"][0]["told"]["refer"].as_u64() > told[2], "{figures}");

    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    cluster.replay(&["--topic", topic, "--decisions", "shipped.jsonl", "--rules", rules]);
    assert_eq!(cluster.read("shipped.jsonl"), cluster.read("own.jsonl"), "the same book, given by hand");
    std::fs::create_dir(cluster.path("rules")).expect("made");
    std::fs::copy(format!("{rules}/picking-24h.yaml"), cluster.path("rules/picking-24h.yaml")).expect("copied");
    cluster.replay(&["--topic", topic, "--decisions", "other.jsonl", "--rules", "rules"]);
    let (own, other) = (cluster.read("own.jsonl"), cluster.read("other.jsonl"));
    assert_eq!(positions(&own).len(), positions(&other).len());
    let codes = |decisions: &[u8]| String::from_utf8_lossy(decisions).matches("\"rule\":\"").count();
    assert!(codes(&other) < codes(&own) && codes(&other) > 0, "{} of {}", codes(&other), codes(&own));
}
