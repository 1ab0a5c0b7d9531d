//! `quoteguard backtest` as an analyst meets it: its figures against replays, against a service's own decisions, and as files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use loadtest::generate::write;
use loadtest::plan::{Config, Mix};
use serde_json::Value;

use crate::app::{TestApp, column};
use crate::commands::{run, text};
use crate::quotes::history;

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");

/// Writes `q.jsonl` and its labels `t.jsonl`.
fn generate(dir: &Path, quotes: usize) {
    let config = Config { seed: 3, quotes, mix: Mix::Stress, days: 20, tenants: 0 };
    let (mut lines, mut truth) = (Vec::new(), Vec::new());
    write(&config, &mut lines, &mut truth).expect("in memory");
    fs::write(dir.join("q.jsonl"), lines).expect("written");
    fs::write(dir.join("t.jsonl"), truth).expect("written");
}

/// The figures of a run.
fn backtest(dir: &Path, args: &[&str]) -> Value {
    let done = run(dir, &[&["backtest", "--json", "out.json"], args].concat(), b"");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    serde_json::from_slice(&fs::read(dir.join("out.json")).expect("written")).expect("JSON")
}

/// Of every quote what the submitter was told, and the decision that stands.
fn replayed(dir: &Path, args: &[&str]) -> BTreeMap<String, (String, String)> {
    let done = run(dir, &[&["replay", "q.jsonl", "--decisions", "d.jsonl"], args].concat(), b"");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let lines = fs::read_to_string(dir.join("d.jsonl")).expect("written");
    standing(lines.lines())
}

fn standing<'a>(decisions: impl Iterator<Item = &'a str>) -> BTreeMap<String, (String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let read = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    decisions.map(read).map(|d| (word(&d["quote_id"]), (word(&d["answer"]), word(&d["decision"])))).collect()
}

fn counts<'a>(words: impl Iterator<Item = &'a String>) -> Value {
    let mut counts = BTreeMap::from([("accept", 0), ("flag", 0), ("refer", 0)]);
    for word in words {
        *counts.get_mut(word.as_str()).expect("a verdict") += 1;
    }
    serde_json::to_value(counts).expect("numbers")
}

#[test]
fn the_figures_are_those_of_a_replay_under_each_book() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    generate(dir.path(), 2_500);
    fs::create_dir(dir.path().join("tried")).expect("a folder");
    for entry in fs::read_dir(RULES).expect("reads") {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("an entry");
        let rule = fs::read_to_string(path).expect("text");
        let rule = if name == "picking-24h.yaml" { rule.replacen("default: 3,", "default: 2,", 1) } else { rule };
        fs::write(dir.path().join("tried").join(name), rule).expect("written");
    }
    let (shipped, tried) = (replayed(dir.path(), &[]), replayed(dir.path(), &["--rules", "tried"]));
    let inputs = ["--input", "q.jsonl", "--labels", "t.jsonl"];
    let figures = backtest(dir.path(), &[&inputs[..], &["--set", "picking-24h.n=2"]].concat());
    let whole = backtest(dir.path(), &[&inputs[..], &["--rules", "tried"]].concat());

    let referred = |of: &BTreeMap<String, (String, String)>| -> BTreeSet<String> {
        of.iter().filter(|(_, (answer, _))| answer == "refer").map(|(id, _)| id.clone()).collect()
    };
    let (before, after) = (referred(&shipped), referred(&tried));
    assert!(after.len() > before.len(), "a lower bound refers more: {} and {}", before.len(), after.len());
    for (book, decisions) in [(&figures["baseline"], &shipped), (&figures["candidates"][0], &tried)] {
        assert_eq!(book["told"], counts(decisions.values().map(|(answer, _)| answer)), "{}", book["name"]);
        assert_eq!(book["standing"], counts(decisions.values().map(|(_, decision)| decision)), "{}", book["name"]);
    }
    let overlap = &figures["candidates"][0]["overlap"];
    let sizes = [before.intersection(&after).count(), before.difference(&after).count(), after.difference(&before).count()];
    assert_eq!(["both", "only_baseline", "only_candidate"].map(|name| overlap[name].as_u64()), sizes.map(|n| Some(n as u64)));
    for example in overlap["newly_referred"].as_array().expect("a list") {
        let id = example["quote_id"].as_str().expect("an id");
        assert!(after.contains(id) && !before.contains(id), "{example}");
    }
    let renamed = |book: &Value| {
        let mut book = book.clone();
        (book["name"], book["rule_book"]) = (Value::Null, Value::Null);
        book
    };
    let [set, folder] = [&figures, &whole].map(|of| renamed(&of["candidates"][0]));
    assert_eq!(set, folder, "a parameter that is set, and a folder in which it is changed");
}

/// `UPDATE_BACKTEST=1 cargo test backtest` writes the file anew.
#[test]
fn the_figures_of_one_history_are_as_checked_in() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    generate(dir.path(), 1_200);
    backtest(dir.path(), &["--input", "q.jsonl", "--labels", "t.jsonl", "--set", "picking-24h.n=2", "--set", "picking-30d.n=5"]);
    let now = fs::read_to_string(dir.path().join("out.json")).expect("written");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/backtest.json");
    if std::env::var_os("UPDATE_BACKTEST").is_some() {
        fs::write(path, &now).expect("written");
    }
    let checked_in = fs::read_to_string(path).unwrap_or_default();
    assert!(
        checked_in == now,
        "tests/it/backtest.json is stale: look at what changed with UPDATE_BACKTEST=1 cargo test backtest"
    );
}

/// The labels are what the service decided, so each difference would be a manipulated quote that passed or an honest one referred.
#[tokio::test(flavor = "multi_thread")]
async fn the_baseline_of_a_services_file_is_what_it_decided() {
    let app = TestApp::start("[time]\narrival = 'event'\n").await;
    for form in history(7, 400) {
        assert_eq!(app.check(&form).await.expect("answers").status, 200);
    }
    let (dir, _) = app.stop().await;
    let published = "SELECT CAST(json AS TEXT) FROM decisions ORDER BY rowid";
    let published = column(&dir.path().join("quoteguard.db"), published).await;
    let decided = standing(published.iter().map(String::as_str));
    let label =
        |(id, (_, last)): (&String, &(String, String))| format!("{{\"quote_id\":\"{id}\",\"honest\":{}}}\n", last != "refer");
    fs::write(dir.path().join("t.jsonl"), decided.iter().map(label).collect::<String>()).expect("written");
    let sets = ["--set", "picking-24h.n=2", "--set", "picking-24h.window=6h", "--rules", RULES];
    let args = [&["--input", "quoteguard.db", "--labels", "t.jsonl", "--sweep"], &sets[..]].concat();
    let figures = tokio::task::spawn_blocking(move || backtest(dir.path(), &args)).await.expect("runs");
    let baseline = &figures["baseline"];
    let (passed, referred) =
        (&baseline["labelled"]["quotes"]["manipulated_passed"], &baseline["labelled"]["quotes"]["honest_referred"]);
    assert_eq!((passed.as_u64(), referred.as_u64()), (Some(0), Some(0)), "{baseline}");
    assert_eq!(baseline["standing"], counts(decided.values().map(|(_, last)| last)));
    assert!(baseline["standing"]["refer"].as_u64() > Some(0) && figures["history"]["amendments"].as_u64() > Some(0));
    assert_eq!(baseline["name"], "live");
    // The folder holds the book that was in force.
    let same = &figures["candidates"][0];
    assert_eq!((&same["told"], &same["standing"]), (&baseline["told"], &baseline["standing"]));
}

#[test]
fn the_report_is_one_page_without_personal_data() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    generate(dir.path(), 2_500);
    let form = fs::read_to_string(dir.path().join("q.jsonl")).expect("text");
    let vins: BTreeSet<String> = form
        .lines()
        .filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["vehicle"]["vin"].as_str()?.to_uppercase()))
        .filter(|vin| vin.is_ascii() && vin.len() == 17)
        .collect();
    let page = |more: &[&str]| {
        let args = ["--input", "q.jsonl", "--set", "picking-24h.n=2", "--report", "out.html"];
        backtest(dir.path(), &[&args[..], more].concat());
        fs::read_to_string(dir.path().join("out.html")).expect("written")
    };
    let shows = |page: &str| vins.iter().any(|vin| page.contains(vin.as_str()));
    let masked = page(&[]);
    assert!(!shows(&masked) && shows(&page(&["--show-personal-data"])));
    for foreign in ["http:", "https:", "<script", "<link", "@import", "url(", "src="] {
        assert!(!masked.contains(foreign), "{foreign}");
    }
    assert!(masked.contains("<svg") && masked.contains("•••"));
}

#[test]
fn what_cannot_run_says_so_before_it_reads() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    generate(dir.path(), 50);
    for (args, code, said) in [
        (&["--set", "picking-24h.n=2"][..], 2, "--input"),
        (&["--input", "q.jsonl"], 1, "nothing to try"),
        (&["--input", "missing.jsonl", "--sweep"], 1, "missing.jsonl"),
        (&["--input", "q.jsonl", "--set", "picking-24h.m=2"], 1, "has no parameter `m`"),
        (&["--input", "q.jsonl", "--sweep", "--baseline", "nowhere"], 1, "nowhere"),
        (&["--input", "q.jsonl", "--sweep", "--labels", "q.jsonl"], 1, "line 1: it says neither"),
        (&["--input", "q.jsonl", "--sweep", "--labels", "none.jsonl"], 1, "--labels none.jsonl"),
        (&["--input", "q.jsonl", "--sweep", "--report", "q.jsonl"], 1, "is the same file as the input q.jsonl"),
        (&["--input", "q.jsonl", "--sweep", "--report", "no/out.html"], 1, "no/out.html"),
    ] {
        let done = run(dir.path(), &[&["backtest"], args].concat(), b"");
        assert_eq!(done.status.code(), Some(code), "{args:?}: {}", text(&done.stderr));
        assert!(text(&done.stderr).contains(said), "{args:?}: {}", text(&done.stderr));
    }
}

/// A rule in shadow that looks back further must not weigh a shared phone otherwise for the live ones.
#[test]
fn a_rule_in_shadow_changes_no_answer_however_far_it_looks_back() {
    let dir = tempfile::tempdir().expect("a folder");
    generate(dir.path(), 4_000);
    let rule = |id: &str, mode: &str, window: &str| {
        format!(
            "id: {id}\nversion: 1\ntitle: Quotes upon quotes\nowner: tests\nmode: {mode}\nreason_code: MANY\n\
             when: attempts(duration(\"{window}\")) >= 3\nthen: refer\nreason: {{underwriter: \"{{attempts}} quotes\"}}\n"
        )
    };
    for (folder, files) in [("alone", 1), ("beside", 2)] {
        fs::create_dir(dir.path().join(folder)).expect("a folder");
        for (name, text) in
            [("a.yaml", rule("live", "live", "24h")), ("b.yaml", rule("far", "shadow", "30d"))].into_iter().take(files)
        {
            fs::write(dir.path().join(folder).join(name), text).expect("written");
        }
    }
    let decided = |rules: &str| -> Vec<Value> {
        let done = run(dir.path(), &["replay", "q.jsonl", "--decisions", "d.jsonl", "--rules", rules], b"");
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        let lines = fs::read_to_string(dir.path().join("d.jsonl")).expect("written");
        let first = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).filter(|d| d["revision"] == 1);
        first.collect()
    };
    let (alone, beside) = (decided("alone"), decided("beside"));
    let said = |d: &Value| ["quote_id", "decision", "answer", "referral_id", "reasons", "linked"].map(|key| d[key].clone());
    assert!(alone.iter().map(said).eq(beside.iter().map(said)));
    let in_shadow = beside.iter().filter(|d| !d["shadow"].is_null()).count();
    let live = alone.iter().filter(|d| d["decision"] == "refer").count();
    assert!(in_shadow > live, "it sees further: {in_shadow} and {live}");
}
