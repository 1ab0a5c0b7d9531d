//! Decisions as Parquet files, read back by DuckDB: each once, whatever dies in between.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::app::{BINARY, TestApp, column, eventually};
use crate::quotes::{history, lines};

const WATCH: &str = "[watch]\ndir = 'in'\npoll_ms = 20\n";
const ROWS: usize = 1_200;

async fn decided() -> TestApp {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(dir.path().join("in")).expect("a folder");
    let mut quotes = history(17, ROWS);
    for (i, quote) in quotes.iter_mut().enumerate().filter(|(i, _)| i % 3 == 0) {
        quote["tenant"] = format!("t/{}", i % 2).into();
    }
    fs::write(dir.path().join("in/a.jsonl"), lines(&quotes)).expect("written");
    let app = TestApp::start_in(dir.into(), WATCH).await;
    eventually("all is read", async || {
        column(&app.database(), "SELECT CAST(max(offset) AS TEXT) FROM log").await == [ROWS.to_string()]
    })
    .await;
    app
}

fn export(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["export", "--to", "out", "--data", "quoteguard.db"]).args(more).current_dir(dir);
    command
}

/// Relative names of the Parquet files.
fn files(out: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.push(path.strip_prefix(out).expect("below it").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// What another reader finds: a row of JSON each, as `scripts/parquet.sh` prints them.
fn read(out: &Path) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/parquet.sh");
    let output = Command::new(script).arg(out).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The decisions as published, by id and revision.
async fn published(app: &TestApp) -> BTreeMap<(String, u64), String> {
    let all = column(&app.database(), "SELECT CAST(json AS TEXT) FROM decisions ORDER BY rowid").await;
    let keyed = all.into_iter().map(|json| {
        let decision: Value = serde_json::from_str(&json).expect("JSON");
        ((decision["decision_id"].as_str().expect("an id").to_owned(), decision["revision"].as_u64().expect("a number")), json)
    });
    keyed.collect()
}

async fn agrees(app: &TestApp, rows: &[Value]) {
    let mut expected = published(app).await;
    for row in rows {
        let key = (row["decision_id"].as_str().expect("an id").to_owned(), row["revision"].as_u64().expect("a number"));
        let json = expected.remove(&key).unwrap_or_else(|| panic!("{key:?} is there twice, or was never decided"));
        assert_eq!(row["json"], json.as_str());
        let decision: Value = serde_json::from_str(&json).expect("JSON");
        for field in ["quote_id", "decision", "answer", "referral_id", "attempts", "suspicious_attempts", "engine"] {
            assert_eq!(row[field], decision[field], "{field} of {key:?}");
        }
        assert_eq!(row["suspicion"].as_f64(), decision["suspicion"].as_f64(), "suspicion of {key:?}");
        assert_eq!(row["tenant_id"], decision["tenant"]);
        assert_eq!(row["log_offset"], decision["position"]["offset"]);
        assert_eq!(row["cause_quote_id"], decision["cause"]["quote_id"]);
        assert_eq!(row["rule_book_version"], decision["rule_book"]["version"]);
        // The folder, read by Hive's rules, says the same.
        assert_eq!(row["dt"].as_str().expect("a date"), &decision["event_time"].as_str().expect("a time")[..10]);
        assert_eq!(row["tenant"], decision["tenant"]);
    }
    assert!(expected.is_empty(), "{} decisions are in no file", expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_reader_finds_what_was_published() {
    let app = decided().await;
    let dir = app.dir.path();
    assert!(export(dir, &[]).status().expect("runs").success(), "beside the running service");
    let rows = read(&dir.join("out"));
    agrees(&app, &rows).await;
    assert!(rows.iter().any(|row| row["revision"] == 2), "amendments are rows");
    let before = files(&dir.join("out"));
    let again = export(dir, &[]).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&again.stdout), "0 decisions in 0 new files\n");

    assert_eq!(app.check(&crate::quotes::quote("new")).await.expect("answered").status, 200);
    assert!(export(dir, &[]).status().expect("runs").success());
    assert_eq!(files(&dir.join("out")).len(), before.len() + 1, "what is new is one more file");
    agrees(&app, &read(&dir.join("out"))).await;
    let other = export(dir, &["--from", "2026-03-03T00:00:00Z"]).output().expect("runs");
    assert!(!other.status.success(), "another range needs another folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_days_is_what_it_says() {
    let app = decided().await;
    let dir = app.dir.path();
    let range = ["--from", "2026-03-03T00:00:00Z", "--until", "2026-03-04T00:00:00Z"];
    assert!(export(dir, &range).status().expect("runs").success());
    let rows = read(&dir.join("out"));
    assert!(rows.iter().all(|row| row["dt"] == "2026-03-03"));
    let all = published(&app).await;
    let expected = all.values().filter(|json| json.contains("\"event_time\":\"2026-03-03T")).count();
    assert_eq!(rows.len(), expected);
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_is_finished_with_the_same_files() {
    let app = decided().await;
    let dir = app.dir.path();
    for point in ["export.begun:1", "export.written:1", "export.written:3"] {
        assert!(export(dir, &[]).status().expect("runs").success());
        let expected = files(&dir.join("out"));
        assert!(expected.len() > 3, "{expected:?}");
        fs::remove_dir_all(dir.join("out")).expect("removed");
        let died = export(dir, &[]).env("QUOTEGUARD_FAULT", point).status().expect("runs");
        assert!(!died.success(), "{point} was not passed");
        // More is decided before the next run: the files that were begun must not take it in.
        assert_eq!(app.check(&crate::quotes::quote(&point.replace(':', "-"))).await.expect("answered").status, 200);
        let half = files(&dir.join("out"));
        assert!(half.iter().all(|name| expected.contains(name)), "{point}: {half:?}");
        assert!(export(dir, &[]).status().expect("runs").success());
        let whole = files(&dir.join("out"));
        assert!(expected.iter().all(|name| whole.contains(name)), "{point}: {whole:?}");
        agrees(&app, &read(&dir.join("out"))).await;
        fs::remove_dir_all(dir.join("out")).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_exports_by_itself() {
    let dir = decided().await.kill().await;
    let config = "[export]\ndir = 'out'\nevery_secs = 1\n";
    let app = TestApp::start_in(dir, config).await;
    let all = published(&app).await.len();
    eventually("all is exported", async || app.metric("quoteguard_exported_decisions_total").await >= all as f64).await;
    agrees(&app, &read(&app.dir.path().join("out"))).await;
    let sinks = crate::pipelines::pipeline(&app, "http").await["sinks"].clone();
    assert_eq!(sinks, serde_json::json!(["log", "desk", "parquet"]));
}
