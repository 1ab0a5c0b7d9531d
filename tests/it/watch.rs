//! The watched folder: every file once, whatever happens in between.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde_json::Value;

use crate::app::{BINARY, TestApp, column, eventually};
use crate::quotes::{history, lines, quote_at};

const CONFIG: &str = "[watch]\ndir = 'in'\npoll_ms = 20\n";

async fn start(files: &[(&str, &str)]) -> TestApp {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(dir.path().join("in")).expect("a folder");
    for (name, content) in files {
        fs::write(dir.path().join("in").join(name), content).expect("written");
    }
    TestApp::start_in(dir.into(), CONFIG).await
}

async fn logged(database: &Path) -> usize {
    column(database, "SELECT CAST(offset AS TEXT) FROM log WHERE kind = 0").await.len()
}

/// What does not name the log: ids and positions differ between a service and a replay of its files.
fn essence(json: &str) -> Value {
    let mut decision: Value = serde_json::from_str(json).expect("JSON");
    for field in ["decision_id", "position", "cause", "referral_id"] {
        decision[field] = Value::Null;
    }
    decision
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_read_with_kills_in_between_is_read_exactly_once() {
    let quotes = history(11, 1_500);
    let text = lines(&quotes);
    let mut app = start(&[("a.jsonl", &text)]).await;
    for part in 1..=3 {
        eventually("a part is read", async || logged(&app.database()).await >= part * 300).await;
        app = TestApp::start_in(app.kill().await, CONFIG).await;
    }
    eventually("all is read", async || logged(&app.database()).await >= quotes.len()).await;
    let (dir, status) = app.stop().await;
    assert_eq!(status.code(), Some(0));
    let database = dir.path().join("quoteguard.db");
    assert_eq!(logged(&database).await, quotes.len(), "no line twice");

    let replay = tokio::process::Command::new(BINARY)
        .args(["replay", "in/a.jsonl", "--decisions", "out.jsonl"])
        .current_dir(dir.path())
        .output();
    assert!(replay.await.expect("runs").status.success());
    let whole = fs::read_to_string(dir.path().join("out.jsonl")).expect("written");
    let served = column(&database, "SELECT CAST(json AS TEXT) FROM decisions ORDER BY rowid").await;
    assert_eq!(served.len(), whole.lines().count());
    for (served, whole) in served.iter().zip(whole.lines()) {
        assert_eq!(essence(served), essence(whole));
    }
}

#[tokio::test]
async fn files_grow_bad_lines_are_kept_aside_and_others_are_left_alone() {
    let quotes = history(3, 4);
    let hidden = lines(&[quote_at("hidden", crate::quotes::EPOCH, 1)]);
    let app = start(&[("half.jsonl.part", &hidden), (".hidden.jsonl", &hidden), ("note.txt", &hidden)]).await;
    let path = app.dir.path().join("in/b.jsonl");
    let bad = "{\"quote_id\":\"bad\"}\nno json\n";
    fs::write(&path, format!("{}{bad}\n{}", lines(&quotes[..2]), lines(&quotes[2..3]))).expect("written");
    eventually("the file is read", async || logged(&app.database()).await == 3).await;
    let mut file = OpenOptions::new().append(true).open(&path).expect("opens");
    let last = quotes[3].to_string();
    let (head, tail) = last.split_at(100);
    file.write_all(head.as_bytes()).expect("written");
    file.write_all(tail.as_bytes()).expect("written");
    // No line end: taken once the file has settled.
    eventually("the rest is read", async || logged(&app.database()).await == 4).await;

    let rejects = "SELECT reason || ' ' || file || ':' || line || ' ' || CAST(raw AS TEXT) FROM rejects ORDER BY offset";
    let expected = ["invalid_fields b.jsonl:3 {\"quote_id\":\"bad\"}", "not_json b.jsonl:4 no json"];
    assert_eq!(column(&app.database(), rejects).await, expected);
    assert_eq!(app.get("/v1/decisions/hidden").await.expect("answers").status, 404);
}

#[tokio::test]
async fn csv_files_are_read_like_their_json() {
    let header = "quote_id,submitted_at,product,channel.kind,policyholder.last_name,policyholder.first_name,vehicle.vin\n";
    let row = |i: u32| format!("c-{i},2026-03-02T12:00:0{i}Z,osago,web,\"Тестова, мл.\",Анна,XTA219010K012345{i}\n");
    let app = start(&[("c.csv", &format!("{header}{}{}", row(0), row(1)))]).await;
    eventually("the file is read", async || logged(&app.database()).await == 2).await;
    let mut file = OpenOptions::new().append(true).open(app.dir.path().join("in/c.csv")).expect("opens");
    file.write_all(row(2).as_bytes()).expect("written");
    eventually("the new row is read", async || logged(&app.database()).await == 3).await;
    let decision = app.get("/v1/decisions/c-2").await.expect("answers").json();
    assert_eq!(decision["event_time"], "2026-03-02T12:00:02Z", "{decision}");
}

#[tokio::test]
async fn a_file_that_stays_away_is_forgotten_and_comes_back_as_a_new_one() {
    let quotes = history(3, 5);
    let config = |secs: u32| format!("{CONFIG}forget_after_secs = {secs}\n");
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(dir.path().join("in")).expect("a folder");
    let (inside, aside) = (dir.path().join("in/a.jsonl"), dir.path().join("aside"));
    let positions = "SELECT name FROM file_positions";
    fs::write(&inside, lines(&quotes)).expect("written");
    let app = TestApp::start_in(dir.into(), &config(3_600)).await;
    eventually("the file is read", async || logged(&app.database()).await == 5).await;

    // Away for a while: it goes on where it was.
    fs::rename(&inside, &aside).expect("moved");
    fs::write(app.dir.path().join("in/b.jsonl"), lines(&[quote_at("b", crate::quotes::EPOCH + time::Duration::days(2), 1)]))
        .expect("written");
    eventually("the folder was looked at", async || logged(&app.database()).await == 6).await;
    fs::rename(&aside, &inside).expect("moved back");
    OpenOptions::new().append(true).open(&inside).and_then(|mut f| f.write_all(lines(&quotes[..1]).as_bytes())).expect("written");
    eventually("what was added is read", async || logged(&app.database()).await == 7).await;

    fs::rename(&inside, &aside).expect("moved");
    let (dir, _) = app.stop().await;
    let app = TestApp::start_in(dir, &config(1)).await;
    eventually("it is forgotten", async || column(&app.database(), positions).await == ["b.jsonl"]).await;
    fs::rename(&aside, &inside).expect("moved back");
    eventually("it is read from its beginning", async || logged(&app.database()).await == 13).await;
    let decided = column(&app.database(), "SELECT quote_id FROM decisions WHERE revision = 1").await;
    assert_eq!(decided.len(), 6, "its quotes are counted once");
}
