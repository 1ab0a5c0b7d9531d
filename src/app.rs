//! The composition root: it decides who talks to whom.

mod backtest;
mod commands;
#[cfg(feature = "kafka")]
mod kafka;
mod keys;
mod logs;
mod open_files;
mod outputs;
mod rebuild;
mod rules_breaker;
mod rules_folder;
mod rules_remote;
mod service;

pub use backtest::{BacktestArgs, backtest};
pub use commands::{ConfigCommand, ReplayArgs, RulesCommand, config, finish, replay, rules, serve};
#[cfg(feature = "kafka")]
pub use kafka::{TopicsCommand, topics};
pub use keys::{KeysCommand, keys};
pub use rebuild::{RebuildArgs, rebuild};
pub use rules_remote::{EraseArgs, erase};
pub use service::{Service, StopReport};
