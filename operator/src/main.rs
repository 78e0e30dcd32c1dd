//! The `prometheus-mirror-operator` binary: arguments in, exit code out.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use operator::args::{Cli, Command};

/// Objects come and go by the thousand, and glibc's heap does not shrink again.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Before any client is made. It can only fail if there is a provider already, and nothing ran
    // before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let result = match Cli::parse().command {
        Command::Crd => crds::crd_yaml()
            .map_err(|error| error.to_string())
            .and_then(|crd| {
                std::io::stdout()
                    .write_all(crd.as_bytes())
                    .map_err(|error| error.to_string())
            }),
        Command::Run(args) => start(operator::run::run(args)),
        Command::Sidecar(args) => start(operator::sidecar::print(args)),
        Command::CheckHealth { url } => {
            start(async move { operator::telemetry::admin::check(&url).await })
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Where not even stderr can be written there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "prometheus-mirror-operator: {message}");
            ExitCode::FAILURE
        }
    }
}

fn start<E: std::fmt::Display>(work: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let result = runtime.block_on(work).map_err(|error| error.to_string());
    runtime.shutdown_background();
    result
}
