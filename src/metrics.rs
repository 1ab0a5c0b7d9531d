//! Every metric of the service, registered once and passed to the pipeline and HTTP. Labels never hold personal data or ids.

mod desk;
mod register;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, TextEncoder,
};

use crate::build;
use crate::engine::decision::{Decision, Verdict};
use crate::engine::rules::{Fault, Mode, RuleBook};
use crate::engine::state::State;
use crate::engine::step::{Outcome, Step};
use crate::engine::time::{ArrivalTime, EventTime, SECOND};
use crate::pipeline::breaker::{Band, Counts};
use crate::pipeline::checkpoint::CheckpointError;
use crate::pipeline::clock::SystemClock;
use crate::pipeline::{Clock, Source};
use desk::Underwriting;
pub use register::{Kind, Known};
use register::{Register, counter, counters, float_gauge, gauge, gauges, histogram, int_gauges, seconds};

/// Products named in labels. Beyond: `other`, or a client could grow the metrics without bound.
const PRODUCTS_NAMED: [&str; 2] = ["osago", "kasko"];
/// Why a record was not decided. All begin at 0: the rate of a counter that begins at 1 does not see its first one.
pub const DEAD_LETTER_REASONS: [&str; 13] = [
    "id_reused",
    "invalid_fields",
    "invalid_utf8",
    "misrouted",
    "not_csv",
    "not_json",
    "pointer",
    "tenant_mismatch",
    "time_jump",
    "tombstone",
    "too_deep",
    "too_large",
    "too_old",
];
/// With it begins the reason of a partition whose log is shorter than its checkpoint, or another one.
const LOG_REGRESSION: &str = "LOG_REGRESSION";
/// Why a partition is stopped, as a label.
const STOPS: [&str; 2] = ["log_regression", "other"];

pub struct Metrics {
    registry: Register,
    checks: IntCounterVec,
    check_seconds: HistogramVec,
    stage_seconds: HistogramVec,
    http_requests: IntCounterVec,
    http_connections: IntGauge,
    http_connections_closed: IntCounterVec,
    tls_reloads: IntCounterVec,
    rate_limited: IntCounterVec,
    event_lag_seconds: IntGauge,
    late_quotes: IntCounter,
    amendments: IntCounter,
    duplicates: IntCounterVec,
    candidates: Histogram,
    suspicious_attempts: Histogram,
    blocks_saturated: IntCounter,
    live_attempts: IntGauge,
    state_bytes: IntGauge,
    look_back_seconds: IntGauge,
    rule_hits: IntCounterVec,
    rule_errors: IntCounterVec,
    rule_outside: IntGaugeVec,
    rule_band: GaugeVec,
    rule_trips: IntCounterVec,
    applicants: IntCounter,
    /// Microseconds.
    watched: AtomicI64,
    referred_applicants: IntCounterVec,
    ruleset_info: IntGaugeVec,
    rule_info: IntGaugeVec,
    ruleset_reload: IntGauge,
    dead_letters: IntCounterVec,
    checkpoint_age_seconds: GaugeVec,
    checkpoint_bytes: IntGauge,
    checkpoint_written_bytes: IntCounter,
    checkpoint_failures: IntCounterVec,
    batch_records: Histogram,
    queue_jobs: IntGauge,
    unknown_fields: IntCounter,
    store_up: IntGaugeVec,
    divergence: IntCounterVec,
    lag_messages: IntGaugeVec,
    lag_seconds: GaugeVec,
    partition_up: IntGaugeVec,
    partition_stopped: IntGaugeVec,
    partition_position: IntGaugeVec,
    pipeline_paused: IntGaugeVec,
    ready: IntGauge,
    degraded: IntCounterVec,
    desk_records: IntCounter,
    spans: IntCounterVec,
    desk_seconds: HistogramVec,
    desk_lag_records: IntGauge,
    webhooks: IntCounterVec,
    desk_lag_seconds: Gauge,
    underwriting: Underwriting,
    exported: IntCounter,
    /// Where the partitions of this instance stand.
    partitions: Mutex<BTreeMap<u32, Standing>>,
}

/// One series. Of a histogram `value` is the sum and `count` the number of what was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
    pub count: u64,
}

/// Of one partition, as last told.
#[derive(Clone, Copy, Default)]
struct Standing {
    live_attempts: usize,
    state_bytes: usize,
    look_back_secs: i64,
    next_offset: u64,
    /// Of the last record, microseconds since 1970.
    arrival: Option<i64>,
    /// Offset after the newest record of the log.
    end: u64,
}

impl Standing {
    /// Records that wait, and the age of the last one in seconds while others wait.
    fn lag(&self, now: ArrivalTime) -> (u64, f64) {
        let records = self.end.saturating_sub(self.next_offset);
        let age = self.arrival.map_or(0.0, |at| (now.0 - at) as f64 / SECOND as f64);
        (records, if records == 0 { 0.0 } else { age.max(0.0) })
    }
}

impl Metrics {
    /// # Errors
    /// Only when a name is registered twice, which the tests would show.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let r = Register::new()?;
        let build = int_gauges(&r, "build_info", "Always 1; the version is in the labels.", &["version", "engine", "commit"])?;
        build.with_label_values(&[build::VERSION, crate::contract::decision::ENGINE_VERSION, build::COMMIT]).set(1);
        let metrics = Metrics::register(r)?;
        metrics.begin();
        Ok(metrics)
    }

    fn register(r: Register) -> Result<Metrics, prometheus::Error> {
        Ok(Metrics {
            checks: counters(&r, "checks_total", "Quotes decided.", &["source", "product", "decision"])?,
            check_seconds: seconds(&r, "check_duration_seconds", "From the form to its durable answer; no 5xx.", &["source"])?,
            stage_seconds: seconds(&r, "check_stage_duration_seconds", "Time in one stage of the loop.", &["stage"])?,
            http_requests: counters(&r, "http_requests_total", "HTTP requests answered.", &["method", "route", "code"])?,
            rate_limited: counters(&r, "rate_limited_total", "Requests refused for their rate.", &["client"])?,
            http_connections: gauge(&r, "http_connections", "Open connections.")?,
            http_connections_closed: counters(&r, "http_connections_closed_total", "Connections closed early.", &["reason"])?,
            tls_reloads: counters(&r, "tls_reloads_total", "Times a changed certificate was read.", &["result"])?,
            event_lag_seconds: gauge(&r, "event_lag_seconds", "Arrival less event time of the last quote.")?,
            late_quotes: counter(&r, "late_quotes_total", "Quotes older in event time than one already decided.")?,
            amendments: counter(&r, "amendments_total", "Decisions changed by a late quote.")?,
            duplicates: counters(&r, "duplicate_quotes_total", "Quotes sent again with the same body.", &["source"])?,
            candidates: histogram(&r, "check_candidates", "Earlier attempts that shared a blocking key.")?,
            suspicious_attempts: histogram(&r, "suspicious_attempts", "Suspicious attempts of decided quotes.")?,
            blocks_saturated: counter(&r, "blocks_saturated_total", "Blocking keys met that held more than is compared.")?,
            live_attempts: gauge(&r, "live_attempts", "Attempts held in the window.")?,
            state_bytes: gauge(&r, "state_bytes", "Memory of the keyed state with its indexes.")?,
            look_back_seconds: gauge(&r, "look_back_seconds", "Event time really held: below retention, a cap has evicted.")?,
            rule_hits: counters(&r, "rule_hits_total", "Decisions a rule matched.", &["rule", "mode"])?,
            rule_outside: int_gauges(&r, "rule_outside_band", "1 while it refers more than `expected`.", &["rule"])?,
            rule_band: gauges(&r, "rule_band_ratio", "Highest share of applicants it may refer: its `expected`.", &["rule"])?,
            rule_trips: counters(&r, "rule_breaker_trips_total", "Times the breaker put it in shadow.", &["rule"])?,
            applicants: counter(&r, "applicants_total", "Quotes within the breaker's window that link to none before.")?,
            watched: AtomicI64::new(i64::MAX),
            referred_applicants: counters(
                &r,
                "referred_applicants_total",
                "Cases opened within that window, by rule.",
                &["rule"],
            )?,
            rule_errors: counters(&r, "rule_errors_total", "Quotes for which a rule had no value.", &["rule", "kind"])?,
            ruleset_info: int_gauges(&r, "ruleset_info", "1 for the rule book in force.", &["version", "hash"])?,
            rule_info: int_gauges(&r, "rule_info", "1 for each rule in force.", &["rule", "mode", "version"])?,
            ruleset_reload: gauge(&r, "ruleset_last_reload_successful", "1 unless the rules folder was refused.")?,
            dead_letters: counters(&r, "dead_letters_total", "Records that could not be decided.", &["reason"])?,
            checkpoint_age_seconds: gauges(&r, "checkpoint_age_seconds", "Since the last checkpoint kept.", &["partition"])?,
            checkpoint_bytes: gauge(&r, "checkpoint_bytes", "Bytes of deltas that the last checkpoint added.")?,
            checkpoint_written_bytes: counter(&r, "checkpoint_written_bytes_total", "Bytes of deltas made durable.")?,
            checkpoint_failures: counters(&r, "checkpoint_failures_total", "Commits or checkpoints that failed.", &["kind"])?,
            batch_records: histogram(&r, "batch_records", "Records made durable by one commit.")?,
            queue_jobs: gauge(&r, "queue_jobs", "Records accepted into the queue and not yet stepped.")?,
            unknown_fields: counter(&r, "unknown_fields_total", "Fields outside the contract that were ignored.")?,
            store_up: int_gauges(&r, "store_up", "Whether the last write succeeded.", &["store"])?,
            divergence: counters(&r, "replay_divergence_total", "Decisions that differ from those emitted before.", &["kind"])?,
            lag_messages: int_gauges(&r, "kafka_consumer_lag_messages", "Records not decided yet.", &["partition"])?,
            lag_seconds: gauges(&r, "kafka_consumer_lag_seconds", "Age of the last record while others wait.", &["partition"])?,
            partition_up: int_gauges(&r, "partition_up", "1 decided here, 0 stopped by an error.", &["partition"])?,
            partition_stopped: int_gauges(&r, "partition_stopped", "1 while it waits for hands.", &["partition", "reason"])?,
            partition_position: int_gauges(&r, "partition_position", "Offset of the record to read next.", &["partition"])?,
            pipeline_paused: int_gauges(&r, "pipeline_paused", "1 while an operator holds it.", &["pipeline"])?,
            ready: gauge(&r, "ready", "1 while quotes are taken, as /readyz tells.")?,
            degraded: counters(&r, "degraded_answers_total", "Checks answered without a decision.", &["decision"])?,
            desk_records: counter(&r, "desk_records_total", "Records of the log projected to the desk.")?,
            spans: counters(&r, "spans_total", "Spans of traced quotes that have ended.", &["outcome"])?,
            desk_seconds: seconds(&r, "desk_projection_seconds", "One transaction of the desk's sink.", &[])?,
            desk_lag_records: gauge(&r, "desk_lag_records", "Decisions not on the desk yet.")?,
            webhooks: counters(&r, "webhook_deliveries_total", "Messages of webhooks.", &["webhook", "outcome"])?,
            desk_lag_seconds: float_gauge(&r, "desk_lag_seconds", "From a quote's arrival to the desk, for the last one.")?,
            underwriting: Underwriting::register(&r)?,
            exported: counter(&r, "exported_decisions_total", "Decisions written as Parquet.")?,
            partitions: Mutex::default(),
            registry: r,
        })
    }

    /// What is known beforehand begins at 0, so that the first one is seen as a change.
    fn begin(&self) {
        self.check_seconds.with_label_values(&[Source::Http.name()]);
        DEAD_LETTER_REASONS.iter().for_each(|reason| drop(self.dead_letters.with_label_values(&[*reason])));
        ["decision", "missing"].iter().for_each(|kind| drop(self.divergence.with_label_values(&[*kind])));
        ["sent", "failed", "dropped"].iter().for_each(|outcome| drop(self.spans.with_label_values(&[*outcome])));
        let verdicts = [Verdict::Accept, Verdict::Flag, Verdict::Refer];
        verdicts.iter().for_each(|verdict| drop(self.degraded.with_label_values(&[verdict.name()])));
    }

    /// Every metric there can be, by name.
    pub fn known(&self) -> Vec<Known> {
        self.registry.known()
    }

    /// The text of `/metrics`.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.show_partitions();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Every series as a number, for pages that show some of them.
    pub fn samples(&self) -> Vec<Sample> {
        self.show_partitions();
        let families = self.registry.gather();
        let of = |family: &MetricFamily| {
            let name = family.name().to_owned();
            let sample = |metric: &Metric| {
                let labels = metric.get_label().iter().map(|label| (label.name().to_owned(), label.value().to_owned())).collect();
                let (value, count) = match family.get_field_type() {
                    MetricType::COUNTER => (metric.get_counter().get_value(), 0),
                    MetricType::GAUGE => (metric.get_gauge().get_value(), 0),
                    _ => (metric.get_histogram().get_sample_sum(), metric.get_histogram().get_sample_count()),
                };
                Sample { name: name.clone(), labels, value, count }
            };
            family.get_metric().iter().map(sample).collect::<Vec<_>>()
        };
        families.iter().flat_map(of).collect()
    }

    /// Seconds within which this share of the checks was answered since the start, between the bounds of its bucket; `None` before
    /// the first.
    pub fn check_quantile(&self, share: f64) -> Option<f64> {
        let mut below: BTreeMap<usize, (f64, u64)> = BTreeMap::new();
        let mut total = 0;
        for metric in self.check_seconds.collect().iter().flat_map(|family| family.get_metric()) {
            let histogram = metric.get_histogram();
            total += histogram.get_sample_count();
            for (i, bucket) in histogram.get_bucket().iter().enumerate() {
                let entry = below.entry(i).or_insert((bucket.upper_bound(), 0));
                entry.1 += bucket.cumulative_count();
            }
        }
        let wanted = share * total as f64;
        let mut last = (0.0, 0);
        for (bound, count) in below.into_values() {
            if count as f64 >= wanted && count > 0 {
                let within = (wanted - last.1 as f64) / (count - last.1).max(1) as f64;
                return Some(last.0 + (bound - last.0) * within.clamp(0.0, 1.0));
            }
            last = (bound, count);
        }
        // Beyond the last bound nothing is known but that.
        (total > 0).then_some(last.0)
    }

    pub fn http_request(&self, method: &str, route: &str, code: u16) {
        self.http_requests.with_label_values(&[method, route, &code.to_string()]).inc();
    }

    /// One more, or one less, is open.
    pub fn http_connection(&self, change: i64) {
        self.http_connections.add(change);
    }

    /// By the service, before its client was done: `room` for another, the `handshake` of TLS failed, or it `stalled`
    /// and took nothing of its answer.
    pub fn http_connection_closed(&self, reason: &str) {
        self.http_connections_closed.with_label_values(&[reason]).inc();
    }

    /// By the name of the API key; `None` for an address where nobody needs one.
    pub fn rate_limited(&self, client: Option<&str>) {
        self.rate_limited.with_label_values(&[client.unwrap_or("address")]).inc();
    }

    /// A changed certificate was read, and is used or refused.
    pub fn tls_reloaded(&self, is_good: bool) {
        self.tls_reloads.with_label_values(&[if is_good { "used" } else { "refused" }]).inc();
    }

    pub fn check(&self, source: Source, took: Duration) {
        self.check_seconds.with_label_values(&[source.name()]).observe(took.as_secs_f64());
    }

    pub fn stage(&self, stage: &str, took: Duration) {
        self.stage_seconds.with_label_values(&[stage]).observe(took.as_secs_f64());
    }

    pub fn queue(&self, jobs: usize) {
        self.queue_jobs.set(signed(jobs));
    }

    pub fn unknown_fields(&self, count: u32) {
        self.unknown_fields.inc_by(u64::from(count));
    }

    pub fn dead_letter(&self, reason: &str) {
        self.dead_letters.with_label_values(&[reason]).inc();
    }

    /// The book in force from now on.
    pub fn rule_book(&self, book: &RuleBook) {
        self.ruleset_info.reset();
        self.ruleset_info.with_label_values(&[&book.version().to_string(), &format!("{:016x}", book.hash())]).set(1);
        self.rule_info.reset();
        for rule in book.rules() {
            let id = &*rule.id;
            self.rule_info.with_label_values(&[id, rule.mode.name(), &rule.version.to_string()]).set(1);
            // They begin at 0, as in `begin`.
            [Mode::Live, Mode::Shadow].iter().for_each(|mode| drop(self.rule_hits.with_label_values(&[id, mode.name()])));
            Fault::ALL.iter().for_each(|fault| drop(self.rule_errors.with_label_values(&[id, fault.name()])));
            self.answered_rule(id);
            if rule.may_refer() {
                self.referred_applicants.with_label_values(&[id]);
            }
            if rule.referred_pct_max.is_some() {
                self.rule_trips.with_label_values(&[id]);
            }
        }
    }

    /// Whether an operator holds it; `None` when it is no longer here.
    pub fn pipeline_held(&self, name: &str, is_held: Option<bool>) {
        match is_held {
            Some(is_held) => self.pipeline_paused.with_label_values(&[name]).set(i64::from(is_held)),
            // An error says that it was not there.
            None => drop(self.pipeline_paused.remove_label_values(&[name])),
        }
    }

    /// Where a partition of this instance stands: next offset, records that wait, age of the last one in seconds while others wait.
    pub fn partition_standing(&self, partition: u32) -> Option<(u64, u64, f64)> {
        let standing = self.with_partitions(|partitions| partitions.get(&partition).copied())?;
        let (lag, age) = standing.lag(SystemClock.now());
        Some((standing.next_offset, lag, age))
    }

    /// Of traced quotes: `sent` to the collector, `failed` by it, `dropped` for want of room.
    pub fn spans(&self, outcome: &str, count: u64) {
        self.spans.with_label_values(&[outcome]).inc_by(count);
    }

    pub fn ready(&self, is_ready: bool) {
        self.ready.set(i64::from(is_ready));
    }

    /// Decisions of this process since its start that the rule matched: live, in shadow, and those it had no value for.
    pub fn rule_hits(&self, rule: &str) -> (u64, u64, u64) {
        let hits = |mode| self.rule_hits.with_label_values(&[rule, mode]).get();
        let errors = Fault::ALL.map(|fault| self.rule_errors.with_label_values(&[rule, fault.name()]).get());
        (hits("live"), hits("shadow"), errors.iter().sum())
    }

    /// The rules folder was read, and put in force or refused.
    pub fn reloaded(&self, is_good: bool) {
        self.ruleset_reload.set(i64::from(is_good));
    }

    pub fn state(&self, state: &State) {
        self.live_attempts.set(signed(state.live_attempts()));
        self.state_bytes.set(signed(state.resident_bytes()));
        self.look_back_seconds.set(state.look_back_secs());
    }

    fn with_partitions<T>(&self, act: impl FnOnce(&mut BTreeMap<u32, Standing>) -> T) -> T {
        act(&mut self.partitions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where a partition of this instance stands; `arrival` is that of its last record.
    pub fn partition(&self, partition: u32, state: &State, arrival: Option<ArrivalTime>) {
        self.with_partitions(|partitions| {
            let standing = partitions.entry(partition).or_default();
            *standing = Standing {
                live_attempts: state.live_attempts(),
                state_bytes: state.resident_bytes(),
                look_back_secs: state.look_back_secs(),
                next_offset: state.next_offset(),
                arrival: arrival.map(|at| at.0),
                end: standing.end,
            };
        });
    }

    /// The offset after the newest record of a partition.
    pub fn partition_end(&self, partition: u32, end: u64) {
        self.with_partitions(|partitions| {
            if let Some(standing) = partitions.get_mut(&partition) {
                standing.end = end;
            }
        });
    }

    pub fn partition_up(&self, partition: u32, is_up: bool) {
        let label = partition.to_string();
        self.partition_up.with_label_values(&[&label]).set(i64::from(is_up));
        if is_up {
            self.partition_not_stopped(&label);
        }
    }

    /// The partition stands still for this reason until somebody acts.
    pub fn partition_stopped(&self, partition: u32, reason: &str) {
        self.partition_up(partition, false);
        let [regression, other] = STOPS;
        let kind = if reason.starts_with(LOG_REGRESSION) { regression } else { other };
        self.partition_stopped.with_label_values(&[&*partition.to_string(), kind]).set(1);
    }

    fn partition_not_stopped(&self, label: &str) {
        // An error says that it was not there.
        STOPS.iter().for_each(|reason| drop(self.partition_stopped.remove_label_values(&[label, *reason])));
    }

    /// The partition is no longer ours.
    pub fn partition_gone(&self, partition: u32) {
        self.with_partitions(|partitions| partitions.remove(&partition));
        self.checkpoint_age(partition, None);
        let label = partition.to_string();
        // An error says that it was not there.
        let _ = self.partition_up.remove_label_values(&[&label]);
        let _ = self.lag_messages.remove_label_values(&[&label]);
        let _ = self.lag_seconds.remove_label_values(&[&label]);
        let _ = self.partition_position.remove_label_values(&[&label]);
        self.partition_not_stopped(&label);
    }

    fn show_partitions(&self) {
        let partitions = self.with_partitions(|partitions| partitions.clone());
        if partitions.is_empty() {
            return;
        }
        self.live_attempts.set(signed(partitions.values().map(|standing| standing.live_attempts).sum()));
        self.state_bytes.set(signed(partitions.values().map(|standing| standing.state_bytes).sum()));
        self.look_back_seconds.set(partitions.values().map(|standing| standing.look_back_secs).min().unwrap_or_default());
        let now = SystemClock.now();
        for (partition, standing) in partitions {
            let label = partition.to_string();
            let (lag, age) = standing.lag(now);
            self.partition_position.with_label_values(&[&label]).set(standing.next_offset.cast_signed());
            self.lag_messages.with_label_values(&[&label]).set(lag.cast_signed());
            self.lag_seconds.with_label_values(&[&label]).set(age);
        }
    }

    /// A check that was answered without a decision.
    pub fn degraded(&self, fallback: Verdict) {
        self.degraded.with_label_values(&[fallback.name()]).inc();
    }

    pub fn committed(&self, records: usize, checkpoint_bytes: usize, took: Duration) {
        self.stage("commit", took);
        self.batch_records.observe(records as f64);
        self.checkpoint_written(checkpoint_bytes);
        self.store_up("sqlite", true);
    }

    pub fn commit_failed(&self) {
        self.checkpoint_failures.with_label_values(&["commit"]).inc();
        self.store_up("sqlite", false);
    }

    /// A try to keep a checkpoint apart from the log: bytes of deltas that are kept now, or why they are not.
    pub fn checkpoint(&self, store: &str, kept: Result<usize, &CheckpointError>) {
        match kept {
            Ok(bytes) => self.checkpoint_written(bytes),
            Err(error) => self.checkpoint_failures.with_label_values(&[error.kind()]).inc(),
        }
        // Who is fenced or rewound was answered.
        self.store_up(store, !matches!(kept, Err(CheckpointError::Store(_))));
    }

    fn checkpoint_written(&self, bytes: usize) {
        self.checkpoint_bytes.set(signed(bytes));
        self.checkpoint_written_bytes.inc_by(bytes as u64);
    }

    /// Set it again and again, or a store that stays down would not be seen; `None` when the partition is no longer ours.
    pub fn checkpoint_age(&self, partition: u32, age: Option<Duration>) {
        let label = partition.to_string();
        match age {
            Some(age) => self.checkpoint_age_seconds.with_label_values(&[&label]).set(age.as_secs_f64()),
            // An error says that it was not there.
            None => drop(self.checkpoint_age_seconds.remove_label_values(&[&label])),
        }
    }

    /// A message was `taken`, has `failed`, or was `given_up`.
    pub fn webhook(&self, webhook: &str, outcome: &str) {
        self.webhooks.with_label_values(&[webhook, outcome]).inc();
    }

    pub fn exported(&self, decisions: usize) {
        self.exported.inc_by(decisions as u64);
    }

    /// Whether the last write to it succeeded.
    pub fn store_up(&self, store: &str, is_up: bool) {
        self.store_up.with_label_values(&[store]).set(i64::from(is_up));
    }

    pub fn diverged(&self, kind: &str) {
        self.divergence.with_label_values(&[kind]).inc();
    }

    /// Counts what one record did.
    ///
    /// `is_again`: it had been decided before, and who watches rates has counted it.
    pub fn step(&self, source: Source, product: &'static str, step: &Step, is_again: bool) {
        self.candidates.observe(f64::from(step.gauges.candidates));
        self.blocks_saturated.inc_by(u64::from(step.gauges.saturated_blocks));
        match &step.outcome {
            Outcome::Decided => {}
            Outcome::Duplicate(_) => self.duplicates.with_label_values(&[source.name()]).inc(),
            Outcome::IdReused(_) | Outcome::TooOld { .. } | Outcome::TimeJump { .. } | Outcome::Applied => {}
        }
        let Some((decision, amendments)) = step.decisions.split_first() else { return };
        self.decided(source, product, decision, is_again);
        for (rule, fault) in &step.faults {
            self.rule_errors.with_label_values(&[&**rule, fault.name()]).inc();
        }
        self.amendments.inc_by(amendments.len() as u64);
    }

    fn decided(&self, source: Source, product: &'static str, decision: &Decision, is_again: bool) {
        self.checks.with_label_values(&[source.name(), product, decision.answer.name()]).inc();
        self.suspicious_attempts.observe(f64::from(decision.suspicious_attempts));
        if decision.flags.has(crate::engine::decision::Flag::Late) {
            self.late_quotes.inc();
        }
        // What happened before the window of those who watch is history: files, or a log that is decided again.
        let is_now = !is_again && self.is_watched(decision.event_time);
        self.applicants.inc_by(u64::from(is_now && decision.linked_total == 0));
        for reason in &decision.reasons {
            if is_now && decision.opens_case() {
                self.referred_applicants.with_label_values(&[&*reason.rule]).inc();
            }
            self.rule_hits.with_label_values(&[&*reason.rule, "live"]).inc();
        }
        for rule in &decision.shadow {
            self.rule_hits.with_label_values(&[&**rule, "shadow"]).inc();
        }
    }

    /// Applicants and cases count as long as they are not older than this, microseconds; all of them until it is said.
    pub fn watch(&self, window: i64) {
        self.watched.store(window, Ordering::Relaxed);
    }

    fn is_watched(&self, at: EventTime) -> bool {
        SystemClock.now().0.saturating_sub(at.0) <= self.watched.load(Ordering::Relaxed)
    }

    /// Of these rules, since the start.
    pub fn referred_applicants<'a>(&self, rules: impl Iterator<Item = &'a str>) -> Counts {
        let referred = rules.map(|rule| (rule.into(), self.referred_applicants.with_label_values(&[rule]).get()));
        Counts { applicants: self.applicants.get(), referred: referred.collect() }
    }

    /// What a live rule may refer, and whether it refers more.
    pub fn rule_band(&self, band: &Band, is_outside: bool) {
        self.rule_band.with_label_values(&[&band.rule]).set(band.referred_pct_max / 100.0);
        self.rule_outside.with_label_values(&[&band.rule]).set(i64::from(is_outside));
    }

    /// The rule is not watched any more.
    pub fn no_rule_band(&self, rule: &str) {
        // Not there is what it is to be.
        let _ = self.rule_band.remove_label_values(&[rule]);
        let _ = self.rule_outside.remove_label_values(&[rule]);
    }

    /// The breaker put it in shadow.
    pub fn rule_tripped(&self, rule: &str) {
        self.rule_trips.with_label_values(&[rule]).inc();
    }

    /// Of the last quote, whole seconds.
    pub fn event_lag(&self, micros: i64) {
        self.event_lag_seconds.set(micros.div_euclid(SECOND));
    }
}

/// The product as a label.
pub fn product_label(product: &str) -> &'static str {
    PRODUCTS_NAMED.into_iter().find(|name| *name == product).unwrap_or("other")
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::decision::{DecisionId, Flags, Reason, RuleBookRef};
    use crate::engine::delta::Delta;
    use crate::engine::quote::Position;
    use crate::engine::step::Gauges;
    use crate::pipeline::StoreError;

    #[test]
    fn all_names_are_registered_once_under_the_prefix() {
        let metrics = Metrics::new().expect("registered");
        metrics.http_request("GET", "/livez", 200);
        let text = String::from_utf8(metrics.encode().expect("encodes")).expect("text");
        assert!(text.contains("quoteguard_build_info{"), "{text}");
        assert!(text.contains(r#"quoteguard_http_requests_total{code="200",method="GET",route="/livez"} 1"#), "{text}");
        assert!(text.lines().all(|line| line.starts_with('#') || line.starts_with("quoteguard_")), "{text}");
    }

    #[test]
    fn a_stopped_partition_is_told_by_its_reason_until_it_goes_on() {
        let metrics = Metrics::new().expect("registered");
        let text = || String::from_utf8(metrics.encode().expect("encodes")).expect("text");
        metrics.partition_stopped(3, "LOG_REGRESSION: the log ends at 7; restore the topic");
        metrics.partition_stopped(4, "a defect: no LOG_REGRESSION");
        for line in [
            r#"quoteguard_partition_stopped{partition="3",reason="log_regression"} 1"#,
            r#"quoteguard_partition_stopped{partition="4",reason="other"} 1"#,
            r#"quoteguard_partition_up{partition="3"} 0"#,
        ] {
            assert!(text().contains(line), "{line}\n{}", text());
        }
        metrics.partition_up(3, true);
        metrics.partition_gone(4);
        assert!(!text().contains("quoteguard_partition_stopped{"), "{}", text());
    }

    #[test]
    fn what_a_book_may_count_begins_at_0_and_the_book_before_is_forgotten() {
        let metrics = Metrics::new().expect("registered");
        let text = || String::from_utf8(metrics.encode().expect("encodes")).expect("text");
        metrics.rule_book(&crate::contract::rule_file::shipped());
        for line in [
            r#"quoteguard_rule_info{mode="live",rule="picking-24h",version="#,
            r#"quoteguard_rule_hits_total{mode="live",rule="picking-24h"} 0"#,
            r#"quoteguard_rule_errors_total{kind="overflow",rule="picking-24h"} 0"#,
            r#"quoteguard_referred_applicants_total{rule="picking-24h"} 0"#,
        ] {
            assert!(text().contains(line), "{line}\n{}", text());
        }
        metrics.rule_book(&RuleBook::empty());
        assert!(!text().contains("quoteguard_rule_info{"), "{}", text());
    }

    #[test]
    fn a_checkpoint_that_fails_is_counted_by_its_kind_and_ages() {
        let metrics = Metrics::new().expect("registered");
        metrics.checkpoint("redis", Ok(700));
        metrics.checkpoint("redis", Err(&CheckpointError::Rewound { stored: None }));
        let text = || String::from_utf8(metrics.encode().expect("encodes")).expect("text");
        assert!(text().contains("quoteguard_checkpoint_written_bytes_total 700"), "{}", text());
        assert!(text().contains(r#"quoteguard_checkpoint_failures_total{kind="rewound"} 1"#), "{}", text());
        assert!(text().contains(r#"quoteguard_store_up{store="redis"} 1"#), "{}", text());
        metrics.checkpoint("redis", Err(&CheckpointError::Store(StoreError::Unavailable("down".into()))));
        metrics.checkpoint_age(3, Some(Duration::from_millis(1_500)));
        assert!(text().contains(r#"quoteguard_store_up{store="redis"} 0"#), "{}", text());
        assert!(text().contains(r#"quoteguard_checkpoint_age_seconds{partition="3"} 1.5"#), "{}", text());
        metrics.checkpoint_age(3, None);
        assert!(!text().contains(r#"partition="3""#), "{}", text());
    }

    /// The first referral of an applicant, by the rule `many`.
    fn referred(event_time: EventTime) -> Step {
        let decision_id = DecisionId(7 << 64);
        let decision = Decision {
            decision_id,
            quote_id: "q".into(),
            tenant: "t".into(),
            revision: 1,
            verdict: Verdict::Refer,
            answer: Verdict::Refer,
            referral_id: Some(decision_id.referral()),
            reasons: vec![Reason { code: "MANY".into(), rule: "many".into(), text: "".into() }],
            attempts: 1,
            suspicious_attempts: 0,
            suspicion: 0.0,
            features: Vec::new(),
            linked: Vec::new(),
            linked_total: 0,
            rule_book: RuleBookRef { version: 1, hash: 1 },
            event_time,
            position: Position { partition: 0, offset: 0 },
            cause: None,
            flags: Flags::default(),
            shadow: Vec::new(),
        };
        let (delta, gauges, faults) = (Delta::default(), Gauges::default(), Vec::new());
        Step { outcome: Outcome::Decided, decisions: vec![decision], delta, gauges, faults }
    }

    #[test]
    fn what_watches_the_rules_is_not_told_of_history() {
        let metrics = Metrics::new().expect("registered");
        metrics.watch(3_600 * SECOND);
        let now = SystemClock.now().0;
        for (hours_ago, counted) in [(2, 0), (24 * 30, 0), (0, 1), (3, 1), (-1, 2)] {
            metrics.step(Source::File, "osago", &referred(EventTime(now - hours_ago * 3_600 * SECOND)), false);
            let told = metrics.referred_applicants(["many"].into_iter());
            assert_eq!((told.applicants, told.referred["many"]), (counted, counted), "{hours_ago} hours ago");
        }
        let text = String::from_utf8(metrics.encode().expect("encodes")).expect("text");
        assert!(text.contains(r#"quoteguard_rule_hits_total{mode="live",rule="many"} 5"#), "all are hits: {text}");
    }
}
