//! The underwriters' desk of a service: its store, and the sink that keeps it up with the log.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::{Context, Result};
use tokio::runtime::Handle;

use super::rules_folder::Watching;
use crate::adapters::desk::{DeskStore, Projector};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::pipeline::desk::feed::Feed;
use crate::pipeline::desk::seal::Plain;
use crate::pipeline::desk::sink::Sink;

/// Opens what `desk.url` names, or the file beside the log.
pub(super) async fn open(config: &Config) -> Result<DeskStore> {
    let path = file(config);
    DeskStore::open_file(&path, Arc::new(Plain)).await.with_context(|| format!("desk.url: {}", path.display()))
}

/// Where the desk is an SQLite file.
fn file(config: &Config) -> PathBuf {
    match config.desk.file() {
        Some(path) => path,
        None => {
            let stem = config.storage.path.file_stem().unwrap_or_default().to_string_lossy();
            config.storage.path.with_file_name(format!("{stem}-desk.db"))
        }
    }
}

/// Starts the sink on a thread of its own.
pub(super) fn start_sink(desk: DeskStore, feed: impl Feed + 'static, metrics: Arc<Metrics>) -> Result<Watching> {
    let (stop, stopped) = mpsc::channel();
    let sink = Sink { feed, projection: Projector::new(desk, Handle::current()), metrics };
    let run = move || {
        if let Err(error) = sink.run(&stopped) {
            tracing::error!(%error, "the desk follows the log no more; decisions go on");
        }
    };
    Ok((thread::Builder::new().name("desk-sink".to_owned()).spawn(run)?, stop))
}
