//! Alerts fired for real: a fault is caused in a running service, and the team is told at its webhook.

use std::fs;
use std::sync::Arc;

use time::OffsetDateTime;

use super::monitoring::Monitoring;
use crate::app::{TestApp, eventually};
use crate::kafka_service::Place;
use crate::quotes::{quote, quote_at};
use crate::rules_live::{banded, comes, rule};
use crate::servers::{Kind, Private};

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_bad_rules_a_picking_surge_a_tripped_rule_and_a_dead_service_are_told() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for folder in ["in", "book"] {
        fs::create_dir(dir.path().join(folder)).expect("a folder");
    }
    for (name, text) in quoteguard::contract::rule_file::SHIPPED {
        let file = dir.path().join("book").join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    }
    let app = TestApp::start_in(
        Arc::new(dir),
        "[watch]\ndir = 'in'\npoll_ms = 20\n[rules]\ndir = 'book'\nbreaker_window_secs = 60\nbreaker_applicants_min = 5\n",
    )
    .await;
    let at = |file: &str| app.dir.path().join(file);
    let instance = app.addr.to_string();
    let monitoring = Monitoring::start(&[app.addr]).await;
    assert_eq!(monitoring.fired(), [].into());

    fs::write(at("in/bad.jsonl"), "no json\n").expect("written");
    monitoring.fires("ops", "DeadLetters", &[("reason", "not_json"), ("severity", "warning")]).await;

    fs::write(at("book/many.yaml"), rule(1).replace("attempts(", "atempts(")).expect("written");
    let reload = [("instance", &*instance)];
    monitoring.fires("ops", "RulesetReloadFailed", &reload).await;
    fs::write(at("book/many.yaml"), rule(1)).expect("written");
    monitoring.resolves("ops", "RulesetReloadFailed", &reload).await;

    for person in 1..=12 {
        for number in 1..=5 {
            let mut form = quote_at(&format!("q-{person}-{number}"), OffsetDateTime::now_utc(), person);
            form["vehicle"]["vin"] = format!("XTA219010K{person:02}{number}4{number}16").into();
            assert_eq!(app.check(&form).await.expect("answers").status, 200);
        }
    }
    let opened: f64 = app.sum("quoteguard_referred_applicants_total").await;
    assert!(opened >= 10.0, "{opened} applicants were referred");
    let surge = monitoring.fires("fraud", "PickingSurge", &[("severity", "warning")]).await;
    assert_eq!(surge.labels["job"], "quoteguard");

    // Everybody who comes twice is referred.
    fs::write(at("book/wild.yaml"), banded("wild", 1, "")).expect("written");
    let mut person = 1_000;
    eventually("the breaker has acted", async || {
        person += 1;
        comes(&app, person, "osago", 1).await;
        comes(&app, person, "osago", 2).await;
        app.metric("quoteguard_rule_breaker_trips_total{rule=\"wild\"}").await == 1.0
    })
    .await;
    monitoring.fires("fraud", "RuleTripped", &[("rule", "wild"), ("severity", "warning")]).await;

    app.kill().await;
    let down = monitoring.fires("ops", "Down", &[("instance", &instance), ("severity", "critical")]).await;
    assert_eq!(down.annotations["summary"], format!("{instance} does not answer"));
    let mut fired = monitoring.fired();
    // The disk of a busy machine may be slower than the service level.
    fired.remove("ErrorBudgetBurnFast");
    let expected = ["DeadLetters", "Down", "PickingSurge", "RuleTripped", "RulesetReloadFailed"];
    assert_eq!(fired, expected.map(str::to_owned).into(), "nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_and_the_partition_that_waits_for_it_are_told() {
    let store = Private::start(Kind::Redis, &[]);
    let redis = format!("url = \"{}\"\n", store.url());
    let settings = "session_timeout_ms = 1000\ncheckpoint_debt_max = 3\n";
    let (dir, config) = Place { redis, settings, http: "answer_timeout_ms = 300\n", ..Place::default() }.topics();
    let app = TestApp::start_in(dir, &config).await;
    let instance = app.addr.to_string();
    let monitoring = Monitoring::start(&[app.addr]).await;
    let check = async |number: u32| app.check(&quote(&format!("q-{number}"))).await.expect("answers").status.as_u16();
    eventually("a checkpoint is kept", async || {
        assert_eq!(check(0).await, 200);
        app.metric("quoteguard_store_up{store=\"redis\"}").await == 1.0
    })
    .await;
    assert_eq!(monitoring.fired(), [].into());

    store.kill();
    let mut number = 1;
    // Decided until the debt is full, then accepted and not decided.
    eventually("the partition waits", async || {
        number += 1;
        check(number).await == 202
    })
    .await;
    for more in 1..=5 {
        assert_eq!(check(number + more).await, 202);
    }
    let of_redis = [("instance", &*instance), ("store", "redis"), ("severity", "critical")];
    monitoring.fires("ops", "StoreDown", &of_redis).await;
    let stalled = monitoring.fires("ops", "ConsumerStalled", &[("instance", &instance)]).await;
    assert!(stalled.labels["partition"].is_string());

    store.restart();
    monitoring.resolves("ops", "StoreDown", &of_redis).await;
    monitoring.resolves("ops", "ConsumerStalled", &[("instance", &instance)]).await;
    let last = format!("/v1/decisions/q-{}", number + 5);
    eventually("what waited is decided", async || app.get(&last).await.is_ok_and(|answer| answer.status == 200)).await;
    assert!(app.stop().await.1.success());
}
