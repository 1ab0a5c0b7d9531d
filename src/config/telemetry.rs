//! Where traces go.

use serde::{Deserialize, Serialize};

use super::{ConfigError, wrong};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Base URL of a collector's OTLP over HTTP; no traces when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// Share of the traces that begin here, 0 to 1.
    pub sample_ratio: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry { otlp_endpoint: None, sample_ratio: 0.01 }
    }
}

impl Telemetry {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Err(wrong("telemetry.sample_ratio", "must lie between 0 and 1"));
        }
        let Some(endpoint) = &self.otlp_endpoint else { return Ok(()) };
        let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
        if host.is_none_or(str::is_empty) {
            return Err(wrong("telemetry.otlp_endpoint", "must be http:// or https:// with the collector's host and port"));
        }
        if endpoint.contains('@') {
            return Err(wrong("telemetry.otlp_endpoint", "must hold no password, for it is shown"));
        }
        if !cfg!(feature = "otel") {
            return Err(wrong("telemetry.otlp_endpoint", "this build sends no traces; build it with the feature otel"));
        }
        Ok(())
    }
}
