//! Webhooks: each change of a case is posted, signed, in order, until it is taken.
//!
//! A message is the case as it stands when it is sent; who gets one twice knows it by its id and revision.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::desk::{Answer, DeskError, SharedDesk};
use crate::metrics::Metrics;

/// How often it is looked for something to tell.
const EVERY: Duration = Duration::from_millis(250);
/// How long an instance has for one message before another may try.
const LEASE: Duration = Duration::from_secs(60);
/// Wait after the first failure; doubled with each up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// Then the message is given up, after about 13 hours: the next ones must not wait for ever.
const ATTEMPTS_MAX: u32 = 60;

/// A change that a webhook has to be told next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub seq: u64,
    pub referral_id: String,
    pub revision: u32,
    /// Failed ones so far.
    pub attempts: u32,
}

/// What is to be told, kept where the cases are. Every time is its database's.
pub trait Outbox: Send + Sync {
    /// The next change for this webhook, if it is due and no other instance is at it; reserved for `lease`. A webhook that was not
    /// there before is told what comes from now on.
    fn due(&self, webhook: &str, tenant: Option<&str>, lease: Duration) -> Answer<Option<Due>>;

    /// It is told, or given up.
    fn told(&self, webhook: &str, seq: u64) -> Answer<()>;

    /// It has failed once more, and is due again after `wait`.
    fn failed(&self, webhook: &str, wait: Duration) -> Answer<()>;
}

/// Carries a message to its receiver. Blocks.
pub trait Post: Send {
    /// # Errors
    /// Why it was not taken; no personal data.
    fn post(&self, delivery: &str, body: &[u8]) -> Result<(), String>;
}

pub struct Sender<P> {
    pub name: String,
    /// Only its cases.
    pub tenant: Option<String>,
    pub desk: SharedDesk,
    pub outbox: Arc<dyn Outbox>,
    pub post: P,
    pub metrics: Arc<Metrics>,
    pub runtime: Handle,
}

impl<P: Post> Sender<P> {
    /// Until `stop` is dropped. A desk that is away is asked again.
    pub fn run(self, stop: &Receiver<()>) {
        while matches!(stop.recv_timeout(EVERY), Err(RecvTimeoutError::Timeout)) {
            while matches!(stop.try_recv(), Err(TryRecvError::Empty)) {
                match self.tell_next() {
                    Ok(true) => {}
                    Ok(false) | Err(_) => break,
                }
            }
        }
    }

    /// Gives whether there was anything to tell.
    fn tell_next(&self) -> Result<bool, DeskError> {
        let Some(due) = self.wait(|| self.outbox.due(&self.name, self.tenant.as_deref(), LEASE))? else {
            return Ok(false);
        };
        let referral = match self.wait(|| self.desk.referral(&due.referral_id, self.tenant.as_deref())) {
            Err(DeskError::NoCase(_)) => None,
            referral => Some(referral?),
        };
        // A later change is told by its own message, which is on its way.
        let current = referral.filter(|referral| referral.revision == due.revision);
        if let Some(body) = current.and_then(|referral| serde_json::to_vec(&referral).ok()) {
            let delivery = format!("{}.{}", due.referral_id, due.revision);
            if let Err(reason) = self.post.post(&delivery, &body) {
                return self.failed(&due, &reason);
            }
            self.metrics.webhook(&self.name, "taken");
        }
        self.wait(|| self.outbox.told(&self.name, due.seq))?;
        Ok(true)
    }

    /// The desk begins its work when it is asked, which has to be on the runtime.
    fn wait<T>(&self, ask: impl FnOnce() -> Answer<T>) -> Result<T, DeskError> {
        self.runtime.block_on(async { ask().await })
    }

    fn failed(&self, due: &Due, reason: &str) -> Result<bool, DeskError> {
        self.metrics.webhook(&self.name, "failed");
        if due.attempts + 1 >= ATTEMPTS_MAX {
            tracing::error!(
                webhook = self.name,
                referral_id = due.referral_id,
                reason,
                "a webhook was given up: it takes no message"
            );
            self.metrics.webhook(&self.name, "given_up");
            self.wait(|| self.outbox.told(&self.name, due.seq))?;
            return Ok(true);
        }
        if due.attempts == 0 {
            tracing::warn!(webhook = self.name, reason, "a webhook did not take a message; it is tried again");
        }
        self.wait(|| self.outbox.failed(&self.name, wait(due.attempts)))?;
        Ok(false)
    }
}

fn wait(attempts: u32) -> Duration {
    WAIT_MIN.saturating_mul(1 << attempts.min(16)).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_give_up_after_half_a_day() {
        assert_eq!([0, 1, 5, 40].map(|attempts| wait(attempts).as_secs()), [1, 2, 32, 900]);
        let all: u64 = (0..ATTEMPTS_MAX).map(|attempts| wait(attempts).as_secs()).sum();
        assert!((12 * 3_600..14 * 3_600).contains(&all), "{all}");
    }
}
