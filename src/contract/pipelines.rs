//! The pipelines of a running service, as they are seen and ordered over HTTP.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PipelineStateV1 {
    Running,
    /// The source takes nothing, by order.
    Paused,
    /// The source takes nothing more; what it took is being made durable.
    Draining,
    /// Drained.
    Stopped,
    /// It does not get on, for the reason beside, and goes on trying where that may help.
    Failed,
}

impl PipelineStateV1 {
    pub fn name(self) -> &'static str {
        match self {
            PipelineStateV1::Running => "running",
            PipelineStateV1::Paused => "paused",
            PipelineStateV1::Draining => "draining",
            PipelineStateV1::Stopped => "stopped",
            PipelineStateV1::Failed => "failed",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PipelineActV1 {
    Pause,
    Resume,
    Drain,
}

impl PipelineActV1 {
    pub fn parse(name: &str) -> Option<PipelineActV1> {
        match name {
            "pause" => Some(PipelineActV1::Pause),
            "resume" => Some(PipelineActV1::Resume),
            "drain" => Some(PipelineActV1::Drain),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            PipelineActV1::Pause => "pause",
            PipelineActV1::Resume => "resume",
            PipelineActV1::Drain => "drain",
        }
    }
}

/// One source of the instance that was asked, and its way to the sinks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PipelineV1 {
    /// `http`, `watch`, `postgres-NAME`, `kafka-PARTITION`.
    #[schema(example = "kafka-3")]
    pub name: String,
    /// What is read.
    pub source: String,
    /// Where it goes: `log`, `decisions`, `desk`.
    pub sinks: Vec<String>,
    pub state: PipelineStateV1,
    /// Why it does not get on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// As the source counts; empty where it has no position.
    pub position: String,
    /// Records that wait; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_records: Option<u64>,
    /// Age of the last record while others wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_secs: Option<f64>,
    /// Over the last ten seconds.
    pub records_per_sec: f64,
}
