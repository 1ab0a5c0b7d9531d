//! Topics of one test on the shared broker, and waiting for what must come.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use quoteguard::adapters::kafka::{
    Assignment, Command, ConsumerHandle, CreateOptions, Event, Fetched, From, KafkaConfig, Outgoing, Producer, ReadEnd, Security,
    StartAt, Topic, TopicNames, create, read, start,
};
use rdkafka::ClientConfig;

/// Generous: only a broken adapter comes near it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// In which nothing may come. Longer waits would find more and nothing else.
pub const SILENCE: Duration = Duration::from_millis(700);

pub fn brokers() -> String {
    std::env::var("QUOTEGUARD_TEST_KAFKA")
        .expect("this test needs a real Kafka: run it by `make test`, or set QUOTEGUARD_TEST_KAFKA to host:port")
}

/// A name that no other test and no earlier run has used.
fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000;
    format!("{name}-{now:x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub struct Bench {
    pub config: KafkaConfig,
    pub producer: Arc<Producer>,
}

pub fn options(partitions: u32) -> CreateOptions {
    let settings = BTreeMap::from([("time.retention_secs".to_owned(), "60".to_owned())]);
    CreateOptions { partitions: Some(partitions), replication: Some(1), retention_ms: 3_600_000, settings }
}

impl Bench {
    /// Names alone: the topics are not there.
    pub fn bare(name: &str) -> Bench {
        let name = unique(name);
        let config = KafkaConfig {
            brokers: brokers(),
            topics: TopicNames {
                quotes: format!("{name}.quotes"),
                decisions: format!("{name}.decisions"),
                dead_letters: format!("{name}.dlq"),
                control: format!("{name}.control"),
                referrals: format!("{name}.referrals"),
            },
            group: name,
            instance_id: None,
            client_id: "test".into(),
            session_timeout_ms: 6_000,
            security: Security::Plaintext,
            properties: BTreeMap::new(),
        };
        let producer = Arc::new(Producer::new(&config).expect("a producer"));
        Bench { config, producer }
    }

    pub fn new(name: &str, partitions: u32) -> Bench {
        let bench = Bench::bare(name);
        create(&bench.config, &options(partitions)).expect("the topics are created");
        bench
    }

    /// Straight to librdkafka, for what the adapter does not do.
    pub fn raw(&self) -> ClientConfig {
        let mut raw = ClientConfig::new();
        raw.set("bootstrap.servers", &self.config.brokers);
        raw
    }

    /// Writes values to one partition and gives their offsets.
    pub fn write(&self, topic: Topic, partition: i32, values: impl IntoIterator<Item = String>) -> Vec<u64> {
        let (tell, told) = mpsc::channel();
        let mut count = 0;
        for value in values {
            let tell = tell.clone();
            let told: quoteguard::adapters::kafka::OnDelivery =
                Box::new(move |result| tell.send(result).expect("the test waits"));
            let sent = self.producer.send(&outgoing(topic, Some(partition), "tenant", &value), told);
            assert!(sent.is_ok(), "{:?}", sent.map_err(|unsent| unsent.error));
            count += 1;
        }
        let offset = |_| told.recv_timeout(PATIENCE).expect("told").expect("delivered").offset.expect("a place");
        (0..count).map(offset).collect()
    }

    pub fn write_quotes(&self, partition: i32, numbers: std::ops::Range<u64>) -> Vec<u64> {
        self.write(Topic::Quotes, partition, numbers.map(|number| number.to_string()))
    }

    /// What a bounded read finds: offsets and values.
    pub fn read(&self, topic: Topic, partition: i32, from: From) -> (Vec<(u64, String)>, ReadEnd) {
        let mut found = Vec::new();
        let end = read(&self.config, topic, partition, from, &mut |record| {
            let value = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
            found.push((record.offset(), value));
            ControlFlow::Continue(())
        });
        (found, end.expect("read"))
    }
}

pub fn outgoing(topic: Topic, partition: Option<i32>, key: &str, value: &str) -> Outgoing {
    Outgoing { topic, partition, key: Some(key.into()), value: Some(value.into()), headers: Vec::new() }
}

/// A member of the group whose events are kept in order.
pub struct Member {
    pub handle: ConsumerHandle,
    events: mpsc::Receiver<Event>,
    /// Records that came while something else was waited for.
    pub records: Vec<Fetched>,
    /// The last one of each partition.
    assignments: Arc<Mutex<BTreeMap<i32, Assignment>>>,
}

impl Member {
    pub fn join(config: &KafkaConfig) -> Member {
        let (tell, events) = mpsc::channel();
        let assignments = Arc::new(Mutex::new(BTreeMap::new()));
        let seen = assignments.clone();
        let take = move |event: Event| {
            if let Event::Assigned { partition, assignment } = event {
                seen.lock().expect("whole").insert(partition, assignment);
            }
            // A test that has seen enough listens no more.
            drop(tell.send(event));
        };
        let handle = start(config, take).expect("a consumer");
        Member { handle, events, records: Vec::new(), assignments }
    }

    pub fn assignment(&self, partition: i32) -> Assignment {
        self.assignments.lock().expect("whole")[&partition]
    }

    pub fn order(&self, command: Command) {
        self.handle.commands().send(command);
    }

    pub fn start(&self, partition: i32, offset: u64) {
        self.start_at(partition, StartAt::Offset(offset));
    }

    pub fn start_at(&self, partition: i32, at: StartAt) {
        self.order(Command::Start { partition, assignment: self.assignment(partition), at });
    }

    /// The first event that `pick` takes; records are kept, revoked partitions are let go.
    pub fn await_event<T>(&mut self, what: &str, mut pick: impl FnMut(Event) -> Result<T, Event>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).unwrap_or_else(|_| panic!("no event: {what}"));
            match pick(event) {
                Ok(taken) => return taken,
                Err(Event::Records { records, .. }) => self.records.extend(records),
                Err(Event::Fatal(reason)) => panic!("{what}: {reason}"),
                Err(Event::PartitionError { partition, error }) => panic!("{what}: partition {partition}: {error}"),
                Err(_) => {}
            }
        }
    }

    pub fn await_assigned(&mut self, count: usize) -> Vec<i32> {
        let mut assigned = Vec::new();
        while assigned.len() < count {
            assigned.push(self.await_event("assigned", |event| match event {
                Event::Assigned { partition, .. } => Ok(partition),
                other => Err(other),
            }));
        }
        assigned.sort_unstable();
        assigned
    }

    /// Until so many records have come in all.
    pub fn await_records(&mut self, count: usize) -> &[Fetched] {
        while self.records.len() < count {
            let records = self.await_event("records", |event| match event {
                Event::Records { records, .. } => Ok(records),
                other => Err(other),
            });
            self.records.extend(records);
        }
        &self.records
    }

    pub fn assert_silent(&mut self) {
        self.assert_silent_for(SILENCE);
    }

    pub fn assert_silent_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Err(_) => return,
                Ok(Event::Joined | Event::Ends(_)) => {}
                Ok(Event::Records { partition, records }) => panic!("{} records of partition {partition}", records.len()),
                Ok(_) => panic!("an event"),
            }
        }
    }

    pub fn values(&self, partition: i32) -> Vec<u64> {
        let of = |record: &&Fetched| record.partition == partition;
        let number = |record: &Fetched| {
            std::str::from_utf8(record.value.as_deref().expect("a value")).expect("text").parse().expect("a number")
        };
        self.records.iter().filter(of).map(number).collect()
    }

    pub fn stop(self) {
        assert!(self.handle.stop(PATIENCE), "the consumer hangs");
    }
}
