//! What underwriters decide, over HTTP into the log, and what comes of it: for the next quotes, after a kill, in a replay, in a rebuild.

use std::path::Path;

use axum::http::Request;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::app::{Answer, BINARY, TestApp, column};
use crate::quotes::quote_at;

const PUBLISHED: &str = "SELECT CAST(json AS TEXT) FROM decisions ORDER BY rowid";

/// A tweaker's form: each number is another VIN at a lower price.
fn tweaked(id: &str, number: u64) -> Value {
    let mut form = quote_at(id, OffsetDateTime::now_utc(), 7);
    form["vehicle"]["vin"] = json!(format!("XTA219010K01{number:02}456"));
    form["premium"] = json!(10_000 - 400 * number);
    form
}

async fn ask(app: &TestApp, form: &Value) -> Value {
    let answer = app.check(form).await.expect("answers");
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

async fn lineage(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/v1/decisions/{id}")).await.expect("answers").json()
}

async fn rules_of(app: &TestApp, id: &str) -> Vec<String> {
    let decision = lineage(app, id).await;
    let reasons = decision["reasons"].as_array().expect("reasons").iter();
    reasons.map(|reason| reason["rule"].as_str().expect("a rule").to_owned()).collect()
}

async fn rule(app: &TestApp, body: &Value) -> Answer {
    app.post("/v1/rulings", "application/json", body.to_string()).await.expect("answers")
}

async fn ruled(app: &TestApp, body: Value) -> Value {
    let answer = rule(app, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

async fn run(dir: &Path, args: &[&str]) -> String {
    let run = tokio::process::Command::new(BINARY).args(args).current_dir(dir).kill_on_drop(true).output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), run).await.expect("ends").expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The replay of a service's file, and how many decisions a rebuild makes otherwise.
async fn recomputed(dir: &Path) -> (Vec<String>, String) {
    run(dir, &["replay", "quoteguard.db", "--decisions", "out.jsonl"]).await;
    let replayed = std::fs::read_to_string(dir.join("out.jsonl")).expect("written").lines().map(str::to_owned).collect();
    let rebuilt = run(dir, &["rebuild", "--data", "quoteguard.db"]).await;
    let differing = rebuilt.lines().find_map(|line| line.strip_prefix("otherwise than published")).expect("counted");
    (replayed, differing.trim().to_owned())
}

/// The first four forms, of which the last is referred: their ids and the case.
async fn referred(app: &TestApp) -> (Vec<String>, Value) {
    let ids: Vec<String> = (0..4).map(|n| format!("q-{n}")).collect();
    let mut last = Value::Null;
    for (n, id) in (0..).zip(&ids) {
        last = ask(app, &tweaked(id, n)).await;
    }
    assert_eq!(last["decision"], "refer", "{last}");
    (ids, last["referral_id"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ruling_counts_for_the_quotes_after_it_and_outlives_a_kill() {
    let app = TestApp::start("").await;
    let (ids, case) = referred(&app).await;
    let cleared = json!({"ruling_id": "r-1", "kind": "cleared", "case": case, "quote_ids": ids});
    let told = ruled(&app, cleared.clone()).await;
    assert_eq!(told, json!({"ruling_id": "r-1", "position": 5}), "after a rule book and four quotes");
    assert_eq!(ruled(&app, cleared.clone()).await, told, "sent again it is the same ruling");
    let app = TestApp::start_in(app.kill().await, "").await;
    assert_eq!(ruled(&app, cleared.clone()).await, told, "after a kill too");
    let other = rule(&app, &json!({"ruling_id": "r-1", "kind": "confirmed", "case": case, "quote_ids": ids})).await;
    assert_eq!((other.status.as_u16(), &other.json()["type"]), (409, &json!("urn:quoteguard:problem:ruling-id-reused")));

    assert_eq!(ask(&app, &tweaked("same-facts", 3)).await["decision"], "accept");
    assert_eq!(lineage(&app, "same-facts").await["suspicious_attempts"], 0);
    let new = ask(&app, &tweaked("one-more", 4)).await;
    assert_ne!(new["decision"], "refer", "one version more is one suspicious attempt: {new}");

    ruled(&app, json!({"kind": "confirmed", "case": case, "quote_ids": ids})).await;
    let confirmed = ask(&app, &tweaked("confirmed", 5)).await;
    assert_eq!(confirmed["decision"], "refer");
    assert_ne!(confirmed["referral_id"], case, "the case is closed: another one was opened");
    assert!(rules_of(&app, "confirmed").await.contains(&"confirmed-case".to_owned()));

    let app = TestApp::start_in(app.kill().await, "").await;
    ruled(&app, json!({"kind": "reopened", "case": case})).await;
    assert_eq!(ask(&app, &tweaked("reopened", 6)).await["referral_id"], case, "the oldest open case takes it");
    assert!(rules_of(&app, "reopened").await.contains(&"picking-24h".to_owned()));
    ruled(&app, json!({"kind": "snooze", "rule": "picking-24h", "case": case, "quote_ids": ids})).await;
    ask(&app, &tweaked("snoozed", 7)).await;
    assert!(!rules_of(&app, "snoozed").await.contains(&"picking-24h".to_owned()));

    let (dir, status) = app.stop().await;
    assert_eq!(status.code(), Some(0));
    let served = column(&dir.path().join("quoteguard.db"), PUBLISHED).await;
    assert_eq!(recomputed(dir.path()).await, (served, "0".to_owned()), "a replay and a rebuild are byte-identical");
    let app = TestApp::start_in(dir, "").await;
    ask(&app, &tweaked("rebuilt", 8)).await;
    assert!(!rules_of(&app, "rebuilt").await.contains(&"picking-24h".to_owned()), "a rebuilt file knows the snooze");
}

/// Whatever file holds it, as it was written or as it is compared.
fn is_held(dir: &Path, texts: &[&str]) -> bool {
    std::fs::read_dir(dir).expect("listed").any(|file| {
        let bytes = std::fs::read(file.expect("an entry").path()).unwrap_or_default();
        texts.iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_quote_leaves_the_computation_and_the_file() {
    const FORMS: [&str; 2] = ["Стираемова", "стираемова"];
    let app = TestApp::start("").await;
    let (ids, _) = referred(&app).await;
    let mut form = quote_at("gone", OffsetDateTime::now_utc() - Duration::seconds(20), 7);
    form["policyholder"]["last_name"] = json!(FORMS[0]);
    ask(&app, &form).await;
    ask(&app, &form).await;
    let mut reused = form.clone();
    reused["premium"] = json!(1);
    assert_eq!(app.check(&reused).await.expect("answers").status, 409);
    let decided = lineage(&app, "gone").await;
    assert!(is_held(app.dir.path(), &FORMS));

    let erased = json!({"ruling_id": "e", "kind": "erased", "quote_ids": ["gone", ids[0], "never-seen"]});
    let told = ruled(&app, erased.clone()).await;
    assert_eq!(lineage(&app, "gone").await, decided, "what was decided stays");
    let next = ask(&app, &tweaked("next", 3)).await;
    let linked = |decision: Value| -> Vec<String> {
        let linked = decision["linked"].as_array().expect("linked").clone();
        linked.iter().map(|linked| linked["quote_id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(linked(lineage(&app, "next").await), ["q-3", "q-2", "q-1"], "{next}");
    let copies = "SELECT offset || ' ' || kind || ' ' || length(body) FROM log WHERE kind = 2 ORDER BY offset";
    let emptied = ["1 2 0", "5 2 0", "6 2 0", "7 2 0"];
    assert_eq!(column(&app.database(), copies).await, emptied, "the quotes, the duplicate and the refused body");

    // Of those that were loaded before the erasure, nothing is met after it either.
    let app = TestApp::start_in(app.kill().await, "").await;
    assert_eq!(ruled(&app, erased).await, told);
    ask(&app, &tweaked("after-a-kill", 3)).await;
    assert_eq!(linked(lineage(&app, "after-a-kill").await), ["next", "q-3", "q-2", "q-1"]);
    let (dir, status) = app.stop().await;
    assert_eq!(status.code(), Some(0));
    assert!(!is_held(dir.path(), &FORMS), "no page of the file holds it");

    let (_, differing) = recomputed(dir.path()).await;
    assert_ne!(differing, "0", "it is decided as if the erased had never been there");
    let app = TestApp::start_in(dir, "").await;
    assert_eq!(lineage(&app, "gone").await, decided, "a rebuild keeps what was decided on them");
    ask(&app, &tweaked("after-a-rebuild", 3)).await;
    assert_eq!(linked(lineage(&app, "after-a-rebuild").await).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_terminal() {
    let app = TestApp::start("[[http.keys]]\nname = 'desk'\ntenant = 'a'\nkey = '0123456789abcdef'\nmay = ['rulings']\n").await;
    let dir = app.dir.clone();
    std::fs::write(dir.path().join("key"), "0123456789abcdef\n").expect("written");
    let url = app.url("");
    let service = ["--url", url.as_str(), "--key-file", "key"];
    let snooze = ["rules", "snooze", "--rule", "picking-24h", "--case", "R-00000000000000ab", "--quote", "q-1", "--quote", "q-2"];
    let said = run(dir.path(), &[&snooze[..], &service, &["--id", "s-1"]].concat()).await;
    assert_eq!(said, "ruling s-1 is in the log at offset 1\n");
    let said = run(dir.path(), &[&["erase", "--id", "e-1", "q-1", "q-2"], &service[..]].concat()).await;
    assert_eq!(said, "ruling e-1 is in the log at offset 2\n");
    let logged = column(&app.database(), "SELECT CAST(body AS TEXT) FROM log WHERE kind = 3 ORDER BY offset").await;
    let logged: Vec<Value> = logged.iter().map(|json| serde_json::from_str(json).expect("JSON")).collect();
    let told = |ruling: &Value| [&ruling["kind"], &ruling["quote_ids"], &ruling["tenant"], &ruling["rule"]].map(Value::clone);
    assert_eq!(told(&logged[0]), [json!("snooze"), json!(["q-1", "q-2"]), json!("a"), json!("picking-24h")]);
    assert_eq!(told(&logged[1]), [json!("erased"), json!(["q-1", "q-2"]), json!("a"), Value::Null]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_rule_and_what_is_refused() {
    let keys = "[[http.keys]]\nname = 'desk'\ntenant = 'a'\nkey = '0123456789abcdef'\nmay = ['rulings', 'checks']\n\
                [[http.keys]]\nname = 'site'\ntenant = 'a'\nkey = 'fedcba9876543210'\n";
    let app = TestApp::start(keys).await;
    let send = async |key: &str, body: &str| {
        let request = Request::post(app.url("/v1/rulings")).header("content-type", "application/json").header("x-api-key", key);
        app.send(request.body(body.to_owned().into()).expect("a request")).await.expect("answers")
    };
    let desk = "0123456789abcdef";
    let erased = r#"{"kind": "erased", "quote_ids": ["q"]}"#;
    for (key, body, status) in [
        (desk, erased, 200),
        ("fedcba9876543210", erased, 403),
        ("wrong", erased, 401),
        (desk, r#"{"kind": "erased", "quote_ids": ["q"], "tenant": "b"}"#, 403),
        (desk, r#"{"kind": "erased", "quotes": ["q"]}"#, 400),
        (desk, r#"{"kind": "erased", "kind": "cleared", "quote_ids": ["q"]}"#, 400),
        (desk, "no json", 400),
    ] {
        let answer = send(key, body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.json());
    }
    let problem = send(desk, r#"{"kind": "snooze", "case": "R-1", "quote_ids": ["q", ""]}"#).await;
    let problem = (problem.status.as_u16(), problem.json());
    let pointers: Vec<&str> =
        problem.1["errors"].as_array().expect("errors").iter().filter_map(|error| error["pointer"].as_str()).collect();
    assert_eq!((problem.0, pointers), (422, vec!["/case", "/rule", "/quote_ids/1"]), "{}", problem.1);
    let by = column(&app.database(), "SELECT client || ' ' || json_extract(body, '$.by') FROM log WHERE kind = 3").await;
    assert_eq!(by, ["key:desk key:desk"], "the log names the key");
}
