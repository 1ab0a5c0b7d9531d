//! What a server must be before a checkpoint is given to it.

use super::link::{Link, Options};
use crate::pipeline::StoreError;

/// Looks at the server's settings once, at start. Returns what is less than it should be, in words.
///
/// # Errors
/// [`StoreError::Refused`] for one that would throw checkpoints away by itself or that does not let us look,
/// [`StoreError::Unavailable`] when it cannot be reached.
pub fn check(options: &Options) -> Result<Vec<String>, StoreError> {
    let mut link = Link::new(options.clone())?;
    let mut info = |section: &str| link.run(|connection| redis::cmd("INFO").arg(section).query::<String>(connection));
    let (memory, persistence) = (info("memory")?, info("persistence")?);
    match setting(&memory, "maxmemory_policy") {
        Some("noeviction") => {}
        Some(policy) => {
            return Err(StoreError::Refused(format!(
                "Redis has maxmemory-policy {policy}: it would drop parts of a checkpoint without a word when memory is short; \
                 set `maxmemory-policy noeviction`, or name a server of its own in redis.url"
            )));
        }
        None => {
            return Err(StoreError::Refused(
                "Redis does not tell its maxmemory_policy in INFO memory; use Redis 6 or later".into(),
            ));
        }
    }
    let is_appending = setting(&persistence, "aof_enabled") == Some("1");
    let notice = "Redis has appendonly off: when it restarts, checkpoints are lost or old, and partitions are read again from \
                  their beginning; set `appendonly yes`";
    Ok(if is_appending { Vec::new() } else { vec![notice.to_owned()] })
}

fn setting<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
