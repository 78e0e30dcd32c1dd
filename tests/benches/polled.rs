//! Streams that are polled again and again, by a mirror that remembers finished buckets; and what
//! that costs queries which are asked once.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use harness::client::{Client, equals};
use harness::remote_write;
use harness::samples::{END, HOUR, MINUTE, Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus, http_client};
use serde_json::json;

const STREAMS: usize = 200;
const LENGTH: i64 = 3 * 24 * HOUR;
/// So many queries are asked once of each mirror.
const ONE_OFF: usize = 400;

/// Shares of the first poll, and a ratio.
#[derive(Debug)]
pub(crate) struct Polled {
    /// Samples that the store read for the second poll, in percent.
    pub(crate) samples: f64,
    /// Time that a stream of each poll took, in milliseconds.
    pub(crate) took: [f64; 2],
    /// Of the second poll: for the store's answer, and in the mirror beside that, until it begins
    /// to answer.
    pub(crate) spent: [f64; 2],
    /// Time of queries that are asked once, with memory against without, medians.
    pub(crate) one_off: f64,
}

fn name(index: usize) -> String {
    format!("polled_{index}")
}

async fn store() -> Result<Prometheus> {
    /// All streams at once are 600 MB on their way.
    const SLICE: i64 = 6 * HOUR;
    let prometheus = Prometheus::start_3().await?;
    // One after the other: a store takes nothing much older than what it has.
    for begin in (END - LENGTH - HOUR..END).step_by(SLICE as usize) {
        let series = |index: usize| {
            let mut series = Series::new(&name(index), &[("instance", "host-1")]);
            let instants = (begin..(begin + SLICE).min(END)).step_by(15_000);
            let samples = instants.map(|at| Sample {
                at,
                #[expect(clippy::cast_precision_loss, reason = "small")]
                value: (at / 15_000 % 997) as f64 / 8.0,
            });
            series.samples = samples.collect();
            series
        };
        let slice: Vec<Series> = (0..STREAMS).map(series).collect();
        remote_write::load(&prometheus.url(), &slice).await?;
    }
    Ok(prometheus)
}

/// The samples that all queries of the store have read.
async fn samples_read(store: &Prometheus) -> Result<f64> {
    let url = format!("{}/metrics", store.url());
    let text = http_client().get(url).send().await?.text().await?;
    let name = "prometheus_engine_query_samples_total ";
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.context(name)?.parse().context(name)
}

/// The milliseconds that the store's answers took so far, and those that requests took in the
/// mirror.
async fn spent(mirror: &Mirror) -> Result<[f64; 2]> {
    let url = format!("{}/metrics", mirror.admin().0);
    let text = http_client().get(url).send().await?.text().await?;
    let sum = |name: &str| {
        let name = format!("prometheus_mirror_{name}_duration_seconds_sum");
        let of_all = text.lines().filter(|line| line.starts_with(&name));
        let values = of_all.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>() * 1000.0
    };
    Ok([sum("upstream_request"), sum("request")])
}

/// Polls all streams, each of which ends at `end`. Answers the milliseconds that each took, without
/// those in which its answer is looked at here.
async fn poll(client: &Client, end: i64) -> Result<f64> {
    let mut took = 0.0;
    for index in 0..STREAMS {
        took += ask(client, index, end - LENGTH, end).await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "200")]
    Ok(took / STREAMS as f64)
}

async fn ask(client: &Client, index: usize, start: i64, end: i64) -> Result<f64> {
    let started = Instant::now();
    let conditions = json!([equals("__gauge__", &name(index))]);
    let aggregation = Some(("MEAN", MINUTE));
    let asked = client.metric(&conditions, start, end, None, aggregation);
    let answer = asked.await?;
    let took = started.elapsed().as_secs_f64() * 1000.0;
    let points = answer.json()["telemetry"]["points"]
        .as_array()
        .map_or(0, Vec::len);
    let expected = usize::try_from((end - start) / MINUTE)?;
    ensure!(points == expected, "{points} points instead of {expected}");
    Ok(took)
}

/// Measures both in one run.
///
/// # Errors
/// If something does not start, or an answer lacks points.
pub(crate) async fn measure(binary: &Path) -> Result<Polled> {
    let store = store().await?;
    let plain = MirrorConfig::for_targets(&[("store", &store.url())]);
    let cache = json!({"enabled": true, "size": "64Mi", "settle": "10m"});
    let remembering = plain.clone().with("cache", cache);
    let mirror = Mirror::start_binary(binary, &remembering).await?;
    let client = Client::new(&mirror.url());
    let mut read = vec![samples_read(&store).await?];
    let mut took = [0.0; 2];
    let mut before = [0.0; 2];
    for (took, minute) in took.iter_mut().zip([2, 1]) {
        before = spent(&mirror).await?;
        *took = poll(&client, END - minute * MINUTE).await?;
        read.push(samples_read(&store).await?);
    }
    let after = spent(&mirror).await?;
    #[expect(clippy::cast_precision_loss, reason = "200")]
    let [store, whole] = [0, 1].map(|which| (after[which] - before[which]) / STREAMS as f64);
    let one_off = one_off(binary, [&plain, &remembering]).await?;
    Ok(Polled {
        samples: (read[2] - read[1]) / (read[1] - read[0]) * 100.0,
        took,
        spent: [store, whole - store],
        one_off,
    })
}

/// Queries that nobody asked before, of both mirrors in turn.
async fn one_off(binary: &Path, configs: [&MirrorConfig; 2]) -> Result<f64> {
    let mirrors = [
        Mirror::start_binary(binary, configs[0]).await?,
        Mirror::start_binary(binary, configs[1]).await?,
    ];
    let clients = mirrors.each_ref().map(|mirror| Client::new(&mirror.url()));
    let mut took = [Vec::new(), Vec::new()];
    for index in 0..ONE_OFF + 20 {
        // The first mirror of a turn warms the store up for the second.
        for turn in [index % 2, 1 - index % 2] {
            let stream = index % STREAMS;
            // No two of a stream have a bucket in common.
            let end = END - HOUR - 24 * HOUR * i64::try_from(index / STREAMS)?;
            let one = ask(&clients[turn], stream, end - 23 * HOUR, end).await?;
            if index >= 20 {
                took[turn].push(one);
            }
        }
    }
    let [mut plain, mut remembering] = took;
    Ok(super::median(&mut remembering) / super::median(&mut plain))
}
