//! Where the underwriters' desk is kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, wrong};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Desk {
    /// `postgres://user@host:port/database`, or `sqlite:FILE`; a file beside the log when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Certificates that may sign the server's; the system's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long decisions and closed cases are kept there.
    pub retention_days: u32,
    /// Open connections to PostgreSQL.
    pub connections_max: u32,
    /// ISO 4217 code of the premiums, for the metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

impl Default for Desk {
    fn default() -> Self {
        Desk { url: None, password_file: None, ca_file: None, retention_days: 400, connections_max: 8, currency: None }
    }
}

/// Of a PostgreSQL URL.
pub(super) fn holds_password(url: &str) -> bool {
    let user = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':')) || url.contains("password=")
}

impl Desk {
    /// The SQLite file that the URL names.
    pub fn file(&self) -> Option<PathBuf> {
        self.url.as_deref().and_then(|url| url.strip_prefix("sqlite:")).map(PathBuf::from)
    }

    pub fn is_postgres(&self) -> bool {
        self.url.as_deref().is_some_and(|url| url.starts_with("postgres://") || url.starts_with("postgresql://"))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_code = |code: &str| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        if self.currency.as_deref().is_some_and(|currency| !is_code(currency)) {
            return Err(wrong("desk.currency", "must be a code of ISO 4217 such as RUB"));
        }
        let Some(url) = &self.url else { return self.check_numbers() };
        if !self.is_postgres() && self.file().is_none_or(|file| file.as_os_str().is_empty()) {
            return Err(wrong("desk.url", "must be postgres://user@host:port/database or sqlite:FILE"));
        }
        if holds_password(url) {
            return Err(wrong("desk.url", "must hold no password, for it is shown: give desk.password_file"));
        }
        if self.is_postgres() && !cfg!(feature = "postgres") {
            return Err(wrong("desk.url", "this build knows SQLite only; build it with the feature postgres"));
        }
        self.check_numbers()
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        for (key, value) in [("desk.retention_days", self.retention_days), ("desk.connections_max", self.connections_max)] {
            if value == 0 {
                return Err(wrong(key, "must be at least 1"));
            }
        }
        Ok(())
    }
}
