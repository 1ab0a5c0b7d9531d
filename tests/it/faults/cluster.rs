//! The servers of one fault, the topics of one log, and producers who write to it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quoteguard::adapters::kafka::{
    ControlCopy, Delivered, DeliveryError, KafkaConfig, OnDelivery, Outgoing, Producer, Security, SendError, Topic, TopicNames,
    Unsent,
};
use quoteguard::adapters::redis::{Options, RedisCheckpoints};
use quoteguard::pipeline::checkpoint::{Checkpoints, Manifest};
use tempfile::TempDir;

use super::instance::Instance;
use super::workload::Record;
use crate::app::BINARY;
pub use crate::app::until;
use crate::servers::{Kind, Private, kafka, run, unique};

pub const PARTITIONS: u32 = 4;
/// Within this everything is right again, without hands.
pub const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);
const CONFIG: &str = "quoteguard.toml";

/// Where the service goes instead of to the servers themselves.
#[derive(Clone, Debug, Default)]
pub struct Detours {
    pub kafka: Option<String>,
    pub redis: Option<String>,
}

pub struct Replayed {
    pub report: String,
    pub said: String,
}

pub struct Cluster {
    pub redis: Private,
    /// As the test itself reaches it.
    pub kafka: KafkaConfig,
    pub log_id: String,
    dir: TempDir,
    instances: AtomicUsize,
}

impl Cluster {
    /// Topics of its own on the shared broker, and a Redis of its own.
    pub fn start() -> Cluster {
        Cluster::start_on(kafka(), Private::start(Kind::Redis, &[]), &Detours::default())
    }

    pub fn start_on(broker: &str, redis: Private, detours: &Detours) -> Cluster {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let kafka = kafka_config(broker, &unique("faults"));
        let there = detours.kafka.clone().unwrap_or_else(|| broker.to_owned());
        let redis_url = detours.redis.clone().unwrap_or_else(|| redis.url());
        std::fs::write(dir.path().join(CONFIG), toml(&kafka, &there, &redis_url)).expect("written");
        let mut cluster = Cluster { redis, kafka, log_id: String::new(), dir, instances: AtomicUsize::new(0) };
        cluster.run(&["topics", "create", "--partitions", &PARTITIONS.to_string()]);
        cluster.log_id = ControlCopy::read(&cluster.kafka).expect("it has an id").log.log_id;
        cluster
    }

    /// What a command of ours prints.
    pub fn run(&self, args: &[&str]) -> String {
        run(Command::new(BINARY).args(args).current_dir(self.dir.path()))
    }

    pub fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(file)).unwrap_or_default()
    }

    pub fn path(&self, file: &str) -> String {
        self.dir.path().join(file).to_str().expect("text").to_owned()
    }

    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.path().join(file), text).expect("written");
    }

    /// The configuration of the service.
    pub fn toml(&self) -> String {
        String::from_utf8(self.read(CONFIG)).expect("text")
    }

    /// `quoteguard replay`: what it reports, and what else it says.
    pub fn replay(&self, args: &[&str]) -> Replayed {
        self.command("replay", args)
    }

    pub fn command(&self, command: &str, args: &[&str]) -> Replayed {
        let output = Command::new(BINARY).arg(command).args(args).current_dir(self.dir.path()).output().expect("runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let (report, said) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{args:?}: {said}");
        Replayed { report, said }
    }

    /// A process of the service, ready.
    pub fn serve(&self) -> Instance {
        let mut instance = self.spawn(&[]);
        instance.await_ready();
        instance
    }

    pub fn spawn(&self, environment: &[(&str, &str)]) -> Instance {
        let number = self.instances.fetch_add(1, Ordering::Relaxed);
        Instance::spawn(self.dir.path(), CONFIG, number, environment)
    }

    pub fn checkpoints(&self, partition: u32) -> RedisCheckpoints {
        let options = Options { url: self.redis.url(), ..Options::default() };
        RedisCheckpoints::new(&options, &self.log_id, partition).expect("a URL")
    }

    /// The stored manifest; `None` where there is none, or none that can be read.
    pub fn manifest(&self, partition: u32) -> Option<Manifest> {
        self.checkpoints(partition).manifest().ok().flatten()
    }

    /// Begins to produce the records, so many a second.
    pub fn feed(&self, records: Vec<Record>, rate: usize) -> Feed {
        Feed::start(&self.kafka, records, rate)
    }
}

pub fn kafka_config(broker: &str, name: &str) -> KafkaConfig {
    let topic = |kind: &str| format!("{name}.{kind}");
    KafkaConfig {
        brokers: broker.to_owned(),
        topics: TopicNames {
            quotes: topic("quotes"),
            decisions: topic("decisions"),
            dead_letters: topic("dlq"),
            control: topic("control"),
            referrals: topic("referrals"),
        },
        group: name.to_owned(),
        instance_id: None,
        client_id: "faults".to_owned(),
        session_timeout_ms: 6_000,
        security: Security::Plaintext,
        // A broker that is away for long must not lose what producers have.
        properties: BTreeMap::from([("delivery.timeout.ms".to_owned(), "120000".to_owned())]),
    }
}

fn toml(kafka: &KafkaConfig, broker: &str, redis: &str) -> String {
    let TopicNames { quotes, decisions, dead_letters, control, referrals } = &kafka.topics;
    format!(
        "log.format = \"json\"\n[kafka]\nbrokers = \"{broker}\"\ngroup = \"{}\"\nsession_timeout_ms = 2000\n\
         checkpoint_ms = 100\n[kafka.topics]\nquotes = \"{quotes}\"\ndecisions = \"{decisions}\"\n\
         dead_letters = \"{dead_letters}\"\ncontrol = \"{control}\"\nreferrals = \"{referrals}\"\n[redis]\nurl = \"{redis}\"\n",
        kafka.group
    )
}

/// What became of the records of a feed.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Partition and offset of each record that was acknowledged.
    pub acknowledged: BTreeSet<(u32, u64)>,
    /// Records that may be there or not.
    pub unknown: u64,
}

/// Producers at work.
pub struct Feed {
    total: usize,
    told: Arc<Mutex<Told>>,
    sending: JoinHandle<()>,
}

impl Feed {
    fn start(kafka: &KafkaConfig, records: Vec<Record>, rate: usize) -> Feed {
        let producer = Producer::new(kafka).expect("a producer");
        let (told, total) = (Arc::new(Mutex::new(Told::default())), records.len());
        let telling = told.clone();
        let send = move || {
            let began = Instant::now();
            for (number, record) in records.into_iter().enumerate() {
                // Open loop: the pace does not depend on the answers.
                let due = began + Duration::from_secs_f64(number as f64 / rate as f64);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                send(&producer, record, &telling);
            }
            producer.flush(PATIENCE).expect("all records are told");
        };
        Feed { total, told, sending: thread::spawn(send) }
    }

    /// Until so many hundredths of the records are in the log.
    pub fn await_share(&self, hundredths: usize) {
        let wanted = self.total * hundredths / 100;
        until("the records are in the log", || self.told.lock().expect("not poisoned").acknowledged.len() >= wanted);
    }

    /// Waits until all are told.
    pub fn finish(self) -> Told {
        let told = self.told.clone();
        self.sending.join().expect("no panic");
        let told = told.lock().expect("not poisoned").clone();
        assert_eq!(told.acknowledged.len() + told.unknown as usize, self.total, "every record is told");
        told
    }
}

fn send(producer: &Producer, record: Record, told: &Arc<Mutex<Told>>) {
    let Record { key, value, partition, headers } = record;
    let record = Outgoing { topic: Topic::Quotes, partition, key, value, headers };
    let told = told.clone();
    let mut on_delivery: OnDelivery = Box::new(move |result| {
        let mut told = told.lock().expect("not poisoned");
        match result {
            Ok(Delivered { partition, offset: Some(offset) }) => {
                told.acknowledged.insert((partition.unsigned_abs(), offset));
            }
            Ok(Delivered { offset: None, .. }) | Err(DeliveryError::Unknown(_)) => told.unknown += 1,
            Err(DeliveryError::Refused(why)) => panic!("a record was refused: {why}"),
        }
    });
    while let Err(Unsent { error, on_delivery: back }) = producer.send(&record, on_delivery) {
        assert_eq!(error, SendError::Full);
        on_delivery = back;
        thread::sleep(TICK);
    }
}
