//! The binary under more connections than it has places: probes and other clients are answered all
//! the same.

// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use harness::servers::{Mirror, MirrorConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Long enough for a busy machine, and shorter than any time-out that would free connections.
const PATIENCE: Duration = Duration::from_secs(6);

/// More than all places of a listener.
const CROWD: usize = 1_100;

const CROWDED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A mirror at work.
struct Crowded {
    api: SocketAddr,
    admin: SocketAddr,
    _mirror: Mirror,
}

impl Crowded {
    async fn start() -> Self {
        let config = MirrorConfig::for_targets(&[("cluster", "http://127.0.0.1:1")]);
        let mirror = Mirror::start(&config).await.unwrap();
        let address = |url: &str| url.trim_start_matches("http://").parse().unwrap();
        Self {
            api: address(&mirror.url()),
            admin: address(&mirror.admin().0),
            _mirror: mirror,
        }
    }

    /// Probes and requests, of the client that crowds and of another, are answered.
    async fn answers_everybody(&self, when: &str) {
        for client in [CROWDED, ELSEWHERE] {
            for (server, path) in [
                (self.admin, "/livez"),
                (self.admin, "/readyz"),
                (self.admin, "/metrics"),
                (self.api, "/"),
            ] {
                let asked = async {
                    let mut stream = connect(client, server).await;
                    ask(&mut stream, path).await
                };
                let answer = tokio::time::timeout(PATIENCE, asked).await;
                assert_eq!(
                    answer.ok().as_deref(),
                    Some("HTTP/1.1 200"),
                    "{path} of {server} from {client}, {when}"
                );
            }
        }
    }
}

async fn connect(client: Ipv4Addr, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((client, 0).into()).unwrap();
    socket.connect(server).await.unwrap()
}

/// The beginning of the answer to a request that keeps the connection open; nothing if the server
/// has closed it.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut answer = [0; 12];
    if stream.write_all(request.as_bytes()).await.is_err()
        || stream.read_exact(&mut answer).await.is_err()
    {
        return String::new();
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn kept_connections_without_end_keep_nobody_out() {
    let mirror = Crowded::start().await;
    for (server, path) in [(mirror.api, "/"), (mirror.admin, "/livez")] {
        let mut crowd = Vec::new();
        for number in 0..CROWD {
            let mut stream = connect(CROWDED, server).await;
            let answer = tokio::time::timeout(PATIENCE, ask(&mut stream, path)).await;
            assert_eq!(
                answer.ok().as_deref(),
                Some("HTTP/1.1 200"),
                "{path}, connection {number} of {server}"
            );
            crowd.push(stream);
        }
        mirror
            .answers_everybody(&format!("with kept connections to {server}"))
            .await;
    }
}

#[tokio::test]
async fn requests_that_never_end_keep_nobody_out() {
    let mirror = Crowded::start().await;
    for server in [mirror.api, mirror.admin] {
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            let mut stream = connect(CROWDED, server).await;
            // It may have given way to another before this arrives.
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").await;
            crowd.push(stream);
        }
        mirror
            .answers_everybody(&format!("with unfinished heads to {server}"))
            .await;
    }
}
