//! Writing, and reading back without a group.

use std::time::{Duration, Instant};

use quoteguard::adapters::kafka::{DeliveryError, From, KafkaError, Outgoing, Producer, Reader, Topic, read};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::Bench;
use super::bench::{PATIENCE, outgoing};

/// Keys and hashes of Kafka's own tests.
const MURMUR2: [(&str, i32); 6] = [
    ("21", -973_932_308),
    ("foobar", -790_332_482),
    ("a-little-bit-long-string", -985_981_536),
    ("a-little-bit-longer-string", -1_486_304_829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    ("abc", 479_470_107),
];

#[test]
fn keys_go_where_java_sends_them() {
    let bench = Bench::new("murmur2", 7);
    for (key, hash) in MURMUR2 {
        let sent = bench.producer.send_and_wait(&outgoing(Topic::Quotes, None, key, "{}"), PATIENCE).expect("delivered");
        assert_eq!(sent.partition, (hash & 0x7fff_ffff) % 7, "{key}");
    }
}

#[test]
fn a_record_comes_back_as_it_was_sent() {
    let bench = Bench::new("as-sent", 1);
    let headers = vec![("step-index", b"0".to_vec()), ("empty", Vec::new())];
    let sent = Outgoing { headers, ..outgoing(Topic::Decisions, Some(0), "quote", "{}") };
    let bare = Outgoing { topic: Topic::Decisions, partition: Some(0), key: None, value: None, headers: Vec::new() };
    for record in [&sent, &bare] {
        bench.producer.send_and_wait(record, PATIENCE).expect("delivered");
    }
    let mut seen = Vec::new();
    read(&bench.config, Topic::Decisions, 0, From::Beginning, &mut |record| {
        assert!(record.append_time_ms() > 0);
        let header = |name: &str| (record.has_header(name), record.header(name).map(<[u8]>::to_vec));
        seen.push((record.key().map(<[u8]>::to_vec), record.value().map(<[u8]>::to_vec), header("step-index"), header("empty")));
        std::ops::ControlFlow::Continue(())
    })
    .expect("read");
    let first = (Some(b"quote".to_vec()), Some(b"{}".to_vec()), (true, Some(b"0".to_vec())), (true, Some(Vec::new())));
    assert_eq!(seen, [first, (None, None, (false, None), (false, None))]);
}

#[test]
fn deliveries_are_told_in_order() {
    let bench = Bench::new("order", 1);
    assert_eq!(bench.write_quotes(0, 0..2_000), (0..2_000).collect::<Vec<_>>());
    bench.producer.flush(PATIENCE).expect("told");
    assert_eq!(bench.producer.in_flight(), 0);
}

#[test]
fn what_cannot_be_written_is_refused_and_what_may_be_is_unknown() {
    let bench = Bench::new("refused", 1);
    let large = "x".repeat(1 << 21);
    let refused = bench.producer.send_and_wait(&outgoing(Topic::Quotes, Some(0), "t", &large), PATIENCE);
    assert!(matches!(refused, Err(DeliveryError::Refused(_))), "{refused:?}");
    // Fits the client and not the topic: the broker says so.
    let refused = bench
        .producer
        .send_and_wait(&outgoing(Topic::Quotes, Some(0), "t", &large[..1_500_000].replace('x', "ab1\u{7f}")), PATIENCE);
    assert!(matches!(refused, Err(DeliveryError::Refused(_))), "{refused:?}");
    let refused = bench.producer.send_and_wait(&outgoing(Topic::Quotes, Some(9), "t", "{}"), PATIENCE);
    assert!(matches!(refused, Err(DeliveryError::Refused(_))), "{refused:?}");

    let mut nobody = bench.config.clone();
    nobody.brokers = "127.0.0.1:1".into();
    nobody.properties.insert("delivery.timeout.ms".into(), "500".into());
    let unknown = Producer::new(&nobody).expect("no broker is needed yet");
    let unknown = unknown.send_and_wait(&outgoing(Topic::Quotes, Some(0), "t", "{}"), PATIENCE);
    assert!(matches!(unknown, Err(DeliveryError::Unknown(_))), "{unknown:?}");
}

#[test]
fn a_bounded_read_ends_where_the_log_did() {
    let bench = Bench::new("bounded", 2);
    let (nothing, end) = bench.read(Topic::Quotes, 1, From::Beginning);
    assert_eq!((nothing.len(), end.low, end.high, end.next), (0, 0, 0, 0));

    bench.write_quotes(0, 0..10);
    for (from, first) in
        [(From::Beginning, 0), (From::Offset(4), 4), (From::Last(3), 7), (From::Timestamp(0), 0), (From::End, 10)]
    {
        let (found, end) = bench.read(Topic::Quotes, 0, from);
        let expected: Vec<(u64, String)> = (first..10).map(|number| (number, number.to_string())).collect();
        assert_eq!((found, end.high, end.next), (expected, 10, 10), "{from:?}");
    }
    let after_all = time::OffsetDateTime::now_utc().unix_timestamp() * 1_000 + 3_600_000;
    assert_eq!(bench.read(Topic::Quotes, 0, From::Timestamp(after_all)).0, []);
    let outside = read(&bench.config, Topic::Quotes, 0, From::Offset(11), &mut |_| panic!("nothing is there"));
    assert!(matches!(outside, Err(KafkaError::OutOfRange { wanted: 11, low: 0, high: 10, .. })), "{outside:?}");
    let missing = read(&Bench::bare("missing").config, Topic::Quotes, 0, From::Beginning, &mut |_| panic!("nothing is there"));
    assert!(matches!(&missing, Err(KafkaError::Refused(why)) if why.contains("topics create")), "{missing:?}");
}

/// Writes numbers in one transaction, whose end takes an offset that holds no record.
pub fn write_transaction(bench: &Bench, numbers: std::ops::Range<u64>) {
    let mut raw = bench.raw();
    let producer: BaseProducer = raw.set("transactional.id", &bench.config.group).create().expect("a producer");
    let count = numbers.end - numbers.start;
    producer.init_transactions(PATIENCE).expect("ready");
    producer.begin_transaction().expect("begun");
    for number in numbers {
        let record = BaseRecord::<str, str>::to(&bench.config.topics.quotes).partition(0).key("tenant");
        let value = number.to_string();
        producer.send(record.payload(&value)).map_err(|(error, _)| error).expect("taken");
    }
    producer.flush(PATIENCE).expect("delivered");
    producer.commit_transaction(Duration::from_secs(30)).expect("committed");
    // The end is written after the answer.
    let reader = Reader::open(&bench.config, Topic::Quotes).expect("a reader");
    let deadline = Instant::now() + PATIENCE;
    while reader.range(0).expect("the ends").1 <= count {
        assert!(Instant::now() < deadline, "the transaction has no end");
    }
}

#[test]
fn a_log_that_ends_with_a_gap_is_read_to_its_end() {
    let bench = Bench::new("gap", 1);
    write_transaction(&bench, 0..3);
    let (found, end) = bench.read(Topic::Quotes, 0, From::Beginning);
    assert_eq!((found.len(), end.high, end.next), (3, 4, 4));
}
