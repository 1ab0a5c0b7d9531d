//! Pipelines held by an operator: nothing is taken, nothing is lost, and a restart forgets no order.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::app::{BINARY, TestApp, column, eventually};
use crate::quotes::{history, lines, quote};

const WATCH: &str = "[watch]\ndir = 'in'\npoll_ms = 20\n";

/// `quoteguard pipelines …` against the service.
pub fn command(app: &TestApp, args: &[&str]) -> Output {
    Command::new(BINARY).arg("pipelines").args(args).args(["--url", &app.url("")]).output().expect("runs")
}

/// The service goes on serving meanwhile.
async fn run(app: &TestApp, args: &[&str]) -> String {
    let output = tokio::task::block_in_place(|| command(app, args));
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// One pipeline as the API tells it.
pub async fn pipeline(app: &TestApp, name: &str) -> Value {
    let all = app.get("/v1/ops/pipelines").await.expect("answers").json();
    let found = all.as_array().expect("a list").iter().find(|pipeline| pipeline["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("{name} is not in {all}"))
}

async fn logged(database: &Path) -> usize {
    column(database, "SELECT CAST(offset AS TEXT) FROM log WHERE kind = 0").await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_that_are_paused_are_refused_until_they_are_resumed_whatever_restarts() {
    let app = TestApp::start("").await;
    assert_eq!(app.check(&quote("before")).await.expect("answered").status, 200);
    assert_eq!(run(&app, &["pause", "http"]).await, "http is paused\n");
    let refused = async |app: &TestApp, id: &str| {
        let answer = app.check(&quote(id)).await.expect("answered");
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{answer:?}");
        assert_eq!(app.get("/readyz").await.expect("answers").status, 503);
        assert!((app.metric("quoteguard_pipeline_paused{pipeline=\"http\"}").await - 1.0).abs() < f64::EPSILON);
    };
    refused(&app, "paused").await;

    let app = TestApp::start_listening(app.kill().await, "").await;
    eventually("the window is loaded", async || {
        let ready = app.get("/readyz").await.expect("answers");
        String::from_utf8_lossy(&ready.body).contains("held by an operator")
    })
    .await;
    refused(&app, "paused").await;
    assert!(run(&app, &["list"]).await.contains("paused"));
    assert_eq!(run(&app, &["resume", "http"]).await, "http is running\n");
    assert_eq!(app.check(&quote("paused")).await.expect("answered").status, 200);
    assert_eq!(logged(&app.database()).await, 2, "what was refused is not in the log");
    assert!(!command(&app, &["pause", "nothing"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_drained_stands_still_and_is_read_on_without_loss() {
    let quotes = history(5, 3_000);
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(dir.path().join("in")).expect("a folder");
    let mut app = TestApp::start_in(dir.into(), WATCH).await;
    let path = app.dir.path().join("in/a.jsonl");
    let half = quotes.len() / 2;
    fs::write(&path, lines(&quotes[..half])).expect("written");
    eventually("a part is read", async || logged(&app.database()).await > 100).await;
    assert_eq!(run(&app, &["drain", "watch"]).await, "watch is stopped\n");
    let mut file = OpenOptions::new().append(true).open(&path).expect("opens");
    file.write_all(lines(&quotes[half..]).as_bytes()).expect("written");
    let taken = logged(&app.database()).await;
    let stopped = pipeline(&app, "watch").await;
    assert_eq!(stopped["position"], format!("a.jsonl:{taken}"), "drained means durable: {stopped}");

    app = TestApp::start_in(app.kill().await, WATCH).await;
    eventually("it is drained again", async || pipeline(&app, "watch").await["state"] == "stopped").await;
    assert_eq!(app.check(&quote("http")).await.expect("answered").status, 200, "the others go on");
    assert_eq!(logged(&app.database()).await, taken + 1, "nothing is taken under an order of before");
    assert_eq!(run(&app, &["resume", "watch"]).await, "watch is running\n");
    eventually("all is read", async || logged(&app.database()).await > quotes.len()).await;
    let (dir, status) = app.stop().await;
    assert!(status.success(), "{status}");
    assert_eq!(logged(&dir.path().join("quoteguard.db")).await, quotes.len() + 1, "no line twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_key_that_may_operate_gives_orders() {
    let key = |name: &str, may: &str| {
        format!("[[http.keys]]\nname = '{name}'\ntenant = 't'\nkey = 'key-of-{name}-0123456789'\nmay = ['{may}']\n")
    };
    let app = TestApp::start(&format!("{}{}", key("site", "checks"), key("operator", "ops"))).await;
    let post = async |key: Option<&str>| {
        let mut request = axum::http::Request::post(app.url("/v1/ops/pipelines/http/pause"));
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        app.send(request.body(Default::default()).expect("a request")).await.expect("answered").status.as_u16()
    };
    assert_eq!(post(None).await, 401);
    assert_eq!(post(Some("key-of-site-0123456789")).await, 403);
    assert_eq!(post(Some("key-of-operator-0123456789")).await, 200);
}

/// Over Kafka: the partition stays ours, its checks are refused before they are in the log, its checkpoint has all that was taken.
#[cfg(all(feature = "kafka", feature = "redis"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_held_without_leaving_the_group() {
    use crate::kafka_service::{Place, tweak};

    let (dir, config) = Place::default().topics();
    let app = TestApp::start_in(dir, &config).await;
    let before = tweak(&app, 1).await;
    let id = before["quote_id"].as_str().expect("an id").to_owned();
    eventually("it is published", async || app.get(&format!("/v1/decisions/{id}")).await.expect("answers").status == 200).await;
    let decision = app.get(&format!("/v1/decisions/{id}")).await.expect("answers").json();
    let name = format!("kafka-{}", decision["position"]["partition"]);
    let after = decision["position"]["offset"].as_u64().expect("an offset") + 1;
    assert_eq!(run(&app, &["drain", &name]).await, format!("{name} is stopped\n"));
    let answer = app.check(&quote("held")).await.expect("answered");
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{answer:?}");
    eventually("its position is told", async || {
        pipeline(&app, &name).await["position"].as_str().and_then(|at| at.parse::<u64>().ok()) >= Some(after)
    })
    .await;

    let app = TestApp::start_in(app.kill().await, &config).await;
    eventually("the order is kept", async || pipeline(&app, &name).await["state"] == "stopped").await;
    assert_eq!(app.check(&quote("held")).await.expect("answered").status, 503);
    assert_eq!(run(&app, &["resume", &name]).await, format!("{name} is running\n"));
    assert_eq!(tweak(&app, 2).await["decision"], "accept");
    let published = async || app.get("/v1/decisions/q-2").await.expect("answers");
    eventually("it is published", async || published().await.status == 200).await;
    assert_eq!(published().await.json()["linked_total"], 1, "what was decided before is there");
}
