//! The command line: an enum and a match.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use super::{
    AccountsCommand, ApiKeysCommand, AuditCommand, BacktestArgs, CompletionsArgs, ConfigCommand, EraseArgs, HealthArgs,
    KeysCommand, ManArgs, MigrateArgs, PipelinesCommand, RebuildArgs, ReplayArgs, RulesCommand,
};
use crate::config::Flags;

/// Recognises the same car-insurance applicant in disguise while the quote form is still open.
#[derive(Parser)]
#[command(name = "quoteguard", version = crate::build::version(), max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service: HTTP, the watched folder, one SQLite file
    Serve(Flags),
    /// Decide on recorded submissions, as fast as the machine allows
    Replay(ReplayArgs),
    /// Try changed rules on recorded submissions: whom they would catch, whom they would refer by mistake
    Backtest(BacktestArgs),
    /// Compute a service's SQLite file from its own log again: after damage, or to change a fixed setting
    Rebuild(RebuildArgs),
    /// Write decisions as Parquet files, partitioned by day and tenant, for a warehouse
    #[cfg(feature = "parquet")]
    Export(super::ExportArgs),
    /// Bring the tables of the underwriters' desk up to this version
    Migrate(MigrateArgs),
    /// Look at the record of what people did and saw
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Create the Kafka topics, or say what is wrong with them
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Topics(super::TopicsCommand),
    /// Check and test rule files, and put them in force in a running service
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Look at the sources of a running service; pause, resume, drain them
    #[command(subcommand)]
    Pipelines(PipelinesCommand),
    /// Take quotes out of every later computation of a running service
    Erase(EraseArgs),
    /// Let somebody into the console again
    #[command(subcommand)]
    Accounts(AccountsCommand),
    /// Make, rotate and revoke the keys that clients of the API show (`keys` are for personal data)
    #[command(subcommand)]
    ApiKeys(ApiKeysCommand),
    /// Make keys that personal data is sealed with, and seal what is stored with the newest
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Ask a running service whether it takes quotes; exit code 1 if not
    Health(HealthArgs),
    /// Check or print the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Write the man pages of all commands into a folder
    Man(ManArgs),
}

/// Does what the arguments of the process say.
pub fn run() -> ExitCode {
    super::finish(match Cli::parse().command {
        Command::Serve(flags) => super::serve(&flags),
        Command::Replay(args) => super::replay(args),
        Command::Backtest(args) => super::backtest(args),
        Command::Rebuild(args) => super::rebuild(args),
        #[cfg(feature = "parquet")]
        Command::Export(args) => super::export(args),
        Command::Migrate(args) => super::migrate(&args),
        Command::Audit(command) => super::audit(&command),
        #[cfg(feature = "kafka")]
        Command::Topics(command) => super::topics(&command),
        Command::Rules(command) => super::rules(&command),
        Command::Pipelines(command) => super::pipelines(&command),
        Command::Erase(args) => super::erase(&args),
        Command::Accounts(command) => super::accounts(command),
        Command::ApiKeys(command) => super::api_keys(command),
        Command::Keys(command) => super::keys(&command),
        Command::Health(args) => super::health(&args),
        Command::Config(command) => super::config(&command),
        Command::Completions(args) => Ok(super::completions(&args, Cli::command())),
        Command::Man(args) => super::man(&args, Cli::command()),
    })
}
