//! Stands between the operator and the API server: hands requests on with the operator's own
//! rights, unless the plan says otherwise.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::kubernetes::{ApiRequest, Verb};
use crate::plan::{Fault, Plan, Side};
use crate::record::Record;
use crate::replica::Replica;
use crate::watches::{Watches, expired};

/// How long silence lasts. No client should wait so long for an answer that is not a watch.
const SILENCE: Duration = Duration::from_secs(90);

/// The real API server, and the right to speak to it.
#[derive(Clone)]
pub struct Upstream {
    /// `https://host:port`
    pub url: String,
    /// Trusts the cluster's authority and carries the token of the operator's service account.
    pub client: reqwest::Client,
}

/// A proxy for the replicas of one trial.
pub struct Proxy {
    /// What goes wrong.
    pub plan: Plan,
    /// What was asked.
    pub record: Record,
    /// What happens to watches.
    pub watches: Arc<Watches>,
    upstream: Upstream,
    lists: Mutex<Lists>,
}

/// The lists that were answered since the last start, and those before it.
#[derive(Default)]
struct Lists {
    present: HashMap<String, Bytes>,
    kept: HashMap<String, Bytes>,
}

type Body = BoxBody<Bytes, std::io::Error>;

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("broken off by the plan")]
struct BrokenOff;

impl Proxy {
    /// Listens nowhere yet.
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self {
            plan: Plan::default(),
            record: Record::default(),
            watches: Arc::default(),
            upstream,
            lists: Mutex::default(),
        }
    }

    /// Serves one replica on a port of its own, as long as the returned task is not aborted.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn listen(
        self: &Arc<Self>,
        replica: &Arc<Replica>,
    ) -> Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (proxy, replica) = (Arc::clone(self), Arc::clone(replica));
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (proxy, replica) = (Arc::clone(&proxy), Arc::clone(&replica));
                let service = service_fn(move |request| {
                    let (proxy, replica) = (Arc::clone(&proxy), Arc::clone(&replica));
                    // A request that has come is seen through, whatever becomes of the connection.
                    let handled =
                        tokio::spawn(async move { proxy.handle(&replica, request).await });
                    async move {
                        match handled.await {
                            Ok(Ok(Some(response))) => Ok(response),
                            Ok(Ok(None)) | Err(_) => Err(BrokenOff),
                            Ok(Err(error)) => {
                                eprintln!("proxy: {error:#}");
                                Err(BrokenOff)
                            }
                        }
                    }
                });
                tokio::spawn(async move {
                    // Broken connections are what this is about.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(connection), service)
                        .await;
                });
            }
        });
        Ok((address, accepting))
    }

    /// How many different lists were answered since they were kept last.
    pub fn lists(&self) -> usize {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.present.len()
    }

    /// Lists that were answered until now are what [`Fault::Replay`] answers with.
    pub fn keep_lists(&self) -> usize {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.kept = std::mem::take(&mut lists.present);
        lists.kept.len()
    }

    /// The answer, or none if the connection is to break.
    async fn handle(
        &self,
        replica: &Arc<Replica>,
        request: Request<Incoming>,
    ) -> Result<Option<Response<Body>>> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return Ok(None);
        };
        let query = parts.uri.query().unwrap_or_default();
        let asked = ApiRequest::parse(&parts.method, parts.uri.path(), query);
        let number = self.record.begin(replica.number, asked.clone());
        let body = body.to_bytes();
        let forward = || self.forward(number, &asked, &parts, body);
        match self.plan.fault(&asked) {
            None => forward().await.map(Some),
            Some(Fault::KillBefore) => replica.restart().await.map(|()| None),
            Some(Fault::KillAfter) => {
                forward().await?;
                replica.restart().await.map(|()| None)
            }
            Some(Fault::Answer { code, retry_after }) => Ok(Some(refusal(code, retry_after)?)),
            Some(Fault::Silence) => {
                tokio::time::sleep(SILENCE).await;
                Ok(None)
            }
            Some(Fault::Disconnect) => Ok(None),
            Some(Fault::LoseResponse) => forward().await.map(|_| None),
            Some(Fault::Expired) => Ok(Some(Response::new(whole(expired())))),
            Some(Fault::Replay) => match self.kept_list(&parts.uri) {
                Some(list) => json(StatusCode::OK, list).map(Some),
                None => forward().await.map(Some),
            },
            Some(Fault::Hold(gate, Side::Before)) => {
                gate.pass().await;
                forward().await.map(Some)
            }
            Some(Fault::Hold(gate, Side::After)) => {
                let answer = forward().await?;
                gate.pass().await;
                Ok(Some(answer))
            }
        }
    }

    async fn forward(
        &self,
        number: usize,
        asked: &ApiRequest,
        parts: &http::request::Parts,
        body: Bytes,
    ) -> Result<Response<Body>> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        if asked.verb == Verb::Watch
            && let Some(begins) = self.watches.begins()
        {
            tokio::time::sleep_until(begins).await;
        }
        let mut request = self
            .upstream
            .client
            .request(parts.method.clone(), format!("{}{path}", self.upstream.url))
            .body(body);
        for name in [header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT] {
            if let Some(value) = parts.headers.get(&name) {
                request = request.header(name, value);
            }
        }
        let response = request.send().await.context("the API server")?;
        let (code, headers) = (response.status(), response.headers().clone());
        self.record.answered(number, code.as_u16());
        let body = if asked.verb == Verb::Watch && code.is_success() {
            watch_body(&self.watches, asked, response)
        } else {
            let body = response.bytes().await?;
            if asked.verb == Verb::List && parts.method == Method::GET {
                let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
                lists.present.insert(path.to_owned(), body.clone());
            }
            whole(body)
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = code;
        for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
            if let Some(value) = headers.get(&name) {
                answer.headers_mut().insert(name, value.clone());
            }
        }
        Ok(answer)
    }

    fn kept_list(&self, uri: &http::Uri) -> Option<Bytes> {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.kept.get(uri.path_and_query()?.as_str()).cloned()
    }
}

fn whole(body: Bytes) -> Body {
    Full::new(body)
        .map_err(|never: Infallible| match never {})
        .boxed()
}

/// Lines are handed on as they come, and may be held back or end early.
fn watch_body(watches: &Arc<Watches>, asked: &ApiRequest, response: reqwest::Response) -> Body {
    let (sender, receiver) = mpsc::channel(64);
    let (watches, resource) = (Arc::clone(watches), asked.resource.clone());
    tokio::spawn(async move {
        let lines = Box::pin(response.bytes_stream());
        watches.pump(&resource, lines, sender).await;
    });
    let lines = futures::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|line| (line, receiver))
    });
    http_body_util::BodyExt::boxed(StreamBody::new(lines.map(|line| line.map(Frame::data))))
}

/// What an API server says when it does not do something.
fn refusal(code: u16, retry_after: Option<u32>) -> Result<Response<Body>> {
    let reason = match code {
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "so it is planned", "reason": reason, "code": code,
    });
    let code = StatusCode::from_u16(code)?;
    let mut response = json(code, Bytes::from(status.to_string()))?;
    if let Some(seconds) = retry_after {
        let seconds = HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    Ok(response)
}

fn json(code: StatusCode, body: Bytes) -> Result<Response<Body>> {
    Ok(Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, "application/json")
        .body(whole(body))?)
}
