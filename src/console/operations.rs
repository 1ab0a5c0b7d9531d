//! How the service is: what health and the metrics know, for people.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use serde_json::json;

use super::access::form::{Fields, Form};
use super::access::guard::{Ctx, see_other};
use super::access::roles::Right;
use super::failure::Failure;
use super::letters::LetterLine;
use super::overview::health;
use super::page::{Frame, html};
use super::show::{latency, span};
use super::texts::Texts;
use super::{Console, letters};
use crate::contract::pipelines::{PipelineActV1, PipelineStateV1, PipelineV1};
use crate::metrics::Sample;
use crate::pipeline::pipelines::NotOrdered;
use crate::shown::whole;

#[derive(Template)]
#[template(path = "console/operations.html")]
struct OperationsView {
    frame: Frame,
    is_well: bool,
    health: String,
    facts: Vec<(&'static str, String)>,
    stores: Vec<(String, bool)>,
    pipelines: Vec<PipelineLine>,
    may_operate: bool,
    partitions: Vec<PartitionLine>,
    stages: Vec<(String, String, String)>,
    dead_letters: Vec<(String, String)>,
    letters: Vec<LetterLine>,
    /// They are on a topic, for its own tools.
    is_on_topic: bool,
}

struct PipelineLine {
    name: String,
    way: String,
    state: &'static str,
    is_running: bool,
    reason: String,
    position: String,
    lag: String,
    rate: String,
}

struct PartitionLine {
    partition: String,
    /// Empty while it is well.
    stopped: String,
    lag: String,
}

pub async fn operations(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    let t = ctx.look.t;
    let samples = console.metrics.samples();
    let of = |name: &'static str| samples.iter().filter(move |sample| sample.name == name);
    let value = |name: &'static str| of(name).map(|sample| sample.value).sum::<f64>();
    let count = |value: f64| whole(value.max(0.0) as u64);
    let (is_well, health) = health(t, &console.health);
    let stages = of("quoteguard_check_stage_duration_seconds").filter(|sample| sample.count > 0);
    let view = OperationsView {
        is_well,
        health,
        facts: vec![
            (t.queue_depth, count(value("quoteguard_queue_jobs"))),
            (t.live_attempts, count(value("quoteguard_live_attempts"))),
            (t.state_memory, format!("{} MB", count(value("quoteguard_state_bytes") / 1e6))),
            (t.look_back, span(t, value("quoteguard_look_back_seconds") as i64)),
            (t.desk_lag, format!("{} {}", count(value("quoteguard_desk_lag_records")), t.records)),
        ],
        stores: of("quoteguard_store_up").map(|sample| (label(sample), sample.value > 0.0)).collect(),
        pipelines: console.pipelines.list().iter().map(|pipeline| line(t, pipeline)).collect(),
        may_operate: ctx.may(Right::Operate),
        partitions: partitions(&console, &samples),
        stages: stages.map(|stage| (label(stage), whole(stage.count), latency(t, stage.value / stage.count as f64))).collect(),
        dead_letters: of("quoteguard_dead_letters_total").map(|sample| (label(sample), count(sample.value))).collect(),
        letters: letters::newest(&console).await?,
        is_on_topic: console.refused.is_none(),
        frame: Frame::of(&console, &ctx, t.operations, &query),
    };
    html(&view, t)
}

fn line(t: &Texts, pipeline: &PipelineV1) -> PipelineLine {
    let PipelineV1 { name, source, sinks, state, reason, position, lag_records, lag_secs, records_per_sec } = pipeline;
    let records = lag_records.map_or_else(|| "—".to_owned(), whole);
    let age = lag_secs.filter(|secs| *secs > 0.0).map(|secs| format!(", {}", span(t, secs as i64)));
    PipelineLine {
        name: name.clone(),
        way: format!("{source} → {}", sinks.join(", ")),
        state: match state {
            PipelineStateV1::Running => t.pipeline_running,
            PipelineStateV1::Paused => t.pipeline_paused,
            PipelineStateV1::Draining => t.pipeline_draining,
            PipelineStateV1::Stopped => t.pipeline_stopped,
            PipelineStateV1::Failed => t.pipeline_failed,
        },
        is_running: *state == PipelineStateV1::Running,
        reason: reason.clone().unwrap_or_default(),
        position: if position.is_empty() { "—".to_owned() } else { position.clone() },
        lag: format!("{records}{}", age.unwrap_or_default()),
        rate: format!("{records_per_sec:.1}"),
    }
}

/// Pauses, resumes or drains; written down before it is done.
pub async fn order(State(console): State<Arc<Console>>, ctx: Ctx, form: Form) -> Result<Response<Body>, Failure> {
    let name = form.0.given("name").ok_or(Failure::BadForm)?.to_owned();
    let act = form.0.given("do").and_then(PipelineActV1::parse).ok_or(Failure::BadForm)?;
    console.pipelines.get(&name).ok_or(Failure::NotFound)?;
    console.record(&ctx.who.name, &format!("pipeline.{}", act.name()), &name, json!({})).await?;
    let pipelines = console.pipelines.clone();
    // Off the runtime's threads: a file is written.
    let ordered = tokio::task::spawn_blocking(move || pipelines.order(&name, act)).await.map_err(|_| Failure::Internal)?;
    match ordered {
        Ok(_) => Ok(see_other("/console/operations?done=pipeline")),
        Err(NotOrdered::Unknown(_)) => Err(Failure::NotFound),
        Err(error @ NotOrdered::NotKept(_)) => {
            tracing::error!(%error, "an order to a pipeline");
            Err(Failure::NotRecorded)
        }
    }
}

fn label(sample: &Sample) -> String {
    sample.labels.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
}

/// Those that are decided here, and those that an error has stopped.
fn partitions(console: &Console, samples: &[Sample]) -> Vec<PartitionLine> {
    let stopped = console.health.stopped_partitions();
    let lag = |partition: &str| {
        let of =
            samples.iter().find(|sample| sample.name == "quoteguard_kafka_consumer_lag_messages" && label(sample) == partition);
        of.map_or_else(|| "—".to_owned(), |sample| whole(sample.value.max(0.0) as u64))
    };
    let names = samples.iter().filter(|sample| sample.name == "quoteguard_partition_up").map(label);
    let line = |partition: String| PartitionLine {
        stopped: stopped.iter().find(|(of, _)| of.to_string() == partition).map(|(_, why)| why.clone()).unwrap_or_default(),
        lag: lag(&partition),
        partition,
    };
    names.map(line).collect()
}
