//! The sink: one thread reads the log's feed and projects it, rows and positions in one transaction.
//!
//! It stands beside the decisions, never in their way: while its store is away they go on, and it catches up afterwards.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::feed::{Feed, Page, Positions};
use crate::metrics::Metrics;
use crate::pipeline::clock::SystemClock;
use crate::pipeline::{Clock, StoreError};

/// Records of one transaction, about. Beyond: they wait for the next.
pub const SINK_RECORDS_MAX: usize = 4_096;
/// How long the feed is waited for before the order to stop is looked at.
const WAIT: Duration = Duration::from_millis(250);
/// How often it is asked whether another instance still fills the desk.
const TURN: Duration = Duration::from_secs(1);
/// Wait after the first failure; doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// A store that stays down is told again this often.
const FAILURE_LOGGED_EVERY: Duration = Duration::from_secs(30);

/// Where a log is projected to. Its methods block.
pub trait Projection: Send {
    /// How far the log with this id has been projected; `None` while another instance does it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for the projection of another log.
    fn positions(&mut self, log_id: &str) -> Result<Option<Positions>, StoreError>;

    /// Projects a page: all of it and the new positions, or nothing. `false` when the positions were not where the page begins:
    /// another sink was faster, or an earlier try has succeeded.
    fn project(&mut self, page: &Page) -> Result<bool, StoreError>;

    /// What has to be done now and then; called often.
    ///
    /// # Errors
    /// Another instance may have taken over: the positions are to be read again.
    fn upkeep(&mut self) -> Result<(), StoreError>;
}

pub struct Sink<F, P> {
    pub feed: F,
    pub projection: P,
    pub metrics: Arc<Metrics>,
}

/// What made a round fail: it decides whose name the log line has.
enum Failed {
    Feed(StoreError),
    Store(StoreError),
}

impl<F: Feed, P: Projection> Sink<F, P> {
    /// Runs until `stop` is dropped, or until an error that does not pass.
    ///
    /// # Errors
    /// One that does not pass, of the log or of the desk's store.
    pub fn run(mut self, stop: &Receiver<()>) -> Result<(), StoreError> {
        let (mut wait, mut told) = (RETRY_MIN, None::<Instant>);
        loop {
            let began = Instant::now();
            let failed = match self.follow(stop) {
                Ok(()) => return Ok(()),
                Err(Failed::Feed(error)) => ("the log", error),
                Err(Failed::Store(error)) => {
                    self.metrics.desk_up(false);
                    ("the desk's store", error)
                }
            };
            let (whose, error) = failed;
            if !matches!(error, StoreError::Unavailable(_)) {
                return Err(error);
            }
            if told.is_none_or(|at| at.elapsed() >= FAILURE_LOGGED_EVERY) {
                tracing::error!(%error, "{whose} is away; decisions go on, the desk follows when it is back");
                told = Some(Instant::now());
            }
            match stop.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return Ok(()),
            }
            // What had worked for a while fails for the first time.
            wait = if began.elapsed() > RETRY_MAX { RETRY_MIN } else { (wait * 2).min(RETRY_MAX) };
        }
    }

    /// From where the projection stands, until told to stop or something fails.
    fn follow(&mut self, stop: &Receiver<()>) -> Result<(), Failed> {
        let Some(mut positions) = self.our_turn(stop)? else { return Ok(()) };
        while matches!(stop.try_recv(), Err(TryRecvError::Empty)) {
            self.projection.upkeep().map_err(Failed::Store)?;
            let page = self.feed.next(&positions, SINK_RECORDS_MAX, WAIT).map_err(Failed::Feed)?;
            if page.is_empty() {
                self.metrics.desk_lag(0, 0);
                continue;
            }
            let began = Instant::now();
            crate::fault::point("desk.before-projection");
            if self.projection.project(&page).map_err(Failed::Store)? {
                for moved in &page.moves {
                    positions.insert((moved.part, moved.partition), moved.to);
                }
                crate::fault::point("desk.after-projection");
                self.metrics.desk_projected(page.records(), began.elapsed());
                let newest = page.forms.last().map_or(0, |form| SystemClock.now().0 - form.arrival.0);
                self.metrics.desk_lag(self.feed.behind(), newest);
            } else {
                let Some(found) = self.our_turn(stop)? else { return Ok(()) };
                positions = found;
            }
        }
        Ok(())
    }

    /// Waits until no other instance projects the log; `None` when told to stop.
    fn our_turn(&mut self, stop: &Receiver<()>) -> Result<Option<Positions>, Failed> {
        loop {
            let positions = self.projection.positions(self.feed.log_id()).map_err(Failed::Store)?;
            self.metrics.desk_up(true);
            if positions.is_some() {
                return Ok(positions);
            }
            if !matches!(stop.recv_timeout(TURN), Err(RecvTimeoutError::Timeout)) {
                return Ok(None);
            }
        }
    }
}
