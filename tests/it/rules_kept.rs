//! Rules that outlive what happens around them: a broken folder at a start, a proposal and a restart.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use axum::http::Request;
use serde_json::{Value, json};

use crate::app::{Answer, BINARY, TestApp, column, eventually};
use crate::quotes::quote;
use crate::rules_live::{files, in_force, rule};

/// As [`TestApp::get`] and [`TestApp::post`], with the key of somebody.
pub async fn ask(app: &TestApp, by: &str, path: &str, body: Option<&Value>) -> Answer {
    let request = match body {
        Some(_) => Request::post(app.url(path)).header("content-type", "application/json"),
        None => Request::get(app.url(path)),
    };
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = request.header("x-api-key", format!("{by}-0123456789abcdef")).body(body.into());
    app.send(request.expect("a request")).await.expect("answers")
}

/// Configuration in which a change needs two of these people.
pub fn four_eyes(people: &[&str]) -> String {
    let key = |name: &&str| {
        format!("[[http.keys]]\nname = '{name}'\ntenant = 't'\nkey = '{name}-0123456789abcdef'\nmay = ['rules', 'checks']\n")
    };
    people.iter().map(key).collect::<String>() + "[rules]\nfour_eyes = true\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_folder_stops_no_restart_and_a_new_log_needs_rules() {
    let dir = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    let file = dir.path().join("book/many.yaml");
    fs::create_dir(dir.path().join("book")).expect("a folder");
    let broken = rule(2).replace("attempts(", "atempts(");
    fs::write(&file, &broken).expect("written");
    let config = "[rules]\ndir = 'book'\n";
    fs::write(dir.path().join("quoteguard.toml"), config).expect("written");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", "quoteguard.db"];
    let refused = Command::new(BINARY).args(serve).current_dir(dir.path()).output().expect("runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("unknown feature `atempts`"), "{said}");
    assert!(said.contains("no rule book to go on with") && !dir.path().join("quoteguard.db").exists(), "{said}");

    fs::write(&file, rule(1)).expect("written");
    let (dir, _) = TestApp::start_in(dir, config).await.stop().await;
    for content in [Some(broken.as_str()), None] {
        match content {
            Some(text) => fs::write(&file, text).expect("written"),
            None => fs::remove_file(&file).expect("removed"),
        }
        let app = TestApp::start_in(dir.clone(), config).await;
        let now = in_force(&app).await;
        assert_eq!((&now["version"], &now["reload"]["state"]), (&json!(1), &json!("refused")), "{now}");
        let why = if content.is_some() { "unknown feature `atempts`" } else { "holds no .yaml file" };
        assert!(now["reload"]["error"].as_str().is_some_and(|error| error.contains(why)), "{now}");
        assert_eq!(app.metric("quoteguard_ruleset_last_reload_successful").await, 0.0);
        let (first, second) = (format!("{why}-1").replace([' ', '`'], "-"), format!("{why}-2").replace([' ', '`'], "-"));
        app.check(&quote(&first)).await.expect("answers");
        assert_eq!(app.check(&quote(&second)).await.expect("answers").json()["decision"], "flag", "by the last good book");
        app.terminate();
        let (_, _, said) = app.wait_and_hear().await;
        assert!(said.lines().any(|line| line.contains("ERROR") && line.contains(why)), "{said}");
    }
    // Put right while it runs: what it says is new to the log.
    let app = TestApp::start_in(dir, config).await;
    fs::write(&file, rule(3)).expect("written");
    eventually("the folder is in force", async || in_force(&app).await["version"] == 2).await;
    assert_eq!(in_force(&app).await["reload"]["state"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_outlives_a_kill_and_is_shown_before_it_is_approved() {
    let config = four_eyes(&["anna", "boris"]);
    let app = TestApp::start(&config).await;
    let proposed = ask(&app, "anna", "/v1/rules/activate", Some(&files(&rule(1)))).await;
    assert_eq!(proposed.status, 202);
    let hash = proposed.json()["hash"].as_str().expect("a hash").to_owned();
    assert_eq!(ask(&app, "boris", "/v1/rules/activate", Some(&files(&rule(2)))).await.status, 202);
    let dir = app.kill().await;

    let app = TestApp::start_in(dir, &config).await;
    let waiting = ask(&app, "boris", "/v1/rules", None).await.json();
    let by: Vec<&Value> = waiting["proposals"].as_array().expect("a list").iter().map(|one| &one["by"]).collect();
    assert_eq!(by, ["anna", "boris"]);
    let path = format!("/v1/rules/proposals/{hash}");
    let shown = ask(&app, "boris", &path, None).await.json();
    assert_eq!((&shown["by"], &shown["version"], &shown["against"]), (&json!("anna"), &json!(2), &json!(1)), "{shown}");
    let diff: Vec<&str> = shown["diff"].as_array().expect("lines").iter().filter_map(Value::as_str).collect();
    assert!(diff.contains(&"rule many: added: 1 live flag Quotes upon quotes"), "{diff:?}");
    assert!(diff.iter().any(|line| line.starts_with("rule picking-24h: removed: ")), "{diff:?}");
    assert_eq!(shown["source"]["rules"][0]["id"], "many");
    for (path, status) in [("/v1/rules/proposals/0000000000000000", 404), ("/v1/rules/proposals/x", 400)] {
        assert_eq!(ask(&app, "boris", path, None).await.status, status, "{path}");
    }
    // Somebody says no, somebody yes, and the one who proposed it is not asked.
    let url = app.url("");
    let approve = |by: &str, more: &[&str], answer: &str| {
        fs::write(app.dir.path().join(by), format!("{by}-0123456789abcdef\n")).expect("written");
        fs::write(app.dir.path().join("answer"), answer).expect("written");
        let output = Command::new(BINARY)
            .args(["rules", "approve", &hash, "--url", &url, "--key-file", by])
            .args(more)
            .stdin(fs::File::open(app.dir.path().join("answer")).expect("readable"))
            .current_dir(app.dir.path())
            .output()
            .expect("runs");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    for (by, more, answer, code, says) in [
        ("boris", &[][..], "n\n", 1, "nothing has changed"),
        ("boris", &[], "", 1, "nothing has changed"),
        ("anna", &["--yes"], "", 1, "`anna` proposed it"),
        ("boris", &[], "y\n", 0, "version 2 ("),
    ] {
        let (ended, text) = approve(by, more, answer);
        assert!(ended == Some(code) && text.contains(says), "{by} {more:?} {answer:?}: {ended:?} {text}");
        assert!(text.contains("proposed by anna at 20") && text.contains("  rule many: added: "), "{text}");
    }
    let dir = app.kill().await;

    // Approved once, the other overtaken; and the log with its proposals is decided again as it was.
    let app = TestApp::start_in(dir, &config).await;
    let now = ask(&app, "anna", "/v1/rules", None).await.json();
    assert_eq!((&now["version"], &now["by"], &now["proposals"]), (&json!(2), &json!("anna, approved by boris"), &json!([])));
    for id in ["a", "b"] {
        assert_eq!(ask(&app, "anna", "/v1/quotes/check", Some(&quote(id))).await.status, 200);
    }
    let (dir, _) = app.stop().await;
    decided_again_alike(dir.path()).await;
}

/// A replay gives the same decisions, and so does a rebuild.
async fn decided_again_alike(dir: &std::path::Path) {
    let run = |args: &[&str]| {
        let done = Command::new(BINARY).args(args).current_dir(dir).output().expect("runs");
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let database = dir.join("quoteguard.db");
    let decided = column(&database, "SELECT CAST(json AS TEXT) FROM decisions ORDER BY rowid").await;
    assert_eq!(column(&database, "SELECT CAST(kind AS TEXT) FROM log ORDER BY offset").await, ["1", "4", "4", "1", "0", "0"]);
    run(&["replay", "quoteguard.db", "--decisions", "again.jsonl"]);
    let again = fs::read_to_string(dir.join("again.jsonl")).expect("written");
    assert!(again.lines().eq(decided.iter().map(String::as_str)), "{again}");
    assert_eq!(fs::read_to_string(dir.join("again.rejects.jsonl")).unwrap_or_default(), "");
    run(&["rebuild", "--data", "quoteguard.db"]);
    assert_eq!(column(&database, "SELECT CAST(json AS TEXT) FROM decisions ORDER BY rowid").await, decided);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_book_runs_beside_the_live_one_and_reaches_no_answer() {
    let dir = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    let book = dir.path().join("book");
    fs::create_dir_all(book.join("shadow/lists")).expect("folders");
    fs::write(book.join("many.yaml"), rule(2)).expect("written");
    // Live by its own word, under the name of the other, and stricter.
    let second = rule(1).replace("then: flag", "then: refer").replace("when: ", "when: product in list(\"tried\") && ");
    fs::write(book.join("shadow/many.yaml"), &second).expect("written");
    fs::write(book.join("shadow/lists/tried.csv"), "osago\n").expect("written");
    let run = |args: &[&str]| {
        let output = Command::new(BINARY).arg("rules").args(args).current_dir(dir.path()).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    fs::create_dir(dir.path().join("alone")).expect("a folder");
    fs::write(dir.path().join("alone/many.yaml"), rule(2)).expect("written");
    for (args, code, says) in [
        (&["check", "book"][..], 0, "shadow refer shadow/many v1: Quotes upon quotes"),
        (&["test", "book"], 0, "shadow/many has no tests"),
        (&["explain", "book", "shadow/many"], 0, "In shadow: it is counted, and would refer the quote when all of these hold:"),
        (
            &["diff", "alone", "book"],
            0,
            "rule shadow/many: added: 1 shadow refer Quotes upon quotes\nlist shadow/tried: added: +osago",
        ),
    ] {
        let (ended, text) = run(args);
        assert!(ended == Some(code) && text.contains(says), "{args:?}: {ended:?} {text}");
    }
    let config = "[rules]\ndir = 'book'\n";
    let app = TestApp::start_in(dir.clone(), config).await;
    for (id, decision, shadow) in
        [("a", "accept", json!([])), ("b", "accept", json!(["shadow/many"])), ("c", "flag", json!(["shadow/many"]))]
    {
        assert_eq!(app.check(&quote(id)).await.expect("answers").json()["decision"], decision, "{id}");
        let told = app.get(&format!("/v1/decisions/{id}")).await.expect("answers").json();
        assert_eq!(told.get("shadow").cloned().unwrap_or(json!([])), shadow, "{told}");
    }
    // Saved like the rest, and recorded with the rest.
    fs::write(book.join("shadow/many.yml"), &second).expect("written");
    eventually("it is refused", async || in_force(&app).await["reload"]["state"] == "refused").await;
    let said = in_force(&app).await["reload"]["error"].to_string();
    assert!(said.contains("`shadow/many.yaml` and `shadow/many.yml` are two files of one name"), "{said}");
    fs::remove_file(book.join("shadow/many.yml")).expect("removed");
    fs::write(book.join("shadow/lists/tried.csv"), "kasko\n").expect("written");
    eventually("it is in force", async || in_force(&app).await["version"] == 2).await;
    app.check(&quote("d")).await.expect("answers");
    assert_eq!(app.get("/v1/decisions/d").await.expect("answers").json().get("shadow"), None);
    let dir = app.kill().await;
    let app = TestApp::start_in(dir, config).await;
    assert_eq!(in_force(&app).await["version"], 2);
}
