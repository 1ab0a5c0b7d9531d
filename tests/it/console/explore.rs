//! Decisions found, counted and exported.

use form_urlencoded::byte_serialize;
use sqlx::Row;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::browser::{Browser, CONFIG, between, plant};
use crate::app::{TestApp, connect, eventually};
use crate::quotes::quote_at;

/// The address of a page that asks for a condition.
fn asking(page: &str, condition: &str) -> String {
    format!("/console/{page}?where={}", byte_serialize(condition.as_bytes()).collect::<String>())
}

/// Where a page goes on.
fn next(page: &str) -> String {
    let next = between(page, "href=\"/console/explore?", "\" rel=\"next\"");
    let next = next.rsplit("/console/explore?").next().expect("a query").replace("&#38;", "&").replace("&amp;", "&");
    format!("/console/explore?{next}")
}

#[tokio::test]
async fn decisions_are_found_and_exported_as_the_filter_says() {
    let app = TestApp::start(CONFIG).await;
    let referral = plant(&app, 12, "default").await;
    for i in 0..60 {
        let other = quote_at(&format!("other-{i}"), OffsetDateTime::now_utc(), 1_000 + i);
        assert_eq!(app.check(&other).await.expect("answers").status, 200);
    }
    let mut olga = Browser::admin(&app).await;
    crate::app::eventually("all are on the desk", async || {
        super::browser::desk(&app, "SELECT count(*) FROM decisions WHERE is_current = 1").await == ["66"]
    })
    .await;
    let all = olga.page("/console/explore.csv").await;
    assert_eq!(all.lines().count(), 67, "a head and each decision");
    let referred = olga.page("/console/explore.csv?verdict=refer").await;
    assert!(referred.lines().skip(1).all(|line| line.contains(",refer,") && line.contains(&referral)), "{referred}");
    assert!(referred.lines().count() > 1);
    let one = olga.page("/console/explore?quote_id=other-7").await;
    assert!(one.contains(">other-7<") && !one.contains(">other-8<"), "{one}");
    let first = olga.page("/console/explore").await;
    assert_eq!(first.matches("class=\"verdict ").count(), 50);
    let second = olga.page(&next(&first)).await;
    assert_eq!(second.matches("class=\"verdict ").count(), 16);
    let none = olga.page("/console/explore?from=2020-01-01T00:00&to=2020-01-02T00:00").await;
    assert!(none.contains("No decision matches"));
    let wrong = olga.page("/console/explore?from=yesterday").await;
    assert!(wrong.contains("Give the time as"), "{wrong}");
    let rule = olga.page("/console/explore?rule=picking-24h").await;
    assert!(rule.contains("picking-24h") && !rule.contains(">other-7<"));
    let page = olga.page("/console").await;
    assert!(page.contains("Quotes are taken and decided") && page.contains("<rect class=\"refer\""), "{page}");
    let exports = super::browser::desk(&app, "SELECT count(*) FROM audit WHERE action = 'decisions.export'").await;
    assert_eq!(exports, ["2"]);
}

#[tokio::test]
async fn a_condition_is_searched_for_like_a_rule_and_says_how_far_it_looked() {
    let app = TestApp::start(CONFIG).await;
    let referral = plant(&app, 12, "default").await;
    for i in 0..60 {
        let mut other = quote_at(&format!("other-{i}"), OffsetDateTime::now_utc(), 1_000 + i);
        other["premium"] = (10_000 + i).into();
        assert_eq!(app.check(&other).await.expect("answers").status, 200);
    }
    let mut olga = Browser::admin(&app).await;
    eventually("all are on the desk", async || {
        super::browser::desk(&app, "SELECT count(*) FROM decisions WHERE is_current = 1").await == ["66"]
    })
    .await;
    let lines = |page: &str| page.matches("class=\"verdict ").count();
    let condition = "decision == \"refer\" && rules.contains(\" picking-24h \") && suspicious_attempts >= 3";
    let page = olga.page(&asking("explore", condition)).await;
    assert!(lines(&page) >= 1 && page.contains(&referral) && !page.contains(">other-"), "{page}");
    assert!(page.contains("Decisions looked through: 66"), "{page}");
    let cheap = olga.page(&asking("explore", "premium >= 10000.0 && premium < 10007.0 && quote_id.startsWith(\"other-\")")).await;
    assert_eq!(lines(&cheap), 7, "{cheap}");
    // A page that has found enough says where it goes on.
    let first = olga.page(&asking("explore", "attempts >= 1")).await;
    assert_eq!(lines(&first), 50);
    assert!(first.contains("Decisions looked through: 50"));
    assert_eq!(lines(&olga.page(&next(&first)).await), 16);
    // The table has what the page has, and other fields of the form still count.
    let table = olga.page(&format!("{}&verdict=accept", asking("explore.csv", "premium < 10003.0 && premium > 1.0"))).await;
    let ids: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
    assert_eq!(ids.len(), 3, "{table}");
    assert!(ids.iter().all(|id| ["other-0", "other-1", "other-2"].contains(id)), "{table}");
    let wrong = olga.page(&asking("explore", "premum > 1.0")).await;
    for part in ["unknown name `premum`", "premium", "^^^^^^", "aria-invalid"] {
        assert!(wrong.contains(part), "{part}: {wrong}");
    }
    assert_eq!(lines(&wrong), 0, "nothing is shown for what is not understood");
    assert_eq!(olga.get(&asking("explore.csv", "premum > 1.0")).await.status, 400);
    let hostile = olga.page(&asking("explore", "<script>alert(1)</script>")).await;
    assert!(!hostile.contains("<script>alert"), "{hostile}");
}

const PLANTED: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80000) \
    INSERT INTO decisions (log_partition, log_offset, revision, event_time, is_current, decision_id, tenant, quote_id, verdict, answer, \
    rules, attempts, suspicious_attempts, suspicion, json) \
    SELECT 9, i, 1, $1, 1, printf('%032x', i), 'default', printf('q-%0160d', i), 'accept', 'accept', '', 1, 0, 0.0, '{}' FROM n";

#[tokio::test]
async fn a_download_whose_client_stops_reading_holds_nothing_and_is_broken_off() {
    let app = TestApp::start(&format!("[http]\nbody_timeout_ms = 5000\n{CONFIG}")).await;
    let mut olga = Browser::admin(&app).await;
    let database = app.dir.path().join("quoteguard-desk.db");
    let now = i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000).expect("fits");
    let mut desk = connect(&database).await;
    sqlx::query(PLANTED).bind(now).execute(&mut desk).await.expect("planted");
    let whole = olga.page("/console/explore.csv").await;
    assert_eq!(whole.lines().count(), 80_001);

    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8_192).expect("taken");
    let mut slow = socket.connect(app.addr).await.expect("connects");
    let cookies: Vec<String> = olga.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let request = format!("GET /console/explore.csv HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", app.addr, cookies.join("; "));
    slow.write_all(request.as_bytes()).await.expect("sent");
    let mut part = [0; 1_024];
    let mut heard = slow.read(&mut part).await.expect("begins");
    // The desk is written, and its journal emptied, which an open reader would prevent.
    assert_eq!(app.check(&quote_at("meanwhile", OffsetDateTime::now_utc(), 1)).await.expect("answers").status, 200);
    eventually("no reader is open", async || {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut desk).await;
        row.is_ok_and(|row| row.get::<i64, _>(0) == 0)
    })
    .await;
    let closed = async || app.metric(r#"quoteguard_http_connections_closed_total{reason="stalled"}"#).await;
    assert_eq!(closed().await, 0.0, "while the client still holds the download");
    eventually("the connection is closed", async || closed().await >= 1.0).await;
    let mut end = Vec::new();
    while let Ok(read) = slow.read(&mut part).await {
        if read == 0 {
            break;
        }
        heard += read;
        end = part[..read].to_vec();
    }
    assert!(heard < whole.len() && !end.ends_with(b"0\r\n\r\n"), "half a file is not taken for a whole: {heard} bytes");
}
