//! The outside world, behind the pipeline's traits.

pub mod file;
#[cfg(feature = "redis")]
pub mod redis;
pub mod sqlite;
