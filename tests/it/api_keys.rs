//! API keys of a running service: made, rotated and revoked beside it, by the command that people use; and how often each may ask.

#[cfg(all(feature = "postgres", feature = "kafka", feature = "redis"))]
mod postgres;
mod rates;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use axum::http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::app::{Answer, TestApp, column, eventually};
use crate::commands::{run, text};
use crate::quotes::quote;

/// Sends a form with this key, or without one.
pub async fn check(app: &TestApp, form: &Value, key: &str) -> Answer {
    send(app, "POST", "/v1/quotes/check", key, form).await
}

async fn send(app: &TestApp, method: &str, path: &str, key: &str, body: &Value) -> Answer {
    let mut request = Request::builder().method(method).uri(app.url(path)).header("content-type", "application/json");
    if !key.is_empty() {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    app.send(request.body(Full::new(body.to_string().into())).expect("a request")).await.expect("answers")
}

/// What another form without a key, or with this one, is answered.
pub async fn status(app: &TestApp, key: &str) -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let form = quote(&format!("n-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    check(app, &form, key).await.status.as_u16()
}

/// `quoteguard api-keys` beside the service: what it says on stdout; or on stderr, where it fails.
pub fn api_keys(app: &TestApp, args: &[&str]) -> Result<String, String> {
    let done = run(app.dir.path(), &[&["api-keys"], args, &["--data", "quoteguard.db"]].concat(), b"");
    match done.status.code() {
        Some(0) => Ok(text(&done.stdout).trim_end().to_owned()),
        _ => Err(text(&done.stderr)),
    }
}

fn create(app: &TestApp, name: &str, more: &[&str]) -> String {
    api_keys(app, &[&["create", "--name", name], more].concat()).expect("is made")
}

pub fn id(key: &str) -> &str {
    &key[3..15]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_closes_the_api_when_that_is_said_and_the_last_one_does_not_open_it() {
    let app = TestApp::start("").await;
    assert_eq!(status(&app, "").await, 200, "on loopback everybody may");
    let refused = api_keys(&app, &["create", "--name", "site"]).expect_err("is not meant");
    assert!(refused.contains("--close-api") && refused.contains("whoever has no key is refused"), "{refused}");
    assert_eq!(status(&app, "").await, 200, "nothing was done");

    let key = create(&app, "site", &["--close-api"]);
    assert_eq!((key.len(), &key[..3]), (88, "qg_"), "{key}");
    let began = Instant::now();
    eventually("the key opens", async || status(&app, &key).await == 200 && status(&app, "").await == 401).await;
    assert!(began.elapsed().as_millis() < 2_000, "within a second, and some time for this machine: {:?}", began.elapsed());
    let told = check(&app, &quote("q-1"), &key[..60]).await.json();
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("checksum")), "{told}");

    assert_eq!(api_keys(&app, &["revoke", id(&key)]), Ok(format!("{} is revoked", id(&key))));
    let began = Instant::now();
    eventually("it opens nothing", async || status(&app, &key).await == 401).await;
    assert!(began.elapsed().as_millis() < 2_000, "{:?}", began.elapsed());
    let told = check(&app, &quote("q-1"), &key).await.json();
    let named = format!("the key qg_{} is not in force", id(&key));
    assert!(told["detail"].as_str().is_some_and(|detail| detail.starts_with(&named) && !detail.contains(&key[16..])), "{told}");
    assert_eq!(status(&app, "").await, 401, "nobody asks without a key any more");

    let dir = app.kill().await;
    let app = TestApp::start_in(dir, "").await;
    assert_eq!((status(&app, "").await, status(&app, &key).await), (401, 401), "nor after a restart");
    let next = create(&app, "site", &[]);
    eventually("another key opens", async || status(&app, &next).await == 200).await;

    let desk = app.dir.path().join("quoteguard-desk.db");
    let acts = column(&desk, "SELECT action || ' ' || subject FROM audit WHERE action LIKE 'key.%' ORDER BY seq").await;
    assert_eq!(
        acts,
        [format!("key.create {}", id(&key)), format!("key.revoke {}", id(&key)), format!("key.create {}", id(&next))]
    );
    let verified = run(app.dir.path(), &["audit", "verify"], b"");
    assert!(text(&verified.stdout).contains("none changed"), "{}{}", text(&verified.stdout), text(&verified.stderr));
    app.terminate();
    let (dir, _, said) = app.wait_and_hear().await;
    for held in [&key, &next] {
        let secret = held[16..80].to_owned();
        assert!(!said.contains(&secret), "the log");
        for file in std::fs::read_dir(dir.path()).expect("reads") {
            // A folder is read as nothing.
            let bytes = std::fs::read(file.expect("an entry").path()).unwrap_or_default();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "only its hash is kept");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_it_may_for_its_tenant() {
    let app = TestApp::start("[http]\nrequire_keys = true\n").await;
    assert_eq!(status(&app, "").await, 401, "closed before there is a key");
    let keys = [
        create(&app, "site", &["--tenant", "north"]),
        create(&app, "analyst", &["--tenant", "north", "--may", "rules"]),
        create(&app, "chief", &["--tenant", "south", "--may", "rulings,checks"]),
    ];
    let ruling = json!({"kind": "erased", "quote_ids": ["q-none"], "comment": "x"});
    let asks = [
        ("POST", "/v1/quotes/check", quote("q-1")),
        ("GET", "/v1/decisions/q-1", json!("")),
        ("GET", "/v1/rules", json!("")),
        ("POST", "/v1/rulings", ruling),
    ];
    let expected = [[true, true, false, false], [false, false, true, false], [true, true, false, true]];
    eventually("the keys are known", async || status(&app, &keys[2]).await == 200).await;
    for (key, may) in keys.iter().zip(expected) {
        for ((method, path, body), may) in asks.iter().zip(may) {
            let answer = send(&app, method, path, key, body).await;
            assert_eq!(answer.status != 403, may, "{path}: {}", answer.json());
            assert!(answer.status != 401, "{path}");
        }
    }
    let mut form = quote("q-2");
    form["tenant"] = json!("south");
    assert_eq!(check(&app, &form, &keys[0]).await.status, 403, "another tenant than the key's");
    assert_eq!(check(&app, &form, &keys[2]).await.status, 200);
    let path = "/v1/decisions/q-2";
    assert_eq!(send(&app, "GET", path, &keys[0], &json!("")).await.status, 404, "and sees nothing of it");
    eventually("the use of a key is noted", async || {
        let used = "SELECT name FROM api_keys WHERE last_used_at >= created_at ORDER BY name";
        column(&app.dir.path().join("quoteguard-desk.db"), used).await == ["analyst", "chief", "site"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_keys_of_a_rotation_hold_until_the_overlap_ends() {
    let site = "[[http.keys]]\nname = 'old-site'\ntenant = 'north'\nkey = 'correct-horse-battery'\n";
    let app = TestApp::start(site).await;
    let first = create(&app, "site", &["--tenant", "north"]);
    eventually("it opens", async || status(&app, &first).await == 200).await;
    assert_eq!(status(&app, "correct-horse-battery").await, 200, "as does the one of the configuration");
    let second = api_keys(&app, &["rotate", id(&first)]).expect("rotated");
    eventually("the new one opens", async || status(&app, &second).await == 200).await;
    assert_eq!(status(&app, &first).await, 200, "and the old one still does");
    let again = api_keys(&app, &["rotate", id(&first)]).expect_err("was done");
    assert!(again.contains("another key has taken its place"), "{again}");
    let third = api_keys(&app, &["rotate", id(&second), "--overlap-hours", "0"]).expect("rotated");
    eventually("the third opens", async || status(&app, &third).await == 200).await;
    eventually("the second has ended", async || status(&app, &second).await == 401).await;

    // As if the day were over.
    let desk = app.dir.path().join("quoteguard-desk.db");
    for sql in ["UPDATE api_keys SET expires_at = 1 WHERE rotated_from IS NULL", "UPDATE api_keys_head SET version = version + 1"]
    {
        sqlx::query(sql).execute(&mut crate::app::connect(&desk).await).await.expect("written");
    }
    eventually("the first has ended", async || status(&app, &first).await == 401).await;
    assert_eq!((status(&app, &third).await, status(&app, "correct-horse-battery").await), (200, 200));
}

/// The columns of the list, what differs from run to run by its form.
fn masked(list: &str) -> String {
    let form = |word: &str| match word {
        word if word.len() == 12 && word.bytes().all(|b| b.is_ascii_hexdigit()) => "<id>".to_owned(),
        word if word.starts_with("20") && word.ends_with('Z') => "<time>".to_owned(),
        word => word.to_owned(),
    };
    let line = |line: &str| line.split_whitespace().map(form).collect::<Vec<_>>().join(" ");
    list.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_there_is_and_what_is_wrong() {
    let app = TestApp::start("").await;
    create(&app, "site", &["--close-api", "--rate-per-sec", "50", "--burst", "75", "--expires-days", "30"]);
    let analyst = create(&app, "analyst", &["--tenant", "north", "--may", "rulings,rules,rules", "--rate-per-sec", "0"]);
    let chief = create(&app, "chief", &[]);
    api_keys(&app, &["rotate", &format!("qg_{}", id(&chief))]).expect("rotated");
    api_keys(&app, &["revoke", id(&analyst)]).expect("revoked");
    let list = masked(&api_keys(&app, &["list"]).expect("listed"));
    let expected = "ID NAME TENANT MAY RATE STATE CREATED EXPIRES LAST USED\n\
        <id> chief default checks - in force <time> - -\n\
        <id> chief default checks - replaced <time> <time> -\n\
        <id> site default checks 50/s, 75 in force <time> <time> -\n\
        <id> analyst north rules,rulings none revoked <time> - -";
    assert_eq!(list, expected);
    for (args, said) in [
        (&["create", "--name", "chief"][..], "a key of this name is in force"),
        (&["create", "--name", "Chief!"], "a name has 2 to 64 of a-z"),
        (&["create", "--name", "anyone"], "is not start, folder, breaker or anyone"),
        (&["create", "--name", "x1", "--may", "everything"], "possible values: checks, rules, rulings"),
        (&["create", "--name", "x1", "--tenant", ""], "a tenant has 1 to 64 characters"),
        (&["create", "--name", "x1", "--expires-days", "0"], "a key lives for 1 to 3650 days"),
        (&["create", "--name", "x1", "--burst", "5"], "--rate-per-sec"),
        (&["revoke", id(&analyst)], "not in force any more"),
        (&["revoke", "000000000000"], "there is no such key"),
        (&["revoke", &chief], "an id is the 12 digits after `qg_`"),
        (&["rotate", id(&chief), "--overlap-hours", "721"], "0..=720"),
    ] {
        let heard = api_keys(&app, args).expect_err("refused");
        assert!(heard.contains(said), "{args:?}: {heard}");
    }
    let help = text(&run(app.dir.path(), &["--help"], b"").stdout);
    let line = help.lines().find(|line| line.trim().starts_with("api-keys ")).expect("is listed");
    assert!(line.contains("clients of the API"), "{line}");
}
