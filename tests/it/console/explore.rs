//! Decisions found, counted and exported.

use time::OffsetDateTime;

use super::browser::{Browser, CONFIG, plant};
use crate::app::TestApp;
use crate::quotes::quote_at;

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
    let next = super::browser::between(&first, "href=\"/console/explore?", "\" rel=\"next\"");
    let next = next.rsplit("/console/explore?").next().expect("a query").replace("&#38;", "&").replace("&amp;", "&");
    let second = olga.page(&format!("/console/explore?{next}")).await;
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
