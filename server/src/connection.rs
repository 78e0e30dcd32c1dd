//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tower::ServiceExt as _;

use crate::client::{ClientAddress, ClientCertificate};
use crate::limits::{Limits, MAX_HEAD_BYTES};
use crate::listener::OnMalformed;
use crate::stalls::{TimedBody, WriteGuard};
use crate::table::Place;
use crate::watched::Watched;

/// How long a TLS handshake may go on after a drain has begun.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(1);

/// An accepted connection, and what it needs.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) client: ClientAddress,
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Ends when a drain begins.
    pub(crate) drains: watch::Receiver<()>,
    pub(crate) watcher: Watcher,
    pub(crate) place: Arc<Place>,
    pub(crate) on_malformed: Option<OnMalformed>,
}

impl Connection {
    /// Serves the connection to its end.
    pub(crate) async fn serve(self) {
        // Answers are written in one go; waiting for more to send only delays them. A failure costs
        // only that.
        let _ = self.stream.set_nodelay(true);
        let stream = WriteGuard::new(self.stream, self.limits.write_idle);
        let mut requests = Requests {
            client: self.client,
            certificate: None,
            router: self.router,
            limits: self.limits,
            place: self.place,
            on_malformed: self.on_malformed,
        };
        let Some(tls) = self.tls else {
            return requests.answer(stream, self.watcher).await;
        };
        let handshake = TlsAcceptor::from(tls).accept(stream);
        let secured = tokio::select! {
            secured = tokio::time::timeout(self.limits.head, handshake) => secured,
            () = drained_for(HANDSHAKE_GRACE, self.drains) => return,
        };
        match secured {
            Ok(Ok(stream)) => {
                requests.certificate = ClientCertificate::of(stream.get_ref().1);
                requests.answer(stream, self.watcher).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake not finished in time"),
        }
    }
}

/// Resolves when a drain has been going on for so long.
async fn drained_for(time: Duration, mut drains: watch::Receiver<()>) {
    // Nothing is ever sent: an error is the sender's end.
    let _ = drains.changed().await;
    tokio::time::sleep(time).await;
}

/// The requests of a connection.
struct Requests {
    client: ClientAddress,
    certificate: Option<ClientCertificate>,
    router: Router,
    limits: Limits,
    place: Arc<Place>,
    on_malformed: Option<OnMalformed>,
}

impl Requests {
    async fn answer(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        watcher: Watcher,
    ) {
        let stream = Watched::new(stream, Arc::clone(&self.place), self.on_malformed);
        let head = self.limits.head;
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            // Here and not in the future: from the moment on that hyper has the head.
            self.place.asked();
            let (router, place) = (self.router.clone(), Arc::clone(&self.place));
            request.extensions_mut().insert(self.client);
            if let Some(certificate) = &self.certificate {
                request.extensions_mut().insert(certificate.clone());
            }
            answer(router, request, self.limits, place)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection ended early");
        }
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    limits: Limits,
    place: Arc<Place>,
) -> Result<Response<AnswerBody>, Infallible> {
    let stalled = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| {
        let stalled = Arc::clone(&stalled);
        axum::body::Body::new(TimedBody::new(body, limits.body_idle, limits.body, stalled))
    });
    let mut response = router.oneshot(request).await?;
    if stalled.load(Ordering::Relaxed) {
        // The handler could only see a broken body; what was wrong is known here. Its headers and
        // body stay.
        *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| AnswerBody { body, place }))
}

/// The body of an answer. hyper drops it when it has taken all of it.
struct AnswerBody {
    body: axum::body::Body,
    place: Arc<Place>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.place.answered();
    }
}
