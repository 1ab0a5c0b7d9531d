//! What every store of checkpoints promises, asked of each with the same cases.

#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_faults;
mod sqlite;

use quoteguard::engine::time::EventTime;
use quoteguard::pipeline::checkpoint::SEGMENT_BYTES;
use quoteguard::pipeline::{Segment, StoreError};

/// A store with one checkpoint, and what may happen to it.
trait Subject {
    /// Moves the checkpoint from where the segment begins to where it ends.
    fn write(&mut self, segment: &Segment, horizon: i64) -> Result<(), StoreError>;
    fn read(&mut self) -> Result<Vec<Segment>, StoreError>;
    /// Where it stands.
    fn position(&mut self) -> u64;
    /// As another process would.
    fn reopen(&mut self);
    /// Flips a bit in the stored deltas of the segment that begins at the offset.
    fn flip_a_bit(&mut self, from: u64);
    /// Makes it what a later version would have written.
    fn make_later(&mut self);
    /// Lets another writer move the position, and nothing else.
    fn meddle(&mut self);
}

/// What the records of a range bring: the same bytes whoever computes them.
fn deltas(from: u64, to: u64, bytes_each: usize) -> Vec<u8> {
    (from..to)
        .flat_map(|offset| (0..bytes_each as u64).map(move |i| (offset.wrapping_mul(0x9E37_79B9) ^ i.wrapping_mul(i) >> 3) as u8))
        .collect()
}

fn segment(from: u64, to: u64, event_time: i64, bytes_each: usize) -> Segment {
    Segment { from, to, max_event_time: EventTime(event_time), deltas: deltas(from, to, bytes_each) }
}

/// Too large to be stored with another one.
fn large(from: u64, event_time: i64) -> Segment {
    segment(from, from + 1, event_time, SEGMENT_BYTES)
}

/// Checks that one follows the other; where they begin, where they end, and the deltas of all.
fn joined(segments: &[Segment]) -> (u64, u64, Vec<u8>) {
    assert!(segments.windows(2).all(|pair| pair[0].to == pair[1].from), "they follow each other");
    let ends = segments.first().map_or((0, 0), |first| (first.from, segments[segments.len() - 1].to));
    (ends.0, ends.1, segments.iter().flat_map(|segment| segment.deltas.clone()).collect())
}

const NEVER: i64 = i64::MIN;

fn all<'a>(make: impl Fn() -> Box<dyn Subject + 'a>) {
    reads_back_equal_and_in_order(&mut *make());
    a_write_done_twice_is_there_once(&mut *make());
    expires_whole_segments_from_the_front(&mut *make());
    names_a_damaged_segment(&mut *make());
    refuses_a_later_format(&mut *make());
    refuses_to_write_where_another_writer_was(&mut *make());
}

fn reads_back_equal_and_in_order(subject: &mut dyn Subject) {
    assert_eq!((subject.position(), subject.read().expect("reads")), (0, vec![]));
    let mut written = Vec::new();
    let mut next = 0;
    for (i, (records, bytes_each)) in [(1, 1), (3, 100), (1, SEGMENT_BYTES), (2, 0), (70, 9_000), (1, 5)].into_iter().enumerate()
    {
        if i % 2 == 1 {
            subject.reopen();
        }
        let segment = segment(next, next + records, 5, bytes_each);
        subject.write(&segment, NEVER).expect("written");
        next = segment.to;
        written.push(segment);
        assert_eq!(subject.position(), next);
        assert_eq!(joined(&subject.read().expect("reads")), joined(&written));
    }
    subject.reopen();
    assert_eq!(joined(&subject.read().expect("reads")), joined(&written));
    assert_eq!(subject.position(), next);
}

fn a_write_done_twice_is_there_once(subject: &mut dyn Subject) {
    for segment in [segment(0, 3, 5, 10), segment(3, 4, 6, 10)] {
        subject.write(&segment, NEVER).expect("written");
        subject.write(&segment, NEVER).expect("done already");
    }
    assert_eq!(joined(&subject.read().expect("reads")), (0, 4, deltas(0, 4, 10)));
}

fn expires_whole_segments_from_the_front(subject: &mut dyn Subject) {
    // Newest event time, horizon, then the first offset kept.
    for (from, (event_time, horizon, expected)) in (0..).zip([
        (10, NEVER, 0),
        (50, NEVER, 0),
        (20, NEVER, 0),
        (60, 10, 0),   // nothing is older than the horizon
        (70, 30, 1),   // the first goes; the third is old, but the second before it is not
        (80, 55, 3),   // now both go
        (5, 1_000, 6), // the newest always stays
    ]) {
        subject.write(&large(from, event_time), horizon).expect("written");
        let kept = subject.read().expect("reads");
        assert_eq!(
            kept,
            (expected..=from).map(|i| large(i, [10, 50, 20, 60, 70, 80, 5][i as usize])).collect::<Vec<_>>(),
            "at {from}"
        );
    }
}

fn names_a_damaged_segment(subject: &mut dyn Subject) {
    for from in 0..3 {
        subject.write(&large(from, 5), NEVER).expect("written");
    }
    subject.flip_a_bit(1);
    subject.reopen();
    let error = subject.read().expect_err("a bit is wrong");
    assert!(matches!(&error, StoreError::Damaged(text) if text.contains("segment") && text.contains("checksum")), "{error}");
}

fn refuses_a_later_format(subject: &mut dyn Subject) {
    subject.write(&segment(0, 3, 5, 10), NEVER).expect("written");
    subject.make_later();
    let error = subject.read().expect_err("refused");
    assert!(matches!(&error, StoreError::Refused(text) if text.contains("version")), "{error}");
}

fn refuses_to_write_where_another_writer_was(subject: &mut dyn Subject) {
    subject.write(&segment(0, 3, 5, 10), NEVER).expect("written");
    subject.meddle();
    subject.write(&segment(3, 4, 5, 10), NEVER).expect_err("somebody else moved it");
    let after = subject.position();
    assert_ne!(after, 4, "nothing of it is there");
}
