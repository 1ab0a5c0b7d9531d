//! What producers do.

use super::check::check;
use super::cluster::{Cluster, Told};
use super::workload::{disorder, poisoned, quotes};
use super::{Outcome, each_seed};
use crate::java;

const QUOTES: usize = 3_000;
const RATE: usize = 1_500;

#[test]
fn poison_goes_to_the_dead_letters_and_the_partition_goes_on() {
    each_seed("poison: bad JSON, UTF-8, keys, 1 MB, nulls, pointers", |seed| {
        let cluster = Cluster::start();
        let service = cluster.serve();
        let told = cluster.feed(poisoned(seed, quotes(seed, QUOTES)), RATE).finish();
        let compared = check(&cluster, &told, &[&service]);
        Outcome { fired: service.metric("quoteguard_dead_letters_total", "") as u64, compared }
    });
}

#[test]
fn disorder_changes_no_decision() {
    each_seed("duplicates, reordering, late floods, reused ids", |seed| {
        let cluster = Cluster::start();
        let service = cluster.serve();
        let told = cluster.feed(disorder(seed, quotes(seed, QUOTES)), RATE).finish();
        let compared = check(&cluster, &told, &[&service]);
        Outcome { fired: service.metric("quoteguard_duplicate_quotes_total", "") as u64, compared }
    });
}

#[test]
fn a_java_producer_meets_the_same_partitions() {
    each_seed("quotes of a Java producer, keys by its own partitioner", |seed| {
        let cluster = Cluster::start();
        let service = cluster.serve();
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.expect("given")).expect("text");
        let lines = disorder(seed, quotes(seed, 800)).into_iter().map(|record| (text(record.key), text(record.value)));
        let lines: String = lines.map(|(key, value)| format!("{key}\t{value}\n")).collect();
        let sent = java::client(&cluster.kafka.brokers, &["produce", &cluster.kafka.topics.quotes], &lines);
        let place = |record: &serde_json::Value| {
            let number = |name: &str| record[name].as_u64().expect("a number");
            (number("partition") as u32, number("offset"))
        };
        let told = Told { acknowledged: sent.iter().map(place).collect(), unknown: 0 };
        let compared = check(&cluster, &told, &[&service]);
        assert_eq!(service.metric("quoteguard_dead_letters_total", "misrouted"), 0.0);
        Outcome { fired: sent.len() as u64, compared }
    });
}
