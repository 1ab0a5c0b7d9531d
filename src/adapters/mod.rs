//! The outside world, behind the pipeline's traits.

pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod sqlite;
