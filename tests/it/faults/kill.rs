//! `kill -9` of the service at each step between produce, emit, checkpoint and rebalance, and of whole instances.

use quoteguard::engine::normalise::hash64;

use super::check::check;
use super::cluster::{Cluster, Told, until};
use super::workload::{Record, disorder, quotes, tenants};
use super::{Outcome, each_seed};
use crate::quotes::Lcg;

const QUOTES: usize = 1_600;
const RATE: usize = 800;

/// Passages of a point at which the process dies, one after the other: the first ones, and somewhere in the stream.
fn passages(seed: u64, point: &str, most: u64) -> [u64; 2] {
    let mut random = Lcg(seed ^ hash64(point.as_bytes()));
    [1 + random.below(4.min(most)), 1 + random.below(most)]
}

/// Dies at a point, is started again, dies at another passage, and is started for good; each of them has a third of the quotes.
fn dies_at(seed: u64, point: &str, most: u64) -> Outcome {
    let cluster = Cluster::start();
    let log = cluster.path("faults.log");
    let mut parts = thirds(disorder(seed, quotes(seed, QUOTES))).into_iter();
    let mut told = Told::default();
    for (passage, part) in passages(seed, point, most).into_iter().zip(parts.by_ref()) {
        let wanted = format!("{point}:{passage}");
        let mut doomed = cluster.spawn(&[("QUOTEGUARD_FAULT", &wanted), ("QUOTEGUARD_FAULT_LOG", &log)]);
        let feed = cluster.feed(part, RATE);
        doomed.await_death();
        told.acknowledged.extend(feed.finish().acknowledged);
    }
    let service = cluster.serve();
    told.acknowledged.extend(cluster.feed(parts.next().expect("a third one"), RATE).finish().acknowledged);
    let compared = check(&cluster, &told, &[&service]);
    Outcome { fired: fired(&cluster), compared }
}

fn thirds(mut records: Vec<Record>) -> [Vec<Record>; 3] {
    let last = records.split_off(records.len() * 2 / 3);
    let second = records.split_off(records.len() / 2);
    [records, second, last]
}

fn fired(cluster: &Cluster) -> u64 {
    cluster.read("faults.log").split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64
}

/// Passages that each process has for sure: of records, and of what each partition does once.
const OF_RECORDS: u64 = 300;
const OF_PARTITIONS: u64 = 4;

fn each_point(points: &[(&str, u64)]) {
    for (point, most) in points {
        each_seed(&format!("kill -9 of the service: {point}"), |seed| dies_at(seed, point, *most));
    }
}

#[test]
fn between_emission_and_checkpoint() {
    each_point(&[("emitted", OF_RECORDS), ("saved", OF_PARTITIONS)]);
}

#[test]
#[ignore = "make test-faults"]
fn at_every_other_step_of_a_partition() {
    each_point(&[("assigned", OF_PARTITIONS), ("claimed", OF_PARTITIONS), ("loaded", OF_PARTITIONS)]);
    each_point(&[("stepped", OF_RECORDS), ("acknowledged", OF_RECORDS), ("cut", OF_PARTITIONS)]);
}

/// The other instance dies in the middle of giving partitions away.
#[test]
fn while_partitions_are_given_away() {
    for point in ["revoked", "last_saved"] {
        each_seed(&format!("kill -9 of the service: {point}"), |seed| {
            let cluster = Cluster::start();
            let log = cluster.path("faults.log");
            let wanted = format!("{point}:{}", 1 + seed % 2);
            let feed = cluster.feed(disorder(seed, quotes(seed, QUOTES)), RATE);
            let mut doomed = cluster.spawn(&[("QUOTEGUARD_FAULT", &wanted), ("QUOTEGUARD_FAULT_LOG", &log)]);
            doomed.await_ready();
            feed.await_share(20);
            // On a busy machine a member may lose its partitions without a word, and none is given away.
            while doomed.ended().is_none() {
                cluster.serve().stop();
            }
            let service = cluster.serve();
            let compared = check(&cluster, &feed.finish(), &[&service]);
            Outcome { fired: fired(&cluster), compared }
        });
    }
}

/// Between the append of an HTTP quote and its answer: the submitter asks again, and it counts once.
#[test]
fn before_a_submitter_is_answered() {
    each_seed("kill -9 of the service: appended, before the answer", |seed| {
        let cluster = Cluster::start();
        let log = cluster.path("faults.log");
        let wanted = format!("appended:{}", 10 + seed % 20);
        let mut service = cluster.spawn(&[("QUOTEGUARD_FAULT", &wanted), ("QUOTEGUARD_FAULT_LOG", &log)]);
        service.await_ready();
        let mut answered = 0;
        for number in 0..60 {
            let mut form = crate::quotes::quote_at(&format!("http-{seed}-{number}"), time::OffsetDateTime::now_utc(), number / 6);
            form["tenant"] = tenants()[number as usize % 8].as_str().into();
            form["vehicle"]["vin"] = format!("XTA219010K{:07}", number * 7_919).into();
            let form = form.to_string();
            until("the quote is answered", || match service.check(form.as_bytes()) {
                Some((200, _)) => true,
                _ => {
                    if service.ended().is_some() {
                        service = cluster.serve();
                    }
                    false
                }
            });
            answered += 1;
        }
        let compared = check(&cluster, &Told::default(), &[&service]);
        assert_eq!(compared.decisions - compared.amendments, answered, "each submitted quote has one decision");
        Outcome { fired: fired(&cluster), compared }
    });
}

#[test]
#[ignore = "make test-faults"]
fn instances_one_after_the_other() {
    each_seed("kill -9 of one of two instances, again and again", |seed| {
        let cluster = Cluster::start();
        let feed = cluster.feed(disorder(seed, quotes(seed, QUOTES * 2)), RATE);
        let mut instances = [cluster.serve(), cluster.serve()];
        for round in 1..=3u64 {
            feed.await_share(25 * round as usize);
            let victim = &mut instances[((seed + round) % 2) as usize];
            victim.kill();
            *victim = cluster.serve();
        }
        let compared = check(&cluster, &feed.finish(), &[&instances[0], &instances[1]]);
        Outcome { fired: 3, compared }
    });
}
