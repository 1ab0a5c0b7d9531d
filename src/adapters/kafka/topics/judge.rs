//! What topics must be like, and why.

use std::collections::BTreeMap;
use std::fmt;

use crate::adapters::kafka::control::LogInfo;
use crate::adapters::kafka::settings::{Topic, TopicNames};

/// A dead letter is the record as it came with headers of ours.
const DEAD_LETTER_HEADERS_BYTES: i64 = 65_536;
const SECOND_MS: i64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Quotes can be lost or decided wrongly.
    Dangerous,
    /// Works, and could be safer.
    Notice,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub topic: String,
    pub what: String,
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Dangerous => "DANGEROUS",
            Severity::Notice => "notice",
        };
        write!(f, "{severity}  {}: {}; {}", self.topic, self.what, self.fix)
    }
}

/// What the settings ask of the topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The longest window and the outage that must be survived.
    pub retention_secs: i64,
}

/// A topic as the brokers describe it.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub partitions: u32,
    /// Of the partition with the fewest.
    pub copies: usize,
    pub config: BTreeMap<String, String>,
}

impl Facts {
    fn text(&self, key: &str) -> &str {
        self.config.get(key).map_or("unknown", String::as_str)
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.config.get(key)?.parse().ok()
    }
}

struct Findings<'a> {
    names: &'a TopicNames,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, severity: Severity, topic: Topic, what: String, fix: String) {
        self.found.push(Finding { severity, topic: self.names.name(topic).to_owned(), what, fix });
    }

    fn dangerous(&mut self, topic: Topic, what: String, fix: String) {
        self.add(Severity::Dangerous, topic, what, fix);
    }

    /// A setting that must have one value.
    fn exactly(&mut self, topic: Topic, facts: &Facts, key: &str, value: &str, why: &str) {
        if facts.text(key) != value {
            self.dangerous(topic, format!("{key} = {}, and {why}", facts.text(key)), set(self.names.name(topic), key, value));
        }
    }
}

/// The command that puts it right.
fn set(topic: &str, key: &str, value: impl fmt::Display) -> String {
    format!("kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {key}={value}")
}

pub(super) fn judge(names: &TopicNames, facts: &BTreeMap<Topic, Facts>, log: Option<&LogInfo>, needs: Needs) -> Vec<Finding> {
    let mut findings = Findings { names, found: Vec::new() };
    for topic in Topic::ALL {
        match facts.get(&topic) {
            Some(found) => each(&mut findings, topic, found, needs),
            None => findings.dangerous(topic, "it is not there".into(), "run `quoteguard topics create`".into()),
        }
    }
    if let Some(quotes) = facts.get(&Topic::Quotes) {
        together(&mut findings, quotes, facts, log);
    }
    if log.is_none() && facts.contains_key(&Topic::Control) {
        findings.dangerous(Topic::Control, "it names no log".into(), "run `quoteguard topics create`".into());
    }
    findings.found
}

fn each(findings: &mut Findings<'_>, topic: Topic, facts: &Facts, needs: Needs) {
    let (is_log, is_kept) = (topic == Topic::Quotes, matches!(topic, Topic::Quotes | Topic::Decisions));
    if is_log {
        let why = "the time of a quote's arrival must be the broker's, not its sender's";
        findings.exactly(topic, facts, "message.timestamp.type", "LogAppendTime", why);
    }
    if is_kept || topic == Topic::Control {
        findings.exactly(topic, facts, "cleanup.policy", "delete", "compaction would take records that recovery reads");
        findings.exactly(topic, facts, "retention.bytes", "-1", "a bound in bytes cuts off records that are still needed");
        findings.exactly(topic, facts, "unclean.leader.election.enable", "false", "a stale copy could become the log");
        copies(findings, topic, facts);
    }
    if is_kept {
        let needed = needs.retention_secs.saturating_mul(SECOND_MS);
        if facts.number("retention.ms").is_none_or(|kept| (0..needed).contains(&kept)) {
            let what = format!(
                "retention.ms = {}, and {needed} ms are needed: the longest window and an outage (time.retention_secs + kafka.outage_secs)",
                facts.text("retention.ms")
            );
            findings.dangerous(topic, what, set(findings.names.name(topic), "retention.ms", needed));
        }
    }
    if topic == Topic::Control {
        findings.exactly(topic, facts, "retention.ms", "-1", "every rule book is needed as long as the log");
        if facts.partitions != 1 {
            let what = format!("it has {} partitions, and its order needs one", facts.partitions);
            findings.dangerous(topic, what, "name a new topic in kafka.topics.control, and start a new log".into());
        }
    }
}

fn copies(findings: &mut Findings<'_>, topic: Topic, facts: &Facts) {
    if facts.copies == 1 {
        let what = "there is one copy: a lost disk loses it".to_owned();
        findings.add(Severity::Notice, topic, what, "in production use --replication 3 and min.insync.replicas=2".into());
    } else if facts.number("min.insync.replicas") == Some(1) {
        let what = "min.insync.replicas = 1: what one broker has taken may be lost with it".to_owned();
        let fix = set(findings.names.name(topic), "min.insync.replicas", 2);
        findings.add(Severity::Notice, topic, what, fix);
    }
}

fn together(findings: &mut Findings<'_>, quotes: &Facts, facts: &BTreeMap<Topic, Facts>, log: Option<&LogInfo>) {
    if let Some(decisions) = facts.get(&Topic::Decisions).filter(|decisions| decisions.partitions != quotes.partitions) {
        let what = format!(
            "it has {} partitions and {} has {}, and a decision goes to its quote's partition number",
            decisions.partitions, findings.names.quotes, quotes.partitions
        );
        findings.dangerous(Topic::Decisions, what, "name a new topic in kafka.topics.decisions and create it".into());
    }
    if let Some(log) = log.filter(|log| log.partitions != quotes.partitions) {
        let what = format!(
            "it has {} partitions, and the log was made with {}: tenants have moved away from their quotes",
            quotes.partitions, log.partitions
        );
        findings.dangerous(Topic::Quotes, what, "name new topics in kafka.topics and start a new log".into());
    }
    let size = |facts: &Facts| facts.number("max.message.bytes");
    if let (Some(largest), Some(room)) = (size(quotes), facts.get(&Topic::DeadLetters).and_then(size))
        && room < largest.saturating_add(DEAD_LETTER_HEADERS_BYTES)
    {
        let needed = largest.saturating_add(DEAD_LETTER_HEADERS_BYTES);
        let what = format!("max.message.bytes = {room}: the largest record of {} would not fit", findings.names.quotes);
        findings.dangerous(Topic::DeadLetters, what, set(&findings.names.dead_letters, "max.message.bytes", needed));
    }
}
