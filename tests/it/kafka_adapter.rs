//! The Kafka adapter against a real broker.

mod bench;
mod consumer;
mod control;
mod decisions;
mod producer;
mod topics;

use bench::Bench;
