//! How to reach the brokers, and what the topics are called.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rdkafka::ClientConfig;

use super::KafkaError;

/// How soon a client that has lost all brokers is noticed, and a partition's end told.
const STATISTICS_MS: &str = "5000";
/// What every client gets unless `properties` says otherwise.
const TUNING: &[(&str, &str)] =
    &[("socket.keepalive.enable", "true"), ("reconnect.backoff.ms", "50"), ("reconnect.backoff.max.ms", "1000")];

#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port`, several with commas.
    pub brokers: String,
    pub topics: TopicNames,
    /// Consumer group, the same for all instances.
    pub group: String,
    /// Own name of this instance, where it has one: it finds its partitions again after a quick restart.
    pub instance_id: Option<String>,
    pub client_id: String,
    /// After this long without a word the partitions of an instance go to others.
    pub session_timeout_ms: u32,
    pub security: Security,
    /// librdkafka's own properties, for what has no setting here. Those that correctness rests on are refused.
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames {
    pub quotes: String,
    pub decisions: String,
    pub dead_letters: String,
    pub control: String,
    pub referrals: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Quotes,
    Decisions,
    DeadLetters,
    Control,
    Referrals,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    Plaintext,
    Ssl { ca_file: Option<PathBuf> },
    SaslSsl { ca_file: Option<PathBuf>, sasl: Sasl },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// As Kafka names it: `SCRAM-SHA-512`, `PLAIN`, ...
    pub mechanism: String,
    pub username: String,
    pub password: Password,
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Topic {
    pub const ALL: [Topic; 5] = [Topic::Quotes, Topic::Decisions, Topic::DeadLetters, Topic::Control, Topic::Referrals];
}

impl TopicNames {
    pub fn name(&self, topic: Topic) -> &str {
        match topic {
            Topic::Quotes => &self.quotes,
            Topic::Decisions => &self.decisions,
            Topic::DeadLetters => &self.dead_letters,
            Topic::Control => &self.control,
            Topic::Referrals => &self.referrals,
        }
    }
}

impl KafkaConfig {
    /// A client's configuration: `tuning`, over it the user's own properties, over them what is `binding`.
    pub(super) fn client(&self, tuning: &[(&str, &str)], binding: &[(&str, &str)]) -> Result<ClientConfig, KafkaError> {
        let mut client = ClientConfig::new();
        for (key, value) in TUNING.iter().chain(tuning) {
            client.set(*key, *value);
        }
        for (key, value) in &self.properties {
            client.set(key, value);
        }
        let mut bind = |key: &str, value: &str| {
            if self.properties.contains_key(key) {
                return Err(KafkaError::Refused(format!("kafka.properties: {key} is not yours to set; take it out")));
            }
            client.set(key, value);
            Ok(())
        };
        bind("bootstrap.servers", &self.brokers)?;
        bind("client.id", &self.client_id)?;
        bind("statistics.interval.ms", STATISTICS_MS)?;
        for (key, value) in binding {
            bind(key, value)?;
        }
        let (protocol, ca_file, sasl) = match &self.security {
            Security::Plaintext => ("plaintext", &None, None),
            Security::Ssl { ca_file } => ("ssl", ca_file, None),
            Security::SaslSsl { ca_file, sasl } => ("sasl_ssl", ca_file, Some(sasl)),
        };
        if protocol != "plaintext" && cfg!(not(feature = "kafka-tls")) {
            return Err(KafkaError::Refused("kafka.security: this build has no TLS; build it with the feature kafka-tls".into()));
        }
        bind("security.protocol", protocol)?;
        if let Some(path) = ca_file {
            bind("ssl.ca.location", &path.display().to_string())?;
        }
        if let Some(Sasl { mechanism, username, password }) = sasl {
            bind("sasl.mechanism", mechanism)?;
            bind("sasl.username", username)?;
            bind("sasl.password", &password.0)?;
        }
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(properties: &[(&str, &str)]) -> KafkaConfig {
        let name = |name: &str| name.to_owned();
        KafkaConfig {
            brokers: name("localhost:9092"),
            topics: TopicNames {
                quotes: name("quotes"),
                decisions: name("decisions"),
                dead_letters: name("quotes.dlq"),
                control: name("quoteguard.control"),
                referrals: name("referrals"),
            },
            group: name("quoteguard"),
            instance_id: None,
            client_id: name("quoteguard"),
            session_timeout_ms: 6_000,
            security: Security::SaslSsl {
                ca_file: Some("ca.pem".into()),
                sasl: Sasl { mechanism: name("PLAIN"), username: name("u"), password: Password(name("very-secret")) },
            },
            properties: properties.iter().map(|(key, value)| (name(key), name(value))).collect(),
        }
    }

    #[test]
    fn own_properties_win_over_tuning_and_lose_against_what_is_binding() {
        let own = config(&[("linger.ms", "7"), ("socket.timeout.ms", "9")]);
        let client = own.client(&[("linger.ms", "0")], &[("acks", "all")]).expect("valid");
        for (key, expected) in [("linger.ms", "7"), ("socket.timeout.ms", "9"), ("acks", "all"), ("sasl.username", "u")] {
            assert_eq!(client.get(key), Some(expected), "{key}");
        }
        let error = config(&[("acks", "1")]).client(&[], &[("acks", "all")]).expect_err("refused");
        assert!(error.to_string().contains("kafka.properties: acks"), "{error}");
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = format!("{:?}", config(&[]));
        assert!(!shown.contains("very-secret") && shown.contains("***"), "{shown}");
    }
}
