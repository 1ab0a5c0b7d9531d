//! The webhooks of a service: one thread for each, so that a slow one keeps no other waiting.

use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::Result;
use tokio::runtime::Handle;

use super::rules_folder::Watching;
use crate::adapters::desk::DeskStore;
use crate::adapters::webhook::Receiver;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::pipeline::webhooks::Sender;

pub(super) fn start(config: &Config, desk: &DeskStore, metrics: &Arc<Metrics>) -> Result<Vec<Watching>> {
    let start = |webhook: &crate::config::Webhook| {
        let (stop, stopped) = mpsc::channel();
        let sender = Sender {
            name: webhook.name.clone(),
            tenant: webhook.tenant.clone(),
            desk: Arc::new(desk.clone()),
            outbox: Arc::new(desk.clone()),
            post: Receiver::new(webhook.url.clone(), webhook.secret()?, webhook.allow_private),
            metrics: metrics.clone(),
            runtime: Handle::current(),
        };
        let thread = thread::Builder::new().name(format!("webhook-{}", webhook.name)).spawn(move || sender.run(&stopped))?;
        Ok((thread, stop))
    };
    config.webhooks.iter().map(start).collect()
}
