//! Turns: what is done for one key is done one after another.

use tokio::sync::{Mutex, MutexGuard};
use xxhash_rust::xxh3::xxh3_64;

/// Keys that meet at one door wait for each other, which costs them some milliseconds.
const DOORS: usize = 64;

pub struct Doors([Mutex<()>; DOORS]);

impl Default for Doors {
    fn default() -> Doors {
        Doors(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl Doors {
    /// Waits for its turn, which lasts as long as what it gives.
    pub async fn enter(&self, key: &str) -> MutexGuard<'_, ()> {
        let door = xxh3_64(key.as_bytes()) as usize % DOORS;
        self.0[door].lock().await
    }
}
