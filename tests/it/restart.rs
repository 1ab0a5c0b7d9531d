//! Killed and resumed equals uninterrupted; what was answered is kept.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::app::{BINARY, TestApp, column, eventually};
use crate::quotes::{Lcg, history, quote};

const EVENT_CLOCK: &str = "[time]\narrival = 'event'\n";

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_under_load_loses_no_answered_quote() {
    let app = Arc::new(TestApp::start("").await);
    let answered: Arc<Mutex<Vec<(Value, String)>>> = Arc::default();
    let mut clients = JoinSet::new();
    for client in 0..16 {
        let (app, answered) = (app.clone(), answered.clone());
        clients.spawn(async move {
            for i in 0.. {
                let form = quote(&format!("q-{client}-{i}"));
                let Ok(answer) = app.check(&form).await else { return };
                let told = answer.json();
                let id = told["decision_id"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
                answered.lock().await.push((form, id));
            }
        });
    }
    eventually("enough is answered", async || answered.lock().await.len() > 300).await;
    let (database, pid) = (app.database(), app.pid());
    let status = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill runs");
    assert!(status.success());
    clients.join_all().await;

    let dir = Arc::try_unwrap(app).unwrap_or_else(|_| panic!("the clients have ended")).kill().await;
    let before = column(&database, "SELECT CAST(json AS TEXT) FROM decisions ORDER BY offset, revision").await;
    let app = TestApp::start_in(dir, "").await;
    for (form, decision_id) in answered.lock().await.iter() {
        let path = format!("/v1/decisions/{}", form["quote_id"].as_str().expect("an id"));
        let kept = app.get(&path).await.expect("answers");
        assert_eq!(kept.json()["decision_id"], **decision_id, "an answered quote is there");
        let again = app.check(form).await.expect("answers").json();
        assert_eq!(again["decision_id"], **decision_id, "a retry is a duplicate");
    }
    let after = column(&app.database(), "SELECT CAST(json AS TEXT) FROM decisions ORDER BY offset, revision").await;
    assert_eq!(after, before, "no decision was changed or made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_resumed_equals_a_whole_run_of_the_same_log() {
    let seed = 7;
    let quotes = history(seed, 400);
    let mut random = Lcg(seed);
    let mut app = TestApp::start(EVENT_CLOCK).await;
    for form in &quotes {
        if random.below(100) == 0 {
            app = TestApp::start_in(app.kill().await, EVENT_CLOCK).await;
        }
        let answer = app.check(form).await.expect("answers");
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    let published = "SELECT CAST(json AS TEXT) FROM decisions ORDER BY rowid";
    let (dir, status) = app.stop().await;
    assert_eq!(status.code(), Some(0));
    let served = column(&dir.path().join("quoteguard.db"), published).await;
    let amended = served.iter().filter(|json| !json.contains(r#""revision":1,"#)).count();
    let referred = served.iter().filter(|json| json.contains(r#""decision":"refer""#)).count();
    assert!(amended > 0 && referred > 0, "the history of seed {seed} has amendments ({amended}) and referrals ({referred})");

    let replay = async |more: &[&str]| {
        let args = [&["replay", "quoteguard.db", "--decisions", "out.jsonl"], more].concat();
        let replay = tokio::process::Command::new(BINARY).args(args).current_dir(dir.path()).output();
        let replay = replay.await.expect("runs");
        assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
        std::fs::read_to_string(dir.path().join("out.jsonl")).expect("written")
    };
    let replayed = replay(&[]).await;
    assert!(replayed.lines().eq(served.iter().map(String::as_str)), "seed {seed}: a replay of the log is byte-identical");

    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    assert!(replay(&["--rules", shipped]).await == replayed, "the book that was in force, given by hand");
    let (folder, watch) = (dir.path().join("watch"), "picking-watch.yaml");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::copy(format!("{shipped}/{watch}"), folder.join(watch)).expect("copied");
    let tried = replay(&["--rules", "watch"]).await;
    let book = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["rule_book"].clone();
    let logged = book(&served[0]);
    assert!(tried.lines().all(|line| book(line) != logged), "from the first record another book is in force");
    assert!(tried.contains(r#""decision":"flag""#) && !tried.contains(r#""decision":"refer""#), "it refers nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_answers_everything_it_accepted() {
    let app = Arc::new(TestApp::start("").await);
    let answered: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut clients = JoinSet::new();
    for client in 0..16 {
        let (app, answered) = (app.clone(), answered.clone());
        clients.spawn(async move {
            for i in 0.. {
                let id = format!("q-{client}-{i}");
                match app.check(&quote(&id)).await {
                    Ok(answer) if answer.status == 200 => answered.lock().await.push(id),
                    Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.json()),
                    Err(_) => return,
                }
            }
        });
    }
    eventually("enough is answered", async || answered.lock().await.len() > 300).await;
    app.terminate();
    clients.join_all().await;
    let app = Arc::try_unwrap(app).unwrap_or_else(|_| panic!("the clients have ended"));
    let database = app.database();
    let (_dir, status) = app.wait().await;
    assert_eq!(status.code(), Some(0));
    let mut answered = answered.lock().await.clone();
    answered.sort_unstable();
    let logged = column(&database, "SELECT quote_id FROM decisions WHERE revision = 1 ORDER BY quote_id").await;
    assert_eq!(logged, answered, "accepted and answered are the same set");
}

#[tokio::test]
async fn a_stop_ends_within_its_one_deadline_whatever_holds_it_up() {
    let deadline = Duration::from_secs(3);
    let config = "[http]\nshutdown_timeout_ms = 3000\nheader_timeout_ms = 60000\nanswer_timeout_ms = 100\n[watch]\ndir = 'in'\npoll_ms = 20\n";
    for is_stalled in [false, true] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("in")).expect("a folder");
        let app = TestApp::start_in(dir.into(), config).await;
        let mut slow = tokio::net::TcpStream::connect(app.addr).await.expect("connects");
        slow.write_all(b"POST /v1/quotes/check HTTP/1.1\r\nHost: x\r\n").await.expect("sent");
        assert_eq!(app.check(&quote("q-1")).await.expect("answers").status, 200);
        let mut blocker = None;
        if is_stalled {
            let connection = blocker.insert(crate::app::connect(&app.database()).await);
            sqlx::query("BEGIN IMMEDIATE").execute(connection).await.expect("locks the file");
            // The folder's thread waits for room, the writer for the file.
            std::fs::write(app.dir.path().join("in/a.jsonl"), crate::quotes::lines(&history(3, 1_000))).expect("written");
            eventually("the store is down", async || app.get("/readyz").await.is_ok_and(|a| a.status == 503)).await;
        }
        let began = std::time::Instant::now();
        app.terminate();
        let (dir, status, said) = app.wait_and_hear().await;
        let took = began.elapsed();
        assert!(took < deadline + Duration::from_millis(1_500), "{took:?} instead of {deadline:?}");
        assert_eq!(status.code(), Some(1), "the slow client was cut off");
        assert!(said.contains("http.shutdown_timeout_ms"), "{said}");
        if !is_stalled {
            let left = std::fs::metadata(dir.path().join("quoteguard.db-wal")).map_or(0, |wal| wal.len());
            assert_eq!(left, 0, "the writer had its time to fold the WAL back");
        }
        drop(blocker);
    }
}

#[tokio::test]
async fn a_live_rule_edited_under_its_version_is_not_put_in_force() {
    let rule = include_str!("../../rules/picking-24h.yaml");
    let config = "[rules]\ndir = 'rules'\n";
    for (from, to, is_refused) in
        [("then: refer", "then: flag", true), ("version: 1\n", "version: 2\n", false), ("mode: live", "mode: shadow", false)]
    {
        let dir = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let file = dir.path().join("rules/picking-24h.yaml");
        std::fs::create_dir(dir.path().join("rules")).expect("a folder");
        std::fs::write(&file, rule).expect("written");
        let (dir, _) = TestApp::start_in(dir, config).await.stop().await;
        std::fs::write(&file, rule.replacen(from, to, 1)).expect("written");
        let app = TestApp::start_in(dir, config).await;
        app.terminate();
        let (_, _, said) = app.wait_and_hear().await;
        assert!(said.contains("the rule book is in force"), "{said}");
        let refused = said.lines().any(|line| line.contains("ERROR") && line.contains("picking-24h"));
        assert_eq!(refused, is_refused, "{to}: {said}");
        let version = if is_refused { "\"version\":1" } else { "\"version\":2" };
        assert!(said.lines().any(|line| line.contains("the rule book is in force") && line.contains(version)), "{to}: {said}");
    }
}

#[tokio::test]
async fn a_changed_setting_or_damaged_file_is_refused_with_the_reason() {
    let app = TestApp::start("").await;
    app.check(&quote("q-1")).await.expect("answers");
    let (dir, _) = app.stop().await;
    for (config, damage, expected) in [
        ("[time]\nretention_secs = 60\n", "SELECT 1", "a rule looks back 2592000 s and only 60 s are kept"),
        ("[time]\nretention_secs = 2600000\n", "SELECT 1", "time.retention_secs = 2592000, now it is 2600000"),
        ("", "UPDATE segments SET deltas = x'00' WHERE from_offset = 1", "segment at offset 1: its checksum does not match"),
        (
            "",
            "DELETE FROM segments WHERE from_offset = 1",
            "the checkpoint ends at offset 0, the log at 2; run `quoteguard rebuild`",
        ),
        (
            "",
            "UPDATE log SET kind = 2 WHERE kind = 1",
            "a rule book is missing in the log or in its checkpoint; run `quoteguard rebuild`",
        ),
        ("[time]\nevent_start = '2026-01-01T00:00:00Z'\n", "SELECT 1", "time.event_start = none, now it is 2026-01-01T00:00:00Z"),
        ("[limits]\nlive_bytes_max = 7\n", "SELECT 1", "limits.live_bytes_max = 3000000000, now it is 7"),
        ("", "DELETE FROM log WHERE offset = 1", "the log ends at offset 1, its position says 2"),
    ] {
        let database = dir.path().join("quoteguard.db");
        std::fs::copy(&database, dir.path().join("copy.db")).expect("copied");
        let mut connection = crate::app::connect(&dir.path().join("copy.db")).await;
        sqlx::query(damage).execute(&mut connection).await.expect("damaged");
        sqlx::Connection::close(connection).await.expect("closed");
        std::fs::write(dir.path().join("quoteguard.toml"), config).expect("written");
        let run = tokio::process::Command::new(BINARY)
            .args(["serve", "--listen", "127.0.0.1:0", "--data", "copy.db"])
            .current_dir(dir.path())
            .kill_on_drop(true)
            .output();
        let run = tokio::time::timeout(Duration::from_secs(60), run).await;
        let run = run.unwrap_or_else(|_| panic!("{damage}: the service started")).expect("runs");
        assert_eq!(run.status.code(), Some(1), "{damage}");
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(said.contains(expected), "{damage}: {said}");
    }
}
