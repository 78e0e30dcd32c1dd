//! Targets of several servers that are far away, against one: shards are asked at once, and a pair
//! costs one call.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use harness::client::{Client, equals};
use harness::remote_write;
use harness::samples::{END, HOUR, MINUTE, Sample, Series};
use harness::servers::{Far, Mirror, MirrorConfig, Prometheus};
use serde_json::{Value, json};

/// A round trip takes twice as long.
const AWAY: Duration = Duration::from_millis(50);

/// So often each target is asked, after a first time that opens its connections.
const ROUNDS: i64 = 12;

/// What is asked: kind, method.
const QUESTIONS: [(&str, &str, &str); 2] = [
    ("__counter__", "several_total", "MEAN"),
    ("__histogram__", "several_seconds", "PERCENTILE_95"),
];

/// Milliseconds, medians.
#[derive(Debug)]
pub(crate) struct Several {
    /// The slowest question of one server.
    pub(crate) one: f64,
    /// The largest ratio to one server of a pair, of two shards and of three.
    pub(crate) pair: f64,
    /// See `pair`.
    pub(crate) two: f64,
    /// See `pair`.
    pub(crate) three: f64,
}

/// Counters and classic histograms of ten instances.
fn series() -> Vec<Series> {
    let mut all = Vec::new();
    for instance in 0..10_i32 {
        let name = format!("host-{instance}");
        let mut add = |metric: &str, labels: &[(&str, &str)], each: i64| {
            let labels = [&[("instance", name.as_str())], labels].concat();
            let mut series = Series::new(metric, &labels);
            series.samples = (0..)
                .map(|index| (END - 2 * HOUR + index * 15_000, index * each))
                .take_while(|(at, _)| *at < END)
                .map(|(at, value)| Sample {
                    at,
                    #[expect(clippy::cast_precision_loss, reason = "small")]
                    value: value as f64,
                })
                .collect();
            all.push(series);
        };
        add("several_total", &[], 3);
        add("several_seconds_sum", &[], 7);
        add("several_seconds_count", &[], 9);
        for (le, each) in [("0.1", 2), ("0.5", 5), ("1", 8), ("+Inf", 9)] {
            add("several_seconds_bucket", &[("le", le)], each);
        }
    }
    all
}

async fn far(series: &[Series], part: usize, parts: usize) -> Result<(Prometheus, Far)> {
    let server = Prometheus::start_3().await?;
    let own = series.iter().enumerate();
    let own = own.filter(|(index, _)| index % parts == part);
    let own: Vec<Series> = own.map(|(_, one)| one.clone()).collect();
    remote_write::load(&server.url(), &own).await?;
    let far = Far::from(&server.url(), AWAY).await?;
    Ok((server, far))
}

/// Asks all of them in turn.
///
/// # Errors
/// If something does not start, or an answer is not that of one server.
pub(crate) async fn measure(binary: &Path) -> Result<Several> {
    let series = series();
    let mut servers = Vec::new();
    let mut targets = Vec::new();
    for (name, field, count) in [
        ("one", "shards", 1),
        ("pair", "replicas", 2),
        ("two", "shards", 2),
        ("three", "shards", 3),
    ] {
        let parts = if field == "shards" { count } else { 1 };
        let members = (0..count).map(|index| far(&series, index % parts, parts));
        let members = try_join_all(members).await?;
        let urls: Vec<Value> = members
            .iter()
            .map(|(_, far)| json!({"url": far.url()}))
            .collect();
        targets.push(match count {
            1 => json!({"name": name, "url": urls[0]["url"]}),
            _ => json!({"name": name, field: urls}),
        });
        servers.extend(members);
    }
    let config = MirrorConfig::for_targets(&[])
        .with("targets", json!(targets))
        .with("defaultTarget", json!("one"));
    let mirror = Mirror::start_binary(binary, &config).await?;
    let names = ["one", "pair", "two", "three"];
    let clients = names.map(|name| Client::new(&mirror.url()).of_target(name));
    let mut found = Several {
        one: 0.0,
        pair: 0.0,
        two: 0.0,
        three: 0.0,
    };
    for (kind, metric, method) in QUESTIONS {
        let conditions = json!([equals(kind, metric)]);
        let mut took: [Vec<f64>; 4] = Default::default();
        for round in 0..=ROUNDS {
            let start = END - 90 * MINUTE + round * MINUTE;
            let mut counts = Vec::new();
            for (client, took) in clients.iter().zip(&mut took) {
                let started = Instant::now();
                let aggregation = Some((method, MINUTE));
                let answer = client
                    .metric(&conditions, start, start + HOUR, None, aggregation)
                    .await?;
                if round > 0 {
                    took.push(started.elapsed().as_secs_f64() * 1000.0);
                }
                counts.push(
                    answer.json()["telemetry"]["points"]
                        .as_array()
                        .map(Vec::len),
                );
            }
            ensure!(
                counts.iter().all(|count| *count == Some(60)),
                "{metric}: {counts:?} points"
            );
        }
        let [one, pair, two, three] = took.map(|mut took| super::median(&mut took));
        eprintln!(
            "{metric} {method}: one server {one:.0} ms, a pair {pair:.0} ms, two shards {two:.0} ms, three shards {three:.0} ms"
        );
        found.one = found.one.max(one);
        found.pair = found.pair.max(pair / one);
        found.two = found.two.max(two / one);
        found.three = found.three.max(three / one);
    }
    Ok(found)
}
