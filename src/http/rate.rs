//! How often somebody may ask: the generic cell rate algorithm in its virtual scheduling form (ITU-T I.371, annex A; the leaky
//! bucket as a meter). What is held of a client is one number, the time at which it would have paid for all it has asked.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SECOND_NS: u64 = 1_000_000_000;
/// Addresses that are told apart. Beyond: some share one meter, and no memory is asked for. A power of two.
const ADDRESSES_MAX: usize = 1 << 16;

/// A rate and what may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds from one request to the next.
    interval: u64,
    /// Nanoseconds that a request may come before its time.
    tolerance: u64,
}

impl Rate {
    /// `burst`: requests at once after a rest.
    pub fn new(per_sec: NonZeroU32, burst: NonZeroU32) -> Rate {
        let interval = SECOND_NS / u64::from(per_sec.get());
        Rate { interval, tolerance: interval * u64::from(burst.get() - 1) }
    }

    /// As settings say it: 0 a second is no limit, and without a burst one second's worth may come at once.
    pub fn of(per_sec: u32, burst: Option<u32>) -> Option<Rate> {
        let per_sec = NonZeroU32::new(per_sec)?;
        Some(Rate::new(per_sec, burst.and_then(NonZeroU32::new).unwrap_or(per_sec)))
    }
}

/// Of one client: when its next request would be due, in nanoseconds of [`Clock`].
#[derive(Debug, Default)]
pub struct Meter(AtomicU64);

impl Meter {
    /// Counts a request at `now`.
    ///
    /// # Errors
    /// It came too early, and was not counted: for how long to wait.
    pub fn take(&self, rate: Rate, now: u64) -> Result<(), Duration> {
        let mut due = self.0.load(Ordering::Relaxed);
        loop {
            let early = due.saturating_sub(now);
            if early > rate.tolerance {
                return Err(Duration::from_nanos(early - rate.tolerance));
            }
            let next = due.max(now).saturating_add(rate.interval);
            match self.0.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => due = other,
            }
        }
    }
}

/// Nanoseconds since it was made.
pub struct Clock(Instant);

impl Default for Clock {
    fn default() -> Clock {
        Clock(Instant::now())
    }
}

impl Clock {
    pub fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A meter for each address, in a table of a fixed size: two addresses of one place share it, which nobody can arrange from outside.
pub struct Addresses {
    meters: Box<[Meter]>,
    seed: RandomState,
}

impl Default for Addresses {
    fn default() -> Addresses {
        Addresses { meters: (0..ADDRESSES_MAX).map(|_| Meter::default()).collect(), seed: RandomState::new() }
    }
}

impl Addresses {
    pub fn meter(&self, address: IpAddr) -> &Meter {
        let hash = self.seed.hash_one(network(address));
        &self.meters[hash as usize & (ADDRESSES_MAX - 1)]
    }
}

/// One client has a whole /64 of IPv6 to send from.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn rate(per_sec: u32, burst: u32) -> Rate {
        Rate::of(per_sec, Some(burst)).expect("a rate")
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (meter, rate) = (Meter::default(), rate(10, 3));
        let ms = |ms: u64| ms * 1_000_000;
        for _ in 0..3 {
            assert_eq!(meter.take(rate, ms(5_000)), Ok(()));
        }
        assert_eq!(meter.take(rate, ms(5_000)), Err(Duration::from_millis(100)));
        assert_eq!(meter.take(rate, ms(5_099)), Err(Duration::from_millis(1)), "what was refused does not count");
        assert_eq!(meter.take(rate, ms(5_100)), Ok(()));
        assert_eq!(meter.take(rate, ms(5_100)), Err(Duration::from_millis(100)));
        assert_eq!(Rate::of(0, Some(5)), None, "no limit");
        assert_eq!(Rate::of(7, None), Rate::of(7, Some(7)));
    }

    proptest! {
        /// A bucket of tokens in whole numbers, filled at each request: the oracle.
        #[test]
        fn it_decides_as_a_bucket_does_and_the_wait_is_the_shortest(
            per_sec in 1u32..50_000,
            burst in 1u32..200,
            gaps in vec(0u64..200_000_000, 1..400),
        ) {
            let (meter, rate) = (Meter::default(), rate(per_sec, burst));
            let (cost, most) = (rate.interval, rate.interval * u64::from(burst));
            let (mut now, mut tokens) = (0, most);
            for gap in gaps {
                // Half of them follow closely.
                let gap = if gap % 2 == 0 { gap % (cost + 1) } else { gap };
                now += gap;
                tokens = most.min(tokens + gap);
                let expected = if tokens >= cost { Ok(()) } else { Err(Duration::from_nanos(cost - tokens)) };
                tokens -= if expected.is_ok() { cost } else { 0 };
                prop_assert_eq!(meter.take(rate, now), expected);
                if let Err(wait) = expected {
                    let wait = wait.as_nanos() as u64;
                    prop_assert!(meter.take(rate, now + wait - 1).is_err());
                }
            }
        }

        /// In any second after the burst no more pass than the rate says.
        #[test]
        fn no_second_lets_more_pass_than_burst_and_rate(per_sec in 1u32..2_000, burst in 1u32..50, gaps in vec(0u64..5_000_000, 1..600)) {
            let (meter, rate) = (Meter::default(), rate(per_sec, burst));
            let (mut now, mut passed) = (0u64, Vec::new());
            for gap in gaps {
                now += gap;
                if meter.take(rate, now).is_ok() {
                    passed.push(now);
                }
            }
            for (i, from) in passed.iter().enumerate() {
                let within = passed[i..].iter().take_while(|at| **at - *from < SECOND_NS).count() as u64;
                prop_assert!(within <= u64::from(burst) + u64::from(per_sec) + 1);
            }
        }
    }

    #[test]
    fn many_at_once_take_no_more_than_there_is() {
        let (meter, rate) = (Meter::default(), rate(1, 1_000));
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1_000).filter(|_| meter.take(rate, 7).is_ok()).count())).collect();
            threads.into_iter().map(|thread| thread.join().expect("ends")).sum()
        });
        assert_eq!(passed, 1_000);
    }

    #[test]
    fn an_address_has_a_meter_and_a_network_of_ipv6_one_for_all() {
        let addresses = Addresses::default();
        let meter = |text: &str| std::ptr::from_ref(addresses.meter(text.parse().expect("an address")));
        assert_eq!(meter("192.0.2.1"), meter("::ffff:192.0.2.1"));
        assert_eq!(meter("2001:db8::1"), meter("2001:db8::ffff:1"));
        // Two of these may share a meter by chance, not all.
        let others: std::collections::BTreeSet<_> = (1..=20).map(|host| meter(&format!("192.0.2.{host}"))).collect();
        assert!(others.len() > 15, "{}", others.len());
    }
}
