//! The console over HTTP, as a browser without scripts sees it.

mod access;
pub mod browser;
mod cases;
mod explore;
mod hostile;
mod keys;
mod live;
mod operations;
mod roles;
mod webhooks;
