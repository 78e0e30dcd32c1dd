//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use crds::contract::CONSOLE_PORT_NUMBER;
use mirror::cli::args::{QuestionArgs, ReportOutput, duration};

/// Shows mirrors, and what StackState would get from them.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-pmirror",
    bin_name = "kubectl pmirror",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
#[command(after_help = "Exit codes: 0 fine, 1 failed, 2 the command line is wrong.")]
pub struct Cli {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which cluster, and where in it.
#[derive(Args, Clone, Debug, Default)]
pub struct ClusterArgs {
    /// The namespace [default: the context's]
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The context of the kubeconfig [default: the current one]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the mirrors of a namespace
    #[command(visible_alias = "get")]
    List(ListArgs),
    /// Show a mirror's conditions, pods and targets
    Status(StatusArgs),
    /// Print what StackState would be answered
    Query(Box<AskArgs>),
    /// Print the PromQL and the upstream calls of a query
    Explain(Box<AskArgs>),
    /// Say why a query has no points
    Why(Box<AskArgs>),
    /// Ask each pod what it serves and which targets it reaches; fails if something is wrong
    Check(CheckArgs),
    /// Behave like StackState, and report whether the mirror keeps the contract
    Conform(ConformArgs),
    /// Print the logs of a mirror's pods
    Logs(LogsArgs),
    /// Forward the page on which queries can be tried to this machine
    Open(OpenArgs),
    /// Print a script that completes this command line
    Completion {
        /// For which shell
        shell: Shell,
    },
}

/// `list`
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ListOutput,
}

/// What `list` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ListOutput {
    /// One mirror a line
    #[default]
    Table,
    /// The same with more columns
    Wide,
    /// The resources
    Json,
    /// The resources
    Yaml,
    /// Their names, as kubectl takes them
    Name,
}

/// `status`
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// The mirror's name
    pub name: String,
    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ListOutput,
}

/// `query`, `explain` and `why`
#[derive(Args, Clone, Debug)]
pub struct AskArgs {
    /// The mirror's name
    pub name: String,
    /// What is asked.
    #[command(flatten)]
    pub question: QuestionArgs,
    /// Through which pod, with which key.
    #[command(flatten)]
    pub through: ThroughArgs,
}

/// Through which pod, with which key.
#[derive(Args, Clone, Debug, Default)]
pub struct ThroughArgs {
    /// The pod to ask [default: a ready one]
    #[arg(long, value_name = "NAME")]
    pub pod: Option<String>,
    /// A file with the mirror's API key [default: $PROMETHEUS_MIRROR_API_KEY, else the key in the
    /// Secret that the resource names]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// `check`
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The mirror's name
    pub name: String,
}

/// `conform`
#[derive(Args, Clone, Debug)]
pub struct ConformArgs {
    /// The mirror's name
    pub name: String,
    /// Through which pod, with which key.
    #[command(flatten)]
    pub through: ThroughArgs,
    /// How many streams to poll
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub streams: u16,
    /// The time from one poll to the next
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub interval: Duration,
    /// How often to poll; 0 leaves polls out
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub rounds: u16,
    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ReportOutput,
}

/// `logs`
#[derive(Args, Clone, Debug)]
pub struct LogsArgs {
    /// The mirror's name
    pub name: String,
    /// Of this pod only
    #[arg(long, value_name = "NAME")]
    pub pod: Option<String>,
    /// Go on with what is logged from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Of the containers before the last restart
    #[arg(short, long, conflicts_with = "follow")]
    pub previous: bool,
    /// At most so many lines of each pod
    #[arg(long, value_name = "N")]
    pub tail: Option<u32>,
    /// Only lines of so long ago, such as 10m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub since: Option<Duration>,
}

/// `open`
#[derive(Args, Clone, Debug)]
pub struct OpenArgs {
    /// The mirror's name
    pub name: String,
    /// The pod [default: a ready one]
    #[arg(long, value_name = "NAME")]
    pub pod: Option<String>,
    /// The port on this machine; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = CONSOLE_PORT_NUMBER)]
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_the_cluster_stand_anywhere_and_a_key_only_in_a_file() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        for right in [
            "kubectl-pmirror list",
            "kubectl-pmirror get -A -o wide",
            "kubectl-pmirror -n a status b",
            "kubectl-pmirror status b -n a --context c -o yaml",
            "kubectl-pmirror query b --gauge up -o plot -n a",
            "kubectl-pmirror why b --promql up --key-file f",
            "kubectl-pmirror logs b -f --tail 5",
            "kubectl-pmirror completion fish",
        ] {
            assert!(parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "kubectl-pmirror",
            "kubectl-pmirror list -A -n a",
            "kubectl-pmirror status",
            "kubectl-pmirror query b",
            "kubectl-pmirror query b --gauge up --api-key k",
            "kubectl-pmirror logs b -f -p",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
