//! The command line. Every flag is also an environment variable; what the values mean is decided
//! here, once.

mod check;
mod conform;
mod document;
mod log;
mod query;
mod serve;
mod times;

use clap::{Parser, Subcommand};

pub use self::check::CheckArgs;
pub use self::conform::{
    AuthoritiesFile, ConformArgs, ConnectionDetailsText, KeyText, ReportOutput,
};
pub use self::document::{DocumentArgs, OptionalDocumentArgs};
pub use self::log::LogArgs;
pub use self::query::{Output, QueryArgs, QuestionArgs};
pub use self::serve::ServeArgs;
pub use self::times::duration;

/// Answers StackState's Mirror API from Prometheus.
#[derive(Debug, Parser)]
#[command(
    name = "prometheus-mirror",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
#[command(after_help = "Exit codes: 0 fine, 1 failed, 2 the command line is wrong.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the Mirror API, and take over changes of the manifest and its Secrets while serving
    Serve(ServeArgs),
    /// Print every fault of a manifest and its Secrets, or a summary of its targets
    Check(CheckArgs),
    /// Print in the terminal what StackState would be answered
    Query(Box<QueryArgs>),
    /// Behave like StackState towards a running mirror, and report whether it keeps the contract
    Conform(Box<ConformArgs>),
    /// Print this reference as Markdown
    #[command(hide = true)]
    Reference,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
