//! Traces, as a collector gets them: OTLP over HTTP, decoded by a receiver of the test.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;

use crate::app::{Answer, TestApp, eventually};
use crate::quotes::quote;

/// Everything that was sent to it.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    resources: Arc<Mutex<Vec<KeyValue>>>,
}

impl Collector {
    /// It, and the configuration that names it.
    async fn start(sample_ratio: f64) -> (Collector, String) {
        let collector = Collector::default();
        let router = Router::new().route("/v1/traces", post(receive)).with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let config = telemetry(&listener.local_addr().expect("bound").to_string(), sample_ratio);
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, config)
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("no panic").clone()
    }

    /// Those of one trace by name, once all of them are there.
    async fn trace(&self, trace_id: &str, names: &[&str]) -> BTreeMap<String, Span> {
        let of = || self.spans().into_iter().filter(|span| hex(&span.trace_id) == trace_id).collect::<Vec<_>>();
        eventually(&format!("{names:?} of {trace_id} are exported"), async || of().len() >= names.len()).await;
        let found = of();
        assert_eq!(found.len(), names.len(), "{found:#?}");
        found.into_iter().map(|span| (span.name.clone(), span)).collect()
    }
}

fn telemetry(address: &str, sample_ratio: f64) -> String {
    format!(
        "[telemetry]\notlp_endpoint = \"http://{address}\"\nsample_ratio = {sample_ratio:?}\n\
         [log]\nfilter = \"info,quoteguard=debug\"\n"
    )
}

async fn receive(State(collector): State<Collector>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    for spans in request.resource_spans {
        let resource = spans.resource.expect("a resource");
        *collector.resources.lock().expect("no panic") = resource.attributes;
        collector.spans.lock().expect("no panic").extend(spans.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    StatusCode::OK
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shown(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|value| value.value.clone()) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        other => panic!("{}: {other:?}", attribute.key),
    }
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    span.attributes.iter().map(|attribute| (attribute.key.clone(), shown(attribute))).collect()
}

async fn check(app: &TestApp, form: &Value, traceparent: Option<&str>) -> Answer {
    let mut request = Request::post(app.url("/v1/quotes/check")).header("content-type", "application/json");
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let answer = app.send(request.body(form.to_string().into()).expect("a request")).await.expect("answered");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// Texts of the form that say something about a person or a car.
fn personal(form: &Value, into: &mut Vec<String>) {
    match form {
        Value::String(text) if text.chars().count() > 4 => into.push(text.clone()),
        Value::Object(fields) => fields.values().for_each(|value| personal(value, into)),
        Value::Array(values) => values.iter().for_each(|value| personal(value, into)),
        _ => {}
    }
}

/// The names in the order of the path: each is the parent of the next.
fn assert_chain(trace: &BTreeMap<String, Span>, first_parent: &str, names: &[&str]) {
    let mut parent = first_parent.to_owned();
    for name in names {
        let span = &trace[*name];
        assert_eq!(hex(&span.parent_span_id), parent, "{name}: {trace:#?}");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        parent = hex(&span.span_id);
    }
}

#[cfg(all(feature = "kafka", feature = "redis"))]
#[tokio::test(flavor = "multi_thread")]
async fn one_quote_over_kafka_is_one_trace_from_http_to_the_desk() {
    let (collector, telemetry) = Collector::start(0.0).await;
    let (dir, config) = crate::kafka_service::Place::default().topics();
    let app = TestApp::start_in(dir, &format!("{config}{telemetry}")).await;
    let path = ["POST /v1/quotes/check", "append quote", "decide", "emit decision", "project decision"];
    // Nobody asked for this one to be traced.
    check(&app, &quote("q-untraced"), None).await;
    check(&app, &quote("q-refused"), Some("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00")).await;
    let (trace_id, caller) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let form = quote("q-traced");
    let answer = check(&app, &form, Some(&format!("00-{trace_id}-{caller}-01"))).await.json();

    let trace = collector.trace(trace_id, &path).await;
    assert_chain(&trace, caller, &path);
    assert_eq!(collector.spans().len(), path.len(), "only what is sampled: {:#?}", collector.spans());
    let served = attributes(&trace["POST /v1/quotes/check"]);
    assert_eq!((&*served["http.response.status_code"], &*served["quoteguard.quote_id"]), ("200", "q-traced"));
    let decided = attributes(&trace["decide"]);
    assert_eq!(decided["quoteguard.decision_id"], answer["decision_id"].as_str().expect("an id"));
    assert_eq!((&*decided["quoteguard.decision"], &*decided["quoteguard.outcome"]), ("accept", "decided"));

    let mut secrets = Vec::new();
    ["policyholder", "vehicle", "channel"].iter().for_each(|part| personal(&form[*part], &mut secrets));
    let said: Vec<String> = trace.values().flat_map(|span| attributes(span).into_values()).collect();
    for secret in &secrets {
        assert!(!said.iter().any(|text| text.contains(secret.as_str())), "{secret} in {said:?}");
    }
    let resources: BTreeMap<String, String> =
        collector.resources.lock().expect("no panic").iter().map(|a| (a.key.clone(), shown(a))).collect();
    assert_eq!(resources["service.name"], "quoteguard");

    // Told once more, it is a trace of its own with the same path.
    let again = "5bf92f3577b34da6a3ce929d0e0e4736";
    check(&app, &form, Some(&format!("00-{again}-{caller}-01"))).await;
    let trace = collector.trace(again, &path).await;
    assert_chain(&trace, caller, &path);
    assert_eq!(attributes(&trace["decide"])["quoteguard.outcome"], "duplicate");

    app.terminate();
    let (_, status, log) = app.wait_and_hear().await;
    assert!(status.success(), "{log}");
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let answered: Vec<&Value> = lines.iter().filter(|line| line["message"] == "a traced check is answered").collect();
    let ids: Vec<&str> = answered.iter().filter_map(|line| line["span"]["trace_id"].as_str()).collect();
    assert_eq!(ids, [trace_id, again], "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sampled_is_the_callers_choice_and_else_the_ratios() {
    let path = ["POST /v1/quotes/check", "append quote", "decide"];
    let (collector, telemetry) = Collector::start(0.0).await;
    let app = TestApp::start(&telemetry).await;
    check(&app, &quote("q-1"), None).await;
    check(&app, &quote("q-2"), Some("no traceparent")).await;
    check(&app, &quote("q-3"), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")).await;
    let trace = collector.trace("4bf92f3577b34da6a3ce929d0e0e4736", &path).await;
    assert_chain(&trace, "00f067aa0ba902b7", &path[..2]);
    assert_eq!(collector.spans().len(), path.len());
    eventually("they are counted", async || app.metric("quoteguard_spans_total{outcome=\"sent\"}").await == 3.0).await;

    let (collector, telemetry) = Collector::start(1.0).await;
    let app = TestApp::start(&telemetry).await;
    for id in ["q-1", "q-2"] {
        check(&app, &quote(id), None).await;
    }
    check(&app, &quote("q-3"), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")).await;
    app.terminate();
    let (_, status, log) = app.wait_and_hear().await;
    assert!(status.success(), "{log}");
    // A stop sends what is left.
    let spans = collector.spans();
    assert_eq!(spans.len(), 2 * path.len(), "{spans:#?}");
    let traces: BTreeSet<String> = spans.iter().map(|span| hex(&span.trace_id)).collect();
    assert_eq!(traces.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_changes_nothing() {
    const QUOTES: usize = 40;
    // It takes connections, and says nothing: worse than one that refuses them.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let telemetry = telemetry(&silent.local_addr().expect("bound").to_string(), 1.0);
    let (with, without) = (TestApp::start(&telemetry).await, TestApp::start("").await);
    let mut told: [Vec<Value>; 2] = Default::default();
    let mut slowest = Duration::ZERO;
    for number in 0..QUOTES {
        let mut form = quote(&format!("q-{number}"));
        form["vehicle"]["vin"] = format!("XTA219010K01{:03}{:02}", number * 7, number % 90).into();
        for (app, told) in [&with, &without].into_iter().zip(&mut told) {
            let began = Instant::now();
            let answer = check(app, &form, None).await.json();
            slowest = slowest.max(began.elapsed());
            told.push(serde_json::json!([answer["decision"], answer["message"]]));
        }
    }
    let [with_it, without_it] = &told;
    assert_eq!(with_it, without_it);
    assert!(with_it.iter().any(|answer| answer[0] == "refer"), "the history shows something: {with_it:?}");
    // One export waits for five seconds.
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    eventually("they are given up", async || with.metric("quoteguard_spans_total{outcome=\"failed\"}").await > 0.0).await;
    assert_eq!(with.metric("quoteguard_spans_total{outcome=\"sent\"}").await, 0.0);
    let (_, status) = with.stop().await;
    assert!(status.success(), "{status}");
}
