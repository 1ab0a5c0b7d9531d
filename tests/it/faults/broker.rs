//! A broker that dies, hangs, and a log that is not the one it was.

use std::time::{Duration, Instant};

use super::check::check;
use super::cluster::{Cluster, Detours, Told, until};
use super::workload::{disorder, quotes};
use super::{Outcome, each_seed};
use crate::servers::{Kind, Private};

const QUOTES: usize = 3_000;
const RATE: usize = 600;
/// Past the session of the group's member.
const FROZEN: Duration = Duration::from_secs(5);
/// Past the time that the producer keeps a record.
const AWAY: Duration = Duration::from_secs(35);

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

/// Longer than a record is kept for a broker that is away: what nobody was promised may be lost, what somebody was is not.
#[test]
#[ignore = "make test-faults"]
fn away_while_checks_come_over_http() {
    each_seed("broker: away for 35 s, checks over HTTP", |seed| {
        let broker = Private::start(Kind::Kafka, &[]);
        let cluster = Cluster::start_on(&broker.address(), Private::start(Kind::Redis, &[]), &Detours::default());
        let service = cluster.serve();
        let (mut promised, mut refused) = (Vec::new(), 0);
        let mut submit = |id: String| {
            let form = crate::quotes::quote_at(&id, time::OffsetDateTime::now_utc(), seed).to_string();
            match service.check(form.as_bytes()) {
                Some((200 | 202, _)) => promised.push(id),
                Some((503, _)) => refused += 1,
                answer => panic!("{id}: {answer:?}"),
            }
        };
        (0..20).for_each(|number| submit(format!("before-{number}")));
        broker.freeze();
        let away = Instant::now();
        for number in 0.. {
            if away.elapsed() > AWAY {
                break;
            }
            submit(format!("during-{number}"));
            std::thread::sleep(Duration::from_millis(100));
        }
        broker.thaw();
        (0..20).for_each(|number| submit(format!("after-{number}")));
        for id in &promised {
            until("the promised decision is there", || {
                service.get(&format!("/v1/decisions/{id}")).is_some_and(|(status, _)| status == 200)
            });
        }
        until("checks are taken again", || service.get("/readyz").is_some_and(|(status, _)| status == 200));
        Outcome { fired: refused, compared: check(&cluster, &Told::default(), &[&service]) }
    });
}
