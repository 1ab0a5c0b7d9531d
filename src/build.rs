//! Which build this is.

use std::sync::LazyLock;

/// Of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// `QUOTEGUARD_COMMIT` at build time, which releases set.
pub const COMMIT: &str = match option_env!("QUOTEGUARD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// What `--version` says.
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (commit {COMMIT})"));
    &TEXT
}
