//! Where a submission comes from: device, session, address. Honest people and adversaries draw from the same pools.

use crate::rng::{Rng, hash_text};
use crate::wire::Channel;

/// Carrier NAT addresses, each shared by hundreds of subscribers.
const CARRIER_ADDRESSES: u64 = 500;
const SESSION_SECS: f64 = 1_800.0;

#[derive(Clone, Debug)]
pub struct Source {
    pub kind: &'static str,
    pub device: String,
    pub session: String,
    pub ip: String,
    pub agent: String,
    /// On a carrier network: the address changes between visits.
    mobile: bool,
    /// Arrival of the last submission, ms from the episode's start.
    last_ms: i64,
}

impl Source {
    /// A household's own phone or computer.
    pub fn private(rng: &mut Rng) -> Source {
        let mobile = rng.chance(0.45);
        let mut source = Source {
            kind: rng.weighted::<&str>(&[("web", 70.0), ("app", 30.0)]),
            device: if rng.chance(0.03) { String::new() } else { device(rng) },
            session: session(rng),
            ip: String::new(),
            agent: String::new(),
            mobile,
            last_ms: 0,
        };
        source.ip = source.address(rng);
        source
    }

    /// No source at all, for rendering a form apart from any submission.
    pub fn nowhere() -> Source {
        let empty = String::new;
        Source { kind: "web", device: empty(), session: empty(), ip: empty(), agent: empty(), mobile: false, last_ms: 0 }
    }

    /// An office, dealer or broker: one fixed address.
    pub fn fixed(rng: &mut Rng, kind: &'static str) -> Source {
        let mut source = Source { kind, mobile: false, ..Source::private(rng) };
        source.ip = home_address(rng);
        if source.device.is_empty() {
            source.device = device(rng);
        }
        if kind == "agent" {
            source.agent = format!("A-{}", rng.digits(5));
        }
        source
    }

    /// On the carrier's network, behind the address of `pool`.
    pub fn carrier(rng: &mut Rng, pool: u64) -> Source {
        Source { ip: carrier_address(pool), mobile: true, ..Source::private(rng) }
    }

    /// A new visit after half an hour: another session, on a phone often another address.
    pub fn visit(&mut self, rng: &mut Rng, now_ms: i64) {
        if (now_ms - self.last_ms) as f64 > SESSION_SECS * 1_000.0 {
            self.session = session(rng);
            if self.mobile && rng.chance(0.7) {
                self.ip = self.address(rng);
            }
        }
        self.last_ms = now_ms;
    }

    fn address(&self, rng: &mut Rng) -> String {
        if self.mobile { carrier_address(rng.next_u64()) } else { home_address(rng) }
    }

    pub fn channel(&self) -> Channel {
        Channel {
            kind: self.kind.to_string(),
            session_id: self.session.clone(),
            device_id: self.device.clone(),
            ip: self.ip.clone(),
            agent_id: self.agent.clone(),
        }
    }
}

fn device(rng: &mut Rng) -> String {
    format!("{:016x}", rng.next_u64())
}

fn session(rng: &mut Rng) -> String {
    format!("s-{:012x}", rng.next_u64() >> 16)
}

/// A documentation-like private-use range keeps real subscribers out: 100.64.0.0/10 for carriers, 10.0.0.0/8 for homes.
fn carrier_address(pool: u64) -> String {
    let h = hash_text(&format!("carrier {}", pool % CARRIER_ADDRESSES));
    format!("100.{}.{}.{}", 64 + h % 64, (h >> 8) % 256, 1 + (h >> 16) % 254)
}

fn home_address(rng: &mut Rng) -> String {
    format!("10.{}.{}.{}", rng.below(256), rng.below(256), 1 + rng.below(254))
}
