//! Webhooks: signed, in order, until they are taken, and to no address that they have no business at.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

use super::browser::{Browser, CONFIG, plant};
use crate::app::{TestApp, eventually};

const SECRET: &str = "a secret of some length";

/// What came, and how often the next is refused.
#[derive(Default)]
struct Site {
    refuse: usize,
    seen: usize,
    taken: Vec<(HeaderMap, String)>,
}

type Shared = Arc<Mutex<Site>>;

async fn receive(
    State(site): State<Shared>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let mut site = site.lock().expect("not poisoned");
    site.seen += 1;
    if site.refuse > 0 {
        site.refuse -= 1;
        // A redirect is followed nowhere.
        return (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]);
    }
    site.taken.push((headers, body));
    (StatusCode::NO_CONTENT, [("x-site", "taken")])
}

async fn site() -> (Shared, String) {
    let shared = Shared::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let router = Router::new().route("/hook", post(receive)).route("/elsewhere", post(receive)).with_state(shared.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (shared, url)
}

fn config(url: &str, allow_private: bool) -> String {
    format!("{CONFIG}[[webhooks]]\nname = 'site'\nurl = '{url}'\nsecret = '{SECRET}'\nallow_private = {allow_private}\n")
}

fn taken(site: &Shared) -> Vec<(HeaderMap, String)> {
    site.lock().expect("not poisoned").taken.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_of_a_case_arrives_signed_through_failures_and_restarts() {
    let (site, url) = site().await;
    let app = TestApp::start(&config(&url, true)).await;
    eventually("the webhook is known", async || {
        super::browser::desk(&app, "SELECT webhook FROM webhook_cursors").await == ["site"]
    })
    .await;
    site.lock().expect("not poisoned").refuse = 2;
    let referral = plant(&app, 21, "default").await;
    eventually("it is refused twice", async || site.lock().expect("not poisoned").seen >= 2).await;
    let app = TestApp::start_in(app.kill().await, &config(&url, true)).await;
    let told = |message: &(HeaderMap, String)| serde_json::from_str::<Value>(&message.1).expect("JSON");
    let joined: u64 = super::browser::desk(&app, "SELECT quotes FROM cases").await[0].parse().expect("a number");
    assert!(joined > 1, "{joined}");
    eventually("the opening is told, and that quotes have joined", async || {
        taken(&site).last().is_some_and(|last| told(last)["revision"] == joined)
    })
    .await;
    let before = taken(&site).len();
    let mut olga = Browser::admin(&app).await;
    let path = format!("/console/referrals/{referral}");
    olga.page(&path).await;
    assert_eq!(olga.post(&format!("{path}/rule"), &[("kind", "confirmed"), ("revision", "1")]).await.status, 303);
    eventually("the ruling is told", async || taken(&site).len() == before + 1).await;
    let messages: Vec<Value> = taken(&site).iter().map(told).collect();
    let revisions: Vec<u64> = messages.iter().map(|told| told["revision"].as_u64().expect("a number")).collect();
    assert!(revisions.windows(2).all(|pair| pair[0] < pair[1]), "whoever gets them out of order knows the newer: {revisions:?}");
    let (ruled, opened) = messages.split_last().expect("some");
    assert_eq!((&ruled["status"], &ruled["revision"]), (&"confirmed".into(), &(joined + 1).into()));
    assert!(opened.iter().all(|told| told["status"] == "open"), "{opened:?}");
    for ((headers, body), told) in taken(&site).iter().zip(&messages) {
        assert_eq!(told["referral_id"], referral.as_str());
        let signature = headers["quoteguard-signature"].to_str().expect("text");
        let (time, hex) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).expect("two parts");
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).expect("a key");
        mac.update(format!("{time}.{body}").as_bytes());
        let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
        assert_eq!(headers["quoteguard-delivery"], format!("{referral}.{}", told["revision"]));
        for personal in ["Тестова", "XTA219010K", "anna21"] {
            assert!(!body.contains(personal), "{body}");
        }
    }
    let delivered = "quoteguard_webhook_deliveries_total{outcome=\"taken\",webhook=\"site\"}";
    eventually("each is counted", async || app.metric(delivered).await == messages.len() as f64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_not_public_is_refused() {
    let (site, url) = site().await;
    let app = TestApp::start(&config(&url, false)).await;
    eventually("the webhook is known", async || {
        super::browser::desk(&app, "SELECT webhook FROM webhook_cursors").await == ["site"]
    })
    .await;
    plant(&app, 22, "default").await;
    let failed = "quoteguard_webhook_deliveries_total{outcome=\"failed\",webhook=\"site\"}";
    eventually("it was tried", async || app.metric(failed).await >= 1.0).await;
    app.terminate();
    let (_, _, said) = app.wait_and_hear().await;
    assert!(said.contains("127.0.0.1 is no public address"), "{said}");
    assert!(!said.contains(SECRET));
    assert_eq!(site.lock().expect("not poisoned").seen, 0, "nothing was sent");
}
