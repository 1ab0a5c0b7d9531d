//! One binary for every integration test: it links once.

mod oracle;
mod properties;
