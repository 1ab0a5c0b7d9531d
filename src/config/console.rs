//! The underwriter's pages.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use time::UtcOffset;

use super::oidc::Oidc;
use super::{ConfigError, wrong};
use crate::pipeline::access::Role;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Console {
    pub enabled: bool,
    /// For a host of plain HTTP that is not this machine: cookies without `Secure` and `__Host-`.
    pub insecure_cookies: bool,
    /// Of the times on the pages: `+03:00`.
    pub utc_offset: String,
    /// A session ends when nobody has used it for so long,
    pub session_idle_secs: u64,
    /// and after this in any case.
    pub session_max_secs: u64,
    /// Where the first account's password goes instead of stderr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_password_file: Option<PathBuf>,
    /// Header in which a proxy in front names the client, such as `x-forwarded-for`; only where every request comes through it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_header: Option<String>,
    /// Log in with a name and a password of this console. When false only until an administrator has come in through `oidc`.
    pub local_accounts: bool,
    /// Folder with reports of `quoteguard backtest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backtests: Option<PathBuf>,
    pub oidc: Oidc,
}

impl Default for Console {
    fn default() -> Self {
        Console {
            enabled: true,
            insecure_cookies: false,
            utc_offset: "+00:00".into(),
            session_idle_secs: 3_600,
            session_max_secs: 12 * 3_600,
            first_password_file: None,
            address_header: None,
            local_accounts: true,
            backtests: None,
            oidc: Oidc::default(),
        }
    }
}

impl Console {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, value) in
            [("console.session_idle_secs", self.session_idle_secs), ("console.session_max_secs", self.session_max_secs)]
        {
            if !(60..=30 * 86_400).contains(&value) {
                return Err(wrong(key, "must lie between 60 and 2592000 (30 days)"));
            }
        }
        if self.offset().is_none() {
            return Err(wrong("console.utc_offset", "must be like +03:00, within 14 hours"));
        }
        let header = self.address_header.as_deref().map(axum::http::HeaderName::try_from);
        if header.is_some_and(|header| header.is_err()) {
            return Err(wrong("console.address_header", "must be the name of a header, like x-forwarded-for"));
        }
        self.oidc.check(self.insecure_cookies)?;
        let has_admin = self.oidc.roles.values().any(|role| *role == Role::Admin);
        if !(self.local_accounts || self.oidc.is_on() && has_admin) {
            let problem = "without local accounts console.oidc must be given, and its roles must map a value to admin";
            return Err(wrong("console.local_accounts", problem));
        }
        Ok(())
    }

    pub fn offset(&self) -> Option<UtcOffset> {
        let (sign, rest) = match self.utc_offset.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':').filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2)?;
        let (hours, minutes): (i8, i8) = (hours.parse().ok()?, minutes.parse().ok()?);
        let is_real = (0..=14).contains(&hours) && (0..60).contains(&minutes);
        is_real.then(|| UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read() {
        for (text, expected) in [
            ("+00:00", Some(0)),
            ("+03:00", Some(10_800)),
            ("-03:30", Some(-12_600)),
            ("3", None),
            ("+3:00", None),
            ("+15:00", None),
            ("+-1:00", None),
            ("", None),
        ] {
            let console = Console { utc_offset: text.into(), ..Console::default() };
            assert_eq!(console.offset().map(UtcOffset::whole_seconds), expected, "{text}");
        }
    }
}
