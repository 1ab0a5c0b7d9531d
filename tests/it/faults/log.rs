//! A log that is not the one that was read: cut past the checkpoint, or made anew and filled again.

use std::collections::BTreeSet;

use futures_executor::block_on;
use quoteguard::adapters::kafka::{Reader, Topic};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::check::{Compared, await_caught_up, check, compare};
use super::cluster::{Cluster, PARTITIONS, Told, until};
use super::instance::Instance;
use super::workload::{disorder, quotes};
use super::{Outcome, each_seed};

const QUOTES: usize = 1_600;
const RATE: usize = 1_200;

fn admin(cluster: &Cluster) -> AdminClient<DefaultClientContext> {
    rdkafka::ClientConfig::new().set("bootstrap.servers", &cluster.kafka.brokers).create().expect("a client")
}

fn end_of(cluster: &Cluster, partition: u32) -> u64 {
    let reader = Reader::open(&cluster.kafka, Topic::Quotes).expect("a reader");
    reader.range(partition.cast_signed()).expect("the ends").1
}

/// A log that was decided, with a checkpoint, and nobody at work.
fn at_rest(seed: u64) -> (Cluster, Told) {
    let cluster = Cluster::start();
    let mut service = cluster.serve();
    let told = cluster.feed(disorder(seed, quotes(seed, QUOTES / 2)), RATE).finish();
    check(&cluster, &told, &[&service]);
    service.kill();
    (cluster, told)
}

fn await_stopped(service: &Instance, partition: u32) {
    let wanted = format!("partition {partition} is stopped: LOG_REGRESSION");
    until("the partition is stopped", || service.get("/readyz").is_some_and(|(_, said)| said.contains(&wanted)));
}

#[test]
fn truncated_past_the_checkpoint() {
    each_seed("Kafka log truncated past the checkpoint", |seed| {
        let (cluster, mut told) = at_rest(seed);
        let partition = (seed % u64::from(PARTITIONS)) as u32;
        told.acknowledged.extend(cluster.feed(disorder(seed + 100, quotes(seed + 100, QUOTES)), RATE).finish().acknowledged);
        let stored = cluster.manifest(partition).expect("a checkpoint").next_offset;
        let mut cut = TopicPartitionList::new();
        let at = Offset::Offset((stored + 5).cast_signed());
        cut.add_partition_offset(&cluster.kafka.topics.quotes, partition.cast_signed(), at).expect("added");
        let deleted = block_on(admin(&cluster).delete_records(&cut, &AdminOptions::new())).expect("deleted");
        assert_eq!(deleted.elements()[0].offset(), at);
        let service = cluster.spawn(&[]);
        await_stopped(&service, partition);
        let others = BTreeSet::from_iter((0..PARTITIONS).filter(|other| *other != partition));
        await_caught_up(&cluster, &others);
        assert_eq!(cluster.manifest(partition).expect("stays").next_offset, stored);
        Outcome { fired: 1, compared: compare(&cluster, &told, &others) }
    });
}

#[test]
fn made_anew_and_filled_past_the_checkpoint() {
    each_seed("Kafka topic re-created and filled past the checkpoint", |seed| {
        let (cluster, _) = at_rest(seed);
        let emitted = |cluster: &Cluster| -> u64 {
            let reader = Reader::open(&cluster.kafka, Topic::Decisions).expect("a reader");
            (0..PARTITIONS).map(|partition| reader.range(partition.cast_signed()).expect("the ends").1).sum()
        };
        let (topic, before) = (cluster.kafka.topics.quotes.clone(), emitted(&cluster));
        let deleted = block_on(admin(&cluster).delete_topics(&[&topic], &AdminOptions::new())).expect("answered");
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
        let admin = admin(&cluster);
        until("the topic is there again", || {
            let new = NewTopic::new(&topic, PARTITIONS.cast_signed(), TopicReplication::Fixed(1));
            let new = new.set("message.timestamp.type", "LogAppendTime").set("retention.ms", "-1");
            block_on(admin.create_topics(&[new], &AdminOptions::new())).expect("answered").iter().all(Result::is_ok)
        });
        cluster.feed(disorder(seed + 100, quotes(seed + 100, QUOTES * 2)), RATE).finish();
        let stored: Vec<u64> = (0..PARTITIONS).map(|p| cluster.manifest(p).expect("stored").next_offset).collect();
        for (partition, stored) in (0..).zip(&stored) {
            assert!(end_of(&cluster, partition) > *stored, "partition {partition} is filled past the checkpoint");
        }
        let service = cluster.spawn(&[]);
        (0..PARTITIONS).for_each(|partition| await_stopped(&service, partition));
        assert_eq!(emitted(&cluster), before, "nothing of the other log was decided");
        let now: Vec<u64> = (0..PARTITIONS).map(|p| cluster.manifest(p).expect("stored").next_offset).collect();
        assert_eq!(now, stored, "and the checkpoints are as they were");
        Outcome { fired: u64::from(PARTITIONS), compared: Compared::default() }
    });
}
