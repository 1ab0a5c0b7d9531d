//! A Redis that dies, hangs, forgets and goes back in time. Decisions go on, and the checkpoint is whole again by itself.

use std::process::Command;
use std::time::Duration;

use super::check::{Compared, check};
use super::cluster::{Cluster, Detours, Feed, PARTITIONS, until};
use super::workload::{disorder, quotes};
use super::{Outcome, each_seed};
use crate::servers::{Kind, Private, kafka, run};

const QUOTES: usize = 2_400;
const RATE: usize = 800;
/// Longer than a question to Redis is waited for.
const FROZEN: Duration = Duration::from_secs(4);

/// Breaks the Redis under a service at work - `fault` says what it broke -, then lets another process go on from what is stored.
fn breaks(seed: u64, settings: &[&str], fault: impl Fn(&Cluster, &Feed) -> u64) -> Outcome {
    let cluster = Cluster::start_on(kafka(), Private::start(Kind::Redis, settings), &Detours::default());
    let mut service = cluster.serve();
    let records = disorder(seed, quotes(seed, QUOTES));
    let (now, later) = records.split_at(records.len() * 3 / 4);
    let feed = cluster.feed(now.to_vec(), RATE);
    feed.await_share(30);
    until("checkpoints are stored", || (0..PARTITIONS).all(|partition| cluster.manifest(partition).is_some()));
    let fired = fault(&cluster, &feed);
    let mut told = feed.finish();
    let before = check(&cluster, &told, &[&service]);
    service.kill();
    let service = cluster.serve();
    told.acknowledged.extend(cluster.feed(later.to_vec(), RATE).finish().acknowledged);
    let after = check(&cluster, &told, &[&service]);
    Outcome { fired, compared: Compared { decisions: before.decisions + after.decisions, ..after } }
}

fn ask(cluster: &Cluster, args: &[&str]) -> String {
    run(Command::new("redis-cli").args(["-u", &cluster.redis.url()]).args(args)).trim().to_owned()
}

fn keys(cluster: &Cluster) -> u64 {
    ask(cluster, &["dbsize"]).parse().expect("a number")
}

#[test]
#[ignore = "make test-faults"]
fn killed() {
    each_seed("Redis: kill -9, back after a second", |seed| {
        breaks(seed, &["appendfsync always"], |cluster, feed| {
            cluster.redis.kill();
            feed.await_share(60);
            cluster.redis.restart();
            1
        })
    });
}

#[test]
fn emptied() {
    each_seed("Redis: FLUSHALL", |seed| {
        breaks(seed, &[], |cluster, feed| {
            let mut lost = keys(cluster);
            ask(cluster, &["flushall"]);
            feed.await_share(60);
            lost += keys(cluster);
            ask(cluster, &["flushall"]);
            lost
        })
    });
}

#[test]
#[ignore = "make test-faults"]
fn without_a_file() {
    each_seed("Redis: appendonly off, kill -9, back empty", |seed| {
        breaks(seed, &["appendonly no"], |cluster, _| {
            let before = keys(cluster);
            cluster.redis.kill();
            cluster.redis.restart();
            before
        })
    });
}

#[test]
fn rewound() {
    each_seed("Redis: rewound to an older copy of its data", |seed| {
        breaks(seed, &["appendfsync always"], |cluster, feed| {
            let copy = cluster.redis.save();
            feed.await_share(60);
            cluster.redis.rewind(&copy);
            1
        })
    });
}

#[test]
#[ignore = "make test-faults"]
fn frozen() {
    each_seed("Redis: frozen for 4 s", |seed| {
        breaks(seed, &[], |cluster, _| {
            cluster.redis.freeze();
            std::thread::sleep(FROZEN);
            cluster.redis.thaw();
            1
        })
    });
}

/// The service is started on a store that was rewound while it was away.
#[test]
#[ignore = "make test-faults"]
fn rewound_under_a_dead_service() {
    each_seed("Redis: rewound while the service was dead", |seed| {
        let cluster = Cluster::start_on(kafka(), Private::start(Kind::Redis, &["appendfsync always"]), &Detours::default());
        let mut service = cluster.serve();
        let feed = cluster.feed(disorder(seed, quotes(seed, QUOTES)), RATE);
        let next = |cluster: &Cluster| cluster.manifest(0).map_or(0, |manifest| manifest.next_offset);
        until("a checkpoint is stored", || next(&cluster) > 0);
        let copy = cluster.redis.save();
        let older = next(&cluster);
        until("a later one is stored", || next(&cluster) > older);
        service.kill();
        let newer = next(&cluster);
        cluster.redis.rewind(&copy);
        let rewound = next(&cluster);
        let service = cluster.serve();
        let compared = check(&cluster, &feed.finish(), &[&service]);
        Outcome { fired: u64::from(rewound < newer), compared }
    });
}
