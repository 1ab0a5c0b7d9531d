//! The outside world, behind the pipeline's traits.

pub mod desk;
pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod oidc;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
pub mod sqlite;
#[cfg(feature = "postgres")]
pub mod table;
#[cfg(feature = "parquet")]
pub mod warehouse;
pub mod webhook;
