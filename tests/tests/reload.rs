//! A mirror takes over a new document and new keys without dropping a request, refuses a bad document, and drains before it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::client::{Client, equals};
use harness::oracle::Store;
use harness::samples::{HOUR, START};
use harness::servers::{Mirror, MirrorConfig, Prometheus, load};
use serde_json::json;

/// Longer than the mirror's interval for looking at its files.
const TAKEN_OVER: Duration = Duration::from_secs(10);

async fn key_of(client: &Client) -> Result<String> {
    let (http, base) = client.http();
    let answer = client.send(http.get(format!("{base}/"))).await?;
    Ok(answer
        .header("x-mirror-api-key")
        .context("no key")?
        .to_owned())
}

/// Asks until the mirror answers with `key`.
async fn wait_for_key(client: &Client, key: &str) -> Result<()> {
    let begin = Instant::now();
    while key_of(client).await? != key {
        ensure!(
            begin.elapsed() < TAKEN_OVER,
            "the key {key} is not taken over after {TAKEN_OVER:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Clients that ask without a pause until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(url: &str) -> Self {
        let (stop, answered) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let clients = (0..4).map(|index| {
            let (client, stop, answered) =
                (Client::new(url), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let conditions = json!([equals("__gauge__", "room_temperature")]);
                let mut failures = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let start = START + HOUR + index;
                    match client
                        .metric(
                            &conditions,
                            start,
                            start + HOUR,
                            None,
                            Some(("MEAN", 60_000)),
                        )
                        .await
                    {
                        Ok(answer) if answer.status == 200 => {
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(answer) => failures.push(format!("{} {}", answer.status, answer.body)),
                        Err(error) => failures.push(format!("{error:#}")),
                    }
                }
                failures
            })
        });
        Self {
            clients: clients.collect(),
            stop,
            answered,
        }
    }

    /// How many were answered, and what went wrong.
    async fn stop(self) -> Result<(usize, Vec<String>)> {
        self.stop.store(true, Ordering::SeqCst);
        let mut failures = Vec::new();
        for client in self.clients {
            failures.extend(client.await?);
        }
        Ok((self.answered.load(Ordering::SeqCst), failures))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_and_keys_change_under_load_and_no_request_fails() -> Result<()> {
    let prometheus = Prometheus::start_2().await?;
    load(Store::Prometheus2, &prometheus.url()).await?;
    let config = MirrorConfig::for_targets(&[("first", &prometheus.url())]);
    let mirror = Mirror::start(&config).await?;
    let client = Client::new(&mirror.url());
    wait_for_key(&client, "test-key").await?;
    let load = Load::start(&mirror.url());

    // Another key; the one before is still accepted.
    let mut rotated = config.clone();
    rotated.keys = vec![
        ("apiKey".into(), "new-key".into()),
        ("previousApiKey".into(), "test-key".into()),
    ];
    mirror.reconfigure(&rotated)?;
    wait_for_key(&client, "new-key").await?;
    let (http, base) = client.http();
    for key in ["new-key", "test-key"] {
        let answer = client
            .send(http.get(format!("{base}/")).header("X-MIRROR-API-KEY", key))
            .await?;
        assert_eq!(answer.status, 200, "{key}");
    }

    // A bad document is refused: a metric tells, and the mirror stays ready with the old one.
    mirror
        .write_document("kind: PrometheusMirror\nspec: {targets: [{name: x, url: nonsense}]}\n")?;
    let admin = mirror.admin().0;
    let begin = Instant::now();
    loop {
        let metrics = client
            .send(http.get(format!("{admin}/metrics")))
            .await?
            .body;
        if metrics.contains("prometheus_mirror_config_reloads_total{result=\"failure\"} 1") {
            break;
        }
        ensure!(
            begin.elapsed() < TAKEN_OVER,
            "no metric tells of the refused document:\n{metrics}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(key_of(&client).await?, "new-key");
    let ready = client.send(http.get(format!("{admin}/readyz"))).await?;
    assert_eq!(ready.status, 200);

    // Another set of targets, and the old key is gone.
    let mut renamed = MirrorConfig::for_targets(&[("second", &prometheus.url())]);
    renamed.keys = vec![("apiKey".into(), "newest-key".into())];
    mirror.reconfigure(&renamed)?;
    wait_for_key(&client, "newest-key").await?;
    let second = client.clone().of_target("second");
    let conditions = json!([equals("__gauge__", "room_temperature")]);
    assert_eq!(
        second
            .metric(&conditions, START, START + HOUR, None, None)
            .await?
            .status,
        200
    );
    let answer = client
        .send(
            http.get(format!("{base}/"))
                .header("X-MIRROR-API-KEY", "test-key"),
        )
        .await?;
    assert_eq!(answer.status, 401);

    let (answered, failures) = load.stop().await?;
    ensure!(
        failures.is_empty(),
        "{} of {answered} failed: {}",
        failures.len(),
        failures[0]
    );
    ensure!(
        answered > 100,
        "only {answered} requests during the changes"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_answers_what_is_under_way_and_then_ends() -> Result<()> {
    let prometheus = Prometheus::start_2().await?;
    load(Store::Prometheus2, &prometheus.url()).await?;
    let mirror = Mirror::start(&MirrorConfig::for_targets(&[("store", &prometheus.url())])).await?;
    // A stopped Prometheus holds the requests up; going on, it answers them.
    let client = Client::new(&mirror.url());
    let conditions = json!([equals("__gauge__", "room_temperature")]);
    assert_eq!(
        client
            .metric(&conditions, START, START + HOUR, None, None)
            .await?
            .status,
        200
    );
    prometheus.process().signal("STOP")?;
    let under_way: Vec<_> = (0..10)
        .map(|index| {
            let (client, conditions) = (client.clone(), conditions.clone());
            let start = START + HOUR + index;
            tokio::spawn(async move {
                client
                    .metric(&conditions, start, start + HOUR, None, None)
                    .await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    mirror.process().signal("TERM")?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let refused = std::net::TcpStream::connect(("127.0.0.1", mirror.port())).is_err();
    prometheus.process().signal("CONT")?;
    for request in under_way {
        let answer = request.await?.context("a request was lost")?;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    ensure!(refused, "a mirror that drains takes new connections");
    let begin = Instant::now();
    while mirror.process().is_running() {
        ensure!(
            begin.elapsed() < Duration::from_secs(10),
            "the mirror does not end:\n{}",
            mirror.process().log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
