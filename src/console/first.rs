//! The first account: made where there is none, with a password that is told once.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::access::password;
use crate::pipeline::access::{Access, NewAccount, Role};
use crate::pipeline::desk::DeskError;

const NAME: &str = "admin";
/// As the audit names whoever makes it.
const BY: &str = "start";

/// Where the generated password is told. Never in the log.
#[derive(Clone, Debug)]
pub enum FirstPassword {
    Stderr,
    /// A file that only its owner reads; it is written anew.
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    #[error(transparent)]
    Desk(#[from] DeskError),
    #[error("console.first_password_file: {0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("the machine gave no randomness or memory for a password")]
    Machine,
}

/// Makes the account `admin` where there is no account at all; somebody else may be faster, which is as good.
///
/// # Errors
/// The desk does not answer, or the password cannot be told: then there is no account.
pub async fn first_account(access: &dyn Access, tell: &FirstPassword) -> Result<(), NotMade> {
    if !access.accounts().await?.is_empty() {
        return Ok(());
    }
    let password = password::generate().ok_or(NotMade::Machine)?;
    let hash = password::hash(password.clone()).await.ok_or(NotMade::Machine)?;
    if let FirstPassword::File(path) = tell {
        write(path, &password).map_err(|error| NotMade::File(path.clone(), error))?;
    }
    let account =
        NewAccount { name: NAME.to_owned(), role: Role::Admin, tenant: None, password_hash: Some(hash), must_change: true };
    match (access.create(account, BY).await?, tell) {
        (true, FirstPassword::Stderr) => {
            eprintln!("\n  The console's first account: {NAME}\n  Password, told this once:   {password}\n");
        }
        (true, FirstPassword::File(_)) | (false, FirstPassword::Stderr) => {}
        // Another instance was faster: this password opens nothing.
        (false, FirstPassword::File(path)) => forget(path, &password),
    }
    Ok(())
}

fn write(path: &PathBuf, password: &str) -> std::io::Result<()> {
    // A file of another owner or mode is not reused.
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{password}")?;
    // Before the account is: whatever happens in between, a password that is in force was told.
    file.sync_all()
}

fn forget(path: &PathBuf, password: &str) {
    if std::fs::read_to_string(path).is_ok_and(|told| told.trim_end() == password) {
        let _ = std::fs::remove_file(path);
    }
}
