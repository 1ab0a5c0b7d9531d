//! The page of operations: pipelines are seen, ordered, and the order is written down.

use super::browser::{Browser, CONFIG, desk};
use crate::app::TestApp;
use crate::quotes::quote;

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
