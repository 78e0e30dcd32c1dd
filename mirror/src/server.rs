//! Listeners: how a connection is accepted, bounded and ended.
//!
//! HTTP/1.1 directly on hyper, because the limits are the point: a client that stalls while sending a head, a body or while
//! reading its answer loses its own connection after a bounded time and nothing else; one that opens connections without end
//! waits in the kernel's queue. A TLS handshake is the connection's own business, too: in its task, bounded in time, with the
//! certificate that is the current one when it begins. Connections that stand keep theirs.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::metrics::Metrics;
use crate::settings::ServerTls;

/// What a client may make a listener wait for, and hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a request's head is complete; so long may a kept-alive connection be idle, too, and a TLS handshake take.
    pub head: Duration,
    /// Without a byte of a request's body.
    pub body_idle: Duration,
    /// For a whole body.
    pub body: Duration,
    /// Without the client taking a byte of its answer.
    pub write_idle: Duration,
    /// Open connections; beyond them accepting waits.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body_idle: Duration::from_secs(10),
            body: Duration::from_secs(30),
            write_idle: Duration::from_secs(30),
            connections: 1024,
        }
    }
}

/// The largest request head. hyper's own bound (about 400 KiB) times 1,024 connections would be too much to promise.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long a TLS handshake may go on after a drain has begun.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(1);

/// What a connection is secured with, asked for each new one. None: it is not.
pub type CurrentTls = Arc<dyn Fn() -> Option<ServerTls> + Send + Sync>;

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

/// Opens a listening socket on `address` (`host:port`). `flag` is the command line flag that changes it.
///
/// # Errors
/// [`BindError`] if the address cannot be resolved or taken.
pub async fn bind(address: &str, flag: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| BindError {
            address: address.to_owned(),
            flag,
            source,
        })
}

/// A listener at work. Dropping it ends its connections at once; [`Server::drain`] lets them finish.
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
        tls: CurrentTls,
        metrics: Option<Arc<Metrics>>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let accepting = tokio::spawn(accept(listener, router, limits, tls, metrics, stopped));
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
        // The loop only ends by this message, so it is there to take it; a panic in it means nothing is left to drain.
        let _ = self.stop.send(timeout);
        self.accepting.await.unwrap_or(Drained { cut: 0 })
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    tls: CurrentTls,
    metrics: Option<Arc<Metrics>>,
    mut stopped: oneshot::Receiver<Duration>,
) -> Drained {
    // Its end tells handshakes of a drain.
    let (draining, drains) = watch::channel(());
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let timeout = loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        tokio::select! {
            biased;
            timeout = &mut stopped => break timeout.unwrap_or_default(),
            Some(_) = connections.join_next() => {}
            (place, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    let open = (place, metrics.as_ref().map(|metrics| metrics.connection_open()));
                    let (router, watcher) = (router.clone(), graceful.watcher());
                    connections.spawn(connection(stream, router, limits, tls(), drains.clone(), watcher, open));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    drop((listener, draining));
    let finished = tokio::time::timeout(timeout, graceful.shutdown()).await;
    while connections.try_join_next().is_some() {}
    let cut = if finished.is_ok() {
        0
    } else {
        connections.len()
    };
    connections.shutdown().await;
    Drained { cut }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Serves one connection to its end. `_open` holds its place among the open connections.
async fn connection(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    tls: Option<ServerTls>,
    drains: watch::Receiver<()>,
    watcher: Watcher,
    _open: (
        Option<OwnedSemaphorePermit>,
        Option<crate::metrics::Counted>,
    ),
) {
    // Answers are written in one go; waiting for more to send only delays them. A failure costs only that.
    let _ = stream.set_nodelay(true);
    let stream = WriteGuard {
        stream,
        idle: limits.write_idle,
        stalled: None,
    };
    let Some(tls) = tls else {
        return requests(stream, router, limits, watcher).await;
    };
    let handshake = TlsAcceptor::from(Arc::clone(tls.config())).accept(stream);
    let secured = tokio::select! {
        secured = tokio::time::timeout(limits.head, handshake) => secured,
        () = drained_for(HANDSHAKE_GRACE, drains) => return,
    };
    match secured {
        Ok(Ok(stream)) => requests(stream, router, limits, watcher).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake not finished in time"),
    }
}

/// Resolves when a drain has been going on for so long.
async fn drained_for(time: Duration, mut drains: watch::Receiver<()>) {
    // Nothing is ever sent: an error is the sender's end.
    let _ = drains.changed().await;
    tokio::time::sleep(time).await;
}

/// Answers the requests of a connection.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    limits: Limits,
    watcher: Watcher,
) {
    let service =
        hyper::service::service_fn(move |request| answer(router.clone(), request, limits));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    limits: Limits,
) -> Result<Response<axum::body::Body>, Infallible> {
    let stalled = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| {
        axum::body::Body::new(TimedBody {
            body,
            idle: limits.body_idle,
            end: Instant::now() + limits.body,
            waiting: None,
            stalled: Arc::clone(&stalled),
        })
    });
    let mut response = router.oneshot(request).await?;
    if stalled.load(Ordering::Relaxed) {
        // The handler could only see a broken body; what was wrong is known here. Its headers and body stay.
        *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// The error of a request body whose client stopped sending. Found by `error.rs` among the sources of a body error.
#[derive(Debug, thiserror::Error)]
#[error("the request's body did not arrive in time")]
pub struct BodyStalled;

/// A request body that ends in [`BodyStalled`] when its client stops sending.
struct TimedBody {
    body: Incoming,
    idle: Duration,
    end: Instant,
    /// Only there while a byte is awaited: most bodies arrive with their head.
    waiting: Option<Pin<Box<Sleep>>>,
    stalled: Arc<AtomicBool>,
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let until = this.end.min(Instant::now() + this.idle);
        let waiting = this
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        ready!(waiting.as_mut().poll(cx));
        this.stalled.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(BodyStalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose writes fail when the other side takes nothing for `idle`.
struct WriteGuard<S> {
    stream: S,
    idle: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteGuard<S> {
    fn check<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let idle = self.idle;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read its answer",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteGuard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteGuard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.check(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.check(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        match flushed {
            // A socket's flush is always ready; it must not reset the clock of a stalled write.
            Poll::Ready(_) => flushed,
            Poll::Pending => this.check(cx, flushed),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;

    use super::*;

    const SHORT: Limits = Limits {
        head: Duration::from_millis(200),
        body_idle: Duration::from_millis(200),
        body: Duration::from_millis(600),
        write_idle: Duration::from_millis(200),
        connections: 8,
    };

    async fn start(router: Router, limits: Limits) -> Server {
        let listener = bind("127.0.0.1:0", "--listen").await.unwrap();
        Server::start(listener, router, limits, Arc::new(|| None), None).unwrap()
    }

    /// Sends `bytes` and reads until the server closes.
    async fn exchange(address: SocketAddr, bytes: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        read_to_close(&mut stream).await
    }

    async fn read_to_close(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer))
            .await
            .expect("the server closes")
            .ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn echo() -> Router {
        Router::new().route("/", get(async || "hello")).route(
            "/echo",
            post(
                async |body: Result<Bytes, axum::extract::rejection::BytesRejection>| match body {
                    Ok(body) => Response::new(axum::body::Body::from(body)),
                    Err(_) => Response::builder()
                        .status(400)
                        .header("x-key", "k")
                        .body("broken".into())
                        .unwrap(),
                },
            ),
        )
    }

    #[tokio::test]
    async fn a_head_that_never_ends_closes_the_connection() {
        let server = start(echo(), SHORT).await;
        assert!(
            !exchange(server.address(), "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
                .await
                .contains("200")
        );
        assert_eq!(
            exchange(server.address(), "").await,
            "",
            "nor does one that never begins hold it"
        );
    }

    #[tokio::test]
    async fn a_body_that_stops_is_408_with_the_handlers_headers_and_the_connection_closed() {
        let server = start(echo(), SHORT).await;
        let answer = exchange(
            server.address(),
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(
            answer.contains("connection: close") && answer.contains("x-key: k"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn a_body_that_drips_is_bounded_as_a_whole() {
        let server = start(echo(), SHORT).await;
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream
            .write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
            .await
            .unwrap();
        let (mut read, mut write) = stream.into_split();
        let dripping = tokio::spawn(async move {
            while write.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let mut answer = [0; 12];
        read.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 408");
        dripping.abort();
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_its_answer_loses_its_connection() {
        let large = Router::new().route("/", get(async || vec![b'x'; 64 << 20]));
        let metrics = Metrics::new();
        let listener = bind("127.0.0.1:0", "--listen").await.unwrap();
        let server = Server::start(
            listener,
            large,
            SHORT,
            Arc::new(|| None),
            Some(Arc::clone(&metrics)),
        )
        .unwrap();
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let open = || {
            metrics
                .render(crate::metrics::Format::Prometheus)
                .contains("open_connections 1\n")
        };
        tokio::time::timeout(Duration::from_secs(10), async {
            while !open() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            while open() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the server gives the connection up");
    }

    #[tokio::test]
    async fn beyond_the_maximum_of_connections_accepting_waits_and_goes_on() {
        let server = start(
            echo(),
            Limits {
                connections: 1,
                ..SHORT
            },
        )
        .await;
        let idle = TcpStream::connect(server.address()).await.unwrap();
        let answer = tokio::spawn(exchange(
            server.address(),
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        ));
        drop(idle);
        assert!(answer.await.unwrap().ends_with("hello"));
    }

    #[tokio::test]
    async fn draining_finishes_requests_under_way_and_refuses_new_connections() {
        let (entered, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (entered, finish) = (Arc::clone(&entered), Arc::clone(&finish));
            Router::new().route(
                "/",
                get(async move || {
                    entered.notify_one();
                    finish.notified().await;
                    "done"
                }),
            )
        };
        let server = start(slow, Limits::default()).await;
        let address = server.address();
        let mut idle = TcpStream::connect(address).await.unwrap();
        let request = tokio::spawn(exchange(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        entered.notified().await;
        let drain = tokio::spawn(server.drain(Duration::from_secs(30)));
        assert_eq!(
            read_to_close(&mut idle).await,
            "",
            "an idle connection is closed at once"
        );
        assert!(
            TcpStream::connect(address).await.is_err(),
            "nothing listens any more"
        );
        finish.notify_one();
        assert!(request.await.unwrap().ends_with("done"));
        assert_eq!(drain.await.unwrap(), Drained { cut: 0 });
    }

    #[tokio::test]
    async fn a_drain_that_takes_too_long_cuts_what_is_left() {
        static ENTERED: AtomicUsize = AtomicUsize::new(0);
        let never = Router::new().route(
            "/",
            get(async || {
                ENTERED.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }),
        );
        let server = start(never, Limits::default()).await;
        let request = tokio::spawn(exchange(
            server.address(),
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        ));
        while ENTERED.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            server.drain(Duration::from_millis(50)).await,
            Drained { cut: 1 }
        );
        assert_eq!(request.await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_port_in_use_is_one_line_with_the_address_and_the_flag() {
        let taken = bind("127.0.0.1:0", "--listen").await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = bind(&address, "--listen").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {address}: the port is in use; choose another address with --listen"
            )
        );
    }
}
