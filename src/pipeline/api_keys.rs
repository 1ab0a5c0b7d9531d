//! Keys of the API that are kept on the desk: how one is written, what is stored of it, and what may be done with it.

mod text;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use text::{Fresh, KeyHash, KeyId, Written};

use super::desk::Answer;
use crate::engine::limits::TENANT_CHARS_MAX;
use crate::engine::time::EventTime;

/// Keys in force at one time. Beyond: no further one is made.
pub const KEYS_MAX: u64 = 10_000;
/// Keys of one list, those in force first. Beyond: the oldest that have ended are left out.
pub const LISTED_MAX: usize = 1_000;
/// Longest time for which a key and the one that takes its place hold together.
pub const OVERLAP_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Longest life of a key that ends.
pub const EXPIRES_DAYS_MAX: u32 = 3_650;
/// Greatest rate a second and greatest burst.
pub const RATE_MAX: u32 = 1_000_000;

/// Who else brings rule books, as the history names them: no key may be called so.
pub const NAMES_RESERVED: [&str; 4] = ["start", "folder", "breaker", "anyone"];

/// What an API key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Quotes of its tenant and the decisions on them.
    Checks,
    /// The rules, which are those of every tenant.
    Rules,
    /// Rulings on cases of its tenant, snoozes and erasures.
    Rulings,
    /// The pipelines of the instance: list, pause, resume, drain.
    Ops,
}

impl Permission {
    pub const ALL: [Permission; 4] = [Permission::Checks, Permission::Rules, Permission::Rulings, Permission::Ops];

    pub fn name(self) -> &'static str {
        match self {
            Permission::Checks => "checks",
            Permission::Rules => "rules",
            Permission::Rulings => "rulings",
            Permission::Ops => "ops",
        }
    }

    pub fn parse(name: &str) -> Option<Permission> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }

    /// It opens what is every tenant's: nobody who is bound to one gives it.
    pub fn is_of_all(self) -> bool {
        matches!(self, Permission::Rules | Permission::Ops)
    }

    /// As it is stored and shown.
    pub fn join(permissions: &[Permission]) -> String {
        permissions.iter().map(|permission| permission.name()).collect::<Vec<_>>().join(",")
    }
}

/// How often a key may ask. `None` is what the configuration says for all, 0 a second is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    pub per_sec: Option<u32>,
    /// Requests at once after a rest; one second's worth when absent.
    pub burst: Option<u32>,
}

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    pub name: String,
    pub tenant: String,
    pub may: Vec<Permission>,
    pub limit: Limit,
    /// It never ends when absent.
    pub expires_days: Option<u32>,
}

/// What is wrong with a key to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("a name has 2 to 64 of a-z, 0-9, dot, @, _ and -, and is not start, folder, breaker or anyone")]
    Name,
    #[error("a tenant has 1 to 64 characters")]
    Tenant,
    #[error("name what the key opens: checks, rules, rulings, ops")]
    May,
    #[error("a rate is at most 1000000 a second, and a burst 1 to 1000000")]
    Limit,
    #[error("a key lives for 1 to 3650 days, or without end")]
    Expires,
}

impl NewKey {
    /// # Errors
    /// What cannot be.
    pub fn check(&self) -> Result<(), Fault> {
        let is_name = (2..=64).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._@-".contains(&b));
        if !is_name || NAMES_RESERVED.contains(&self.name.as_str()) {
            return Err(Fault::Name);
        }
        if self.tenant.is_empty() || self.tenant.contains('\0') || self.tenant.chars().count() > TENANT_CHARS_MAX {
            return Err(Fault::Tenant);
        }
        if self.may.is_empty() {
            return Err(Fault::May);
        }
        let Limit { per_sec, burst } = self.limit;
        if per_sec.is_some_and(|rate| rate > RATE_MAX) || burst.is_some_and(|burst| burst == 0 || burst > RATE_MAX) {
            return Err(Fault::Limit);
        }
        if self.expires_days.is_some_and(|days| days == 0 || days > EXPIRES_DAYS_MAX) {
            return Err(Fault::Expires);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    InForce,
    /// In force until it expires, and another has taken its place.
    Replaced,
    Expired,
    Revoked,
}

impl KeyState {
    pub fn is_in_force(self) -> bool {
        matches!(self, KeyState::InForce | KeyState::Replaced)
    }
}

/// A key as people see it: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    pub id: KeyId,
    pub name: String,
    pub tenant: String,
    pub may: Vec<Permission>,
    pub limit: Limit,
    pub created_at: EventTime,
    pub created_by: String,
    pub expires_at: Option<EventTime>,
    pub revoked_at: Option<EventTime>,
    /// To a minute.
    pub last_used_at: Option<EventTime>,
    pub rotated_from: Option<KeyId>,
    pub state: KeyState,
}

/// A key as requests are held against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    pub id: KeyId,
    pub hash: KeyHash,
    pub name: String,
    pub tenant: String,
    pub may: Vec<Permission>,
    pub limit: Limit,
    /// From when it was read.
    pub expires_in: Option<Duration>,
}

/// Every key in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    pub version: u64,
    /// There is or was a key: who has none is refused for good.
    pub is_closed: bool,
    pub keys: Vec<HeldKey>,
}

/// Who acts on a key.
#[derive(Clone, Debug)]
pub struct Actor {
    /// As the audit names them.
    pub name: String,
    /// The only tenant whose keys they see and change, and then no key that opens what is every tenant's.
    pub tenant: Option<String>,
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    #[error("{0}")]
    Fault(#[from] Fault),
    /// Nobody needs a key yet, and from this one on everybody would.
    #[error("this is the first key: from it on, requests without a key are refused; say that this is meant")]
    WouldClose,
    #[error("a key of this name is in force; rotate or revoke it, or choose another name")]
    NameTaken,
    #[error("too many keys are in force; revoke some")]
    TooMany,
    #[error("this is for somebody who sees every tenant")]
    NotAllowed,
    #[error("there is no such key")]
    NoKey,
    #[error("the key is not in force any more")]
    Ended,
    #[error("another key has taken its place already")]
    Replaced,
}

/// The keys on the desk. Every time that it writes or compares is its database's, and each change is in the audit with it or not done.
pub trait ApiKeys: Send + Sync {
    /// Those in force first, then the newest first.
    fn api_keys(&self, tenant: Option<&str>) -> Answer<Vec<ListedKey>>;

    /// Grows with every change.
    fn api_keys_version(&self) -> Answer<u64>;

    fn api_keys_in_force(&self) -> Answer<InForce>;

    /// `closes`: that those without a key are refused from the first one on is known.
    fn create_api_key(&self, fresh: &Fresh, new: NewKey, by: Actor, closes: bool) -> Answer<Result<(), NotDone>>;

    /// Makes a key that is like the old one and lives as long; the old one ends after `overlap`, or when it would have.
    fn rotate_api_key(&self, old: KeyId, fresh: &Fresh, by: Actor, overlap: Duration) -> Answer<Result<(), NotDone>>;

    /// Ends a key at once.
    fn revoke_api_key(&self, id: KeyId, by: Actor) -> Answer<Result<(), NotDone>>;

    /// These were used just now.
    fn note_api_keys(&self, used: Vec<KeyId>) -> Answer<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        let good = NewKey {
            name: "site".into(),
            tenant: "north".into(),
            may: vec![Permission::Checks],
            limit: Limit::default(),
            expires_days: None,
        };
        assert_eq!(good.check(), Ok(()));
        let limit = |per_sec, burst| NewKey { limit: Limit { per_sec, burst }, ..good.clone() };
        for (new, expected) in [
            (NewKey { name: "s".into(), ..good.clone() }, Fault::Name),
            (NewKey { name: "Site".into(), ..good.clone() }, Fault::Name),
            (NewKey { name: "breaker".into(), ..good.clone() }, Fault::Name),
            (NewKey { tenant: String::new(), ..good.clone() }, Fault::Tenant),
            (NewKey { tenant: "я".repeat(65), ..good.clone() }, Fault::Tenant),
            (NewKey { may: vec![], ..good.clone() }, Fault::May),
            (NewKey { expires_days: Some(0), ..good.clone() }, Fault::Expires),
            (limit(Some(RATE_MAX + 1), None), Fault::Limit),
            (limit(Some(1), Some(0)), Fault::Limit),
        ] {
            assert_eq!(new.check(), Err(expected), "{new:?}");
        }
        assert_eq!(limit(Some(0), None).check(), Ok(()), "no limit");
    }
}
