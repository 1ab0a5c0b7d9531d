//! The desk of a service over a topic.

use std::ops::ControlFlow;

use quoteguard::adapters::kafka::{From, Topic, read};
use serde_json::Value;

use crate::app::{TestApp, column, eventually};
use crate::faults::cluster::kafka_config;
use crate::kafka_service::{Place, tweak};
use crate::servers::kafka;

/// The values of topic `referrals`, over all partitions.
fn referrals(name: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for partition in 0..4 {
        let take = &mut |record: &quoteguard::adapters::kafka::RawRecord<'_>| {
            found.push(serde_json::from_slice(record.value().expect("a value")).expect("JSON"));
            ControlFlow::Continue(())
        };
        read(&kafka_config(kafka(), name), Topic::Referrals, partition, From::Beginning, take).expect("reads");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_referral_reaches_the_desk_and_the_topic_and_a_kill_loses_nothing() {
    let (dir, config) = Place::default().topics();
    let app = TestApp::start_in(dir, &config).await;
    let mut last = Value::Null;
    for number in 1..=5 {
        last = tweak(&app, number).await;
    }
    let path = format!("/v1/referrals/{}", last["referral_id"].as_str().expect("referred"));
    let is_whole = async |app: &TestApp| {
        app.get(&path)
            .await
            .is_ok_and(|answer| answer.status == 200 && answer.json()["quote_ids"].as_array().is_some_and(|ids| ids.len() == 2))
    };
    eventually("both referred quotes are on the desk", async || is_whole(&app).await).await;
    let referral = app.get(&path).await.expect("answers").json();
    let name = config.lines().find_map(|line| line.strip_prefix("group = ")).expect("a group").trim_matches('"').to_owned();
    let told = async || {
        let name = name.clone();
        tokio::task::spawn_blocking(move || referrals(&name)).await.expect("does not panic")
    };
    eventually("the topic tells of it", async || !told().await.is_empty()).await;
    assert_eq!(told().await[0]["referral_id"], referral["referral_id"]);
    let dir = app.kill().await;
    let app = TestApp::start_in(dir, &config).await;
    tweak(&app, 6).await;
    let desk = app.dir.path().join("quoteguard-desk.db");
    let offsets = "SELECT CAST(count(*) AS TEXT) FROM decisions";
    eventually("the sixth is there, each of them once", async || column(&desk, offsets).await == ["6"]).await;
    assert_eq!(column(&desk, "SELECT CAST(count(*) AS TEXT) FROM forms").await, ["6"]);
    assert_eq!(column(&desk, "SELECT CAST(sum(count) AS TEXT) FROM tallies WHERE kind = 'verdict'").await, ["6"]);
}
