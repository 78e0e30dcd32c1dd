//! A Prometheus that says what the test wants: for what a real one cannot be made to do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use reqwest::Url;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the upstream does with one request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with this JSON; the connection stays open.
    Json(String),
    /// Another status with this JSON.
    Status(u16, String),
    /// The same as the first, so much later.
    Late(Duration, String),
    /// What the server at this base URL answers, asked without our headers.
    PassOn(String),
    /// Exactly these bytes, then the connection is closed in order.
    Bytes(Vec<u8>),
    /// These bytes, then nothing until the client hangs up.
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
    /// The answer to a query for one series with these samples: seconds, and the value as
    /// Prometheus writes it. A query at one instant gets the last of them.
    #[must_use]
    pub fn samples(samples: &[(i64, &str)]) -> Self {
        let values: Vec<_> = samples
            .iter()
            .map(|(seconds, value)| serde_json::json!([seconds, value]))
            .collect();
        let series = serde_json::json!({"metric": {"__name__": "scripted"}, "values": values});
        let data = serde_json::json!({"resultType": "matrix", "result": [series]});
        Self::Json(serde_json::json!({"status": "success", "data": data}).to_string())
    }

    /// A whole response of HTTP/1.1 with the right length, then the connection is closed.
    #[must_use]
    pub fn http(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
        Self::Bytes([head.as_bytes(), body].concat())
    }
}

/// A running upstream. It ends with the test's runtime.
#[derive(Clone, Debug)]
pub struct Upstream {
    address: Url,
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
}

impl Upstream {
    /// Starts a server that answers each request, given as text, with what `script` says.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let upstream = Self {
            address: Url::parse(&url)?,
            url,
            requests: Arc::default(),
            connections: Arc::default(),
            open: Arc::default(),
            under_way: Arc::default(),
        };
        let (running, script) = (upstream.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                running.connections.fetch_add(1, Ordering::SeqCst);
                let (running, script) = (running.clone(), Arc::clone(&script));
                tokio::spawn(async move {
                    running.open.fetch_add(1, Ordering::SeqCst);
                    running.serve(stream, &*script).await;
                    running.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(upstream)
    }

    /// One that always does the same.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn always(reply: Reply) -> Result<Self> {
        Self::start(move |_| reply.clone()).await
    }

    /// Base URL without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same as a type.
    #[must_use]
    pub fn address(&self) -> &Url {
        &self.address
    }

    /// All requests so far: head and body.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until so many requests have come.
    ///
    /// # Errors
    /// If they do not come.
    pub async fn asked(&self, times: usize) -> Result<()> {
        super::eventually("the requests", || async {
            Ok((self.requests().len() >= times).then_some(()))
        })
        .await
    }

    /// How many connections were made to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// How many requests wait for their answer.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    async fn serve(&self, stream: TcpStream, script: &(dyn Fn(&str) -> Reply + Send + Sync)) {
        let mut stream = BufReader::new(stream);
        let mut next = None;
        while let Some(request) = read_request(&mut stream).await {
            self.requests
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(request.clone());
            let reply = match next.take().unwrap_or_else(|| script(&request)) {
                Reply::Then(json, reply) => {
                    next = Some(*reply);
                    Reply::Json(json)
                }
                reply => reply,
            };
            self.under_way.fetch_add(1, Ordering::SeqCst);
            let goes_on = answer(&mut stream, &request, reply).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            if !goes_on {
                return;
            }
        }
    }
}

/// Whether the connection takes another request.
async fn answer(stream: &mut BufReader<TcpStream>, request: &str, reply: Reply) -> bool {
    let (status, json, delay) = match reply {
        Reply::Json(json) | Reply::Then(json, _) => (200, as_asked(request, json), Duration::ZERO),
        Reply::Status(status, json) => (status, json, Duration::ZERO),
        Reply::Late(delay, json) => (200, as_asked(request, json), delay),
        Reply::PassOn(base) => match passed_on(&base, request).await {
            Ok((status, json)) => (status, json, Duration::ZERO),
            Err(error) => (502, format!("{error:#}"), Duration::ZERO),
        },
        last => {
            end(stream, last).await;
            return false;
        }
    };
    tokio::time::sleep(delay).await;
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        json.len()
    );
    stream.write_all((head + &json).as_bytes()).await.is_ok()
}

/// The last answer on a connection.
async fn end(stream: &mut BufReader<TcpStream>, reply: Reply) {
    match reply {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.read(&mut [0]).await;
        }
        Reply::Reset(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.get_ref().set_zero_linger();
        }
        Reply::Endless(first, again) => {
            let _ = stream.write_all(&first).await;
            while stream.write_all(&again).await.is_ok() {}
        }
        _ => {}
    }
}

/// A matrix as a vector where the request is for that: a query at one instant, and not of a range
/// selector.
fn as_asked(request: &str, json: String) -> String {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let is_instant = path
        .split('?')
        .next()
        .is_some_and(|path| path.ends_with("/query"));
    let selects_range = request.contains("%5D&") || request.contains("%5D ");
    if !is_instant || selects_range || !json.contains(r#""resultType":"matrix""#) {
        return json;
    }
    let Ok(mut answer) = serde_json::from_str::<Value>(&json) else {
        return json;
    };
    answer["data"]["resultType"] = "vector".into();
    let series = answer["data"]["result"].as_array_mut();
    for series in series
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        let values = series.remove("values");
        let last = values.as_ref().and_then(|values| values.as_array()?.last());
        series.insert("value".to_owned(), last.cloned().unwrap_or_default());
    }
    answer.to_string()
}

/// Asks another server for the same. The mirror sends GETs as long as expressions are short.
async fn passed_on(base: &str, request: &str) -> Result<(u16, String)> {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let answer = super::http_client()
        .get(format!("{base}{path}"))
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// The next request: its head, and its body if it tells its length.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        // One byte at a time: nothing of the body may be taken for the head.
        request.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(head + &String::from_utf8_lossy(&body))
}
