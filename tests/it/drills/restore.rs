//! Redis and PostgreSQL are lost; the log is there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Shell, commands, part};
use crate::faults::cluster::{Cluster, Detours};
use crate::faults::workload::{Record, quotes, tenants};
use crate::quotes::quote;
use crate::servers::{Kind, Private, kafka, run};

/// Of all tables: what the log gives again.
const DERIVED: &[&str] =
    &["case_quotes", "case_rules", "cases", "decisions", "desk", "dispositions", "erased", "forms", "tallies"];
/// What nobody misses: who is logged in, and what webhooks are still to be told. Positions count records that a start writes.
const PASSING: &[&str] = &["_sqlx_migrations", "login_failures", "sessions", "sink_offsets", "webhook_cursors", "webhook_outbox"];
/// Of people's doing in a case; the page says that it is gone.
const PEOPLES_COLUMNS: &[&str] = &["assignee", "lease_by", "lease_until", "deciding", "deciding_until"];
const PIECE: usize = 50_000;

#[test]
fn everything_comes_back_from_the_log_and_the_backup() {
    restore(3_000, Duration::from_secs(120));
}

#[test]
#[ignore = "make drills"]
fn a_million_quotes_come_back_from_the_log() {
    let count = std::env::var("DRILL_QUOTES").map_or(1_000_000, |count| count.parse().expect("DRILL_QUOTES is a number"));
    restore(count, Duration::from_secs(3_600));
}

fn restore(count: usize, patience: Duration) {
    let postgres = Private::start(Kind::Postgres, &[]);
    let cluster = Cluster::start_on(kafka(), Private::start(Kind::Redis, &[]), &Detours::default());
    let (url, redis) = (postgres.url(), cluster.redis.url());
    let settings = format!("http.answer_timeout_ms = 30000\ndesk.url = \"{url}\"\n");
    let mut shell = Shell::open(&cluster, &settings, &[("DESK", &url), ("REDIS", &redis)]);
    shell.run("quoteguard migrate --config one.toml");
    shell.run(&commands("Start"));
    people_at_work(&shell, &postgres);
    let mut told = 0;
    for (number, _) in (0..count).step_by(PIECE).enumerate() {
        let records: Vec<Record> = quotes(100 + number as u64, PIECE.min(count - number * PIECE));
        told += cluster.feed(records, 1_000_000).finish().acknowledged.len();
    }
    let began = Instant::now();
    await_desk(&postgres, told, patience);
    eprintln!("{told} quotes on the desk after {:.0} s", began.elapsed().as_secs_f64());
    let drill = "Restore after losing Redis and PostgreSQL";
    shell.run(&part(drill, "Every night"));
    let before = settled(&postgres, patience);
    let people: BTreeSet<String> = shell.run("echo $PEOPLE").split_whitespace().map(str::to_owned).collect();
    every_table_is_thought_of(&postgres, &people);
    let backed_up = people.iter().map(|table| (table.clone(), contents(&postgres, table))).collect::<BTreeMap<_, _>>();

    shell.run(&part(drill, "Stop what still runs"));
    cluster.redis.lose();
    postgres.lose();
    let began = Instant::now();
    shell.run(&part(drill, "Bring it back"));
    let ready = began.elapsed();
    await_desk(&postgres, told, patience);
    let whole = began.elapsed();
    let after = settled(&postgres, patience);
    eprintln!(
        "{told} quotes: checks taken after {:.1} s, the desk whole after {:.1} s",
        ready.as_secs_f64(),
        whole.as_secs_f64()
    );
    for table in DERIVED {
        if before[*table] != after[*table] {
            panic!("{table} is another: {:?} rows before, {:?} after", before[*table], after[*table]);
        }
    }
    for (table, rows) in &backed_up {
        assert_eq!(contents(&postgres, table).0, rows.0, "{table} is as it was saved");
    }
    shell.run(&commands("Stop"));
}

/// Cases are ruled on, a quote is erased, a comment is made.
fn people_at_work(shell: &Shell, server: &Private) {
    let url = &shell.urls[0];
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let post = |path: &str, body: &Value| {
        let request = agent.post(format!("{url}{path}")).header("content-type", "application/json");
        let mut answer = request.send(body.to_string()).expect("answers");
        let text = answer.body_mut().read_to_string().expect("text");
        assert_eq!(answer.status(), 200, "{path}: {text}");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let tenant = &tenants()[0];
    let mut told = Value::Null;
    for number in 0..5 {
        let mut form = quote(&format!("drill-{number}"));
        form["tenant"] = json!(tenant);
        form["vehicle"]["vin"] = json!(format!("XTA219010K01{number:02}456"));
        form["premium"] = json!(10_000 - 400 * number);
        told = post("/v1/quotes/check", &form);
    }
    let case = &told["referral_id"];
    assert!(case.is_string(), "{told}");
    let ids = ["drill-0", "drill-1", "drill-2", "drill-3"];
    for ruling in [
        json!({"kind": "confirmed", "tenant": tenant, "case": case, "quote_ids": ids}),
        json!({"kind": "reopened", "tenant": tenant, "case": case}),
        json!({"kind": "erased", "tenant": tenant, "quote_ids": ["drill-1"]}),
    ] {
        post("/v1/rulings", &ruling);
    }
    sql(
        server,
        &format!(
            "INSERT INTO comments (referral_id, at, actor, text) VALUES ('{}', 1, 'olga', 'called him')",
            case.as_str().expect("an id")
        ),
    );
}

fn sql(server: &Private, statement: &str) -> String {
    run(Command::new("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", &server.url(), "-c", statement])).trim().to_owned()
}

/// Until every decision is on the desk and nothing moves any more.
fn await_desk(server: &Private, quotes: usize, patience: Duration) {
    let deadline = Instant::now() + patience;
    let is_there = || {
        let count = sql(server, "SELECT count(*) FROM decisions WHERE is_current = 1 AND quote_id NOT LIKE 'drill-%'");
        let ruled = sql(server, "SELECT count(*) FROM dispositions");
        // Quotes that are sent again under their id have no decision of their own.
        count.parse::<usize>().expect("a number") * 100 >= quotes * 95 && ruled == "3"
    };
    while !is_there() {
        assert!(Instant::now() < deadline, "the desk is not whole after {patience:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Rows and their hash, of each derived table, when two looks half a second apart see the same.
fn settled(server: &Private, patience: Duration) -> BTreeMap<String, (String, String)> {
    let deadline = Instant::now() + patience;
    let look = || DERIVED.iter().map(|table| ((*table).to_owned(), contents(server, table))).collect::<BTreeMap<_, _>>();
    let mut last = look();
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = look();
        if now == last && sql(server, "SELECT count(*) FROM cases WHERE published_revision < revision") == "0" {
            return now;
        }
        assert!(Instant::now() < deadline, "the desk does not settle");
        last = now;
    }
}

fn contents(server: &Private, table: &str) -> (String, String) {
    let columns = sql(
        server,
        &format!(
            "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name = '{table}' AND column_name <> ALL ('{{{}}}')",
            PEOPLES_COLUMNS.join(",")
        ),
    );
    let rows = format!("SELECT md5(t::text) AS row FROM (SELECT {columns} FROM {table}) t");
    let told = sql(server, &format!("SELECT count(*), md5(string_agg(row, '' ORDER BY row)) FROM ({rows}) r"));
    let (count, hash) = told.split_once('|').expect("two columns");
    (count.to_owned(), hash.to_owned())
}

/// A new table is one of the log's, or saved every night, or need not be.
fn every_table_is_thought_of(server: &Private, people: &BTreeSet<String>) {
    let tables = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND NOT relispartition";
    for table in sql(server, tables).lines() {
        let known = DERIVED.contains(&table) || PASSING.contains(&table);
        assert!(
            known != people.contains(table),
            "{table}: from the log, or from the backup? docs/operations.md and this test say"
        );
    }
}
