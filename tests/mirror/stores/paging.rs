//! A client that follows `isPartial` gets every point exactly once, whatever limit it pages with.
//!
//! It asks again from the last point's timestamp (of an aggregated point its start or its end, the
//! contract leaves that open), drops the point that it has already, and ends when an answer is
//! complete or brings nothing new (an infinity has no JSON, so an answer that lacks one says that
//! it is partial although nothing more will come).

use anyhow::{Result, ensure};
use harness::client::{Client, equals, telemetry};
use harness::oracle::Store;
use harness::samples::{HOUR, MINUTE, START};
use harness::servers::{Mirror, MirrorConfig, Prometheus, VictoriaMetrics, load};
use serde_json::{Value, json};

/// Where the next page starts.
#[derive(Clone, Copy, Debug)]
enum Restart {
    AtStartOfLast,
    AtEndOfLast,
}

/// Value, start and end; a raw point starts and ends at its timestamp.
type Point = (String, i64, i64);

struct Question {
    conditions: Value,
    start: i64,
    end: i64,
    aggregation: Option<(&'static str, i64)>,
}

impl Question {
    /// All pages, one after the other.
    async fn walk(
        &self,
        client: &Client,
        limit: Option<u64>,
        restart: Restart,
    ) -> Result<Vec<Point>> {
        let mut points: Vec<Point> = Vec::new();
        let mut start = self.start;
        loop {
            let answer = client
                .metric(&self.conditions, start, self.end, limit, self.aggregation)
                .await?;
            let page = telemetry(&answer)?;
            // One more than the limit where the first point is only the repeat.
            ensure!(
                limit.is_none_or(|limit| page.points.len() as u64 <= limit.max(2)),
                "{} points for limit {limit:?}",
                page.points.len()
            );
            let known = points.last().map(|(_, start, _)| *start);
            let repeats = page
                .points
                .first()
                .is_some_and(|(_, start, _)| Some(*start) == known);
            let new = &page.points[usize::from(repeats)..];
            points.extend_from_slice(new);
            let Some((_, last_start, last_end)) = new.last().filter(|_| page.partial) else {
                return Ok(points);
            };
            start = match restart {
                Restart::AtStartOfLast => *last_start,
                Restart::AtEndOfLast => *last_end,
            };
        }
    }
}

fn questions() -> Vec<(&'static str, Question)> {
    // None begins on an edge; the second hour has the gap of the samples in its midst.
    let start = START + 2 * HOUR + 12_345;
    let raw = |conditions, minutes| Question {
        conditions,
        start,
        end: start + minutes * MINUTE,
        aggregation: None,
    };
    let in_buckets_of = |width, conditions, method, minutes| Question {
        conditions,
        start,
        end: start + minutes * MINUTE,
        aggregation: Some((method, width)),
    };
    let in_buckets =
        |conditions, method, minutes| in_buckets_of(MINUTE, conditions, method, minutes);
    let of_a = |key: &str, name: &str| json!([equals(key, name), equals("instance", "a")]);
    let one = |key: &str, name: &str| json!([equals(key, name)]);
    vec![
        ("raw gauge", raw(one("__gauge__", "room_temperature"), 45)),
        (
            "raw gauge with NaN and infinities",
            raw(one("__gauge__", "special"), 30),
        ),
        (
            "raw counter",
            raw(one("__counter__", "http_requests_total"), 45),
        ),
        (
            "raw histogram",
            raw(of_a("__histogram__", "request_duration_seconds"), 45),
        ),
        ("raw PromQL", raw(one("~", "2 * room_temperature"), 45)),
        (
            "aggregated gauge",
            in_buckets(one("__gauge__", "room_temperature"), "MEAN", 150),
        ),
        (
            "aggregated gauge, most buckets empty",
            in_buckets_of(
                1_000,
                one("__gauge__", "room_temperature"),
                "PERCENTILE_50",
                40,
            ),
        ),
        (
            "aggregated gauge, pooled",
            in_buckets(one("__gauge__", "load"), "PERCENTILE_90", 120),
        ),
        (
            "aggregated counter",
            in_buckets(one("__counter__", "bytes_total"), "MEAN", 150),
        ),
        (
            "aggregated counter, seven seconds",
            Question {
                // Not over the gap: at its edge VictoriaMetrics answers a rate of 0 or nothing,
                // depending on the range of the query.
                start: start + HOUR,
                ..in_buckets_of(7_000, one("__counter__", "http_requests_total"), "MAX", 80)
            },
        ),
        (
            "aggregated histogram",
            in_buckets(
                one("__histogram__", "request_duration_seconds"),
                "PERCENTILE_95",
                150,
            ),
        ),
        (
            "aggregated PromQL",
            in_buckets(one("~", "2 * room_temperature"), "MAX", 150),
        ),
    ]
}

/// The same bucket or sample. Stores sum several series in an order of their own, which may move
/// the last bit.
fn is_same(got: &Point, expected: &Point) -> bool {
    let value = |point: &Point| point.0.parse::<f64>().unwrap_or(f64::NAN);
    let deviation = (value(got) - value(expected)).abs();
    (got.1, got.2) == (expected.1, expected.2) && deviation <= 1e-12 * value(expected).abs()
}

async fn every_point_comes_exactly_once(store: Store, url: &str) -> Result<()> {
    load(store, url).await?;
    let mirror = Mirror::start(&MirrorConfig::for_targets(&[("store", url)])).await?;
    let client = Client::new(&mirror.url());
    for (name, question) in questions() {
        let all = client
            .metric(
                &question.conditions,
                question.start,
                question.end,
                None,
                question.aggregation,
            )
            .await?;
        let all = telemetry(&all)?;
        ensure!(
            all.points.len() > 50 && all.points.windows(2).all(|pair| pair[0].1 < pair[1].1),
            "{name}: {} points, or not ascending",
            all.points.len()
        );
        let restarts: &[Restart] = match question.aggregation {
            None => &[Restart::AtStartOfLast],
            Some(_) => &[Restart::AtStartOfLast, Restart::AtEndOfLast],
        };
        for &restart in restarts {
            for limit in [Some(1), Some(2), Some(100), None] {
                let paged = question.walk(&client, limit, restart).await?;
                let different = paged
                    .iter()
                    .zip(&all.points)
                    .find(|(got, expected)| !is_same(got, expected));
                ensure!(
                    paged.len() == all.points.len() && different.is_none(),
                    "{name}, limit {limit:?}, {restart:?}: {} points instead of {}; the first that differ: {different:?}",
                    paged.len(),
                    all.points.len(),
                );
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_point_of_prometheus_2_comes_exactly_once() -> Result<()> {
    let server = Prometheus::start_2().await?;
    every_point_comes_exactly_once(Store::Prometheus2, &server.url()).await
}

#[tokio::test]
async fn every_point_of_prometheus_3_comes_exactly_once() -> Result<()> {
    let server = Prometheus::start_3().await?;
    every_point_comes_exactly_once(Store::Prometheus3, &server.url()).await
}

#[tokio::test]
async fn every_point_of_victoriametrics_comes_exactly_once() -> Result<()> {
    let server = VictoriaMetrics::start().await?;
    every_point_comes_exactly_once(Store::VictoriaMetrics, &server.url()).await
}
