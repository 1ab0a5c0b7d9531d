//! The log is the only truth: everything else is computed from it again, and is the same.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use sqlx::Connection;
use tempfile::TempDir;

use crate::app::{BINARY, TestApp, column, connect, eventually};
use crate::quotes::{history, lines};

const CONFIG: &str = "[time]\narrival = 'event'\n[watch]\ndir = 'in'\npoll_ms = 20\n";

/// What users and a restart read, in order.
const TABLES: [&str; 6] = [
    "SELECT CAST(json AS TEXT) || tenant || quote_id || offset || revision FROM decisions ORDER BY rowid",
    "SELECT hex(body) || offset || kind || clock || arrival || source || tenant || coalesce(client, '-') FROM log ORDER BY offset",
    "SELECT offset || reason || error || pointer || coalesce(file, '-') || coalesce(line, 0) || hex(raw) FROM rejects ORDER BY offset",
    "SELECT name || prefix_bytes || prefix_hash || byte_offset || lines FROM file_positions ORDER BY name",
    "SELECT next_offset || ' ' || arrival FROM position",
    "SELECT key || value FROM meta ORDER BY key",
];

async fn tables(database: &Path) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for sql in TABLES {
        all.push(column(database, sql).await);
    }
    all
}

async fn run(dir: &Path, args: &[&str]) -> Output {
    let run = tokio::process::Command::new(BINARY).args(args).current_dir(dir).kill_on_drop(true).output();
    tokio::time::timeout(std::time::Duration::from_secs(60), run).await.expect("ends").expect("runs")
}

async fn rebuild(dir: &Path) -> Output {
    run(dir, &["rebuild", "--data", "quoteguard.db"]).await
}

fn heard(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A service that took quotes by HTTP and from a file with bad lines, killed.
async fn killed() -> Arc<TempDir> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(dir.path().join("in")).expect("a folder");
    let app = TestApp::start_in(dir.into(), CONFIG).await;
    let quotes = history(7, 400);
    let (first, second) = quotes.split_at(200);
    for form in first {
        assert_eq!(app.check(form).await.expect("answers").status, 200);
    }
    let mut reused = first[0].clone();
    reused["premium"] = 1.into();
    let file = format!("{}no quote\n{}{reused}\n", lines(&second[..100]), lines(&second[100..]));
    fs::write(app.dir.path().join("in/a.jsonl"), file).expect("written");
    let rejects = "SELECT reason FROM rejects ORDER BY offset";
    eventually("the file is read", async || column(&app.database(), rejects).await == ["not_json", "id_reused"]).await;
    app.kill().await
}

async fn damage(dir: &TempDir, sql: &'static str) {
    let mut connection = connect(&dir.path().join("quoteguard.db")).await;
    sqlx::query(sql).execute(&mut connection).await.expect("damaged");
    connection.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_rebuilt_after_a_kill_is_the_same_and_is_served() {
    let dir = killed().await;
    let database = dir.path().join("quoteguard.db");
    let before = tables(&database).await;
    assert!(before[0].iter().any(|json| json.contains(r#""revision":2,"#)), "there are amendments");

    let done = rebuild(dir.path()).await;
    assert_eq!(done.status.code(), Some(0), "{}", heard(&done));
    assert!(
        heard(&done).lines().any(|line| line.split_whitespace().eq(["otherwise", "than", "published", "0"])),
        "{}",
        heard(&done)
    );
    assert_eq!(tables(&database).await, before);
    assert_eq!(tables(&dir.path().join("quoteguard.db.bak")).await, before);

    let again = rebuild(dir.path()).await;
    assert!(again.status.code() == Some(1) && heard(&again).contains("quoteguard.db.bak is there"), "{}", heard(&again));
    let app = TestApp::start_in(dir, CONFIG).await;
    let busy = rebuild(app.dir.path()).await;
    assert!(busy.status.code() == Some(1) && heard(&busy).contains("in use"), "{}", heard(&busy));
    for form in history(7, 400) {
        assert_eq!(app.check(&form).await.expect("answers").status, 200);
    }
    assert_eq!(column(&app.database(), TABLES[0]).await, before[0], "all of them are duplicates");
}

#[tokio::test(flavor = "multi_thread")]
async fn times_judged_by_the_clock_are_judged_by_the_stored_arrival() {
    let app = TestApp::start("").await;
    for (i, minutes) in [0, 10, 3, 60, 2_000].into_iter().enumerate() {
        let at = time::OffsetDateTime::now_utc() - time::Duration::minutes(minutes);
        let expected = if minutes > 24 * 60 { 422 } else { 200 };
        let answer = app.check(&crate::quotes::quote_at(&format!("q-{i}"), at, 1)).await.expect("answers");
        assert_eq!(answer.status, expected, "{minutes} minutes ago");
    }
    let dir = app.kill().await;
    let database = dir.path().join("quoteguard.db");
    let before = tables(&database).await;
    let suspect = before[0].iter().filter(|json| json.contains("time_suspect")).count();
    assert_eq!((suspect, before[2].len()), (3, 1), "clamped to the arrival, and too old");
    let done = rebuild(dir.path()).await;
    assert_eq!(done.status.code(), Some(0), "{}", heard(&done));
    assert_eq!(tables(&database).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_corrupt_outside_of_the_log_are_left_behind() {
    let dir = killed().await;
    let database = dir.path().join("quoteguard.db");
    let before = tables(&database).await;
    damage(&dir, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    let roots = "SELECT CAST(rootpage AS TEXT) FROM sqlite_schema WHERE type = 'table' AND name IN ('segments', 'decisions')";
    let pages = column(&database, roots).await;
    let file = fs::OpenOptions::new().write(true).open(&database).expect("opens");
    for page in &pages {
        let page: u64 = page.parse().expect("a number");
        file.write_all_at(&[0xA5; 4096], (page - 1) * 4096).expect("written");
    }
    assert_eq!(pages.len(), 2);
    let refused = run(dir.path(), &["serve", "--listen", "127.0.0.1:0", "--data", "quoteguard.db"]).await;
    assert!(refused.status.code() == Some(1) && heard(&refused).contains("the file is corrupt"), "{}", heard(&refused));
    let done = rebuild(dir.path()).await;
    assert_eq!(done.status.code(), Some(0), "{}", heard(&done));
    let unknown = ["otherwise", "than", "published", "unknown"];
    assert!(heard(&done).lines().any(|line| line.split_whitespace().eq(unknown)), "{}", heard(&done));
    assert_eq!(tables(&database).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_explains_comes_back() {
    let dir = killed().await;
    let database = dir.path().join("quoteguard.db");
    let before = tables(&database).await;
    for (i, sql) in [
        "UPDATE segments SET deltas = x'00' WHERE from_offset = (SELECT max(from_offset) FROM segments)",
        "DELETE FROM segments",
        "DELETE FROM decisions",
        "DELETE FROM position",
    ]
    .into_iter()
    .enumerate()
    {
        damage(&dir, sql).await;
        if !sql.contains("decisions") {
            let refused = run(dir.path(), &["serve", "--listen", "127.0.0.1:0", "--data", "quoteguard.db"]).await;
            assert!(
                refused.status.code() == Some(1) && heard(&refused).contains("run `quoteguard rebuild`"),
                "{}",
                heard(&refused)
            );
        }
        let done = rebuild(dir.path()).await;
        assert_eq!(done.status.code(), Some(0), "{sql}: {}", heard(&done));
        assert_eq!(tables(&database).await, before, "{sql}");
        fs::rename(dir.path().join("quoteguard.db.bak"), dir.path().join(format!("{i}.bak"))).expect("moved away");
    }
    let (dir, status) = TestApp::start_in(dir, CONFIG).await.stop().await;
    assert_eq!(status.code(), Some(0));

    // Of what the log itself has lost nothing is made up, and the file stays.
    let whole = fs::read(&database).expect("reads");
    for (sql, expected) in [
        ("UPDATE log SET kind = 2 WHERE kind = 1", "no rule book of version 1 before offset 1"),
        ("DELETE FROM log WHERE offset = 40", "no record at offset 40"),
        ("DELETE FROM log WHERE offset = (SELECT max(offset) FROM log)", "its position says"),
    ] {
        damage(&dir, sql).await;
        let kept = fs::read(&database).expect("reads");
        let refused = rebuild(dir.path()).await;
        assert_eq!(refused.status.code(), Some(1), "{sql}");
        assert!(heard(&refused).contains("is as it was") && heard(&refused).contains(expected), "{sql}: {}", heard(&refused));
        assert_eq!(fs::read(&database).expect("reads"), kept, "{sql}");
        assert!(!dir.path().join("quoteguard.db.bak").exists(), "{sql}");
        fs::write(&database, &whole).expect("written");
    }
}

/// Refused under the settings of `config` until it is rebuilt under them; then served.
async fn rebuilt_under(dir: Arc<TempDir>, config: &str, key: &str) -> TestApp {
    fs::write(dir.path().join("quoteguard.toml"), config).expect("written");
    let refused = run(dir.path(), &["serve", "--listen", "127.0.0.1:0", "--data", "quoteguard.db"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(heard(&refused).contains(key) && heard(&refused).contains("quoteguard rebuild"), "{}", heard(&refused));
    let done = rebuild(dir.path()).await;
    assert_eq!(done.status.code(), Some(0), "{}", heard(&done));
    TestApp::start_in(dir, config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_lowered_through_a_rebuild_only() {
    for (key, value, metric_max) in [("live_attempts_max", 50, 50.0), ("live_bytes_max", 60_000, 110.0)] {
        let config = format!("{CONFIG}[limits]\n{key} = {value}\n");
        let app = rebuilt_under(killed().await, &config, &format!("limits.{key}")).await;
        eventually("the window is loaded", async || app.check(&crate::quotes::quote("new")).await.is_ok()).await;
        let live = app.metric("quoteguard_live_attempts").await;
        assert!((1.0..=metric_max).contains(&live), "{key}: {live} attempts");
        let truncated = column(&app.database(), "SELECT quote_id FROM decisions WHERE json LIKE '%\"truncated\"%'").await;
        assert!(!truncated.is_empty(), "{key}: decided again under the new limit");
    }
}

/// One wrong year at the head of a file makes all that follows too old; the log holds it, so a start given later mends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_of_the_clock_given_later_decides_what_a_wrong_first_record_had_shut_out() {
    let dir = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    fs::create_dir(dir.path().join("in")).expect("a folder");
    let app = TestApp::start_in(dir, CONFIG).await;
    let mut quotes = history(7, 20);
    quotes[0]["submitted_at"] = "2090-01-01T00:00:00Z".into();
    fs::write(app.dir.path().join("in/a.jsonl"), lines(&quotes)).expect("written");
    let reasons = "SELECT reason || ' ' || offset FROM rejects ORDER BY offset";
    eventually("the file is read", async || column(&app.database(), reasons).await.len() == 19).await;
    assert!(column(&app.database(), reasons).await.iter().all(|reason| reason.starts_with("too_old")));
    let config = CONFIG.replace("[time]", &format!("[time]\nevent_start = {}", quotes[1]["submitted_at"]));
    let app = rebuilt_under(app.kill().await, &config, "time.event_start").await;
    assert_eq!(column(&app.database(), reasons).await, ["time_jump 1"]);
    let decided = "SELECT DISTINCT quote_id FROM decisions";
    assert_eq!(column(&app.database(), decided).await.len(), 19);
}
