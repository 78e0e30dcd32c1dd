//! Calls of the servers that Debian has: Prometheus 2 and VictoriaMetrics. A missing one is a
//! failure.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows a test's functions, not their helpers"
)]

mod upstream;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mirror::model::capabilities::{Capabilities, RangeBoundary};
use mirror::model::time::{Millis, Timestamp};
use mirror::prometheus::{Call, Data, Store as _, StoreError, Target};
use upstream::{targets, within};
use url::Url;

const TIME: Duration = Duration::from_secs(30);

/// A server in a folder of its own; it ends with this value.
struct Server {
    process: Child,
    url: Url,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(program: &str, arguments: impl Fn(&Path, &str) -> Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Free a moment ago; the servers cannot be told to choose one and say which.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let process = Command::new(program)
            .args(arguments(folder.path(), &address))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program} must be installed (Debian's package has that name): {error}")
            });
        Self {
            process,
            url: Url::parse(&format!("http://{address}")).unwrap(),
            _folder: folder,
        }
    }

    fn prometheus() -> Self {
        Self::prometheus_with(&[])
    }

    /// The same with further flags.
    fn prometheus_with(flags: &[&str]) -> Self {
        Self::start("prometheus", |folder, address| {
            let config = folder.join("prometheus.yml");
            let scrape = format!(
                "scrape_configs: [{{job_name: self, scrape_interval: 1s, static_configs: [{{targets: ['{address}']}}]}}]"
            );
            std::fs::write(&config, scrape).unwrap();
            let mut arguments = vec![
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", folder.join("data").display()),
                format!("--web.listen-address={address}"),
            ];
            arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
            arguments
        })
    }

    fn victoria_metrics() -> Self {
        Self::start("victoria-metrics", |folder, address| {
            let config = folder.join("prometheus.yml");
            let scrape = format!(
                "scrape_configs: [{{job_name: self, scrape_interval: 1s, static_configs: [{{targets: ['{address}']}}]}}]"
            );
            std::fs::write(&config, scrape).unwrap();
            vec![
                format!("-promscrape.config={}", config.display()),
                format!("-storageDataPath={}", folder.join("data").display()),
                format!("-httpListenAddr={address}"),
            ]
        })
    }

    /// A target that leads to it, once it answers.
    async fn target(&self) -> Arc<Target> {
        let target = Arc::clone(&targets(4, &self.url).declared()[0]);
        for _ in 0..150 {
            match target
                .call(upstream::query("vector(1)"), within(TIME))
                .await
            {
                Ok(_) => return target,
                Err(StoreError::Unreachable(_)) => {
                    tokio::time::sleep(Duration::from_millis(200)).await
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        panic!("the server did not become ready");
    }
}

/// Samples of its own `up` that the server has stored by now; waits for two.
async fn scraped(target: &Target) -> Data {
    for _ in 0..150 {
        let call = Call::Instant {
            promql: "up{job=\"self\"}[5m]".to_owned(),
            at: Timestamp::now(),
        };
        let data = target.call(call, within(TIME)).await.unwrap().data.clone();
        if matches!(&data, Data::Series(series) if series.first().is_some_and(|series| series.samples.len() > 1))
        {
            return data;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the server did not scrape itself");
}

/// What holds for every server.
async fn answers_every_call(target: &Target) {
    let Data::Series(series) = scraped(target).await else {
        panic!("no series")
    };
    assert_eq!(series.len(), 1);
    assert_eq!(series[0].labels["__name__"], "up");
    assert!(
        series[0].samples.iter().all(|(_, value)| value == "1"),
        "{series:?}"
    );

    let now = Timestamp::now();
    let start = now.minus(Millis(600_000));
    let ask = |call| async { target.call(call, within(TIME)).await.unwrap().data.clone() };
    let step = Millis(1_500);
    // A minute ago: VictoriaMetrics holds the newest 30 s back from range queries (its
    // -search.latencyOffset).
    let end = now.minus(Millis(60_000));
    let range = Call::Range {
        promql: "vector(0.5)".to_owned(),
        start: end.minus(Millis(3_000)),
        end,
        step,
    };
    let Data::Series(series) = ask(range).await else {
        panic!("no series")
    };
    let values: Vec<_> = series[0]
        .samples
        .iter()
        .map(|(_, value)| value.to_owned())
        .collect();
    assert_eq!(values, ["0.5", "0.5", "0.5"]);

    let exists = |selectors: &[&str]| {
        let selectors = selectors
            .iter()
            .map(|selector| (*selector).to_owned())
            .collect();
        Call::SeriesExist {
            selectors,
            start,
            end: now,
        }
    };
    assert_eq!(
        ask(exists(&["nothing", "up"])).await,
        Data::SeriesExist(true)
    );
    assert_eq!(
        ask(exists(&["nothing", "nobody"])).await,
        Data::SeriesExist(false)
    );

    let selector = Some("up".to_owned());
    let Data::Names(mut names) = ask(Call::LabelNames {
        selector: selector.clone(),
        start,
        end: now,
    })
    .await
    else {
        panic!("no names")
    };
    names.sort_unstable();
    assert_eq!(names, ["__name__", "instance", "job"]);
    let values = ask(Call::LabelValues {
        label: "job".to_owned(),
        selector,
        start,
        end: now,
    })
    .await;
    assert_eq!(values, Data::Names(vec!["self".to_owned()]));
    assert!(matches!(ask(Call::Metadata).await, Data::Metadata(_)));

    // By POST: the expression is too long for a URL.
    let long = format!("up{{job=~\"self|{}\"}}", "x".repeat(5_000));
    let Data::Series(series) = ask(Call::Instant {
        promql: long,
        at: Timestamp::now(),
    })
    .await
    else {
        panic!("no series")
    };
    assert_eq!(series.len(), 1);

    let error = target
        .call(upstream::query("up{"), within(TIME))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
}

#[tokio::test]
async fn prometheus_2_has_closed_ranges_and_native_histograms() {
    let server = Server::prometheus();
    let target = server.target().await;
    let expected = Capabilities {
        range_boundary: RangeBoundary::Closed,
        native_histograms: true,
        settles_after: Millis(0),
        keeps_nan: true,
    };
    assert_eq!(target.capabilities(within(TIME)).await.unwrap(), expected);
}

#[tokio::test]
async fn victoria_metrics_has_left_open_ranges_and_no_native_histograms() {
    let server = Server::victoria_metrics();
    let target = server.target().await;
    let found = target.capabilities(within(TIME)).await.unwrap();
    let expected = Capabilities {
        range_boundary: RangeBoundary::LeftOpen,
        native_histograms: false,
        // Half a minute, on a grid of seconds.
        settles_after: Millis(found.settles_after.0.clamp(30_000, 32_000)),
        keeps_nan: false,
    };
    assert_eq!(found, expected);
}

#[tokio::test]
async fn prometheus_2_answers_every_call() {
    let server = Server::prometheus();
    let target = server.target().await;
    answers_every_call(&target).await;
    let Data::Metadata(types) = target
        .call(Call::Metadata, within(TIME))
        .await
        .unwrap()
        .data
        .clone()
    else {
        panic!("no metadata")
    };
    assert_eq!(
        types["prometheus_http_requests_total"],
        mirror::model::metric_type::MetricType::Counter
    );
}

#[tokio::test]
async fn victoria_metrics_answers_every_call() {
    let server = Server::victoria_metrics();
    answers_every_call(&*server.target().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_on_a_server_that_closes_idle_connections_just_then() {
    // Go's servers close connections that were idle for so long.
    let server = Server::prometheus_with(&["--web.read-timeout=500ms"]);
    let target = server.target().await;
    // Around half a second after the last answer, to the millisecond.
    let asked = (0_u64..6).map(|first| {
        let target = Arc::clone(&target);
        async move {
            for round in 0..20 {
                let pause = 490 + (first * 7 + round * 3) % 20;
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let length = if round % 2 == 0 { 10 } else { 5_000 };
                let promql = format!("{first}*{}1", "1*".repeat(length / 2));
                let answer = target.call(upstream::query(&promql), within(TIME)).await;
                assert!(answer.is_ok(), "{answer:?}");
            }
        }
    });
    futures::future::join_all(asked).await;
}
