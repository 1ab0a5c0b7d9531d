//! The desk of a running service.

use serde_json::json;

use crate::app::{TestApp, column, eventually};
use crate::quotes::quote;

#[tokio::test(flavor = "multi_thread")]
async fn a_referral_is_on_the_desk_at_once_and_after_a_kill() {
    let app = TestApp::start("[desk]\ncurrency = 'RUB'\n").await;
    eventually("nobody waits", async || app.metric("quoteguard_store_up{store=\"desk\"}").await == 1.0).await;
    assert_eq!(app.metric("quoteguard_referrals_open").await, 0.0);
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
    eventually("somebody waits", async || app.metric("quoteguard_referrals_open").await == 1.0).await;
    let protected = "quoteguard_premium_protected_total{currency=\"RUB\"}";
    eventually("the price has fallen", async || app.metric(protected).await == 4_500.0).await;
    let dir = app.kill().await;
    let app = TestApp::start_in(dir, "").await;
    assert_eq!(app.get(&path).await.expect("answers").json(), referral);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ruling_by_the_api_is_in_the_audit_once_and_speaks_of_its_rules() {
    let app = TestApp::start("").await;
    let mut last = json!(null);
    for (attempt, vin) in ["XTA219010K0123456", "XTA219010K0123465", "XTA219010K0128456", "XTA219O10K0123456"].iter().enumerate()
    {
        let mut form = quote(&format!("q-{attempt}"));
        form["vehicle"]["vin"] = json!(vin);
        last = app.check(&form).await.expect("answers").json();
    }
    let id = last["referral_id"].as_str().expect("a case").to_owned();
    let path = format!("/v1/referrals/{id}");
    eventually("the case is on the desk", async || app.get(&path).await.is_ok_and(|answer| answer.status == 200)).await;
    let ruling = json!({"ruling_id": "api-1", "kind": "confirmed", "case": id, "quote_ids": ["q-3"]}).to_string();
    for _ in 0..2 {
        assert_eq!(app.post("/v1/rulings", "application/json", ruling.clone()).await.expect("answers").status, 200);
    }
    let erasure = json!({"ruling_id": "api-2", "kind": "erased", "quote_ids": ["q-0"]}).to_string();
    assert_eq!(app.post("/v1/rulings", "application/json", erasure).await.expect("answers").status, 200);
    let desk = app.dir.path().join("quoteguard-desk.db");
    let written = "SELECT actor || ' ' || action || ' ' || subject FROM audit WHERE action LIKE 'case.%' OR action LIKE 'quotes.%' ORDER BY seq";
    let expected = [format!("anyone case.confirmed {id}"), "anyone quotes.erased api-2".to_owned()];
    eventually("both are in the audit", async || column(&desk, written).await == expected).await;
    let answered = "quoteguard_rule_feedback_total{outcome=\"confirmed\",rule=\"picking-24h\"}";
    eventually("the rule was right", async || app.metric(answered).await == 1.0).await;
    eventually("nobody waits", async || app.metric("quoteguard_referrals_open").await == 0.0).await;
}
