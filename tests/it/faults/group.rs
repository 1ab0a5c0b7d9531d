//! Partitions that move between instances.

use std::ops::ControlFlow;
use std::time::Duration;

use quoteguard::adapters::kafka::{ControlRecord, From, Topic, read};

use super::check::check;
use super::cluster::{Cluster, PARTITIONS};
use super::workload::{disorder, quotes};
use super::{Outcome, each_seed};
use crate::quotes::Lcg;

const RATE: usize = 600;
/// Longer than the session: the others take the partitions meanwhile.
const ZOMBIE: Duration = Duration::from_secs(4);

/// How often partitions went to another owner: claims beyond the first ones.
fn moves(cluster: &Cluster) -> u64 {
    let mut claims = 0u64;
    read(&cluster.kafka, Topic::Control, 0, From::Beginning, &mut |record| {
        claims += u64::from(matches!(record.value().and_then(ControlRecord::parse), Some(ControlRecord::Claim { .. })));
        ControlFlow::Continue(())
    })
    .expect("read");
    claims - u64::from(PARTITIONS)
}

#[test]
fn a_zombie() {
    each_seed("SIGSTOP of an owner past its session, then SIGCONT", |seed| {
        let cluster = Cluster::start();
        let mut zombie = cluster.serve();
        let feed = cluster.feed(disorder(seed, quotes(seed, 6_000)), RATE);
        feed.await_share(20);
        let other = cluster.serve();
        feed.await_share(30 + seed as usize % 7);
        zombie.signal("STOP");
        std::thread::sleep(ZOMBIE);
        let taken = moves(&cluster);
        zombie.signal("CONT");
        let compared = check(&cluster, &feed.finish(), &[&other]);
        assert!(zombie.ended().is_none(), "it lives on");
        println!(
            "checkpoints of the zombie that were refused: {}",
            zombie.metric("quoteguard_checkpoint_failures_total", "fenced")
        );
        check(&cluster, &super::cluster::Told::default(), &[&zombie, &other]);
        Outcome { fired: taken, compared }
    });
}

#[test]
#[ignore = "make test-faults"]
fn instances_that_come_and_go() {
    each_seed("a second instance joins and leaves every 2 s", |seed| {
        let mut random = Lcg(seed);
        let cluster = Cluster::start();
        let service = cluster.serve();
        let feed = cluster.feed(disorder(seed, quotes(seed, 12_000)), RATE);
        for _ in 0..8 {
            let mut guest = cluster.spawn(&[]);
            std::thread::sleep(Duration::from_millis(1_500 + random.below(1_000)));
            match random.below(3) {
                0 => guest.kill(),
                _ => guest.stop(),
            }
        }
        let moves = moves(&cluster);
        let compared = check(&cluster, &feed.finish(), &[&service]);
        Outcome { fired: moves, compared }
    });
}
