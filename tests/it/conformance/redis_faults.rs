//! Redis loses what it had, goes back in time, stops answering, or is written by two.

use std::time::{Duration, Instant};

use quoteguard::adapters::redis::{Options, RedisCheckpoints};
use quoteguard::pipeline::StoreError;
use quoteguard::pipeline::checkpoint::{CheckpointError, Checkpoints};
use redis::Commands;

use super::redis::{checkpoints, key, manifest, options, plain, read};
use super::{NEVER, deltas, joined, segment};
use crate::oracle::random::Random;
use crate::servers::{Kind, Private};

const EACH: usize = 30;

/// For a server that will not answer.
fn impatient(server: &Private) -> Options {
    Options { response_timeout: Duration::from_secs(1), ..options(server) }
}

/// One checkpoint further, by one segment.
fn advance(store: &mut RedisCheckpoints, base: u64, next: u64) -> Result<(), CheckpointError> {
    store.append((base > 0).then_some(base), &[segment(base, next, 5, EACH)], NEVER, &manifest(next, 1))
}

fn assert_holds(store: &mut RedisCheckpoints, next: u64) {
    assert_eq!(joined(&read(store).expect("reads")), (0, next, deltas(0, next, EACH)));
    assert_eq!(store.manifest().expect("reads"), Some(manifest(next, 1)));
}

#[test]
fn a_server_that_went_back_in_time_is_brought_forward_again() {
    let server = Private::start(Kind::Redis, &["appendfsync always"]);
    let mut store = checkpoints(&options(&server), 0);
    for next in 1..=5 {
        advance(&mut store, next - 1, next).expect("written");
    }
    let copy = server.save();
    for next in 6..=9 {
        advance(&mut store, next - 1, next).expect("written");
    }
    server.rewind(&copy);
    // The first command finds the connection dead, the next the copy.
    let mut rewound = advance(&mut store, 9, 10);
    if matches!(rewound, Err(CheckpointError::Store(StoreError::Unavailable(_)))) {
        rewound = advance(&mut store, 9, 10);
    }
    assert!(matches!(rewound, Err(CheckpointError::Rewound { stored: Some(5) })), "{rewound:?}");
    let since: Vec<_> = (5..10).map(|from| segment(from, from + 1, 5, EACH)).collect();
    store.append(Some(5), &since, NEVER, &manifest(10, 1)).expect("written");
    assert_holds(&mut store, 10);
}

#[test]
fn an_emptied_server_gets_a_whole_checkpoint() {
    let server = Private::start(Kind::Redis, &[]);
    let mut store = checkpoints(&options(&server), 0);
    advance(&mut store, 0, 3).expect("written");
    redis::cmd("FLUSHALL").exec(&mut plain(&server)).expect("emptied");
    assert!(matches!(advance(&mut store, 3, 4), Err(CheckpointError::Rewound { stored: None })));
    store.replace(&mut [segment(0, 4, 5, EACH)].into_iter(), &manifest(4, 1)).expect("replaced");
    advance(&mut store, 4, 5).expect("written");
    assert_holds(&mut store, 5);
}

/// Keys restored one without the other, as no write of ours leaves them.
#[test]
fn half_a_checkpoint_is_noticed_by_writer_and_reader() {
    let server = Private::start(Kind::Redis, &[]);
    for (partition, half) in (0..).zip(["manifest", "segments"]) {
        let mut store = checkpoints(&options(&server), partition);
        let mut connection = plain(&server);
        advance(&mut store, 0, 3).expect("written");
        let mut saved = save(&mut connection, partition).expect("is there").to_vec();
        saved.retain(|(name, _)| *name == half);
        store.append(Some(3), &[super::large(3, 5)], NEVER, &manifest(4, 1)).expect("written");
        restore(&mut connection, partition, &saved);
        let lost = store.append(Some(4), &[segment(4, 5, 5, EACH)], NEVER, &manifest(5, 1)).expect_err("noticed");
        let expected = if half == "manifest" { Some(3) } else { None };
        assert!(matches!(lost, CheckpointError::Rewound { stored } if stored == expected), "{half}: {lost}");
        let damaged = read(&mut checkpoints(&options(&server), partition)).map(|_| ());
        assert!(matches!(damaged, Err(StoreError::Damaged(_))) || half == "manifest", "{half}: {damaged:?}");
        store.replace(&mut [segment(0, 5, 5, EACH)].into_iter(), &manifest(5, 1)).expect("replaced");
        assert_holds(&mut store, 5);
    }
}

#[test]
fn what_is_damaged_is_named_and_can_be_replaced() {
    let server = Private::start(Kind::Redis, &[]);
    let mut connection = plain(&server);
    for (partition, (name, command, args)) in (0..).zip([
        ("manifest", "SETRANGE", &["30", "x"][..]),
        ("manifest", "SET", &["quoteguard"]),
        ("segments", "LSET", &["0", "QGS"]),
        ("segments", "LPUSH", &["one too many"]),
        ("segments", "DEL", &[]),
    ]) {
        let mut store = checkpoints(&options(&server), partition);
        advance(&mut store, 0, 3).expect("written");
        redis::cmd(command).arg(key(partition, name)).arg(args).exec(&mut connection).expect("damaged");
        let mut other = checkpoints(&options(&server), partition);
        let error = read(&mut other).expect_err("damaged");
        assert!(matches!(&error, StoreError::Damaged(text) if text.contains(name.trim_end_matches('s'))), "{command}: {error}");
        other.replace(&mut [segment(0, 3, 5, EACH)].into_iter(), &manifest(3, 1)).expect("replaced");
        assert_holds(&mut other, 3);
    }
}

/// A timeout means "unknown": once it answers again, the write is there once, whether it had happened or not.
#[test]
fn a_write_without_an_answer_is_there_once() {
    let server = Private::start(Kind::Redis, &[]);
    let options = impatient(&server);
    let mut store = checkpoints(&options, 0);
    advance(&mut store, 0, 3).expect("written");
    server.freeze();
    let began = Instant::now();
    let unknown = advance(&mut store, 3, 4);
    // One answer that does not come, one connection that is not accepted, one more answer.
    let most = 2 * options.response_timeout + options.connect_timeout + Duration::from_secs(5);
    assert!(began.elapsed() < most, "{:?}", began.elapsed());
    assert!(
        matches!(&unknown, Err(CheckpointError::Store(StoreError::Unavailable(text))) if text.contains("no answer within")),
        "{unknown:?}"
    );
    // More has come together meanwhile.
    let unknown = store.append(Some(3), &[segment(3, 4, 5, EACH), segment(4, 6, 5, EACH)], NEVER, &manifest(6, 1));
    assert!(matches!(unknown, Err(CheckpointError::Store(StoreError::Unavailable(_)))), "{unknown:?}");
    server.thaw();
    let mut base = 3;
    for _ in 0..10 {
        let rest: Vec<_> =
            [(3, 4), (4, 6)].into_iter().filter(|(from, _)| *from >= base).map(|(from, to)| segment(from, to, 5, EACH)).collect();
        match store.append(Some(base), &rest, NEVER, &manifest(6, 1)) {
            Ok(()) => break,
            Err(CheckpointError::Rewound { stored: Some(stored) }) => base = stored,
            Err(CheckpointError::Store(StoreError::Unavailable(_))) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_holds(&mut store, 6);
    advance(&mut store, 6, 7).expect("written");
    assert_holds(&mut store, 7);
}

#[test]
fn a_replacement_without_an_answer_never_undoes_what_follows() {
    let server = Private::start(Kind::Redis, &[]);
    let mut store = checkpoints(&impatient(&server), 0);
    advance(&mut store, 0, 3).expect("written");
    server.freeze();
    let unknown = store.replace(&mut [segment(0, 4, 5, EACH)].into_iter(), &manifest(4, 1));
    assert!(matches!(unknown, Err(CheckpointError::Store(StoreError::Unavailable(_)))), "{unknown:?}");
    server.thaw();
    for next in [4, 5] {
        store.replace(&mut [segment(0, next, 5, EACH)].into_iter(), &manifest(next, 1)).expect("replaced");
    }
    advance(&mut store, 5, 6).expect("written");
    assert_holds(&mut store, 6);
}

/// Both keys of a checkpoint.
type Saved = [(&'static str, Vec<u8>); 2];

fn save(connection: &mut redis::Connection, partition: u32) -> Option<Saved> {
    let mut dump = |name| {
        let dumped = redis::cmd("DUMP").arg(key(partition, name)).query::<Option<Vec<u8>>>(connection).expect("dumped");
        Some((name, dumped?))
    };
    Some([dump("manifest")?, dump("segments")?])
}

fn restore(connection: &mut redis::Connection, partition: u32, saved: &[(&str, Vec<u8>)]) {
    for (name, dumped) in saved {
        let mut restore = redis::cmd("RESTORE");
        restore.arg(key(partition, name)).arg(0).arg(dumped).arg("REPLACE").exec(connection).expect("restored");
    }
}

/// Two owners who believe anything, a server that loses things: what is stored is always a whole checkpoint of the log.
#[test]
fn whatever_happens_the_stored_checkpoint_is_whole() {
    let server = Private::start(Kind::Redis, &[]);
    let mut connection = plain(&server);
    let (mut written, mut fenced, mut rewound, mut replaced) = (0, 0, 0, 0);
    for seed in 0..12 {
        let random = &mut Random::new(seed);
        let partition = seed as u32;
        let mut owners = [1, 2].map(|epoch| (checkpoints(&options(&server), partition), epoch, 0u64));
        let mut saved: Vec<Saved> = Vec::new();
        for step in 0..150 {
            let whose = random.below(2);
            let (store, epoch, base) = &mut owners[whose];
            match random.below(20) {
                0 => *store = checkpoints(&options(&server), partition),
                1 => *epoch += 2,
                2 => *base = store.manifest().expect("reads").map_or(0, |manifest| manifest.next_offset),
                3 => saved.extend(save(&mut connection, partition)),
                4 if !saved.is_empty() => restore(&mut connection, partition, &saved[random.below(saved.len())]),
                5 if random.percent(20) => {
                    connection.del::<_, ()>(&[key(partition, "manifest"), key(partition, "segments")]).expect("deleted");
                }
                6 => {
                    let next = *base + random.below(5) as u64 + 1;
                    let halves = [(0, next / 2), (next / 2, next)].into_iter().filter(|(from, to)| from < to);
                    let mut segments = halves.map(|(from, to)| segment(from, to, 5, EACH));
                    match store.replace(&mut segments, &manifest(next, *epoch)) {
                        Ok(()) => (*base, replaced) = (next, replaced + 1),
                        Err(CheckpointError::Fenced { .. }) => fenced += 1,
                        Err(other) => panic!("seed {seed} step {step}: {other}"),
                    }
                }
                _ => {
                    let next = *base + random.below(4) as u64;
                    let new = (next > *base).then(|| segment(*base, next, 5, EACH));
                    match store.append((*base > 0).then_some(*base), new.as_slice(), NEVER, &manifest(next, *epoch)) {
                        Ok(()) => (*base, written) = (next, written + 1),
                        Err(CheckpointError::Fenced { .. }) => fenced += 1,
                        Err(CheckpointError::Rewound { stored }) => (*base, rewound) = (stored.unwrap_or(0), rewound + 1),
                        Err(other) => panic!("seed {seed} step {step}: {other}"),
                    }
                }
            }
            let mut reader = checkpoints(&options(&server), partition);
            let held = read(&mut reader).unwrap_or_else(|error| panic!("seed {seed} step {step}: {error}"));
            let next = reader.manifest().expect("reads").map_or(0, |manifest| manifest.next_offset);
            assert_eq!(joined(&held), (0, next, deltas(0, next, EACH)), "seed {seed} step {step}");
        }
    }
    assert!(written > 300 && fenced > 30 && rewound > 30 && replaced > 30, "{written} {fenced} {rewound} {replaced}");
}
