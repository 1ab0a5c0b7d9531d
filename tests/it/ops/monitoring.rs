//! A real Prometheus and Alertmanager over our files, in a hurry, and a webhook that hears what they send.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path as Team, State};
use axum::routing::post;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{files, path};
use crate::app::eventually;

/// An alert as a team was told of it.
#[derive(Clone, Debug)]
pub struct Told {
    pub team: String,
    pub is_firing: bool,
    pub labels: Value,
    pub annotations: Value,
}

type Heard = Arc<Mutex<Vec<Told>>>;

pub struct Monitoring {
    /// Killed with the test.
    servers: Vec<Child>,
    prometheus: SocketAddr,
    heard: Heard,
    _dir: TempDir,
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address")
}

/// Everything that says how long to wait, or over how long to look before anything can be said, in seconds; what alerts about, and the
/// windows of rates, stay.
fn hurried(rules: &str) -> String {
    let line = |line: &str| match line.trim_start().split_once(": ") {
        Some(("for", _)) => "        for: 1s".to_owned(),
        Some(("interval", _)) => "    interval: 1s".to_owned(),
        _ => line.replace("[3m]", "[15s]"),
    };
    rules.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// In its place exactly one other text.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from} in\n{text}");
    text.replace(from, to)
}

/// The shipped configuration for these addresses: the routes of the teams, what silences what and the rules are what is tested.
fn write_configuration(dir: &Path, targets: &[SocketAddr], alertmanager: SocketAddr, webhook: SocketAddr) {
    let read = |file: &str| fs::read_to_string(path("deploy/prometheus").join(file)).expect("reads");
    let targets = targets.iter().map(|target| format!("\"{target}\"")).collect::<Vec<_>>().join(", ");
    let mut config = replaced(&read("prometheus.yml"), "\"quoteguard-1:8080\", \"quoteguard-2:8080\"", &targets);
    config = replaced(&config, "\"alertmanager:9093\"", &format!("\"{alertmanager}\""));
    config = replaced(&config, "scrape_interval: 15s", "scrape_interval: 1s");
    config = replaced(&config, "evaluation_interval: 15s", "evaluation_interval: 1s");
    fs::write(dir.join("prometheus.yml"), config).expect("written");
    fs::create_dir(dir.join("rules")).expect("a folder");
    for (name, file) in files("deploy/prometheus/rules", "yml") {
        let rules = hurried(&fs::read_to_string(file).expect("reads"));
        fs::write(dir.join("rules").join(name + ".yml"), rules).expect("written");
    }
    let at_once = |line: &str| match line.trim_start().split_once(": ") {
        Some((wait @ ("group_wait" | "group_interval"), _)) => {
            line.replace(&line[line.find(wait).unwrap_or(0)..], &format!("{wait}: 1s"))
        }
        _ => line.replace("127.0.0.1:9095", &webhook.to_string()),
    };
    let routes = read("alertmanager.yml").lines().map(at_once).collect::<Vec<_>>().join("\n");
    fs::write(dir.join("alertmanager.yml"), routes).expect("written");
}

fn launch(dir: &Path, program: &str, args: &[&str]) -> Child {
    let log = fs::File::create(dir.join(format!("{program}.log"))).expect("a file");
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap_or_else(|e| panic!("{program}: {e}; `scripts/setup.sh prometheus` installs it"))
}

impl Monitoring {
    /// Watches the targets; ready when each was read twice, so that what happens from now on is a change.
    pub async fn start(targets: &[SocketAddr]) -> Monitoring {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let heard = Heard::default();
        let webhook = listen(heard.clone()).await;
        let (prometheus, alertmanager) = (free_address(), free_address());
        write_configuration(dir.path(), targets, alertmanager, webhook);
        let servers = vec![
            launch(
                dir.path(),
                "prometheus-alertmanager",
                &[
                    "--config.file=alertmanager.yml",
                    "--storage.path=alertmanager",
                    &format!("--web.listen-address={alertmanager}"),
                    "--cluster.listen-address=",
                ],
            ),
            launch(
                dir.path(),
                "prometheus",
                &["--config.file=prometheus.yml", "--storage.tsdb.path=data", &format!("--web.listen-address={prometheus}")],
            ),
        ];
        let monitoring = Monitoring { servers, prometheus, heard, _dir: dir };
        let query = "count(count_over_time(quoteguard_build_info[1m]) >= 2)";
        let wanted = targets.len().to_string();
        eventually("Prometheus has read the targets twice", async || monitoring.ask(query).await.as_deref() == Some(&*wanted))
            .await;
        monitoring
    }

    /// The value of a query that has one.
    pub async fn ask(&self, query: &str) -> Option<String> {
        let url = format!("http://{}/api/v1/query", self.prometheus);
        let query = query.to_owned();
        let answer = tokio::task::spawn_blocking(move || {
            let mut answer = ureq::get(&url).query("query", &query).call().ok()?;
            serde_json::from_str::<Value>(&answer.body_mut().read_to_string().ok()?).ok()
        });
        let answer = answer.await.expect("asked")?;
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    }

    fn heard(&self, matches: impl Fn(&Told) -> bool) -> Option<Told> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|told| matches(told)).cloned()
    }

    /// Waits until the team hears that the alert fires, with these labels among its own.
    pub async fn fires(&self, team: &str, alert: &str, labels: &[(&str, &str)]) -> Told {
        self.tells(team, alert, labels, true).await
    }

    pub async fn resolves(&self, team: &str, alert: &str, labels: &[(&str, &str)]) -> Told {
        self.tells(team, alert, labels, false).await
    }

    async fn tells(&self, team: &str, alert: &str, labels: &[(&str, &str)], is_firing: bool) -> Told {
        let is_it = |told: &Told| {
            let has = |(label, value): &(&str, &str)| told.labels[*label] == *value;
            told.team == team && told.is_firing == is_firing && told.labels["alertname"] == alert && labels.iter().all(has)
        };
        let what = format!("{team} hears of {alert} {labels:?}, firing: {is_firing}");
        eventually(&what, async || self.heard(is_it).is_some()).await;
        let told = self.heard(is_it).expect("heard");
        assert_eq!(told.annotations["runbook"], format!("docs/runbooks/{alert}.md"));
        told
    }

    /// What fired so far, by name.
    pub fn fired(&self) -> std::collections::BTreeSet<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter_map(|told| told.labels["alertname"].as_str().map(str::to_owned)).collect()
    }
}

/// A webhook as Alertmanager calls it: one path for each team.
async fn listen(heard: Heard) -> SocketAddr {
    async fn hear(State(heard): State<Heard>, Team(team): Team<String>, body: String) {
        let message: Value = serde_json::from_str(&body).unwrap_or_default();
        for alert in message["alerts"].as_array().unwrap_or(&Vec::new()) {
            let told = Told {
                team: team.clone(),
                is_firing: alert["status"] == json!("firing"),
                labels: alert["labels"].clone(),
                annotations: alert["annotations"].clone(),
            };
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/{team}", post(hear)).with_state(heard);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
