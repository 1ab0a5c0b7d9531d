//! What can go wrong with Kafka, by what the caller can do about it.

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// It passes: try again.
    #[error("kafka is not available: {0}")]
    Unavailable(String),
    /// It does not pass by itself; the text names the fix.
    #[error("{0}")]
    Refused(String),
    /// The log was cut, or is another one.
    #[error("{topic} partition {partition}: offset {wanted} is outside of the log, which holds {low} to {high}")]
    OutOfRange { topic: String, partition: i32, wanted: u64, low: u64, high: u64 },
}

/// What the broker or the client says for good, with the fix; `None` for what passes.
pub(super) fn lasting(code: Code) -> Option<&'static str> {
    Some(match code {
        // The client says the last two by itself as well, for a while after it has lost sight of the brokers.
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            "the topic is not there: run `quoteguard topics create`, or correct kafka.topics"
        }
        Code::TopicAuthorizationFailed => "kafka.username may not use the topic: grant it READ, WRITE and DESCRIBE",
        Code::GroupAuthorizationFailed => "kafka.username may not use the group: grant it READ on kafka.group",
        Code::ClusterAuthorizationFailed => "kafka.username may not write idempotently: grant it IDEMPOTENT_WRITE on the cluster",
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "the broker refuses the login: check kafka.username, kafka.password_file and kafka.sasl_mechanism"
        }
        Code::SSL => "TLS failed: check kafka.ca_file and that kafka.brokers names a TLS listener",
        Code::UnsupportedVersion => "the broker is too old: Kafka 2.4 or newer is needed",
        Code::FencedInstanceId => "another process uses the same kafka.instance_id: give each instance its own",
        _ => return None,
    })
}

impl KafkaError {
    /// `doing` says what was tried, with the topic.
    pub(super) fn of(doing: &str, error: &ClientError) -> KafkaError {
        if let ClientError::ClientConfig(_, problem, key, value) = error {
            let value = if key.contains("password") { "***" } else { value };
            return KafkaError::Refused(format!("kafka: {key} = {value}: {problem}"));
        }
        if let ClientError::ClientCreation(problem) = error {
            return KafkaError::Refused(format!("kafka: no client with these settings: {problem}"));
        }
        match error.rdkafka_error_code().and_then(lasting) {
            Some(fix) => KafkaError::Refused(format!("{doing}: {error}; {fix}")),
            None => KafkaError::Unavailable(format!("{doing}: {error}")),
        }
    }
}
