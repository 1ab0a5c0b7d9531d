//! The section `[privacy]`: the keys that personal data at rest is sealed with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, wrong};
use crate::vault::{Vault, VaultError};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// Keys, one a line, the one that seals first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Program and arguments that print the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_command: Option<Vec<String>>,
}

impl Privacy {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match (&self.key_file, &self.key_command) {
            (Some(_), Some(_)) => Err(wrong("privacy.key_command", "give at most one of key_file and key_command")),
            (None, Some(command)) if command.is_empty() => Err(wrong("privacy.key_command", "names no program")),
            _ => Ok(()),
        }
    }

    /// The keys; without any nothing is sealed.
    ///
    /// # Errors
    /// They cannot be had.
    pub fn vault(&self) -> Result<Vault, VaultError> {
        match (&self.key_file, &self.key_command) {
            (Some(path), _) => Vault::from_file(path),
            (None, Some(command)) => Vault::from_command(command),
            (None, None) => Ok(Vault::default()),
        }
    }
}
