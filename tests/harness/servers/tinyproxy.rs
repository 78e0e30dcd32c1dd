//! Debian's tinyproxy, and servers that only it reaches.

use std::net::Ipv4Addr;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::{Process, eventually, free_port, program};

/// The address that the proxy connects from: not that of anybody else's connections here.
const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A running proxy that demands the user name `reader` and the password [`Tinyproxy::PASSWORD`].
#[derive(Debug)]
pub struct Tinyproxy {
    process: Process,
    port: u16,
}

impl Tinyproxy {
    /// The proxy's password.
    pub const PASSWORD: &str = "password-of-the-proxy";

    /// Starts it. It opens tunnels to these ports and no others.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start(ports: &[u16]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let mut lines = vec![
            format!("Port {port}"),
            "Listen 127.0.0.1".to_owned(),
            format!("Bind {OWN}"),
            format!("BasicAuth reader {}", Self::PASSWORD),
        ];
        lines.extend(ports.iter().map(|port| format!("ConnectPort {port}")));
        std::fs::write(folder.path().join("proxy.conf"), lines.join("\n") + "\n")?;
        let binary = program("tinyproxy", "tinyproxy")?;
        let process = Process::start("tinyproxy", &binary, ["-d", "-c", "proxy.conf"], folder)?;
        eventually("the proxy's port", || async {
            let connected = TcpStream::connect(("127.0.0.1", port)).await;
            Ok(connected.ok().map(drop))
        })
        .await?;
        Ok(Self { process, port })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The process, for its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A port that leads to another one here, for the proxy only: other connections are closed. It
    /// ends with the test's runtime.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn only_behind(port: u16) -> Result<u16> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let own = listener.local_addr()?.port();
        tokio::spawn(async move {
            while let Ok((mut near, peer)) = listener.accept().await {
                if peer.ip() != OWN {
                    continue;
                }
                tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Ok(own)
    }
}
