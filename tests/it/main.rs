//! One binary for every integration test, for it links once: the engine against its law and an oracle, and the service as its
//! users meet it - a process, its port, its files.

mod api_keys;
mod app;
mod backtest;
mod commands;
mod conformance;
mod console;
mod contract;
mod damage;
mod demo;
mod desk;
#[cfg(all(feature = "postgres", feature = "kafka", feature = "redis"))]
mod drills;
mod edge;
#[cfg(feature = "parquet")]
mod export;
#[cfg(all(feature = "kafka", feature = "redis"))]
mod faults;
mod full;
mod fuzz;
#[cfg(all(feature = "kafka", feature = "redis"))]
mod java;
#[cfg(feature = "kafka")]
mod kafka_adapter;
#[cfg(all(feature = "kafka", feature = "redis"))]
mod kafka_replay;
#[cfg(all(feature = "kafka", feature = "redis"))]
mod kafka_rules;
#[cfg(all(feature = "kafka", feature = "redis"))]
mod kafka_rulings;
#[cfg(all(feature = "kafka", feature = "redis"))]
mod kafka_service;
#[cfg(all(feature = "kafka", feature = "redis"))]
mod ops;
mod oracle;
mod overload;
#[cfg(feature = "redis")]
mod partition;
mod pipelines;
mod privacy;
mod properties;
#[cfg(all(feature = "kafka", feature = "redis"))]
mod proxy;
mod quotes;
mod rebuild;
mod release;
mod restart;
mod rules_kept;
mod rules_live;
mod rulings;
#[cfg(all(feature = "kafka", feature = "redis"))]
mod servers;
mod stop;
#[cfg(all(feature = "kafka", feature = "redis", feature = "postgres"))]
mod table;
mod tidy;
#[cfg(feature = "otel")]
mod traces;
mod tutorial;
mod watch;
