//! Room for connections. Where none is left, a new connection takes the place of the one that has had nothing under way for
//! longest: those who hold connections open and say nothing cannot shut others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::metrics::Metrics;

/// How long a connection that was told to close is waited for, before another is told.
const LEAVES_WITHIN: Duration = Duration::from_millis(500);

pub struct Seats {
    room: Arc<Semaphore>,
    line: Arc<Line>,
    metrics: Arc<Metrics>,
}

/// Who has nothing under way.
#[derive(Default)]
struct Line {
    /// In the order in which they fell idle.
    idle: Mutex<Idle>,
    fell_idle: Notify,
}

#[derive(Default)]
struct Idle {
    next: u64,
    /// How each is told to close.
    places: BTreeMap<u64, Arc<Notify>>,
}

/// Of one connection, as long as it is open.
pub struct Seat {
    line: Arc<Line>,
    close: Arc<Notify>,
    place: Mutex<Place>,
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Place {
    under_way: usize,
    number: u64,
}

/// A request under way, until its answer has been sent or given up.
pub struct UnderWay(Arc<Seat>);

impl Seats {
    pub fn new(most: usize, metrics: Arc<Metrics>) -> Seats {
        let room = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Seats { room, line: Arc::default(), metrics }
    }

    /// A seat for a new connection, which begins idle. Waits while every other has a request under way.
    pub async fn take(&self) -> Arc<Seat> {
        let permit = loop {
            // The semaphore is never closed, so an error does not come; the loop would go on all the same.
            tokio::select! {
                biased;
                Ok(permit) = self.room.clone().acquire_owned() => break permit,
                close = self.line.longest_idle() => self.close(&close),
            }
            if let Ok(Ok(permit)) = timeout(LEAVES_WITHIN, self.room.clone().acquire_owned()).await {
                break permit;
            }
        };
        self.metrics.http_connection(1);
        let (line, metrics) = (self.line.clone(), self.metrics.clone());
        let seat = Seat { line, close: Arc::default(), place: Mutex::default(), metrics, _permit: permit };
        seat.lock().number = seat.line.queue(seat.close.clone());
        Arc::new(seat)
    }

    /// Tells the one that has been idle for longest to close, if there is one.
    pub fn make_room(&self) {
        if let Some(close) = self.line.pop() {
            self.close(&close);
        }
    }

    fn close(&self, close: &Notify) {
        self.metrics.http_connection_closed("room");
        close.notify_one();
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, close: Arc<Notify>) -> u64 {
        let mut idle = self.lock();
        idle.next += 1;
        let number = idle.next;
        idle.places.insert(number, close);
        drop(idle);
        self.fell_idle.notify_one();
        number
    }

    fn pop(&self) -> Option<Arc<Notify>> {
        self.lock().places.pop_first().map(|(_, close)| close)
    }

    async fn longest_idle(&self) -> Arc<Notify> {
        loop {
            if let Some(close) = self.pop() {
                return close;
            }
            // Remembered when it was told between the look and the wait.
            self.fell_idle.notified().await;
        }
    }
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has begun.
    pub fn begin(self: &Arc<Seat>) -> UnderWay {
        let mut place = self.lock();
        place.under_way += 1;
        self.line.lock().places.remove(&place.number);
        drop(place);
        UnderWay(self.clone())
    }

    pub fn is_busy(&self) -> bool {
        self.lock().under_way > 0
    }

    /// Until its place is needed by another.
    pub async fn is_needed(&self) {
        self.close.notified().await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut place = self.0.lock();
        place.under_way -= 1;
        if place.under_way == 0 {
            place.number = self.0.line.queue(self.0.close.clone());
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.line.lock().places.remove(&self.lock().number);
        self.metrics.http_connection(-1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(most: usize) -> Seats {
        Seats::new(most, Arc::new(Metrics::new().expect("metrics")))
    }

    #[tokio::test]
    async fn the_longest_idle_makes_room_and_who_has_a_request_under_way_stays() {
        let seats = seats(3);
        let (first, second, third) = (seats.take().await, seats.take().await, seats.take().await);
        // The first was idle for longest; since then it has asked and was answered, and the second asks now.
        drop(first.begin());
        let asks = second.begin();
        let mut fourth = std::pin::pin!(seats.take());
        tokio::select! {
            biased;
            _ = &mut fourth => panic!("nobody has left yet"),
            () = second.is_needed() => panic!("a request is under way"),
            () = first.is_needed() => panic!("the third has been idle for longer"),
            () = third.is_needed() => {}
        }
        drop(third);
        let fourth = fourth.await;
        assert!(second.is_busy() && !first.is_busy() && !fourth.is_busy());
        drop(asks);
        assert!(!second.is_busy());
    }

    #[tokio::test]
    async fn without_an_idle_one_it_waits_until_one_falls_idle_or_leaves() {
        let seats = seats(1);
        let only = seats.take().await;
        let asks = only.begin();
        let mut next = std::pin::pin!(seats.take());
        assert!(timeout(Duration::from_millis(20), &mut next).await.is_err());
        drop(asks);
        assert!(timeout(Duration::from_millis(20), &mut next).await.is_err());
        only.is_needed().await;
        drop(only);
        next.await;
    }
}
