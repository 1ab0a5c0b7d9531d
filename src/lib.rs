//! quoteguard recognises the same applicant in disguise in a stream of car-insurance quotes.
//!
//! Dependencies point inward: `main -> app -> adapters, http -> pipeline -> engine`; `contract` is the wire.

pub mod adapters;
pub mod app;
pub mod backtest;
pub mod build;
pub mod config;
pub mod console;
pub mod contract;
pub mod engine;
pub mod fault;
pub mod http;
pub mod metrics;
pub mod pipeline;
pub mod replay;
pub mod rule_commands;
pub mod shown;
pub mod telemetry;
pub mod vault;
