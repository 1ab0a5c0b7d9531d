//! The desk of a running service.

use serde_json::json;

use crate::app::{TestApp, eventually};
use crate::quotes::quote;

#[tokio::test(flavor = "multi_thread")]
async fn a_referral_is_on_the_desk_at_once_and_after_a_kill() {
    let app = TestApp::start("").await;
    let mut last = json!(null);
    for (attempt, vin) in ["XTA219010K0123456", "XTA219010K0123465", "XTA219010K0128456", "XTA219O10K0123456"].iter().enumerate()
    {
        let mut form = quote(&format!("q-{attempt}"));
        form["vehicle"]["vin"] = json!(vin);
        form["premium"] = json!(12_000 - 1_500 * attempt);
        last = app.check(&form).await.expect("answers").json();
    }
    assert_eq!(last["decision"], "refer", "{last}");
    let id = last["referral_id"].as_str().expect("a case").to_owned();
    let path = format!("/v1/referrals/{id}");
    eventually("the case is on the desk", async || app.get(&path).await.is_ok_and(|answer| answer.status == 200)).await;
    let referral = app.get(&path).await.expect("answers").json();
    assert_eq!((&referral["status"], &referral["revision"]), (&json!("open"), &json!(1)), "{referral}");
    assert_eq!(referral["quote_ids"], json!(["q-3"]), "{referral}");
    assert_eq!(app.get(&format!("{path}?tenant=elsewhere")).await.expect("answers").status, 404);
    assert_eq!(app.get("/v1/referrals/R-none").await.expect("answers").status, 404);
    let dir = app.kill().await;
    let app = TestApp::start_in(dir, "").await;
    assert_eq!(app.get(&path).await.expect("answers").json(), referral);
}
