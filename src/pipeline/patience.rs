//! Waiting on a thread of its own for what a task will do, and not for ever.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits until the future is done; `None` when it is not by the deadline. Call it from outside of a task.
pub fn until<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Some(done);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn what_is_done_in_time_is_there_and_what_is_not_is_given_up() {
        let soon = Instant::now() + Duration::from_secs(60);
        let (tell, told) = oneshot::channel();
        let (waits, waiting) = oneshot::channel();
        let teller = thread::spawn(move || {
            waiting.blocking_recv().expect("the other waits");
            tell.send(7).expect("awaited");
        });
        waits.send(()).expect("runs");
        assert_eq!(until(soon, told), Some(Ok(7)));
        teller.join().expect("ends");
        let (tell, told) = oneshot::channel::<()>();
        assert_eq!(until(Instant::now() + Duration::from_millis(1), told), None);
        assert!(tell.is_closed());
    }
}
