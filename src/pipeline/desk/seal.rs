//! The hook by which personal data is closed before it is stored, and opened when it is shown.

use crate::pipeline::StoreError;

pub trait Seal: Send + Sync {
    fn seal(&self, plain: &[u8]) -> Vec<u8>;

    /// # Errors
    /// [`StoreError::Damaged`] for bytes that it did not seal, or whose key is gone.
    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, StoreError>;
}

/// Stores what it is given.
pub struct Plain;

impl Seal for Plain {
    fn seal(&self, plain: &[u8]) -> Vec<u8> {
        plain.to_vec()
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(sealed.to_vec())
    }
}
