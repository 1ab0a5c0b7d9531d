//! One partition's writer and its checkpoints in a real Redis: windows that expire, owners that end at any record.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quoteguard::adapters::redis::{Options, RedisCheckpoints};
use quoteguard::contract::kafka::{CAUSE_OFFSET, EPOCH, STEP_INDEX};
use quoteguard::engine::state::Settings;
use quoteguard::metrics::Metrics;
use quoteguard::pipeline::StoreError;
use quoteguard::pipeline::checkpoint::{Checkpoints, Manifest, cut};
use quoteguard::pipeline::partition::frontier::Frontier;
use quoteguard::pipeline::partition::load::{Find, Loaded, load};
use quoteguard::pipeline::partition::owner::{Brought, Control, ControlError, Cut, Emit, Outgoing, OutgoingKind, Owner};
use quoteguard::pipeline::partition::prepare::{Fetched, Place, Ready, prepare};
use quoteguard::pipeline::partition::saver::Save;
use quoteguard::pipeline::partition::waiters::Waiters;

use crate::quotes::history;
use crate::servers::{self, unique};

/// What is in the topic of decisions.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<Outgoing>>>);

impl Sink {
    fn decisions(&self) -> Vec<Outgoing> {
        let all = self.0.lock().expect("whole");
        all.iter().filter(|record| record.kind == OutgoingKind::Decision).cloned().collect()
    }

    /// As the next owner reads it.
    fn frontier(&self, manifest: &Manifest) -> Frontier {
        let mut frontier = Frontier::since(manifest.emitted_epoch);
        for record in &self.decisions()[usize::try_from(manifest.emitted_to).expect("small")..] {
            let place = place(record);
            if place.0 >= manifest.next_offset {
                frontier.take(Some(number(record, EPOCH)), place, record.value.as_deref().expect("a value"));
            }
        }
        frontier
    }

    fn places(&self) -> BTreeSet<(u64, u32)> {
        self.decisions().iter().map(place).collect()
    }
}

fn number(record: &Outgoing, name: &str) -> u64 {
    let (_, value) = record.headers.iter().find(|(key, _)| *key == name).expect("a header");
    std::str::from_utf8(value).expect("text").parse().expect("a number")
}

fn place(record: &Outgoing) -> (u64, u32) {
    (number(record, CAUSE_OFFSET), u32::try_from(number(record, STEP_INDEX)).expect("small"))
}

impl Emit for Sink {
    fn emit(&mut self, record: Outgoing) -> Result<(), StoreError> {
        self.0.lock().expect("whole").push(record);
        Ok(())
    }

    fn acknowledged(&self) -> u64 {
        u64::MAX
    }

    fn decisions_end(&self) -> u64 {
        self.decisions().len() as u64
    }
}

struct NoBooks;

impl Control for NoBooks {
    fn up_to(&self, _applied: Option<u64>, _offset: u64, _wait: Duration) -> Result<Brought, ControlError> {
        Err(ControlError::Impossible)
    }
}

/// A partition whose owner ends and comes back.
struct Partition {
    settings: Settings,
    options: Options,
    sink: Sink,
    records: Vec<Ready>,
}

impl Partition {
    /// `hours` are kept of a history of two days.
    fn new(hours: i64, seed: u64, count: usize) -> Partition {
        let settings = Settings {
            log_id: unique("partition").into(),
            retention_secs: hours * 3600,
            lateness_stream_secs: 3600,
            ..Settings::default()
        };
        let options =
            Options { url: servers::redis().to_owned(), response_timeout: Duration::from_secs(20), ..Options::default() };
        let place = Place { partition: 0, partitions: NonZeroU32::MIN, is_event_time: true };
        let fetch = |(offset, quote): (u64, &serde_json::Value)| Fetched {
            offset,
            arrival: offset.cast_signed(),
            key: Some(b"default".as_slice().into()),
            value: Some(quote.to_string().into_bytes().into()),
            ..Fetched::default()
        };
        // Offsets have gaps.
        let records = (0..).step_by(3).zip(&history(seed, count)).map(|record| prepare(fetch(record), place)).collect();
        Partition { settings, options, sink: Sink::default(), records }
    }

    fn store(&self) -> RedisCheckpoints {
        RedisCheckpoints::new(&self.options, &self.settings.log_id, 0).expect("good options")
    }

    fn load(&self, epoch: u64) -> Result<Loaded, StoreError> {
        load(&mut self.store(), &self.settings, 1, epoch, Find { book: |_: &_| None, ruling: |_| None })
    }

    fn owner(&self, epoch: u64) -> Owner<Sink> {
        let loaded = self.load(epoch).expect("whole");
        let frontier = self.sink.frontier(&loaded.manifest);
        let metrics = Arc::new(Metrics::new().expect("registered"));
        Owner::new(loaded, self.sink.clone(), frontier, Arc::new(NoBooks), Arc::new(Waiters::default()), metrics)
    }

    fn take(&self, owner: &mut Owner<Sink>, records: std::ops::Range<usize>) {
        for record in &self.records[records] {
            owner.take(record.clone()).expect("taken");
        }
    }
}

fn save(store: &mut RedisCheckpoints, base: Option<u64>, cut_off: Cut) -> u64 {
    let next = cut_off.save.next_offset();
    match cut_off.save {
        Save::Append { segment, manifest, horizon } => {
            store.append(base, &[segment], horizon, &manifest).expect("appended");
        }
        Save::Replace { export, manifest } => store.replace(&mut cut(export), &manifest).expect("replaced"),
    }
    next
}

/// What the state still holds must be in the checkpoint: looked at whenever segments have gone, for that is to the minute.
#[test]
fn a_checkpoint_is_whole_while_its_window_moves_on() {
    let partition = Partition::new(6, 5, 5_000);
    let mut owner = partition.owner(1);
    let mut store = partition.store();
    let mut server = redis::Client::open(servers::redis()).and_then(|client| client.get_connection()).expect("connects");
    let list = format!("quoteguard:{{{}:0}}:segments", partition.settings.log_id);
    let (mut base, mut before, mut dropped) = (None, 0, 0);
    for number in 0..partition.records.len() {
        partition.take(&mut owner, number..number + 1);
        base = Some(save(&mut store, base, owner.cut().expect("a record")));
        let segments: usize = redis::cmd("LLEN").arg(&list).query(&mut server).expect("told");
        if segments < before {
            let loaded = partition.load(2).unwrap_or_else(|error| panic!("record {number}: {error}"));
            assert_eq!(loaded.state.held_digest(), owner.state().held_digest(), "record {number}");
            dropped += before - segments;
        }
        before = segments;
    }
    assert!(dropped > 3, "{dropped} segments have gone");
    let held = owner.state().live_attempts();
    assert!(held > 100 && held < partition.records.len() / 4, "{held} attempts: the window has moved on");
}

/// Whatever owners come and go, and however far each gets: every emission is there once, and the same.
#[test]
fn owners_that_end_in_the_middle_of_a_replay_emit_nothing_twice() {
    let whole = Partition::new(24 * 30, 6, 200);
    whole.take(&mut whole.owner(1), 0..200);
    let expected: Vec<_> = whole.sink.decisions().into_iter().map(|record| (record.key, without_epoch(record.headers))).collect();

    let mut partition = Partition::new(24 * 30, 6, 200);
    // Decision ids come from the log id; the other one has kept no checkpoint under it.
    partition.settings.log_id = whole.settings.log_id.clone();
    let mut first = partition.owner(2);
    let mut store = partition.store();
    partition.take(&mut first, 0..50);
    let base = save(&mut store, None, first.cut().expect("records"));
    partition.take(&mut first, 50..120);
    drop(first);

    // It compares a part of what was emitted, keeps a checkpoint in the middle, and ends.
    let mut second = partition.owner(3);
    partition.take(&mut second, 0..80);
    let base = save(&mut partition.store(), Some(base), second.cut().expect("records"));
    let middle = partition.load(4).expect("whole").manifest;
    assert!(middle.next_offset == base && middle.emitted_to < partition.sink.decisions_end(), "{middle:?}");
    drop(second);

    let mut third = partition.owner(4);
    partition.take(&mut third, 0..200);
    save(&mut partition.store(), Some(base), third.cut().expect("records"));
    let found: Vec<_> =
        partition.sink.decisions().into_iter().map(|record| (record.key, without_epoch(record.headers))).collect();
    assert_eq!(found.len(), 200, "one for each record, duplicates among them");
    assert_eq!(found, expected);
    assert_eq!(partition.load(5).expect("whole").manifest.emitted_to, partition.sink.decisions_end());
}

fn without_epoch(headers: Vec<(&'static str, Vec<u8>)>) -> Vec<(&'static str, Vec<u8>)> {
    headers.into_iter().filter(|(name, _)| *name != EPOCH).collect()
}

/// What an instance that has lost the partition still sends lies between the later owner's records, any part of it before the place
/// that the sink is read from: the owner after that must not take the rest for how far emission came.
#[test]
fn late_copies_by_an_owner_that_was_fenced_leave_no_holes() {
    let partition = Partition::new(24 * 30, 7, 200);
    let mut zombie = partition.owner(1);
    partition.take(&mut zombie, 0..50);
    let base = save(&mut partition.store(), None, zombie.cut().expect("records"));

    let mut second = partition.owner(2);
    partition.take(&mut second, 50..60);
    partition.take(&mut zombie, 50..90);
    save(&mut partition.store(), Some(base), second.cut().expect("records"));
    partition.take(&mut second, 60..65);
    partition.take(&mut zombie, 90..120);
    drop(second);

    let mut third = partition.owner(3);
    partition.take(&mut third, 60..200);
    assert_eq!(third.diverged(), 0);
    let alone = Partition::new(24 * 30, 7, 200);
    alone.take(&mut alone.owner(1), 0..200);
    assert_eq!(partition.sink.places(), alone.sink.places());
}
