//! Who a connection counts for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio_rustls::rustls::ServerConnection;

/// The network address that a client is known by: an IPv4 address, or the first 64 bits of an IPv6
/// address, because a client that has one address of such a network has them all. Behind a proxy
/// all clients have the proxy's. Every request has it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The client at the other end of a connection.
    #[must_use]
    pub fn of(peer: SocketAddr) -> Self {
        Self(match peer.ip().to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            address => address,
        })
    }

    /// The address, of IPv6 that of the network.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

/// The certificate that a client has shown, where the listener asks for one. Every request of its
/// connection has it as an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate(Arc<[u8]>);

impl ClientCertificate {
    /// The client's own among the certificates of a connection, which begin with it.
    pub(crate) fn of(connection: &ServerConnection) -> Option<Self> {
        let own = connection.peer_certificates()?.first()?;
        Some(Self(own.as_ref().into()))
    }

    /// The certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str) -> String {
        ClientAddress::of(peer.parse().unwrap()).ip().to_string()
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_ipv4_address_is_that_address() {
        assert_eq!(client("192.0.2.7:1"), "192.0.2.7");
        assert_eq!(client("[::ffff:192.0.2.7]:1"), "192.0.2.7");
        assert_eq!(client("[2001:db8:1:2:3:4:5:6]:1"), "2001:db8:1:2::");
        assert_eq!(
            client("[2001:db8:1:2:ffff::9]:2"),
            client("[2001:db8:1:2::1]:1")
        );
        assert_ne!(client("[2001:db8:1:3::1]:1"), client("[2001:db8:1:2::1]:1"));
    }
}
