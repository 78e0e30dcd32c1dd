//! The `prometheus-mirror` binary: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use mirror::cli::args::{Cli, Command};
use mirror::cli::{self, Failure};

/// Answers of tens of megabytes come and go on all threads. glibc keeps what each thread had,
/// beside what the next one takes: the process would hold more than its budget.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How the allocator works, which it reads before `main`. It gives memory back at once, not after a
/// second, in which it would hold what twenty large answers had while the next twenty come; and it
/// takes memory only as it is needed.
const ALLOCATOR_SETTINGS: [(&str, &str); 2] = [
    ("MIMALLOC_PURGE_DELAY", "0"),
    ("MIMALLOC_ARENA_EAGER_COMMIT", "0"),
];

fn main() -> ExitCode {
    // Before any client is made. It can only fail if there is a provider already, and nothing ran
    // before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Wrong arguments end here, with exit code 2.
    let cli = Cli::parse();
    if let Command::Serve(_) = cli.command {
        with_allocator_settings();
    }
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            use std::io::Write as _;
            // Where not even stderr can be written there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "prometheus-mirror: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes the same program with [`ALLOCATOR_SETTINGS`], unless the first of them is made already:
/// same process, same arguments. Where that cannot be done, the mirror serves as it is.
fn with_allocator_settings() {
    use std::os::unix::process::CommandExt as _;
    if std::env::var_os(ALLOCATOR_SETTINGS[0].0).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let mut again = std::process::Command::new(program);
        // It only comes back with an error.
        let _ = again
            .arg0(name)
            .args(arguments)
            .envs(ALLOCATOR_SETTINGS)
            .exec();
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let threads = match &command {
        Command::Serve(args) => args.threads.map_or_else(default_threads, usize::from),
        Command::Reference => return cli::reference::run(),
        Command::Check(_) | Command::Query(_) | Command::Conform(_) => 1,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| Failure(format!("cannot start: {error}")))?;
    let result = runtime.block_on(async {
        match command {
            Command::Serve(args) => cli::serve::run(args).await,
            Command::Check(args) => cli::check::run(args).await,
            Command::Query(args) => cli::query::run(*args).await,
            Command::Conform(args) => cli::conform::run(*args).await,
            Command::Reference => cli::reference::run(),
        }
    });
    // Whatever still runs has been given its time.
    runtime.shutdown_background();
    result
}

/// More threads than this cost memory and win nothing: the work is waiting for Prometheus.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
}
