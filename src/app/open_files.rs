//! How many files the system lets the process hold open: every connection is one.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Kept for the store, Kafka, Redis, files that are read and the listener.
const RESERVED: u64 = 512;

/// Raises the limit as far as it goes without privileges; then how many connections there is room for, at most `wanted`.
pub(super) fn connections(wanted: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
    // None is no limit.
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(files.saturating_sub(RESERVED)).unwrap_or(usize::MAX).max(1);
    if room < wanted {
        tracing::warn!(room, "http.connections_max is more than the system allows open files (ulimit -n): fewer are taken");
    }
    wanted.min(room)
}
