//! Keys in PostgreSQL, for several instances; and while it is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{api_keys, id, status};
use crate::app::{TestApp, eventually};
use crate::desk::postgres::Server;
use crate::kafka_service::Place;
use crate::servers::{Kind, Private, postgres};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_and_revoked_on_two_instances_within_two_seconds() {
    let database = Server(postgres().to_owned()).database().await.url;
    let place = Place { http: "answer_timeout_ms = 30000\nrequire_keys = true\n", ..Place::default() };
    let (dir, config) = place.topics();
    let config = format!("{config}[desk]\nurl = '{database}'\n");
    let one = TestApp::start_in(dir, &config).await;
    let two = TestApp::start_in(Arc::new(TempDir::new().expect("a folder")), &config).await;
    let both = async |key: &str, expected: u16| status(&one, key).await == expected && status(&two, key).await == expected;
    let key = api_keys(&one, &["create", "--name", "site"]).expect("made");
    let began = Instant::now();
    eventually("both know it", async || both(&key, 200).await).await;
    println!("known to both after {:?}", began.elapsed());
    api_keys(&two, &["revoke", id(&key)]).expect("revoked");
    let began = Instant::now();
    eventually("both refuse it", async || both(&key, 401).await).await;
    let took = began.elapsed();
    println!("refused by both after {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_desk_keeps_the_last_known_keys_and_a_start_meanwhile_opens_nothing() {
    let server = Private::start(Kind::Postgres, &[]);
    let database = Server(server.url()).database().await.url;
    let config = format!("[desk]\nurl = '{database}'\n");
    let app = TestApp::start(&config).await;
    let key = api_keys(&app, &["create", "--name", "site", "--close-api"]).expect("made");
    eventually("it opens", async || status(&app, &key).await == 200 && status(&app, "").await == 401).await;
    server.kill();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_500) {
        assert_eq!((status(&app, &key).await, status(&app, "").await), (200, 401), "two looks at a desk that is away");
    }
    let dir = app.kill().await;
    let app = TestApp::start_in(dir, &config).await;
    assert_eq!((status(&app, &key).await, status(&app, "").await), (503, 503), "who may is not known");
    server.restart();
    eventually("the desk is back", async || status(&app, &key).await == 200 && status(&app, "").await == 401).await;
}
