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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::Console;
use crate::pipeline::desk::SharedDesk;
use crate::pipeline::health::{Health, Readiness};

/// How often the desk is asked whether it has changed: a page hears of a referral within a second of its commit.
const LOOK_EVERY: Duration = Duration::from_millis(250);
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
}

struct Listener {
    changes: watch::Receiver<i64>,
    ends: Instant,
    _room: OwnedSemaphorePermit,
}

pub async fn events(State(console): State<Arc<Console>>) -> Response<Body> {
    let Ok(room) = console.live.room.clone().try_acquire_owned() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let mut changes = console.live.changes.clone();
    changes.mark_unchanged();
    let listener = Listener { changes, ends: Instant::now() + STREAM_LIFE, _room: room };
    let stream = unfold(listener, |mut listener| async move {
        // Stops when the time is over, or the service.
        let changed = timeout_at(listener.ends, listener.changes.changed()).await;
        matches!(changed, Ok(Ok(()))).then(|| (Ok::<_, Infallible>(Event::default().event("changed").data("")), listener))
    });
    let mut response = Sse::new(stream).keep_alive(KeepAlive::default()).into_response();
    // A proxy that gathers bytes would hold the news back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
