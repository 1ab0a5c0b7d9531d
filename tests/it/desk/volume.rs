//! The desk at full size: how fast the sink fills it, and how fast its pages are with a million decisions.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use quoteguard::adapters::desk::Projector;
use quoteguard::engine::time::{ArrivalTime, DAY, EventTime, SECOND};
use quoteguard::metrics::Metrics;
use quoteguard::pipeline::clock::SystemClock;
use quoteguard::pipeline::desk::feed::{Feed, Page, Part, Positions};
use quoteguard::pipeline::desk::sink::{Gained, Projection, SINK_RECORDS_MAX, Sink};
use quoteguard::pipeline::desk::views::QueueCounts;
use quoteguard::pipeline::desk::{DecisionFilter, QueueFilter, SharedDesk};
use quoteguard::pipeline::health::Health;
use quoteguard::pipeline::{Clock, StoreError};
use tokio::runtime::Handle;

use super::log::{LOG_ID, Recorded, recorded, shared};
use super::postgres::Server;
use super::{Databases, moved};
use crate::app::eventually;
use crate::quotes::Lcg;
use crate::servers::postgres;

const DECISIONS: usize = 1_000_000;
/// Pages of each kind that are read.
const READS: usize = 300;
/// What the targets say, in a release build on two cores.
const PER_SECOND: f64 = 10_000.0;
const PACE: f64 = 1_000.0;
const LAG: Duration = Duration::from_secs(1);
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
            assert!(projector.project(&page).expect("projects").is_some());
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

/// A log that grows by [`PACE`] quotes a second.
struct Paced {
    recorded: Recorded,
    began: Instant,
}

impl Paced {
    /// As if it had begun now.
    fn new(mut recorded: Recorded) -> Paced {
        let now = SystemClock.now().0;
        for (number, form) in recorded.forms.iter_mut().enumerate() {
            form.arrival = ArrivalTime(now + (number as i64 + 1) * SECOND / PACE as i64);
        }
        Paced { recorded, began: Instant::now() }
    }

    /// How much of the log is there.
    fn quotes(&self) -> usize {
        ((self.began.elapsed().as_secs_f64() * PACE) as usize).min(self.recorded.forms.len())
    }
}

impl Feed for Paced {
    fn log_id(&self) -> &str {
        LOG_ID
    }

    fn next(&mut self, after: &Positions, limit: usize, wait: Duration) -> Result<Page, StoreError> {
        let stands = |part| after.get(&(part, 0)).map_or(0, |next| *next as usize);
        let (quote, decision) = (stands(Part::Quotes), stands(Part::Decisions));
        let asked = Instant::now();
        while self.quotes() == quote && asked.elapsed() < wait {
            std::thread::sleep(Duration::from_millis(1));
        }
        let Recorded { decisions, forms } = &self.recorded;
        let quotes = self.quotes().min(quote + limit);
        let decided = quotes * decisions.len() / forms.len();
        if quotes == quote {
            return Ok(Page::default());
        }
        let moves = vec![moved(Part::Quotes, quote, quotes), moved(Part::Decisions, decision, decided)];
        let (decisions, forms) = (decisions[decision..decided].to_vec(), forms[quote..quotes].to_vec());
        Ok(Page { decisions, forms, moves, ..Page::default() })
    }

    fn behind(&self) -> u64 {
        0
    }
}

/// Notes how long the oldest quote of each page was on its way.
struct Timed {
    projector: Projector,
    lags: mpsc::Sender<Duration>,
}

impl Projection for Timed {
    fn positions(&mut self, log_id: &str) -> Result<Option<Positions>, StoreError> {
        self.projector.positions(log_id)
    }

    fn project(&mut self, page: &Page) -> Result<Option<Gained>, StoreError> {
        let gained = self.projector.project(page)?;
        for form in page.forms.first().iter().chain(&page.forms.last()) {
            let lag = u64::try_from(SystemClock.now().0 - form.arrival.0).unwrap_or_default();
            let _ = self.lags.send(Duration::from_micros(lag));
        }
        Ok(gained)
    }

    fn upkeep(&mut self, is_told: bool) -> Result<(), StoreError> {
        self.projector.upkeep(is_told)
    }

    fn waiting(&mut self) -> Result<QueueCounts, StoreError> {
        self.projector.waiting()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make test-volume"]
async fn a_thousand_quotes_a_second_are_on_the_desk_within_one() {
    let recorded = recorded(5, 6_000);
    let store = Server(postgres().to_owned()).empty().await;
    let (lags, noted) = mpsc::channel();
    let (stop, stopped) = mpsc::channel();
    let projection = Timed { projector: Projector::new(store.clone(), Handle::current()), lags };
    let (metrics, health) = (Arc::new(Metrics::new().expect("registered")), Arc::new(Health::default()));
    let count = recorded.decisions.len() as i64;
    let sink = Sink { feed: Paced::new(recorded), projection, metrics, health, currency: String::new() };
    let running = std::thread::spawn(move || sink.run(&stopped));
    eventually("all decisions are there", async || {
        let found = store.db().first("SELECT count(*) FROM decisions", vec![]).await;
        found.expect("reads").expect("a row").get::<i64>(0).expect("a number") == count
    })
    .await;
    drop(stop);
    running.join().expect("ends");
    let mut lags: Vec<Duration> = noted.iter().collect();
    lags.sort();
    let (half, most) = (lags[lags.len() / 2], lags[lags.len() - 1]);
    println!("lag at {PACE} quotes a second: p50 {half:.2?}, most {most:.2?}, {} pages", lags.len() / 2);
    // A debug build is slower, and says so above.
    if !cfg!(debug_assertions) {
        assert!(most < LAG, "{most:?}");
    }
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
