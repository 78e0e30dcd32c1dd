//! A Prometheus that says what the test wants: for what a real one cannot be made to do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the upstream does with one request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with this JSON.
    Json(String),
    /// The same, so much later.
    Late(Duration, String),
    /// Exactly these bytes, then the connection is closed.
    Bytes(String),
    /// Nothing until the client hangs up.
    Hang,
}

impl Reply {
    /// The answer to an instant query for one series with these samples: seconds, and the value as Prometheus writes it.
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
}

/// A running upstream. It ends with the test's runtime.
#[derive(Clone, Debug)]
pub struct Upstream {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

impl Upstream {
    /// Starts a server that answers each request, given its head as text, with what `script` says.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let upstream = Self {
            url: format!("http://{}", listener.local_addr()?),
            requests: Arc::default(),
            open: Arc::default(),
        };
        let (running, script) = (upstream.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (running, script) = (running.clone(), Arc::clone(&script));
                tokio::spawn(async move { running.serve(stream, &*script).await });
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

    /// The heads of all requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many requests wait for their answer.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    async fn serve(&self, mut stream: TcpStream, script: &(dyn Fn(&str) -> Reply + Send + Sync)) {
        while let Some(head) = read_head(&mut stream).await {
            self.requests
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(head.clone());
            self.open.fetch_add(1, Ordering::SeqCst);
            let goes_on = answer(&mut stream, script(&head)).await;
            self.open.fetch_sub(1, Ordering::SeqCst);
            if !goes_on {
                return;
            }
        }
    }
}

/// Whether the connection takes another request.
async fn answer(stream: &mut TcpStream, reply: Reply) -> bool {
    let (json, delay) = match reply {
        Reply::Json(json) => (json, Duration::ZERO),
        Reply::Late(delay, json) => (json, delay),
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            let _ = stream.shutdown().await;
            return false;
        }
        Reply::Hang => {
            let _ = stream.read(&mut [0]).await;
            return false;
        }
    };
    tokio::time::sleep(delay).await;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        json.len()
    );
    stream.write_all((head + &json).as_bytes()).await.is_ok()
}

/// The head of the next request. The mirror sends GETs as long as expressions are short.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    String::from_utf8(head).ok()
}
