//! Instances go and come while quotes are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use loadtest::generate::write;
use loadtest::http::{Detail, Load, Options, Outcome, drive_with};
use loadtest::plan::{Config, Mix};
use loadtest::template;
use quoteguard::adapters::kafka::{From, RawRecord, Topic, read};
use serde_json::Value;

use super::{Shell, commands};
use crate::faults::cluster::{Cluster, PARTITIONS, until};

/// Enough for all that waits while partitions move.
const CONNECTIONS: usize = 1_000;
/// A stop may take so long.
const STOP_MAX: Duration = Duration::from_secs(10);

#[test]
fn instances_are_taken_out_and_upgraded_while_quotes_come() {
    // A debug build on a machine that runs other tests as well.
    roll(40.0, 30, Duration::from_secs(5));
}

#[test]
#[ignore = "make drills"]
fn instances_are_taken_out_and_upgraded_at_a_thousand_a_second() {
    roll(1_000.0, 90, Duration::from_secs(2));
}

/// No answer takes longer than `answer_max`.
fn roll(rate: f64, secs: u64, answer_max: Duration) {
    let cluster = Cluster::start();
    let mut shell = Shell::open(&cluster, "http.answer_timeout_ms = 10000\n", &[]);
    shell.run(&commands("Start"));
    let urls = shell.urls.clone().map(|url| format!("{url}/v1/quotes/check"));
    let driving = thread::spawn(move || drive(&urls, rate, secs));
    let began = Instant::now();
    for drill in ["Take an instance out", "Upgrade, or roll back"] {
        let began = Instant::now();
        shell.run(&commands(drill));
        eprintln!("{drill}: {:.1} s", began.elapsed().as_secs_f64());
    }
    assert!(began.elapsed() < Duration::from_secs(secs), "the drills have outlasted the load: {:?}", began.elapsed());
    let (outcome, detail) = driving.join().expect("no panic");
    eprintln!("{outcome}\n{} requests went to the other instance", detail.moved);
    assert_eq!(outcome.errors, BTreeMap::new(), "every check is answered with its decision");
    assert!(detail.moved > 0, "instances went away");
    nothing_is_lost_or_doubled(&cluster, &detail);
    assert!(outcome.latency.max_ms < answer_max.as_secs_f64() * 1e3, "{}", outcome.latency);

    let began = Instant::now();
    shell.run(&commands("Stop"));
    assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());
}

fn drive(urls: &[String; 2], rate: f64, secs: u64) -> (Outcome, Detail) {
    let mut quotes = Vec::new();
    let config = Config { seed: 21, quotes: 20_000, mix: Mix::Normal, days: 29, tenants: 8 };
    write(&config, &mut quotes, &mut Vec::new()).expect("in memory");
    let load = Load { url: urls[0].clone(), api_key: None, rate, secs, connections: CONNECTIONS, saturate: false, as_is: false };
    let options = Options { others: vec![urls[1].clone()], no_drain: false };
    drive_with(&load, &options, &quotes[..]).expect("the instances are there")
}

fn nothing_is_lost_or_doubled(cluster: &Cluster, detail: &Detail) {
    let sent: BTreeSet<String> = detail.accepted.iter().map(|number| template::id(detail.run, *number)).collect();
    assert_eq!(sent.len(), detail.accepted.len());
    let mut found = decisions(cluster);
    until("all of them are on the topic", || {
        found = decisions(cluster);
        found.len() >= sent.len()
    });
    let lost: Vec<_> = sent.iter().filter(|id| !found.contains_key(*id)).collect();
    let doubled: Vec<_> = found.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(lost.is_empty() && doubled.is_empty(), "lost: {lost:?}, decided twice: {doubled:?}");
    assert_eq!(found.len(), sent.len(), "nothing but what was sent");
    eprintln!("{} quotes, each decided once", sent.len());
}

/// Ids of the decisions of each quote.
fn decisions(cluster: &Cluster) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for partition in 0..PARTITIONS.cast_signed() {
        let take = &mut |record: &RawRecord<'_>| {
            let decision: Value = serde_json::from_slice(record.value().expect("a decision")).expect("JSON");
            let text = |name: &str| decision[name].as_str().expect("text").to_owned();
            found.entry(text("quote_id")).or_default().insert(text("decision_id"));
            ControlFlow::Continue(())
        };
        read(&cluster.kafka, Topic::Decisions, partition, From::Beginning, take).expect("reads");
    }
    found
}
