//! Who is told of referrals.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret, is_name, read_secret, wrong};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Names it in the log and the metrics, and remembers how far it was told.
    pub name: String,
    /// `https://…`, or `http://…`.
    pub url: String,
    /// What its messages are signed with, or the file that holds it: exactly one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Only of this tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// It may be at an address that is not public.
    #[serde(default)]
    pub allow_private: bool,
}

/// Shorter secrets can be guessed.
const SECRET_CHARS_MIN: usize = 16;

impl Webhook {
    /// # Errors
    /// The file cannot be read, or its secret is too short.
    pub fn secret(&self) -> Result<String, ConfigError> {
        let text = match (&self.secret, &self.secret_file) {
            (Some(secret), _) => secret.0.clone(),
            (None, Some(path)) => read_secret("webhooks", path)?,
            (None, None) => String::new(),
        };
        if text.chars().count() < SECRET_CHARS_MIN {
            return Err(wrong("webhooks", format!("{}: the secret must have at least 16 characters", self.name)));
        }
        Ok(text)
    }
}

pub(super) fn check(webhooks: &[Webhook]) -> Result<(), ConfigError> {
    for (i, webhook) in webhooks.iter().enumerate() {
        let at = |field: &str| format!("webhooks.{i}.{field}");
        if !is_name(&webhook.name, 64) || webhooks[..i].iter().any(|other| other.name == webhook.name) {
            return Err(wrong(at("name"), "must be 1 to 64 of A-Z a-z 0-9 . _ -, and another one for each"));
        }
        let rest = webhook.url.strip_prefix("https://").or_else(|| webhook.url.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.split('/').next().is_some_and(|host| host.contains('@'))) {
            return Err(wrong(at("url"), "must be https://host/path, without a user or password"));
        }
        if webhook.secret.is_some() == webhook.secret_file.is_some() {
            return Err(wrong(at("secret"), "give exactly one of secret and secret_file"));
        }
        if webhook.secret.is_some() {
            webhook.secret()?;
        }
    }
    Ok(())
}
