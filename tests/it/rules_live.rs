//! Rules changed while the service runs: over HTTP, by a saved file, by two people, under load.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use axum::http::Request;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::app::{Answer, BINARY, TestApp, column, eventually};
use crate::quotes::{history, instant, quote, quote_at};

/// A rule with another content under each version.
pub fn rule(version: u32) -> String {
    format!(
        "id: many\nversion: {version}\ntitle: Quotes upon quotes\nowner: tests\nmode: live\nreason_code: MANY\n\
         when: attempts(duration(\"24h\")) >= {}\nthen: flag\nreason: {{underwriter: \"{{attempts}} quotes\"}}\n",
        version + 1
    )
}

pub fn files(text: &str) -> Value {
    json!({"files": {"many.yaml": text}})
}

async fn ask(app: &TestApp, key: &str, path: &str, body: Option<&Value>) -> Answer {
    let request = match body {
        Some(_) => Request::post(app.url(path)).header("content-type", "application/json"),
        None => Request::get(app.url(path)),
    };
    let body = body.map(Value::to_string).unwrap_or_default();
    app.send(request.header("x-api-key", key).body(body.into()).expect("a request")).await.expect("answers")
}

pub async fn post(app: &TestApp, path: &str, body: &Value) -> Answer {
    app.post(path, "application/json", body.to_string()).await.expect("answers")
}

pub async fn in_force(app: &TestApp) -> Value {
    app.get("/v1/rules").await.expect("answers").json()
}

/// The version that judges a quote sent now.
async fn judged_by(app: &TestApp, id: &str) -> Value {
    assert_eq!(app.check(&quote(id)).await.expect("answers").status, 200);
    app.get(&format!("/v1/decisions/{id}")).await.expect("answers").json()["rule_book"]["version"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_with_a_history_that_a_restart_keeps() {
    let app = TestApp::start("").await;
    let first = in_force(&app).await;
    assert_eq!((&first["version"], &first["by"]), (&json!(1), &json!("start")));
    assert_eq!(first["rules"].as_array().map(Vec::len), Some(6));
    assert_eq!(judged_by(&app, "a").await, 1);

    let checked = post(&app, "/v1/rules/check", &files(&rule(1))).await;
    assert_eq!((checked.status.as_u16(), &checked.json()["is_in_force"]), (200, &json!(false)));
    let done = post(&app, "/v1/rules/activate", &files(&rule(1))).await.json();
    assert_eq!((&done["status"], &done["version"]), (&json!("activated"), &json!(2)));
    assert_eq!(done["hash"], checked.json()["hash"]);
    assert_eq!(judged_by(&app, "b").await, 2);

    let late = json!({"files": {"many.yaml": rule(2)}, "after": 1});
    let edited = rule(1).replace("Quotes upon", "Edited");
    for (path, body, status, says) in [
        ("activate", files(&rule(1)), 200, "in_force"),
        ("activate", late, 409, "version 2 is the last by now, not 1"),
        ("activate", files(&edited), 422, "give `many` the next `version`"),
        ("activate", files(&rule(2).replace("attempts(", "atempts(")), 422, "many.yaml:7:7: unknown feature `atempts`"),
        ("activate", files(&rule(2).replace("24h", "60d")), 422, "the window is 60d, and quotes are kept for 30d"),
        ("check", files(&rule(2).replace("attempts(", "atempts(")), 422, "did you mean `attempts`"),
        ("activate", json!({"files": {"lists/x.csv": "a\n"}}), 422, "the files hold no rule"),
        ("activate", json!({"files": {}}), 400, "`files` is empty"),
        ("activate", json!({"rules": {}}), 400, "unknown field `rules`"),
        ("rollback", json!({"version": 9}), 404, "the log has no version 9"),
        ("rollback", json!({"version": 1}), 200, "activated"),
        ("rollback", json!({"version": 2}), 200, "activated"),
        ("approve", json!({"hash": "0000000000000000"}), 404, "nobody has proposed"),
        ("approve", json!({"hash": "0"}), 400, "16 hex digits"),
    ] {
        let answer = post(&app, &format!("/v1/rules/{path}"), &body).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status.as_u16() == status && text.contains(says), "{path} {body}: {} {text}", answer.status);
    }
    assert_eq!(judged_by(&app, "c").await, 4);

    // Started again with the shipped book, which the log has had: the last one stays.
    let (dir, _) = app.stop().await;
    let app = TestApp::start_in(dir, "").await;
    assert_eq!(in_force(&app).await["version"], 4);
    let versions = app.get("/v1/rules/versions").await.expect("answers").json();
    let told: Vec<_> = versions.as_array().expect("a list").iter().map(|v| (v["version"].clone(), v["by"].clone())).collect();
    let expected = [(4, "anyone"), (3, "anyone"), (2, "anyone"), (1, "start")];
    assert_eq!(told, expected.map(|(version, by)| (json!(version), json!(by))));
    assert_eq!((&versions[0]["hash"], &versions[1]["hash"]), (&versions[2]["hash"], &versions[3]["hash"]));
    let source = app.get("/v1/rules/versions/2").await.expect("answers").json();
    assert_eq!(source["source"]["rules"][0]["id"], "many");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_in_the_folder_takes_effect_and_what_is_broken_does_not() {
    let rules = tempfile::tempdir().expect("a folder");
    let file = rules.path().join("many.yaml");
    fs::write(&file, rule(1)).expect("written");
    let config = format!("[rules]\ndir = '{}'\n", rules.path().display());
    let app = TestApp::start(&config).await;
    assert_eq!(in_force(&app).await["version"], 1);

    let save = async |text: &str, version: u32, state: &str| {
        let began = Instant::now();
        fs::write(&file, text).expect("written");
        eventually("the folder is read", async || {
            let now = in_force(&app).await;
            now["version"] == version && now["reload"]["state"] == state
        })
        .await;
        println!("version {version} {state} after {} ms", began.elapsed().as_millis());
    };
    save(&rule(2), 2, "done").await;
    assert_eq!(in_force(&app).await["by"], "folder");
    save(&rule(3).replace("attempts(", "atempts("), 2, "refused").await;
    assert_eq!(app.metric("quoteguard_ruleset_last_reload_successful").await, 0.0);
    let error = in_force(&app).await["reload"]["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains("many.yaml:7:7: unknown feature `atempts`"), "{error}");
    assert_eq!(judged_by(&app, "a").await, 2);
    // An edit without a bump is no new version; and the way back is no change.
    save(&rule(2), 2, "done").await;
    save(&rule(2).replace("Quotes upon", "Edited"), 2, "refused").await;
    let error = in_force(&app).await["reload"]["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains("give `many` the next `version`"), "{error}");
    save(&rule(2), 2, "done").await;
    save(&rule(3), 3, "done").await;
    assert_eq!(app.metric("quoteguard_ruleset_last_reload_successful").await, 1.0);
    assert_eq!(judged_by(&app, "b").await, 3);

    // What was put in force by other means stays in force over a restart, as long as the folder does not change.
    let rolled_back = post(&app, "/v1/rules/rollback", &json!({"version": 1})).await;
    assert_eq!(rolled_back.json()["version"], 4);
    let (dir, _) = app.stop().await;
    let app = TestApp::start_in(dir, &config).await;
    assert_eq!(judged_by(&app, "c").await, 4);
    // What changed while nobody looked takes effect at the start.
    let (dir, _) = app.stop().await;
    fs::write(&file, rule(5)).expect("written");
    let app = TestApp::start_in(dir, &config).await;
    assert_eq!(judged_by(&app, "d").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_four_eyes_nobody_changes_the_rules_alone() {
    let key = |name: &str, may: &str| {
        format!("[[http.keys]]\nname = '{name}'\ntenant = 't'\nkey = '{name}-0123456789abcdef'\nmay = {may}\n")
    };
    let rules = tempfile::tempdir().expect("a folder");
    fs::write(rules.path().join("many.yaml"), rule(1)).expect("written");
    let keys = [key("site", "['checks']"), key("anna", "['rules']"), key("boris", "['rules', 'checks']")].concat();
    let config = format!("{keys}[rules]\nfour_eyes = true\ndir = '{}'\n", rules.path().display());
    let app = TestApp::start(&config).await;
    let [site, anna, boris] = ["site", "anna", "boris"].map(|name| format!("{name}-0123456789abcdef"));

    let proposed = ask(&app, &anna, "/v1/rules/activate", Some(&files(&rule(2)))).await;
    assert_eq!((proposed.status.as_u16(), &proposed.json()["status"]), (202, &json!("proposed")));
    let hash = json!({"hash": proposed.json()["hash"]});
    let again = ask(&app, &boris, "/v1/rules/activate", Some(&files(&rule(2)))).await;
    assert_eq!(again.status, 202, "proposing is not approving");
    for (key, path, body, status) in [
        (&anna, "/v1/rules/approve", Some(&hash), 403),
        (&site, "/v1/rules/approve", Some(&hash), 403),
        (&site, "/v1/rules", None, 403),
        (&anna, "/v1/quotes/check", Some(&quote("a")), 403),
        (&anna, "/v1/decisions/a", None, 403),
        (&"wrong".to_owned(), "/v1/rules", None, 401),
    ] {
        assert_eq!(ask(&app, key, path, body).await.status.as_u16(), status, "{path}");
    }
    let waiting = ask(&app, &boris, "/v1/rules", None).await.json();
    assert_eq!((&waiting["version"], &waiting["proposals"][0]["by"]), (&json!(1), &json!("anna")));
    let approved = ask(&app, &boris, "/v1/rules/approve", Some(&hash)).await;
    assert_eq!((approved.status.as_u16(), &approved.json()["version"]), (200, &json!(2)));
    let now = ask(&app, &anna, "/v1/rules", None).await.json();
    assert_eq!((&now["by"], &now["proposals"]), (&json!("anna, approved by boris"), &json!([])));

    // A saved file is a proposal too, and needs two of them: whoever saved it may hold a key.
    let folder = async |app: &TestApp| ask(app, &anna, "/v1/rules", None).await.json()["proposals"][0].clone();
    fs::write(rules.path().join("many.yaml"), rule(3)).expect("written");
    eventually("the folder is proposed", async || folder(&app).await["by"] == "folder").await;
    assert_eq!(folder(&app).await["approvals_needed"], 2);
    let hash = json!({"hash": folder(&app).await["hash"]});
    let one = ask(&app, &boris, "/v1/rules/approve", Some(&hash)).await;
    assert_eq!((one.status.as_u16(), &one.json()["status"]), (202, &json!("proposed")), "{one:?}");
    let app = TestApp::start_in(app.kill().await, &config).await;
    let waiting = folder(&app).await;
    assert_eq!((&waiting["by"], &waiting["approvals_needed"]), (&json!("folder, approved by boris"), &json!(1)));
    assert_eq!(ask(&app, &boris, "/v1/rules/approve", Some(&hash)).await.status, 403, "one person, twice");
    assert_eq!(ask(&app, &anna, "/v1/rules/approve", Some(&hash)).await.json()["version"], 3);
    let now = ask(&app, &anna, "/v1/rules", None).await.json();
    assert_eq!((&now["version"], &now["by"]), (&json!(3), &json!("folder, approved by boris and anna")));

    // One that another book has overtaken is proposed anew.
    fs::write(rules.path().join("many.yaml"), rule(4)).expect("written");
    eventually("the folder is proposed", async || folder(&app).await["by"] == "folder").await;
    let theirs = ask(&app, &anna, "/v1/rules/activate", Some(&files(&rule(5)))).await.json();
    let ours = folder(&app).await["hash"].clone();
    assert_eq!(ask(&app, &boris, "/v1/rules/approve", Some(&json!({"hash": theirs["hash"]}))).await.status, 200);
    assert_eq!(ask(&app, &boris, "/v1/rules/approve", Some(&json!({"hash": ours}))).await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_in_shadow_is_seen_and_a_rule_that_fails_is_counted_and_neither_is_told() {
    let app = TestApp::start("").await;
    let shadow = rule(1).replace("id: many", "id: shadowed").replace("mode: live", "mode: shadow").replace("flag", "refer");
    let fails = rule(1).replace("id: many", "id: fails").replace(">= 2", "/ (attempts(duration(\"24h\")) - 1) >= 2");
    let book = json!({"files": {"shadowed.yaml": shadow, "fails.yaml": fails}});
    assert_eq!(post(&app, "/v1/rules/activate", &book).await.status, 200);
    for id in ["a", "b"] {
        let told = app.check(&quote(id)).await.expect("answers").json();
        assert_eq!((&told["decision"], &told["referral_id"]), (&json!(if id == "a" { "accept" } else { "flag" }), &Value::Null));
    }
    let decision = app.get("/v1/decisions/b").await.expect("answers").json();
    assert_eq!((&decision["shadow"], &decision["reasons"][0]["rule"]), (&json!(["shadowed"]), &json!("fails")));
    let hits =
        in_force(&app).await["rules"].as_array().expect("rules").iter().map(|rule| rule["hits"].clone()).collect::<Vec<_>>();
    assert_eq!(hits, [json!({"live": 0, "shadow": 1, "errors": 0}), json!({"live": 1, "shadow": 0, "errors": 1})]);
}

/// A rule that refers everybody who comes twice, and should refer few.
pub fn banded(id: &str, version: u32, more: &str) -> String {
    let referring = rule(1).replace("id: many\nversion: 1", &format!("id: {id}\nversion: {version}"));
    format!("{}expected: {{referred_pct_max: 5}}\n{more}", referring.replace("then: flag", "then: refer"))
}

/// One who comes for the `time`th time.
pub async fn comes(app: &TestApp, person: u64, product: &str, time: u32) -> Value {
    let mut form = quote_at(&format!("{product}-{person}-{time}"), OffsetDateTime::now_utc(), person);
    form["product"] = product.into();
    app.check(&form).await.expect("answers").json()["decision"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_leaves_its_band_is_taken_out_of_the_answers_unless_it_is_critical() {
    let rules = tempfile::tempdir().expect("a folder");
    let save = |file: &str, text: &str| fs::write(rules.path().join(file), text).expect("written");
    let critical = "critical: true\nproducts: [kasko]\n";
    save("a.yaml", &banded("usual", 1, ""));
    save("b.yaml", &banded("vital", 1, critical));
    let breaker = "breaker_window_secs = 60\nbreaker_applicants_min = 20\n";
    let config = format!("[rules]\ndir = '{}'\n{breaker}", rules.path().display());
    let app = TestApp::start(&config).await;
    // Everybody comes twice, and every second quote is referred. What was counted before its first look is not judged: they come
    // until it has acted.
    let mut person = 0;
    eventually("the breaker has acted", async || {
        person += 1;
        comes(&app, person, "osago", 1).await;
        comes(&app, 100_000 + person, "kasko", 1).await;
        comes(&app, person, "osago", 2).await;
        assert_eq!(comes(&app, 100_000 + person, "kasko", 2).await, "refer", "{person}");
        in_force(&app).await["version"] == 2
    })
    .await;
    let modes = async |app: &TestApp| {
        let now = in_force(app).await;
        let rules = now["rules"].as_array().expect("rules").iter();
        rules.map(|rule| format!("{} v{} {}", rule["id"], rule["version"], rule["mode"]).replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(modes(&app).await, ["usual v1 shadow", "vital v1 live"]);
    let by = in_force(&app).await["by"].as_str().unwrap_or_default().to_owned();
    assert!(by.starts_with("breaker: rule usual referred ") && by.ends_with("%), its band ends at 5 %"), "{by}");
    assert_eq!((comes(&app, 1, "osago", 3).await, comes(&app, 100_001, "kasko", 3).await), (json!("accept"), json!("refer")));
    let metrics = async || String::from_utf8(app.get("/metrics").await.expect("answers").body.to_vec()).expect("text");
    let now = metrics().await;
    for line in [
        "quoteguard_rule_breaker_trips_total{rule=\"usual\"} 1",
        "quoteguard_rule_breaker_trips_total{rule=\"vital\"} 0",
        "quoteguard_rule_outside_band{rule=\"vital\"} 1",
        "quoteguard_rule_band_ratio{rule=\"vital\"} 0.05",
    ] {
        assert!(now.contains(line), "{line} in {now}");
    }
    eventually("it is watched no more", async || !metrics().await.contains("quoteguard_rule_outside_band{rule=\"usual\"}")).await;

    // Another rule of the folder changes: it takes effect, and the one that was taken out stays out, over a restart, too.
    save("b.yaml", &banded("vital", 2, critical));
    eventually("the folder is in force", async || in_force(&app).await["version"] == 3).await;
    eventually("the reload is told", async || in_force(&app).await["reload"]["held"] == json!(["usual"])).await;
    assert_eq!(modes(&app).await, ["usual v1 shadow", "vital v2 live"]);
    let said = std::process::Command::new(BINARY).args(["rules", "status", "--url", &app.url("")]).output().expect("runs").stdout;
    let said = String::from_utf8(said).expect("text");
    assert!(said.contains("\nin shadow, where the circuit breaker put them, stay: usual\n"), "{said}");
    let (dir, _) = app.stop().await;
    save("c.yaml", &rule(1));
    let app = TestApp::start_in(dir, &config).await;
    eventually("the folder is in force", async || in_force(&app).await["version"] == 4).await;
    assert_eq!(modes(&app).await, ["usual v1 shadow", "vital v2 live", "many v1 live"]);
    save("a.yaml", &banded("usual", 2, ""));
    eventually("the folder is in force", async || in_force(&app).await["version"] == 5).await;
    assert_eq!(modes(&app).await, ["usual v2 live", "vital v2 live", "many v1 live"]);
    assert_eq!(in_force(&app).await["reload"]["held"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_stands_whatever_else_is_saved() {
    let rules = tempfile::tempdir().expect("a folder");
    let save = |file: &str, text: &str| fs::write(rules.path().join(file), text).expect("written");
    save("many.yaml", &rule(1));
    let config = format!("[rules]\ndir = '{}'\n", rules.path().display());
    let app = TestApp::start(&config).await;
    save("many.yaml", &rule(2));
    eventually("the folder is in force", async || in_force(&app).await["version"] == 2).await;
    assert_eq!(post(&app, "/v1/rules/rollback", &json!({"version": 1})).await.json()["version"], 3);
    let other = |version: u32| rule(version).replace("id: many", "id: other");
    let refused = async |app: &TestApp| {
        eventually("the folder is refused", async || in_force(app).await["reload"]["state"] == "refused").await;
        let now = in_force(app).await;
        let error = now["reload"]["error"].as_str().unwrap_or_default().to_owned();
        assert!(now["version"] == 3 && error.contains("a rollback took back what these files say of `many`"), "{now}");
    };
    save("other.yaml", &other(1));
    refused(&app).await;
    let app = TestApp::start_in(app.stop().await.0, &config).await;
    refused(&app).await;
    // What was in force before, or another version.
    save("many.yaml", &rule(1));
    eventually("the folder is in force", async || in_force(&app).await["version"] == 4).await;
    save("many.yaml", &rule(3));
    eventually("the folder is in force", async || in_force(&app).await["version"] == 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_rule_looks_back_on_what_was_there_before_it() {
    let app = TestApp::start("[time]\narrival = 'event'\nretention_secs = 7776000\nmax_jump_secs = 7776000\n").await;
    let now = OffsetDateTime::now_utc();
    let check = async |days: i64| {
        let form = quote_at(&format!("days-{days}"), now - time::Duration::days(days), 1);
        app.check(&form).await.expect("answers").json()["decision"].clone()
    };
    for days in [89, 60, 30] {
        assert_eq!(check(days).await, "accept", "{days} days ago");
    }
    let slow = rule(3).replace("24h", "90d");
    assert_eq!(post(&app, "/v1/rules/activate", &files(&slow)).await.status, 200);
    assert_eq!(check(0).await, "flag", "the fourth in 90 days, and the first that the rule sees");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_command_line() {
    let key =
        |name: &str| format!("[[http.keys]]\nname = '{name}'\ntenant = 't'\nkey = '{name}-0123456789abcdef'\nmay = ['rules']\n");
    let app = TestApp::start(&format!("{}{}[rules]\nfour_eyes = true\n", key("anna"), key("boris"))).await;
    let dir = app.dir.path();
    fs::create_dir(dir.join("book")).expect("a folder");
    fs::write(dir.join("book/many.yaml"), rule(1)).expect("written");
    let url = app.url("");
    let run = |by: &str, args: &[&str]| {
        fs::write(dir.join(by), format!("{by}-0123456789abcdef\n")).expect("written");
        let output = std::process::Command::new(BINARY)
            .arg("rules")
            .args(args)
            .args(["--url", &url, "--key-file", by])
            .current_dir(dir)
            .output()
            .expect("runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let hash = |text: &str| text.split_whitespace().last().unwrap_or_default().to_owned();
    let (code, proposed) = run("anna", &["activate", "book"]);
    assert!(code == Some(0) && proposed.starts_with("proposed: somebody else puts it in force by `rules approve "), "{proposed}");
    let hash = hash(&proposed).trim_end_matches('`').to_owned();
    let force = format!("version 2 ({hash}) is in force\n");
    for (by, args, code, says) in [
        ("boris", vec!["status"], 0, format!("proposed by anna: version 2 ({hash})")),
        ("anna", vec!["approve", &hash, "--yes"], 1, "`anna` proposed it: somebody else has to approve it".into()),
        ("boris", vec!["approve", &hash], 1, "nothing has changed: answer `y`, or say --yes".into()),
        ("boris", vec!["approve", &hash, "--yes"], 0, force.clone()),
        ("boris", vec!["status"], 0, format!("{force}  live   flag  many v1: Quotes upon quotes\n")),
        ("boris", vec!["activate", "book"], 0, "has this content and is in force already".into()),
        ("boris", vec!["activate", "book", "--after", "1"], 0, "is in force already".into()),
        ("boris", vec!["rollback", "7"], 1, "the log has no version 7".into()),
        ("boris", vec!["rollback", "1"], 0, "proposed".into()),
        ("carl", vec!["status"], 1, "An API key is required".into()),
    ] {
        let (ended, text) = run(by, &args);
        assert!(ended == Some(code) && text.contains(&says), "{by} {args:?}: {ended:?} {text}");
    }
    fs::write(dir.join("book/many.yaml"), rule(2).replace("attempts(", "atempts(")).expect("written");
    let (code, text) = run("anna", &["activate", "book"]);
    assert!(code == Some(1) && text.contains("many.yaml:7:7: unknown feature `atempts`") && text.contains("^^^^^^^"), "{text}");
}

/// Quotes and reloads at once, then a kill; what the log says is what was decided. Gives the quotes a second. `quotes` span `days`, and
/// come again later once all were sent.
async fn reloads_under_load(reloads: u32, senders: usize, quotes: Vec<Value>, days: i64) -> f64 {
    // Senders do not wait for each other: one may be a round behind.
    let app = Arc::new(TestApp::start("[time]\narrival = 'event'\nmax_age_secs = 604800\n").await);
    let (is_over, next, quotes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(quotes));
    let began = Instant::now();
    let senders: Vec<_> = (0..senders)
        .map(|_| {
            let (app, is_over, next, quotes) = (app.clone(), is_over.clone(), next.clone(), quotes.clone());
            tokio::spawn(async move {
                let mut sent = 0usize;
                while !is_over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let mut form = quotes[number % quotes.len()].clone();
                    form["quote_id"] = format!("q{number}").into();
                    form["submitted_at"] = later(&form["submitted_at"], days * (number / quotes.len()) as i64).into();
                    let answer = app.check(&form).await.expect("answers");
                    assert_eq!(answer.status, 200, "{answer:?}");
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    for version in 1..=reloads {
        let done = post(&app, "/v1/rules/activate", &files(&rule(version))).await;
        assert_eq!(done.json()["version"], version + 1, "{done:?}");
    }
    is_over.store(true, Ordering::Relaxed);
    let secs = began.elapsed().as_secs_f64();
    let mut sent = 0;
    for sender in senders {
        sent += sender.await.expect("sends");
    }
    let rate = sent as f64 / secs;
    println!("{sent} quotes and {reloads} reloads in {secs:.1} s: {rate:.0} quotes/s");
    let dir = Arc::into_inner(app).expect("nobody else").kill().await;
    assert!(sent > reloads as usize, "{sent} quotes");
    judged_by_the_log(dir.path(), sent, reloads as usize + 1).await;
    rate
}

fn later(submitted_at: &Value, days: i64) -> String {
    let first = OffsetDateTime::parse(submitted_at.as_str().expect("text"), &Rfc3339).expect("a time");
    instant(first + time::Duration::days(days))
}

/// Every quote is decided once, under the last book before it, as a replay of the log decides it.
async fn judged_by_the_log(dir: &Path, quotes: usize, books: usize) {
    let database = dir.join("quoteguard.db");
    let decided = column(&database, "SELECT CAST(json AS TEXT) FROM decisions WHERE revision = 1 ORDER BY offset").await;
    assert_eq!(decided.len(), quotes);
    let changes = column(&database, "SELECT CAST(offset AS TEXT) FROM log WHERE kind = 1 ORDER BY offset").await;
    let changes: Vec<u64> = changes.iter().map(|offset| offset.parse().expect("a number")).collect();
    assert_eq!(changes.len(), books);
    let mut judging = std::collections::BTreeSet::new();
    for json in &decided {
        let decision: Value = serde_json::from_str(json).expect("a decision");
        let offset = decision["position"]["offset"].as_u64().expect("an offset");
        let version = changes.partition_point(|change| *change < offset);
        assert_eq!(decision["rule_book"]["version"], version, "{json}");
        judging.insert(version);
    }
    assert!(judging.len() > books / 4, "{} of {books} books judged a quote", judging.len());
    let replayed = std::process::Command::new(BINARY)
        .args(["replay", "quoteguard.db", "--decisions", "again.jsonl"])
        .current_dir(dir)
        .output()
        .expect("runs");
    assert!(replayed.status.success(), "{replayed:?}");
    let all = column(&database, "SELECT CAST(json AS TEXT) FROM decisions ORDER BY rowid").await;
    let again = fs::read_to_string(dir.join("again.jsonl")).expect("written");
    assert!(again.lines().eq(all.iter().map(String::as_str)), "replay and production differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_quote_is_missed_or_judged_by_half_a_book() {
    reloads_under_load(60, 4, history(11, 2_000), 2).await;
}

pub mod volume {
    use loadtest::generate::release;
    use loadtest::plan::{Config, Mix};

    /// The target: 1,000 reloads under 5,000 quotes a second.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "make test-volume"]
    async fn a_thousand_reloads_under_load() {
        let config = Config { seed: 11, quotes: 200_000, mix: Mix::Normal, days: 29, tenants: 0 };
        let mut quotes = Vec::with_capacity(config.quotes);
        release(&config, |record| {
            quotes.push(serde_json::from_str(&record.quote)?);
            Ok(())
        })
        .expect("the workload generates");
        let rate = super::reloads_under_load(1_000, 128, quotes, 29).await;
        assert!(rate >= 5_000.0, "{rate:.0} quotes/s");
    }
}
