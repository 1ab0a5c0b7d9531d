//! When the store stands still: nothing is lost, nothing is promised that is not kept.

use axum::http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::app::{TestApp, column, connect, eventually};
use crate::quotes::quote;
use crate::rules_live::{files, in_force, post, rule};

#[tokio::test]
async fn a_stalled_store_delays_answers_sheds_the_rest_and_loses_nothing() {
    let app = TestApp::start("[http]\nanswer_timeout_ms = 300\n[limits]\nqueue_max = 1\n").await;
    let mut blocker = connect(&app.database()).await;
    let lock = blocker.begin_with("BEGIN IMMEDIATE").await.expect("locks the file");

    // One in the writer's hands, one in the queue: both are accepted and wait.
    let first = app.check(&quote("q-1")).await.expect("answers");
    assert_eq!((first.status.as_u16(), first.header("location")), (202, "/v1/decisions/q-1"));
    let second = app.check(&quote("q-2")).await.expect("answers");
    assert_eq!(second.status, 202);
    let pending = app.get("/v1/decisions/q-1").await.expect("answers");
    assert_eq!((pending.status.as_u16(), pending.json()), (202, json!({"quote_id": "q-1"})));

    // No room: refused before it is accepted.
    let third = app.check(&quote("q-3")).await.expect("answers");
    assert_eq!((third.status.as_u16(), third.header("retry-after")), (503, "1"));
    eventually("readiness goes down", async || app.get("/readyz").await.is_ok_and(|a| a.status == 503)).await;
    assert_eq!(app.get("/livez").await.expect("answers").status, 200);
    assert_eq!(app.get("/v1/decisions/q-3").await.expect("answers").status, 404);

    lock.rollback().await.expect("unlocks");
    for id in ["q-1", "q-2"] {
        let path = format!("/v1/decisions/{id}");
        eventually("the decision is there", async || app.get(&path).await.is_ok_and(|a| a.status == 200)).await;
    }
    eventually("readiness comes back", async || app.get("/readyz").await.is_ok_and(|a| a.status == 200)).await;
    assert!(app.metric(r#"quoteguard_checkpoint_failures_total{kind="commit"}"#).await >= 1.0);
    let logged = column(&app.database(), "SELECT quote_id FROM decisions ORDER BY offset").await;
    assert_eq!(logged, ["q-1", "q-2"]);
}

#[tokio::test]
async fn a_client_that_floods_is_shed_and_another_finds_room() {
    let keys = "[[http.keys]]\nname = 'flood'\ntenant = 'a'\nkey = 'flooding-battery'\n\
                [[http.keys]]\nname = 'other'\ntenant = 'b'\nkey = 'patient-battery-1'\n";
    let limits = "[http]\nanswer_timeout_ms = 20\n[limits]\nqueue_max = 8\nqueue_client_max = 2\n";
    let app = TestApp::start(&format!("{limits}{keys}")).await;
    let send = async |form: &Value, key: &str| {
        let request = Request::post(app.url("/v1/quotes/check")).header("content-type", "application/json");
        let request = request.header("x-api-key", key).body(Full::new(form.to_string().into())).expect("a request");
        app.send(request).await.expect("answers")
    };
    let mut blocker = connect(&app.database()).await;
    let lock = blocker.begin_with("BEGIN IMMEDIATE").await.expect("locks the file");
    // The first in the writer's hands, the next two wait.
    assert_eq!(send(&quote("q-1"), "flooding-battery").await.status, 202);
    eventually("the writer has it", async || app.metric("quoteguard_queue_jobs").await < 1.0).await;
    for id in ["q-2", "q-3"] {
        assert_eq!(send(&quote(id), "flooding-battery").await.status, 202, "{id}");
    }
    let form = quote("q-4");
    let shed = send(&form, "flooding-battery").await;
    assert_eq!((shed.status.as_u16(), shed.header("retry-after")), (429, "1"), "{}", shed.json());
    assert_eq!(shed.json()["type"], "urn:quoteguard:problem:too-many-requests");
    assert_eq!(send(&quote("q-5"), "patient-battery-1").await.status, 202);
    lock.rollback().await.expect("unlocks");
    eventually("the queue is empty", async || send(&form, "flooding-battery").await.status == 200).await;
    let logged = column(&app.database(), "SELECT quote_id FROM decisions ORDER BY offset").await;
    assert_eq!(logged, ["q-1", "q-2", "q-3", "q-5", "q-4"]);
}

#[tokio::test]
async fn a_refusal_after_a_202_is_told_where_the_decision_would_have_been() {
    let app = TestApp::start("[http]\nanswer_timeout_ms = 200\n").await;
    let form = quote("q-1");
    assert_eq!(app.check(&form).await.expect("answers").status, 200);
    let mut blocker = connect(&app.database()).await;
    let lock = blocker.begin_with("BEGIN IMMEDIATE").await.expect("locks the file");
    let (mut other, mut old) = (form.clone(), quote("q-old"));
    other["premium"] = json!(1);
    old["submitted_at"] = json!("2001-01-01T00:00:00Z");
    for form in [&other, &old] {
        let answer = app.check(form).await.expect("answers");
        let location = format!("/v1/decisions/{}", form["quote_id"].as_str().expect("an id"));
        assert_eq!((answer.status.as_u16(), answer.header("location")), (202, &*location));
        assert_eq!(app.get(&location).await.expect("answers").status, 202, "not another body's decision");
    }
    lock.rollback().await.expect("unlocks");
    let known = async |id: &str| {
        let path = format!("/v1/decisions/{id}");
        eventually("it is known", async || app.get(&path).await.is_ok_and(|a| a.status != 202)).await;
        app.get(&path).await.expect("answers")
    };
    let stands = known("q-1").await;
    assert_eq!(
        (stands.status.as_u16(), &stands.json()["revision"]),
        (200, &json!(1)),
        "under an id reused the first form stands"
    );
    let refused = known("q-old").await;
    let problem = refused.json();
    assert_eq!((refused.status.as_u16(), refused.header("content-type")), (422, "application/problem+json"), "{problem}");
    assert_eq!(problem["type"], "urn:quoteguard:problem:invalid-fields");
    // The newest word on an id counts.
    assert_eq!(app.check(&form).await.expect("answers").status, 200);
    assert_eq!(app.get("/v1/decisions/q-1").await.expect("answers").status, 200);
    old["submitted_at"] = quote("q")["submitted_at"].clone();
    assert_eq!(app.check(&old).await.expect("answers").status, 200);
    assert_eq!(app.get("/v1/decisions/q-old").await.expect("answers").status, 200);
}

#[tokio::test]
async fn two_services_do_not_share_a_file() {
    let app = TestApp::start("").await;
    let second = tokio::process::Command::new(crate::app::BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--data", "quoteguard.db"])
        .current_dir(app.dir.path())
        .output();
    let second = second.await.expect("runs");
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("is in use by another quoteguard"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_rules_waits_no_longer_than_a_check_and_a_save_as_long_as_it_must() {
    let rules = tempfile::tempdir().expect("a folder");
    let file = rules.path().join("many.yaml");
    std::fs::write(&file, rule(1)).expect("written");
    let app = TestApp::start(&format!("[http]\nanswer_timeout_ms = 300\n[rules]\ndir = '{}'\n", rules.path().display())).await;
    eventually("the folder was read", async || in_force(&app).await["reload"]["state"] == "done").await;
    let mut blocker = connect(&app.database()).await;
    let lock = blocker.begin_with("BEGIN IMMEDIATE").await.expect("locks the file");
    assert_eq!(app.check(&quote("q-1")).await.expect("answers").status, 202);
    // The first waits for the log, the next for the first.
    for version in [2, 3] {
        let refused = post(&app, "/v1/rules/activate", &files(&rule(version))).await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"), "{}", refused.json());
        assert!(refused.json()["detail"].as_str().is_some_and(|said| said.contains("look at the last version")));
    }
    assert_eq!(in_force(&app).await["version"], 1, "who only looks is answered");
    std::fs::write(&file, rule(5)).expect("written");
    lock.rollback().await.expect("unlocks");
    // The save was made from version 1. Should one of the others be in force by then, it waits for another save, and is not lost.
    eventually("the folder was dealt with", async || {
        let now = in_force(&app).await;
        now["by"] == "folder" || now["reload"]["state"] == "refused"
    })
    .await;
    std::fs::write(&file, rule(6)).expect("written");
    let now = async || in_force(&app).await;
    eventually("the next save is in force", async || now().await["by"] == "folder" && now().await["rules"][0]["version"] == 6)
        .await;
    let versions = app.get("/v1/rules/versions").await.expect("answers").json();
    let numbers: Vec<_> = versions.as_array().expect("a list").iter().rev().map(|version| version["version"].clone()).collect();
    assert!(numbers.iter().zip(1..).all(|(found, expected)| *found == expected), "{numbers:?}");
    assert_eq!(app.check(&quote("q-2")).await.expect("answers").status, 200);
}
