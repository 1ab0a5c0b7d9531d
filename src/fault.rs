//! Points at which a test lets the process die, as `kill -9` would. In a release build there are none.

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_: &str) {}

/// Dies at the Nth passage of the point that the environment names, `QUOTEGUARD_FAULT=NAME:N`, and before that adds a line to the
/// file `QUOTEGUARD_FAULT_LOG`.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let wanted = std::env::var("QUOTEGUARD_FAULT").ok()?;
        let (name, passage) = wanted.split_once(':')?;
        Some((name.to_owned(), passage.parse().ok()?))
    });
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let Some((wanted, passage)) = &*WANTED else { return };
    if wanted != name || PASSED.fetch_add(1, Ordering::Relaxed) + 1 != *passage {
        return;
    }
    if let Ok(log) = std::env::var("QUOTEGUARD_FAULT_LOG") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
        let _ = file.and_then(|mut file| writeln!(file, "{name} {passage}"));
    }
    // As sudden as SIGKILL: nothing is flushed, unwound or closed.
    std::process::abort();
}
