//! The desk at full size: how fast the sink fills it, and how fast its pages are with a million decisions.

use std::time::{Duration, Instant};

use quoteguard::adapters::desk::Projector;
use quoteguard::engine::time::{DAY, EventTime};
use quoteguard::pipeline::desk::feed::{Page, Part};
use quoteguard::pipeline::desk::sink::{Projection, SINK_RECORDS_MAX};
use quoteguard::pipeline::desk::{DecisionFilter, QueueFilter, SharedDesk};
use tokio::runtime::Handle;

use super::log::{LOG_ID, Recorded, recorded, shared};
use super::postgres::Server;
use super::{Databases, moved};
use crate::quotes::Lcg;
use crate::servers::postgres;

const DECISIONS: usize = 1_000_000;
/// Pages of each kind that are read.
const READS: usize = 300;
/// What the targets say, in a release build on two cores.
const PER_SECOND: f64 = 10_000.0;
const P99: Duration = Duration::from_millis(50);

/// The log once more, by other people at later offsets.
fn again(recorded: &Recorded, round: usize) -> Recorded {
    let shift = (round * recorded.forms.len()) as u64;
    let id = |id: &str| format!("{id}-{round}");
    let mut again = recorded.clone();
    for record in &mut again.decisions {
        let decision = &mut record.decision;
        decision.position.offset += shift;
        decision.quote_id = id(&decision.quote_id);
        decision.referral_id = decision.referral_id.as_deref().map(id);
        for attempt in &mut decision.linked {
            attempt.quote_id = id(&attempt.quote_id);
        }
    }
    for form in &mut again.forms {
        form.offset += shift;
        form.quote_id = id(&form.quote_id);
    }
    again
}

/// One of so many pieces.
fn piece<T>(all: &[T], number: usize, pieces: usize) -> &[T] {
    &all[number * all.len() / pieces..(number + 1) * all.len() / pieces]
}

/// Projects pages as the sink does; how long that took in all.
fn fill(projector: &mut Projector, recorded: &Recorded) -> (usize, Duration) {
    let (mut decisions, mut forms, mut took) = (0, 0, Duration::ZERO);
    for round in 0.. {
        let part = again(recorded, round);
        let pages = part.decisions.len().div_ceil(SINK_RECORDS_MAX / 2).max(1);
        for page in 0..pages {
            let (some, form) = (piece(&part.decisions, page, pages), piece(&part.forms, page, pages));
            let moves =
                vec![moved(Part::Decisions, decisions, decisions + some.len()), moved(Part::Quotes, forms, forms + form.len())];
            let page = Page { decisions: some.to_vec(), forms: form.to_vec(), moves, ..Page::default() };
            let began = Instant::now();
            assert!(projector.project(&page).expect("projects"));
            took += began.elapsed();
            decisions += some.len();
            forms += form.len();
        }
        if decisions >= DECISIONS {
            break;
        }
    }
    (decisions, took)
}

/// The time within which 99 of 100 reads were done.
async fn p99<T>(what: &str, mut read: impl AsyncFnMut(usize) -> T) -> Duration {
    let mut times = Vec::with_capacity(READS);
    for number in 0..READS {
        let began = Instant::now();
        read(number).await;
        times.push(began.elapsed());
    }
    times.sort();
    let (half, most) = (times[READS / 2], times[READS * 99 / 100]);
    println!("{what:<10} p50 {half:>10.2?}  p99 {most:>10.2?}");
    most
}

async fn pages(desk: &SharedDesk, recorded: &Recorded) -> Vec<Duration> {
    let now = recorded.decisions.iter().map(|record| record.event_time).max().expect("some");
    let cases = desk.queue(QueueFilter::default(), None, 200).await.expect("reads");
    println!("{} cases wait", cases.counts.open);
    assert!(cases.counts.open >= 10_000);
    let ids: Vec<String> = cases.cases.iter().map(|case| case.referral_id.clone()).collect();
    let (mut random, mut after) = (Lcg(1), None);
    let every =
        DecisionFilter { tenant: None, from: EventTime(now.0 - 2 * DAY), to: now, verdict: None, rule: None, quote_id: None };
    vec![
        p99("queue", async |_| {
            let page = desk.queue(QueueFilter::default(), after.take(), 50).await.expect("reads");
            after = page.next;
        })
        .await,
        p99("case", async |_| desk.case(&ids[random.below(ids.len() as u64) as usize], None).await.expect("reads")).await,
        p99("decisions", async |_| desk.decisions(every.clone(), None, 50).await.expect("reads")).await,
        p99("rule", async |_| {
            let filter = DecisionFilter { rule: Some("picking-24h".into()), ..every.clone() };
            desk.decisions(filter, None, 50).await.expect("reads")
        })
        .await,
        p99("histogram", async |_| desk.histogram(every.clone(), 30).await.expect("reads")).await,
        p99("overview", async |_| desk.overview(None, now, EventTime(now.0 - DAY)).await.expect("reads")).await,
        p99("referral", async |number| desk.referral(&ids[number % ids.len()], None).await.expect("reads")).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make test-volume"]
async fn a_million_decisions_in_postgresql() {
    let recorded = recorded(5, 6_000);
    let store = Server(postgres().to_owned()).empty().await;
    let (desk, runtime, log) = (store.clone(), Handle::current(), recorded.clone());
    let filled = tokio::task::spawn_blocking(move || {
        let mut projector = Projector::new(desk, runtime);
        projector.positions(LOG_ID).expect("reads");
        fill(&mut projector, &log)
    });
    let (decisions, took) = filled.await.expect("does not panic");
    let per_second = decisions as f64 / took.as_secs_f64();
    println!("{decisions} decisions with their forms in {took:.1?}: {per_second:.0} a second");
    store.db().all("VACUUM ANALYZE", vec![]).await.expect("as autovacuum does");
    let slowest = pages(&shared(&store), &recorded).await.into_iter().max().expect("some");
    // A debug build is slower, and says so above.
    if !cfg!(debug_assertions) {
        assert!(per_second >= PER_SECOND, "{per_second:.0} a second");
        assert!(slowest <= P99, "{slowest:?}");
    }
}
