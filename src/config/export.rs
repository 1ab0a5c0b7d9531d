//! Decisions as files for the warehouse.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, wrong};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Export {
    /// Folder of the Parquet files; nothing is exported without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    pub every_secs: u64,
}

impl Default for Export {
    fn default() -> Self {
        Export { dir: None, every_secs: 300 }
    }
}

impl Export {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.every_secs == 0 {
            return Err(wrong("export.every_secs", "must be at least 1"));
        }
        Ok(())
    }
}
