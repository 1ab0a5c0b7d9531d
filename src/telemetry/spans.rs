//! Spans by the OpenTelemetry SDK.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, TraceFlags, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use super::export::{self, Queue};
use super::{Kind, Settings, TRACEPARENT, TRACEPARENT_BYTES_MAX, TelemetryError};
use crate::build;

struct Tracer {
    sdk: SdkTracer,
    queue: Queue,
}

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// A step of a sampled quote's path; it ends when its last copy is dropped.
#[derive(Clone, Debug)]
pub struct Span(Context);

impl PartialEq for Span {
    fn eq(&self, other: &Span) -> bool {
        self.0.span().span_context() == other.0.span().span_context()
    }
}

impl Span {
    /// What happens within it.
    pub fn child(&self, name: &'static str, kind: Kind) -> Span {
        // A span without a tracer would be one that nobody began.
        TRACER.get().and_then(|tracer| tracer.begin(name, kind, &self.0)).unwrap_or_else(|| self.clone())
    }

    /// Names, codes and ids only.
    pub fn set(&self, key: &'static str, value: &str) {
        self.0.span().set_attribute(KeyValue::new(key, value.to_owned()));
    }

    pub fn set_number(&self, key: &'static str, value: u64) {
        self.0.span().set_attribute(KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX)));
    }

    pub fn fail(&self, reason: &'static str) {
        self.0.span().set_status(Status::error(reason));
    }

    /// For whoever goes on with the trace.
    pub fn traceparent(&self) -> String {
        let span = self.0.span();
        let context = span.span_context();
        let flags = context.trace_flags() & TraceFlags::SAMPLED;
        format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), flags)
    }

    pub fn trace_id(&self) -> String {
        self.0.span().span_context().trace_id().to_string()
    }
}

impl Tracer {
    /// `None` where the trace is not sampled.
    fn begin(&self, name: &'static str, kind: Kind, parent: &Context) -> Option<Span> {
        let kind = match kind {
            Kind::Server => SpanKind::Server,
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
            Kind::Internal => SpanKind::Internal,
        };
        let span = self.sdk.build_with_context(SpanBuilder::from_name(name).with_kind(kind), parent);
        let context = parent.with_span(span);
        let is_sampled = context.span().span_context().is_sampled();
        is_sampled.then_some(Span(context))
    }
}

/// Sends spans from now on. The first call in a process counts.
///
/// # Errors
/// No thread could be started.
pub fn start(settings: Settings) -> Result<(), TelemetryError> {
    let Settings { endpoint, sample_ratio, instance_id, metrics } = settings;
    let mut resource = vec![KeyValue::new("service.name", "quoteguard"), KeyValue::new("service.version", build::VERSION)];
    resource.extend(instance_id.map(|id| KeyValue::new("service.instance.id", id)));
    let resource = Resource::builder_empty().with_attributes(resource).build();
    let queue = export::start(&endpoint, &resource, metrics)?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample_ratio))))
        .with_span_processor(queue.clone())
        .build();
    let _ = TRACER.set(Tracer { sdk: provider.tracer("quoteguard"), queue });
    Ok(())
}

pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// Goes on with the caller's trace, sampled as he has decided, or begins one by the ratio.
pub fn begin(name: &'static str, kind: Kind, traceparent: Option<&str>) -> Option<Span> {
    TRACER.get()?.begin(name, kind, &parent(traceparent).unwrap_or_default())
}

/// Goes on with a trace; begins none.
pub fn follow(name: &'static str, kind: Kind, traceparent: Option<&str>) -> Option<Span> {
    TRACER.get()?.begin(name, kind, &parent(traceparent)?)
}

/// Waits until what has ended so far was sent, or given up.
pub fn flush(patience: Duration) {
    if let Some(tracer) = TRACER.get() {
        tracer.queue.flush(patience);
    }
}

fn parent(traceparent: Option<&str>) -> Option<Context> {
    let text = traceparent.filter(|text| text.len() <= TRACEPARENT_BYTES_MAX)?;
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), text.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    let is_valid = context.span().span_context() != &SpanContext::NONE && context.span().span_context().is_valid();
    is_valid.then_some(context)
}
