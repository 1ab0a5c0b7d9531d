//! The only place that reads the machine's clock for the log.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Clock;
use crate::engine::time::ArrivalTime;

pub struct SystemClock;

impl Clock for SystemClock {
    /// Microseconds since 1970; 0 when the machine's clock stands before that.
    #[allow(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    fn now(&self) -> ArrivalTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ArrivalTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}
