//! Whether the service can take quotes, as `/readyz` tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::partitioner::partition_of;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Readiness {
    /// The window is being loaded.
    Starting = 0,
    Ready = 1,
    /// The store or the log refuses what is to be made durable; what is queued waits and is retried.
    StoreDown = 2,
    /// Shutting down, or the writer has stopped.
    Stopping = 3,
}

#[derive(Debug, Default)]
pub struct Health {
    readiness: AtomicU8,
    /// Of the log, where it has several.
    partitions: OnceLock<NonZeroU32>,
    /// Partitions of this instance that an error has stopped, and why.
    stopped: Mutex<BTreeMap<u32, String>>,
    /// Those that an operator holds.
    held: Mutex<BTreeSet<u32>>,
    /// Why the desk does not follow the log now.
    desk: Mutex<Option<String>>,
}

impl Health {
    /// `Stopping` is final.
    pub fn set(&self, readiness: Readiness) {
        self.change(|now| (now != Readiness::Stopping).then_some(readiness));
    }

    /// Only from `from`: whoever has learnt more since is right.
    pub fn step(&self, from: Readiness, to: Readiness) {
        self.change(|now| (now == from).then_some(to));
    }

    fn change(&self, to: impl Fn(Readiness) -> Option<Readiness>) {
        let _ = self.readiness.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| to(of(now)).map(|to| to as u8));
    }

    pub fn get(&self) -> Readiness {
        of(self.readiness.load(Ordering::Acquire))
    }

    /// How many partitions the log has.
    pub fn partitioned(&self, partitions: NonZeroU32) {
        let _ = self.partitions.set(partitions);
    }

    pub fn partition_stopped(&self, partition: u32, reason: String) {
        self.stopped().insert(partition, reason);
    }

    /// The partition is decided here again, or is another instance's.
    pub fn partition_well(&self, partition: u32) {
        self.stopped().remove(&partition);
    }

    /// The stopped partitions and why.
    pub fn stopped_partitions(&self) -> Vec<(u32, String)> {
        self.stopped().iter().map(|(partition, reason)| (*partition, reason.clone())).collect()
    }

    /// An operator holds a partition of this instance, or does so no longer.
    pub fn partition_held(&self, partition: u32, is_held: bool) {
        let mut held = self.held();
        if is_held {
            held.insert(partition)
        } else {
            held.remove(&partition)
        };
    }

    /// The partitions that an operator holds.
    pub fn held_partitions(&self) -> Vec<u32> {
        self.held().iter().copied().collect()
    }

    /// Why the desk does not follow the log; `None` when it does. Quotes are taken all the same.
    pub fn desk(&self, reason: Option<String>) {
        *self.desk.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    pub fn desk_stands_still(&self) -> Option<String> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the partition that this tenant's quotes go to is stopped, or held by an operator.
    pub fn is_stopped_for(&self, tenant: &str) -> bool {
        let Some(partitions) = self.partitions.get() else { return false };
        let (stopped, held) = (self.stopped(), self.held());
        if stopped.is_empty() && held.is_empty() {
            return false;
        }
        let partition = partition_of(tenant.as_bytes(), *partitions);
        stopped.contains_key(&partition) || held.contains(&partition)
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(readiness: u8) -> Readiness {
    match readiness {
        0 => Readiness::Starting,
        1 => Readiness::Ready,
        2 => Readiness::StoreDown,
        _ => Readiness::Stopping,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_is_final() {
        let health = Health::default();
        assert_eq!(health.get(), Readiness::Starting);
        health.step(Readiness::Ready, Readiness::StoreDown);
        assert_eq!(health.get(), Readiness::Starting, "it was not ready");
        health.set(Readiness::Ready);
        health.step(Readiness::Ready, Readiness::StoreDown);
        assert_eq!(health.get(), Readiness::StoreDown);
        health.set(Readiness::Stopping);
        health.set(Readiness::Ready);
        assert_eq!(health.get(), Readiness::Stopping);
    }

    #[test]
    fn a_stopped_partition_concerns_its_tenants_only() {
        let health = Health::default();
        let four = NonZeroU32::new(4).expect("not zero");
        let tenants: Vec<String> = (0..40).map(|i| format!("tenant-{i}")).collect();
        health.partition_stopped(2, "LOG_REGRESSION".into());
        assert!(tenants.iter().all(|tenant| !health.is_stopped_for(tenant)), "one log");
        health.partitioned(four);
        for tenant in &tenants {
            assert_eq!(health.is_stopped_for(tenant), partition_of(tenant.as_bytes(), four) == 2, "{tenant}");
        }
        health.partition_well(2);
        assert!(tenants.iter().all(|tenant| !health.is_stopped_for(tenant)));
    }
}
