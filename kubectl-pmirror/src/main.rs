//! The `kubectl-pmirror` binary: arguments in, exit code out.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use kubectl_pmirror::args::{Cli, Command};
use kubectl_pmirror::cluster::Cluster;
use kubectl_pmirror::problem::Problem;
use kubectl_pmirror::{ask, check, complete, conform, list, logs, open, status};
use mirror::cli::query::About;

fn main() -> ExitCode {
    // Before any client is made. It can only fail if there is a provider already, and nothing ran
    // before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    if program.ends_with(complete::PROGRAM) {
        let words: Vec<String> = words.collect();
        print!("{}", complete::answer(&words));
        return ExitCode::SUCCESS;
    }
    // Wrong arguments end here, with exit code 2.
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            use std::io::Write as _;
            // Where not even stderr can be written there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "kubectl pmirror: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { cluster, command }: Cli) -> Result<(), Problem> {
    if let Command::Completion { shell } = command {
        let name = "kubectl-pmirror";
        clap_complete::generate(shell, &mut Cli::command(), name, &mut std::io::stdout());
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Problem::Other(format!("cannot start: {error}")))?;
    let done = runtime.block_on(async {
        let cluster = Cluster::connect(&cluster).await?;
        match command {
            Command::List(args) => list::run(&cluster, &args).await,
            Command::Status(args) => status::run(&cluster, &args).await,
            Command::Query(args) => ask::run(&cluster, &args, About::Points).await,
            Command::Explain(args) => ask::run(&cluster, &args, About::Explanation).await,
            Command::Why(args) => ask::run(&cluster, &args, About::Reason).await,
            Command::Check(args) => check::run(&cluster, &args).await,
            Command::Conform(args) => conform::run(&cluster, &args).await,
            Command::Logs(args) => logs::run(&cluster, &args).await,
            Command::Open(args) => open::run(&cluster, &args).await,
            Command::Completion { .. } => Ok(()),
        }
    });
    // Tunnels that still wait for a connection.
    runtime.shutdown_background();
    done
}
