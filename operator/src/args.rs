//! The command line. Every flag is also an environment variable.

use clap::{Args, Parser, Subcommand};
use crds::contract::LogFormat;
use server::ListenAddress;

use crate::cluster::platform::Openshift;
use crate::cluster::policy::{CrossNamespace, Field, Policy};
use crate::controller::build::DEFAULT_IMAGE;
use crate::sidecar::SidecarArgs;

/// Runs a mirror for every `PrometheusMirror` resource.
#[derive(Debug, Parser)]
#[command(
    name = "prometheus-mirror-operator",
    version,
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
    /// Reconcile until a signal comes
    Run(RunArgs),
    /// Print the CustomResourceDefinition, for kubectl apply -f -
    Crd,
    /// Print a sidecar, to be pasted where no policy injects it
    Sidecar(SidecarArgs),
    /// Ask a running operator, and fail unless it answers 200; `helm test` does
    CheckHealth {
        /// Its /readyz or /livez, for example http://localhost:8080/readyz
        #[arg(value_name = "URL")]
        url: reqwest::Url,
    },
}

/// `run`
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The image of mirrors whose resource names none
    #[arg(long, env = "PROMETHEUS_MIRROR_OPERATOR_IMAGE", value_name = "IMAGE", default_value = DEFAULT_IMAGE)]
    pub image: String,
    /// Secrets that pull it for mirrors whose resource names none; each mirror's namespace must
    /// have them [default: none]
    #[arg(
        long,
        env = "PROMETHEUS_MIRROR_OPERATOR_IMAGE_PULL_SECRETS",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    pub image_pull_secrets: Vec<String>,
    /// Look only into these namespaces, with rights in them only [default: all]
    #[arg(
        long,
        env = "PROMETHEUS_MIRROR_OPERATOR_WATCH_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    pub watch_namespaces: Vec<String>,
    /// Look only into namespaces whose labels match, such as team=a or mirrors in (on, trial)
    /// [default: all]
    #[arg(
        long,
        env = "PROMETHEUS_MIRROR_OPERATOR_NAMESPACE_SELECTOR",
        value_name = "SELECTOR",
        conflicts_with = "watch_namespaces"
    )]
    pub namespace_selector: Option<String>,
    /// Which Services and Prometheus objects of other namespaces targets may name
    #[arg(
        long,
        env = "PROMETHEUS_MIRROR_OPERATOR_CROSS_NAMESPACE",
        value_enum,
        default_value_t,
        value_name = "WHICH"
    )]
    pub cross_namespace: CrossNamespace,
    /// Fields of spec that no resource may set; one that does is not built, and what runs of it
    /// stays
    #[arg(
        long,
        env = "PROMETHEUS_MIRROR_OPERATOR_DENY_FIELDS",
        value_enum,
        value_delimiter = ',',
        value_name = "FIELDS"
    )]
    pub deny_fields: Vec<Field>,
    /// Whether this is OpenShift, which assigns users and groups to pods
    #[arg(
        long,
        env = "PROMETHEUS_MIRROR_OPERATOR_OPENSHIFT",
        value_enum,
        default_value_t,
        value_name = "WHETHER"
    )]
    pub openshift: Openshift,
    /// Where this operator runs; its Lease is there [default: that of the kubeconfig or the pod]
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// What this replica is called in the Lease [default: the host's name and a number]
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub identity: Option<String>,
    /// The name of the Lease
    #[arg(
        long,
        env = "PROMETHEUS_MIRROR_OPERATOR_LEASE",
        value_name = "NAME",
        default_value = "prometheus-mirror-operator"
    )]
    pub lease: String,
    /// Where /livez, /readyz and /metrics listen: 8080, :8080 or HOST:PORT; without a host, on
    /// every address of IPv6 and IPv4
    #[arg(
        long,
        env = "PROMETHEUS_MIRROR_OPERATOR_ADMIN_LISTEN",
        value_name = "ADDR",
        default_value = "[::]:8080"
    )]
    pub admin_listen: ListenAddress,
    /// How log lines are written (to stderr)
    #[arg(
        long,
        env = "PROMETHEUS_MIRROR_OPERATOR_LOG_FORMAT",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// error, warn, info, debug or trace, or directives like info,operator=debug
    #[arg(
        long,
        env = "PROMETHEUS_MIRROR_OPERATOR_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub log_level: String,
}

impl RunArgs {
    /// What resources may do.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            cross_namespace: self.cross_namespace,
            denied: self.deny_fields.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_resources_may_do_is_read_and_a_misspelt_field_is_refused() {
        let run = |flags: &[&str]| {
            let program = ["prometheus-mirror-operator", "run"];
            let cli = Cli::try_parse_from(program.iter().chain(flags));
            cli.map(|cli| match cli.command {
                Command::Run(args) => args.policy(),
                _ => Policy::default(),
            })
            .map_err(|error| error.kind())
        };
        assert_eq!(run(&[]), Ok(Policy::default()));
        let flags = [
            "--cross-namespace=Always",
            "--deny-fields=podTemplate,ingress.annotations",
            "--deny-fields=httpRoute",
        ];
        let expected = Policy {
            cross_namespace: CrossNamespace::Always,
            denied: vec![
                Field::PodTemplate,
                Field::IngressAnnotations,
                Field::HttpRoute,
            ],
        };
        assert_eq!(run(&flags), Ok(expected));
        for wrong in ["--deny-fields=podtemplate", "--cross-namespace=always"] {
            assert_eq!(run(&[wrong]), Err(ErrorKind::InvalidValue), "{wrong}");
        }
    }

    #[test]
    fn a_sidecar_comes_from_a_resource_or_from_a_file() {
        let sidecar = |flags: &[&str]| {
            let program = ["prometheus-mirror-operator", "sidecar"];
            Cli::try_parse_from(program.iter().chain(flags)).map_err(|error| error.kind())
        };
        assert!(sidecar(&["shop", "-n", "monitoring", "-o", "prometheus"]).is_ok());
        assert!(sidecar(&["-f", "mirror.yaml"]).is_ok());
        assert_eq!(sidecar(&[]).err(), Some(ErrorKind::MissingRequiredArgument));
        assert_eq!(
            sidecar(&["-f", "-", "-n", "a"]).err(),
            Some(ErrorKind::ArgumentConflict)
        );
    }

    #[test]
    fn namespaces_are_named_or_selected_but_not_both() {
        let run = |flags: &[&str]| {
            let program = ["prometheus-mirror-operator", "run"];
            Cli::try_parse_from(program.iter().chain(flags)).map_err(|error| error.kind())
        };
        assert!(run(&["--watch-namespaces=a,b"]).is_ok());
        assert!(run(&["--namespace-selector=team in (a, b),!legacy"]).is_ok());
        assert_eq!(
            run(&["--watch-namespaces=a", "--namespace-selector=team=a"]).err(),
            Some(ErrorKind::ArgumentConflict)
        );
    }
}
