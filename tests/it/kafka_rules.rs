//! Rule books over a real Kafka: proposals, broken folders, folders that differ, reloads under load, and a death between a book and
//! its pointers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::app::{TestApp, eventually};
use crate::faults::check::check;
use crate::faults::cluster::{Cluster, PARTITIONS};
use crate::faults::workload::{quotes, tenants};
use crate::kafka_service::Place;
use crate::rules_kept::{ask, four_eyes};
use crate::rules_live::{banded, comes, files, in_force, post, rule};

#[tokio::test(flavor = "multi_thread")]
async fn any_instance_approves_what_another_was_told() {
    let (dir, config) = Place::default().topics();
    let config = config + &four_eyes(&["anna", "boris"]);
    let first = TestApp::start_in(dir, &config).await;
    let proposed = ask(&first, "anna", "/v1/rules/activate", Some(&files(&rule(1)))).await;
    assert_eq!(proposed.status, 202, "{proposed:?}");
    let hash = json!({"hash": proposed.json()["hash"]});
    let path = format!("/v1/rules/proposals/{}", proposed.json()["hash"].as_str().expect("a hash"));
    drop(first.kill().await);
    // It has never met the one that was told.
    let second = TestApp::start(&config).await;
    let shown = ask(&second, "boris", &path, None).await.json();
    assert_eq!((&shown["by"], &shown["version"], &shown["against"]), (&json!("anna"), &json!(2), &json!(1)), "{shown}");
    assert!(shown["diff"].as_array().is_some_and(|lines| lines.iter().any(|line| line.to_string().contains("rule many: added"))));
    assert_eq!(ask(&second, "anna", "/v1/rules/approve", Some(&hash)).await.status, 403);
    let approved = ask(&second, "boris", "/v1/rules/approve", Some(&hash)).await;
    assert_eq!((approved.status.as_u16(), &approved.json()["version"]), (200, &json!(2)), "{approved:?}");
    let third = TestApp::start(&config).await;
    let now = ask(&third, "anna", "/v1/rules", None).await.json();
    assert_eq!((&now["by"], &now["proposals"]), (&json!("anna, approved by boris"), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_folder_proposes_is_approved_by_two_wherever_they_ask() {
    let (dir, config) = Place::default().topics();
    let rules = tempfile::tempdir().expect("a folder");
    fs::write(rules.path().join("many.yaml"), rule(1)).expect("written");
    let config = config + &four_eyes(&["anna", "boris"]) + &format!("dir = '{}'\n", rules.path().display());
    let first = TestApp::start_in(dir, &config).await;
    let second = TestApp::start(&config).await;
    let waiting = async |app: &TestApp| ask(app, "anna", "/v1/rules", None).await.json()["proposals"][0].clone();
    eventually("the folder is proposed", async || waiting(&second).await["by"] == "folder").await;
    let hash = json!({"hash": waiting(&second).await["hash"]});
    assert_eq!(ask(&first, "anna", "/v1/rules/approve", Some(&hash)).await.status, 202);
    assert_eq!(waiting(&second).await["by"], "folder, approved by anna");
    assert_eq!(ask(&second, "anna", "/v1/rules/approve", Some(&hash)).await.status, 403);
    assert_eq!(ask(&second, "boris", "/v1/rules/approve", Some(&hash)).await.json()["version"], 2);
    assert_eq!(ask(&first, "anna", "/v1/rules", None).await.json()["by"], "folder, approved by anna and boris");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_instance_trips_a_rule_for_all() {
    let (dir, config) = Place::default().topics();
    let config = config + "[rules]\nbreaker_window_secs = 60\nbreaker_applicants_min = 20\n";
    let first = TestApp::start_in(dir, &config).await;
    let second = TestApp::start(&config).await;
    assert_eq!(post(&first, "/v1/rules/activate", &files(&banded("usual", 1, ""))).await.json()["version"], 2);
    let mut person = 0;
    eventually("the breaker has acted", async || {
        person += 1;
        comes(&first, person, "osago", 1).await;
        comes(&first, person, "osago", 2).await;
        in_force(&first).await["version"] == 3
    })
    .await;
    let there = in_force(&second).await;
    assert_eq!((&there["version"], &there["rules"][0]["mode"]), (&json!(3), &json!("shadow")), "{there}");
    eventually("by the new book", async || {
        person += 1;
        comes(&second, person, "osago", 1).await;
        comes(&second, person, "osago", 2).await == "accept"
    })
    .await;
    let trips = "quoteguard_rule_breaker_trips_total{rule=\"usual\"}";
    assert_eq!(first.metric(trips).await + second.metric(trips).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_that_differ_do_not_take_turns_and_a_broken_one_stops_no_restart() {
    let (dir, config) = Place::default().topics();
    let folder = |text: &str| {
        let rules = tempfile::tempdir().expect("a folder");
        fs::write(rules.path().join("many.yaml"), text).expect("written");
        let config = format!("{config}[rules]\ndir = '{}'\n", rules.path().display());
        (rules, config)
    };
    let (ours, our_config) = folder(&rule(1));
    let (theirs, their_config) = folder(&rule(2));
    let read = async |app: &TestApp, state: &str| {
        eventually("the folder was read", async || in_force(app).await["reload"]["state"] == state).await;
    };
    let first = TestApp::start_in(dir, &our_config).await;
    read(&first, "done").await;
    let second = TestApp::start(&their_config).await;
    read(&second, "done").await;
    assert_eq!(post(&first, "/v1/rules/rollback", &json!({"version": 2})).await.json()["version"], 4);
    fs::write(ours.path().join("many.yaml"), rule(3)).expect("written");
    eventually("the folder is in force", async || in_force(&second).await["version"] == 5).await;
    // Each starts again with what it has, one of them with nothing that can be read.
    fs::write(theirs.path().join("many.yaml"), rule(4).replace("attempts(", "atempts(")).expect("written");
    let (first, second) = (first.stop().await.0, second.stop().await.0);
    let first = TestApp::start_in(first, &our_config).await;
    let second = TestApp::start_in(second, &their_config).await;
    read(&first, "done").await;
    read(&second, "refused").await;
    let versions = second.get("/v1/rules/versions").await.expect("answers").json();
    let brought: Vec<_> = versions.as_array().expect("a list").iter().map(|version| version["by"].clone()).collect();
    assert_eq!(brought, ["folder", "anyone", "start", "start", "start"]);
    let said = in_force(&second).await["reload"]["error"].to_string();
    assert!(said.contains("unknown feature `atempts`"), "{said}");
}

/// Version by version, while records come in: each is decided once, under the last book before it, as a replay decides it.
#[test]
fn no_quote_is_missed_or_judged_twice_while_books_change() {
    const RELOADS: u32 = 40;
    let cluster = Cluster::start();
    let service = cluster.serve();
    let feed = cluster.feed(quotes(7, 4_000), 500);
    for version in 1..=RELOADS {
        feed.await_share(2 * version as usize);
        let (status, said) = service.post("/v1/rules/activate", &files(&rule(version)).to_string()).expect("answered");
        let done: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!((status, &done["version"]), (200, &json!(version + 1)), "{said}");
    }
    let told = feed.finish();
    let compared = check(&cluster, &told, &[&service]);
    // Some records of the workload repeat others.
    let decided = compared.decisions - compared.amendments;
    assert!(told.unknown == 0 && decided * 100 > told.acknowledged.len() * 95, "{decided} of {}", told.acknowledged.len());
    // Of the replay, which is what was emitted.
    let mut judging: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
    for line in cluster.read("oracle.jsonl").split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let decision: Value = serde_json::from_slice(line).expect("JSON");
        let number = |value: &Value| value.as_u64().expect("a number");
        let (position, version) = (&decision["position"], number(&decision["rule_book"]["version"]));
        let before = judging.entry(number(&position["partition"])).or_default().insert(number(&position["offset"]), version);
        assert!(before.is_none_or(|before| before == version), "an amendment is judged by the book of its quote");
    }
    assert_eq!(judging.len(), PARTITIONS as usize);
    for (partition, by_offset) in judging {
        let versions: Vec<u64> = by_offset.into_values().collect();
        assert!(versions.is_sorted(), "partition {partition}: {versions:?}");
        let distinct = BTreeSet::from_iter(versions).len();
        assert!(distinct > RELOADS as usize / 4, "partition {partition} was judged by {distinct} of {RELOADS} books");
    }
}

#[test]
fn who_takes_over_tells_the_partitions_of_a_book_whose_publisher_has_died() {
    let cluster = Cluster::start();
    let log = cluster.path("faults.log");
    let mut doomed = cluster.spawn(&[("QUOTEGUARD_FAULT", "book_published:1"), ("QUOTEGUARD_FAULT_LOG", &log)]);
    doomed.await_ready();
    assert_eq!(doomed.post("/v1/rules/activate", &files(&rule(1)).to_string()), None, "it has died");
    doomed.await_death();
    assert_eq!(cluster.read("faults.log"), b"book_published 1\n");
    let service = cluster.serve();
    for tenant in tenants() {
        let mut form = crate::quotes::quote("after");
        form["tenant"] = tenant.as_str().into();
        assert_eq!(service.check(form.to_string().as_bytes()).expect("answered").0, 200, "{tenant}");
        let path = format!("/v1/decisions/after?tenant={tenant}");
        crate::app::until("the decision is published", || service.get(&path).is_some_and(|(status, _)| status == 200));
        let decision: Value = serde_json::from_str(&service.get(&path).expect("answered").1).expect("JSON");
        assert_eq!(decision["rule_book"]["version"], 2, "{tenant}");
    }
    // The same again changes nothing.
    let (status, said) = service.post("/v1/rules/activate", &files(&rule(1)).to_string()).expect("answered");
    assert_eq!((status, said.contains("in_force")), (200, true), "{said}");
}
