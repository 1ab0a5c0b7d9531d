//! Topic `referrals`: each case when it is opened and when its status changes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Handle;

use super::super::rules_folder::Watching;
use crate::adapters::desk::DeskStore;
use crate::adapters::kafka::{Outgoing, Producer, Topic};
use crate::pipeline::desk::DeskError;

/// How often it is looked for what is to be told, and how soon a failure is tried again.
const EVERY: Duration = Duration::from_millis(250);
/// Cases of one look.
const AT_ONCE: usize = 200;
const PATIENCE: Duration = Duration::from_secs(30);

struct Announcer {
    desk: DeskStore,
    producer: Arc<Producer>,
    runtime: Handle,
}

/// Tells the topic on a thread of its own. Several instances may tell the same: readers know a case by its id and revision.
pub(super) fn start(desk: DeskStore, producer: Arc<Producer>, runtime: Handle) -> Result<Watching> {
    let (stop, stopped) = channel();
    let announcer = Announcer { desk, producer, runtime };
    Ok((thread::Builder::new().name("referrals".to_owned()).spawn(move || announcer.run(&stopped))?, stop))
}

impl Announcer {
    fn run(self, stopped: &Receiver<()>) {
        let mut is_down = false;
        while matches!(stopped.recv_timeout(EVERY), Err(RecvTimeoutError::Timeout)) {
            match self.tell_all(stopped) {
                Ok(()) => is_down = false,
                Err(reason) if !is_down => {
                    tracing::warn!(reason, "referrals are not told now; it is tried again");
                    is_down = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Until nothing is left to tell.
    fn tell_all(&self, stopped: &Receiver<()>) -> Result<(), String> {
        let text = |error: DeskError| error.to_string();
        loop {
            let waiting = self.runtime.block_on(async { self.desk.unpublished(AT_ONCE).await }).map_err(text)?;
            if waiting.is_empty() {
                return Ok(());
            }
            for referral in waiting {
                if matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected)) {
                    return Ok(());
                }
                let value = serde_json::to_vec(&referral).map_err(|error| error.to_string())?;
                let key = Some(referral.referral_id.clone().into_bytes());
                let record = Outgoing { topic: Topic::Referrals, partition: None, key, value: Some(value), headers: Vec::new() };
                self.producer.send_and_wait(&record, PATIENCE).map_err(|error| error.to_string())?;
                let published = async { self.desk.published(&referral.referral_id, referral.revision).await };
                self.runtime.block_on(published).map_err(text)?;
            }
        }
    }
}
