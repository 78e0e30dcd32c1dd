//! The `faults` binary: prepares the cluster, runs the trials, writes the report.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use futures::StreamExt as _;

use fault_harness::cluster::{self, Cluster};
use fault_harness::report::{self, Tally};
use fault_harness::trial::Harness;
use fault_harness::{classes, reference};

/// Runs the operator under faults. KUBECONFIG names the cluster, which is to be without an
/// operator.
#[derive(Debug, Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    /// The binary of another version, for class 16; without it, the same binary with another
    /// default image
    #[arg(long)]
    next: Option<PathBuf>,
    /// The checkout: where the definition and the operator's rights are
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Every position of every fault, and longer times without a write
    #[arg(long)]
    full: bool,
    /// Only these classes
    #[arg(long, value_delimiter = ',')]
    only: Vec<u8>,
    /// How many trials run at once
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// Begin no trial after so many minutes; the report says how many were left out
    #[arg(long, default_value_t = 240)]
    minutes: u64,
    /// Where the report is written
    #[arg(long)]
    report: Option<PathBuf>,
    /// Where logs and records of trials are kept
    #[arg(long)]
    logs: PathBuf,
    /// Pods do not answer on their admin ports, so nothing becomes ready
    #[arg(long)]
    silent_pods: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Before any client is made. It can only fail if there is a provider already, and nothing ran
    // before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing diverged.
async fn run(arguments: Arguments) -> Result<bool> {
    let began = Instant::now();
    let harness = prepare(&arguments).await?;
    let runs = if arguments.full { 4 } else { 3 };
    let reference = reference::reference(&harness, runs).await?;
    println!(
        "ok: {runs} clean runs agree after {} s",
        began.elapsed().as_secs()
    );
    let trials = classes::trials(&harness, &reference, &arguments.only);
    let end = began + Duration::from_secs(60 * arguments.minutes);
    let (tally, trials) = (&harness.tally, futures::stream::iter(trials));
    trials
        .map(async |(class, trial)| match Instant::now() < end {
            true => trial.await,
            false => tally.left_out(class),
        })
        .buffer_unordered(arguments.parallel)
        .collect::<()>()
        .await;
    let counts = harness.tally.counts();
    if let Some(file) = &arguments.report {
        let settings = format!(
            "In trials with faults, O3 means {} s without a write.\nThis run tried {} of each class in {} minutes{}.",
            harness.quiet.as_secs(),
            if arguments.full {
                "every position"
            } else {
                "some positions"
            },
            began.elapsed().as_secs().div_ceil(60),
            match counts.values().map(|count| count.left_out).sum::<usize>() {
                0 => ", and left out nothing".to_owned(),
                _ => format!(
                    ", and left out what had not begun after {}",
                    arguments.minutes
                ),
            }
        );
        // Another test writes the last section.
        let before = std::fs::read_to_string(file).unwrap_or_default();
        let last = before.find(report::SIEGE).map_or("", |at| &before[at..]);
        let text = report::markdown(&counts, &reference, &settings) + last;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let tried = |class: u8| counts.get(&class).is_some_and(|count| count.runs > 0);
    let wanted = classes::CLASSES.iter().map(|class| class.number);
    let wanted = wanted.filter(|class| arguments.only.is_empty() || arguments.only.contains(class));
    let untried: Vec<_> = wanted.filter(|class| !tried(*class)).collect();
    if !untried.is_empty() {
        println!("FAILED: no trial of the classes {untried:?}");
    }
    let sum = |of: fn(&report::Count) -> usize| counts.values().map(of).sum::<usize>();
    let divergences = sum(|count| count.divergences.len());
    println!(
        "{} trials, {} faults, {} divergences in {} s",
        sum(|count| count.runs),
        sum(|count| count.injected.values().sum()),
        divergences,
        began.elapsed().as_secs()
    );
    Ok(divergences == 0 && untried.is_empty())
}

async fn prepare(arguments: &Arguments) -> Result<Harness> {
    let cluster = Cluster::connect().await?;
    let operator_yaml = arguments.root.join("dist/install.yaml");
    // The definition and the rights, but not the operator.
    let without = [
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "NetworkPolicy",
    ];
    cluster.apply_file(&operator_yaml, &without).await?;
    if !arguments.silent_pods {
        let listener = fake_pods::listen().await?;
        tokio::spawn(fake_pods::run(cluster.client.clone(), listener));
    }
    for name in ["HTTPRoute", "ServiceMonitor", "Prometheus"] {
        cluster.define(cluster::kind(name)?).await?;
    }
    Ok(Harness {
        upstream: cluster::as_operator(&cluster).await?,
        cluster,
        operator: arguments.operator.clone(),
        next: arguments.next.clone(),
        operator_yaml,
        corpus: arguments.root.join("crds/tests/invalid"),
        pods_answer: !arguments.silent_pods,
        full: arguments.full,
        quiet: Duration::from_secs(if arguments.full { 10 } else { 3 }),
        directory: arguments.logs.clone(),
        tally: Tally::default(),
        begun: AtomicUsize::new(0),
    })
}
