//! The wire: what users of quoteguard read and write. serde lives here; engine types carry none.

pub mod check;
pub mod csv;
pub mod decision;
pub mod error;
pub mod instant;
pub mod kafka;
pub mod pipelines;
pub mod problem;
pub mod quote;
pub mod rule_books;
pub mod rule_diff;
pub mod rule_file;
pub mod rule_test;
pub mod ruling;
