//! Whether the service can take quotes, as `/readyz` tells it.

use std::sync::atomic::{AtomicU8, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Readiness {
    /// The window is being loaded.
    Starting = 0,
    Ready = 1,
    /// The store refuses commits; what is queued waits and is retried.
    StoreDown = 2,
    /// Shutting down, or the writer has stopped.
    Stopping = 3,
}

#[derive(Debug)]
pub struct Health(AtomicU8);

impl Default for Health {
    fn default() -> Self {
        Health(AtomicU8::new(Readiness::Starting as u8))
    }
}

impl Health {
    /// `Stopping` is final.
    pub fn set(&self, readiness: Readiness) {
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (now != Readiness::Stopping as u8).then_some(readiness as u8)
        });
    }

    pub fn get(&self) -> Readiness {
        match self.0.load(Ordering::Acquire) {
            0 => Readiness::Starting,
            1 => Readiness::Ready,
            2 => Readiness::StoreDown,
            _ => Readiness::Stopping,
        }
    }
}
