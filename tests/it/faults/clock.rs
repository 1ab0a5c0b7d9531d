//! A wall clock that is stepped under the service: no decision follows it, and what waits is not held up.

use std::process::Command;
use std::sync::LazyLock;

use super::check::check;
use super::cluster::{Cluster, until};
use super::workload::{disorder, quotes};
use super::{Outcome, each_seed};
use crate::servers::run;

const QUOTES: usize = 2_000;
const RATE: usize = 600;
const HOUR: i64 = 3_600;

/// `tests/c/clock.c`, compiled once.
static CLOCK: LazyLock<String> = LazyLock::new(|| {
    let library = concat!(env!("CARGO_TARGET_TMPDIR"), "/clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c/clock.c");
    run(Command::new("cc").args(["-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source, "-ldl"]));
    library.to_owned()
});

fn set(cluster: &Cluster, seconds: i64) {
    // In one step: a file half written would be another time.
    cluster.write("clock.new", &seconds.to_string());
    std::fs::rename(cluster.path("clock.new"), cluster.path("clock")).expect("renamed");
}

/// Steps that the process has seen.
fn seen(cluster: &Cluster) -> usize {
    cluster.read("steps").iter().filter(|byte| **byte == b'\n').count()
}

#[test]
fn of_the_service() {
    each_seed("wall clock of the service: an hour on, then two back", |seed| {
        let cluster = Cluster::start();
        set(&cluster, 0);
        let (clock, steps) = (cluster.path("clock"), cluster.path("steps"));
        let environment = [("LD_PRELOAD", CLOCK.as_str()), ("STEPPED_CLOCK", &clock), ("STEPPED_CLOCK_LOG", &steps)];
        let mut service = cluster.spawn(&environment);
        service.await_ready();
        let feed = cluster.feed(disorder(seed, quotes(seed, QUOTES)), RATE);
        for (number, share, step) in [(1, 25, HOUR), (2, 50, -HOUR)] {
            feed.await_share(share);
            set(&cluster, step);
            until("the service has the stepped time", || seen(&cluster) == number);
            // Partitions go to another instance and come back.
            let guest = cluster.serve();
            feed.await_share(share + 15);
            guest.stop();
        }
        let compared = check(&cluster, &feed.finish(), &[&service]);
        Outcome { fired: seen(&cluster) as u64, compared }
    });
}
