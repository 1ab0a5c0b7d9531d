//! Checkpoints in Redis: the common promises, and what only a store apart from the log must promise.

use std::cell::Cell;
use std::time::Duration;

use quoteguard::adapters::redis::{Options, RedisCheckpoints, check};
use quoteguard::engine::time::HOUR;
use quoteguard::pipeline::checkpoint::{CheckpointError, Checkpoints, Manifest};
use quoteguard::pipeline::{Segment, StoreError};
use redis::Commands;

use super::{NEVER, Subject, all, deltas, joined, large, segment};
use crate::servers::{Kind, Private, secure};

pub const LOG: &str = "0123456789abcdef0123456789abcdef";

pub fn options(server: &Private) -> Options {
    // Patient: the machine may be busy, and the server is not what is tested.
    Options { url: server.url(), response_timeout: Duration::from_secs(20), ..Options::default() }
}

pub fn checkpoints(options: &Options, partition: u32) -> RedisCheckpoints {
    RedisCheckpoints::new(options, LOG, partition).expect("good options")
}

pub fn key(partition: u32, name: &str) -> String {
    format!("quoteguard:{{{LOG}:{partition}}}:{name}")
}

pub fn manifest(next_offset: u64, epoch: u64) -> Manifest {
    Manifest { next_offset, epoch, digest: next_offset ^ 7, ..Manifest::default() }
}

pub fn read(store: &mut RedisCheckpoints) -> Result<Vec<Segment>, StoreError> {
    let mut found = Vec::new();
    let push = &mut |segment| {
        found.push(segment);
        Ok(())
    };
    store.segments(push)?;
    Ok(found)
}

pub fn plain(server: &Private) -> redis::Connection {
    redis::Client::open(server.url()).and_then(|client| client.get_connection()).expect("connects")
}

struct Redis<'a> {
    server: &'a Private,
    partition: u32,
    store: RedisCheckpoints,
    next: Option<u64>,
}

impl Subject for Redis<'_> {
    fn write(&mut self, segment: &Segment, horizon: i64) -> Result<(), StoreError> {
        let base = self.next.filter(|_| segment.from > 0);
        let done = self.store.append(base, std::slice::from_ref(segment), horizon, &manifest(segment.to, 1));
        done.map_err(|error| StoreError::Refused(error.to_string()))?;
        self.next = Some(segment.to);
        Ok(())
    }

    fn read(&mut self) -> Result<Vec<Segment>, StoreError> {
        read(&mut self.store)
    }

    fn position(&mut self) -> u64 {
        self.store.manifest().expect("reads").map_or(0, |manifest| manifest.next_offset)
    }

    fn reopen(&mut self) {
        self.store = checkpoints(&options(self.server), self.partition);
    }

    fn flip_a_bit(&mut self, from: u64) {
        let (mut connection, key) = (plain(self.server), key(self.partition, "segments"));
        let mut stored: Vec<u8> = connection.lindex(&key, from as isize).expect("is there");
        stored[100] ^= 1;
        connection.lset::<_, _, ()>(&key, from as isize, stored).expect("written");
    }

    fn make_later(&mut self) {
        let (mut connection, key) = (plain(self.server), key(self.partition, "manifest"));
        let stored: String = connection.get(&key).expect("is there");
        connection.set::<_, _, ()>(&key, stored.replacen(" 1 ", " 2 ", 1)).expect("written");
    }

    fn meddle(&mut self) {
        let mut other = checkpoints(&options(self.server), self.partition);
        other.append(Some(3), &[segment(3, 5, 5, 10)], NEVER, &manifest(5, 1)).expect("written");
    }
}

#[test]
fn redis_keeps_the_promises() {
    let server = Private::start(Kind::Redis, &[]);
    let partitions = Cell::new(0);
    all(|| {
        let partition = partitions.replace(partitions.get() + 1);
        let store = checkpoints(&options(&server), partition);
        Box::new(Redis { server: &server, partition, store, next: None })
    });
}

/// A checkpoint every second must not make a segment every second.
#[test]
fn small_segments_are_stored_together_within_an_hour() {
    let server = Private::start(Kind::Redis, &[]);
    let mut store = checkpoints(&options(&server), 0);
    for i in 0..500 {
        // A quarter of an hour between two, and every tenth brings no quote.
        let time = if i % 10 == 9 { i64::MIN } else { i as i64 * HOUR / 4 };
        let base = (i > 0).then_some(i);
        store.append(base, &[segment(i, i + 1, time, 40)], NEVER, &manifest(i + 1, 1)).expect("written");
        if i % 90 == 7 {
            store = checkpoints(&options(&server), 0);
        }
    }
    let read = read(&mut store).expect("reads");
    assert_eq!(joined(&read), (0, 500, deltas(0, 500, 40)));
    assert!((125..=140).contains(&read.len()), "{} segments of an hour each", read.len());
    // What is loaded again is extended again.
    store.append(Some(500), &[segment(500, 501, 499 * HOUR / 4, 40)], NEVER, &manifest(501, 1)).expect("written");
    assert_eq!(plain(&server).llen::<_, usize>(key(0, "segments")).expect("counts"), read.len());
}

#[test]
fn many_batches_of_one_checkpoint_become_few_segments() {
    let server = Private::start(Kind::Redis, &[]);
    let mut store = checkpoints(&options(&server), 0);
    let batches: Vec<Segment> = (0..1_000).map(|i| segment(i * 3, i * 3 + 3, 5, 400)).collect();
    store.append(None, &batches, NEVER, &manifest(3_000, 1)).expect("written");
    let read = read(&mut store).expect("reads");
    assert_eq!(joined(&read), joined(&batches));
    assert_eq!(read.len(), 5);
}

#[test]
fn segments_that_leave_something_out_are_not_written() {
    let server = Private::start(Kind::Redis, &[]);
    let mut store = checkpoints(&options(&server), 0);
    store.append(None, &[segment(0, 3, 5, 9)], NEVER, &manifest(3, 1)).expect("written");
    for (segments, next) in [
        (vec![segment(4, 5, 5, 9)], 5),
        (vec![segment(3, 5, 5, 9), segment(6, 7, 5, 9)], 7),
        (vec![segment(3, 5, 5, 9)], 6),
        (vec![], 4),
    ] {
        let refused = store.append(Some(3), &segments, NEVER, &manifest(next, 1)).expect_err("a hole");
        assert!(
            matches!(&refused, CheckpointError::Store(StoreError::Refused(text)) if text.contains("does not follow")),
            "{refused}"
        );
        let refused = store.replace(&mut segments.into_iter(), &manifest(8, 1)).err();
        assert_eq!(refused.is_some(), next != 4, "{next}");
    }
}

/// A higher epoch is a later claim: whoever has a lower one stops, whatever he believes to be stored.
#[test]
fn an_owner_of_before_is_fenced() {
    let server = Private::start(Kind::Redis, &[]);
    let (mut old, mut new) = (checkpoints(&options(&server), 0), checkpoints(&options(&server), 0));
    old.append(None, &[segment(0, 3, 5, 9)], NEVER, &manifest(3, 11)).expect("written");
    assert_eq!(read(&mut new).expect("reads").len(), 1);
    // Between the claim and the first write of the new owner the old one may still write: its deltas are those of the log.
    old.append(Some(3), &[segment(3, 5, 5, 9)], NEVER, &manifest(5, 11)).expect("written");
    let ahead = new.append(Some(3), &[segment(3, 4, 5, 9)], NEVER, &manifest(4, 12)).expect_err("another stands there");
    assert!(matches!(ahead, CheckpointError::Rewound { stored: Some(5) }), "{ahead}");
    new.append(Some(5), &[segment(5, 6, 5, 9)], NEVER, &manifest(6, 12)).expect("written");
    for base in [5, 6] {
        let fenced = old.append(Some(base), &[segment(base, 7, 5, 9)], NEVER, &manifest(7, 11)).expect_err("fenced");
        assert!(matches!(fenced, CheckpointError::Fenced { stored: 12, ours: 11 }), "{fenced}");
    }
    let fenced = old.replace(&mut [segment(0, 7, 5, 9)].into_iter(), &manifest(7, 11)).expect_err("fenced");
    assert!(matches!(fenced, CheckpointError::Fenced { stored: 12, ours: 11 }), "{fenced}");
    assert_eq!(joined(&read(&mut new).expect("reads")), (0, 6, deltas(0, 6, 9)));
    // The same place, a later claim: a move without a record.
    old.append(Some(6), &[], NEVER, &manifest(6, 13)).expect("written");
    assert!(matches!(new.append(Some(6), &[], NEVER, &manifest(6, 12)), Err(CheckpointError::Fenced { stored: 13, ours: 12 })));
}

#[test]
fn a_checkpoint_is_replaced_in_portions_and_all_at_once() {
    let server = Private::start(Kind::Redis, &[]);
    let mut store = checkpoints(&options(&server), 0);
    store.append(None, &[segment(0, 3, 5, 9)], NEVER, &manifest(3, 1)).expect("written");
    let broken = (0..100).map(|i| large(i, 5)).chain([large(101, 5)]);
    store.replace(&mut { broken }, &manifest(102, 1)).expect_err("a hole after a portion was staged");
    assert_eq!(joined(&read(&mut store).expect("reads")), (0, 3, deltas(0, 3, 9)), "nothing is replaced");
    let whole: Vec<Segment> = (0..150).map(|i| large(i, i as i64)).collect();
    store.replace(&mut whole.clone().into_iter(), &manifest(150, 1)).expect("replaced");
    assert_eq!(read(&mut store).expect("reads"), whole);
    // It is extended and expires like any other, and does not go by itself.
    store.append(Some(150), &[large(150, 200)], 140, &manifest(151, 1)).expect("written");
    assert_eq!(read(&mut store).expect("reads").first(), Some(&whole[140]));
    assert_eq!(plain(&server).ttl::<_, i64>(key(0, "segments")).expect("asks"), -1);
    store.replace(&mut std::iter::empty(), &manifest(200, 1)).expect("replaced by nothing");
    assert_eq!((read(&mut store).expect("reads"), store.manifest().expect("reads")), (vec![], Some(manifest(200, 1))));
}

#[test]
fn a_server_that_may_drop_a_checkpoint_is_refused_in_words() {
    let good = Private::start(Kind::Redis, &[]);
    assert_eq!(check(&options(&good)).expect("good"), Vec::<String>::new());
    let evicting = Private::start(Kind::Redis, &["maxmemory-policy allkeys-lru"]);
    let refused = check(&options(&evicting)).expect_err("it evicts");
    assert!(
        matches!(&refused, StoreError::Refused(text) if text.contains("allkeys-lru") && text.contains("noeviction")),
        "{refused}"
    );
    let forgetful = Private::start(Kind::Redis, &["appendonly no"]);
    let notices = check(&options(&forgetful)).expect("it may be meant so");
    assert!(notices.len() == 1 && notices[0].contains("appendonly yes"), "{notices:?}");
    good.kill();
    assert!(matches!(check(&options(&good)), Err(StoreError::Unavailable(_))));
}

#[test]
fn tls_and_a_user_of_few_rights_do() {
    let secure = secure();
    let good = Options {
        url: secure.redis.clone(),
        user: Some(secure.user.clone()),
        password_file: Some(secure.password_file.clone()),
        ca_file: Some(secure.ca.clone()),
        ..Options::default()
    };
    check(&good).expect("may look");
    let mut store = checkpoints(&good, 0);
    store.append(None, &[segment(0, 3, 5, 9)], NEVER, &manifest(3, 1)).expect("written");
    store.replace(&mut [segment(0, 4, 5, 9)].into_iter(), &manifest(4, 1)).expect("replaced");
    assert_eq!(joined(&read(&mut store).expect("reads")), (0, 4, deltas(0, 4, 9)));

    let password = std::fs::read_to_string(&secure.password_file).expect("readable");
    for (wrong, expected) in [
        (Options { ca_file: None, ..good.clone() }, "certificate"),
        (Options { url: secure.redis.replace("rediss:", "redis:"), ca_file: None, ..good.clone() }, "Redis at"),
        (Options { password_file: None, password: Some("wrong-password".into()), ..good.clone() }, "redis.password"),
        (Options { user: Some("stranger".into()), ..good.clone() }, "redis.user"),
        (
            Options { user: None, password_file: None, url: secure.redis.replace("//", "//u:url-password@"), ..good.clone() },
            "redis.user",
        ),
    ] {
        let error = RedisCheckpoints::new(&wrong, LOG, 0).expect("good options").manifest().expect_err(expected);
        let shown = format!("{error} {error:?} {wrong:?}");
        assert!(shown.contains(expected), "{expected}: {shown}");
        for secret in [password.trim(), "wrong-password", "url-password"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
