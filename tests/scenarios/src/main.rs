//! The `scenarios` binary: what users do and what can go wrong, on a real Kubernetes.
//!
//! A *subject* is a folder beside this file, with its *scenarios* as functions whose names say what
//! must hold. Each runs in a *scene* ([`scene`]): a namespace of its own, and the verbs it needs.
//! Scenarios wait for events with one patience for all; seconds are printed and never claimed.
//! `tests/cluster/run-scenarios` brings the cluster up and starts this program inside.

mod audit;
mod charts;
mod definition;
mod dropin;
mod gitops;
mod helm_program;
mod injection;
mod install;
mod mirror_api;
mod namespaced;
mod operator;
mod operator_pods;
mod platforms;
mod programs;
mod scene;
mod suite;
mod tutorial;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::suite::Suite;

/// Goes through the scenarios of a subject, on the cluster that KUBECONFIG names.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to try
    subject: Subject,
    /// Only these scenarios
    names: Vec<String>,
    /// The checkout
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// The folder with the image archives
    #[arg(long, env = "IMAGES", default_value = "dist/images")]
    images: PathBuf,
    /// The state of the cluster: its logs, keys and processes
    #[arg(long, env = "CLUSTER_STATE")]
    state: PathBuf,
    /// The operator's program, for subjects in which it is no pod
    #[arg(long, default_value = "target/debug/prometheus-mirror-operator")]
    operator: PathBuf,
    /// The plugin of kubectl
    #[arg(long, default_value = "target/debug/kubectl-pmirror")]
    plugin: PathBuf,
    /// How many scenarios run at once, where they do not disturb each other
    #[arg(long, default_value_t = 4)]
    parallel: usize,
    /// After how many seconds a wait is in vain
    #[arg(long, default_value_t = 180)]
    patience: u64,
    /// Only list the scenarios
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Subject {
    /// The operator, as `dist/install.yaml` installs it
    Operator,
    /// The definition on a real API server
    Definition,
    /// The operator with rights in some namespaces only
    Namespaced,
    /// The chart `prometheusmirror`, without operator, as a user of the original mirror installs it
    Dropin,
    /// Every way to install the operator, upgrade it, roll it back and remove it
    Install,
    /// Clusters with IPv6, and those that assign users to pods
    Platforms,
    /// What Argo CD and Flux see, and repeated applies
    Gitops,
    /// The policy that adds sidecars to pods
    Injection,
    /// What the charts render, as the API server keeps it, and releases of one name
    Charts,
    /// `docs/tutorial.md`, as a reader follows it
    Tutorial,
}

impl Subject {
    fn suite(self) -> Suite {
        match self {
            Self::Operator => operator::suite(),
            Self::Definition => definition::suite(),
            Self::Namespaced => namespaced::suite(),
            Self::Dropin => dropin::suite(),
            Self::Install => install::suite(),
            Self::Platforms => platforms::suite(),
            Self::Gitops => gitops::suite(),
            Self::Injection => injection::suite(),
            Self::Charts => charts::suite(),
            Self::Tutorial => tutorial::suite(),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    // Before any client is made. It can only fail if there is a provider already, and nothing ran
    // before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    wait::be_patient_for(Duration::from_secs(arguments.patience));
    let suite = arguments.subject.suite();
    if arguments.list {
        for name in suite.names() {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    }
    let place = programs::Place {
        root: arguments.root,
        images: arguments.images,
        state: arguments.state,
        operator: arguments.operator,
        plugin: arguments.plugin,
    };
    match suite.run(place, &arguments.names, arguments.parallel).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}
