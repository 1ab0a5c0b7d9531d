//! One partition of a topic that others write: prepared in order, stepped by a single writer, emitted, and checkpointed apart
//! from the log.

pub mod frontier;
pub mod load;
pub mod owner;
pub mod prepare;
pub mod run;
pub mod saver;
pub mod waiters;
