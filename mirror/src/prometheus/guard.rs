//! No request gets around enforced matchers by naming the server itself: an undeclared target must
//! not turn out to be at the address of a target that has some.
//!
//! Names say too little (aliases, search domains, wildcard records), and what they resolve to
//! changes. So each connection of an undeclared target is looked at when it stands and before
//! anything is sent on it: its address and port must not be one that an enforced target's name
//! leads to at this moment, or led to before. Where that cannot be found out, the connection is
//! refused.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, try_join_all};
use http::Extensions;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};

use crate::settings::Settings;

/// So many addresses are remembered. Servers have a few each; beyond it the memory begins again.
const MOST_SEEN: usize = 4096;

/// The servers of the targets with enforced matchers.
#[derive(Debug)]
pub(super) struct Guard {
    servers: BTreeSet<(String, u16)>,
    /// Names with many addresses tell some of them at a time.
    seen: Mutex<HashSet<SocketAddr>>,
}

/// Why a connection is not used.
#[derive(Debug, thiserror::Error)]
enum GuardError {
    #[error(
        "it is where a target with enforced matchers is, and a request must name that target instead"
    )]
    Enforced,
    #[error("whether it is where a target with enforced matchers is cannot be found out: {0}")]
    Unresolved(io::Error),
    #[error("whether it is where a target with enforced matchers is cannot be found out")]
    NoAddress,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Guard {
    /// None if no target has enforced matchers.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let targets = settings.targets.iter();
        let servers: BTreeSet<_> = targets
            .filter(|target| !target.enforced.0.is_empty())
            .flat_map(|target| target.servers.urls())
            .filter_map(|url| {
                let host = url.host_str()?.trim_matches(['[', ']']);
                Some((host.to_owned(), url.port_or_known_default()?))
            })
            .collect();
        (!servers.is_empty()).then(|| Self {
            servers,
            seen: Mutex::default(),
        })
    }

    /// Whether the other guards the same servers.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.servers == other.servers
    }

    /// Lets connections through that lead elsewhere: for a client's connector.
    pub(super) fn admits<C: Connection + Send + 'static>(
        self: Arc<Self>,
    ) -> impl Fn(C) -> BoxFuture<'static, Result<C, BoxError>> + Clone + Send + Sync + 'static {
        move |connection| {
            let guard = Arc::clone(&self);
            let mut extras = Extensions::new();
            connection.connected().get_extras(&mut extras);
            let ends = extras
                .get::<HttpInfo>()
                .map(|info| (info.local_addr(), info.remote_addr()));
            Box::pin(async move {
                let (own, reached) = ends.ok_or(GuardError::NoAddress)?;
                guard.check(own, reached).await?;
                Ok(connection)
            })
        }
    }

    async fn check(&self, own: SocketAddr, reached: SocketAddr) -> Result<(), GuardError> {
        let lookups = self.servers.iter().map(async |(host, port)| {
            let found = tokio::net::lookup_host((host.as_str(), *port)).await?;
            Ok(found.collect::<Vec<_>>())
        });
        let found = try_join_all(lookups)
            .await
            .map_err(GuardError::Unresolved)?;
        // Once for all: it asks the system.
        let stays_here = is_here(reached.ip().to_canonical(), own);
        let is_reached = |known| is_one_place(known, reached, stays_here, own);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let enforced = found.iter().flatten().copied();
        let leads_there = seen.iter().copied().chain(enforced.clone()).any(is_reached);
        if seen.len() >= MOST_SEEN {
            seen.clear();
        }
        seen.extend(enforced);
        match leads_there {
            true => Err(GuardError::Enforced),
            false => Ok(()),
        }
    }
}

/// Whether both addresses lead to one server, as far as addresses tell. A server may listen on all
/// addresses of this machine, of either family; `stays_here` says whether the connection to
/// `reached`, whose near end is `own`, stays on it.
fn is_one_place(
    enforced: SocketAddr,
    reached: SocketAddr,
    stays_here: bool,
    own: SocketAddr,
) -> bool {
    let [enforced_ip, reached_ip] = [enforced, reached].map(|address| address.ip().to_canonical());
    enforced.port() == reached.port()
        && (enforced_ip == reached_ip || stays_here && is_here(enforced_ip, own))
}

/// Whether an address is of this machine: the loopback ones, the near end of a connection, and
/// those of its interfaces.
fn is_here(ip: IpAddr, own: SocketAddr) -> bool {
    ip.is_loopback()
        || ip.is_unspecified()
        || ip == own.ip().to_canonical()
        || is_of_this_machine(ip)
}

/// Whether an interface of this machine has the address: only then can a socket be bound to it.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_knows_its_own_addresses() {
        for (ip, own) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_of_this_machine(ip.parse().unwrap()), own, "{ip}");
        }
    }

    fn guard(servers: &[(&str, u16)]) -> Guard {
        Guard {
            servers: servers
                .iter()
                .map(|(host, port)| ((*host).to_owned(), *port))
                .collect(),
            seen: Mutex::default(),
        }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_connection_to_an_enforced_server_is_refused_whatever_it_was_called() {
        let guard = guard(&[("localhost", 9090), ("10.0.0.7", 9090), ("fd00::7", 80)]);
        for (own, reached, admitted) in [
            ("127.0.0.1:50000", "127.0.0.1:9090", false),
            ("127.0.0.1:50000", "127.0.0.9:9090", false),
            ("[::1]:50000", "[::1]:9090", false),
            ("10.9.9.9:50000", "10.9.9.9:9090", false),
            ("10.9.9.9:50000", "10.0.0.7:9090", false),
            ("[::ffff:10.9.9.9]:50000", "[::ffff:10.0.0.7]:9090", false),
            ("[fd00::1]:50000", "[fd00::7]:80", false),
            ("127.0.0.1:50000", "127.0.0.1:9091", true),
            ("10.9.9.9:50000", "10.0.0.8:9090", true),
            ("[fd00::1]:50000", "[fd00::7]:9090", true),
        ] {
            let checked = guard.check(address(own), address(reached)).await;
            assert_eq!(checked.is_ok(), admitted, "{reached}: {checked:?}");
        }
    }

    #[tokio::test]
    async fn where_an_enforced_name_leads_nowhere_nothing_is_admitted() {
        let guard = guard(&[("nowhere.invalid", 9090)]);
        let checked = guard
            .check(address("10.9.9.9:50000"), address("10.0.0.8:9090"))
            .await;
        assert!(matches!(checked, Err(GuardError::Unresolved(_))));
    }

    #[tokio::test]
    async fn an_address_that_a_name_led_to_before_is_remembered() {
        let guard = guard(&[("localhost", 9090)]);
        guard.seen.lock().unwrap().insert(address("10.0.0.8:9090"));
        let checked = guard
            .check(address("10.9.9.9:50000"), address("10.0.0.8:9090"))
            .await;
        assert!(matches!(checked, Err(GuardError::Enforced)));
    }
}
