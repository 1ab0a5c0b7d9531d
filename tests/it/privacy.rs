//! Personal data at rest: nobody who has the files and no key reads a form in them, and who has the keys loses nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::app::{BINARY, TestApp, column};
use crate::quotes::history;

const CONFIG: &str = "[time]\narrival = 'event'\n[privacy]\nkey_file = 'keys'\n";
const DECISIONS: &str = "SELECT CAST(json AS TEXT) FROM decisions ORDER BY offset, revision";
const KEYS: &str =
    "SELECT CAST(count(DISTINCT key) AS TEXT) || ' keys, ' || CAST(sum(key IS NULL AND kind = 0) AS TEXT) || ' open' FROM log";

/// A command of the binary in the folder: whether it succeeded, and what it said.
async fn run(dir: &Path, args: &[&str]) -> (bool, String) {
    let output = tokio::process::Command::new(BINARY).args(args).current_dir(dir).output().await.expect("runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).expect("text"))
}

async fn new_key(dir: &Path) -> String {
    let (made, key) = run(dir, &["keys", "new"]).await;
    assert!(made, "{key}");
    key
}

fn write_keys(dir: &Path, keys: &str) {
    let path = dir.join("keys");
    std::fs::write(&path, keys).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
}

/// What a thief would look for.
fn personal(quotes: &[Value]) -> Vec<String> {
    let texts = |form: &Value| {
        ["/policyholder/last_name", "/policyholder/phone", "/vehicle/vin"]
            .map(|at| form.pointer(at).and_then(Value::as_str).map(str::to_owned))
    };
    let found: Vec<String> = quotes.iter().flat_map(texts).flatten().filter(|text| text.len() > 7).collect();
    assert!(found.len() > quotes.len(), "the history names people");
    found
}

/// How many of the texts stand in the files of the folder as they are.
fn readable(dir: &Path, texts: &[String]) -> usize {
    let files = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let databases = files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".db")));
    // SQLite takes its companions away when the last connection goes.
    let bytes: Vec<u8> = databases.filter_map(|path| std::fs::read(path).ok()).flatten().collect();
    assert!(!bytes.is_empty());
    texts.iter().filter(|text| memchr::memmem::find(&bytes, text.as_bytes()).is_some()).count()
}

async fn serve(dir: Arc<TempDir>, quotes: &[Value]) -> Arc<TempDir> {
    let app = TestApp::start_in(dir, CONFIG).await;
    for form in quotes {
        let answer = app.check(form).await.expect("answers");
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    app.kill().await
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_sealed_keys_rotate_and_decisions_stay_the_same() {
    let quotes = history(11, 240);
    let texts = personal(&quotes);
    let (first, rest) = quotes.split_at(80);
    let (second, third) = rest.split_at(80);

    let dir = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    // Without keys first, then with one, then with another before it.
    let app = TestApp::start_in(dir.clone(), "[time]\narrival = 'event'\n").await;
    for form in first {
        app.check(form).await.expect("answers");
    }
    app.stop().await;
    assert!(readable(dir.path(), &texts) > 0, "without a key they can be read");
    let old = new_key(dir.path()).await;
    write_keys(dir.path(), &old);
    serve(dir.clone(), second).await;
    let new = new_key(dir.path()).await;
    write_keys(dir.path(), &format!("{new}{old}"));
    serve(dir.clone(), third).await;
    let database = dir.path().join("quoteguard.db");
    assert_eq!(column(&database, KEYS).await, ["2 keys, 80 open"]);
    let served = column(&database, DECISIONS).await;

    // The same stream without any keys and kills.
    let plain = TestApp::start("[time]\narrival = 'event'\n").await;
    for form in &quotes {
        plain.check(form).await.expect("answers");
    }
    let expected = column(&plain.database(), DECISIONS).await;
    let told = |decisions: &[String]| -> Vec<Value> {
        let told = |json: &String| {
            let decision: Value = serde_json::from_str(json).expect("JSON");
            ["quote_id", "revision", "decision", "linked", "features"].iter().map(|key| decision[*key].clone()).collect()
        };
        decisions.iter().map(told).collect()
    };
    assert_eq!(told(&served), told(&expected));

    // The old key can go once all is sealed anew, and nobody finds a form then.
    let (done, said) = run(dir.path(), &["keys", "reseal", "--data", "quoteguard.db"]).await;
    assert!(done && said.contains("forms of the desk sealed anew with key"), "{said}");
    write_keys(dir.path(), &new);
    assert_eq!(column(&database, KEYS).await, ["1 keys, 0 open"]);
    assert_eq!(readable(dir.path(), &texts), 0);
    let app = TestApp::start_in(dir.clone(), CONFIG).await;
    let again = app.check(&quotes[0]).await.expect("answers").json();
    assert_eq!(
        served.iter().filter(|json| json.contains(again["decision_id"].as_str().expect("an id"))).count(),
        1,
        "a duplicate"
    );
    app.stop().await;
    let (done, said) =
        run(dir.path(), &["replay", "quoteguard.db", "--decisions", "out.jsonl", "--config", "quoteguard.toml"]).await;
    assert!(done, "{said}");
    let mut replayed: Vec<String> =
        std::fs::read_to_string(dir.path().join("out.jsonl")).expect("written").lines().map(str::to_owned).collect();
    let mut served = served;
    replayed.sort();
    served.sort();
    assert_eq!(replayed, served, "the replay of a sealed log gives what was published");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_a_sealed_file_is_refused_and_left_alone() {
    let dir = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    write_keys(dir.path(), &new_key(dir.path()).await);
    serve(dir.clone(), &history(3, 20)).await;
    let forms = "SELECT hex(body) FROM log WHERE kind = 0";
    let database = dir.path().join("quoteguard.db");
    let before = column(&database, forms).await;

    write_keys(dir.path(), &new_key(dir.path()).await);
    for args in [
        &["serve", "--data", "quoteguard.db", "--listen", "127.0.0.1:0"][..],
        &["replay", "quoteguard.db", "--decisions", "out.jsonl"],
        &["keys", "reseal", "--data", "quoteguard.db"],
        &["rebuild", "--data", "quoteguard.db"],
    ] {
        let (done, said) = run(dir.path(), args).await;
        assert!(!done && said.contains("which is not among the given ones; see privacy.key_file"), "{args:?}: {said}");
    }
    std::fs::remove_file(dir.path().join("keys")).expect("removed");
    let (done, said) = run(dir.path(), &["serve", "--data", "quoteguard.db", "--listen", "127.0.0.1:0"]).await;
    assert!(!done && said.contains("privacy.key_file: keys: No such file"), "{said}");
    assert_eq!(column(&database, forms).await, before);
}
