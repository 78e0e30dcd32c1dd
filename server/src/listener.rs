//! Listeners: how connections are accepted, and how all of them end.
//!
//! HTTP/1.1 directly on hyper, because the limits are the point: a client that stalls while sending
//! a head, a body or while reading its answer loses its own connection after a bounded time and
//! nothing else; one that opens connections without end loses those that it does not use. A TLS
//! handshake is the connection's own business, too: in its task, bounded in time, with the
//! certificate that is the current one when it begins. Connections that stand keep theirs.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::rustls::ServerConfig;

use crate::address::ListenAddress;
use crate::client::ClientAddress;
use crate::connection::Connection;
use crate::limits::Limits;
use crate::table::Table;

/// What a connection is secured with, asked for each new one. None: it is not.
pub type CurrentTls = Arc<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>;

/// Called for each connection; what it answers is dropped when the connection ends.
pub type OnConnection = Arc<dyn Fn() -> Box<dyn Any + Send> + Send + Sync>;

/// The JSON body that a request is refused with whose head cannot be read, by the status: 400 if it
/// is not HTTP, 431 if it is too long.
pub type OnMalformed = fn(StatusCode) -> String;

/// What a listener asks of the program that started it, and reports to it.
#[derive(Clone, Default)]
pub struct Hooks {
    /// The default: connections are not secured.
    pub tls: Option<CurrentTls>,
    /// Counts connections.
    pub on_connection: Option<OnConnection>,
    /// The default: no body.
    pub on_malformed: Option<OnMalformed>,
}

/// Pause after an accept error that is not the connection's own fault (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A listener that could not be opened. One line that names the address and what to change.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}; choose another address with {flag}", reason(.source))]
pub struct BindError {
    address: String,
    flag: &'static str,
    source: io::Error,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use".into(),
        io::ErrorKind::PermissionDenied => {
            "no permission (ports below 1024 need a privilege)".into()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    }
}

/// Opens a listening socket on `address`. `flag` is the command line flag that changes it.
///
/// # Errors
/// [`BindError`] if the address cannot be resolved or taken.
pub async fn bind(address: &ListenAddress, flag: &'static str) -> Result<TcpListener, BindError> {
    address.listen().await.map_err(|source| BindError {
        address: address.as_str().to_owned(),
        flag,
        source,
    })
}

/// A listener at work. Dropping it ends its connections at once; [`Server::drain`] lets them
/// finish.
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<Duration>,
    accepting: JoinHandle<Drained>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut because the time was over.
    pub cut: usize,
}

impl Server {
    /// Starts accepting on `listener`.
    ///
    /// # Errors
    /// If the socket has no local address.
    pub fn start(
        listener: TcpListener,
        router: Router,
        limits: Limits,
        hooks: Hooks,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let accepting = Accepting {
            table: Table::new(&limits),
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
            draining: watch::Sender::new(()),
            router,
            limits,
            hooks,
        };
        let accepting = tokio::spawn(accepting.run(listener, stopped));
        Ok(Self {
            address,
            stop,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, closes idle connections, and waits up to `timeout` for requests under way.
    pub async fn drain(self, timeout: Duration) -> Drained {
        // The loop only ends by this message, so it is there to take it; a panic in it means
        // nothing is left to drain.
        let _ = self.stop.send(timeout);
        self.accepting.await.unwrap_or(Drained { cut: 0 })
    }
}

/// The loop that accepts, and what it knows of its connections.
struct Accepting {
    table: Arc<Table>,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
    /// Its end tells handshakes of a drain.
    draining: watch::Sender<()>,
    router: Router,
    limits: Limits,
    hooks: Hooks,
}

impl Accepting {
    async fn run(
        mut self,
        listener: TcpListener,
        mut stopped: oneshot::Receiver<Duration>,
    ) -> Drained {
        let table = Arc::clone(&self.table);
        let timeout = loop {
            let next = async {
                table.room().await;
                listener.accept().await
            };
            tokio::select! {
                biased;
                timeout = &mut stopped => break timeout.unwrap_or_default(),
                Some(_) = self.connections.join_next() => {}
                accepted = next => match accepted {
                    Ok((stream, peer)) => self.accepted(stream, ClientAddress::of(peer)),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections; trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        drop(listener);
        self.end(timeout).await
    }

    /// Serves a connection, or closes it if nobody gives up a place for it.
    fn accepted(&mut self, stream: TcpStream, client: ClientAddress) {
        let Some(place) = self.table.admit(client) else {
            tracing::debug!(client = %client.ip(), "too many connections with a request under way");
            return;
        };
        let place = Arc::new(place);
        let id = place.id();
        let counted = self.hooks.on_connection.as_ref().map(|count| count());
        let connection = Connection {
            stream,
            client,
            router: self.router.clone(),
            limits: self.limits,
            tls: self.hooks.tls.as_ref().and_then(|current| current()),
            drains: self.draining.subscribe(),
            watcher: self.graceful.watcher(),
            place,
            on_malformed: self.hooks.on_malformed,
        };
        let task = self.connections.spawn(async move {
            let _counted = counted;
            connection.serve().await;
        });
        self.table.attach(id, task);
    }

    /// Waits for the connections that are left, and cuts those that take too long.
    async fn end(mut self, timeout: Duration) -> Drained {
        drop(self.draining);
        let finished = tokio::time::timeout(timeout, self.graceful.shutdown()).await;
        while self.connections.try_join_next().is_some() {}
        let cut = if finished.is_ok() {
            0
        } else {
            self.connections.len()
        };
        self.connections.shutdown().await;
        Drained { cut }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}
