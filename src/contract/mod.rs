//! The wire: what users of quoteguard read and write. serde lives here; engine types carry none.

pub mod rule_file;
pub mod rule_test;
