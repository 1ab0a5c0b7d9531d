//! What must hold after every fault: the topics hold what a single-threaded replay of the log gives, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use quoteguard::adapters::kafka::{From, Reader, Topic, read};
use quoteguard::contract::kafka::{ANSWERS, DECISION_ID, ERROR, REVISION, SOURCE_OFFSET, SOURCE_PARTITION};
use serde_json::Value;

use super::cluster::{Cluster, PARTITIONS, Told, until};
use super::instance::Instance;

/// Decision id and revision.
type DecisionKey = (String, u64);
/// Partition and offset of a record of `quotes`.
type Place = (u32, u64);

/// A header's text by its name, empty when missing.
type Header<'a> = &'a dyn Fn(&str) -> String;

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    pub decisions: usize,
    /// Of these, how many are amendments.
    pub amendments: usize,
    /// Records of `decisions` that repeat one before them, byte for byte.
    pub copies: usize,
}

/// The decisions of a replay.
struct Oracle {
    decisions: BTreeMap<DecisionKey, Vec<u8>>,
    /// Place of the quote by id of its decision.
    places: BTreeMap<String, Place>,
    /// Error and bytes.
    rejects: BTreeMap<Place, (String, Value)>,
    /// Next offset and digest of what is held, by partition.
    ends: BTreeMap<u32, (u64, u64)>,
}

/// Waits until everything is decided and checkpointed, then compares it with the replay.
pub fn check(cluster: &Cluster, told: &Told, instances: &[&Instance]) -> Compared {
    await_caught_up(cluster, &BTreeSet::from_iter(0..PARTITIONS));
    instances.iter().for_each(|instance| instance.check_bounds());
    let compared = compare(cluster, told, &BTreeSet::from_iter(0..PARTITIONS));
    for instance in instances {
        assert_eq!(instance.metric("quoteguard_replay_divergence_total", ""), 0.0, "what was emitted is what is computed");
    }
    compared
}

/// Waits until the checkpoints of these partitions stand at the ends of the log. A checkpoint is never past what is emitted.
pub fn await_caught_up(cluster: &Cluster, partitions: &BTreeSet<u32>) {
    let reader = Reader::open(&cluster.kafka, Topic::Quotes).expect("a reader");
    for partition in partitions {
        let mut seen = (None, 0);
        let caught_up = || {
            // A client that has just seen its broker stand still says for a while that it knows no such partition.
            let Ok((_, end)) = reader.range(partition.cast_signed()) else { return false };
            seen = (cluster.manifest(*partition).map(|manifest| manifest.next_offset), end);
            seen.0.unwrap_or(0) == end
        };
        until("the lag is 0", caught_up);
    }
}

/// Compares what these partitions have emitted with the replay of the log.
pub fn compare(cluster: &Cluster, told: &Told, partitions: &BTreeSet<u32>) -> Compared {
    let oracle = Oracle::of(cluster);
    for partition in partitions {
        let manifest = cluster.manifest(*partition).expect("a checkpoint");
        assert_eq!((manifest.next_offset, manifest.digest), oracle.ends[partition], "state of partition {partition}");
    }
    let mut found = BTreeSet::new();
    let mut settled: BTreeSet<Place> = BTreeSet::new();
    let mut compared = Compared::default();
    for partition in partitions {
        read_all(cluster, Topic::Decisions, *partition, |header, value| {
            let key = (header(DECISION_ID), header(REVISION).parse().expect("a number"));
            let expected = oracle.decisions.get(&key).unwrap_or_else(|| panic!("{key:?} is no decision of the replay"));
            let is_same = match header(ANSWERS).split_once('/') {
                Some((of, offset)) => {
                    settled.insert((of.parse().expect("a number"), offset.parse().expect("a number")));
                    is_restated(value, expected)
                }
                None => {
                    assert_eq!(oracle.places[&key.0], (*partition, header(SOURCE_OFFSET).parse().expect("a number")));
                    value == expected
                }
            };
            let text = String::from_utf8_lossy;
            assert!(is_same, "{key:?} differs:\n{}\nreplayed:\n{}", text(value), text(expected));
            compared.copies += usize::from(!found.insert(key));
        });
    }
    let of_ours = |(id, _): &&DecisionKey| partitions.contains(&oracle.places[id].0);
    let expected: BTreeSet<DecisionKey> = oracle.decisions.keys().filter(of_ours).cloned().collect();
    let missing: Vec<_> = expected.difference(&found).take(3).collect();
    assert!(missing.is_empty() && found.len() == expected.len(), "{} of {}: {missing:?}", found.len(), expected.len());
    settled.extend(oracle.places.values());
    settled.extend(check_dead_letters(cluster, &oracle, partitions));
    let lost: Vec<_> = told.acknowledged.iter().filter(|at| partitions.contains(&at.0) && !settled.contains(at)).collect();
    assert!(lost.is_empty(), "{} acknowledged records have no decision: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    compared.decisions = found.len();
    compared.amendments = found.iter().filter(|(_, revision)| *revision > 1).count();
    compared
}

/// Whether a decision that is told again says what stands. Over a saturated block what was counted then cannot be counted again:
/// `truncated` says so, and the numbers and reasons beside the verdict are others.
fn is_restated(told: &[u8], standing: &[u8]) -> bool {
    let parse = |text: &[u8]| serde_json::from_slice::<Value>(text).expect("JSON");
    let (told_now, standing_now) = (parse(told), parse(standing));
    let is_recounted = told_now["flags"].as_array().expect("a list").iter().any(|flag| flag == "truncated");
    let kept = ["decision_id", "revision", "decision", "answer", "referral_id", "position", "cause"];
    told == standing || (is_recounted && kept.iter().all(|name| told_now[name] == standing_now[name]))
}

/// Places of the records that are dead letters: those of the replay, with the same words and bytes.
fn check_dead_letters(cluster: &Cluster, oracle: &Oracle, partitions: &BTreeSet<u32>) -> BTreeSet<Place> {
    let mut found = BTreeMap::new();
    read_all(cluster, Topic::DeadLetters, 0, |header, value| {
        let number = |name| header(name).parse::<u64>().expect("a number");
        let at = (number(SOURCE_PARTITION) as u32, number(SOURCE_OFFSET));
        let raw = std::str::from_utf8(value).map_or(Value::Null, Value::from);
        found.insert(at, (header(ERROR), raw));
    });
    for partition in partitions {
        let of = |letters: &BTreeMap<Place, (String, Value)>| {
            letters.range((*partition, 0)..(*partition + 1, 0)).map(|(at, told)| (*at, told.clone())).collect::<Vec<_>>()
        };
        assert_eq!(of(&found), of(&oracle.rejects), "dead letters of partition {partition}");
    }
    found.into_keys().collect()
}

/// Headers and value of every record.
fn read_all(cluster: &Cluster, topic: Topic, partition: u32, mut each: impl FnMut(Header<'_>, &[u8])) {
    let done = read(&cluster.kafka, topic, partition.cast_signed(), From::Beginning, &mut |record| {
        let header = |name: &str| String::from_utf8_lossy(record.header(name).unwrap_or_default()).into_owned();
        each(&header, record.value().unwrap_or_default());
        ControlFlow::Continue(())
    });
    done.expect("read");
}

impl Oracle {
    /// By the command that people use, on the log as it is in the topic.
    fn of(cluster: &Cluster) -> Oracle {
        let report = cluster.replay(&["--topic", &cluster.kafka.topics.quotes, "--decisions", "oracle.jsonl"]).report;
        let mut oracle =
            Oracle { decisions: BTreeMap::new(), places: BTreeMap::new(), rejects: BTreeMap::new(), ends: ends(&report) };
        let mut ids = BTreeSet::new();
        let decisions = cluster.read("oracle.jsonl");
        for line in decisions.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let decision: Value = serde_json::from_slice(line).expect("JSON");
            let text = |name: &str| decision[name].as_str().expect("text").to_owned();
            let number = |value: &Value| value.as_u64().expect("a number");
            let (id, revision) = (text("decision_id"), number(&decision["revision"]));
            let position = &decision["position"];
            oracle.places.insert(id.clone(), (number(&position["partition"]) as u32, number(&position["offset"])));
            if revision == 1 {
                assert!(ids.insert((text("tenant"), text("quote_id"))), "one decision for each quote: {id}");
            }
            assert!(oracle.decisions.insert((id, revision), line.to_vec()).is_none(), "each revision once");
        }
        for line in cluster.read("oracle.rejects.jsonl").split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let reject: Value = serde_json::from_slice(line).expect("JSON");
            let (_, partition) = reject["file"].as_str().and_then(|file| file.rsplit_once('/')).expect("topic/partition");
            let at = (partition.parse().expect("a number"), reject["line"].as_u64().expect("a number") - 1);
            oracle.rejects.insert(at, (reject["error"].as_str().expect("text").to_owned(), reject["raw"].clone()));
        }
        oracle
    }
}

/// Next offset and digest of what is held, as the replay reports them.
pub fn ends(report: &str) -> BTreeMap<u32, (u64, u64)> {
    let end = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let digest = u64::from_str_radix(columns[5], 16).expect("a digest");
        (columns[0].parse().expect("a partition"), (columns[4].parse().expect("an offset"), digest))
    };
    report.lines().skip(1).map(end).collect()
}
