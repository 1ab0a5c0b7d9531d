//! What goes with a release and only the binary knows: completions of the shells and man pages.

use std::fs;
use std::io::stdout;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_complete::Shell;

#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Args)]
pub struct ManArgs {
    /// Folder for the pages, one for each command; made where it is missing
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Prints the completions.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> ExitCode {
    clap_complete::generate(args.shell, &mut command, "quoteguard", &mut stdout());
    ExitCode::SUCCESS
}

/// Writes the man pages.
///
/// # Errors
/// A folder that cannot be written.
pub fn man(args: &ManArgs, command: Command) -> Result<ExitCode> {
    let dir = &args.dir;
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    // `help` explains itself.
    let command = command.disable_help_subcommand(true);
    clap_mangen::generate_to(command, dir).with_context(|| dir.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}
