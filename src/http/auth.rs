//! API keys: who is asking, and for which tenant. Those of the configuration and those of the desk, which are held in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::sync::{Notify, Semaphore};

use super::rate::{Addresses, Clock, Meter, Rate};
use crate::config::{ApiKey, Http, Permission};
use crate::pipeline::api_keys::{HeldKey, InForce, KeyHash, KeyId, Limit, Written};

/// The use of a key is noted again after so long.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// A key that was not noted yet, or has been told to.
const NEVER: u64 = 0;
const USED: u64 = u64::MAX;

/// Whom a request speaks for.
#[derive(Clone, Debug)]
pub struct Client {
    pub name: Arc<str>,
    pub tenant: Arc<str>,
    pub may: Arc<[Permission]>,
    rate: Option<Rate>,
    share: Arc<Share>,
}

/// What a client has used up. Keys of one rotation have it together.
#[derive(Debug)]
struct Share {
    /// Its quotes in the queue, so that it cannot fill it alone.
    room: Arc<Semaphore>,
    meter: Meter,
}

impl Client {
    pub fn room(&self) -> Arc<Semaphore> {
        self.share.room.clone()
    }
}

#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody needs a key: everybody may, for any tenant.
    Anyone,
    Known(Client),
    /// Keys are needed, and none or a wrong one was given: what to tell.
    Unknown(Wrong),
    /// Whether keys are needed, or this one is good, is not known before the desk was read.
    NotYet,
}

/// Why a key opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    Missing,
    /// Of the desk, by its form: it has ended, or is another service's.
    Ended(KeyId),
    Mistyped,
    Other,
}

/// Every key, and how often each may ask.
pub struct Keys {
    configured: Vec<(KeyHash, Client)>,
    /// Whoever has no key is refused, whatever the desk says.
    is_closed: bool,
    rate: Option<Rate>,
    queue_client_max: usize,
    desk: RwLock<Arc<DeskKeys>>,
    changed: Notify,
    addresses: Addresses,
    clock: Clock,
}

/// The desk's keys as they were last read.
#[derive(Default)]
struct DeskKeys {
    is_read: bool,
    is_closed: bool,
    keys: BTreeMap<KeyId, DeskKey>,
}

struct DeskKey {
    hash: KeyHash,
    ends: Option<Instant>,
    client: Client,
    /// [`NEVER`], [`USED`] since it was last noted, or when that was.
    noted: Arc<AtomicU64>,
}

/// Of an entry's key, whichever way it is given; `None` without a usable one.
pub fn digest(entry: &ApiKey) -> Option<KeyHash> {
    match (&entry.key, &entry.key_sha256) {
        (Some(key), _) => Some(Sha256::digest(key.0.as_bytes()).into()),
        (None, Some(hash)) => parse_sha256(hash),
        (None, None) => None,
    }
}

impl Keys {
    /// From a checked configuration; an entry without a usable key lets nobody in. Of the desk nothing is known yet.
    ///
    /// `queue_client_max` is how many quotes of a key may wait for the writer.
    pub fn new(http: &Http, queue_client_max: usize) -> Keys {
        let mut keys = Keys {
            configured: Vec::new(),
            is_closed: http.require_keys || !http.keys.is_empty(),
            rate: Rate::of(http.rate_per_sec, Some(http.rate_burst)),
            queue_client_max,
            desk: RwLock::default(),
            changed: Notify::new(),
            addresses: Addresses::default(),
            clock: Clock::default(),
        };
        let client = |key: &ApiKey| {
            let limit = Limit { per_sec: key.rate_per_sec, burst: key.burst };
            keys.client(&key.name, &key.tenant, &key.may, limit, keys.share())
        };
        keys.configured = http.keys.iter().filter_map(|key| Some((digest(key)?, client(key)))).collect();
        keys
    }

    fn share(&self) -> Arc<Share> {
        let room = Arc::new(Semaphore::new(self.queue_client_max.min(Semaphore::MAX_PERMITS)));
        Arc::new(Share { room, meter: Meter::default() })
    }

    fn client(&self, name: &str, tenant: &str, may: &[Permission], limit: Limit, share: Arc<Share>) -> Client {
        let rate = limit.per_sec.map_or(self.rate, |per_sec| Rate::of(per_sec, limit.burst));
        Client { name: name.into(), tenant: tenant.into(), may: may.into(), rate, share }
    }

    /// Looks at `Authorization: Bearer` and `X-Api-Key`. Takes the same time whichever key of the configuration matches, or none, and
    /// whether a key of the desk is wrong or unknown.
    pub fn caller(&self, headers: &HeaderMap) -> Caller {
        let desk = self.desk();
        let presented = presented(headers);
        if let Some(client) = presented.and_then(|key| self.known(&desk, key)) {
            return Caller::Known(client);
        }
        let written = presented.map(Written::read);
        match (desk.is_read, written) {
            (true, _) if !self.is_closed && !desk.is_closed => Caller::Anyone,
            (false, _) if !self.is_closed => Caller::NotYet,
            (false, Some(Written::Key(_))) => Caller::NotYet,
            (_, None) => Caller::Unknown(Wrong::Missing),
            (_, Some(Written::Key(id))) => Caller::Unknown(Wrong::Ended(id)),
            (_, Some(Written::Mistyped)) => Caller::Unknown(Wrong::Mistyped),
            (_, Some(Written::Other)) => Caller::Unknown(Wrong::Other),
        }
    }

    fn known(&self, desk: &DeskKeys, key: &[u8]) -> Option<Client> {
        let hash: KeyHash = Sha256::digest(key).into();
        let mut found = u32::MAX;
        for (i, (expected, _)) in (0..).zip(&self.configured) {
            let equal: Choice = expected.ct_eq(&hash);
            found.conditional_assign(&i, equal);
        }
        let configured = self.configured.get(found as usize).map(|(_, client)| client.clone());
        let Written::Key(id) = Written::read(key) else { return configured };
        let held = desk.keys.get(&id);
        let is_right = bool::from(held.map_or(&[0; 32], |held| &held.hash).ct_eq(&hash));
        let held = held.filter(|held| is_right && held.ends.is_none_or(|ends| Instant::now() < ends))?;
        held.was_used(self.clock.now());
        Some(held.client.clone())
    }

    /// Counts a request of this caller, from this address.
    ///
    /// # Errors
    /// It asks too often: for how long to wait.
    pub fn admit(&self, caller: &Caller, address: Option<IpAddr>) -> Result<(), Duration> {
        let (meter, rate) = match caller {
            Caller::Known(client) => (Some(&client.share.meter), client.rate),
            Caller::Anyone => (address.map(|address| self.addresses.meter(address)), self.rate),
            // It is refused at once, which costs less than to remember it.
            Caller::Unknown(_) | Caller::NotYet => (None, None),
        };
        match (meter, rate) {
            (Some(meter), Some(rate)) => meter.take(rate, self.clock.now()),
            _ => Ok(()),
        }
    }

    fn desk(&self) -> Arc<DeskKeys> {
        self.desk.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody needs a key: the first one on the desk would change that.
    pub fn is_open(&self) -> bool {
        !self.is_closed && !self.desk().is_closed
    }

    /// Holds requests against these from now on. What clients have used up stays.
    pub fn put(&self, read: InForce) {
        let before = self.desk();
        let mut shares: BTreeMap<(&str, &str), Arc<Share>> = BTreeMap::new();
        for DeskKey { client, .. } in before.keys.values() {
            shares.insert((&client.name, &client.tenant), client.share.clone());
        }
        let now = Instant::now();
        let mut keys = BTreeMap::new();
        for HeldKey { id, hash, name, tenant, may, limit, expires_in } in &read.keys {
            let share = shares.entry((name, tenant)).or_insert_with(|| self.share()).clone();
            let client = self.client(name, tenant, may, *limit, share);
            let noted = before.keys.get(id).map_or_else(Arc::default, |held| held.noted.clone());
            // One that ends beyond the clock's end does not end.
            let ends = expires_in.and_then(|left| now.checked_add(left));
            keys.insert(*id, DeskKey { hash: *hash, ends, client, noted });
        }
        // A desk that was lost and made anew opens nothing.
        let is_closed = read.is_closed || before.is_closed;
        let now = Arc::new(DeskKeys { is_read: true, is_closed, keys });
        *self.desk.write().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Keys that were used and whose use is to be noted now.
    pub fn take_used(&self) -> Vec<KeyId> {
        let now = self.clock.now().max(1);
        let is_used = |held: &DeskKey| held.noted.compare_exchange(USED, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        self.desk().keys.iter().filter(|(_, held)| is_used(held)).map(|(id, _)| *id).collect()
    }

    /// Their use could not be noted.
    pub fn give_back_used(&self, ids: &[KeyId]) {
        let (desk, ids) = (self.desk(), ids.iter().collect::<BTreeSet<_>>());
        desk.keys.iter().filter(|(id, _)| ids.contains(id)).for_each(|(_, held)| held.noted.store(USED, Ordering::Relaxed));
    }

    /// The keys on the desk were changed here: they are read anew at once.
    pub fn have_changed(&self) {
        self.changed.notify_one();
    }

    pub async fn are_changed(&self) {
        self.changed.notified().await;
    }
}

impl DeskKey {
    fn was_used(&self, now: u64) {
        let noted = self.noted.load(Ordering::Relaxed);
        let is_due = noted == NEVER || now.saturating_sub(noted) >= NOTE_EVERY.as_nanos() as u64;
        if noted != USED && is_due {
            self.noted.store(USED, Ordering::Relaxed);
        }
    }
}

fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes).and_then(|value| {
        let (scheme, key) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
    });
    bearer.or_else(|| headers.get("x-api-key").map(axum::http::HeaderValue::as_bytes))
}

/// 64 hex digits.
pub fn parse_sha256(text: &str) -> Option<KeyHash> {
    let digits = text.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests;
