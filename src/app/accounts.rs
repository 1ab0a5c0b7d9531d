//! `quoteguard accounts`: for when nobody can log in to the console any more.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;

use super::api_keys::actor;
use super::desk::DeskArgs;
use crate::console::access::password;
use crate::console::{name_key, password_key};
use crate::pipeline::access::Access;

#[derive(Subcommand)]
pub enum AccountsCommand {
    /// Give a local account a new password and print it, this once; its sessions end, and it has to be changed at the next log-in
    Reset {
        /// What its owner logs in with
        name: String,
        #[command(flatten)]
        desk: DeskArgs,
    },
}

pub fn accounts(command: AccountsCommand) -> Result<ExitCode> {
    let AccountsCommand::Reset { name, desk } = command;
    let name = name.to_lowercase();
    let password = password::generate().ok_or_else(|| anyhow!("the machine gave no randomness"))?;
    let hash = password::hash_now(&password).ok_or_else(|| anyhow!("the machine gave no memory for a password"))?;
    let (account, is_local) = desk.with(async |config, desk| {
        let account = desk.account(&name).await.context("desk.url")?.ok_or_else(|| anyhow!("there is no account {name}"))?;
        if !desk.set_password(&name, &hash, true, &actor().name).await.context("desk.url")? {
            return Err(anyhow!("{name} logs in through the company: its password is not here"));
        }
        for key in [name_key(&name), password_key(&name)] {
            desk.succeeded(&key).await.context("desk.url")?;
        }
        Ok((account, config.console.local_accounts))
    })?;
    writeln!(stdout(), "{password}")?;
    writeln!(stderr(), "The password of {name}, shown this once; it has to be changed at the next log-in.")?;
    if account.is_disabled {
        writeln!(stderr(), "The account is disabled: another administrator has to enable it.")?;
    }
    if !is_local {
        writeln!(
            stderr(),
            "It opens nothing while console.local_accounts is false and an administrator comes in through the company."
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
