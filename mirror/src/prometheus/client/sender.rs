//! What sends a target's requests: hyper's client where all that is needed is a connection, and
//! reqwest where there is more to it.
//!
//! Both have one connection pool below, and the same settings. What reqwest adds for every request
//! (it parses the URL twice and follows redirects, which the mirror does not) takes longer than
//! everything else that the mirror does with a small answer. So it makes the connections with TLS,
//! through proxies and under the eyes of a guard.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tower::Service;
use tower::util::MapResponseLayer;
use url::Url;

use super::connections::Connections;
use super::http_client::{FORM, http_client};
use super::methods::Way;
use crate::prometheus::guard::Guard;
use crate::prometheus::http::{
    CONNECTION_IDLE, Failed, Incoming, KEEPALIVE, Response, USER_AGENT_OF_OURS, answered,
};
use crate::prometheus::lookup::{Lookup, Lookups};
use crate::prometheus::request::{Base, Request};
use crate::settings::TargetSettings;

/// Headers of one request, beside those of all.
pub(super) type Added = [(HeaderName, HeaderValue)];

/// Sends the requests to one server.
#[derive(Debug)]
pub(super) enum Sender {
    Hyper(Box<Plain>),
    Reqwest(reqwest::Client),
}

/// Sends them over TCP as they are.
#[derive(Debug)]
pub(super) struct Plain {
    http: Client<Connector, Full<Bytes>>,
    headers: HeaderMap,
}

/// What a sender is made of.
pub(super) struct Parts<'a> {
    pub(super) settings: &'a TargetSettings,
    pub(super) base: &'a Base,
    /// The server's URL, as declared.
    pub(super) declared: &'a Url,
    /// What the Host header must say if it is not the URL's host.
    pub(super) host: Option<&'a str>,
    pub(super) guard: Option<&'a Arc<Guard>>,
    /// Those that are kept. None: each request has one of its own.
    pub(super) kept: Option<&'a Connections>,
}

impl Sender {
    pub(super) fn new(parts: &Parts<'_>) -> reqwest::Result<Self> {
        let Parts {
            settings,
            base,
            declared,
            host,
            guard,
            kept,
        } = *parts;
        let is_plain = base.is_plain() && settings.proxy.is_none() && guard.is_none();
        if is_plain {
            return Ok(Self::Hyper(Box::new(Plain::new(settings, kept))));
        }
        let builder = http_client(settings, declared, host, guard)?;
        let builder = match kept {
            Some(kept) => builder.connector_layer(MapResponseLayer::new(kept.clone().opened())),
            None => builder.pool_max_idle_per_host(0),
        };
        Ok(Self::Reqwest(builder.build()?))
    }

    /// Sends a request in one of the ways, with what proves who sends it.
    pub(super) async fn send(
        &self,
        request: &Request<'_>,
        way: Way,
        added: &Added,
    ) -> Result<Response, Failed> {
        match self {
            Self::Hyper(plain) => plain.send(request, way, added).await,
            Self::Reqwest(http) => {
                let built = match way {
                    Way::Get => http.get(request.url_of_get()),
                    Way::Post => {
                        let (url, form) = request.form();
                        http.post(url).header(CONTENT_TYPE, FORM).body(form)
                    }
                };
                let built = added
                    .iter()
                    .fold(built, |built, (name, value)| built.header(name, value));
                Ok(answered(built.send().await?))
            }
        }
    }
}

impl Plain {
    fn new(settings: &TargetSettings, kept: Option<&Connections>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_OF_OURS));
        for (name, value) in &settings.headers {
            headers.insert(name, value.clone());
        }
        let mut http = Client::builder(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(CONNECTION_IDLE);
        if kept.is_none() {
            http.pool_max_idle_per_host(0);
        }
        let lookup = Lookup::any(Some(settings.request_timeout));
        let connector = Connector::new(lookup, kept.cloned().unwrap_or_default());
        Self {
            http: http.build(connector),
            headers,
        }
    }

    async fn send(
        &self,
        request: &Request<'_>,
        way: Way,
        added: &Added,
    ) -> Result<Response, Failed> {
        let (method, uri, form) = match way {
            Way::Get => (Method::GET, request.uri_of_get()?, None),
            Way::Post => (Method::POST, request.uri_of_form()?, Some(request.body())),
        };
        let mut headers = HeaderMap::with_capacity(self.headers.len() + added.len() + 2);
        if form.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
        }
        for (name, value) in added {
            headers.append(name, value.clone());
        }
        for (name, value) in &self.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        let mut built = http::Request::new(Full::new(form.unwrap_or_default()));
        *built.method_mut() = method;
        *built.uri_mut() = uri;
        *built.headers_mut() = headers;
        let response = self.http.request(built).await;
        Ok(response.map_err(Failed::Unanswered)?.map(Incoming::Hyper))
    }
}

/// Makes connections, and has those remembered that are new.
#[derive(Clone, Debug)]
struct Connector {
    http: HttpConnector<Lookups>,
    connections: Connections,
}

impl Connector {
    /// As reqwest has it; see `plain_client`.
    fn new(lookup: Arc<Lookup>, connections: Connections) -> Self {
        const INTERVAL: Duration = Duration::from_secs(15);
        const RETRIES: u32 = 3;
        const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
        let mut http = HttpConnector::new_with_resolver(Lookups(lookup));
        http.set_nodelay(true);
        http.set_keepalive(Some(KEEPALIVE));
        http.set_keepalive_interval(Some(INTERVAL));
        http.set_keepalive_retries(Some(RETRIES));
        #[cfg(target_os = "linux")]
        http.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        Self { http, connections }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connecting = self.http.call(address);
        let connections = self.connections.clone();
        Box::pin(async move {
            let connection = connecting.await?;
            connections.remember(&connection);
            Ok(connection)
        })
    }
}
