use clap::{Parser, Subcommand};
use quoteguard::app::{self, BacktestArgs, ConfigCommand, EraseArgs, RebuildArgs, ReplayArgs, RulesCommand};
/// A quote is many small allocations that cross threads: a replay is 1.4 times as fast as with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Recognises the same car-insurance applicant in disguise while the quote form is still open.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}
#[derive(Subcommand)]
enum Command {
    /// Run the service: HTTP, the watched folder, one SQLite file
    Serve(quoteguard::config::Flags),
    /// Decide on recorded submissions, as fast as the machine allows
    Replay(ReplayArgs),
    /// Try changed rules on recorded submissions: whom they would catch, whom they would refer by mistake
    Backtest(BacktestArgs),
    /// Compute a service's SQLite file from its own log again: after damage, or to change a fixed setting
    Rebuild(RebuildArgs),
    /// Create the Kafka topics, or say what is wrong with them
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Topics(app::TopicsCommand),
    /// Check and test rule files, and put them in force in a running service
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Take quotes out of every later computation of a running service
    Erase(EraseArgs),
    /// Check or print the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

fn main() -> std::process::ExitCode {
    app::finish(match Cli::parse().command {
        Command::Serve(flags) => app::serve(&flags),
        Command::Replay(args) => app::replay(args),
        Command::Backtest(args) => app::backtest(args),
        Command::Rebuild(args) => app::rebuild(args),
        #[cfg(feature = "kafka")]
        Command::Topics(command) => app::topics(&command),
        Command::Rules(command) => app::rules(&command),
        Command::Erase(args) => app::erase(&args),
        Command::Config(command) => app::config(&command),
    })
}
