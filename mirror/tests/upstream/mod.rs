//! A scripted Prometheus on loopback, and targets that lead to it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mirror::model::time::Timestamp;
use mirror::plan::enforce::Enforced;
use mirror::prometheus::observe::UpstreamMetrics;
use mirror::prometheus::{Call, Deadline, Targets};
use mirror::settings::{
    ApiKey, ApiKeys, ErrorStatus, Limits, NanInterpretation, RequestTargets, Settings, TargetName,
    TargetSettings, TargetTls,
};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// What the upstream does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// 200 with this JSON; the connection stays open.
    Json(String),
    /// The same, later.
    Late(Duration, String),
    /// Exactly these bytes, then the connection is closed in order.
    Bytes(Vec<u8>),
    /// These bytes, then nothing, for ever.
    Hang(Vec<u8>),
    /// These bytes, then a TCP reset.
    Reset(Vec<u8>),
    /// The first, then the second again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// 200 with this JSON; what comes next on the same connection gets the other, whatever the
    /// script says.
    Then(String, Box<Reply>),
}

impl Reply {
    /// A whole response of HTTP/1.1 with the right length, then the connection is closed.
    pub(crate) fn http(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
        Self::Bytes([head.as_bytes(), body].concat())
    }
}

/// A running upstream. It ends with the test's runtime.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) url: Url,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

impl Upstream {
    /// Starts a server that answers each request, given its head and body as text, with what
    /// `script` says.
    pub(crate) async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let upstream = Self {
            url,
            connections: Arc::default(),
            requests: Arc::default(),
            open: Arc::default(),
        };
        let (running, script) = (upstream.clone(), Arc::new(script));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                running.connections.fetch_add(1, Ordering::SeqCst);
                let (running, script) = (running.clone(), Arc::clone(&script));
                tokio::spawn(async move {
                    running.open.fetch_add(1, Ordering::SeqCst);
                    running.serve(stream, &*script).await;
                    running.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        upstream
    }

    /// One that always does the same.
    pub(crate) async fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone()).await
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The requests so far, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn asked(&self, times: usize) {
        eventually(|| self.requests.lock().unwrap().len() >= times).await;
    }

    async fn serve(&self, mut stream: TcpStream, script: &(dyn Fn(&str) -> Reply + Send + Sync)) {
        let mut next = None;
        while let Some(request) = read_request(&mut stream).await {
            self.requests.lock().unwrap().push(request.clone());
            let reply = next.take().unwrap_or_else(|| script(&request));
            let (json, delay) = match reply {
                Reply::Then(json, reply) => {
                    next = Some(*reply);
                    (json, Duration::ZERO)
                }
                Reply::Json(json) => (json, Duration::ZERO),
                Reply::Late(delay, json) => (json, delay),
                Reply::Bytes(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                    return;
                }
                Reply::Hang(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    // Until the client hangs up.
                    let _ = stream.read(&mut [0]).await;
                    return;
                }
                Reply::Reset(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.set_zero_linger();
                    return;
                }
                Reply::Endless(first, again) => {
                    let _ = stream.write_all(&first).await;
                    while stream.write_all(&again).await.is_ok() {}
                    return;
                }
            };
            tokio::time::sleep(delay).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                json.len()
            );
            if stream.write_all((head + &json).as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Head and body of the next request.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}

/// Waits until `happened`, five seconds at most.
pub(crate) async fn eventually(happened: impl Fn() -> bool) {
    for _ in 0..1000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not happen within five seconds");
}

/// An answer with one sample.
pub(crate) fn one_sample() -> String {
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#.to_owned()
}

/// An instant query.
pub(crate) fn query(promql: &str) -> Call {
    Call::Instant {
        promql: promql.to_owned(),
        at: Timestamp(1_700_000_000_000),
    }
}

/// A deadline so far from now.
pub(crate) fn within(time: Duration) -> Deadline {
    Deadline(Instant::now() + time)
}

/// A declared target.
pub(crate) fn target(name: &str, url: &Url) -> Arc<TargetSettings> {
    Arc::new(TargetSettings {
        name: TargetName(name.into()),
        url: url.clone(),
        request_timeout: Duration::from_secs(15),
        scrape_interval: Duration::from_secs(15),
        nan_interpretation: NanInterpretation::Zero,
        headers: http::HeaderMap::new(),
        tls: TargetTls::default(),
        auth: None,
        enforced: Enforced::default(),
    })
}

/// Settings with these targets and nothing special.
pub(crate) fn settings(workers: usize, targets: &[Arc<TargetSettings>]) -> Settings {
    Settings {
        name: "test".to_owned(),
        document_hash: String::new(),
        api_keys: ApiKeys {
            current: ApiKey::parse("key").unwrap(),
            previous: None,
        },
        require_api_key: false,
        error_status: ErrorStatus::Semantic,
        allowed_hosts: None,
        server_tls: None,
        targets: targets.to_vec(),
        default_target: None,
        request_targets: None,
        notices: Vec::new(),
        workers: NonZeroUsize::new(workers).unwrap(),
        limits: Limits {
            memory: None,
            upstream_calls: NonZeroU32::new(200).unwrap(),
        },
        port: 0,
    }
}

/// The same, which lets requests name undeclared targets.
pub(crate) fn open_settings(workers: usize, targets: &[Arc<TargetSettings>]) -> Settings {
    let request_targets = Some(RequestTargets {
        hosts: vec!["127.0.0.1".to_owned()],
        ports: vec![9090],
    });
    Settings {
        request_targets,
        ..settings(workers, targets)
    }
}

/// Fresh metrics with their registry.
pub(crate) fn metrics() -> (Registry, UpstreamMetrics) {
    install_crypto();
    let mut registry = Registry::default();
    let metrics = UpstreamMetrics::register(registry.sub_registry_with_prefix("prometheus_mirror"));
    (registry, metrics)
}

/// What `/metrics` would show.
pub(crate) fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}

/// One target `main` at `url`, with `workers`.
pub(crate) fn targets(workers: usize, url: &Url) -> Targets {
    Targets::new(
        &settings(workers, &[target("main", url)]),
        &metrics().1,
        None,
    )
}

fn install_crypto() {
    // Every test but the first of a process finds it installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
