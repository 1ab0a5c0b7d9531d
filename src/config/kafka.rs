//! The section `[kafka]`. Present or not: with `kafka.brokers` the log is a topic, without it the SQLite file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

use super::{ConfigError, Secret, wrong};

/// librdkafka takes no more; a member is given up after at most this.
const SESSION_TIMEOUT_MS_MAX: u32 = 3_600_000;
/// As Kafka allows them.
const TOPIC_CHARS_MAX: usize = 249;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// `host:port`, several with commas. Without it nothing is read from or written to Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brokers: Option<String>,
    /// The consumer group, the same for all instances.
    pub group: String,
    /// A name of its own for each instance: it finds its partitions again after a quick restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// After this long without a word the partitions of an instance go to others.
    pub session_timeout_ms: u32,
    pub checkpoint_ms: u64,
    /// Records that a partition may decide while no checkpoint is kept; then it waits.
    pub checkpoint_debt_max: u64,
    pub when_down: WhenDown,
    /// How long Kafka may be down and nothing be lost: the topics must keep the longest window and this.
    pub outage_secs: i64,
    pub security: Security,
    /// Certificates that may sign the broker's; the system's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    pub sasl_mechanism: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    pub topics: Topics,
    /// librdkafka's own properties, for what has no setting here.
    #[serde(serialize_with = "shown")]
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topics {
    pub quotes: String,
    pub decisions: String,
    pub dead_letters: String,
    pub control: String,
    pub referrals: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    Plaintext,
    Ssl,
    SaslSsl,
}

/// What a check is answered while Kafka cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenDown {
    /// 503.
    Refuse,
    /// `accept`, marked as degraded.
    FailOpen,
    /// `refer`, marked as degraded.
    FailClosed,
}

/// What may hold a secret is hidden.
fn shown<S: Serializer>(properties: &BTreeMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    const SECRET: [&str; 6] = ["password", "secret", "key", "pem", "jaas", "token"];
    let is_secret = |name: &str| SECRET.iter().any(|part| name.contains(part));
    let shown = properties.iter().map(|(name, value)| (name, if is_secret(name) { "***" } else { value.as_str() }));
    serializer.collect_map(shown)
}

impl Default for Kafka {
    fn default() -> Self {
        Kafka {
            brokers: None,
            group: "quoteguard".into(),
            instance_id: None,
            session_timeout_ms: 6_000,
            checkpoint_ms: 1_000,
            checkpoint_debt_max: 10_000_000,
            when_down: WhenDown::Refuse,
            outage_secs: 86_400,
            security: Security::Plaintext,
            ca_file: None,
            sasl_mechanism: "SCRAM-SHA-512".into(),
            username: None,
            password: None,
            password_file: None,
            topics: Topics::default(),
            properties: BTreeMap::new(),
        }
    }
}

impl Default for Topics {
    fn default() -> Self {
        Topics {
            quotes: "quotes".into(),
            decisions: "decisions".into(),
            dead_letters: "quotes.dlq".into(),
            control: "quoteguard.control".into(),
            referrals: "referrals".into(),
        }
    }
}

impl Topics {
    fn named(&self) -> [(&'static str, &String); 5] {
        let Topics { quotes, decisions, dead_letters, control, referrals } = self;
        [
            ("quotes", quotes),
            ("decisions", decisions),
            ("dead_letters", dead_letters),
            ("control", control),
            ("referrals", referrals),
        ]
    }
}

impl Kafka {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.brokers.as_ref().is_some_and(|brokers| brokers.trim().is_empty()) {
            return Err(wrong("kafka.brokers", "must be host:port, several with commas; leave it out for the embedded store"));
        }
        for (key, text) in [("kafka.group", Some(&self.group)), ("kafka.instance_id", self.instance_id.as_ref())] {
            if text.is_some_and(String::is_empty) {
                return Err(wrong(key, "must not be empty"));
            }
        }
        if !(100..=SESSION_TIMEOUT_MS_MAX).contains(&self.session_timeout_ms) {
            return Err(wrong("kafka.session_timeout_ms", format!("must lie between 100 and {SESSION_TIMEOUT_MS_MAX}")));
        }
        if self.checkpoint_ms == 0 {
            return Err(wrong("kafka.checkpoint_ms", "must be at least 1"));
        }
        if self.checkpoint_debt_max == 0 {
            return Err(wrong("kafka.checkpoint_debt_max", "must be at least 1"));
        }
        if self.outage_secs < 0 {
            return Err(wrong("kafka.outage_secs", "must not be negative"));
        }
        self.check_topics()?;
        self.check_login()
    }

    fn check_topics(&self) -> Result<(), ConfigError> {
        let topics = self.topics.named();
        for (i, (key, name)) in topics.iter().enumerate() {
            let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if !(1..=TOPIC_CHARS_MAX).contains(&name.len()) || !name.chars().all(is_legal) || matches!(name.as_str(), "." | "..")
            {
                return Err(wrong(format!("kafka.topics.{key}"), "must be 1 to 249 of A-Z a-z 0-9 . _ -"));
            }
            if let Some((other, _)) = topics[..i].iter().find(|(_, earlier)| earlier == name) {
                return Err(wrong(format!("kafka.topics.{key}"), format!("must differ from kafka.topics.{other}")));
            }
        }
        Ok(())
    }

    fn check_login(&self) -> Result<(), ConfigError> {
        if self.security != Security::SaslSsl {
            let given = [
                ("kafka.username", self.username.is_some()),
                ("kafka.password", self.password.is_some()),
                ("kafka.password_file", self.password_file.is_some()),
            ];
            return match given.iter().find(|(_, is_given)| *is_given) {
                Some((key, _)) => Err(wrong(*key, "needs kafka.security = \"sasl_ssl\": a password goes nowhere without TLS")),
                None => Ok(()),
            };
        }
        if self.username.as_ref().is_none_or(String::is_empty) {
            return Err(wrong("kafka.username", "must be given for kafka.security = \"sasl_ssl\""));
        }
        match (&self.password, &self.password_file) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => Err(wrong("kafka.password_file", "give exactly one of password_file and password")),
        }
    }
}
