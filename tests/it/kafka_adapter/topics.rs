//! Creating topics, and what is said about those that are wrong.

use std::process::Command;
use std::thread;

use futures_executor::block_on;
use quoteguard::adapters::kafka::{Finding, KafkaError, Needs, Severity, Topic, check, create};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::Bench;
use super::bench::{brokers, options};
use crate::app::BINARY;

const NEEDS: Needs = Needs { retention_secs: 3_600 };

fn dangers(bench: &Bench) -> Vec<Finding> {
    let mut findings = check(&bench.config, NEEDS).expect("checked");
    findings.retain(|finding| finding.severity == Severity::Dangerous);
    findings
}

/// Topic, partitions, configuration.
type Made = (Topic, i32, &'static [(&'static str, &'static str)]);

fn make(bench: &Bench, topics: &[Made]) {
    let admin: AdminClient<DefaultClientContext> = bench.raw().create().expect("a client");
    for (topic, partitions, config) in topics {
        let new = NewTopic::new(bench.config.topics.name(*topic), *partitions, TopicReplication::Fixed(1));
        let new = config.iter().fold(new, |new, (key, value)| new.set(key, value));
        let made = block_on(admin.create_topics(&[new], &AdminOptions::new())).expect("answered");
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }
}

#[test]
fn creating_again_keeps_the_log() {
    let bench = Bench::bare("create");
    let before = dangers(&bench);
    assert_eq!(before.len(), Topic::ALL.len(), "{before:?}");
    let first = create(&bench.config, &options(3)).expect("created");
    assert_eq!((first.new.len(), first.is_new_log, first.log.partitions), (5, true, 3));
    assert_eq!(first.log.log_id.len(), 32);
    let again = create(&bench.config, &options(3)).expect("there");
    assert_eq!((again.new.len(), again.is_new_log), (0, false));
    assert_eq!(again.log, first.log);
    assert_eq!(dangers(&bench), []);
    let error = create(&bench.config, &options(4)).expect_err("refused");
    assert!(matches!(&error, KafkaError::Refused(why) if why.contains("3 partitions, not 4")), "{error}");
}

#[test]
fn of_two_creators_one_names_the_log() {
    let bench = Bench::bare("creators");
    let ids = thread::scope(|scope| {
        let creators = [(); 2].map(|()| scope.spawn(|| create(&bench.config, &options(1)).expect("created").log.log_id));
        creators.map(|creator| creator.join().expect("no panic"))
    });
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn each_danger_is_named_with_its_fix() {
    let bench = Bench::bare("dangers");
    make(
        &bench,
        &[
            (
                Topic::Quotes,
                3,
                &[("retention.ms", "60000"), ("message.timestamp.type", "CreateTime"), ("retention.bytes", "1000000")],
            ),
            (Topic::Decisions, 2, &[("cleanup.policy", "compact"), ("unclean.leader.election.enable", "true")]),
            (Topic::Control, 2, &[("cleanup.policy", "compact,delete"), ("retention.ms", "60000")]),
            (Topic::DeadLetters, 1, &[]),
        ],
    );
    let findings = dangers(&bench);
    let names = &bench.config.topics;
    for (topic, said) in [
        (&names.quotes, "retention.ms = 60000"),
        (&names.quotes, "message.timestamp.type = CreateTime"),
        (&names.quotes, "retention.bytes = 1000000"),
        (&names.decisions, "cleanup.policy = compact"),
        (&names.decisions, "unclean.leader.election.enable = true"),
        (&names.decisions, "it has 2 partitions"),
        (&names.control, "cleanup.policy = compact,delete"),
        (&names.control, "retention.ms = 60000"),
        (&names.control, "it has 2 partitions"),
        (&names.control, "it names no log"),
        (&names.dead_letters, "max.message.bytes = 1048588"),
        (&names.referrals, "it is not there"),
    ] {
        let found = findings.iter().find(|finding| finding.topic == *topic && finding.what.contains(said));
        assert!(found.is_some_and(|finding| !finding.fix.is_empty()), "{topic} {said}: {findings:#?}");
    }
    assert_eq!(findings.len(), 12, "{findings:#?}");
}

#[test]
fn the_command_line_creates_and_checks() {
    let names = Bench::bare("cli").config.topics;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = format!(
        "kafka.brokers = '{}'\n[kafka.topics]\nquotes = '{}'\ndecisions = '{}'\ndead_letters = '{}'\ncontrol = '{}'\nreferrals = '{}'",
        brokers(),
        names.quotes,
        names.decisions,
        names.dead_letters,
        names.control,
        names.referrals
    );
    std::fs::write(dir.path().join("quoteguard.toml"), config).expect("written");
    for (args, code, said) in [
        (&["topics", "check"][..], 1, "it is not there; run `quoteguard topics create`"),
        (&["topics", "create", "--retention", "1"], 1, "--retention: the longest window and an outage need 31 days"),
        (&["topics", "create", "--partitions", "0"], 2, "--partitions"),
        (&["topics", "create", "--partitions", "2"], 0, "created   "),
        (&["topics", "create"], 0, "(there already), 2 partitions"),
        (&["topics", "check"], 0, "the topics are fit for use"),
    ] {
        let done = Command::new(BINARY).args(args).current_dir(dir.path()).output().expect("runs");
        let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.code() == Some(code) && text.contains(said), "{args:?}: {:?} {text}", done.status);
    }
}
