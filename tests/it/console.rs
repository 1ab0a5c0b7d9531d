//! The console over HTTP, as a browser without scripts sees it.

mod access;
mod backtests;
pub mod browser;
mod cases;
mod company;
mod company_bad;
mod explore;
mod hostile;
pub mod issuer;
mod keys;
mod live;
mod operations;
mod roles;
mod webhooks;
