//! The arguments of `serve`.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use crds::contract::environment;

use super::times::duration;
use super::{DocumentArgs, LogArgs};
use crate::budget::size::ByteSize;

/// `serve`
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// The configuration.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// Where the Mirror API listens: 9900, :9900 or HOST:PORT [default: 0.0.0.0 and the manifest's
    /// spec.port]
    #[arg(long, env = environment::LISTEN, value_name = "ADDR")]
    pub listen: Option<ListenAddress>,
    /// Where /livez, /readyz, /targets and /metrics listen
    #[arg(
        long,
        env = environment::ADMIN_LISTEN,
        value_name = "ADDR",
        default_value = "0.0.0.0:9901"
    )]
    pub admin_listen: ListenAddress,
    /// After SIGTERM: how long to go on accepting while /readyz says no, so that load balancers
    /// notice; up to three times as long while new connections still arrive
    #[arg(long, env = environment::DRAIN_DELAY, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub drain_delay: Duration,
    /// After that: how long requests under way may take; a second signal ends at once
    #[arg(long, env = environment::DRAIN_TIMEOUT, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,
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

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress(String);

impl ListenAddress {
    /// All IPv4 addresses of this machine.
    #[must_use]
    pub fn any(port: u16) -> Self {
        Self(format!("{}:{port}", IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }

    /// `host:port`
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "an address is a port (9900), :PORT, HOST:PORT or [IPv6]:PORT".to_owned();
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if bare_ipv6 || host.contains(['/', ' ']) {
            return Err(wrong());
        }
        Ok(if host.is_empty() {
            Self::any(port)
        } else {
            Self(format!("{host}:{port}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_the_host() {
        let written = ["9900", ":9900", "127.0.0.1:80", "localhost:0", "[::1]:9900"]
            .map(|text| ListenAddress::from_str(text).map(|address| address.0));
        assert_eq!(
            written,
            [
                "0.0.0.0:9900",
                "0.0.0.0:9900",
                "127.0.0.1:80",
                "localhost:0",
                "[::1]:9900"
            ]
            .map(|text| Ok(text.to_owned()))
        );
        for wrong in [
            "",
            "host",
            "host:",
            "host:70000",
            "::1:9900",
            "http://host:1",
            "a b:1",
        ] {
            assert!(ListenAddress::from_str(wrong).is_err(), "{wrong}");
        }
    }
}
