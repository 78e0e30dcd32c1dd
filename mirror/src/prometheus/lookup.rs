//! Looking up the addresses of hosts, in bounded time and in words. Where a policy keeps a pod from
//! DNS, queries get no answer at all, and the system's resolver tries on for longer than a request
//! may take.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::Service;

/// The longest that a lookup may take. The resolver's first try takes 5 s.
const LONGEST: Duration = Duration::from_secs(8);

/// Why a host has no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("cannot look up {host}: {}", reason(.error))]
    Failed { host: String, error: io::Error },
    #[error(
        "cannot look up {host}: no answer from DNS within {within:?} (hint: may this pod send to port 53 of the cluster's DNS? A NetworkPolicy that restricts Egress must allow it, UDP and TCP)"
    )]
    Silent { host: String, within: Duration },
}

/// What the system says, without the words that say that it was a lookup.
fn reason(error: &io::Error) -> String {
    let said = error.to_string();
    let prefix = "failed to lookup address information: ";
    said.strip_prefix(prefix).unwrap_or(&said).to_owned()
}

/// Finds the addresses of hosts.
#[derive(Debug)]
pub(super) struct Lookup {
    /// The host to look up, whatever the client asks for.
    always: Option<String>,
    within: Duration,
}

impl Lookup {
    /// Of the host that a client asks for, for requests that may take `timeout`. A part of that is
    /// left, so that it is said what took so long.
    pub(super) fn any(timeout: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            always: None,
            within: within(timeout),
        })
    }

    /// Of one host, whatever the client asks for.
    pub(super) fn always(host: &str, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            always: Some(host.trim_matches(['[', ']']).to_owned()),
            within: within(Some(timeout)),
        })
    }
}

fn within(timeout: Option<Duration>) -> Duration {
    timeout.map_or(LONGEST, |timeout| LONGEST.min(timeout * 3 / 4))
}

impl Lookup {
    /// The addresses of a host that a client asks for.
    fn found(
        &self,
        host: &str,
    ) -> impl Future<Output = Result<Vec<SocketAddr>, LookupError>> + use<> {
        let host = self.always.as_deref().unwrap_or(host).to_owned();
        addresses(host, self.within)
    }
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.found(name.as_str());
        Box::pin(async move { Ok(Box::new(found.await?.into_iter()) as Addrs) })
    }
}

/// The same for hyper's client.
#[derive(Clone, Debug)]
pub(super) struct Lookups(pub(super) Arc<Lookup>);

impl Service<dns::Name> for Lookups {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = LookupError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, LookupError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LookupError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Self::Future {
        let found = self.0.found(name.as_str());
        Box::pin(async move { Ok(found.await?.into_iter()) })
    }
}

/// The addresses of a host; the port is the URL's.
async fn addresses(host: String, within: Duration) -> Result<Vec<SocketAddr>, LookupError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, 0).into()]);
    }
    let lookup = async {
        let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
        Ok(found.collect())
    };
    match tokio::time::timeout(within, lookup).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(LookupError::Failed { host, error }),
        Err(_) => Err(LookupError::Silent { host, within }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_without_an_address_is_named() {
        let found = addresses("none.invalid".to_owned(), LONGEST).await;
        let said = found.unwrap_err().to_string();
        assert!(said.starts_with("cannot look up none.invalid: "), "{said}");
        assert!(!said.contains("failed to lookup"), "{said}");
    }

    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        for (host, expected) in [("192.0.2.7", "192.0.2.7:0"), ("fd00::7", "[fd00::7]:0")] {
            let found = addresses(host.to_owned(), Duration::ZERO).await;
            assert_eq!(found.unwrap(), [expected.parse().unwrap()]);
        }
    }

    #[test]
    fn a_lookup_leaves_time_to_say_what_took_so_long() {
        let seconds = Duration::from_secs;
        assert_eq!(within(None), seconds(8));
        assert_eq!(within(Some(seconds(60))), seconds(8));
        assert_eq!(within(Some(seconds(4))), seconds(3));
    }
}
