//! A file that is no longer what it was: the service says so and stops, and promises nothing that it cannot keep.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::app::{TestApp, column, connect};
use crate::quotes::quote;

const LOGGED: &str = "SELECT CAST(offset AS TEXT) FROM log ORDER BY offset";

/// Runs `serve` until it ends by itself; its code and what it said.
async fn refused_start(dir: &Path) -> (Option<i32>, String) {
    let run = tokio::process::Command::new(crate::app::BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--data", "quoteguard.db"])
        .current_dir(dir)
        .kill_on_drop(true)
        .output();
    let run = tokio::time::timeout(std::time::Duration::from_secs(60), run).await.expect("it does not start").expect("runs");
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
    let (code, said) = refused_start(dir.path()).await;
    assert!(code == Some(1) && said.contains("corrupt"), "{said}");
}

#[tokio::test]
async fn a_row_that_another_program_wrote_is_not_passed_over() {
    let app = TestApp::start("").await;
    assert_eq!(app.check(&quote("q-1")).await.expect("answers").status, 200);
    let foreign = "INSERT INTO log VALUES (2, 0, 0, 0, 0, 'x', NULL, x'')";
    sqlx::query(foreign).execute(&mut connect(&app.database()).await).await.expect("written");
    assert_eq!(app.check(&quote("q-2")).await.expect("answers").status, 503);
    let (dir, status, said) = app.wait_and_hear().await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("another program has written to the file") && said.contains("log.offset"), "{said}");
    assert_eq!(column(&dir.path().join("quoteguard.db"), LOGGED).await, ["0", "1", "2"]);
    let none = column(&dir.path().join("quoteguard.db"), "SELECT quote_id FROM decisions WHERE quote_id = 'q-2'").await;
    assert!(none.is_empty(), "nothing of the batch is there");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("quoteguard.db"), [0x5A; 8192]).expect("written");
    let (code, said) = refused_start(dir.path()).await;
    assert!(code == Some(1) && said.contains("quoteguard.db") && said.contains("not a database"), "{said}");
}
