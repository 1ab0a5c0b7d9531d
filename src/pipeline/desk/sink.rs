//! The sink: one thread reads the log's feed, another projects it, rows and their positions in one transaction.
//!
//! It stands beside the decisions, never in their way: while its store is away they go on, and it catches up afterwards.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::feed::{Feed, Page, Positions};
use super::status::RulingKind;
use super::views::QueueCounts;
use crate::engine::time::MINUTE;
use crate::metrics::Metrics;
use crate::pipeline::clock::SystemClock;
use crate::pipeline::health::Health;
use crate::pipeline::{Clock, StoreError};

/// Records of one transaction, about. Beyond: they wait for the next.
pub const SINK_RECORDS_MAX: usize = 16_384;
/// How long the feed is waited for before the order to stop is looked at.
const WAIT: Duration = Duration::from_millis(250);
/// How often it is asked whether another instance still fills the desk.
const TURN: Duration = Duration::from_secs(1);
/// Wait after the first failure; doubled with each up to [`RETRY_MAX`], or [`RETRY_LASTING_MAX`] after one that does not pass by itself.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
const RETRY_LASTING_MAX: Duration = Duration::from_secs(30);
/// A store that stays down is told again this often.
const FAILURE_LOGGED_EVERY: Duration = Duration::from_secs(30);
/// A form that came so lately is one of now, microseconds.
const TOLD_WITHIN: i64 = MINUTE;
/// How often the cases that wait are counted.
const COUNTED_EVERY: Duration = Duration::from_secs(2);

/// Where a log is projected to. Its methods block.
pub trait Projection: Send {
    /// How far the log with this id has been projected; `None` while another instance does it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for the projection of another log.
    fn positions(&mut self, log_id: &str) -> Result<Option<Positions>, StoreError>;

    /// Projects a page, the rows of each part together with its new positions. `None` when the positions were not where the page begins:
    /// another sink was faster, or an earlier try has succeeded. After this, or an error, a part may be ahead of the other: the positions
    /// are to be read again.
    fn project(&mut self, page: &Page) -> Result<Option<Gained>, StoreError>;

    /// What has to be done now and then; called often. `is_told`: the log has nothing more to tell now.
    ///
    /// # Errors
    /// Another instance may have taken over: the positions are to be read again.
    fn upkeep(&mut self, is_told: bool) -> Result<(), StoreError>;

    /// The cases that wait for somebody.
    fn waiting(&mut self) -> Result<QueueCounts, StoreError>;
}

/// What a page has added to the figures of the desk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gained {
    /// How much further the prices of referred applicants have fallen; of those that are not cleared.
    pub protected: f64,
    /// How underwriters have answered cases that a rule has matched in.
    pub answers: Vec<RuleAnswer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleAnswer {
    pub rule: String,
    pub kind: RulingKind,
    pub count: u64,
}

pub struct Sink<F, P> {
    pub feed: F,
    pub projection: P,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    /// Of premiums, for the metrics.
    pub currency: String,
}

/// What made a round fail: it decides whose name the log line has.
enum Failed {
    Feed(StoreError),
    Store(StoreError),
}

/// How following the log came to its end.
enum Ended {
    Stopped,
    /// The desk does not stand where it was believed to.
    Elsewhere,
}

/// A page, and how many records followed it when it was read.
struct Ahead {
    page: Page,
    behind: u64,
}

impl<F: Feed, P: Projection> Sink<F, P> {
    /// Runs until `stop` is dropped. Whatever fails is tried again: a server that is put right needs no restart of ours.
    pub fn run(mut self, stop: &Receiver<()>) {
        let (mut wait, mut told) = (RETRY_MIN, None::<Instant>);
        loop {
            let began = Instant::now();
            let (whose, error) = match self.follow(stop) {
                Ok(()) => return,
                Err(Failed::Feed(error)) => ("the log", error),
                Err(Failed::Store(error)) => ("the desk's store", error),
            };
            self.metrics.desk_up(false);
            self.health.desk(Some(format!("{whose}: {error}")));
            let passes = matches!(error, StoreError::Unavailable(_));
            if told.is_none_or(|at| at.elapsed() >= FAILURE_LOGGED_EVERY) {
                if passes {
                    tracing::error!(%error, "{whose} is away; decisions go on, the desk follows when it is back");
                } else {
                    tracing::error!(
                        %error,
                        "the desk stands still until {whose} is put right; decisions go on, and it is tried again without a restart"
                    );
                }
                told = Some(Instant::now());
            }
            // What had worked for a while fails for the first time.
            if began.elapsed() > RETRY_MAX {
                wait = RETRY_MIN;
            }
            match stop.recv_timeout(wait.min(if passes { RETRY_MAX } else { RETRY_LASTING_MAX })) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
            wait = (wait * 2).min(RETRY_LASTING_MAX);
        }
    }

    /// From where the projection stands, until told to stop or something fails.
    fn follow(&mut self, stop: &Receiver<()>) -> Result<(), Failed> {
        while let Some(positions) = self.our_turn(stop)? {
            let Sink { feed, projection, metrics, health, currency } = self;
            let ended = thread::scope(|scope| {
                // It hands over one page and reads the next meanwhile.
                let (ahead, pages) = sync_channel(0);
                scope.spawn(move || read_ahead(feed, positions, &ahead));
                write(projection, &pages, stop, &Telling { metrics, health, currency })
            })?;
            if matches!(ended, Ended::Stopped) {
                break;
            }
        }
        Ok(())
    }

    /// Waits until no other instance projects the log; `None` when told to stop.
    fn our_turn(&mut self, stop: &Receiver<()>) -> Result<Option<Positions>, Failed> {
        loop {
            let positions = self.projection.positions(self.feed.log_id()).map_err(Failed::Store)?;
            if positions.is_some() {
                return Ok(positions);
            }
            self.metrics.desk_up(true);
            self.health.desk(None);
            // The instance that fills the desk counts what waits there.
            self.metrics.desk_waiting(QueueCounts::default(), SystemClock.now());
            if !matches!(stop.recv_timeout(TURN), Err(RecvTimeoutError::Timeout)) {
                return Ok(None);
            }
        }
    }
}

/// Reads page after page until nobody takes them, or one cannot be read.
fn read_ahead(feed: &mut impl Feed, mut positions: Positions, pages: &SyncSender<Result<Ahead, StoreError>>) {
    loop {
        let read = feed.next(&positions, SINK_RECORDS_MAX, WAIT);
        for moved in read.iter().flat_map(|page| &page.moves) {
            positions.insert((moved.part, moved.partition), moved.to);
        }
        let is_last = read.is_err();
        let read = read.map(|page| Ahead { page, behind: feed.behind() });
        if pages.send(read).is_err() || is_last {
            return;
        }
    }
}

/// Where it is told how the sink stands.
struct Telling<'a> {
    metrics: &'a Metrics,
    health: &'a Health,
    currency: &'a str,
}

/// Projects pages as they come.
fn write(
    projection: &mut impl Projection,
    pages: &Receiver<Result<Ahead, StoreError>>,
    stop: &Receiver<()>,
    telling: &Telling<'_>,
) -> Result<Ended, Failed> {
    let Telling { metrics, health, currency } = telling;
    let (mut counted, mut is_told) = (None::<Instant>, false);
    while matches!(stop.try_recv(), Err(TryRecvError::Empty)) {
        projection.upkeep(is_told).map_err(Failed::Store)?;
        if counted.is_none_or(|at| at.elapsed() >= COUNTED_EVERY) {
            metrics.desk_waiting(projection.waiting().map_err(Failed::Store)?, SystemClock.now());
            counted = Some(Instant::now());
        }
        let Ok(read) = pages.recv() else { return Ok(Ended::Elsewhere) };
        let Ahead { page, behind } = read.map_err(Failed::Feed)?;
        let newest = page.forms.last().map_or(0, |form| SystemClock.now().0 - form.arrival.0);
        is_told = page.is_empty() || behind == 0 && newest < TOLD_WITHIN;
        if page.is_empty() {
            metrics.desk_lag(0, 0);
        } else {
            let began = Instant::now();
            crate::fault::point("desk.before-projection");
            let Some(gained) = projection.project(&page).map_err(Failed::Store)? else { return Ok(Ended::Elsewhere) };
            crate::fault::point("desk.after-projection");
            metrics.desk_projected(page.records(), began.elapsed());
            metrics.desk_gained(currency, &gained);
            metrics.desk_lag(behind, newest);
        }
        // Not before: tables may be read that cannot be written.
        metrics.desk_up(true);
        health.desk(None);
    }
    Ok(Ended::Stopped)
}
