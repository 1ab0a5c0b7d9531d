//! One quote's path as a trace: spans from the HTTP call through the log to the decision and the sink, for an OpenTelemetry
//! collector.
//!
//! Only a sampled quote has spans; all others carry `None`, and with `telemetry.otlp_endpoint` unset nothing is asked but whether it
//! is. The process has one tracer, as it has one log. No attribute holds personal data.

#[cfg(feature = "otel")]
mod export;
#[cfg(not(feature = "otel"))]
mod none;
#[cfg(feature = "otel")]
mod spans;

#[cfg(not(feature = "otel"))]
pub use none::{Span, begin, flush, follow, is_on, start};
#[cfg(feature = "otel")]
pub use spans::{Span, begin, flush, follow, is_on, start};

use std::sync::Arc;

use crate::metrics::Metrics;

/// The header of HTTP requests and of records by which a trace goes on.
pub use crate::contract::kafka::TRACEPARENT;

/// Bytes of a `traceparent` that is looked at; today's has 55.
pub const TRACEPARENT_BYTES_MAX: usize = 128;

/// What a span is to the services around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Server,
    Producer,
    Consumer,
    Internal,
}

/// Where spans go, and how many.
pub struct Settings {
    /// Base URL of a collector's OTLP over HTTP, such as `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// Share of the traces that begin here; whoever brings a `traceparent` has decided for us.
    pub sample_ratio: f64,
    /// Tells instances apart.
    pub instance_id: Option<String>,
    pub metrics: Arc<Metrics>,
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the thread that sends traces could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error("telemetry.otlp_endpoint: this build sends no traces; build it with the feature otel")]
    NotBuilt,
}

/// The log lines of what happens inside carry `trace_id`.
pub fn logged(span: Option<&Span>) -> tracing::Span {
    span.map_or_else(tracing::Span::none, |span| tracing::info_span!("quote", trace_id = %span.trace_id()))
}
