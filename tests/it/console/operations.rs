//! The page of operations: pipelines are seen, ordered, and the order is written down.

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::browser::{Browser, CONFIG, desk};
use crate::app::{TestApp, column, eventually};
use crate::quotes::{lines, quote, quote_at};

#[tokio::test]
async fn an_administrator_holds_a_pipeline_and_the_chain_tells_who_did() {
    let app = TestApp::start(CONFIG).await;
    let mut admin = Browser::admin(&app).await;
    let mut auditor = Browser::person(&mut admin, "auditor-1", "auditor", "").await;
    let page = admin.page("/console/operations").await;
    assert!(page.contains("running") && page.contains("value=\"drain\""), "{page}");
    let done = admin.post("/console/operations/pipelines", &[("name", "http"), ("do", "pause")]).await;
    assert_eq!((done.status.as_u16(), done.header("location")), (303, "/console/operations?done=pipeline"));
    assert_eq!(app.check(&quote("q-1")).await.expect("answered").status, 503);
    let seen = auditor.page("/console/operations").await;
    assert!(seen.contains("paused") && !seen.contains("value=\"drain\""), "{seen}");
    admin.page("/console/operations").await;
    assert_eq!(admin.post("/console/operations/pipelines", &[("name", "http"), ("do", "resume")]).await.status, 303);
    assert_eq!(app.check(&quote("q-1")).await.expect("answered").status, 200);
    assert_eq!(admin.post("/console/operations/pipelines", &[("name", "nothing"), ("do", "pause")]).await.status, 404);
    let rows = "SELECT actor || ' ' || action || ' ' || subject FROM audit WHERE action LIKE 'pipeline%' ORDER BY seq";
    assert_eq!(desk(&app, rows).await, ["admin pipeline.pause http", "admin pipeline.resume http"]);
}

#[tokio::test]
async fn what_was_refused_is_listed_and_sent_again_once_its_cause_is_gone() {
    let dir = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    let days = |days| OffsetDateTime::now_utc() - Duration::days(days);
    // The second leaps ahead by more than is allowed; the third fills the gap.
    let quotes = [quote_at("early", days(20), 1), quote_at("leap", days(8), 2), quote_at("between", days(14), 3)];
    std::fs::create_dir(dir.path().join("in")).expect("a folder");
    std::fs::write(dir.path().join("in/a.jsonl"), format!("{}{{\"quote_id\": 7}}\n", lines(&quotes))).expect("written");
    let app = TestApp::start_in(dir, &format!("{CONFIG}[watch]\ndir = 'in'\npoll_ms = 20\n")).await;
    let mut admin = Browser::admin(&app).await;
    let mut auditor = Browser::person(&mut admin, "auditor-1", "auditor", "").await;
    let letters = "SELECT CAST(offset AS TEXT) FROM rejects ORDER BY offset";
    eventually("the file is read", async || column(&app.database(), letters).await.len() == 2).await;
    let offsets = column(&app.database(), letters).await;

    let page = admin.page("/console/operations").await;
    for part in ["time_jump", "a.jsonl:2", "a.jsonl:4", "/submitted_at", "/quote_id", "value=\"drain\""] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("leap") && !page.contains("XTA219010K"), "no record itself: {page}");
    assert_eq!(page.matches("name=\"offset\"").count(), 2);
    assert!(!auditor.page("/console/operations").await.contains("name=\"offset\""));
    assert_eq!(auditor.post("/console/operations/letters", &[("offset", &offsets[0])]).await.status, 403);

    for (offset, becomes) in [(&offsets[0], "letter-decided"), (&offsets[0], "letter-known"), (&offsets[1], "letter-no-quote")] {
        admin.page("/console/operations").await;
        let done = admin.post("/console/operations/letters", &[("offset", offset)]).await;
        assert_eq!(
            (done.status.as_u16(), done.header("location")),
            (303, format!("/console/operations?done={becomes}").as_str())
        );
    }
    assert!(admin.page("/console/operations?done=letter-decided").await.contains("It was a quote, and is decided."));
    assert_eq!(app.get("/v1/decisions/leap").await.expect("answers").status, 200);
    for (offset, status) in [("999999", 404), ("x", 400)] {
        assert_eq!(admin.post("/console/operations/letters", &[("offset", offset)]).await.status, status, "{offset}");
    }
    let rows = "SELECT actor || ' ' || subject FROM audit WHERE action = 'letter.again' ORDER BY seq";
    let by = |offset: &String| format!("admin {offset}");
    assert_eq!(desk(&app, rows).await, [by(&offsets[0]), by(&offsets[0]), by(&offsets[1])]);
}
