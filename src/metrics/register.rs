//! One registry under the prefix of the service, which remembers what was registered: a metric without a value is not in the text of
//! `/metrics`, and alerts and dashboards may name it all the same.

use std::sync::Mutex;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

pub const PREFIX: &str = "quoteguard";

/// Seconds: fine around the few milliseconds that a check may take; 0.05 is the service level.
const LATENCY_BUCKETS: [f64; 14] = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
const COUNT_BUCKETS: [f64; 10] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A registered metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// With the prefix.
    pub name: String,
    pub kind: Kind,
    pub help: String,
    pub labels: Vec<String>,
}

pub struct Register {
    registry: Registry,
    known: Mutex<Vec<Known>>,
}

impl Register {
    /// # Errors
    /// None that a prefix without odd characters could cause.
    pub fn new() -> Result<Register, prometheus::Error> {
        Ok(Register { registry: Registry::new_custom(Some(PREFIX.to_owned()), None)?, known: Mutex::default() })
    }

    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// Everything that was registered, by name.
    pub fn known(&self) -> Vec<Known> {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        known.sort_by(|a, b| a.name.cmp(&b.name));
        known
    }

    fn add(&self, kind: Kind, metric: impl Collector + 'static) -> Result<(), prometheus::Error> {
        let of = |desc: &Desc| Known {
            name: format!("{PREFIX}_{}", desc.fq_name),
            kind,
            help: desc.help.clone(),
            labels: desc.variable_labels.clone(),
        };
        let known: Vec<Known> = metric.desc().into_iter().map(of).collect();
        self.registry.register(Box::new(metric))?;
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(known);
        Ok(())
    }
}

pub fn counter(r: &Register, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(name, help)?;
    r.add(Kind::Counter, counter.clone())?;
    Ok(counter)
}

pub fn counters(r: &Register, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    r.add(Kind::Counter, counters.clone())?;
    Ok(counters)
}

pub fn float_counters(r: &Register, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, prometheus::Error> {
    let counters = CounterVec::new(Opts::new(name, help), labels)?;
    r.add(Kind::Counter, counters.clone())?;
    Ok(counters)
}

pub fn gauge(r: &Register, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let gauge = IntGauge::new(name, help)?;
    r.add(Kind::Gauge, gauge.clone())?;
    Ok(gauge)
}

pub fn float_gauge(r: &Register, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
    let gauge = Gauge::new(name, help)?;
    r.add(Kind::Gauge, gauge.clone())?;
    Ok(gauge)
}

pub fn int_gauges(r: &Register, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
    r.add(Kind::Gauge, gauges.clone())?;
    Ok(gauges)
}

pub fn gauges(r: &Register, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
    let gauges = GaugeVec::new(Opts::new(name, help), labels)?;
    r.add(Kind::Gauge, gauges.clone())?;
    Ok(gauges)
}

pub fn histogram(r: &Register, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(COUNT_BUCKETS.to_vec()))?;
    r.add(Kind::Histogram, histogram.clone())?;
    Ok(histogram)
}

pub fn seconds(r: &Register, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec());
    let histograms = HistogramVec::new(opts, labels)?;
    r.add(Kind::Histogram, histograms.clone())?;
    Ok(histograms)
}
