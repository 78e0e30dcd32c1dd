//! A server on a thread and a runtime of its own. It answers whatever the rest of the process does:
//! none of its work waits for a worker of another runtime, and connections of other listeners take
//! none of its own.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::limits::Limits;
use crate::listener::{Drained, Hooks, Server};

/// A server with a thread of its own. Dropping it ends its connections at once.
pub struct Apart {
    address: SocketAddr,
    stop: oneshot::Sender<Duration>,
    ended: oneshot::Receiver<Drained>,
}

impl Apart {
    /// Starts accepting on `listener`, in a new thread called `name`. Whatever `router` does, it
    /// does there.
    ///
    /// # Errors
    /// If the socket, the thread or its runtime cannot be made ready.
    pub fn start(
        name: &str,
        listener: TcpListener,
        router: Router,
        limits: Limits,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        // Out of the runtime in which it was opened.
        let listener = listener.into_std()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let server = {
            let _inside = runtime.enter();
            let listener = TcpListener::from_std(listener)?;
            Server::start(listener, router, limits, Hooks::default())?
        };
        let (stop, stopped) = oneshot::channel();
        let (tell, ended) = oneshot::channel();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let timeout = stopped.await.unwrap_or_default();
                    // Nobody waits for it if it was dropped.
                    let _ = tell.send(server.drain(timeout).await);
                });
            })?;
        Ok(Self {
            address,
            stop,
            ended,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As [`Server::drain`].
    pub async fn drain(self, timeout: Duration) -> Drained {
        // The thread waits for this message; if it is gone, so are its connections.
        let _ = self.stop.send(timeout);
        self.ended.await.unwrap_or(Drained { cut: 0 })
    }
}
