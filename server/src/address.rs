//! Where a program listens, and the socket there.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that the kernel holds until they are accepted, as in the standard library.
const BACKLOG: i32 = 1024;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress(String);

impl ListenAddress {
    /// All addresses of this machine: those of IPv6 and of IPv4.
    #[must_use]
    pub fn any(port: u16) -> Self {
        Self(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).to_string())
    }

    /// `host:port`
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A listening socket. `[::]` is all addresses, whatever the kernel's default for IPv4 is, and
    /// where the kernel has no IPv6, all of IPv4.
    pub(crate) async fn listen(&self) -> io::Result<TcpListener> {
        match self.0.parse::<SocketAddr>() {
            Ok(address) if address.ip() == Ipv6Addr::UNSPECIFIED => match listen_on(address) {
                Err(error) if is_without_ipv6(&error) => {
                    listen_on((Ipv4Addr::UNSPECIFIED, address.port()).into())
                }
                opened => opened,
            },
            _ => TcpListener::bind(&self.0).await,
        }
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether the kernel has no IPv6: the kind of socket or the option is unknown, or no interface has
/// an address. A port that is in use or needs a privilege would be so with IPv4, too.
fn is_without_ipv6(error: &io::Error) -> bool {
    let of_the_port = [io::ErrorKind::AddrInUse, io::ErrorKind::PermissionDenied];
    !of_the_port.contains(&error.kind())
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
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn addresses_may_leave_out_the_host() {
        let written = [
            "9900",
            ":9900",
            "[::]:9900",
            "0.0.0.0:9900",
            "127.0.0.1:80",
            "localhost:0",
            "[::1]:9900",
        ];
        let read = written.map(|text| ListenAddress::from_str(text).map(|address| address.0));
        let mut expected = written.map(|text| Ok(text.to_owned()));
        expected[..2].fill(Ok("[::]:9900".to_owned()));
        assert_eq!(read, expected);
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

    #[tokio::test]
    async fn without_a_host_clients_of_both_families_are_let_in() {
        let listener = ListenAddress::any(0).listen().await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for client in ["127.0.0.1", "::1"] {
            let connected = TcpStream::connect((client, port)).await;
            assert!(connected.is_ok(), "{client}: {connected:?}");
        }
    }

    #[tokio::test]
    async fn an_address_of_ipv4_is_of_ipv4_only() {
        let address = ListenAddress::from_str("0.0.0.0:0").unwrap();
        let listener = address.listen().await.unwrap();
        let bound = listener.local_addr().unwrap();
        assert!(bound.is_ipv4(), "{bound}");
        assert!(TcpStream::connect(("::1", bound.port())).await.is_err());
    }

    #[tokio::test]
    async fn a_port_in_use_is_not_taken_for_a_kernel_without_ipv6() {
        let first = ListenAddress::any(0).listen().await.unwrap();
        let port = first.local_addr().unwrap().port();
        let second = ListenAddress::any(port).listen().await;
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
