//! The outside world, behind the pipeline's traits.

pub mod file;
pub mod sqlite;
