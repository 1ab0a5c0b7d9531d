//! `kill -9` of the service and of PostgreSQL under load: what the log holds is on the desk, once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tempfile::TempDir;

use super::postgres::Server;
use crate::app::{TestApp, connect, eventually};
use crate::quotes::{Lcg, history};
use crate::servers::{Kind, Private, postgres};

/// Quotes between two kills.
const QUOTES: usize = 160;
/// Positions, decisions and quotes as the log and as the desk have them.
const OF_THE_LOG: [&str; 3] = [
    "SELECT 'decisions ' || (max(rowid) + 1) FROM decisions UNION ALL SELECT 'quotes ' || (max(offset) + 1) FROM log",
    "SELECT offset || ' ' || revision || ' ' || CAST(json AS TEXT) FROM decisions ORDER BY offset, revision",
    "SELECT offset || ' ' || hex(body) FROM log WHERE kind = 0 ORDER BY offset",
];
const OF_THE_DESK: [&str; 3] = [
    "SELECT feed || ' ' || next FROM sink_offsets ORDER BY feed",
    "SELECT log_offset || ' ' || revision || ' ' || json FROM decisions ORDER BY log_offset, revision",
    "SELECT log_offset || ' ' || upper(encode(body, 'hex')) FROM forms ORDER BY log_offset",
];

async fn of_the_log(dir: &Path, sql: &'static str) -> Vec<String> {
    let rows = sqlx::query(sql).fetch_all(&mut connect(&dir.join("quoteguard.db")).await).await.expect("reads");
    rows.iter().map(|row| row.get(0)).collect()
}

async fn of_the_desk(url: &str, sql: &'static str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.expect("connects");
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.expect("reads");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Sends quotes until one is not answered; counts the answers.
async fn send(app: &TestApp, quotes: &[Value], answered: &AtomicUsize) {
    for quote in quotes {
        match app.check(quote).await {
            Ok(answer) => assert_eq!(answer.status, 200, "a desk that is away delays nothing"),
            Err(_) => return,
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until the desk stands where the log ends: then each decision is there, once. Gives how many.
async fn has_the_whole_log(dir: &Path, database: &str) -> usize {
    let ends = of_the_log(dir, OF_THE_LOG[0]).await;
    eventually("the desk has the whole log", async || of_the_desk(database, OF_THE_DESK[0]).await == ends).await;
    for (log, desk) in OF_THE_LOG.into_iter().zip(OF_THE_DESK).skip(1) {
        let (expected, found) = (of_the_log(dir, log).await, of_the_desk(database, desk).await);
        assert_eq!(found.len(), expected.len(), "missing or twice");
        assert!(found == expected, "not the same");
    }
    of_the_log(dir, OF_THE_LOG[1]).await.len()
}

/// Kills the service `kills` times, and PostgreSQL as often, each somewhere in its part of the quotes.
async fn survives(kills: usize) {
    let server = Private::start(Kind::Postgres, &[]);
    let database = Server(server.url()).database().await.url;
    let config = format!("[time]\narrival = 'event'\n[desk]\nurl = '{database}'\n");
    let mut dir = Arc::new(TempDir::new().expect("a temporary folder"));
    let mut random = Lcg(kills as u64);
    let quotes = history(11, QUOTES * kills + 50);
    let (doomed, last) = quotes.split_at(QUOTES * kills);
    for part in doomed.chunks(QUOTES) {
        let app = TestApp::start_in(dir, &config).await;
        let answered = AtomicUsize::new(0);
        let database_dies = 1 + random.below(QUOTES as u64 / 2) as usize;
        let service_dies = database_dies + 1 + random.below(QUOTES as u64 / 3) as usize;
        let sending = send(&app, part, &answered);
        let killing = async {
            eventually("quotes come in", async || answered.load(Ordering::Relaxed) >= database_dies).await;
            server.kill();
            let before = answered.load(Ordering::Relaxed);
            eventually("decisions go on", async || answered.load(Ordering::Relaxed) > before).await;
            if service_dies.is_multiple_of(2) {
                server.restart();
            }
            eventually("quotes come in", async || answered.load(Ordering::Relaxed) >= service_dies).await;
        };
        tokio::select! {
            () = killing => {}
            () = async { sending.await; std::future::pending().await } => {}
        }
        dir = app.kill().await;
        server.restart();
    }
    let app = TestApp::start_in(dir.clone(), &config).await;
    send(&app, last, &AtomicUsize::new(0)).await;
    assert!(has_the_whole_log(dir.path(), &database).await > QUOTES);
    println!(
        "{kills} kills of each: {} decisions on the desk, none missing, none twice",
        of_the_log(dir.path(), OF_THE_LOG[1]).await.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_is_there_once_after_kills_of_either_side() {
    survives(3).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make test-faults"]
async fn every_decision_is_there_once_after_twenty_kills_of_either_side() {
    survives(20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_cannot_be_written_is_told_and_heals_without_a_restart() {
    let database = Server(postgres().to_owned()).database().await.url;
    let app = TestApp::start(&format!("[time]\narrival = 'event'\n[desk]\nurl = '{database}'\n")).await;
    let quotes = history(12, 90);
    let sent = async |quotes: &[Value]| {
        let answered = AtomicUsize::new(0);
        send(&app, quotes, &answered).await;
        assert_eq!(answered.into_inner(), quotes.len(), "decisions go on");
    };
    let up = async || app.metric("quoteguard_store_up{store=\"desk\"}").await;
    let ready = async || app.get("/readyz").await.expect("answers").text();
    sent(&quotes[..30]).await;
    has_the_whole_log(app.dir.path(), &database).await;
    eventually("it follows", async || up().await == 1.0).await;
    let mut server = PgConnection::connect(&database).await.expect("connects");
    // What no second try mends by itself.
    sqlx::query("ALTER TABLE decisions RENAME TO elsewhere").execute(&mut server).await.expect("renamed");
    sent(&quotes[30..60]).await;
    eventually("it is told", async || up().await == 0.0).await;
    let told = ready().await;
    assert!(told.starts_with("ok\nthe desk is degraded, the desk's store: ") && told.contains("quoteguard migrate"), "{told}");
    sent(&quotes[60..]).await;
    assert_eq!(up().await, 0.0, "it stays so");
    sqlx::query("ALTER TABLE elsewhere RENAME TO decisions").execute(&mut server).await.expect("renamed back");
    let decisions = has_the_whole_log(app.dir.path(), &database).await;
    assert!(decisions >= 90, "{decisions}");
    eventually("it follows again", async || up().await == 1.0 && ready().await == "ok\n").await;
}
