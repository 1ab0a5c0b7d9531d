//! Links that delay, are cut and stand still, one at a time: from the service to the broker, and from the service to Redis.

use std::net::TcpListener;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::check::check;
use super::cluster::{Cluster, Detours};
use super::workload::{disorder, quotes};
use super::{Outcome, each_seed};
use crate::proxy::Proxy;
use crate::quotes::Lcg;
use crate::servers::{Kind, Private, kafka};

const QUOTES: usize = 2_000;
const RATE: usize = 500;
const DELAY: Duration = Duration::from_millis(150);
/// Past the session of the group's member, and past what an answer of Redis is waited for.
const HALF_OPEN: Duration = Duration::from_secs(4);
const RESETS: u64 = 6;

/// A link that is broken.
#[derive(Clone, Copy)]
enum Link {
    Kafka,
    Redis,
}

/// Servers whose clients of one kind go through a proxy.
struct Behind {
    /// Dropped last: the proxy lives on it.
    runtime: Runtime,
    proxy: Proxy,
    cluster: Cluster,
    broker: Option<Private>,
}

/// Ports that are free, below those that the system gives to outgoing connections.
fn free_ports(seed: u64) -> [u16; 3] {
    let mut random = Lcg(seed ^ u64::from(std::process::id()));
    let mut free = || loop {
        let port = 16_384 + random.below(16_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    };
    [free(), free(), free()]
}

fn behind(link: Link, seed: u64) -> Behind {
    let runtime = Runtime::new().expect("a runtime");
    let start = |upstream: String| runtime.block_on(Proxy::start(&upstream));
    match link {
        Link::Redis => {
            let redis = Private::start(Kind::Redis, &[]);
            let proxy = start(redis.address());
            let detours = Detours { redis: Some(format!("redis://{}", proxy.addr)), ..Detours::default() };
            let cluster = Cluster::start_on(kafka(), redis, &detours);
            Behind { runtime, proxy, cluster, broker: None }
        }
        Link::Kafka => {
            // Clients go where the broker says it is: a listener of its own for those behind the proxy.
            let ports @ [direct, controller, detour] = free_ports(seed);
            let proxy = start(format!("127.0.0.1:{detour}"));
            let listeners = format!("PLAINTEXT://127.0.0.1:{direct},BEHIND://127.0.0.1:{detour}");
            let settings = [
                format!("listeners={listeners},CONTROLLER://127.0.0.1:{controller}"),
                format!("advertised.listeners=PLAINTEXT://127.0.0.1:{direct},BEHIND://{}", proxy.addr),
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,BEHIND:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            ];
            let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
            let broker = Private::start_on(Kind::Kafka, &ports, &settings);
            let detours = Detours { kafka: Some(proxy.addr.to_string()), ..Detours::default() };
            let cluster = Cluster::start_on(&broker.address(), Private::start(Kind::Redis, &[]), &detours);
            Behind { runtime, proxy, cluster, broker: Some(broker) }
        }
    }
}

/// What the link does while quotes come in: 25 to 60 hundredths of them.
fn breaks(link: Link, seed: u64, fault: impl Fn(&Proxy), fired: impl Fn(&Proxy) -> u64) -> Outcome {
    let Behind { runtime, proxy, cluster, broker } = behind(link, seed);
    let service = cluster.serve();
    let feed = cluster.feed(disorder(seed, quotes(seed, QUOTES)), RATE);
    feed.await_share(25);
    fault(&proxy);
    feed.await_share(60);
    proxy.heal();
    let compared = check(&cluster, &feed.finish(), &[&service]);
    let fired = fired(&proxy);
    drop((service, cluster, broker));
    drop(proxy);
    drop(runtime);
    Outcome { fired, compared }
}

fn delayed(link: Link, seed: u64) -> Outcome {
    breaks(link, seed, |proxy| proxy.delay(DELAY), |proxy| proxy.count(|counts| &counts.delayed_chunks))
}

fn reset(link: Link, seed: u64) -> Outcome {
    let fault = |proxy: &Proxy| {
        for _ in 0..RESETS {
            proxy.reset();
            std::thread::sleep(Duration::from_millis(300 + seed % 5 * 40));
        }
    };
    breaks(link, seed, fault, |proxy| proxy.count(|counts| &counts.reset_connections))
}

fn half_open(link: Link, seed: u64) -> Outcome {
    let fault = |proxy: &Proxy| {
        proxy.half_open();
        std::thread::sleep(HALF_OPEN);
        proxy.heal();
    };
    breaks(link, seed, fault, |proxy| proxy.count(|counts| &counts.stalls))
}

#[test]
fn the_link_to_redis() {
    each_seed("link to Redis: 150 ms of delay each way", |seed| delayed(Link::Redis, seed));
    each_seed("link to Redis: reset six times", |seed| reset(Link::Redis, seed));
    each_seed("link to Redis: half-open for 4 s", |seed| half_open(Link::Redis, seed));
}

#[test]
#[ignore = "make test-faults"]
fn the_link_to_the_broker_is_cut() {
    each_seed("link to Kafka: reset six times", |seed| reset(Link::Kafka, seed));
}

#[test]
#[ignore = "make test-faults"]
fn the_link_to_the_broker_is_slow_or_stands_still() {
    each_seed("link to Kafka: 150 ms of delay each way", |seed| delayed(Link::Kafka, seed));
    each_seed("link to Kafka: half-open for 4 s", |seed| half_open(Link::Kafka, seed));
}
