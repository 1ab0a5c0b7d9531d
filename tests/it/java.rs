//! Java clients against the same topics: what a user has who knows nothing of our code.

use std::collections::BTreeSet;
use std::io::Write;
use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use quoteguard::pipeline::partitioner::partition_of;
use serde_json::Value;

use crate::servers::{Kind, Private, jars, kafka, run, secure, unique};

/// Class path with `tests/java/Client.java`, compiled once.
static CLASSES: LazyLock<String> = LazyLock::new(|| {
    let classes = concat!(env!("CARGO_TARGET_TMPDIR"), "/java");
    let class_path = format!("{}/*:{classes}", jars());
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/java/Client.java");
    run(Command::new("javac").args(["-cp", &class_path, "-d", classes, source]));
    class_path
});

/// Runs one of its commands; a JSON object for each line it printed.
pub fn client(broker: &str, args: &[&str], stdin: &str) -> Vec<Value> {
    client_with(&[], broker, args, stdin).unwrap_or_else(|said| panic!("{args:?}: {said}"))
}

/// With client settings of its own; what it said where it failed.
pub fn client_with(settings: &[(&str, &str)], broker: &str, args: &[&str], stdin: &str) -> Result<Vec<Value>, String> {
    let (command, rest) = args.split_first().expect("a command");
    let mut child = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN", "-cp", &CLASSES])
        .args(settings.iter().map(|(key, value)| format!("-Dkafka.{key}={value}")))
        .args(["Client", command, broker])
        .args(rest)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("java runs");
    child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("its end");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let output = String::from_utf8(output.stdout).expect("text");
    Ok(output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect())
}

#[test]
fn a_key_lands_where_we_expect_it() {
    const PARTITIONS: NonZeroU32 = NonZeroU32::new(7).expect("not zero");
    let topic = unique("java");
    let keys: Vec<String> = (0..200).map(|i| format!("{}страховщик-{i}", "x".repeat(i % 9))).collect();
    client(kafka(), &["create", &topic, &PARTITIONS.to_string()], "");
    let lines: String = keys.iter().map(|key| format!("{key}\t{{}}\n")).collect();
    let sent = client(kafka(), &["produce", &topic], &lines);
    assert_eq!(sent.len(), keys.len());
    let mut used = BTreeSet::new();
    for (key, record) in keys.iter().zip(&sent) {
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        assert_eq!(record["partition"], partition, "{key}: {record}");
        used.insert(partition);
    }
    assert_eq!(used.len() as u32, PARTITIONS.get(), "every partition got some");

    let read = client(kafka(), &["consume", &topic, &keys.len().to_string()], "");
    let places = |records: &[Value]| -> BTreeSet<(String, String, String)> {
        let of = |record: &Value, field: &str| record[field].to_string();
        records.iter().map(|r| (of(r, "key"), of(r, "partition"), of(r, "offset"))).collect()
    };
    assert_eq!(places(&read), places(&sent), "and is read from there");
}

#[test]
fn a_private_broker_that_is_killed_keeps_its_records() {
    let server = Private::start(Kind::Kafka, &["broker.session.timeout.ms=1000"]);
    let broker = server.address();
    client(&broker, &["create", "t", "2"], "");
    let sent = client(&broker, &["produce", "t"], "a\t1\nb\t2\n");
    server.kill();
    server.restart();
    assert_eq!(server.address(), broker, "clients find it again");
    let read = client(&broker, &["consume", "t", "2"], "");
    assert_eq!(sent.len(), 2);
    for record in &read {
        assert_eq!(record["value"], if record["key"] == "a" { "1" } else { "2" }, "{record}");
    }
}

#[test]
fn the_secure_side_of_kafka_lets_in_its_user_only() {
    let secure = secure();
    let password = std::fs::read_to_string(&secure.password_file).expect("readable");
    let ca = secure.ca.to_str().expect("text");
    for (mechanism, module) in [("PLAIN", "plain.PlainLoginModule"), ("SCRAM-SHA-512", "scram.ScramLoginModule")] {
        let create = |password: &str| {
            let login = format!(
                "org.apache.kafka.common.security.{module} required username=\"{}\" password=\"{password}\";",
                secure.user
            );
            let settings = [
                ("security.protocol", "SASL_SSL"),
                ("ssl.truststore.type", "PEM"),
                ("ssl.truststore.location", ca),
                ("sasl.mechanism", mechanism),
                ("sasl.jaas.config", &login),
                ("default.api.timeout.ms", "10000"),
                ("request.timeout.ms", "10000"),
            ];
            client_with(&settings, &secure.kafka, &["create", &unique("secure"), "1"], "")
        };
        create(password.trim()).unwrap_or_else(|said| panic!("{mechanism}: {said}"));
        let said = create("wrong").expect_err(mechanism);
        assert!(said.contains("SaslAuthenticationException"), "{mechanism}: {said}");
    }
}
