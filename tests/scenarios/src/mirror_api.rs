//! Clients of a mirror: one that asks once, and some that ask throughout a change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::wait::eventually;

/// The header in which a mirror says its key.
const KEY: &str = "x-mirror-api-key";

/// A client that makes a new connection for each request, as a load balancer would see many
/// clients.
fn client() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(10));
    Ok(client.build()?)
}

/// An answer to a connection test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    status: u16,
    key: String,
    body: String,
}

/// What clients ask.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// Whether the mirror reaches its target.
    Connection,
    /// Points of Prometheus' own `up`, however many servers have it.
    Points,
}

impl Question {
    fn write(self) -> Result<(&'static str, Value)> {
        Ok(match self {
            Self::Connection => (
                "/api/connection",
                json!({"_type": "TestConnectionRequest", "connectionDetails": {}}),
            ),
            Self::Points => ("/api/metric", points()?),
        })
    }
}

/// The highest `up` in the last two minutes.
fn points() -> Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() * 1000;
    Ok(json!({
        "_type": "MetricsRequest", "connectionDetails": {"target": "cluster"},
        "query": {
            "_type": "MetricsQuery", "startTime": now - 120_000, "endTime": now,
            "conditions": [{
                "_type": "EqualityCondition", "key": "__gauge__",
                "value": {"_type": "StringValue", "value": "up"},
            }],
            "aggregation": {"_type": "Aggregation", "method": "MAX", "bucketSizeMillis": 15_000},
        },
    }))
}

async fn ask(client: &reqwest::Client, url: &str, question: Question) -> Result<Answer> {
    let (path, question) = question.write()?;
    let url = format!("{url}{path}");
    let answer = client.post(&url).json(&question).send().await?;
    let key = answer.headers().get(KEY).map(|key| key.to_str());
    Ok(Answer {
        status: answer.status().as_u16(),
        key: key.transpose()?.unwrap_or_default().to_owned(),
        body: answer.text().await?,
    })
}

/// The mirror at the URL says that it reaches its target.
pub(crate) async fn connects(url: &str) -> Result<()> {
    let answer = ask(&client()?, url, Question::Connection).await?;
    ensure!(answer.body.contains(r#""status":"OK""#), "{answer:?}");
    Ok(())
}

/// It answers with this key.
pub(crate) async fn answers_with_key(url: &str, key: &str) -> Result<()> {
    let answer = ask(&client()?, url, Question::Connection).await?;
    ensure!(answer.key == key, "not with the key {key}: {answer:?}");
    Ok(())
}

/// It has points of Prometheus' own `up`.
pub(crate) async fn has_points(url: &str) -> Result<()> {
    let answer = ask(&client()?, url, Question::Points).await?;
    ensure!(
        answer.body.contains(r#""points":[["#),
        "no points: {answer:?}"
    );
    Ok(())
}

/// Clients that ask without a pause until they are stopped. A question is put to the next address
/// when one fails, and is lost when all do.
pub(crate) struct Clients {
    urls: Vec<String>,
    counts: Arc<Counts>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicUsize,
    over: AtomicBool,
}

/// Between two questions of a client: a busy machine has other things to do, too.
const PAUSE: Duration = Duration::from_millis(40);
/// How many answers are "some".
const SOME: usize = 30;

impl Clients {
    /// Starts them, and returns when they have had some answers.
    pub(crate) async fn start(urls: &[&str], keys: &[&str]) -> Result<Self> {
        Self::asking(Question::Connection, urls, keys).await
    }

    /// The same with another question.
    pub(crate) async fn asking(question: Question, urls: &[&str], keys: &[&str]) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let urls: Vec<_> = urls.iter().map(|&url| url.to_owned()).collect();
        let keys: Vec<_> = keys.iter().map(|&key| key.to_owned()).collect();
        let tasks = (0..3)
            .map(|_| {
                let (urls, keys, counts) = (urls.clone(), keys.clone(), Arc::clone(&counts));
                tokio::spawn(async move { keep_asking(question, &urls, &keys, &counts).await })
            })
            .collect();
        let clients = Self {
            urls,
            counts,
            tasks,
        };
        clients.some_more().await?;
        Ok(clients)
    }

    /// Waits for some answers more, or the first loss.
    pub(crate) async fn some_more(&self) -> Result<()> {
        let before = self.counts.answered.load(Ordering::Relaxed);
        eventually("clients get answers", async || {
            let now = self.counts.answered.load(Ordering::Relaxed);
            let lost = self.tasks.iter().any(JoinHandle::is_finished);
            ensure!(lost || now >= before + SOME, "{now} answers");
            Ok(())
        })
        .await
    }

    /// How many requests were answered while `change` was made and for some more: all, or it fails.
    pub(crate) async fn lose_nothing(self) -> Result<usize> {
        self.some_more().await?;
        self.counts.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let asked = task.await?;
            asked.with_context(|| format!("asking {}", self.urls.join(", then ")))?;
        }
        Ok(self.counts.answered.load(Ordering::Relaxed))
    }
}

async fn keep_asking(
    question: Question,
    urls: &[String],
    keys: &[String],
    counts: &Counts,
) -> Result<()> {
    let client = client()?;
    while !counts.over.load(Ordering::Relaxed) {
        let answer = ask_one_of(&client, urls, question).await?;
        if answer.status != 200 || !(keys.is_empty() || keys.contains(&answer.key)) {
            bail!(
                "request {}: {answer:?}",
                counts.answered.load(Ordering::Relaxed) + 1
            );
        }
        counts.answered.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn ask_one_of(
    client: &reqwest::Client,
    urls: &[String],
    question: Question,
) -> Result<Answer> {
    let mut last = None;
    for url in urls {
        let began = std::time::Instant::now();
        match ask(client, url, question).await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                let after = format!("lost after {:?}", began.elapsed());
                last = Some(error.context(after));
            }
        }
    }
    Err(last.context("no address to ask")?)
}
