//! The outside world, behind the pipeline's traits.

pub mod desk;
pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod oidc;
#[cfg(feature = "redis")]
pub mod redis;
pub mod sqlite;
pub mod webhook;
