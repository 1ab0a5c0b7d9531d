//! The command line: what it writes where, and how it ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::app::BINARY;
use crate::quotes::{history, lines};

const SHIPPED_RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");

pub fn run(dir: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(BINARY)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("ends")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_replay_is_the_same_from_any_kind_of_file() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| dir.path().join(name);
    let quotes = lines(&history(5, 1_200));
    let (first, second) = quotes.split_at(quotes.match_indices('\n').nth(699).map_or(0, |(at, _)| at + 1));
    fs::write(at("whole.jsonl"), &quotes).expect("written");
    fs::write(at("first.jsonl"), first).expect("written");
    fs::write(at("second.jsonl"), second).expect("written");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(quotes.as_bytes()).expect("in memory");
    fs::write(at("whole.jsonl.gz"), gz.finish().expect("in memory")).expect("written");
    fs::write(at("whole.jsonl.zst"), zstd::encode_all(quotes.as_bytes(), 1).expect("in memory")).expect("written");

    let mut outputs = Vec::new();
    for (i, files) in [&["whole.jsonl"][..], &["-"], &["first.jsonl", "second.jsonl"], &["whole.jsonl.gz"], &["whole.jsonl.zst"]]
        .into_iter()
        .enumerate()
    {
        let out = format!("out-{i}.jsonl");
        let args = [&["replay"], files, &["--decisions", &out]].concat();
        let done = run(dir.path(), &args, quotes.as_bytes());
        assert_eq!(done.status.code(), Some(0), "{files:?}: {}", text(&done.stderr));
        assert!(text(&done.stdout).contains("records               1200"), "{}", text(&done.stdout));
        assert_eq!(fs::read(at(&format!("out-{i}.rejects.jsonl"))).expect("there"), b"", "no rejects");
        outputs.push(fs::read(at(&out)).expect("written"));
    }
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(!outputs[0].is_empty());
}

#[test]
fn rejects_keep_their_place_and_their_bytes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let quotes = history(5, 2);
    let mut input = format!("{}\nno json\n\n{{\"quote_id\":\"x\"}}\n", quotes[0]).into_bytes();
    input.extend_from_slice(b"\xFF\xFE\n");
    input.extend_from_slice("x".repeat(70_000).as_bytes());
    input.extend_from_slice(format!("\n{}\n", quotes[1]).as_bytes());
    fs::write(dir.path().join("in.jsonl"), input).expect("written");
    let done = run(dir.path(), &["replay", "in.jsonl", "--decisions", "out.jsonl"], b"");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));

    let rejects = fs::read_to_string(dir.path().join("out.rejects.jsonl")).expect("written");
    let rejects: Vec<Value> = rejects.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let seen: Vec<(u64, &str)> =
        rejects.iter().map(|r| (r["line"].as_u64().expect("a line"), r["pointer"].as_str().expect("a pointer"))).collect();
    assert_eq!(seen, [(2, ""), (4, "/submitted_at"), (5, ""), (6, "")]);
    assert_eq!(rejects[0]["raw"], "no json");
    assert_eq!(rejects[2]["raw_base64"], "//4=");
    assert_eq!(rejects[3]["raw"].as_str().map(str::len), Some(64 * 1024));

    let decisions = fs::read_to_string(dir.path().join("out.jsonl")).expect("written");
    let offsets: Vec<Value> =
        decisions.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["position"]["offset"].clone()).collect();
    assert_eq!(offsets, [0, 5], "rejects are counted");
}

#[test]
fn a_replay_writes_over_nothing_that_it_reads() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| dir.path().join(name);
    let quotes = lines(&history(5, 20));
    fs::create_dir(at("sub")).expect("a folder");
    fs::write(at("q.jsonl"), &quotes).expect("written");
    fs::write(at("p.jsonl"), &quotes).expect("written");
    fs::write(at("other.db"), b"SQLite format 3\0 and more").expect("written");
    fs::hard_link(at("q.jsonl"), at("hard.jsonl")).expect("linked");
    std::os::unix::fs::symlink("q.jsonl", at("soft.jsonl")).expect("linked");
    std::os::unix::fs::symlink("new.jsonl", at("to-come.jsonl")).expect("linked");
    let list = || {
        let names = fs::read_dir(dir.path()).expect("reads").map(|entry| entry.expect("an entry").file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = list();
    for (args, named) in [
        (&["q.jsonl", "--decisions", "q.jsonl"][..], ["--decisions q.jsonl", "the input q.jsonl"]),
        (&["q.jsonl", "--decisions", "sub/../q.jsonl"], ["--decisions sub/../q.jsonl", "the input q.jsonl"]),
        (&["p.jsonl", "q.jsonl", "--decisions", "soft.jsonl"], ["--decisions soft.jsonl", "the input q.jsonl"]),
        (&["hard.jsonl", "--decisions", "out.jsonl", "--rejects", "q.jsonl"], ["--rejects q.jsonl", "the input hard.jsonl"]),
        (
            &["q.jsonl", "--decisions", "new.jsonl", "--rejects", "./new.jsonl"],
            ["--rejects ./new.jsonl", "--decisions new.jsonl"],
        ),
        (
            &["q.jsonl", "--decisions", "to-come.jsonl", "--rejects", "new.jsonl"],
            ["--rejects new.jsonl", "--decisions to-come.jsonl"],
        ),
        (&["q.jsonl", "--decisions", "other.db"], ["--decisions other.db", "is an SQLite file"]),
    ] {
        let done = run(dir.path(), &[&["replay"], args].concat(), b"");
        let heard = text(&done.stderr);
        assert!(done.status.code() == Some(1) && named.iter().all(|word| heard.contains(word)), "{args:?}: {heard}");
        assert_eq!(list(), before, "{args:?}");
    }
    let stdin = fs::File::open(at("p.jsonl")).expect("opens");
    let mut redirected = Command::new(BINARY);
    redirected.args(["replay", "-", "--decisions", "p.jsonl"]).current_dir(dir.path()).stdin(stdin);
    let done = redirected.output().expect("runs");
    assert!(done.status.code() == Some(1) && text(&done.stderr).contains("/dev/stdin"), "{}", text(&done.stderr));
    for name in ["q.jsonl", "p.jsonl"] {
        assert_eq!(fs::read_to_string(at(name)).expect("reads"), quotes, "{name}");
    }
    let done = run(dir.path(), &["replay", "q.jsonl", "--decisions", "/dev/null", "--rejects", "/dev/null"], b"");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
}

#[test]
fn wrong_usage_is_2_and_failure_is_1_with_the_reason() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("bad.toml"), "[http]\nlisen = '127.0.0.1:1'").expect("written");
    fs::write(dir.path().join("not.jsonl.gz"), "not compressed").expect("written");
    fs::write(dir.path().join("day.toml"), "[time]\nretention_secs = 86400").expect("written");
    fs::create_dir(dir.path().join("one")).expect("created");
    fs::copy(format!("{SHIPPED_RULES}/picking-24h.yaml"), dir.path().join("one/picking-24h.yaml")).expect("copied");
    for (args, code, said) in [
        (&["replay"][..], 2, "Usage"),
        (&["nonsense"], 2, "Usage"),
        (&["replay", "missing.jsonl", "--decisions", "o.jsonl"], 1, "missing.jsonl"),
        (&["replay", "not.jsonl.gz", "--decisions", "o.jsonl"], 1, "not.jsonl.gz"),
        (&["config", "check", "--config", "bad.toml"], 1, "http.lisen"),
        (&["config", "check", "--config", "missing.toml"], 1, "missing.toml"),
        (&["serve", "--listen", "0.0.0.0:0"], 1, "http.keys"),
        (&["serve", "--watch", "missing"], 1, "watch.dir"),
        (&["rules", "check", "missing"], 1, "cannot read missing"),
        (&["rules", "test", "--help"], 0, "Folder of rule files"),
        (&["rules", "check", SHIPPED_RULES, "--config", "day.toml"], 1, "the window is 30d, and quotes are kept for 24h"),
        (&["rules", "check", SHIPPED_RULES], 0, "6 rules, windows 24h 30d"),
        (&["rules", "explain", SHIPPED_RULES, "picking-24h"], 0, "suspicious_attempts over 24h is at least 3"),
        (&["rules", "explain", SHIPPED_RULES, "picking-25h"], 1, "did you mean `picking-24h`?"),
        (&["rules", "diff", SHIPPED_RULES, SHIPPED_RULES, "--exit-code"], 0, ""),
        (&["rules", "diff", SHIPPED_RULES, "one"], 0, "rule picking-30d: removed: 1"),
        (&["rules", "diff", SHIPPED_RULES, "one", "--exit-code"], 1, "rule picking-30d: removed: 1"),
        (&["rules", "diff", SHIPPED_RULES, "missing"], 1, "cannot read missing"),
        (&["rules", "schema"], 0, "https://json-schema.org/draft/2020-12/schema"),
        (&["config", "check"], 0, "the configuration is valid"),
        (&["--version"], 0, concat!("quoteguard ", env!("CARGO_PKG_VERSION"))),
    ] {
        let done = run(dir.path(), args, b"");
        assert_eq!(done.status.code(), Some(code), "{args:?}: {}", text(&done.stderr));
        let heard = text(&[done.stdout, done.stderr].concat());
        assert!(heard.contains(said), "{args:?}: {heard}");
    }
    let printed = run(dir.path(), &["config", "print"], b"");
    assert!(text(&printed.stdout).contains("[http]"));
}

#[test]
fn the_shipped_rules_pass_their_own_tests() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for command in ["check", "test"] {
        let done = run(dir.path(), &["rules", command, SHIPPED_RULES], b"");
        assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
    }
}

/// Key and value of what `config print` says; a list of tables counts as one key.
fn printed(dir: &Path, config: &str) -> BTreeMap<String, String> {
    fs::write(dir.join("quoteguard.toml"), config).expect("written");
    let done = run(dir, &["config", "print"], b"");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let mut section = String::new();
    let mut keys = BTreeMap::new();
    for line in text(&done.stdout).lines() {
        if let Some(list) = line.strip_prefix("[[") {
            section.clear();
            keys.insert(list.trim_end_matches(']').to_owned(), "[]".to_owned());
        } else if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !section.is_empty()) {
            keys.insert(format!("{section}{key}"), value.trim_matches('"').to_owned());
        }
    }
    keys
}

#[test]
fn every_key_is_documented_with_its_default() {
    let documented: BTreeMap<String, String> = include_str!("../../docs/configuration.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
            Some((cells.next()?, cells.next()?))
        })
        .collect();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let everything = |password: &str, keys: &str| {
        let secret = password.replace("password", "secret");
        format!(
            "rules.dir = 'r'\nwatch.dir = 'w'\ntime.event_start = '2026-01-01T00:00:00Z'\n[[http.keys]]\nname = 'a'\ntenant = 't'\n\
             key_sha256 = '{}'\n[kafka]\nbrokers = 'k:1'\ninstance_id = 'a'\nsecurity = 'sasl_ssl'\nca_file = 'ca'\nusername = 'u'\n\
             {password} = 'p'\n[http.tls]\ncert_file = 'c'\nkey_file = 'k'\n[redis]\nca_file = 'ca'\nusername = 'u'\n{password} = 'p'\n\
             [privacy]\n{keys}\n[desk]\nurl = 'sqlite:d'\nca_file = 'ca'\npassword_file = 'p'\ncurrency = 'RUB'\n\
             [telemetry]\notlp_endpoint = 'http://c:4318'\n[console]\nfirst_password_file = 'p'\naddress_header = 'x-forwarded-for'\nbacktests = 'b'\n\
             [export]\ndir = 'e'\n[console.oidc]\nissuer = 'https://i'\nclient_id = 'c'\nclient_{secret} = 's'\npublic_url = 'https://h'\nca_file = 'ca'\n\
             label = 'l'\ntenant_claim = 't'\nroles = {{ VALUE = 'admin' }}\n\
             [[webhooks]]\nname = 'w'\nurl = 'https://h/'\nsecret = '0123456789abcdef'",
            "0".repeat(64)
        )
    };
    let mut all = printed(dir.path(), &everything("password_file", "key_file = 'k'"));
    all.extend(printed(dir.path(), &everything("password", "key_command = ['k']")));
    let names = |keys: &BTreeMap<String, String>| keys.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&documented), names(&all));
    for (key, default) in printed(dir.path(), "") {
        assert_eq!(documented[&key], default, "{key}");
    }
}
