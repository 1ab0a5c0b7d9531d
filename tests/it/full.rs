//! A disk that takes no more, and then does: what was accepted is kept, committed once and answered.

use crate::app::{TestApp, column, eventually};
use crate::quotes::quote;

const LOGGED: &str = "SELECT CAST(offset AS TEXT) FROM log ORDER BY offset";
const DECIDED: &str = "SELECT quote_id FROM decisions ORDER BY offset";
const FAILED: &str = "quoteguard_checkpoint_failures_total{kind=\"commit\"}";

#[tokio::test]
async fn a_full_disk_stops_the_service_only_while_it_is_full() {
    let app = TestApp::start_limitable("[http]\nanswer_timeout_ms = 200\n").await;
    let mut expected = Vec::new();
    for round in 0..3 {
        let id = |name: &str| format!("{name}-{round}");
        let check = async |name: &str| app.check(&quote(&id(name))).await.expect("answers");
        assert_eq!(check("before").await.status, 200);
        let failed = app.metric(FAILED).await;
        app.limit_files("4096");
        let accepted = check("while").await;
        assert_eq!(accepted.status, 202, "{}", accepted.json());
        eventually("it was tried again in vain", async || app.metric(FAILED).await >= failed + 3.0).await;
        assert_eq!(app.get("/readyz").await.expect("answers").status, 503);
        let refused = check("refused").await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"), "{}", refused.json());
        let location = format!("/v1/decisions/{}", id("while"));
        assert_eq!(app.get(&location).await.expect("answers").status, 202);

        app.limit_files("unlimited");
        eventually("the quote is decided", async || app.get(&location).await.is_ok_and(|a| a.status == 200)).await;
        eventually("the service is ready", async || app.get("/readyz").await.is_ok_and(|a| a.status == 200)).await;
        assert_eq!(check("after").await.status, 200);
        expected.extend(["before", "while", "after"].map(id));
    }
    let app = TestApp::start_in(app.kill().await, "").await;
    assert_eq!(column(&app.database(), DECIDED).await, expected, "each once, in the order they were accepted");
    let offsets: Vec<String> = (0..=expected.len()).map(|offset| offset.to_string()).collect();
    assert_eq!(column(&app.database(), LOGGED).await, offsets, "the rule book, then the quotes");
    assert_eq!(app.check(&quote("restarted")).await.expect("answers").status, 200);
}
