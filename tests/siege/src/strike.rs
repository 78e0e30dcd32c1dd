//! Carries an attack out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::stream::{FuturesUnordered, StreamExt as _};
use harness::servers::http_client;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::attacks::{Means, Port};

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The longest that one of them took.
    pub(crate) slowest: Duration,
    /// How often the attack was carried out.
    pub(crate) rounds: usize,
    statuses: BTreeMap<u16, usize>,
}

impl Answers {
    /// Whether there was any status but 200.
    pub(crate) fn are_refusals(&self) -> bool {
        self.statuses.keys().any(|status| *status != 200)
    }

    /// How often there was each status.
    pub(crate) fn statuses(&self) -> String {
        let each = self
            .statuses
            .iter()
            .map(|(status, count)| format!("{count} × {status}"));
        each.collect::<Vec<_>>().join(", ")
    }
}

/// Where the mirror is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) port: u16,
    pub(crate) admin_port: u16,
}

impl Place {
    /// Attacks it, `at_once` times at once: one round that may be long, or as many as it takes for
    /// the attack to last for `least`.
    pub(crate) async fn attack(
        self,
        means: Means,
        at_once: usize,
        least: Duration,
    ) -> Result<Answers> {
        let connections = async |port, count, bytes: &[u8]| {
            let port = match port {
                Port::Api => self.port,
                Port::Admin => self.admin_port,
            };
            connections(port, count, bytes).await
        };
        match means {
            Means::Request(path, body) => {
                let url = format!("{}{path}", self.url);
                let began = Instant::now();
                let mut answers = Answers::default();
                while answers.rounds == 0 || began.elapsed() < least {
                    requests(&url, &body, at_once, &mut answers).await?;
                    answers.rounds += 1;
                }
                Ok(answers)
            }
            Means::KeptAlive(port, count) => connections(port, count, KEPT).await,
            Means::HalfHead(port, count) => {
                connections(port, count, b"POST /api/metric HTTP/1.1\r\nHos").await
            }
            Means::HalfBody(count) => {
                let mut half = b"POST /api/metric HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n".to_vec();
                half.resize(half.len() + 1_048_500, b' ');
                connections(Port::Api, count, &half).await
            }
        }
    }
}

const KEPT: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends a request so many times at once; every answer must be one of the contract.
async fn requests(url: &str, body: &[u8], at_once: usize, answers: &mut Answers) -> Result<()> {
    let http = http_client();
    let mut under_way: FuturesUnordered<_> = (0..at_once)
        .map(|index| {
            let (http, url) = (http.clone(), url.to_owned());
            let body = differing(body, index);
            tokio::spawn(async move {
                let began = Instant::now();
                let request = http
                    .post(&url)
                    .header("Content-Type", "application/json")
                    .body(body);
                let response = request.send().await?;
                let status = response.status().as_u16();
                let body = response.text().await?;
                anyhow::Ok((began.elapsed(), status, body))
            })
        })
        .collect();
    while let Some(answer) = under_way.next().await {
        let (took, status, body) = answer??;
        answers.slowest = answers.slowest.max(took);
        *answers.statuses.entry(status).or_default() += 1;
        let is_of_contract = serde_json::from_str::<Value>(&body).is_ok_and(|body| {
            body["_type"]
                .as_str()
                .is_some_and(|name| (status == 200) != name.ends_with("Error"))
                || (status == 200 && url.ends_with("explain"))
        });
        let beginning: String = body.chars().take(200).collect();
        ensure!(
            is_of_contract && status != 500,
            "not an answer of the contract: {status} {beginning}"
        );
    }
    Ok(())
}

/// The same request with another number wherever it has the first: the same calls at the same time
/// would be sent once for all.
fn differing(body: &[u8], index: usize) -> Vec<u8> {
    match std::str::from_utf8(body) {
        Ok(text) => text
            .replace("variant_0", &format!("variant_{index}"))
            .into_bytes(),
        Err(_) => body.to_vec(),
    }
}

/// Opens connections, sends the same bytes on each, and holds them for some seconds. What becomes
/// of them is the mirror's choice.
async fn connections(port: u16, count: usize, bytes: &[u8]) -> Result<Answers> {
    let mut held = Vec::new();
    for _ in 0..count {
        let connected = tokio::time::timeout(
            Duration::from_millis(500),
            TcpStream::connect(("127.0.0.1", port)),
        )
        .await;
        if let Ok(Ok(mut stream)) = connected {
            // Closed, or its buffers are full: as good.
            let _ = tokio::time::timeout(Duration::from_millis(50), stream.write_all(bytes)).await;
            held.push(stream);
        }
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        if bytes == KEPT {
            for stream in &mut held {
                let mut buffer = [0; 1024];
                let _ =
                    tokio::time::timeout(Duration::from_millis(5), stream.read(&mut buffer)).await;
                let _ =
                    tokio::time::timeout(Duration::from_millis(5), stream.write_all(bytes)).await;
            }
        }
    }
    Ok(Answers {
        rounds: 1,
        ..Answers::default()
    })
}
