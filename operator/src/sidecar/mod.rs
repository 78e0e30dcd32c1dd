//! `sidecar`: prints what to paste where no policy injects sidecars, because the cluster is older
//! than Kubernetes 1.36 or the policy is not wanted.
//!
//! What is printed is what the operator rendered for the resource, or would render: container,
//! volumes and hash cannot differ from those that the policy copies.

mod forms;
mod source;

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

pub use self::forms::Form;
use crate::controller::build::{DEFAULT_IMAGE, Sidecar};

/// `sidecar`
#[derive(Args, Clone, Debug)]
pub struct SidecarArgs {
    /// The PrometheusMirror. With --file, only needed if the file has several
    #[arg(value_name = "NAME", required_unless_present = "file")]
    pub name: Option<String>,
    /// Its namespace [default: that of the kubeconfig]
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "file")]
    pub namespace: Option<String>,
    /// Render it from this manifest, or - for stdin, without asking a cluster
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The place to paste it into
    #[arg(
        short,
        long,
        value_enum,
        default_value = "pod-patch",
        value_name = "FORM"
    )]
    pub output: Form,
    /// With --file: the image of mirrors whose resource names none
    #[arg(long, env = "PROMETHEUS_MIRROR_OPERATOR_IMAGE", value_name = "IMAGE", default_value = DEFAULT_IMAGE)]
    pub image: String,
}

/// Why there is nothing to print. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error("cannot read {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file is no YAML.
    #[error("{0} is not valid YAML: {1}")]
    Yaml(PathBuf, serde_yaml::Error),
    /// The file has no such resource.
    #[error("{file} has {found}; {hint}", file = .0.display(), found = .1, hint = .2)]
    NotInFile(PathBuf, String, &'static str),
    /// What the schema has against the resource.
    #[error("{0}")]
    Invalid(String),
    /// The other mode.
    #[error(
        "{0} has mode: Deployment, in which the mirror has pods of its own; write mode: Sidecar in its spec"
    )]
    NotASidecar(String),
    /// No cluster.
    #[error("found no cluster: {0}; set KUBECONFIG, or render from a manifest with --file")]
    NoCluster(#[from] kube::config::InferConfigError),
    /// No such resource.
    #[error(
        "there is no PrometheusMirror {name} in namespace {namespace}; choose another namespace with --namespace, or render from a manifest with --file"
    )]
    Missing {
        /// The resource.
        name: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// The API server.
    #[error("cannot read PrometheusMirror {0}: {1}")]
    Cluster(String, kube::Error),
    /// The operator has not come so far.
    #[error("the operator has not rendered the sidecar of {name} yet: {reason}")]
    NotRendered {
        /// The resource.
        name: String,
        /// What its status says.
        reason: String,
    },
    /// Stdout.
    #[error("cannot write the result: {0}")]
    Write(std::io::Error),
}

/// A sidecar, and what else its pod needs.
#[derive(Clone, Debug, PartialEq)]
struct Pasted {
    /// The resource's name, which the pod's label names.
    name: String,
    sidecar: Sidecar,
}

/// Prints a sidecar in the form that was asked for.
///
/// # Errors
/// If there is no such sidecar.
pub async fn print(args: SidecarArgs) -> Result<(), Error> {
    let pasted = match &args.file {
        Some(file) => source::from_file(file, args.name.as_deref(), &args.image)?,
        // The command line has one of both.
        None => {
            let name = args.name.unwrap_or_default();
            source::from_cluster(&name, args.namespace.as_deref()).await?
        }
    };
    let text = args.output.text(&pasted);
    let written = std::io::stdout().write_all(text.as_bytes());
    written.map_err(Error::Write)
}
