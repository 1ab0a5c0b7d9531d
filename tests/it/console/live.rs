//! Open pages hear of what happens.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use time::OffsetDateTime;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::browser::{Browser, CONFIG, between, desk, plant};
use crate::app::{TestApp, eventually};
use crate::quotes::quote_at;

/// A stream of events under way.
struct Listener(Lines<BufReader<TcpStream>>);

impl Listener {
    async fn open(olga: &Browser<'_>) -> Listener {
        let app = olga.app;
        let cookies: Vec<String> = olga.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut stream = TcpStream::connect(app.addr).await.expect("connects");
        let request = format!("GET /console/events HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", app.addr, cookies.join("; "));
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut lines = BufReader::new(stream).lines();
        let mut head = String::new();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.is_empty() {
                break;
            }
            head += &line.to_lowercase();
        }
        assert!(head.contains("200 ok") && head.contains("text/event-stream"), "{head}");
        Listener(lines)
    }

    /// Waits for the next event that a browser would hear: one that has data.
    async fn hear(&mut self) {
        let (mut is_changed, mut has_data) = (false, false);
        while let Ok(Some(line)) = self.0.next_line().await {
            is_changed |= line == "event: changed";
            has_data |= line.starts_with("data:");
            if line.is_empty() {
                if is_changed && has_data {
                    return;
                }
                (is_changed, has_data) = (false, false);
            }
        }
        panic!("the stream has ended");
    }

    /// How many come until none has come for so long.
    async fn count(&mut self, quiet: Duration) -> usize {
        let mut count = 0;
        while timeout(quiet, self.hear()).await.is_ok() {
            count += 1;
        }
        count
    }
}

#[tokio::test]
async fn a_referral_is_heard_of_within_a_second_and_open_streams_do_not_hold_up_the_stop() {
    let app = TestApp::start(CONFIG).await;
    let mut olga = Browser::admin(&app).await;
    let mut stream = Listener::open(&olga).await;
    let referral = plant(&app, 13, "default").await;
    // It is on the desk: from here on a second.
    let began = Instant::now();
    while !olga.page("/console/live/referrals").await.contains(&referral) {
        timeout(Duration::from_secs(5), stream.hear()).await.expect("heard");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());

    let began = Instant::now();
    app.terminate();
    let (_, status) = app.wait().await;
    assert!(status.success(), "a stop with an open stream is a whole one");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stream_begins_with_an_event_and_ends_a_burst_with_one() {
    let app = TestApp::start(CONFIG).await;
    let mut olga = Browser::admin(&app).await;
    let quiet = Duration::from_millis(1_500);
    // Between the page and its stream something may have happened.
    let mut stream = Listener::open(&olga).await;
    timeout(Duration::from_secs(1), stream.hear()).await.expect("at once");
    stream.count(quiet).await;

    let quotes: Vec<_> = (0..50).map(|i| quote_at(&format!("burst-{i}"), OffsetDateTime::now_utc(), 500 + i)).collect();
    let began = Instant::now();
    for answer in join_all(quotes.iter().map(|quote| app.check(quote))).await {
        assert_eq!(answer.expect("answers").status, 200);
    }
    // A page that asks at each event, and at no other time, ends with the last change.
    let decided = async |olga: &mut Browser<'_>| {
        let page = olga.page("/console/live/overview").await;
        let tile = between(&page, "<dt>Decisions, last hour</dt><dd>", "</dd>").to_owned();
        tile.parse::<usize>().expect("a number")
    };
    let (mut shown, mut events) = (0, 0);
    while timeout(quiet, stream.hear()).await.is_ok() {
        events += 1;
        shown = decided(&mut olga).await;
    }
    assert_eq!(shown, 50);
    let most = 2 + began.elapsed().as_millis() / 400;
    assert!((1..=most).contains(&events), "{events} events in {:?}", began.elapsed());

    // What happened while nobody listened is told by the first event of the next stream.
    drop(stream);
    assert_eq!(app.check(&quote_at("meanwhile", OffsetDateTime::now_utc(), 900)).await.expect("answers").status, 200);
    eventually("it is on the desk", async || desk(&app, "SELECT count(*) FROM decisions").await == ["51"]).await;
    let mut stream = Listener::open(&olga).await;
    timeout(Duration::from_secs(1), stream.hear()).await.expect("at once");
    while decided(&mut olga).await != 51 {
        timeout(quiet, stream.hear()).await.expect("another event, for the page is not right yet");
    }
}

#[tokio::test]
async fn streams_are_for_those_who_are_logged_in() {
    let app = TestApp::start(CONFIG).await;
    let mut nobody = Browser::new(&app);
    assert_eq!(nobody.get("/console/events").await.status, 401);
}
