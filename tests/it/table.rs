//! A table of a real PostgreSQL as a source: every committed row once, whatever order transactions end in.

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tempfile::TempDir;

use crate::app::{TestApp, column, eventually};
use crate::pipelines::pipeline;
use crate::quotes::quote;
use crate::servers::{Kind, Private, postgres, unique};

/// As docs/pipelines.md tells to make it.
const XID: &str = "ALTER TABLE forms ADD COLUMN quoteguard_xid xid8 NOT NULL DEFAULT '0'; \
    ALTER TABLE forms ALTER COLUMN quoteguard_xid SET DEFAULT pg_current_xact_id(); \
    CREATE INDEX ON forms (quoteguard_xid, id)";

async fn database(server: &str) -> String {
    let name = unique("table").replace('-', "_");
    let mut connection = PgConnection::connect(server).await.expect("connects");
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("created");
    let (server, _) = server.rsplit_once('/').expect("a database in the URL");
    format!("{server}/{name}")
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("connects")
}

async fn insert(connection: &mut PgConnection, form: &Value) {
    sqlx::query("INSERT INTO forms (form) VALUES ($1)").bind(form.to_string()).execute(connection).await.expect("inserted");
}

async fn forms(url: &str) -> PgConnection {
    let mut connection = connect(url).await;
    connection.execute("CREATE TABLE forms (id bigserial PRIMARY KEY, form text)").await.expect("created");
    insert(&mut connection, &quote("of-before")).await;
    connection.execute(XID).await.expect("altered");
    connection
}

fn config(url: &str) -> String {
    format!("[[sources.postgres]]\nname = 'crm'\nurl = '{url}'\ntable = 'forms'\nkey = 'id'\nbody = 'form'\npoll_ms = 20\n")
}

/// Waits until the service has asked once more, and was answered.
async fn polled(connection: &mut PgConnection) {
    let now: String = sqlx::query_scalar("SELECT clock_timestamp()::text").fetch_one(&mut *connection).await.expect("read");
    let asked = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'quoteguard' \
        AND datname = current_database() AND state = 'idle' AND query_start > $1::timestamptz)";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !sqlx::query_scalar::<_, bool>(asked).bind(&now).fetch_one(&mut *connection).await.expect("read") {
        assert!(std::time::Instant::now() < deadline, "the table is not polled");
    }
}

async fn ids(dir: &TempDir) -> Vec<String> {
    let sql = "SELECT json_extract(CAST(body AS TEXT), '$.quote_id') FROM log WHERE kind = 0 ORDER BY offset";
    column(&dir.path().join("quoteguard.db"), sql).await
}

async fn awaits(dir: &Arc<TempDir>, expected: &[&str]) {
    eventually(&format!("{expected:?} are there"), async || ids(dir).await.len() >= expected.len()).await;
    assert_eq!(ids(dir).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_committed_after_a_later_one_is_read_all_the_same() {
    let url = database(postgres()).await;
    let mut first = forms(&url).await;
    let mut second = connect(&url).await;
    let app = TestApp::start(&config(&url)).await;
    awaits(&app.dir, &["of-before"]).await;

    // Takes the lower id, and stays open while the higher one is committed.
    first.execute("BEGIN").await.expect("begun");
    insert(&mut first, &quote("lower")).await;
    insert(&mut second, &quote("higher")).await;
    polled(&mut second).await;
    assert_eq!(ids(&app.dir).await, ["of-before"], "a row below the higher one is still to come");
    first.execute("COMMIT").await.expect("committed");
    awaits(&app.dir, &["of-before", "lower", "higher"]).await;

    first.execute("BEGIN").await.expect("begun");
    insert(&mut first, &quote("taken-back")).await;
    first.execute("ROLLBACK").await.expect("rolled back");
    insert(&mut second, &quote("last")).await;
    awaits(&app.dir, &["of-before", "lower", "higher", "last"]).await;
    eventually("nothing waits", async || pipeline(&app, "postgres-crm").await["lag_records"] == 0).await;
    let shown = pipeline(&app, "postgres-crm").await;
    assert!(shown["position"].as_str().is_some_and(|at| at.ends_with("key 5")), "{shown}");
    assert!(!shown.to_string().contains("postgres@"), "no user is shown: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_read_with_kills_in_between_is_read_exactly_once_and_bad_rows_are_kept_aside() {
    const ROWS: usize = 3_000;
    let url = database(postgres()).await;
    let mut connection = forms(&url).await;
    let mut expected = vec!["of-before".to_owned()];
    connection.execute("BEGIN").await.expect("begun");
    for number in 0..ROWS {
        if number % 1_000 == 500 {
            connection.execute("INSERT INTO forms (form) VALUES ('no json'), (NULL)").await.expect("inserted");
        }
        expected.push(format!("q-{number}"));
        insert(&mut connection, &crate::quotes::quote_at(&format!("q-{number}"), time::OffsetDateTime::now_utc(), number as u64))
            .await;
    }
    connection.execute("COMMIT").await.expect("committed");
    let mut app = TestApp::start(&config(&url)).await;
    for part in 1..=3 {
        eventually("a part is read", async || ids(&app.dir).await.len() >= part * 300).await;
        app = TestApp::start_in(app.kill().await, &config(&url)).await;
    }
    eventually("all is read", async || ids(&app.dir).await.len() >= expected.len()).await;
    assert_eq!(ids(&app.dir).await, expected);
    let rejects = column(&app.database(), "SELECT reason || ' ' || file || ' ' || line FROM rejects ORDER BY offset").await;
    assert_eq!(rejects.len(), 6, "{rejects:?}");
    assert_eq!(rejects[0], "not_json postgres-crm 502", "with its key");
    assert_eq!(column(&app.database(), "SELECT CAST(raw AS TEXT) FROM rejects ORDER BY offset").await[0], "no json");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_fields_and_a_query_is_a_table() {
    let url = database(postgres()).await;
    let mut connection = connect(&url).await;
    let make = "CREATE SCHEMA sales; CREATE TABLE sales.\"Odd name\" (no int PRIMARY KEY, sent timestamptz, product text, kind text, \
        surname text, given text, born date, vin text, paid numeric, quoteguard_xid xid8 NOT NULL DEFAULT pg_current_xact_id()); \
        INSERT INTO sales.\"Odd name\" VALUES (7, now(), 'osago', 'web', 'Тестова', 'Анна', '1990-05-06', NULL, 100.5)";
    connection.execute(make).await.expect("made");
    let columns = "[sources.postgres.columns]\nquote_id = 'id'\nsubmitted_at = 'sent'\nproduct = 'product'\n'channel.kind' = 'kind'\n\
        'policyholder.last_name' = 'surname'\n'policyholder.first_name' = 'given'\n'policyholder.birth_date' = 'born'\n\
        'vehicle.vin' = 'vin'\npremium = 'paid'\n";
    let config = format!(
        "[[sources.postgres]]\nname = 'crm'\nurl = '{url}'\nkey = 'no'\npoll_ms = 20\n\
         query = 'SELECT *, ''q-'' || no AS id FROM sales.\"Odd name\"'\n{columns}"
    )
    .replace(
        "'SELECT *, ''q-'' || no AS id FROM sales.\"Odd name\"'",
        "\"SELECT *, 'q-' || no AS id FROM sales.\\\"Odd name\\\"\"",
    );
    let app = TestApp::start(&config).await;
    awaits(&app.dir, &["q-7"]).await;
    let body = column(&app.database(), "SELECT CAST(body AS TEXT) FROM log WHERE kind = 0").await;
    let form: Value = serde_json::from_str(&body[0]).expect("JSON");
    assert_eq!(form["policyholder"]["birth_date"], "1990-05-06");
    assert_eq!(form["premium"], json!(100.5));
    assert_eq!(app.get("/v1/decisions/q-7").await.expect("answers").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_waited_for_and_an_older_one_is_told_from_it() {
    let server = tokio::task::block_in_place(|| Private::start(Kind::Postgres, &[]));
    let url = server.url();
    let mut connection = forms(&url).await;
    let app = TestApp::start(&config(&url)).await;
    awaits(&app.dir, &["of-before"]).await;
    drop(connection);
    let old = tokio::task::block_in_place(|| {
        server.stop();
        server.save()
    });
    let state = async |expected: &str| pipeline(&app, "postgres-crm").await["state"] == expected;
    eventually("the outage is told", async || state("failed").await).await;
    assert_eq!(app.check(&quote("http")).await.expect("answered").status, 200, "the others go on");
    tokio::task::block_in_place(|| server.restart());
    connection = connect(&url).await;
    insert(&mut connection, &quote("after")).await;
    awaits(&app.dir, &["of-before", "http", "after"]).await;
    eventually("it is well again", async || state("running").await).await;

    // Back to before "after": its transactions are numbered lower.
    drop(connection);
    tokio::task::block_in_place(|| server.rewind(&old));
    eventually("the older server is told", async || {
        pipeline(&app, "postgres-crm").await["reason"].as_str().is_some_and(|why| why.contains("was restored"))
    })
    .await;
}
