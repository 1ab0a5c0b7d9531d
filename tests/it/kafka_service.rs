//! The service over a real Kafka and a real Redis.

use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::app::{BINARY, TestApp, eventually};
use crate::quotes::quote;
use crate::servers::{kafka, redis, unique};

/// Topics and a group of its own, made by the command that people use.
fn topics() -> (Arc<TempDir>, String) {
    let name = unique("service");
    let topic = |key: &str, kind: &str| format!("{key} = \"{name}.{kind}\"\n");
    let config = format!(
        "[http]\nanswer_timeout_ms = 30000\n[kafka]\nbrokers = \"{}\"\ngroup = \"{name}\"\nsession_timeout_ms = 1000\ncheckpoint_ms = 100\n\
         [kafka.topics]\n{}{}{}{}{}[redis]\nurl = \"{}\"\n",
        kafka(),
        topic("quotes", "quotes"),
        topic("decisions", "decisions"),
        topic("dead_letters", "dlq"),
        topic("control", "control"),
        topic("referrals", "referrals"),
        redis(),
    );
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("quoteguard.toml"), &config).expect("written");
    let create = ["topics", "create", "--partitions", "3"];
    let made = Command::new(BINARY).args(create).current_dir(dir.path()).output().expect("runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (Arc::new(dir), config)
}

async fn tweak(app: &TestApp, number: u32) -> Value {
    let mut form = quote(&format!("q-{number}"));
    form["vehicle"]["vin"] = format!("XTA219010K012{number}4{number}6").into();
    let answer = app.check(&form).await.expect("answered");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_before_a_kill_is_counted_after_it() {
    let (dir, config) = topics();
    let app = TestApp::start_in(dir, &config).await;
    for number in 1..=3 {
        assert_ne!(tweak(&app, number).await["decision"], "refer", "{number}");
    }
    let referred = tweak(&app, 4).await;
    assert_eq!(referred["decision"], "refer");
    let dir = app.kill().await;

    let app = TestApp::start_in(dir, &config).await;
    let again = tweak(&app, 5).await;
    assert_eq!((&again["decision"], &again["referral_id"]), (&referred["decision"], &referred["referral_id"]));
    // What is published is read back from the topic, the decisions of the process before among it.
    let published = async |id: &str| app.get(&format!("/v1/decisions/{id}")).await.expect("answered");
    eventually("the decision is published", async || published("q-5").await.status == 200).await;
    let (told, before) = (published("q-5").await.json(), published("q-4").await.json());
    assert_eq!(told["linked_total"], 4, "{told}");
    assert_eq!(told["suspicious_attempts"], 4, "{told}");
    assert_eq!(before["decision_id"], referred["decision_id"]);
    let (_, status) = app.stop().await;
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_yet_is_refused_in_words() {
    let (dir, config) = topics();
    std::fs::write(dir.path().join("quoteguard.toml"), config.replace("[kafka]\n", "[kafka]\nwhen_down = \"fail_open\"\n"))
        .expect("written");
    let refused = Command::new(BINARY).args(["serve", "--listen", "127.0.0.1:0"]).current_dir(dir.path()).output().expect("runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("kafka.when_down"), "{said}");
}
