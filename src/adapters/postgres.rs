//! Connecting to PostgreSQL, for the desk and for tables that are read.

use std::path::Path;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::pipeline::StoreError;

/// `section` names the settings in errors: `desk`.
///
/// # Errors
/// A URL or a file that cannot be read, with the setting named.
pub(super) fn connect_options(
    section: &str,
    url: &str,
    password_file: Option<&Path>,
    ca_file: Option<&Path>,
) -> Result<PgConnectOptions, StoreError> {
    let refused = |text: String| StoreError::Refused(format!("{section}.{text}"));
    let mut options =
        PgConnectOptions::from_str(url).map_err(|error| refused(format!("url: {error}")))?.application_name("quoteguard");
    if let Some(file) = password_file {
        let password = std::fs::read_to_string(file);
        let password = password.map_err(|error| refused(format!("password_file: {}: {error}", file.display())))?;
        options = options.password(password.trim_end_matches(['\r', '\n']));
    }
    let is_near = options.get_host().starts_with('/') || ["localhost", "127.0.0.1", "::1"].contains(&options.get_host());
    // Passwords and personal data go to other machines in the clear only where the URL says so.
    if ca_file.is_some() || !(is_near || url.contains("sslmode=")) {
        options = options.ssl_mode(PgSslMode::VerifyFull);
    }
    if let Some(file) = ca_file {
        options = options.ssl_root_cert(file);
    }
    Ok(options)
}
