//! What the clients share: where librdkafka's words go, and reading one record.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::bindings::rd_kafka_brokers_add;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::KafkaError;
use super::error::lasting;
use super::settings::KafkaConfig;
use crate::telemetry::{self, TRACEPARENT, TRACEPARENT_BYTES_MAX};

const TICK: Duration = Duration::from_millis(50);

/// Broker errors that pass are told once, by librdkafka's own log, at `warn`.
pub(super) fn log(level: RDKafkaLogLevel, message: &str) {
    match level {
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug | RDKafkaLogLevel::Notice => tracing::debug!("{message}"),
        _ => tracing::warn!("{message}"),
    }
}

/// For a client that has come to know no broker at all.
///
/// While all brokers are fenced - the controllers heard nothing of them - the cluster's answers name none. librdkafka 2.12 forgets those
/// it knew, and its own re-bootstrap can come before the last of them is gone: from then on it has nobody to ask, for ever, while the
/// cluster is long back. Its statistics show that state.
pub(super) struct Bootstrap {
    brokers: CString,
    are_needed: AtomicBool,
}

impl Bootstrap {
    pub(super) fn of(config: &KafkaConfig) -> Bootstrap {
        Bootstrap { brokers: CString::new(config.brokers.as_str()).unwrap_or_default(), are_needed: AtomicBool::new(false) }
    }

    pub(super) fn learn(&self, statistics: &[u8]) {
        if knows_no_broker(statistics) {
            self.are_needed.store(true, Ordering::Relaxed);
        }
    }

    /// Names the brokers of the configuration again where they are needed; to be called now and then.
    pub(super) fn renew<C: ClientContext>(&self, client: &Client<C>) {
        if self.are_needed.swap(false, Ordering::Relaxed) {
            // SAFETY: the handle lives as long as the client, the text is read during the call alone, and any thread may call it.
            unsafe { rd_kafka_brokers_add(client.native_ptr(), self.brokers.as_ptr()) };
            tracing::warn!("the Kafka client had lost all brokers; those of kafka.brokers are asked again");
        }
    }
}

/// By librdkafka's statistics. Its `internal` broker and `logical` ones, such as the coordinator, are places for work alone.
fn knows_no_broker(statistics: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Statistics {
        brokers: BTreeMap<String, Broker>,
    }
    #[derive(serde::Deserialize)]
    struct Broker {
        source: String,
    }
    let is_real = |broker: &Broker| matches!(&*broker.source, "configured" | "learned");
    serde_json::from_slice(statistics).is_ok_and(|Statistics { brokers }| !brokers.values().any(is_real))
}

/// A context that logs, and remembers why the brokers turn us away: the call that fails by it says "transport failure" only.
pub(super) struct Quiet {
    turned_away: Mutex<Option<String>>,
    pub(super) bootstrap: Bootstrap,
}

impl Quiet {
    pub(super) fn of(config: &KafkaConfig) -> Quiet {
        Quiet { turned_away: Mutex::default(), bootstrap: Bootstrap::of(config) }
    }

    /// The error, or what is behind it.
    pub(super) fn explain(&self, error: KafkaError) -> KafkaError {
        match (error, self.turned_away.lock().unwrap_or_else(PoisonError::into_inner).take()) {
            (KafkaError::Unavailable(text), Some(reason)) => KafkaError::Refused(format!("{text}: {reason}")),
            (error, _) => error,
        }
    }
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        log(level, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        if let Some(fix) = error.rdkafka_error_code().and_then(lasting) {
            *self.turned_away.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{reason}; {fix}"));
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.bootstrap.learn(statistics);
    }
}

impl ConsumerContext for Quiet {}

/// One record, still in the client's memory.
pub struct RawRecord<'a>(pub(super) BorrowedMessage<'a>);

impl RawRecord<'_> {
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    pub fn offset(&self) -> u64 {
        // Logical offsets are negative; a record has a real one.
        self.0.offset().max(0).cast_unsigned()
    }

    /// Milliseconds since 1970; 0 where the broker gives none.
    pub fn append_time_ms(&self) -> i64 {
        self.0.timestamp().to_millis().unwrap_or(0)
    }

    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// The first header with this name; `None` for one without a value, too.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.headers()?.iter().find(|header| header.key == name)?.value
    }

    /// By which its trace goes on; `None` while nothing is traced.
    pub fn traceparent(&self) -> Option<&str> {
        let found = telemetry::is_on().then(|| self.header(TRACEPARENT)).flatten();
        found.filter(|bytes| bytes.len() <= TRACEPARENT_BYTES_MAX).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.0.headers().is_some_and(|headers| headers.iter().any(|header| header.key == name))
    }
}

/// First and next offset of a partition. A leader that has just moved is waited for.
pub(super) fn range<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    patience: Duration,
) -> Result<(u64, u64), KafkaError> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let error = match consumer.fetch_watermarks(topic, partition, left) {
            Ok((low, high)) => return Ok((low.max(0).cast_unsigned(), high.max(0).cast_unsigned())),
            Err(error) => KafkaError::of(&format!("the ends of {topic} partition {partition}"), &error),
        };
        if !matches!(error, KafkaError::Unavailable(_)) || Instant::now() + TICK >= deadline {
            return Err(error);
        }
        thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_knows_no_broker_is_recognised() {
        let broker = |name: &str, source: &str| format!(r#""{name}": {{"name": "{name}", "source": "{source}", "state": "UP"}}"#);
        let (internal, logical) = (broker(":0/internal", "internal"), broker("GroupCoordinator", "logical"));
        let (configured, learned) = (broker("a:9092/bootstrap", "configured"), broker("a:9092/1", "learned"));
        for (brokers, expected) in [
            (vec![&internal], true),
            (vec![&internal, &logical], true),
            (vec![&internal, &configured], false),
            (vec![&logical, &learned], false),
        ] {
            let brokers: Vec<_> = brokers.into_iter().map(String::as_str).collect();
            let statistics = format!(r#"{{"name": "x", "brokers": {{{}}}}}"#, brokers.join(","));
            assert_eq!(knows_no_broker(statistics.as_bytes()), expected, "{statistics}");
        }
        assert!(!knows_no_broker(b"{}"), "another format says nothing");
    }
}
