//! The embedded store.

use std::path::PathBuf;
use std::sync::Arc;

use quoteguard::adapters::sqlite::{Opened, SqliteStore, open};
use quoteguard::engine::state::Settings;
use quoteguard::engine::step::ArrivalClock;
use quoteguard::engine::time::{ArrivalTime, EventTime};
use quoteguard::pipeline::{Batch, CheckpointStore, LogRecord, RecordKind, Segment, Source, Store, StoreError};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Subject, all};
use crate::app::connect;

struct Sqlite {
    dir: TempDir,
    runtime: Runtime,
    store: Option<SqliteStore>,
}

impl Sqlite {
    fn new() -> Sqlite {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let runtime = Runtime::new().expect("a runtime");
        Sqlite { dir, runtime, store: None }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("q.db")
    }

    fn open(&mut self) -> Result<&mut SqliteStore, StoreError> {
        if self.store.is_none() {
            let Opened { store, reader, .. } = self.runtime.block_on(open(&self.path(), Settings::default(), Arc::default()))?;
            self.runtime.block_on(reader.close());
            self.store = Some(store);
        }
        Ok(self.store.as_mut().expect("just opened"))
    }

    /// From outside, as another program would.
    fn change(&mut self, sql: String) {
        let path = self.path();
        let changed = self.runtime.block_on(async {
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connect(&path).await).await.expect("changed").rows_affected()
        });
        assert_eq!(changed, 1);
    }
}

impl Subject for Sqlite {
    fn write(&mut self, segment: &Segment, horizon: i64) -> Result<(), StoreError> {
        let record = |offset| LogRecord {
            offset,
            kind: RecordKind::Quote,
            clock: ArrivalClock::Event,
            arrival: ArrivalTime(0),
            source: Source::File,
            tenant: "default".into(),
            client: None,
            body: Vec::new(),
        };
        let batch = Batch {
            records: (segment.from..segment.to).map(record).collect(),
            decisions: Vec::new(),
            dead_letters: Vec::new(),
            segment: segment.clone(),
            files: Vec::new(),
            tables: Vec::new(),
            forgotten: Vec::new(),
            erasures: Vec::new(),
            horizon: EventTime(horizon),
        };
        self.open()?.commit(&batch)
    }

    fn read(&mut self) -> Result<Vec<Segment>, StoreError> {
        let mut found = Vec::new();
        let push = &mut |segment| {
            found.push(segment);
            Ok(())
        };
        self.open()?.segments(push)?;
        Ok(found)
    }

    fn position(&mut self) -> u64 {
        // One that its own log contradicts is no position.
        self.open().and_then(CheckpointStore::position).map_or(u64::MAX, |(next, _)| next)
    }

    fn reopen(&mut self) {
        if let Some(store) = self.store.take() {
            store.close();
        }
    }

    fn flip_a_bit(&mut self, from: u64) {
        let flipped = "substr(deltas, 1, 100) || x'a5' || substr(deltas, 102)";
        self.change(format!("UPDATE segments SET deltas = CAST({flipped} AS BLOB) WHERE from_offset = {from}"));
    }

    fn make_later(&mut self) {
        self.change("UPDATE meta SET value = '99' WHERE key = 'engine version'".to_owned());
        self.reopen();
    }

    fn meddle(&mut self) {
        self.change("UPDATE position SET next_offset = 7".to_owned());
    }
}

#[test]
fn sqlite_keeps_the_promises() {
    all(|| Box::new(Sqlite::new()));
}
