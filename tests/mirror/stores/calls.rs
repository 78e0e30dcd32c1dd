//! Calls of the servers that Debian has: Prometheus 2 and VictoriaMetrics.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows a test's functions, not their helpers"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::servers::{MirrorConfig, Prometheus, VictoriaMetrics};
use mirror::model::capabilities::{Capabilities, RangeBoundary};
use mirror::model::time::{Millis, Timestamp};
use mirror::prometheus::observe::UpstreamMetrics;
use mirror::prometheus::{Call, Data, Deadline, Server, Store as _, StoreError, Targets};
use mirror::settings::Source;
use prometheus_client::registry::Registry;
use serde_json::json;

const TIME: Duration = Duration::from_secs(30);

/// A deadline so far from now.
fn within(time: Duration) -> Deadline {
    Deadline(Instant::now() + time)
}

/// An instant query.
fn query(promql: &str) -> Call {
    Call::Instant {
        promql: promql.to_owned(),
        at: Timestamp(1_700_000_000_000),
    }
}

/// A target that leads to a server.
fn target(url: &str) -> Arc<Server> {
    let folder = tempfile::tempdir().unwrap();
    let config = MirrorConfig::for_targets(&[("main", url)]).with("workers", json!(4));
    config.write(folder.path()).unwrap();
    let source = Source {
        file: folder.path().join("mirror.yaml"),
        secrets_dir: folder.path().join("secrets"),
        config_maps_dir: folder.path().join("configmaps"),
        tokens_dir: folder.path().join("tokens"),
    };
    // Every test but the first of a process finds it installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let settings = mirror::settings::load(&source).unwrap();
    let metrics = UpstreamMetrics::register(&mut Registry::default());
    let targets = Targets::new(&settings, &metrics, None);
    Arc::clone(targets.declared()[0].only().unwrap())
}

/// Samples of its own `up` that the server has stored by now; waits for two.
async fn scraped(target: &Server) -> Data {
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
async fn answers_every_call(target: &Server) {
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

    let error = target.call(query("up{"), within(TIME)).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
}

#[tokio::test]
async fn prometheus_2_has_closed_ranges_and_native_histograms() {
    let server = Prometheus::start_2_scraping_itself(&[]).await.unwrap();
    let target = target(&server.url());
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
    let server = VictoriaMetrics::start_scraping_itself().await.unwrap();
    let target = target(&server.url());
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
    let server = Prometheus::start_2_scraping_itself(&[]).await.unwrap();
    let target = target(&server.url());
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
    let server = VictoriaMetrics::start_scraping_itself().await.unwrap();
    answers_every_call(&target(&server.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_on_a_server_that_closes_idle_connections_just_then() {
    // Go's servers close connections that were idle for so long.
    let flags = ["--web.read-timeout=500ms"];
    let server = Prometheus::start_2_scraping_itself(&flags).await.unwrap();
    let target = target(&server.url());
    // Around half a second after the last answer, to the millisecond.
    let asked = (0_u64..6).map(|first| {
        let target = Arc::clone(&target);
        async move {
            for round in 0..20 {
                let pause = 490 + (first * 7 + round * 3) % 20;
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let length = if round % 2 == 0 { 10 } else { 5_000 };
                let promql = format!("{first}*{}1", "1*".repeat(length / 2));
                let answer = target.call(query(&promql), within(TIME)).await;
                assert!(answer.is_ok(), "{answer:?}");
            }
        }
    });
    futures::future::join_all(asked).await;
}
