//! A stop while quotes come and a page of the console is open.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use loadtest::http::{Load, Options, drive_with};
use loadtest::template;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{TestApp, column, eventually};
use crate::console::browser::{Browser, CONFIG};
use crate::quotes::{lines, quote_at};

const RATE: f64 = 200.0;
const SECS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_with_an_open_stream_ends_in_time_and_loses_and_doubles_nothing() {
    let app = TestApp::start(CONFIG).await;
    let admin = Browser::admin(&app).await;
    let cookies: Vec<String> = admin.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut stream = TcpStream::connect(app.addr).await.expect("connects");
    let request = format!("GET /console/events HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", app.addr, cookies.join("; "));
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.expect("answered");
    assert_eq!(&head, b"HTTP/1.1 200");

    let now = time::OffsetDateTime::now_utc();
    let quotes = lines(&(0..400).map(|person| quote_at("patched", now, person)).collect::<Vec<_>>());
    let url = app.url("/v1/quotes/check");
    let load = Load { url, api_key: None, rate: RATE, secs: SECS, connections: 16, saturate: false, as_is: false };
    let driving = thread::spawn(move || drive_with(&load, &Options::default(), quotes.as_bytes()).expect("the service is there"));
    eventually("quotes are decided", async || app.metric("quoteguard_live_attempts").await >= RATE / 2.0).await;
    let began = Instant::now();
    app.terminate();
    let (dir, status) = app.wait().await;
    assert!(status.success(), "everybody was answered: {status}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the stream has ended, and was not reset");

    let (outcome, detail) = tokio::task::spawn_blocking(move || driving.join().expect("no panic")).await.expect("no panic");
    let answered: BTreeSet<String> = detail.accepted.iter().map(|number| template::id(detail.run, *number)).collect();
    assert!(outcome.errors.contains_key("ConnectionRefused"), "the stop came in the middle: {outcome}");
    let kept = column(&dir.path().join("quoteguard.db"), "SELECT quote_id FROM decisions").await;
    let distinct: BTreeSet<String> = kept.iter().cloned().collect();
    assert_eq!(distinct.len(), kept.len(), "none is decided twice");
    let lost: Vec<_> = answered.difference(&distinct).collect();
    assert!(lost.is_empty(), "answered, and not there: {lost:?}");
    // The others' callers were told nothing: they may be there or not, and a retry with the same id tells.
    let untold = distinct.difference(&answered).count();
    assert!(untold <= 16, "{untold} decisions that nobody was told of, of 16 connections");
}
