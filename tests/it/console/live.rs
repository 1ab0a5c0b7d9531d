//! Open pages hear of what happens.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::browser::{Browser, CONFIG, plant};
use crate::app::TestApp;

#[tokio::test]
async fn a_referral_is_heard_of_within_a_second_and_open_streams_do_not_hold_up_the_stop() {
    let app = TestApp::start(CONFIG).await;
    let mut olga = Browser::admin(&app).await;
    let cookies: Vec<String> = olga.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let stream = TcpStream::connect(app.addr).await.expect("connects");
    let mut stream = BufReader::new(stream);
    let request = format!("GET /console/events HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", app.addr, cookies.join("; "));
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut lines = stream.lines();
    let mut head = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.is_empty() {
            break;
        }
        head += &line.to_lowercase();
    }
    assert!(head.contains("200 ok") && head.contains("text/event-stream"), "{head}");
    let referral = plant(&app, 13, "default").await;
    // It is on the desk: from here on a second.
    let began = Instant::now();
    let heard = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if line.starts_with("event: changed") {
                return;
            }
        }
        panic!("the stream has ended");
    };
    tokio::time::timeout(Duration::from_secs(5), heard).await.expect("heard");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(olga.page("/console/live/referrals").await.contains(&referral));

    let began = Instant::now();
    app.terminate();
    let (_, status) = app.wait().await;
    assert!(status.success(), "a stop with an open stream is a whole one");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn streams_are_for_those_who_are_logged_in() {
    let app = TestApp::start(CONFIG).await;
    let mut nobody = Browser::new(&app);
    assert_eq!(nobody.get("/console/events").await.status, 401);
}
