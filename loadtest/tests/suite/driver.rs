//! The load driver against a small server of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use loadtest::http::{Load, Options, drive, drive_with};
use loadtest::record::is_accepted;
use loadtest::slow::{Crowd, Held, compare};
use loadtest::template;

const QUOTES: &str = "{\"quote_id\":\"a\",\"submitted_at\":\"2026-11-01T00:00:00Z\",\"n\":1}\n{\"quote_id\":\"b\",\"submitted_at\":\"2026-11-01T00:00:00Z\",\"n\":2}\n";

type Bodies = Arc<Mutex<Vec<String>>>;

/// Serves one response to every request, after `pause`; gives its address and the bodies it got.
fn server(response: &'static str, pause: Duration) -> (String, Bodies) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let bodies = Bodies::default();
    let kept = bodies.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let bodies = bodies.clone();
            thread::spawn(move || serve(stream, response, pause, &bodies));
        }
    });
    (format!("http://{address}/v1/quotes/check"), kept)
}

fn serve(stream: TcpStream, response: &str, pause: Duration, bodies: &Bodies) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        bodies.lock().ok()?.push(String::from_utf8(body).ok()?);
        thread::park_timeout(pause);
        writer.write_all(response.as_bytes()).ok()?;
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

fn load(url: &str) -> Load {
    Load { url: url.into(), api_key: None, rate: 200.0, secs: 1, connections: 4, saturate: false, as_is: false }
}

#[test]
fn an_open_loop_sends_its_schedule_under_fresh_ids() {
    let (url, bodies) = server(OK, Duration::ZERO);
    let outcome = drive(&load(&url), QUOTES.as_bytes()).expect("the server is there");
    assert_eq!((outcome.answered, outcome.errors.len(), outcome.mode), (200, 0, "open"));
    let bodies = bodies.lock().expect("no thread failed");
    let mut ids: Vec<&str> = bodies.iter().filter_map(|body| body.split('"').nth(3)).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200);
    assert!(bodies.iter().all(|body| !body.contains("2026-11-01T00:00:00Z")));
}

#[test]
fn a_stalled_server_cannot_slow_the_clock_that_judges_it() {
    // One connection, 20 ms an answer, asked for 200/s: the queue grows and the last of 200 waits about three seconds.
    let (url, _) = server(OK, Duration::from_millis(20));
    let outcome = drive(&Load { connections: 1, ..load(&url) }, QUOTES.as_bytes()).expect("the server is there");
    assert_eq!(outcome.answered, 200);
    assert!(outcome.latency.p50_ms > 1_000.0 && outcome.latency.max_ms > 2_500.0, "{}", outcome.latency);
    assert!(outcome.send_lag.max_ms > 2_500.0, "{}", outcome.send_lag);
}

#[test]
fn a_closed_loop_counts_from_the_sending() {
    let (url, _) = server(OK, Duration::from_millis(20));
    let outcome = drive(&Load { saturate: true, ..load(&url) }, QUOTES.as_bytes()).expect("the server is there");
    assert!((40..=240).contains(&outcome.answered), "{} answers of 4 connections in 1 s at 20 ms", outcome.answered);
    assert!(outcome.latency.p50_ms >= 19.0 && outcome.latency.p50_ms < 500.0, "{}", outcome.latency);
}

#[test]
fn errors_are_counted_by_status_and_the_file_can_be_sent_as_it_is() {
    let (url, bodies) = server("HTTP/1.1 429 Slow\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", Duration::ZERO);
    let outcome = drive(&Load { as_is: true, connections: 1, ..load(&url) }, QUOTES.as_bytes()).expect("the server is there");
    assert_eq!(outcome.errors.get("429"), Some(&2), "{:?}", outcome.errors);
    assert_eq!(bodies.lock().expect("no thread failed").join("\n") + "\n", QUOTES);
}

const FULL: &str = "HTTP/1.1 503 Full\r\ncontent-length: 0\r\nRetry-After: 1\r\n\r\n";

#[test]
fn who_is_not_answered_asks_the_next_instance_under_the_same_id() {
    let (full, refused) = server(FULL, Duration::ZERO);
    let (url, taken) = server(OK, Duration::ZERO);
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it is bound");
    let others = vec![format!("http://{gone}/v1/quotes/check"), url];
    let options = Options { others, no_drain: false };
    let (outcome, detail) = drive_with(&load(&full), &options, QUOTES.as_bytes()).expect("one is there");
    assert_eq!((outcome.answered, outcome.errors.len(), detail.accepted.len()), (200, 0, 200), "{outcome}");
    assert!(detail.moved > 0);
    let id = |body: &String| body.split('"').nth(3).expect("an id").to_owned();
    let taken: Vec<String> = taken.lock().expect("no thread failed").iter().map(id).collect();
    let refused: Vec<String> = refused.lock().expect("no thread failed").iter().map(id).collect();
    assert!(!refused.is_empty() && refused.iter().all(|id| taken.contains(id)), "the same id went on");
    let mut accepted: Vec<String> = detail.accepted.iter().map(|number| template::id(detail.run, *number)).collect();
    accepted.sort_unstable();
    let mut taken = taken;
    taken.sort_unstable();
    assert_eq!(accepted, taken, "each once");
}

#[test]
fn refusals_that_do_not_say_when_to_come_again_are_counted() {
    for (response, expected) in [(FULL, 0), ("HTTP/1.1 503 Full\r\ncontent-length: 0\r\n\r\n", 200)] {
        let (url, _) = server(response, Duration::ZERO);
        let (outcome, detail) = drive_with(&load(&url), &Options::default(), QUOTES.as_bytes()).expect("it is there");
        assert_eq!((outcome.errors.get("503"), detail.without_retry_after, detail.accepted.len()), (Some(&200), expected, 0));
    }
    assert!(is_accepted("202") && !is_accepted("503"));
}

#[test]
fn what_is_overdue_at_the_end_can_be_left() {
    let (url, bodies) = server(OK, Duration::from_millis(20));
    let options = Options { no_drain: true, ..Options::default() };
    let (outcome, _) = drive_with(&Load { connections: 1, ..load(&url) }, &options, QUOTES.as_bytes()).expect("it is there");
    let sent = bodies.lock().expect("no thread failed").len() as u64;
    assert!(sent < 60, "{sent} sent by one connection in a second at 20 ms");
    assert_eq!(outcome.errors.get("unsent"), Some(&(200 - sent)));
}

#[test]
fn a_crowd_stands_around_while_others_ask() {
    let (url, bodies) = server(OK, Duration::ZERO);
    let crowd = Crowd { slow: 20, idle: 30 };
    let compared = compare(&load(&url), crowd, 2, || Ok(QUOTES.as_bytes())).expect("the server is there");
    let beside: Vec<Option<Held>> = compared.turns.iter().map(|turn| turn.beside).collect();
    let held = Some(Held { open: 50, slow_cut: 0, idle_cut: 0 });
    assert_eq!(beside, [None, held, None, held]);
    assert!(compared.turns.iter().all(|turn| turn.outcome.answered == 200), "{compared}");
    // Each idle one has asked once, in each round; no slow one was ever done.
    assert_eq!(bodies.lock().expect("no thread failed").iter().filter(|body| body.is_empty()).count(), 60);
    assert!(compared.to_string().contains("beside 20 slow clients and 30 idle connections"), "{compared}");

    let (url, _) = server("HTTP/1.1 429 Slow\r\ncontent-length: 0\r\n\r\n", Duration::ZERO);
    let refused = compare(&load(&url), crowd, 1, || Ok(QUOTES.as_bytes())).expect_err("there is no crowd");
    assert!(format!("{refused:#}").contains("does not answer /livez with 200"), "{refused:#}");
}

#[test]
fn only_this_machine_is_driven() {
    for (url, expected) in [
        ("http://192.0.2.1:80/x", "only a service on this machine"),
        ("https://127.0.0.1/x", "only http://"),
        ("127.0.0.1:80", "only http://"),
    ] {
        let error = drive(&load(url), QUOTES.as_bytes()).expect_err("refused");
        assert!(format!("{error:#}").contains(expected), "{url}: {error:#}");
    }
    for (wrong, expected) in [
        (Load { rate: 0.0, ..load("http://127.0.0.1:1/") }, "--rate"),
        (Load { connections: 0, ..load("http://127.0.0.1:1/") }, "--connections"),
        (Load { secs: 0, ..load("http://127.0.0.1:1/") }, "--secs"),
    ] {
        let error = drive(&wrong, QUOTES.as_bytes()).expect_err("refused");
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
}
