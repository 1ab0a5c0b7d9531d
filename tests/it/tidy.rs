//! What reviewers should not have to look for: layers, lengths, leftovers. Each finding names file and line.

mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use source::{Code, functions, words};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const MAIN_LINES_MAX: usize = 50;

/// Not ours, or made by a build.
const SKIPPED: &[&str] = &[".git", "target", "data", ".venv", "node_modules"];

/// A folder and the modules of our own that it may name: dependencies point inward.
const LAYERS: &[(&str, &[&str])] = &[
    ("src/engine", &["engine"]),
    ("src/contract", &["contract", "engine"]),
    ("src/pipeline", &["pipeline", "contract", "engine", "metrics", "fault", "telemetry", "vault"]),
    ("src/adapters", &["adapters", "pipeline", "contract", "engine", "metrics", "telemetry", "vault"]),
    ("src/http", &["http", "pipeline", "contract", "engine", "metrics", "telemetry", "config"]),
    ("src/console", &["console", "http", "pipeline", "contract", "engine", "metrics", "shown"]),
    ("src/replay", &["replay", "adapters", "pipeline", "contract", "engine"]),
    ("src/backtest", &["backtest", "replay", "adapters", "pipeline", "contract", "engine", "shown"]),
];

/// The stores, which only `src/app` and they themselves may name.
const STORES: &[&str] = &["desk", "kafka", "redis", "sqlite", "table"];

/// Words that would let the world into the engine. Hash maps are banned whole: their order is not part of the input.
const IMPURE: &[&str] = &[
    "fs",
    "net",
    "env",
    "process",
    "thread",
    "SystemTime",
    "Instant",
    "HashMap",
    "HashSet",
    "RandomState",
    "async",
    "await",
    "tokio",
    "serde",
    "serde_json",
    "sqlx",
    "axum",
    "rand",
    "getrandom",
    "tracing",
    "println",
    "eprintln",
];

#[test]
fn dependencies_point_inward() {
    let mut findings = Vec::new();
    for (folder, allowed) in LAYERS {
        for file in rust_files(folder) {
            let code = Code::read(&file);
            for (line, module) in code.after("crate::") {
                if !allowed.contains(&module) {
                    findings.push(format!("{}:{line}: {folder} may not name crate::{module}", shown(&file)));
                }
            }
            // A group could hide one: stores are named one by one.
            for (line, adapter) in code.after("crate::adapters::") {
                if *folder != "src/adapters" && (STORES.contains(&adapter) || adapter == "{") {
                    findings.push(format!("{}:{line}: {folder} may not name the store {adapter}", shown(&file)));
                }
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn the_engine_is_pure() {
    let mut findings = Vec::new();
    for file in rust_files("src/engine") {
        let code = Code::read(&file);
        for (line, word) in words(&code.text) {
            if IMPURE.contains(&word) {
                findings.push(format!("{}:{line}: {word} has no place in the engine", shown(&file)));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn files_and_functions_are_short() {
    let mut findings = Vec::new();
    for file in all_rust_files() {
        let code = Code::read(&file);
        let lines = code.text.lines().count();
        let most = if shown(&file) == "src/main.rs" { MAIN_LINES_MAX } else { FILE_LINES_MAX };
        if lines > most {
            findings.push(format!("{}: {lines} lines, at most {most}", shown(&file)));
        }
        for function in functions(&code.text) {
            if function.lines > FUNCTION_LINES_MAX {
                let at = format!("{}:{}", shown(&file), function.line);
                findings.push(format!("{at}: fn {} has {} lines, at most {FUNCTION_LINES_MAX}", function.name, function.lines));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn nothing_is_left_over() {
    // Written in two halves, so that this file does not find itself.
    let banned = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("<<<<", "<<< "),
    ];
    // The one reason to skip a test: a command of its own runs it.
    let commands = ["test-volume", "test-faults", "drills"].map(|name| format!("#[{}nore = \"make {name}\"]", "ig"));
    let mut findings = Vec::new();
    for file in files(Path::new(ROOT)) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !commands.iter().any(|command| command == line.trim())) {
            findings.extend(
                banned
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{}:{number}: {word} may not stay", shown(&file))),
            );
        }
    }
    assert_none(&findings);
}

#[test]
fn every_dependency_is_used() {
    let mut findings = Vec::new();
    for (manifest, section, folders) in [
        ("Cargo.toml", "[dependencies]", &["src"][..]),
        ("Cargo.toml", "[dev-dependencies]", &["src", "tests", "benches"]),
        ("loadtest/Cargo.toml", "[dependencies]", &["loadtest/src"]),
    ] {
        let used: BTreeSet<String> = folders
            .iter()
            .flat_map(|folder| rust_files(folder))
            .flat_map(|file| words(&Code::read(&file).text).map(|(_, word)| word.to_owned()).collect::<Vec<_>>())
            .collect();
        let dependencies = dependencies(manifest, section);
        assert!(!dependencies.is_empty(), "{manifest} {section}");
        for name in dependencies {
            if !used.contains(&name.replace('-', "_")) {
                findings.push(format!("{manifest} {section}: {name} is used nowhere in {folders:?}"));
            }
        }
    }
    assert_none(&findings);
}

/// Each attack names the test that covers it, and the test is there.
#[test]
fn every_test_of_the_threat_model_exists() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/threat-model.md")).expect("the page");
    let mut findings = Vec::new();
    let named: Vec<_> = page.split('`').filter_map(|word| word.split_once(".rs::")).collect();
    assert!(named.len() >= 15, "{named:?}");
    for (file, test) in named {
        let text = fs::read_to_string(Path::new(ROOT).join(format!("{file}.rs"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let names = |line: &str| line.trim_start_matches("async ").starts_with(&format!("fn {test}("));
        let at = lines.iter().position(|line| names(line));
        let is_test = at.is_some_and(|at| lines[at.saturating_sub(4)..at].iter().any(|line| line.contains("test")));
        // A property is a function within `proptest!`, whose attribute stands above it as well.
        if !is_test {
            findings.push(format!("docs/threat-model.md: {file}.rs holds no test {test}"));
        }
    }
    assert_none(&findings);
}

/// Names of one section of a manifest.
fn dependencies(manifest: &str, section: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(ROOT).join(manifest)).expect("a manifest");
    let lines = text.lines().skip_while(|line| *line != section).skip(1).take_while(|line| !line.starts_with('['));
    let name = |line: &str| line.split(['.', '=', ' ']).next().unwrap_or_default().to_owned();
    lines.map(name).filter(|name| !name.is_empty() && !name.starts_with('#')).collect()
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = files(&Path::new(ROOT).join(folder));
    found.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    // `src/http` is the folder and the file beside it, where there is one.
    let beside = Path::new(ROOT).join(format!("{folder}.rs"));
    found.extend(beside.is_file().then_some(beside));
    assert!(!found.is_empty(), "{folder} holds no Rust");
    found
}

fn all_rust_files() -> Vec<PathBuf> {
    ["src", "tests", "benches", "loadtest"].iter().flat_map(|folder| rust_files(folder)).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        if SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
            continue;
        }
        if entry.file_type().expect("a type").is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn shown(file: &Path) -> String {
    file.strip_prefix(ROOT).unwrap_or(file).display().to_string()
}

fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}
