//! The arguments of `serve`.

use std::time::Duration;

use clap::Args;
use crds::contract::environment;
use server::ListenAddress;

use super::times::duration;
use super::{DocumentArgs, LogArgs};
use crate::budget::size::ByteSize;

/// `serve`
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// The configuration.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// Where the Mirror API listens: 9900, :9900 or HOST:PORT; without a host, on every address of
    /// IPv6 and IPv4 [default: the manifest's spec.port]
    #[arg(long, env = environment::LISTEN, value_name = "ADDR")]
    pub listen: Option<ListenAddress>,
    /// Where /livez, /readyz, /targets and /metrics listen
    #[arg(
        long,
        env = environment::ADMIN_LISTEN,
        value_name = "ADDR",
        default_value = "[::]:9901"
    )]
    pub admin_listen: ListenAddress,
    /// Where the console listens, if the manifest enables it
    #[arg(
        long,
        env = "PROMETHEUS_MIRROR_CONSOLE_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9902"
    )]
    pub console_listen: ListenAddress,
    /// After SIGTERM: how long to go on accepting while /readyz says no, so that load balancers
    /// notice; up to three times as long while new connections still arrive
    #[arg(long, env = environment::DRAIN_DELAY, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub drain_delay: Duration,
    /// After that: how long requests under way may take; a second signal ends at once
    #[arg(long, env = environment::DRAIN_TIMEOUT, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,
    /// Wait for a document that can be served, and for free ports, instead of ending without. For
    /// sidecars: Kubernetes starts the pod's other containers only while this one runs
    #[arg(long, env = environment::WAIT_FOR_DOCUMENT)]
    pub wait_for_document: bool,
    /// Memory that the process may use, such as 512Mi; requests share what is left of it [default:
    /// the container's limit, else 512Mi]
    #[arg(long, env = "PROMETHEUS_MIRROR_MEMORY_LIMIT", value_name = "SIZE")]
    pub memory_limit: Option<ByteSize>,
    /// Threads that serve [default: one per core, at most 4]
    #[arg(long, env = "PROMETHEUS_MIRROR_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}
