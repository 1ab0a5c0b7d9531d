//! How often a key, or an address, may ask.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{api_keys, check, send, status};
use crate::app::{TestApp, column, eventually};
use crate::quotes::quote;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_is_told_when_to_come_again_before_anything_is_accepted() {
    let config = "[[http.keys]]\nname = 'site'\ntenant = 'a'\nkey = 'correct-horse-battery'\nrate_per_sec = 1\nburst = 2\n\
                  [[http.keys]]\nname = 'other'\ntenant = 'a'\nkey = 'another-horse-battery'\n";
    let app = TestApp::start(config).await;
    let ask = async |id: &str| check(&app, &quote(id), "correct-horse-battery").await;
    assert_eq!(ask("q-1").await.status, 200);
    assert_eq!(ask("q-2").await.status, 200);
    let refused = ask("q-3").await;
    let began = Instant::now();
    assert_eq!((refused.status.as_u16(), refused.json()["type"].as_str()), (429, Some("urn:quoteguard:problem:rate-limited")));
    let told: u64 = refused.header("retry-after").parse().expect("whole seconds");
    assert_eq!(told, 1);
    let decision = send(&app, "GET", "/v1/decisions/q-1", "correct-horse-battery", &json!("")).await;
    assert_eq!(decision.status, 429, "whatever it asks for");
    assert_eq!(check(&app, &quote("q-4"), "another-horse-battery").await.status, 200, "another one is not held up");
    assert_eq!(check(&app, &quote("q-5"), "wrong-horse-battery").await.status, 401);

    eventually("it may ask again", async || ask("q-6").await.status == 200).await;
    assert!(
        began.elapsed() <= Duration::from_secs(told) + Duration::from_millis(500),
        "it was not told too little: {:?}",
        began.elapsed()
    );
    let logged = column(&app.database(), "SELECT quote_id FROM decisions ORDER BY offset").await;
    assert_eq!(logged, ["q-1", "q-2", "q-4", "q-6"], "what was refused is not in the log");
    assert!(app.metric(r#"quoteguard_rate_limited_total{client="site"}"#).await >= 2.0);
    assert!(app.metric(r#"quoteguard_rate_limited_total{client="other"}"#).await < 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_desk_have_rates_that_a_rotation_does_not_double() {
    let app = TestApp::start("[http]\nrequire_keys = true\nrate_per_sec = 1\nrate_burst = 3\n").await;
    let create = |name: &str, more: &[&str]| api_keys(&app, &[&["create", "--name", name], more].concat()).expect("made");
    let (slow, free) = (create("slow", &[]), create("free", &["--rate-per-sec", "0"]));
    eventually("the keys are known", async || status(&app, &free).await == 200).await;
    for number in 0..20 {
        assert_eq!(check(&app, &quote(&format!("f-{number}")), &free).await.status, 200);
    }
    let next = api_keys(&app, &["rotate", super::id(&slow)]).expect("rotated");
    // Only a good key is counted.
    eventually("the new one is known", async || status(&app, &next).await != 401).await;
    let mut statuses = Vec::new();
    for (number, key) in [&slow, &next, &slow, &next, &slow, &next].into_iter().enumerate() {
        statuses.push(check(&app, &quote(&format!("s-{}", number + 1)), key).await.status.as_u16());
    }
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert!((2..=3).contains(&passed) && statuses[5] == 429, "three at once by both, one of them before: {statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_an_address_has_a_rate() {
    let app = TestApp::start("[http]\nrate_per_sec = 1\nrate_burst = 2\n").await;
    let mut statuses = Vec::new();
    for number in 0..5 {
        statuses.push(check(&app, &quote(&format!("q-{number}")), "").await.status.as_u16());
    }
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses[2..].contains(&429), "{statuses:?}");
    assert_eq!(app.get("/livez").await.expect("answers").status, 200, "operators are not counted");
    assert!(app.metric(r#"quoteguard_rate_limited_total{client="address"}"#).await >= 1.0);
    // 127.0.0.2 is another client.
    let (elsewhere, form) = (std::net::Ipv4Addr::new(127, 0, 0, 2), quote("q-elsewhere").to_string());
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind((elsewhere, 0).into()).expect("an address of this machine");
    let mut stream = socket.connect(app.addr).await.expect("connects");
    let head = format!(
        "POST /v1/quotes/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    stream.write_all(format!("{head}{form}").as_bytes()).await.expect("sent");
    let mut said = String::new();
    stream.read_to_string(&mut said).await.expect("answers");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}
