//! Texts that want to be more than texts: through every field of a quote, on every page.

use serde_json::{Value, json};

use super::browser::{Browser, CONFIG, plant_with};
use crate::app::TestApp;

const HOSTILE: &str = "<script>alert(1)</script>'\"; DROP TABLE cases; -- \u{202e}\u{200b}{{7*7}}%00&lt;";

/// Puts the text into every string of the quote that takes any.
fn poison(value: &mut Value, key: &str) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(key, value)| poison(value, key)),
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, key)),
        Value::String(text) if !["quote_id", "submitted_at", "tenant", "kind", "birth_date", "vin", "product"].contains(&key) => {
            *text = format!("{text}{HOSTILE}").chars().take(250).collect();
        }
        _ => {}
    }
}

#[tokio::test]
async fn every_field_of_a_quote_stays_a_text() {
    let app = TestApp::start(CONFIG).await;
    let tenant = "<i>t</i>'--\u{202e}";
    let referral = plant_with(&app, 11, "default", |quote| {
        quote["policyholder"]["middle_name"] = json!("x");
        quote["policyholder"]["address"]["line"] = json!("x");
        quote["drivers"] = json!([{"last_name": "x", "first_name": "y", "driver_licence": "z"}]);
        quote["coverage"]["extra"] = json!({"<b>": "<script>alert(2)</script>"});
        poison(quote, "");
    })
    .await;
    let mut own = crate::quotes::quote("foreign");
    own["tenant"] = json!(tenant);
    own["product"] = json!("<script>alert(3)</script>");
    assert_eq!(app.check(&own).await.expect("answers").status, 200);
    let mut olga = Browser::admin(&app).await;
    let path = format!("/console/referrals/{referral}");
    olga.page(&path).await;
    let open = olga.post(&format!("{path}/open"), &[("field", "all")]).await.header("location").to_owned();
    let page = olga.page(&open).await;
    assert!(page.contains("alert(1)") && page.contains("[U+202E][U+200B]"), "the text is shown as it is: {page}");
    let hostile = [
        "/console",
        "/console/referrals",
        "/console/explore",
        "/console/audit",
        "/console/accounts",
        "/console/operations",
        "/console/rules",
        &path,
        &open,
    ];
    for path in hostile {
        let page = olga.page(path).await;
        for raw in ["<script>alert", "<i>t</i>", "\u{202e}", "\u{200b}", "DROP TABLE cases; -- \u{202e}", "'\"; DROP"] {
            assert!(!page.contains(raw), "{path} holds {raw:?}");
        }
    }
    let csv = olga.page("/console/explore.csv").await;
    assert!(csv.lines().count() >= 8 && csv.starts_with("event_time,tenant,quote_id"), "{csv}");
    // And through what people may write into addresses and forms.
    let encoded = "%3Cscript%3Ealert(4)%3C/script%3E%27%22--%E2%80%AE";
    for path in [
        format!("/console/referrals?reason={encoded}&tenant={encoded}&who={encoded}&status={encoded}&after={encoded}"),
        format!(
            "/console/explore?rule={encoded}&tenant={encoded}&quote_id={encoded}&verdict={encoded}&from={encoded}&after={encoded}"
        ),
        format!("/console/audit?actor={encoded}&action={encoded}&subject={encoded}&before={encoded}"),
        format!("/console?done={encoded}"),
        format!("{path}?done={encoded}&open={encoded}&proof={encoded}&until={encoded}"),
    ] {
        let page = olga.page(&path).await;
        assert!(!page.contains("<script>alert"), "{path}");
    }
    assert_eq!(olga.get(&format!("/console/referrals/{encoded}")).await.status, 404);
    assert_eq!(super::browser::desk(&app, "SELECT count(*) FROM cases").await, ["1"], "the table is there");
}
