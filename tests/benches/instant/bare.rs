//! A gateway of the mirror's packages that does nothing but pass on: what a request costs in them
//! before anything of the mirror's own is done.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use harness::servers::{Process, free_port, wait_until_ready};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpListener;

/// The argument that makes this program such a gateway. The port and the store's address follow.
pub(crate) const ARGUMENT: &str = "serve-bare-gateway";

/// Such a gateway in a process of its own.
#[derive(Debug)]
pub(crate) struct BareGateway {
    process: Process,
    port: u16,
}

impl BareGateway {
    /// Starts one before the store at `address` (`host:port`).
    ///
    /// # Errors
    /// If it does not answer soon.
    pub(crate) async fn start(address: &str) -> Result<Self> {
        let port = free_port()?;
        let itself = std::env::current_exe()?;
        let arguments = [ARGUMENT.to_owned(), port.to_string(), address.to_owned()];
        let directory = tempfile::tempdir()?;
        let process = Process::start("the bare gateway", &itself, arguments, directory)?;
        let gateway = Self { process, port };
        let ready = format!("{}/-/ready", gateway.url());
        wait_until_ready(&gateway.process, &ready)
            .await
            .context("the bare gateway")?;
        Ok(gateway)
    }

    /// Base URL without a slash at its end.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}

/// How requests are passed on.
struct Gateway {
    http: Client<HttpConnector, Body>,
    store: String,
}

/// Serves until the process is ended, with as many threads as the mirror has.
///
/// # Errors
/// If the port is taken.
pub(crate) fn serve(port: &str, store: &str) -> Result<()> {
    let port = port.parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let http = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .build(connector);
    let store = store.to_owned();
    let router = Router::new()
        .fallback(pass)
        .with_state(Arc::new(Gateway { http, store }));
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // A failure only makes it slower.
            let _ = stream.set_nodelay(true);
        });
        Ok(axum::serve(listener, router).await?)
    })
}

async fn pass(
    State(gateway): State<Arc<Gateway>>,
    mut request: Request,
) -> Result<Response, StatusCode> {
    let target = request.uri().path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let uri = format!("http://{}{target}", gateway.store).parse();
    *request.uri_mut() = uri.map_err(|_| StatusCode::BAD_REQUEST)?;
    let answer = gateway.http.request(request).await;
    Ok(answer.map_err(|_| StatusCode::BAD_GATEWAY)?.map(Body::new))
}
