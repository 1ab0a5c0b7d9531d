//! A file that is no longer what it was: the service says so and stops, and promises nothing that it cannot keep.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};

use crate::app::{TestApp, column, connect};
use crate::quotes::quote;

const LOGGED: &str = "SELECT CAST(offset AS TEXT) FROM log ORDER BY offset";

/// Runs `serve` until it ends by itself; its code and what it said.
async fn refused_start(dir: &Path, data: &str) -> (Option<i32>, String) {
    let run = tokio::process::Command::new(crate::app::BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--data", data])
        .current_dir(dir)
        .kill_on_drop(true)
        .output();
    let run = tokio::time::timeout(std::time::Duration::from_secs(60), run).await.expect("it does not start").expect("runs");
    (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
}

/// Runs `rebuild` on a file of the folder; its code and what it said.
async fn refused_rebuild(dir: &Path, data: &str) -> (Option<i32>, String) {
    let run = tokio::process::Command::new(crate::app::BINARY).args(["rebuild", "--data", data]).current_dir(dir).output();
    let run = run.await.expect("runs");
    (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
}

/// Every page but the first, which holds the schema, with noise over it.
fn scribble(database: &Path) {
    let file = OpenOptions::new().write(true).open(database).expect("opens");
    let len = file.metadata().expect("a size").len();
    for page in 1..len / 4096 {
        file.write_all_at(&[0xA5; 4096], page * 4096).expect("written");
    }
}

#[tokio::test]
async fn a_file_corrupted_under_the_service_stops_it_and_nothing_is_answered() {
    let app = TestApp::start("").await;
    for i in 0..20 {
        assert_eq!(app.check(&quote(&format!("q-{i}"))).await.expect("answers").status, 200);
    }
    let mut other = connect(&app.database()).await;
    // Everything in the file itself, then damaged, then changed, so that the service reads it anew.
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut other).await.expect("folds");
    scribble(&app.database());
    sqlx::query("PRAGMA user_version = 1").execute(&mut other).await.expect("written");
    drop(other);

    let answer = app.check(&quote("q-last")).await.expect("answers");
    assert_eq!(answer.status, 503, "{}", answer.json());
    let (dir, status, said) = app.wait_and_hear().await;
    assert_eq!(status.code(), Some(1));
    for word in ["quoteguard.db", "corrupt", "quoteguard rebuild"] {
        assert!(said.contains(word), "{said}");
    }
    let (code, said) = refused_start(dir.path(), "quoteguard.db").await;
    assert!(code == Some(1) && said.contains("corrupt"), "{said}");
}

#[tokio::test]
async fn a_row_that_another_program_wrote_is_not_passed_over() {
    let app = TestApp::start("").await;
    assert_eq!(app.check(&quote("q-1")).await.expect("answers").status, 200);
    let foreign = "INSERT INTO log VALUES (2, 0, 0, 0, 0, 'x', NULL, x'', NULL)";
    sqlx::query(foreign).execute(&mut connect(&app.database()).await).await.expect("written");
    assert_eq!(app.check(&quote("q-2")).await.expect("answers").status, 503);
    let (dir, status, said) = app.wait_and_hear().await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("another program has written to the file") && said.contains("log.offset"), "{said}");
    assert_eq!(column(&dir.path().join("quoteguard.db"), LOGGED).await, ["0", "1", "2"]);
    let none = column(&dir.path().join("quoteguard.db"), "SELECT quote_id FROM decisions WHERE quote_id = 'q-2'").await;
    assert!(none.is_empty(), "nothing of the batch is there");
}

/// A file of another program, in its way of writing: what it says of itself, and one table.
async fn foreign(path: &Path, journal: SqliteJournalMode, application_id: u32, table: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).journal_mode(journal);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("opens");
    let mark = sqlx::AssertSqlSafe(format!("PRAGMA application_id = {application_id}"));
    sqlx::query(mark).execute(&mut connection).await.expect("written");
    sqlx::query(table).execute(&mut connection).await.expect("written");
    connection.close().await.expect("closes");
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| dir.path().join(name);
    let mut noise = b"SQLite format 3\0".to_vec();
    noise.resize(8192, 0x5A);
    std::fs::write(at("text"), "quote_id,submitted_at\n").expect("written");
    std::fs::write(at("bytes"), [0x5A; 8192]).expect("written");
    std::fs::write(at("headed"), noise).expect("written");
    std::fs::create_dir(at("folder")).expect("a folder");
    foreign(&at("notes"), SqliteJournalMode::Delete, 0, "CREATE TABLE notes (a)").await;
    foreign(&at("wal"), SqliteJournalMode::Wal, 0, "CREATE TABLE meta (a)").await;
    foreign(&at("marked"), SqliteJournalMode::Delete, 7, "CREATE TABLE log (a)").await;
    let look = || {
        let entries = std::fs::read_dir(dir.path()).expect("reads").map(|entry| entry.expect("an entry").path());
        entries.map(|path| (path.clone(), std::fs::read(path).ok())).collect::<BTreeMap<_, _>>()
    };
    let before = look();
    for (name, why) in [
        ("text", "it does not begin like an SQLite file"),
        ("bytes", "it does not begin like an SQLite file"),
        ("headed", "restore a whole copy of the file"),
        ("folder", "it is a folder"),
        ("notes", "another program keeps its data in it"),
        ("wal", "another program keeps its data in it"),
        ("marked", "another program keeps its data in it"),
    ] {
        for (code, said) in [refused_start(dir.path(), name).await, refused_rebuild(dir.path(), name).await] {
            assert!(code == Some(1) && said.contains(why) && said.contains("name another"), "{name}: {said}");
            assert!(!said.contains("run `quoteguard rebuild`"), "{name}: {said}");
            assert!(look() == before, "{name} and all beside it are as they were: {said}");
        }
    }
    std::fs::write(at("empty"), "").expect("written");
    for (name, why) in [("empty", "holds no log"), ("missing", "no such file")] {
        let (code, said) = refused_rebuild(dir.path(), name).await;
        assert!(code == Some(1) && said.contains(why) && !at(&format!("{name}.lock")).exists(), "{name}: {said}");
    }
}

#[tokio::test]
async fn a_file_of_before_the_mark_and_one_whose_creation_was_cut_short_are_ours() {
    let app = TestApp::start("").await;
    assert_eq!(app.check(&quote("q-1")).await.expect("answers").status, 200);
    let (dir, _) = app.stop().await;
    let database = dir.path().join("quoteguard.db");
    let mark = "SELECT CAST(application_id AS TEXT) FROM pragma_application_id";
    assert_eq!(column(&database, mark).await, [0x7167_7264.to_string()]);
    sqlx::query("PRAGMA application_id = 0").execute(&mut connect(&database).await).await.expect("written");
    let app = TestApp::start_in(dir, "").await;
    assert_eq!(app.check(&quote("q-2")).await.expect("answers").status, 200);
    assert_eq!(column(&app.database(), LOGGED).await, ["0", "1", "2"]);

    let (dir, _) = app.stop().await;
    std::fs::remove_file(&database).expect("removed");
    let migrations = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
        installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL, \
        execution_time BIGINT NOT NULL)";
    foreign(&database, SqliteJournalMode::Wal, 0, migrations).await;
    let app = TestApp::start_in(dir, "").await;
    assert_eq!(app.check(&quote("q-1")).await.expect("answers").status, 200);
}
