//! The keys of the desk: read into memory, and their use written back, beside the requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::auth::Keys;
use crate::pipeline::api_keys::ApiKeys;
use crate::pipeline::desk::DeskError;
use crate::pipeline::health::{Health, Readiness};

/// How often the desk is asked whether its keys have changed: a revoked key ends within two seconds on every instance.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A start waits so long for a desk that is away.
const FIRST_WITHIN: Duration = Duration::from_secs(3);

struct Follower {
    keys: Arc<Keys>,
    desk: Arc<dyn ApiKeys>,
    version: Option<u64>,
}

/// Reads the keys, and follows them until the service stops. While the desk is away those that were read last hold.
pub async fn follow(keys: Arc<Keys>, desk: Arc<dyn ApiKeys>, health: Arc<Health>) {
    let mut follower = Follower { keys, desk, version: None };
    let first = timeout(FIRST_WITHIN, follower.look()).await;
    let mut is_away = !matches!(first, Ok(Ok(())));
    if is_away {
        tracing::warn!("the desk does not answer yet: API keys that are kept there are not known before it does");
    }
    tokio::spawn(async move {
        while health.get() != Readiness::Stopping {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = follower.keys.are_changed() => {}
            }
            match follower.look().await {
                Ok(()) if is_away => {
                    is_away = false;
                    tracing::info!("the API keys of the desk are followed again");
                }
                Err(error) if !is_away => {
                    is_away = true;
                    tracing::warn!(%error, "the API keys of the desk cannot be read: those that were read last hold");
                }
                _ => {}
            }
        }
    });
}

impl Follower {
    async fn look(&mut self) -> Result<(), DeskError> {
        let version = self.desk.api_keys_version().await?;
        if self.version != Some(version) {
            let read = self.desk.api_keys_in_force().await?;
            self.version = Some(read.version);
            tracing::info!(version = read.version, keys = read.keys.len(), "the API keys of the desk were read");
            self.keys.put(read);
        }
        let used = self.keys.take_used();
        if used.is_empty() {
            return Ok(());
        }
        self.desk.note_api_keys(used.clone()).await.inspect_err(|_| self.keys.give_back_used(&used))
    }
}
