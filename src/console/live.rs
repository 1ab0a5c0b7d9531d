//! Telling open pages that something has happened: one look at the desk for all of them, server-sent events to each.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::unfold;
use tokio::sync::watch::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Console;
use crate::pipeline::desk::{DeskError, SharedDesk};
use crate::pipeline::health::{Health, Readiness};

/// How often the desk is asked whether it has changed: a page hears of a referral within a second of its commit.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two events to one page. What happens meanwhile is one event, sent when the time is over: the last change is always told.
const TELL_EVERY: Duration = Duration::from_millis(400);
/// How soon a browser asks again when its stream has ended.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Open pages that listen. Beyond: 503, and the browser asks again later.
const LISTENERS_MAX: usize = 512;
/// A stream ends after this, and the browser opens another: its session is looked at again.
const STREAM_LIFE: Duration = Duration::from_secs(120);

pub struct Live {
    changes: watch::Receiver<i64>,
    room: Arc<Semaphore>,
}

impl Live {
    /// Looks until the service stops; then every stream ends, or it would hold the stop up.
    pub fn start(desk: SharedDesk, health: Arc<Health>) -> Live {
        let (sender, changes) = watch::channel(0);
        tokio::spawn(async move {
            while health.get() != Readiness::Stopping {
                // Nobody listens: nobody asks. A desk that is away says nothing new.
                if sender.receiver_count() > 1
                    && let Ok(pulse) = desk.pulse().await
                {
                    sender.send_if_modified(|last| std::mem::replace(last, pulse) != pulse);
                }
                sleep(LOOK_EVERY).await;
            }
        });
        Live { changes, room: Arc::new(Semaphore::new(LISTENERS_MAX)) }
    }

    /// What the open pages have been told of; where none is open, what the desk says now.
    pub async fn pulse(&self, desk: &SharedDesk) -> Result<i64, DeskError> {
        if self.room.available_permits() < LISTENERS_MAX {
            return Ok(*self.changes.borrow());
        }
        desk.pulse().await
    }
}

struct Listener {
    changes: watch::Receiver<i64>,
    /// When the next event may be sent; `None` for the first.
    next: Option<Instant>,
    ends: Instant,
    _room: OwnedSemaphorePermit,
}

impl Listener {
    /// The first one at once: between the page and its stream, or between two streams, something may have happened. `None` when the time is
    /// over, or the service stops.
    async fn told(&mut self) -> Option<Event> {
        // A browser drops an event without data, and an empty text is none.
        let event = Event::default().event("changed").data("1");
        let Some(next) = self.next else {
            self.next = Some(Instant::now() + TELL_EVERY);
            self.changes.mark_unchanged();
            return Some(event.retry(RETRY_AFTER));
        };
        let (changes, ends) = (&mut self.changes, self.ends);
        let changed = async {
            changes.changed().await?;
            sleep_until(next).await;
            // All that has happened until now is in this event.
            changes.mark_unchanged();
            Ok::<_, RecvError>(())
        };
        timeout_at(ends, changed).await.ok()?.ok()?;
        self.next = Some(Instant::now() + TELL_EVERY);
        Some(event)
    }
}

pub async fn events(State(console): State<Arc<Console>>) -> Response<Body> {
    let Ok(room) = console.live.room.clone().try_acquire_owned() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let changes = console.live.changes.clone();
    let listener = Listener { changes, next: None, ends: Instant::now() + STREAM_LIFE, _room: room };
    let stream =
        unfold(listener, |mut listener| async move { listener.told().await.map(|event| (Ok::<_, Infallible>(event), listener)) });
    let mut response = Sse::new(stream).keep_alive(KeepAlive::default()).into_response();
    // A proxy that gathers bytes would hold the news back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
