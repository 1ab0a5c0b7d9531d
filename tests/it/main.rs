//! One binary for every integration test, for it links once: the engine against its law and an oracle, and the service as its
//! users meet it - a process, its port, its files.

mod app;
mod commands;
mod contract;
mod damage;
mod demo;
mod full;
mod oracle;
mod overload;
mod properties;
mod quotes;
mod rebuild;
mod restart;
mod tidy;
mod watch;
