//! Pipelines as an operator handles them: what comes from where, how far it is, and the order to pause, to drain, to go on.
//!
//! An order is kept in a file beside the log until it is taken back: a paused pipeline does not go on by a mere restart. It is an order to
//! this instance alone.

mod kept;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kept::Kept;

use crate::contract::pipelines::{PipelineActV1, PipelineStateV1, PipelineV1};
use crate::metrics::Metrics;

/// Name of the pipeline of the checks.
pub const HTTP: &str = "http";
/// Over how many whole seconds the rate is told.
const RATE_SECS: usize = 10;
/// How often a drain looks at what is in flight.
const TICK: Duration = Duration::from_millis(10);
/// One try of a drain to see everything durable; it is repeated.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

/// What to do, until another order comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Run,
    Pause,
    /// Take nothing more, finish what was taken, make it durable.
    Stop,
}

/// How a source is held, and told to be done. What only it knows of its position it may tell as well.
pub trait Hands: Send + Sync {
    /// The order has changed; a source that asks [`Pipeline::enter`] for each record needs no telling.
    fn hold(&self, _is_held: bool) {}

    /// Whether everything that was taken is durable and checkpointed; waits so long for it. Nothing new is taken meanwhile.
    fn settle(&self, patience: Duration) -> bool;

    /// Where it stands, unless [`Pipeline::stands`] tells it.
    fn look(&self) -> Option<Standing> {
        None
    }
}

/// How far a source is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// As the source counts: a file and line, an offset, a transaction and key; empty when it has none.
    pub position: String,
    /// Records that wait; `None` when nobody knows.
    pub lag_records: Option<u64>,
    /// Age of the last record while others wait, seconds.
    pub lag_secs: Option<f64>,
}

/// One source and its way to the sinks.
pub struct Pipeline {
    pub name: Box<str>,
    source: String,
    sinks: Vec<&'static str>,
    hands: Box<dyn Hands>,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    order: Order,
    is_drained: bool,
    failed: Option<String>,
    standing: Standing,
    /// Records between the door and the queue, or, of HTTP, unanswered.
    in_flight: usize,
    rate: Rate,
}

/// Records of the last seconds.
struct Rate {
    since: Instant,
    /// Number of the second, records in it.
    seconds: [(u64, u64); RATE_SECS + 1],
}

impl Default for Rate {
    fn default() -> Rate {
        Rate { since: Instant::now(), seconds: [(0, 0); RATE_SECS + 1] }
    }
}

impl Rate {
    fn add(&mut self, records: u64) {
        let second = self.since.elapsed().as_secs();
        let slot = &mut self.seconds[second as usize % (RATE_SECS + 1)];
        *slot = if slot.0 == second { (second, slot.1 + records) } else { (second, records) };
    }

    fn per_second(&self) -> f64 {
        let now = self.since.elapsed().as_secs();
        let whole = |slot: &&(u64, u64)| slot.0 < now && slot.0 + RATE_SECS as u64 >= now;
        let records: u64 = self.seconds.iter().filter(whole).map(|slot| slot.1).sum();
        records as f64 / (now.clamp(1, RATE_SECS as u64) as f64)
    }
}

/// A record, or a request, on its way in: a drain waits for it.
pub struct Passage(Arc<Pipeline>);

impl Drop for Passage {
    fn drop(&mut self) {
        self.0.now().in_flight -= 1;
    }
}

impl Pipeline {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether records are taken.
    pub fn is_open(&self) -> bool {
        self.now().order == Order::Run
    }

    /// Takes one record in, if the pipeline runs.
    pub fn enter(self: &Arc<Self>) -> Option<Passage> {
        let mut now = self.now();
        if now.order != Order::Run {
            return None;
        }
        now.in_flight += 1;
        Some(Passage(self.clone()))
    }

    /// So many records were taken in.
    pub fn took(&self, records: usize) {
        self.now().rate.add(records as u64);
    }

    pub fn stands(&self, standing: Standing) {
        self.now().standing = standing;
    }

    /// Why it does not get on, or that it does.
    pub fn fails(&self, reason: Option<String>) {
        self.now().failed = reason;
    }

    /// As people and their programs see it.
    pub fn shown(&self) -> PipelineV1 {
        let looked = self.hands.look();
        let now = self.now();
        let state = match (&now.failed, now.order) {
            (_, Order::Pause) => PipelineStateV1::Paused,
            (_, Order::Stop) if now.is_drained => PipelineStateV1::Stopped,
            (_, Order::Stop) => PipelineStateV1::Draining,
            (Some(_), Order::Run) => PipelineStateV1::Failed,
            (None, Order::Run) => PipelineStateV1::Running,
        };
        let Standing { position, lag_records, lag_secs } = looked.unwrap_or_else(|| now.standing.clone());
        PipelineV1 {
            name: self.name.to_string(),
            source: self.source.clone(),
            sinks: self.sinks.iter().map(ToString::to_string).collect(),
            state,
            reason: now.failed.clone(),
            position,
            lag_records,
            lag_secs,
            records_per_sec: now.rate.per_second(),
        }
    }

    /// Until everything is durable, or another order has come.
    fn drain(&self) {
        loop {
            let is_in_flight = {
                let now = self.now();
                if now.order != Order::Stop {
                    return;
                }
                now.in_flight > 0
            };
            if !is_in_flight && self.hands.settle(SETTLE_PATIENCE) {
                let mut now = self.now();
                if now.order == Order::Stop {
                    now.is_drained = true;
                    tracing::info!(pipeline = &*self.name, "drained: everything taken is durable");
                }
                return;
            }
            thread::sleep(TICK);
        }
    }
}

/// What a source is, before it is among the others.
pub struct NewPipeline {
    pub name: String,
    pub source: String,
    pub sinks: Vec<&'static str>,
    pub hands: Box<dyn Hands>,
}

#[derive(Debug, thiserror::Error)]
pub enum NotOrdered {
    #[error("there is no pipeline {0} here; `quoteguard pipelines list` names them")]
    Unknown(String),
    /// What would be forgotten by a restart is not done.
    #[error("the order cannot be kept, and is not carried out: {0}")]
    NotKept(String),
}

/// All pipelines of the instance.
pub struct Pipelines {
    all: Mutex<BTreeMap<Box<str>, Arc<Pipeline>>>,
    kept: Mutex<Kept>,
    metrics: Arc<Metrics>,
}

impl Pipelines {
    /// Orders are kept in the file.
    ///
    /// # Errors
    /// A file that is there and cannot be read: an order in it must not be forgotten.
    pub fn open(file: PathBuf, metrics: Arc<Metrics>) -> Result<Pipelines, NotOrdered> {
        let kept = Kept::open(file).map_err(NotOrdered::NotKept)?;
        Ok(Pipelines { all: Mutex::default(), kept: Mutex::new(kept), metrics })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Arc<Pipeline>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a pipeline, under the order that was given to one of this name.
    pub fn add(&self, new: NewPipeline) -> Arc<Pipeline> {
        let NewPipeline { name, source, sinks, hands } = new;
        let order = self.kept().get(&name);
        let now = Mutex::new(Now { order, ..Now::default() });
        let pipeline = Arc::new(Pipeline { name: name.into(), source, sinks, hands, now });
        self.all().insert(pipeline.name.clone(), pipeline.clone());
        if order != Order::Run {
            tracing::warn!(
                pipeline = &*pipeline.name,
                ?order,
                "it is held by an order of before; `quoteguard pipelines resume` ends that"
            );
            pipeline.hands.hold(true);
            self.drain(&pipeline, order);
        }
        self.metrics.pipeline_held(&pipeline.name, Some(order != Order::Run));
        pipeline
    }

    /// It is another instance's, or gone.
    pub fn remove(&self, name: &str) {
        self.all().remove(name);
        self.metrics.pipeline_held(name, None);
    }

    pub fn get(&self, name: &str) -> Option<Arc<Pipeline>> {
        self.all().get(name).cloned()
    }

    /// By name.
    pub fn list(&self) -> Vec<PipelineV1> {
        let all: Vec<Arc<Pipeline>> = self.all().values().cloned().collect();
        all.iter().map(|pipeline| pipeline.shown()).collect()
    }

    /// Gives an order, and tells how the pipeline is then; a drain goes on behind it. The same order again changes nothing.
    ///
    /// # Errors
    /// A name that is not here; an order that cannot be kept.
    pub fn order(&self, name: &str, act: PipelineActV1) -> Result<PipelineV1, NotOrdered> {
        let pipeline = self.get(name).ok_or_else(|| NotOrdered::Unknown(name.to_owned()))?;
        let order = match act {
            PipelineActV1::Pause => Order::Pause,
            PipelineActV1::Resume => Order::Run,
            PipelineActV1::Drain => Order::Stop,
        };
        {
            // Held until it is carried out: two orders at once end in the one that is kept.
            let mut kept = self.kept();
            kept.set(name, order).map_err(NotOrdered::NotKept)?;
            let mut now = pipeline.now();
            if now.order != order {
                now.order = order;
                now.is_drained = false;
                drop(now);
                pipeline.hands.hold(order != Order::Run);
                self.drain(&pipeline, order);
                tracing::warn!(pipeline = name, ?order, "ordered by an operator");
            }
        }
        self.metrics.pipeline_held(name, Some(order != Order::Run));
        Ok(pipeline.shown())
    }

    fn drain(&self, pipeline: &Arc<Pipeline>, order: Order) {
        if order != Order::Stop {
            return;
        }
        let drained = pipeline.clone();
        let started = thread::Builder::new().name("drain".to_owned()).spawn(move || drained.drain());
        if let Err(error) = started {
            tracing::error!(pipeline = &*pipeline.name, %error, "the drain could not be started; order it again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[derive(Clone, Default)]
    struct Flag(Arc<AtomicBool>);

    impl Hands for Flag {
        fn settle(&self, _: Duration) -> bool {
            self.0.load(Ordering::Acquire)
        }
    }

    fn open(file: &std::path::Path) -> Pipelines {
        Pipelines::open(file.to_owned(), Arc::new(Metrics::new().expect("registered"))).expect("opens")
    }

    fn new(hands: Flag) -> NewPipeline {
        NewPipeline { name: "watch".into(), source: "folder in".into(), sinks: vec!["log"], hands: Box::new(hands) }
    }

    #[test]
    fn an_order_outlives_the_process_and_a_drain_waits_for_all_that_was_taken() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("pipelines.json");
        let pipelines = open(&file);
        let durable = Flag::default();
        let pipeline = pipelines.add(new(durable.clone()));
        let passage = pipeline.enter().expect("runs");
        assert_eq!(pipelines.order("watch", PipelineActV1::Drain).expect("ordered").state, PipelineStateV1::Draining);
        assert!(pipeline.enter().is_none());
        durable.0.store(true, Ordering::Release);
        assert_eq!(pipeline.shown().state, PipelineStateV1::Draining, "one is in flight");
        drop(passage);
        let until = Instant::now() + Duration::from_secs(30);
        while pipeline.shown().state != PipelineStateV1::Stopped {
            assert!(Instant::now() < until, "never drained");
            thread::sleep(TICK);
        }

        let again = open(&file);
        let pipeline = again.add(new(durable));
        assert!(pipeline.enter().is_none(), "the order is kept");
        assert_eq!(again.order("watch", PipelineActV1::Resume).expect("ordered").state, PipelineStateV1::Running);
        assert!(open(&file).add(new(Flag::default())).is_open(), "and taken back for good");
        assert!(matches!(again.order("other", PipelineActV1::Pause), Err(NotOrdered::Unknown(_))));
    }

    #[test]
    fn orders_that_cannot_be_read_are_not_forgotten() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("pipelines.json");
        std::fs::write(&file, "{\"watch\":").expect("written");
        let opened = Pipelines::open(file, Arc::new(Metrics::new().expect("registered")));
        assert!(matches!(opened, Err(NotOrdered::NotKept(_))));
    }
}
