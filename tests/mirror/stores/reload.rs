//! A configuration that changes, and a mirror that ends, cost no request.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::client::{Answer, Client, equals, telemetry};
use harness::remote_write;
use harness::samples::{START, Sample, Series};
use harness::servers::{
    Mirror, MirrorConfig, Prometheus, Reply, Upstream, eventually, mirror_binary,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const KEY: &str = "X-MIRROR-API-KEY";

/// A Prometheus whose gauge `which` is this number.
async fn store(number: f64) -> Result<Prometheus> {
    let server = Prometheus::start_2().await?;
    let mut series = Series::new("which", &[]);
    series.samples = vec![Sample {
        at: START,
        value: number,
    }];
    remote_write::load(&server.url(), &[series]).await?;
    Ok(server)
}

async fn which(client: &Client) -> Result<Answer> {
    let conditions = json!([equals("__gauge__", "which")]);
    client
        .metric(&conditions, START, START + 1000, None, None)
        .await
}

/// Clients that ask for `which` without a pause until they are told to stop.
struct Polling {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Result<()>>,
}

impl Polling {
    /// Two clients keep their connections, two open one for each request.
    fn start(url: &str) -> Self {
        let mut polling = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            clients: JoinSet::new(),
        };
        for index in 0..4 {
            let (stop, answered) = (Arc::clone(&polling.stop), Arc::clone(&polling.answered));
            let mut client = Client::new(url);
            let url = url.to_owned();
            polling.clients.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    if index % 2 == 1 {
                        client = Client::new(&url);
                    }
                    let answer = which(&client).await?;
                    let points = telemetry(&answer)?.points;
                    ensure!(
                        points.len() == 1 && ["1", "2"].contains(&points[0].0.as_str()),
                        "{points:?}"
                    );
                    let key = answer.header(KEY);
                    ensure!(key == Some("test-key") || key == Some("new-key"), "{key:?}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            });
        }
        polling
    }

    /// Waits until each client has asked several more times.
    async fn goes_on(&self) -> Result<()> {
        let so_far = self.answered.load(Ordering::SeqCst);
        eventually("polls", || async {
            // A client that failed has ended: what it says is told at the end.
            let more = self.answered.load(Ordering::SeqCst) > so_far + 20;
            Ok((more || self.clients.is_empty()).then_some(()))
        })
        .await
    }

    /// Ends it; not one request may have failed.
    async fn end(mut self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn readiness(mirror: &Mirror, client: &Client) -> Result<(u16, Value)> {
    let url = format!("{}/readyz", mirror.admin().0);
    let answer = client.send(client.http().0.get(url)).await?;
    Ok((answer.status, answer.json()))
}

async fn has_metric(mirror: &Mirror, client: &Client, line: &str) -> Result<Option<()>> {
    let url = format!("{}/metrics", mirror.admin().0);
    let text = client.send(client.http().0.get(url)).await?.body;
    Ok(text.lines().any(|found| found == line).then_some(()))
}

/// Waits until the answers come from the store of this number.
async fn answers(client: &Client, number: &str) -> Result<()> {
    eventually("an answer from the other store", || async {
        let points = telemetry(&which(client).await?)?.points;
        Ok((points[0].0 == number).then_some(()))
    })
    .await
}

async fn shows_key(client: &Client, key: &str) -> Result<()> {
    eventually("the other key", || async {
        Ok((which(client).await?.header(KEY) == Some(key)).then_some(()))
    })
    .await
}

const FIVE_FAULTS: &str = "
apiVersion: prometheus-mirror.io/v1alpha1
kind: PrometheusMirror
metadata: {name: test}
spec:
  apiKeySecretRef: {name: mirror-key}
  workers: 0
  port: 70000
  defaultTarget: nowhere
  surprise: true
  targets:
    - {name: store, url: 'ftp://somewhere'}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_poll_fails_while_the_configuration_changes() -> Result<()> {
    let (one, two) = (store(1.0).await?, store(2.0).await?);
    let config = MirrorConfig::for_targets(&[("store", &one.url())]);
    let mirror = Mirror::start(&config).await?;
    let client = Client::new(&mirror.url());
    let polling = Polling::start(&mirror.url());
    answers(&client, "1").await?;
    polling.goes_on().await?;

    // Another URL.
    let mut config = MirrorConfig::for_targets(&[("store", &two.url())]);
    mirror.reconfigure(&config)?;
    answers(&client, "2").await?;
    polling.goes_on().await?;

    // Another key.
    config.keys[0].1 = "new-key".to_owned();
    mirror.reconfigure(&config)?;
    shows_key(&client, "new-key").await?;
    polling.goes_on().await?;

    // Fewer workers, more workers.
    for workers in [1, 30] {
        let before = readiness(&mirror, &client).await?.1["document"].clone();
        config = config.with("workers", json!(workers));
        mirror.reconfigure(&config)?;
        eventually("the other document", || async {
            let now = readiness(&mirror, &client).await?.1["document"].clone();
            Ok((now != before).then_some(()))
        })
        .await?;
        polling.goes_on().await?;
    }

    // A bad document: refused with all its faults, and the one before goes on.
    mirror.write_document(FIVE_FAULTS)?;
    let failed = "prometheus_mirror_config_reloads_total{result=\"failure\"} 1";
    eventually("the refusal", || has_metric(&mirror, &client, failed)).await?;
    let last = "prometheus_mirror_config_last_reload_successful 0";
    assert_eq!(has_metric(&mirror, &client, last).await?, Some(()));
    let log = mirror.process().whole_log();
    for fault in [
        "spec: defaultTarget must be the name of one of the targets",
        "spec.workers: must be from 1 to 1000, is 0",
        "spec.port: must be from 1 to 65535, is 70000",
        "spec.surprise: is not a known field",
        "spec.targets[0].url: must be http://HOST[:PORT][/PATH]",
    ] {
        assert!(log.contains(fault), "no {fault} in\n{log}");
    }
    let (status, body) = readiness(&mirror, &client).await?;
    assert_eq!((status, &body["newerDocumentRefused"]), (200, &json!(true)));
    answers(&client, "2").await?;
    polling.goes_on().await?;

    // A good one again, with everything else changed at once, the target's name as well.
    let config = MirrorConfig::for_targets(&[("renamed", &one.url())]);
    mirror.reconfigure(&config)?;
    answers(&client, "1").await?;
    shows_key(&client, "test-key").await?;
    let (status, body) = readiness(&mirror, &client).await?;
    assert_eq!(
        (status, &body["newerDocumentRefused"]),
        (200, &json!(false))
    );
    let last = "prometheus_mirror_config_last_reload_successful 1";
    assert_eq!(has_metric(&mirror, &client, last).await?, Some(()));
    polling.goes_on().await?;
    polling.end().await
}

/// A mounted volume: files are links into `..data`, which links to a folder with a version of all
/// of them.
struct Volume<'a>(&'a Path);

impl Volume<'_> {
    /// Swaps in a version, as a kubelet does: a new folder, the link replaced, the old folder
    /// removed.
    fn write(&self, version: &str, files: &[(&str, &str)]) -> Result<()> {
        let (data, folder) = (self.0.join("..data"), format!("..version_{version}"));
        std::fs::create_dir(self.0.join(&folder))?;
        for (name, text) in files {
            std::fs::write(self.0.join(&folder).join(name), text)?;
        }
        let old = std::fs::read_link(&data).ok();
        symlink(&folder, self.0.join("..data_tmp"))?;
        std::fs::rename(self.0.join("..data_tmp"), &data)?;
        for (name, _) in files {
            let link = self.0.join(name);
            if !link.is_symlink() {
                // What was an ordinary file becomes a link without ever being absent.
                symlink(Path::new("..data").join(name), self.0.join("..link"))?;
                std::fs::rename(self.0.join("..link"), link)?;
            }
        }
        if let Some(old) = old {
            std::fs::remove_dir_all(self.0.join(old))?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_poll_fails_while_mounted_volumes_are_swapped() -> Result<()> {
    let (one, two) = (store(1.0).await?, store(2.0).await?);
    let documents = [&one, &two].map(|store| {
        MirrorConfig::for_targets(&[("store", &store.url())])
            .document()
            .to_string()
    });
    let mirror = Mirror::start(&MirrorConfig::for_targets(&[("store", &one.url())])).await?;
    let secret = mirror.process().directory().join("secrets/mirror-key");
    let (document, secret) = (Volume(mirror.process().directory()), Volume(&secret));
    document.write("0", &[("mirror.yaml", &documents[0])])?;
    secret.write("0", &[("apiKey", "test-key")])?;
    let client = Client::new(&mirror.url());
    let polling = Polling::start(&mirror.url());
    for version in 1..=4 {
        let (number, key) = [("1", "test-key"), ("2", "new-key")][version % 2];
        let files = [("mirror.yaml", documents[version % 2].as_str())];
        document.write(&version.to_string(), &files)?;
        secret.write(&version.to_string(), &[("apiKey", key)])?;
        answers(&client, number).await?;
        shows_key(&client, key).await?;
        polling.goes_on().await?;
    }
    polling.end().await?;
    let failed = "prometheus_mirror_config_reloads_total{result=\"failure\"} 0";
    assert_eq!(has_metric(&mirror, &client, failed).await?, Some(()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_way_at_a_sigterm_are_answered() -> Result<()> {
    let Reply::Json(json) = Reply::samples(&[(START / 1000, "1")]) else {
        unreachable!("samples are JSON")
    };
    let slow = Upstream::always(Reply::Late(Duration::from_secs(1), json)).await?;
    let config = MirrorConfig::for_targets(&[("slow", slow.url())]).with("workers", json!(10));
    let mirror = Mirror::start(&config).await?;
    let client = Client::new(&mirror.url());
    let mut requests = JoinSet::new();
    // Ten are being answered by the store, twenty wait in the queue.
    for index in 0..30 {
        let client = client.clone();
        requests.spawn(async move {
            let conditions = json!([equals("__gauge__", "which")]);
            let start = START - index;
            client
                .metric(&conditions, start, START + 1000, None, None)
                .await
        });
    }
    let waiting = "prometheus_mirror_upstream_queue_depth{target=\"slow\"} 20";
    eventually("the queue", || has_metric(&mirror, &client, waiting)).await?;
    mirror.process().signal("TERM")?;
    while let Some(answer) = requests.join_next().await {
        assert_eq!(telemetry(&answer??)?.points.len(), 1);
    }
    eventually("the end", || async {
        Ok((!mirror.process().is_running()).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balancer_that_follows_readiness_loses_no_request_at_a_sigterm() -> Result<()> {
    let one = store(1.0).await?;
    let config = MirrorConfig::for_targets(&[("store", &one.url())]);
    let mirror = Mirror::start_with(&mirror_binary()?, &config, &["--drain-delay", "3s"]).await?;
    let client = Client::new(&mirror.url());
    let polling = Polling::start(&mirror.url());
    polling.goes_on().await?;
    mirror.process().signal("TERM")?;
    eventually("readiness to say no", || async {
        let (status, body) = readiness(&mirror, &client).await?;
        Ok((status == 503 && body["status"] == "draining").then_some(()))
    })
    .await?;
    // Requests are still taken until the balancer has noticed.
    polling.goes_on().await?;
    polling.end().await?;
    eventually("the end", || async {
        Ok((!mirror.process().is_running()).then_some(()))
    })
    .await?;
    assert!(mirror.process().log().contains("drained"));
    Ok(())
}
