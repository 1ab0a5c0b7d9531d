//! The machine's own floor under a durable answer: appending 4 KB and waiting for the disk.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::latency::Latencies;

const BLOCK: [u8; 4096] = [0x51; 4096];

/// Appends and syncs over and over for `length`; the file is removed afterwards.
pub fn fdatasync(dir: &Path, length: Duration) -> Result<Latencies> {
    let path = dir.join(format!("loadtest-fdatasync-{}.tmp", std::process::id()));
    let measured = append(&path, length).with_context(|| format!("cannot append to {}", path.display()));
    // A file that could not be created need not be removed.
    let _ = fs::remove_file(&path);
    measured
}

fn append(path: &Path, length: Duration) -> std::io::Result<Latencies> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    let mut latencies = Latencies::default();
    let start = Instant::now();
    while start.elapsed() < length {
        let before = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        latencies.record(before.elapsed());
    }
    Ok(latencies)
}
