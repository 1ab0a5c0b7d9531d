//! The group's consumer: silent until started, exact afterwards, and cooperative.

use std::time::{Duration, Instant};

use futures_executor::block_on;
use quoteguard::adapters::kafka::{Command, Event, Outgoing, PartitionError, StartAt, Topic};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Bench;
use super::bench::{Member, PATIENCE, outgoing};
use super::producer::write_transaction;

#[test]
fn a_partition_is_silent_until_started_and_then_exact() {
    let bench = Bench::new("start", 1);
    bench.write_quotes(0, 0..200);
    let mut member = Member::join(&bench.config);
    assert_eq!(member.await_assigned(1), [0]);
    // Records that come while it is held, and between the seek and its end, must not slip through.
    bench.write_quotes(0, 200..400);
    member.assert_silent();
    member.order(Command::Resume(0));
    bench.write_quotes(0, 400..500);
    member.assert_silent();
    member.start(0, 50);
    bench.write_quotes(0, 500..600);
    member.await_records(550);
    assert_eq!(member.values(0), (50..600).collect::<Vec<_>>());
    member.stop();
}

#[test]
fn a_pause_loses_and_repeats_nothing() {
    let bench = Bench::new("pause", 1);
    let mut member = Member::join(&bench.config);
    member.await_assigned(1);
    member.start_at(0, StartAt::Beginning);
    for round in 0..5 {
        bench.write_quotes(0, round * 300..round * 300 + 200);
        member.order(Command::Pause(0));
        bench.write_quotes(0, round * 300 + 200..round * 300 + 300);
        member.order(Command::Resume(0));
    }
    member.await_records(1_500);
    assert_eq!(member.values(0), (0..1_500).collect::<Vec<_>>());
    member.order(Command::Pause(0));
    // By then the command is carried out.
    member.assert_silent();
    bench.write_quotes(0, 1_500..1_600);
    member.assert_silent();
    member.stop();
}

#[test]
fn headers_and_gaps_arrive() {
    let bench = Bench::new("headers", 1);
    write_transaction(&bench, 0..2);
    let headers = vec![("quoteguard-token", vec![0, 255]), ("quoteguard-client", b"site".to_vec()), ("other", Vec::new())];
    let token = Outgoing { headers, ..outgoing(Topic::Quotes, Some(0), "tenant", "{}") };
    let pointer = quoteguard::adapters::kafka::pointer(0, 7);
    let tombstone = Outgoing { value: None, ..outgoing(Topic::Quotes, Some(0), "tenant", "") };
    for record in [&token, &pointer, &tombstone] {
        bench.producer.send_and_wait(record, PATIENCE).expect("delivered");
    }
    let mut member = Member::join(&bench.config);
    member.await_assigned(1);
    member.start_at(0, StartAt::Beginning);
    let records = member.await_records(5).to_vec();
    let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [0, 1, 3, 4, 5], "the end of the transaction is at 2");
    assert!(records.iter().all(|record| record.append_time_ms > 0 && record.partition == 0));
    let (token, pointer, tombstone) = (&records[2], &records[3], &records[4]);
    assert_eq!(token.token.as_deref(), Some(&[0, 255][..]));
    assert_eq!((token.client.as_deref(), token.is_pointer), (Some("site"), false));
    assert_eq!((pointer.key.as_deref(), pointer.is_pointer), (None, true));
    assert_eq!(pointer.value.as_deref(), Some(&br#"{"control_offset":7}"#[..]));
    assert_eq!((tombstone.value.as_deref(), tombstone.key.as_deref()), (None, Some(&b"tenant"[..])));
    member.stop();
}

#[test]
fn partitions_move_and_are_waited_for() {
    let bench = Bench::new("move", 4);
    let mut first = Member::join(&bench.config);
    let all = first.await_assigned(4);
    assert_eq!(all, [0, 1, 2, 3]);
    for partition in all {
        first.start(partition, 0);
        // A pause must not outlive the ownership.
        first.order(Command::Pause(partition));
    }

    let mut second = Member::join(&bench.config);
    // Two are taken; one of them is held for its last checkpoint.
    let mut revoked = Vec::new();
    let mut release = None;
    while revoked.len() < 2 {
        let (partition, token) = first.await_event("revoked", |event| match event {
            Event::Revoked { partition, release } => Ok((partition, release)),
            other => Err(other),
        });
        revoked.push(partition);
        release = Some(token);
    }
    // Shorter than the adapter waits for it.
    second.assert_silent_for(Duration::from_millis(250));
    drop(release);
    revoked.sort_unstable();
    assert_eq!(second.await_assigned(2), revoked);

    // Nobody gets what is another's.
    (0..4).for_each(|partition| first.order(Command::Resume(partition)));
    revoked.iter().for_each(|partition| second.start(*partition, 0));
    (0..4).for_each(|partition| drop(bench.write_quotes(partition, 0..100)));
    first.await_records(200);
    second.await_records(200);
    for partition in 0..4 {
        let owner = if revoked.contains(&partition) { &second } else { &first };
        assert_eq!(owner.values(partition), (0..100).collect::<Vec<_>>(), "partition {partition}");
    }
    assert_eq!((first.records.len(), second.records.len()), (200, 200));
    second.stop();
    assert_eq!(first.await_assigned(2), revoked);
    revoked.iter().for_each(|partition| first.start(*partition, 60));
    first.await_records(280);
    first.stop();
}

#[test]
fn a_restarted_partition_begins_anew_and_what_was_said_of_it_before_has_no_effect() {
    let bench = Bench::new("restarted", 1);
    bench.write_quotes(0, 0..10);
    let mut member = Member::join(&bench.config);
    member.await_assigned(1);
    member.start(0, 4);
    member.await_records(6);
    let before = member.assignment(0);
    member.order(Command::Restart { partition: 0, assignment: before });
    member.await_assigned(1);
    assert!(member.assignment(0) > before);
    bench.write_quotes(0, 10..12);
    member.order(Command::Start { partition: 0, assignment: before, at: StartAt::Offset(0) });
    member.order(Command::Restart { partition: 0, assignment: before });
    member.assert_silent();
    member.start(0, 8);
    member.await_records(10);
    assert_eq!(member.values(0), [4, 5, 6, 7, 8, 9, 8, 9, 10, 11]);
    member.stop();
}

#[test]
fn a_holder_that_takes_too_long_is_not_waited_for() {
    let bench = Bench::new("slow", 2);
    let mut first = Member::join(&bench.config);
    first.await_assigned(2);
    let mut second = Member::join(&bench.config);
    let began = Instant::now();
    let release = first.await_event("revoked", |event| match event {
        Event::Revoked { release, .. } => Ok(release),
        other => Err(other),
    });
    second.await_assigned(1);
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    drop(release);
    first.stop();
    second.stop();
}

#[test]
fn an_offset_outside_of_the_log_is_told_and_the_others_go_on() {
    let bench = Bench::new("outside", 3);
    (0..3).for_each(|partition| drop(bench.write_quotes(partition, 0..5)));
    let admin: AdminClient<DefaultClientContext> = bench.raw().create().expect("a client");
    let mut cut = TopicPartitionList::new();
    cut.add_partition_offset(&bench.config.topics.quotes, 2, Offset::Offset(3)).expect("an offset");
    block_on(admin.delete_records(&cut, &AdminOptions::new())).expect("cut");

    let mut member = Member::join(&bench.config);
    member.await_assigned(3);
    for (partition, offset, low, high) in [(1, 1_000, 0, 5), (2, 0, 3, 5)] {
        member.start(partition, offset);
        let told = member.await_event("an error", |event| match event {
            Event::PartitionError { partition, error } => Ok((partition, error)),
            other => Err(other),
        });
        assert_eq!(told, (partition, PartitionError::OutOfRange { wanted: offset, low, high }));
    }
    member.start(0, 5);
    bench.write_quotes(0, 5..8);
    bench.write_quotes(1, 5..8);
    member.await_records(3);
    assert_eq!(member.values(0), [5, 6, 7]);
    member.assert_silent();
    member.stop();
}

#[test]
fn committed_offsets_are_for_lag_tools_only() {
    let bench = Bench::new("commit", 1);
    bench.write_quotes(0, 0..10);
    let mut member = Member::join(&bench.config);
    member.await_assigned(1);
    member.start(0, 0);
    member.await_records(10);
    member.order(Command::Commit { partition: 0, offset: 10 });
    let mut raw = bench.raw();
    raw.set("group.id", &bench.config.group);
    let watcher: rdkafka::consumer::BaseConsumer = raw.create().expect("a client");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&bench.config.topics.quotes, 0);
        let found = rdkafka::consumer::Consumer::committed_offsets(&watcher, asked, Duration::from_secs(5)).expect("answered");
        if found.elements()[0].offset() == Offset::Offset(10) {
            break;
        }
        assert!(Instant::now() < deadline, "never committed");
    }
    member.stop();
    let mut again = Member::join(&bench.config);
    again.await_assigned(1);
    again.start(0, 4);
    again.await_records(6);
    assert_eq!(again.values(0), [4, 5, 6, 7, 8, 9]);
    again.stop();
}

#[test]
fn a_static_member_finds_its_partitions_again() {
    let bench = Bench::new("static", 2);
    let mut config = bench.config.clone();
    config.instance_id = Some("a".into());
    let mut other = bench.config.clone();
    other.instance_id = Some("b".into());
    let mut first = Member::join(&config);
    first.await_assigned(2);
    let mut second = Member::join(&other);
    let taken = second.await_assigned(1);
    first.stop();
    let mut first = Member::join(&config);
    assert_ne!(first.await_assigned(1), taken);
    second.assert_silent();
    first.stop();
    second.stop();
}
