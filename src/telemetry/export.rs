//! Spans to a collector: OTLP over HTTP, protobuf, by a thread of its own. It never holds up whoever ends a span: what finds no
//! room, and what the collector does not take, is dropped and counted.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message as _;
use ureq::Agent;

use crate::metrics::Metrics;

/// Spans waiting to be sent, about 1 KB each. Beyond: they are dropped.
const QUEUE_MAX: usize = 4_096;
/// Spans of one request.
const BATCH_MAX: usize = 512;
/// A batch that has begun waits so long for more.
const LINGER: Duration = Duration::from_millis(500);
/// Of one request.
const PATIENCE: Duration = Duration::from_secs(5);
/// A collector that stays away is told again this often.
const FAILURE_LOGGED_EVERY: Duration = Duration::from_secs(60);

enum Message {
    Ended(Box<SpanData>),
    Flush(SyncSender<()>),
}

/// The way to the thread; cheap to clone.
#[derive(Clone)]
pub struct Queue {
    sender: SyncSender<Message>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

impl Queue {
    pub fn flush(&self, patience: Duration) {
        let (tell, told) = sync_channel(1);
        // A full queue is not waited for: its collector is away.
        if self.sender.try_send(Message::Flush(tell)).is_ok() {
            let _ = told.recv_timeout(patience);
        }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.sender.try_send(Message::Ended(Box::new(span))).is_err() {
            self.metrics.spans("dropped", 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(PATIENCE);
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flush(timeout);
        Ok(())
    }
}

struct Exporter {
    url: String,
    agent: Agent,
    resource: ResourceAttributesWithSchema,
    metrics: Arc<Metrics>,
    told: Option<Instant>,
}

/// Starts the thread, which lives as long as the process.
pub fn start(endpoint: &str, resource: &Resource, metrics: Arc<Metrics>) -> std::io::Result<Queue> {
    let agent = Agent::config_builder().timeout_global(Some(PATIENCE)).max_redirects(0).proxy(None).build();
    let mut exporter = Exporter {
        url: format!("{}/v1/traces", endpoint.trim_end_matches('/')),
        agent: agent.new_agent(),
        resource: resource.into(),
        metrics: metrics.clone(),
        told: None,
    };
    let (sender, received) = sync_channel(QUEUE_MAX);
    thread::Builder::new().name("traces".to_owned()).spawn(move || exporter.run(&received))?;
    Ok(Queue { sender, metrics })
}

impl Exporter {
    fn run(&mut self, received: &Receiver<Message>) {
        while let Ok(first) = received.recv() {
            let (mut batch, mut flushed) = (Vec::new(), Vec::new());
            let until = Instant::now() + LINGER;
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Ended(span) => batch.push(*span),
                    Message::Flush(tell) => flushed.push(tell),
                }
                if batch.len() < BATCH_MAX && flushed.is_empty() {
                    next = received.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
                }
            }
            self.send(batch);
            for tell in flushed {
                // Nobody listens once the patience is at its end.
                let _ = tell.send(());
            }
        }
    }

    fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        if count == 0 {
            return;
        }
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        match self.agent.post(&self.url).header("content-type", "application/x-protobuf").send(&body) {
            Ok(_) => {
                self.metrics.spans("sent", count);
                self.told = None;
            }
            Err(error) => {
                self.metrics.spans("failed", count);
                if self.told.is_none_or(|told| told.elapsed() >= FAILURE_LOGGED_EVERY) {
                    tracing::warn!(%error, spans = count, "the collector of traces takes none; they are dropped, decisions go on");
                    self.told = Some(Instant::now());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let metrics = Arc::new(Metrics::new().expect("names are unique"));
        let (sender, received) = sync_channel(2);
        let queue = Queue { sender, metrics: metrics.clone() };
        let tracer = SdkTracerProvider::builder().with_span_processor(queue.clone()).build().tracer("test");
        (0..5).for_each(|_| drop(tracer.start("span")));
        queue.flush(PATIENCE);
        drop(queue);
        assert_eq!(received.try_iter().count(), 2, "the order to flush found no room either");
        let dropped = metrics
            .samples()
            .into_iter()
            .find(|sample| sample.name == "quoteguard_spans_total" && sample.labels.iter().any(|(_, value)| value == "dropped"));
        assert_eq!(dropped.expect("registered").value, 3.0);
    }
}
