//! The contract with StackState, row by row, on the running program: `mirror-api.md`, whose
//! sections the modules name.
//!
//! The store is a real Prometheus with a handful of samples, so that whole answers can be written
//! down here. What a real one cannot be made to do (hang, write `1.50`, have metadata without
//! scraping) a scripted one does.

// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

mod command;
mod describe;
mod driven;
mod errors;
mod fields;
mod messages;
mod metric;
mod openapi;
mod refine;
mod targets;
mod transport;
mod why;

use anyhow::Result;
use harness::client::{Answer, Client, equals};
use harness::remote_write;
use harness::samples::{Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// When the samples begin: a full minute in 2024.
const BASE: i64 = harness::samples::START;
/// Every range that is asked for is this minute, if nothing else is said.
const MINUTE: i64 = 60_000;
/// Nothing ever listens there.
const DEAD: &str = "http://127.0.0.1:1";
/// The header of the API key, as clients may spell it.
const KEY: &str = "X-MIRROR-API-KEY";

/// Series with a sample every 15 s from [`BASE`] on.
fn stored() -> Vec<Series> {
    let series = |name: &str, labels: &[(&str, &str)], values: &[f64]| {
        let mut series = Series::new(name, labels);
        let at = (BASE..).step_by(15_000);
        series.samples = at
            .zip(values)
            .map(|(at, &value)| Sample { at, value })
            .collect();
        series
    };
    let (nan, infinite) = (f64::NAN, f64::INFINITY);
    let mut all = vec![
        series(
            "temperature",
            &[("room", "attic")],
            &[0.1, 1e22, -3.0, 0.1 + 0.2],
        ),
        series("load", &[("place", "hall"), ("index", "0")], &[1.0, 2.0]),
        series("load", &[("place", "loft"), ("index", "1")], &[3.0, 6.0]),
        series("special", &[], &[nan, 1.0, infinite, -infinite, 2.0]),
        series("paused", &[], &[1.0]),
        series(
            "requests_total",
            &[("job", "shop")],
            &[0.0, 30.0, 60.0, 15.0],
        ),
        series("latency_bucket", &[("le", "1")], &[0.0, 1.0]),
        series("latency_bucket", &[("le", "+Inf")], &[0.0, 2.0]),
        series("latency_sum", &[], &[0.0, 3.0]),
        series("latency_count", &[], &[0.0, 2.0]),
        series("pause_seconds", &[("quantile", "0.5")], &[0.2, 0.3]),
        series("pause_seconds_sum", &[], &[0.0, 0.5]),
        series("pause_seconds_count", &[], &[0.0, 2.0]),
        series("matched", &[("id", "two"), ("ver", "2")], &[1.0]),
        series(
            "matched",
            &[("id", "two point zero"), ("ver", "2.0")],
            &[1.0],
        ),
        series(
            "matched",
            &[("id", "two point zero zero"), ("ver", "2.00")],
            &[1.0],
        ),
        series(
            "matched",
            &[("id", "half"), ("ver", "0.5"), ("flag", "true")],
            &[1.0],
        ),
        series(
            "matched",
            &[("id", "dot star"), ("ver", ".*"), ("flag", "false")],
            &[1.0],
        ),
    ];
    for part in ["cpu", "disk", "net"] {
        all.extend((0..4).map(|index| series(&format!("node_{part}_{index}"), &[], &[1.0])));
    }
    all
}

/// The Prometheus that all tests share. It ends with the process.
async fn store() -> Result<&'static Prometheus> {
    static STORE: OnceCell<Prometheus> = OnceCell::const_new();
    STORE
        .get_or_try_init(|| async {
            let prometheus = Prometheus::start_2().await?;
            remote_write::load(&prometheus.url(), &stored()).await?;
            anyhow::Ok(prometheus)
        })
        .await
}

/// A mirror of that Prometheus, its default target `live`, and of `dead`, where nothing listens.
async fn config() -> Result<MirrorConfig> {
    Ok(MirrorConfig::for_targets(&[
        ("live", &store().await?.url()),
        ("dead", DEAD),
    ]))
}

/// A mirror, and a client that holds every answer against `docs/openapi.yaml`.
async fn start(config: &MirrorConfig) -> Result<(Mirror, Client)> {
    let mirror = Mirror::start(config).await?;
    let client = Client::new(&mirror.url()).checked_by(openapi::check);
    Ok((mirror, client))
}

/// The condition that chooses a gauge.
fn gauge(name: &str) -> Value {
    json!([equals("__gauge__", name)])
}

/// A raw metric request for the default target.
fn metric(conditions: Value) -> Value {
    let query = json!({"_type": "MetricsQuery", "conditions": conditions, "startTime": BASE, "endTime": BASE + MINUTE});
    json!({"_type": "MetricsRequest", "connectionDetails": {}, "query": query})
}

/// The same, aggregated in one bucket of a minute.
fn aggregated(conditions: Value, method: &str) -> Value {
    let mut request = metric(conditions);
    request["query"]["aggregation"] =
        json!({"_type": "Aggregation", "method": method, "bucketSizeMillis": MINUTE});
    request
}

/// A request with other connection details.
fn to(mut request: Value, connection: Value) -> Value {
    request["connectionDetails"] = connection;
    request
}

/// What most comparisons are about.
fn outcome(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json())
}

fn raw(points: Value, partial: bool) -> Value {
    json!({
        "telemetry": {"points": points, "dataFormat": ["value", "timestamp"], "isPartial": partial, "_type": "RawMetricTelemetry"},
        "_type": "MetricsResponse",
    })
}

fn remote(summary: &str, details: &str) -> Value {
    json!({"_type": "RemoteMirrorError", "summary": summary, "details": details})
}

fn connection_error(details: &str) -> Value {
    json!({"_type": "MetricStoreConnectionError", "details": details})
}
