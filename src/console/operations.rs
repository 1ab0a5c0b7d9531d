//! How the service is: what health and the metrics know, for people.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use super::Console;
use super::access::form::Fields;
use super::access::guard::Ctx;
use super::failure::Failure;
use super::overview::health;
use super::page::{Frame, html};
use super::show::{latency, span};
use crate::metrics::Sample;
use crate::shown::whole;

#[derive(Template)]
#[template(path = "console/operations.html")]
struct OperationsView {
    frame: Frame,
    is_well: bool,
    health: String,
    facts: Vec<(&'static str, String)>,
    stores: Vec<(String, bool)>,
    partitions: Vec<PartitionLine>,
    stages: Vec<(String, String, String)>,
    dead_letters: Vec<(String, String)>,
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
        partitions: partitions(&console, &samples),
        stages: stages.map(|stage| (label(stage), whole(stage.count), latency(t, stage.value / stage.count as f64))).collect(),
        dead_letters: of("quoteguard_dead_letters_total").map(|sample| (label(sample), count(sample.value))).collect(),
        frame: Frame::of(&console, &ctx, t.operations, &query),
    };
    html(&view, t)
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
