//! A broker that dies, hangs, and a log that is not the one it was.

use std::time::Duration;

use super::check::check;
use super::cluster::{Cluster, Detours};
use super::workload::{disorder, quotes};
use super::{Outcome, each_seed};
use crate::servers::{Kind, Private};

const QUOTES: usize = 3_000;
const RATE: usize = 600;
/// Past the session of the group's member.
const FROZEN: Duration = Duration::from_secs(5);

/// Breaks a broker of its own under a service at work.
fn breaks(seed: u64, fault: impl Fn(&Private)) -> Outcome {
    let broker = Private::start(Kind::Kafka, &[]);
    let cluster = Cluster::start_on(&broker.address(), Private::start(Kind::Redis, &[]), &Detours::default());
    let mut service = cluster.serve();
    let feed = cluster.feed(disorder(seed, quotes(seed, QUOTES)), RATE);
    feed.await_share(30);
    fault(&broker);
    let told = feed.finish();
    let compared = check(&cluster, &told, &[&service]);
    assert!(service.ended().is_none(), "it lives on");
    Outcome { fired: 1, compared }
}

#[test]
fn killed() {
    each_seed("broker: kill -9, restarted", |seed| {
        breaks(seed, |broker| {
            let before = broker.pid();
            broker.kill();
            broker.restart();
            assert_ne!(broker.pid(), before);
        })
    });
}

#[test]
#[ignore = "make test-faults"]
fn frozen() {
    each_seed("broker: frozen for 5 s", |seed| {
        breaks(seed, |broker| {
            broker.freeze();
            std::thread::sleep(FROZEN);
            broker.thaw();
        })
    });
}
