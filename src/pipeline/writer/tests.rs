//! The loop against a store that fails on command.

use std::sync::Mutex;

use super::*;
use crate::contract::quote::decode;
use crate::contract::rule_file::shipped;
use crate::engine::decide::Prepared;
use crate::engine::state::Settings;
use crate::engine::step::Outcome;
use crate::engine::time::Arrivals;
use tokio::sync::oneshot;

use crate::pipeline::fate::Fate;
use crate::pipeline::queue::{Queue, bounded};

/// What reached the store: from, to, records and decisions of each attempt, and whether it was taken.
type Attempts = Arc<Mutex<Vec<(u64, u64, usize, usize, bool)>>>;

struct Flaky {
    attempts: Attempts,
    failures: usize,
    /// What no second try mends, once the failures are over.
    is_damaged: bool,
}

impl Store for Flaky {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.failures == 0 && self.is_damaged {
            return Err(StoreError::Damaged("on command".to_owned()));
        }
        let is_taken = self.failures == 0;
        self.failures = self.failures.saturating_sub(1);
        let (from, to) = (batch.segment.from, batch.segment.to);
        let attempt = (from, to, batch.records.len(), batch.decisions.len(), is_taken);
        self.attempts.lock().expect("not poisoned").push(attempt);
        if is_taken { Ok(()) } else { Err(StoreError::Unavailable("on command".to_owned())) }
    }
}

/// Stands still, or goes back: arrival must not.
struct Backwards(Mutex<i64>);

impl Clock for Backwards {
    fn now(&self) -> ArrivalTime {
        let mut now = self.0.lock().expect("not poisoned");
        *now -= 1_000_000;
        ArrivalTime(*now)
    }
}

fn writer(failures: usize, fates: Arc<Fates>) -> (Writer<Flaky, Backwards>, Attempts, Arc<Health>) {
    let (attempts, health) = (Attempts::default(), Arc::new(Health::default()));
    let recovered = Recovered { state: State::new(Settings::default()), books: Vec::new(), arrival: ArrivalTime(0) };
    let store = Flaky { attempts: attempts.clone(), failures, is_damaged: false };
    // 2026-03-02 12:00 UTC
    let clock = Backwards(Mutex::new(1_772_452_800_000_000));
    let metrics = Arc::new(Metrics::new().expect("registered"));
    let shared = Shared { shelf: Arc::default(), metrics, health: health.clone(), fates };
    (Writer::new(recovered, store, clock, shared), attempts, health)
}

fn job(queue: &Queue, id: &str, source: Source) -> (Job, oneshot::Receiver<Answered>) {
    let body = format!(
        r#"{{"quote_id":"{id}","submitted_at":"2026-03-02T11:59:00Z","product":"osago","channel":{{"kind":"web"}},
            "policyholder":{{"last_name":"","first_name":""}}}}"#
    );
    let quote = decode(body.as_bytes(), None).expect("a quote").quote;
    let (reply, answer) = queue.reply(&quote.tenant, id);
    let payload = Payload::Quote {
        prepared: Arc::new(Prepared::new(&quote)),
        product: "osago",
        tenant: quote.tenant,
        body: body.into_bytes(),
    };
    let reply = (source == Source::Http).then_some(reply);
    let (clock, submitted) = (ArrivalClock::Log, Instant::now());
    (Job { payload, clock, source, client: None, progress: None, reply, room: None, submitted, span: None }, answer.answer)
}

fn submit(queue: &Queue, id: &str) -> oneshot::Receiver<Answered> {
    let (job, answer) = job(queue, id, Source::Http);
    queue.try_submit(job).expect("room");
    answer
}

#[test]
fn what_is_ready_is_one_commit_repeated_until_it_succeeds_and_answered_after() {
    let (queue, jobs) = bounded(8);
    let (writer, attempts, health) = writer(2, queue.fates());
    let mut answers: Vec<_> = ["a", "b", "a"].into_iter().map(|id| submit(&queue, id)).collect();
    assert_eq!(queue.fate("default", "a"), Some(Fate::Pending));
    let fates = queue.fates();
    drop(queue);
    writer.run(jobs).expect("runs");

    let seen = attempts.lock().expect("not poisoned").clone();
    assert_eq!(seen, [(0, 3, 3, 2, false), (0, 3, 3, 2, false), (0, 3, 3, 2, true)]);
    assert_eq!(health.get(), Readiness::Ready);
    let outcomes: Vec<Answered> = answers.iter_mut().map(|answer| answer.try_recv().expect("answered")).collect();
    assert_eq!((&outcomes[0].outcome, &outcomes[1].outcome), (&Outcome::Decided, &Outcome::Decided));
    let first = outcomes[0].decision.as_ref().expect("decided now").decision_id;
    assert!(matches!(&outcomes[2].outcome, Outcome::Duplicate(current) if current.decision_id == first));
    assert_eq!((fates.get("default", "a"), fates.get("default", "b")), (None, None));
}

#[test]
fn a_damaged_store_ends_the_loop_and_answers_nobody() {
    let (queue, jobs) = bounded(8);
    let (mut writer, attempts, _) = writer(1, queue.fates());
    writer.store.is_damaged = true;
    let mut answer = submit(&queue, "a");
    drop(queue);
    let ended = writer.run(jobs).map(|_| ()).expect_err("it does not pass");
    assert!(matches!(ended, WriterError::Store(StoreError::Damaged(_))), "{ended}");
    assert_eq!(attempts.lock().expect("not poisoned").len(), 1, "the one that passes is tried again");
    assert!(answer.try_recv().is_err());
}

#[test]
fn a_record_of_a_file_leaves_the_mark_of_http_alone() {
    let (queue, mut jobs) = bounded(8);
    let (mut writer, ..) = writer(0, queue.fates());
    let _answer = submit(&queue, "a");
    let waiting = jobs.try_recv().expect("it waits");
    let mut open = writer.open();
    writer.take(&mut open, job(&queue, "a", Source::File).0).expect("taken");
    writer.commit(open).expect("commits");
    assert_eq!(queue.fate("default", "a"), Some(Fate::Pending));
    drop(waiting);
    assert_eq!(queue.fate("default", "a"), None, "a record that never gets there takes its mark with it");
}

#[test]
fn a_rule_book_enters_the_log_once() {
    let (queue, jobs) = bounded(1);
    let (mut writer, attempts, _) = writer(0, queue.fates());
    for _ in 0..2 {
        writer.install(&shipped(), "start").expect("installed");
    }
    assert_eq!(writer.shelf.last().map(|last| (last.book.version(), last.offset)), Some((1, 0)));
    drop(queue);
    writer.run(jobs).expect("runs");
    assert_eq!(*attempts.lock().expect("not poisoned"), [(0, 1, 1, 0, true)]);
}

#[test]
fn a_rule_book_that_the_log_lacks_ends_the_loop() {
    let (queue, jobs) = bounded(1);
    let (mut writer, attempts, _) = writer(0, queue.fates());
    writer.state.restore(0, Arrivals::default(), vec![(0, shipped().reference())]);
    let mut answer = submit(&queue, "a");
    drop(queue);
    let ended = writer.run(jobs).map(|_| ()).expect_err("nothing says how to decide");
    assert!(matches!(&ended, WriterError::Store(StoreError::Damaged(text)) if text.contains("quoteguard rebuild")), "{ended}");
    assert!(attempts.lock().expect("not poisoned").is_empty() && answer.try_recv().is_err());
}

#[test]
fn arrival_never_goes_back() {
    let (queue, jobs) = bounded(8);
    let (mut writer, ..) = writer(0, queue.fates());
    let mut open = writer.open();
    drop(["a", "b", "c"].map(|id| submit(&queue, id)));
    drop(queue);
    let mut jobs = jobs;
    while let Some(job) = jobs.blocking_recv() {
        writer.take(&mut open, job).expect("taken");
    }
    let arrivals: Vec<ArrivalTime> = open.batch.records.iter().map(|record| record.arrival).collect();
    assert_eq!(arrivals.len(), 3);
    assert!(arrivals.is_sorted(), "{arrivals:?}");
}
