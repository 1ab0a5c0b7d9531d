//! The service as its users meet it: a process, its port, its files.

mod app;
mod commands;
mod contract;
mod overload;
mod quotes;
mod restart;
mod watch;
