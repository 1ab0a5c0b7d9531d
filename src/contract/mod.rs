//! The wire: what users of quoteguard read and write. serde lives here; engine types carry none.

pub mod error;
pub mod instant;
pub mod quote;
