//! The service over a real Kafka and a real Redis.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use axum::http::{Request, StatusCode};
use quoteguard::contract::rule_file::SHIPPED;
use serde_json::Value;
use tempfile::TempDir;

use crate::app::{Answer, BINARY, TestApp, eventually};
use crate::quotes::{quote, quote_at};
use crate::rules_live::{files, in_force, post, rule};
use crate::servers::{Kind, Private, kafka, redis, secure, unique};

/// Servers, and what the tests set of `[http]` and `[kafka]` besides.
pub struct Place<'a> {
    pub kafka: &'a str,
    pub redis: String,
    pub http: &'a str,
    pub settings: &'a str,
}

impl Default for Place<'_> {
    fn default() -> Self {
        let redis = format!("url = \"{}\"\n", redis());
        Place { kafka: kafka(), redis, http: "answer_timeout_ms = 30000\n", settings: "session_timeout_ms = 1000\n" }
    }
}

impl Place<'_> {
    /// Topics and a group of its own, made by the command that people use.
    pub fn topics(&self) -> (Arc<TempDir>, String) {
        let name = unique("service");
        let kinds = [
            ("quotes", "quotes"),
            ("decisions", "decisions"),
            ("dead_letters", "dlq"),
            ("control", "control"),
            ("referrals", "referrals"),
        ];
        let topics: String = kinds.iter().map(|(key, kind)| format!("{key} = \"{name}.{kind}\"\n")).collect();
        let Place { kafka, redis, http, settings } = self;
        let config = format!(
            "[http]\n{http}[kafka]\nbrokers = \"{kafka}\"\ngroup = \"{name}\"\ncheckpoint_ms = 100\n{settings}\
             [kafka.topics]\n{topics}[redis]\n{redis}"
        );
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join("quoteguard.toml"), &config).expect("written");
        let create = ["topics", "create", "--partitions", "4"];
        let made = Command::new(BINARY).args(create).current_dir(dir.path()).output().expect("runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        (Arc::new(dir), config)
    }
}

pub async fn tweak(app: &TestApp, number: u32) -> Value {
    let mut form = quote(&format!("q-{number}"));
    form["vehicle"]["vin"] = format!("XTA219010K012{number}4{number}6").into();
    let answer = app.check(&form).await.expect("answered");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_before_a_kill_is_counted_after_it() {
    let (dir, config) = Place::default().topics();
    let app = TestApp::start_in(dir, &config).await;
    for number in 1..=3 {
        assert_ne!(tweak(&app, number).await["decision"], "refer", "{number}");
    }
    let referred = tweak(&app, 4).await;
    assert_eq!(referred["decision"], "refer");
    let dir = app.kill().await;

    let app = TestApp::start_in(dir, &config).await;
    let again = tweak(&app, 5).await;
    assert_eq!((&again["decision"], &again["referral_id"]), (&referred["decision"], &referred["referral_id"]));
    // What is published is read back from the topic, the decisions of the process before among it.
    let published = async |id: &str| app.get(&format!("/v1/decisions/{id}")).await.expect("answered");
    eventually("the decision is published", async || published("q-5").await.status == 200).await;
    let (told, before) = (published("q-5").await.json(), published("q-4").await.json());
    assert_eq!(told["linked_total"], 4, "{told}");
    assert_eq!(told["suspicious_attempts"], 4, "{told}");
    assert_eq!(before["decision_id"], referred["decision_id"]);
    let (_, status) = app.stop().await;
    assert!(status.success(), "{status}");
}

/// Posts the `number`th version of one tenant's applicant.
async fn version(app: &TestApp, tenant: &str, number: u32) -> Answer {
    let mut form = quote(&format!("q-{number}"));
    form["tenant"] = tenant.into();
    form["vehicle"]["vin"] = format!("XTA219010K012{number}4{number}6").into();
    let request = Request::post(app.url("/v1/quotes/check"))
        .header("content-type", "application/json")
        .header("accept-language", "ru")
        .body(form.to_string().into());
    app.send(request.expect("a request")).await.expect("answered")
}

async fn partitions_of(app: &TestApp) -> usize {
    let text = app.get("/metrics").await.expect("answers").body;
    String::from_utf8_lossy(&text)
        .lines()
        .filter(|line| line.starts_with("quoteguard_partition_up{") && line.ends_with(" 1"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_the_partitions_and_one_of_them_takes_all_when_the_other_is_killed() {
    let (dir, config) = Place::default().topics();
    let first = TestApp::start_in(dir, &config).await;
    let second = TestApp::start(&config).await;
    eventually("the partitions are shared", async || (partitions_of(&first).await, partitions_of(&second).await) == (2, 2)).await;
    // Tenants in all partitions; each version comes by the other instance than the one before.
    let tenants: Vec<String> = (0..8).map(|i| format!("insurer-{i}")).collect();
    let mut referred = Vec::new();
    for tenant in &tenants {
        for number in 1..=4 {
            let app = if number % 2 == 0 { &first } else { &second };
            let answer = version(app, tenant, number).await;
            assert_eq!(answer.status, StatusCode::OK, "{tenant} {number}: {answer:?}");
            assert_eq!(answer.json()["decision"] == "refer", number == 4, "{tenant} {number}: {answer:?}");
            // The same words, whoever decides.
            if number == 4 {
                let told = answer.json();
                assert_eq!(told["message"], "Обратитесь к андеррайтеру.", "{tenant}");
                referred.push(told["referral_id"].clone());
            }
        }
    }
    // Whoever is asked: the id is taken, and that form is too old.
    for app in [&first, &second] {
        for tenant in &tenants {
            let mut reused = quote("q-1");
            reused["tenant"] = tenant.as_str().into();
            assert_eq!(app.check(&reused).await.expect("answered").status, StatusCode::CONFLICT, "{tenant}");
            let mut old = quote_at("old", time::OffsetDateTime::now_utc() - time::Duration::days(2), 1);
            old["tenant"] = tenant.as_str().into();
            let answer = app.check(&old).await.expect("answered");
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{tenant}: {answer:?}");
            assert_eq!(answer.json()["errors"][0]["pointer"], "/submitted_at", "{answer:?}");
        }
    }
    second.kill().await;
    eventually("the other has taken over", async || partitions_of(&first).await == 4).await;
    for (tenant, referral) in tenants.iter().zip(&referred) {
        let answer = version(&first, tenant, 5).await;
        assert_eq!((&answer.json()["decision"], &answer.json()["referral_id"]), (&"refer".into(), referral), "{tenant}");
    }
    eventually("all are shown", async || first.metric("quoteguard_live_attempts").await == 40.0).await;
    assert!(first.stop().await.1.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_book_takes_effect_in_every_partition_of_every_instance() {
    let (dir, config) = Place::default().topics();
    let first = TestApp::start_in(dir, &config).await;
    let rules = tempfile::tempdir().expect("a folder");
    for (name, text) in SHIPPED {
        fs::write(rules.path().join(name), text).expect("written");
    }
    let second = TestApp::start(&format!("{config}[rules]\ndir = '{}'\n", rules.path().display())).await;
    eventually("the partitions are shared", async || (partitions_of(&first).await, partitions_of(&second).await) == (2, 2)).await;
    let tenants: Vec<String> = (0..8).map(|i| format!("insurer-{i}")).collect();
    let judged_by = async |app: &TestApp, tenant: &str, number: u32| {
        assert_eq!(version(app, tenant, number).await.status, 200);
        let path = format!("/v1/decisions/q-{number}?tenant={tenant}");
        let published = async || app.get(&path).await.expect("answers");
        eventually("the decision is published", async || published().await.status == 200).await;
        published().await.json()["rule_book"]["version"].clone()
    };
    // Once it is answered, its pointer stands before every later quote in each partition.
    let done = post(&first, "/v1/rules/activate", &files(&rule(1))).await.json();
    assert_eq!((&done["status"], &done["version"]), (&"activated".into(), &2.into()), "{done}");
    for tenant in &tenants {
        assert_eq!(judged_by(&second, tenant, 1).await, 2, "{tenant}");
    }
    let mut late = files(&rule(3));
    late["after"] = 1.into();
    assert_eq!(post(&second, "/v1/rules/activate", &late).await.status, 409);
    // A file saved beside the one, an activation at the other.
    fs::write(rules.path().join("many.yaml"), rule(2)).expect("written");
    eventually("the folder is in force", async || in_force(&first).await["version"] == 3).await;
    assert_eq!(post(&second, "/v1/rules/rollback", &serde_json::json!({"version": 2})).await.json()["version"], 4);
    for tenant in &tenants {
        assert_eq!(judged_by(&first, tenant, 2).await, 4, "{tenant}");
    }
    let versions = async |app: &TestApp| app.get("/v1/rules/versions").await.expect("answers").json();
    let (ours, theirs) = (versions(&first).await, versions(&second).await);
    assert_eq!(ours, theirs);
    let brought: Vec<_> = ours.as_array().expect("a list").iter().map(|version| version["by"].clone()).collect();
    assert_eq!(brought, ["anyone", "folder", "anyone", "start"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_a_check_is_answered_as_configured() {
    let server = Private::start(Kind::Kafka, &[]);
    let address = server.address();
    let mut places = Vec::new();
    for (when_down, expected) in [("refuse", None), ("fail_open", Some("accept")), ("fail_closed", Some("refer"))] {
        let settings = format!("when_down = \"{when_down}\"\n");
        let http = "answer_timeout_ms = 3000\n";
        let (dir, config) = Place { kafka: &address, settings: &settings, http, ..Place::default() }.topics();
        places.push((TestApp::start_in(dir, &config).await, expected));
    }
    for (app, _) in &places {
        assert_eq!(app.check(&quote("before")).await.expect("answered").json()["degraded"], false);
    }
    server.freeze();
    for (app, expected) in &places {
        // Until it is noticed, a check is accepted as ever: its record waits in the producer.
        let form = quote("first");
        eventually("it is noticed", async || {
            let answer = app.check(&form).await.expect("answered");
            match expected {
                None => answer.status == StatusCode::SERVICE_UNAVAILABLE,
                Some(_) => answer.status == StatusCode::OK,
            }
        })
        .await;
        let answer = app.check(&quote("during")).await.expect("answered");
        let ready = app.get("/readyz").await.expect("answered");
        match expected {
            None => {
                assert_eq!((answer.status, answer.header("retry-after").is_empty()), (StatusCode::SERVICE_UNAVAILABLE, false));
                assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
            }
            Some(decision) => {
                let told = answer.json();
                assert_eq!(
                    (&told["degraded"], &told["decision"], &told["decision_id"]),
                    (&true.into(), &(*decision).into(), &Value::Null)
                );
                assert_eq!(ready.status, StatusCode::OK);
                assert!(String::from_utf8_lossy(&ready.body).starts_with("degraded: "), "{ready:?}");
                let counted = format!("quoteguard_degraded_answers_total{{decision=\"{decision}\"}}");
                assert!(app.metric(&counted).await >= 1.0);
            }
        }
    }
    server.thaw();
    for (number, (app, expected)) in places.into_iter().enumerate() {
        let form = quote("after");
        eventually("kafka is back", async || {
            app.check(&form).await.is_ok_and(|answer| answer.status == 200 && answer.json()["degraded"] == false)
        })
        .await;
        // What was answered without a decision is counted all the same.
        if expected.is_some() {
            eventually("it is decided", async || app.get("/v1/decisions/during").await.is_ok_and(|a| a.status == 200)).await;
        }
        assert!(app.stop().await.1.success(), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_goes_away_delays_no_decision_and_gets_what_it_missed() {
    let server = Private::start(Kind::Redis, &["appendonly yes"]);
    let place = Place { redis: format!("url = \"{}\"\n", server.url()), ..Place::default() };
    let (dir, config) = place.topics();
    let app = TestApp::start_in(dir, &config).await;
    version(&app, "insurer", 1).await;
    server.kill();
    for number in 2..=4 {
        assert_eq!(version(&app, "insurer", number).await.json()["decision"] == "refer", number == 4, "{number}");
    }
    eventually("it is told", async || app.metric("quoteguard_store_up{store=\"redis\"}").await == 0.0).await;
    server.restart();
    eventually("it is told", async || app.metric("quoteguard_store_up{store=\"redis\"}").await == 1.0).await;
    eventually("all are shown", async || app.metric("quoteguard_live_attempts").await == 4.0).await;
    let dir = app.kill().await;
    let app = TestApp::start_in(dir, &config).await;
    assert_eq!(version(&app, "insurer", 5).await.json()["decision"], "refer");
    eventually("all is there", async || app.metric("quoteguard_live_attempts").await == 5.0).await;
    assert!(app.stop().await.1.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_with_a_login_it_is_the_same_and_no_secret_is_told() {
    let secure = secure();
    let password = fs::read_to_string(&secure.password_file).expect("readable");
    let (ca, file) = (secure.ca.display(), secure.password_file.display());
    let (user, tls) = (&secure.user, &secure.redis);
    let settings = format!(
        "security = \"sasl_ssl\"\nca_file = \"{ca}\"\nusername = \"{user}\"\npassword_file = \"{file}\"\nsession_timeout_ms = 1000\n"
    );
    let redis = format!("url = \"{tls}\"\nca_file = \"{ca}\"\nusername = \"{user}\"\npassword_file = \"{file}\"\n");
    let place = Place { kafka: &secure.kafka, redis, settings: &settings, ..Place::default() };
    let (dir, config) = place.topics();
    let app = TestApp::start_in(dir, &config).await;
    for number in 1..=4 {
        assert_eq!(version(&app, "insurer", number).await.json()["decision"] == "refer", number == 4, "{number}");
    }
    let dir = app.kill().await;
    let app = TestApp::start_in(dir.clone(), &config).await;
    assert_eq!(version(&app, "insurer", 5).await.json()["decision"], "refer");
    app.terminate();
    let (_, status, said) = app.wait_and_hear().await;
    assert!(status.success() && !said.contains(password.trim()), "{said}");

    // A wrong password is said to be one.
    fs::write(dir.path().join("wrong"), "not-the-password").expect("written");
    let wrong = config.replace(&file.to_string(), "wrong");
    fs::write(dir.path().join("quoteguard.toml"), wrong).expect("written");
    let print = Command::new(BINARY).args(["config", "print"]).current_dir(dir.path()).output().expect("runs");
    assert!(print.status.success());
    let refused = Command::new(BINARY).args(["topics", "check"]).current_dir(dir.path()).output().expect("runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("kafka.password_file") && !said.contains("not-the-password"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_not_watched_beside_a_topic() {
    let (dir, config) = Place::default().topics();
    fs::write(dir.path().join("quoteguard.toml"), format!("{config}[watch]\ndir = \".\"\n")).expect("written");
    let refused = Command::new(BINARY).args(["serve", "--listen", "127.0.0.1:0"]).current_dir(dir.path()).output().expect("runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("watch.dir"), "{said}");
}
