//! The composition root: it decides who talks to whom.

mod backtest;
mod cli;
mod commands;
mod health;
#[cfg(feature = "kafka")]
mod kafka;
mod logs;
mod outputs;
mod rebuild;
mod rules_breaker;
mod rules_folder;
mod rules_remote;
mod service;

pub use backtest::{BacktestArgs, backtest};
pub use cli::main;
pub use commands::{ConfigCommand, ReplayArgs, RulesCommand, config, finish, replay, rules, serve};
pub use health::{HealthArgs, health};
#[cfg(feature = "kafka")]
pub use kafka::{TopicsCommand, topics};
pub use rebuild::{RebuildArgs, rebuild};
pub use service::{Service, StopReport};
