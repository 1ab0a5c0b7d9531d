//! The composition root: it decides who talks to whom.

mod commands;
mod logs;
mod outputs;
mod rebuild;
mod service;

pub use commands::{ConfigCommand, ReplayArgs, RulesCommand, config, replay, rules, serve};
pub use rebuild::{RebuildArgs, rebuild};
pub use service::{Service, StopReport};
