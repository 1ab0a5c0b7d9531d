//! What operators stand on: every alert has its runbook and its tests, and every metric that rules, dashboards and runbooks name
//! exists. Prometheus' own tools judge the rest.

mod fired;
mod monitoring;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use quoteguard::metrics::{DEAD_LETTER_REASONS, Metrics};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::{BINARY, TestApp, eventually};
use crate::quotes::quote;
use crate::servers::run;
use names::{Named, Names, named};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub fn path(file: &str) -> PathBuf {
    Path::new(ROOT).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The files of a folder with this extension, by their names without it.
fn files(folder: &str, extension: &str) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(path(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let of = |path: PathBuf| {
        let stem = path.file_stem()?.to_str()?.to_owned();
        (path.extension()? == extension).then_some((stem, path))
    };
    let found: BTreeMap<_, _> = paths.filter_map(of).collect();
    assert!(!found.is_empty(), "{folder} holds no .{extension}");
    found
}

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

fn rules(file: &str) -> Vec<Rule> {
    let file: RuleFile = serde_saphyr::from_str(&read(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    file.groups.into_iter().flat_map(|group| group.rules).collect()
}

fn alerts() -> BTreeMap<String, Rule> {
    let rules = rules("deploy/prometheus/rules/alerts.yml");
    rules.into_iter().map(|rule| (rule.alert.clone().expect("alerts only"), rule)).collect()
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts = alerts();
    let mut pages: BTreeSet<String> = files("docs/runbooks", "md").into_keys().collect();
    assert!(pages.remove("README"));
    assert_eq!(pages, alerts.keys().cloned().collect());
    for (name, rule) in alerts {
        assert_eq!(rule.annotations["runbook"], format!("docs/runbooks/{name}.md"));
        for annotation in ["summary", "description"] {
            assert!(!rule.annotations[annotation].is_empty(), "{name}: {annotation}");
        }
        assert!(["critical", "warning"].contains(&rule.labels["severity"].as_str()), "{name}");
        assert!(["ops", "underwriting", "fraud"].contains(&rule.labels["team"].as_str()), "{name}");
        let page = read(&format!("docs/runbooks/{name}.md"));
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {name}");
        assert_eq!(headings, [&*title, "## What it means", "## Confirm", "## What to do", "## What not to do"], "{name}");
    }
}

#[derive(Deserialize)]
struct TestFile {
    tests: Vec<RuleTest>,
}

#[derive(Deserialize)]
struct RuleTest {
    alert_rule_test: Vec<AlertTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<Value>,
}

/// In one scenario, in the order of time.
#[test]
fn every_alert_is_tested_to_fire_and_to_resolve() {
    let mut missing: BTreeSet<String> = alerts().into_keys().collect();
    let mut quiet = missing.clone();
    for file in files("deploy/prometheus/tests", "yml").into_values() {
        let file: TestFile = serde_saphyr::from_str(&fs::read_to_string(file).expect("reads")).expect("a test file");
        for test in file.tests {
            let mut fired = BTreeSet::new();
            for AlertTest { alertname, exp_alerts } in test.alert_rule_test {
                match (exp_alerts.is_empty(), fired.contains(&alertname)) {
                    (false, _) => drop(fired.insert(alertname)),
                    (true, true) => drop(missing.remove(&alertname)),
                    (true, false) => drop(quiet.remove(&alertname)),
                }
            }
        }
    }
    assert!(missing.is_empty(), "never fire and resolve in a test: {missing:?}");
    assert!(quiet.is_empty(), "never stay silent in a test: {quiet:?}");
}

#[test]
fn promtool_and_amtool_accept_the_files_and_the_rules_pass_their_tests() {
    let tool = |tool: &str, args: &[&str]| {
        run(Command::new(tool).args(args).current_dir(path("deploy/prometheus")));
    };
    tool("promtool", &["check", "config", "prometheus.yml"]);
    tool("amtool", &["check-config", "alertmanager.yml"]);
    let tests: Vec<String> =
        files("deploy/prometheus/tests", "yml").into_keys().map(|name| format!("tests/{name}.yml")).collect();
    let tests: Vec<&str> = [&["test", "rules"][..], &tests.iter().map(String::as_str).collect::<Vec<_>>()].concat();
    tool("promtool", &tests);
}

#[test]
fn every_metric_that_rules_dashboards_and_runbooks_name_exists() {
    let names = Names::of(&Metrics::new().expect("registered"), &recorded());
    let mut findings = Vec::new();
    for file in ["deploy/prometheus/rules/recording.yml", "deploy/prometheus/rules/alerts.yml"] {
        for rule in rules(file) {
            let place = rule.alert.or(rule.record).unwrap_or_default();
            findings.extend(names.unknown(&rule.expr).map(|what| format!("{file}: {place}: {what}")));
        }
    }
    for (name, file) in files("deploy/grafana/dashboards", "json") {
        for query in queries(&dashboard(&file)) {
            findings.extend(names.unknown(&query).map(|what| format!("{name}: {what} in {query}")));
        }
    }
    for (name, file) in files("docs/runbooks", "md") {
        let page = fs::read_to_string(file).expect("reads");
        findings.extend(names.unknown_in_text(&page).map(|what| format!("{name}.md: {what}")));
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

fn recorded() -> BTreeSet<String> {
    rules("deploy/prometheus/rules/recording.yml").into_iter().filter_map(|rule| rule.record).collect()
}

#[test]
fn the_runbooks_give_commands_that_exist() {
    for (name, file) in files("docs/runbooks", "md") {
        let page = fs::read_to_string(file).expect("reads");
        for line in page.split("```").skip(1).step_by(2).flat_map(str::lines).filter(|line| line.starts_with("quoteguard ")) {
            let words: Vec<&str> = line.split_whitespace().skip(1).collect();
            let words = if ["rules", "topics", "config"].contains(&words[0]) { &words[..2] } else { &words[..1] };
            let help = Command::new(BINARY).args(words).arg("--help").output().expect("runs");
            assert!(help.status.success(), "{name}: {line}");
            let help = String::from_utf8(help.stdout).expect("text");
            for flag in line.split_whitespace().filter(|word| word.starts_with("--")) {
                assert!(help.contains(flag), "{name}: {line}: no {flag}");
            }
        }
    }
    let page = read("docs/runbooks/DeadLetters.md");
    for reason in DEAD_LETTER_REASONS {
        assert!(page.contains(&format!("`{reason}`")), "DeadLetters.md does not name {reason}");
    }
}

fn dashboard(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).expect("reads")).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Every PromQL text of a dashboard, its variables filled in.
fn queries(dashboard: &Value) -> Vec<String> {
    let of_panels = list(dashboard, "panels").iter().flat_map(|panel| list(panel, "targets"));
    let texts = of_panels.chain(list(&dashboard["annotations"], "list")).map(|holder| holder["expr"].as_str().expect("a query"));
    let filled = |text: &str| text.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*");
    texts.map(filled).collect()
}

#[test]
fn the_dashboards_are_whole_and_prometheus_reads_their_queries() {
    let mut groups = Vec::new();
    for (name, file) in files("deploy/grafana/dashboards", "json") {
        let dashboard = dashboard(&file);
        assert_eq!(dashboard["uid"], *name);
        assert!(dashboard["schemaVersion"].as_u64() >= Some(39), "{name}");
        assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource", "{name}");
        assert!(list(&dashboard["annotations"], "list").iter().any(|one| one["name"] == "Rule books"), "{name}");
        let mut ids = BTreeSet::new();
        for panel in list(&dashboard, "panels") {
            let title = panel["title"].as_str().expect("a title");
            assert!(ids.insert(panel["id"].as_u64()), "{name}: {title}: its id is taken");
            if panel["type"] == "row" {
                continue;
            }
            assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}: {title}");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(defaults["unit"].is_string() && !list(&defaults["thresholds"], "steps").is_empty(), "{name}: {title}");
            assert!(!list(panel, "targets").is_empty(), "{name}: {title}");
            for target in list(panel, "targets") {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{name}: {title}");
            }
        }
        let group = name.replace('-', "_");
        let recorded = |(number, expr): (usize, String)| json!({"record": format!("query:{group}:{number}"), "expr": expr});
        let rules: Vec<Value> = queries(&dashboard).into_iter().enumerate().map(recorded).collect();
        groups.push(json!({"name": name, "rules": rules}));
    }
    let mut file = tempfile::Builder::new().suffix(".yml").tempfile().expect("a file");
    // JSON is YAML.
    write!(file, "{}", json!({"groups": groups})).expect("written");
    run(Command::new("promtool").args(["check", "rules"]).arg(file.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_a_service_at_work_pass_promtool_and_are_documented() {
    let app = TestApp::start("").await;
    for number in 0..5 {
        let mut form = quote(&format!("q-{number}"));
        form["vehicle"]["vin"] = format!("XTA219010K012{number}4{number}6").into();
        assert_eq!(app.check(&form).await.expect("answers").status, 200);
    }
    assert_eq!(app.post("/v1/quotes/check", "application/json", "no json").await.expect("answers").status, 400);
    eventually("it is ready", async || app.metric("quoteguard_ready").await == 1.0).await;
    let text = app.get("/metrics").await.expect("answers").body;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let promtool = promtool.as_mut().expect("runs");
    promtool.stdin.take().expect("piped").write_all(&text).expect("read");
    let status = promtool.wait().expect("ends");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut promtool.stderr.take().expect("piped"), &mut said).expect("text");
    assert!(status.success() && said.is_empty(), "{status}: {said}");

    let text = String::from_utf8(text.to_vec()).expect("text");
    let names = Names::of(&Metrics::new().expect("registered"), &BTreeSet::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Named { name, .. } = named(line).into_iter().next().expect("a sample");
        assert!(names.has(&name), "{name} is not known");
    }
}

/// `UPDATE_DOCS=1 cargo test ops` writes the page.
#[test]
fn the_page_of_metrics_is_what_is_registered() {
    let mut page = String::from(
        "# Metrics\n\nEvery metric of `/metrics`, which a test holds. No label holds personal data or an id of a quote. Rules and alerts are in\n\
         [deploy/prometheus](../deploy/prometheus), dashboards in [deploy/grafana](../deploy/grafana), what to do in [runbooks](runbooks/README.md).\n\n\
         | Metric | Kind | Labels | Meaning |\n|---|---|---|---|\n",
    );
    for metric in Metrics::new().expect("registered").known() {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = format!("{:?}", metric.kind).to_lowercase();
        page.push_str(&format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join(", "), metric.help));
    }
    let file = path("docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &page).expect("written");
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "docs/metrics.md is behind the code: run `UPDATE_DOCS=1 cargo test ops`");
}

/// A floating tag would be another program tomorrow.
#[test]
fn the_images_of_the_compose_file_are_exact_and_watched() {
    let compose: Value = serde_saphyr::from_str(&read("docker-compose.yml")).expect("YAML");
    for (name, service) in compose["services"].as_object().expect("services") {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} has no tag"));
        let numbers = tag.split(['.', '-']).filter(|part| part.trim_start_matches('v').parse::<u32>().is_ok()).count();
        assert!(numbers >= 2, "{name}: {image} is not exact");
        // One that ends when its work is done is awaited by its exit code.
        let ends = service["command"] == json!(["topics", "create"]);
        assert!(service["healthcheck"]["test"].is_array() || ends, "{name} has no health check");
    }
}
