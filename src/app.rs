//! The composition root: it decides who talks to whom.

mod accounts;
mod api_keys;
mod backtest;
mod cli;
mod commands;
mod console;
mod desk;
#[cfg(feature = "parquet")]
mod export;
mod health;
#[cfg(feature = "kafka")]
mod kafka;
mod keys;
mod logs;
mod open_files;
mod outputs;
mod pipelines;
mod rebuild;
mod release;
mod rules_breaker;
mod rules_folder;
mod rules_remote;
mod service;
mod webhooks;

pub use accounts::{AccountsCommand, accounts};
pub use api_keys::{ApiKeysCommand, api_keys};
pub use backtest::{BacktestArgs, backtest};
pub use cli::run;
pub use commands::{ConfigCommand, ReplayArgs, RulesCommand, config, finish, replay, rules, serve};
pub use desk::{AuditCommand, MigrateArgs, audit, migrate};
#[cfg(feature = "parquet")]
pub use export::{ExportArgs, export};
pub use health::{HealthArgs, health};
#[cfg(feature = "kafka")]
pub use kafka::{TopicsCommand, topics};
pub use keys::{KeysCommand, keys};
pub use pipelines::{PipelinesCommand, pipelines};
pub use rebuild::{RebuildArgs, rebuild};
pub use release::{CompletionsArgs, ManArgs, completions, man};
pub use rules_remote::{EraseArgs, erase};
pub use service::{Service, StopReport};
