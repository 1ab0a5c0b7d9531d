//! The store against its own promises: atomic, idempotent by offset, contiguous.

use std::path::Path;

use sqlx::Row;

use super::*;
use crate::engine::state::Settings;
use crate::engine::step::ArrivalClock;
use crate::engine::time::ArrivalTime;
use crate::pipeline::{
    Batch, CheckpointStore, DeadLetter, Emitted, FileIdent, FilePosition, Log, LogRecord, RecordKind, Segment, Source, Store,
    StoreError, TablePosition,
};

/// The store on a runtime of its own: its methods must be called from outside of one.
fn with_store(path: &Path, act: impl FnOnce(&mut SqliteStore, Vec<FilePosition>)) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let Opened { mut store, reader, files, .. } =
        runtime.block_on(open(path, Settings::default(), Arc::default())).expect("opens");
    act(&mut store, files);
    runtime.block_on(reader.close());
    store.close();
}

fn batch(from: u64, to: u64, event_time: i64, horizon: i64) -> Batch {
    let record = |offset| LogRecord {
        offset,
        kind: RecordKind::Quote,
        clock: ArrivalClock::Event,
        arrival: ArrivalTime(1_000 + offset.cast_signed()),
        source: Source::File,
        tenant: "default".into(),
        client: Some("site".into()),
        body: vec![7; 3],
    };
    let decision = |offset: u64| Emitted {
        offset,
        revision: 1,
        tenant: "default".into(),
        quote_id: format!("q-{offset}").into(),
        json: format!("{{\"n\":{offset}}}").into_bytes(),
    };
    let dead_letter = DeadLetter {
        offset: from,
        reason: "too_old",
        error: "late".to_owned(),
        pointer: String::new(),
        file: Some(("a.jsonl".into(), 3)),
        raw: vec![0xFF],
    };
    let ident = FileIdent { prefix_bytes: 9, prefix_hash: u64::MAX };
    Batch {
        records: (from..to).map(record).collect(),
        decisions: (from..to).map(decision).collect(),
        dead_letters: vec![dead_letter],
        segment: Segment { from, to, max_event_time: EventTime(event_time), deltas: vec![1, 2, 3] },
        files: vec![FilePosition { name: "a.jsonl".into(), ident, byte_offset: to * 10, lines: to }],
        tables: vec![TablePosition { name: "postgres-crm".into(), xid: to, key: -1 }],
        forgotten: Vec::new(),
        erasures: Vec::new(),
        horizon: EventTime(horizon),
    }
}

fn segments(store: &mut SqliteStore) -> Vec<Segment> {
    let mut found = Vec::new();
    let push = &mut |segment| {
        found.push(segment);
        Ok(())
    };
    store.segments(push).expect("reads");
    found
}

#[test]
fn a_batch_committed_twice_is_there_once_and_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("new/q.db");
    // 73 rows use every chunk size.
    let written = batch(0, 73, 5, i64::MIN);
    with_store(&path, |store, files| {
        assert_eq!(files, []);
        assert_eq!(store.position().expect("reads"), (0, ArrivalTime(0)));
        store.commit(&written).expect("commits");
        store.commit(&written).expect("commits again");
    });
    with_store(&path, |store, files| {
        assert_eq!(files, written.files);
        assert_eq!(store.position().expect("reads"), (73, ArrivalTime(1_072)));
        assert_eq!(segments(store), std::slice::from_ref(&written.segment));
        let count = sqlx::query("SELECT (SELECT count(*) FROM decisions), (SELECT count(*) FROM rejects)");
        let row = store.runtime.clone().block_on(count.fetch_one(&mut store.connection)).expect("counts");
        assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (73, 1));
    });
    let mut log = recorded_log(&path, Arc::default()).expect("opens");
    assert_eq!(log.records(), 73);
    let mut records = log.page(50).expect("reads");
    records.extend(log.page(50).expect("reads"));
    assert_eq!(records, written.records);
    assert_eq!(log.page(50).expect("reads"), []);
}

#[test]
fn a_batch_that_found_no_room_is_committed_by_the_next_try() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    with_store(&dir.path().join("q.db"), |store, _| {
        store.commit(&batch(0, 1, 5, i64::MIN)).expect("commits");
        let mut large = batch(1, 3, 5, i64::MIN);
        large.records[0].body = vec![7; 100_000];
        // No page more; of this connection only, so the next one has room.
        let runtime = store.runtime.clone();
        let full = sqlx::query("PRAGMA max_page_count = 1").execute(&mut store.connection);
        runtime.block_on(full).expect("set");
        let refused = store.commit(&large);
        assert!(matches!(&refused, Err(StoreError::Unavailable(text)) if text.contains("full")), "{refused:?}");
        for _ in 0..2 {
            store.commit(&large).expect("commits");
        }
        assert_eq!(store.position().expect("reads"), (3, ArrivalTime(1_002)));
    });
}

#[test]
fn a_position_that_is_forgotten_goes_alone_and_may_come_back() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("q.db");
    let mut forget = batch(3, 3, 5, i64::MIN);
    (forget.forgotten, forget.files, forget.dead_letters) = (vec!["a.jsonl".into()], Vec::new(), Vec::new());
    with_store(&path, |store, _| {
        store.commit(&batch(0, 3, 5, i64::MIN)).expect("commits");
        store.commit(&forget).expect("commits");
        store.commit(&forget).expect("commits again");
        assert_eq!(store.position().expect("reads"), (3, ArrivalTime(1_002)), "no record moved it");
    });
    let mut back = batch(3, 4, 5, i64::MIN);
    back.forgotten = vec!["a.jsonl".into()];
    with_store(&path, |store, files| {
        assert_eq!(files, []);
        store.commit(&back).expect("commits");
    });
    with_store(&path, |_, files| assert_eq!(files, back.files));
}

#[test]
fn what_another_program_wrote_stops_the_commit_and_leaves_nothing_of_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (i, foreign) in [
        "INSERT INTO log VALUES (1, 0, 0, 0, 0, 'x', NULL, x'', NULL)",
        "INSERT INTO decisions VALUES ('default', 'q-1', 1, 1, x'')",
        "INSERT INTO segments VALUES (1, 2, 0, 0, x'', NULL)",
        "INSERT INTO rejects VALUES (1, 'x', 'x', '', NULL, NULL, x'', NULL)",
        "UPDATE position SET next_offset = 7",
    ]
    .into_iter()
    .enumerate()
    {
        with_store(&dir.path().join(format!("{i}.db")), |store, _| {
            store.commit(&batch(0, 1, 5, i64::MIN)).expect("commits");
            let runtime = store.runtime.clone();
            runtime.block_on(sqlx::query(foreign).execute(&mut store.connection)).expect("written");
            let refused = store.commit(&batch(1, 3, 5, i64::MIN));
            assert!(matches!(refused, Err(StoreError::Damaged(_))), "{foreign}: {refused:?}");
            let ours = "SELECT (SELECT count(*) FROM decisions WHERE offset = 2) + (SELECT count(*) FROM log WHERE offset = 2)";
            let row = runtime.block_on(sqlx::query(ours).fetch_one(&mut store.connection)).expect("counts");
            assert_eq!(row.get::<i64, _>(0), 0, "{foreign}");
        });
    }
}

#[test]
fn segments_expire_from_the_front_and_stay_contiguous() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    with_store(&dir.path().join("q.db"), |store, _| {
        // from, newest event time, horizon, then the first offset kept
        for (from, event_time, horizon, expected) in [
            (0, 10, i64::MIN, 0),
            (1, 50, i64::MIN, 0),
            (2, 20, i64::MIN, 0),
            (3, 60, 10, 0),   // nothing is older than the horizon
            (4, 70, 30, 1),   // the first goes; the third is old, but the second before it is not
            (5, 80, 55, 3),   // now both go
            (6, 5, 1_000, 6), // the newest always stays
        ] {
            store.commit(&batch(from, from + 1, event_time, horizon)).expect("commits");
            let kept: Vec<u64> = segments(store).iter().map(|segment| segment.from).collect();
            assert_eq!(kept, (expected..=from).collect::<Vec<_>>(), "at {from}");
        }
    });
}
