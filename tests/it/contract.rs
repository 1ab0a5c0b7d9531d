//! Each status of the contract, as a client meets it.

use std::sync::Arc;

use axum::http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{Answer, TestApp};
use crate::quotes::quote;

/// A problem as RFC 9457 has it.
fn assert_problem(answer: &Answer, status: u16, kind: &str) -> Value {
    let problem = answer.json();
    assert_eq!(answer.status, status, "{problem}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["type"], format!("urn:quoteguard:problem:{kind}"), "{problem}");
    assert!(!answer.header("x-request-id").is_empty());
    problem
}

#[tokio::test]
async fn a_quote_is_decided_once_and_its_lineage_can_be_read() {
    let app = TestApp::start("").await;
    let form = quote("q-1");
    let first = app.check(&form).await.expect("answers");
    assert_eq!(first.status, 200);
    let told = first.json();
    let keys: Vec<&str> = told.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut expected = vec!["quote_id", "decision_id", "decision", "message", "referral_id", "degraded"];
    expected.sort_unstable();
    assert_eq!(keys, expected, "the applicant's view holds nothing else");
    assert_eq!((&told["quote_id"], &told["decision"], &told["degraded"]), (&json!("q-1"), &json!("accept"), &json!(false)));

    let again = app.check(&form).await.expect("answers");
    assert_eq!(again.json(), told, "a retry is told the same");

    let decision = app.get("/v1/decisions/q-1").await.expect("answers");
    assert_eq!(decision.status, 200);
    assert_eq!(decision.json()["decision_id"], told["decision_id"]);
    assert_eq!((&decision.json()["attempts"], &decision.json()["revision"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn the_third_misspelt_vin_is_referred_in_the_language_asked_for() {
    let app = TestApp::start("").await;
    let mut last = json!(null);
    for (i, vin) in ["XTA219010K0123456", "XTA219010K0123465", "XTA219010K0128456", "XTA219O10K0123456"].iter().enumerate() {
        let mut form = quote(&format!("q-{i}"));
        form["vehicle"]["vin"] = json!(vin);
        form["premium"] = json!(10_000 - 800 * i);
        let request = Request::post(app.url("/v1/quotes/check")).header("content-type", "application/json");
        let request = request.header("accept-language", "ru-RU").body(Full::new(form.to_string().into())).expect("a request");
        let answer = app.send(request).await.expect("answers");
        assert_eq!(answer.header("content-language"), "ru");
        last = answer.json();
    }
    assert_eq!(last["decision"], "refer", "{last}");
    assert!(last["referral_id"].as_str().is_some_and(|id| id.starts_with("R-")), "{last}");
    assert!(last["message"].as_str().is_some_and(|message| message.contains("андеррайтер")), "{last}");
    let lineage = app.get("/v1/decisions/q-3").await.expect("answers").json();
    assert_eq!((&lineage["suspicious_attempts"], &lineage["linked_total"]), (&json!(3), &json!(3)), "{lineage}");
}

#[tokio::test]
async fn the_message_is_that_of_the_rule_and_a_retry_is_told_the_same() {
    let dir = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    std::fs::create_dir(dir.path().join("rules")).expect("a folder");
    let rule = include_str!("../../rules/picking-24h.yaml");
    let own = rule.replace("Обратитесь к андеррайтеру.", "Позвоните нам.").replace("Please contact the underwriter.", "Call us.");
    assert_ne!(own, rule);
    std::fs::write(dir.path().join("rules/picking-24h.yaml"), own).expect("written");
    let app = TestApp::start_in(dir, "rules.dir = 'rules'").await;
    let mut form = quote("q-0");
    for (i, vin) in ["XTA219010K0123456", "XTA219010K0123465", "XTA219010K0128456", "XTA219O10K0123456"].iter().enumerate() {
        form = quote(&format!("q-{i}"));
        form["vehicle"]["vin"] = json!(vin);
        form["premium"] = json!(10_000 - 800 * i);
        let told = app.check(&form).await.expect("answers").json();
        let expected = if told["decision"] == "refer" { "Call us." } else { "Your request has been accepted." };
        assert_eq!((&told["message"], told["decision"] == "refer"), (&json!(expected), i == 3), "{told}");
    }
    for (language, expected) in [("ru", "Позвоните нам."), ("en", "Call us.")] {
        let request = Request::post(app.url("/v1/quotes/check")).header("content-type", "application/json");
        let request = request.header("accept-language", language).body(Full::new(form.to_string().into())).expect("a request");
        let again = app.send(request).await.expect("answers").json();
        assert_eq!((&again["decision"], &again["message"]), (&json!("refer"), &json!(expected)), "{again}");
    }
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_as_a_problem() {
    let app = TestApp::start("").await;
    let mut old = quote("q-old");
    old["submitted_at"] = json!("2001-01-01T00:00:00Z");
    let path = "/v1/quotes/check";
    let nested = format!("{}{}", "[".repeat(100_000 / 2), "]".repeat(100_000 / 2 - 40_000));
    for (content_type, body, status, kind) in [
        ("application/json", "{".to_owned(), 400, "not-json"),
        ("application/json", String::new(), 400, "not-json"),
        ("application/json", nested, 400, "not-json"),
        ("application/json", "x".repeat(64 * 1024 + 1), 413, "too-large"),
        ("text/plain", quote("q").to_string(), 415, "unsupported-media-type"),
        ("application/json", "{}".to_owned(), 422, "invalid-fields"),
        ("application/json", old.to_string(), 422, "invalid-fields"),
    ] {
        let answer = app.post(path, content_type, body).await.expect("answers");
        assert_problem(&answer, status, kind);
    }
    let invalid = app.post(path, "application/json", r#"{"quote_id":7}"#).await.expect("answers").json();
    assert_eq!(invalid["errors"][0]["pointer"], "/quote_id");
    let answer = app.check(&old).await.expect("answers");
    assert_eq!(assert_problem(&answer, 422, "invalid-fields")["errors"][0]["pointer"], "/submitted_at");

    assert_problem(&app.get("/nowhere").await.expect("answers"), 404, "not-found");
    assert_problem(&app.get("/v1/decisions/never-seen").await.expect("answers"), 404, "not-found");
    assert_problem(&app.get("/v1/decisions/%FF").await.expect("answers"), 400, "bad-request");
    let wrong = app.get(path).await.expect("answers");
    assert_problem(&wrong, 405, "method-not-allowed");
    assert_eq!(wrong.header("allow"), "POST");
}

#[tokio::test]
async fn an_id_reused_for_another_form_is_refused_and_the_first_stands() {
    let app = TestApp::start("").await;
    let mut form = quote("q-1");
    let first = app.check(&form).await.expect("answers").json();
    form["premium"] = json!(1);
    assert_problem(&app.check(&form).await.expect("answers"), 409, "id-reused");
    assert_eq!(app.get("/v1/decisions/q-1").await.expect("answers").json()["decision_id"], first["decision_id"]);
}

#[tokio::test]
async fn a_key_speaks_for_its_tenant_only() {
    let config = "[[http.keys]]\nname = 'site'\ntenant = 'north'\nkey = 'correct-horse-battery'\n\
                  [[http.keys]]\nname = 'other'\ntenant = 'south'\nkey = 'another-horse-battery'\n";
    let app = TestApp::start(config).await;
    let send = async |method: &str, path: &str, key: Option<&str>, body: String| {
        let mut request = Request::builder().method(method).uri(app.url(path)).header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        app.send(request.body(Full::new(body.into())).expect("a request")).await.expect("answers")
    };
    let path = "/v1/quotes/check";
    assert_problem(&send("POST", path, None, quote("q").to_string()).await, 401, "unauthorized");
    assert_problem(&send("POST", path, Some("wrong"), quote("q").to_string()).await, 401, "unauthorized");
    let mut foreign = quote("q");
    foreign["tenant"] = json!("south");
    let key = Some("correct-horse-battery");
    assert_problem(&send("POST", path, key, foreign.to_string()).await, 403, "forbidden");

    assert_eq!(send("POST", path, key, quote("q").to_string()).await.status, 200);
    let own = send("GET", "/v1/decisions/q", key, String::new()).await;
    assert_eq!((own.status.as_u16(), &own.json()["tenant"]), (200, &json!("north")));
    assert_problem(&send("GET", "/v1/decisions/q?tenant=south", key, String::new()).await, 403, "forbidden");
    assert_problem(&send("GET", "/v1/decisions/q", Some("another-horse-battery"), String::new()).await, 404, "not-found");
    assert_problem(&send("GET", "/v1/decisions/q", None, String::new()).await, 401, "unauthorized");
    assert_eq!(send("GET", "/livez", None, String::new()).await.status, 200);
}

#[tokio::test]
async fn without_keys_the_query_names_the_tenant() {
    let app = TestApp::start("").await;
    let mut form = quote("q");
    form["tenant"] = json!("north");
    assert_eq!(app.check(&form).await.expect("answers").status, 200);
    assert_eq!(app.get("/v1/decisions/q").await.expect("answers").status, 404);
    assert_eq!(app.get("/v1/decisions/q?tenant=north").await.expect("answers").json()["tenant"], "north");
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_others_are_served() {
    let app = TestApp::start("[http]\nheader_timeout_ms = 200\nbody_timeout_ms = 200\n").await;
    let mut headers = TcpStream::connect(app.addr).await.expect("connects");
    headers.write_all(b"POST /v1/quotes/check HTTP/1.1\r\nHost: x\r\n").await.expect("sent");
    let mut body = TcpStream::connect(app.addr).await.expect("connects");
    let head = b"POST /v1/quotes/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    body.write_all(head).await.expect("sent");
    assert_eq!(app.check(&quote("q")).await.expect("answers").status, 200);

    let mut said = String::new();
    headers.read_to_string(&mut said).await.expect("is closed");
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    said.clear();
    let mut first = [0; 12];
    body.read_exact(&mut first).await.expect("answers");
    assert_eq!(&first, b"HTTP/1.1 408");
}

#[tokio::test]
async fn operators_see_health_metrics_and_the_document() {
    let app = TestApp::start("").await;
    app.check(&quote("q")).await.expect("answers");
    for path in ["/livez", "/readyz", "/docs/"] {
        assert_eq!(app.get(path).await.expect("answers").status, 200, "{path}");
    }
    let name = r#"quoteguard_checks_total{decision="accept",product="osago",source="http"}"#;
    assert!((app.metric(name).await - 1.0).abs() < f64::EPSILON);
    assert!((app.metric("quoteguard_live_attempts").await - 1.0).abs() < f64::EPSILON);
    let document = app.get("/openapi.json").await.expect("answers").json();
    let checked_in: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).expect("JSON");
    assert_eq!(document, checked_in);
}

#[tokio::test]
async fn a_usable_request_id_comes_back_and_others_are_replaced() {
    let app = TestApp::start("").await;
    for (id, is_kept) in [("abc-1", true), ("<script>", false), (&*"x".repeat(65), false)] {
        let request = Request::get(app.url("/livez")).header("x-request-id", id).body(Full::default()).expect("a request");
        let answer = app.send(request).await.expect("answers");
        assert_eq!(answer.header("x-request-id") == id, is_kept, "{id}");
    }
}
