//! Is the oracle right about the stores? Its rules against each store itself, asked with PromQL
//! written by hand and no mirror between.

use anyhow::{Context as _, Result, bail};
use harness::client::Answer;
use harness::compare::compare;
use harness::oracle::Expected;
use harness::oracle::{Kind, Question, Store, answer, as_stored};
use harness::samples::{self, HOUR, MINUTE, START};
use harness::servers::{Mimir, Prometheus, Thanos, VictoriaMetrics, http_client, load};
use serde_json::{Value, json};

/// PromQL for a cell: `W` and `R` stand for the windows, `S` for the window of four scrapes,
/// `SCALE` for `W/R`.
const RULES: &[(Kind, &str, &str)] = &[
    (
        Kind::Gauge("room_temperature"),
        "MEAN",
        "sum(sum_over_time(room_temperature[W])) / sum(count_over_time(room_temperature[W]))",
    ),
    (
        Kind::Gauge("room_temperature"),
        "PERCENTILE_90",
        "quantile_over_time(0.9, room_temperature[W])",
    ),
    (
        Kind::Gauge("special"),
        "MEAN",
        "sum(sum_over_time(special[W])) / sum(count_over_time(special[W]))",
    ),
    (
        Kind::Gauge("special"),
        "MIN",
        "min(min_over_time(special[W]))",
    ),
    (
        Kind::Gauge("special"),
        "PERCENTILE_75",
        "quantile_over_time(0.75, special[W])",
    ),
    (
        Kind::Gauge("extreme"),
        "SUM",
        "sum(sum_over_time(extreme[W]))",
    ),
    (
        Kind::Gauge("extreme"),
        "MIN",
        "min(min_over_time(extreme[W]))",
    ),
    (
        Kind::Counter("bytes_total"),
        "MEAN",
        "avg(rate(bytes_total[R]))",
    ),
    (
        Kind::Counter("bytes_total"),
        "SUM",
        "sum(INCREASE(bytes_total)) * SCALE",
    ),
    (
        Kind::Counter("bytes_total"),
        "MAX",
        "max(max_over_time(rate(bytes_total[S])[W:15s]))",
    ),
    (
        Kind::Counter("http_requests_total"),
        "MEAN",
        "avg(rate(http_requests_total[R]))",
    ),
    (
        Kind::Counter("http_requests_total"),
        "PERCENTILE_50",
        "quantile_over_time(0.5, rate(http_requests_total[S])[W:15s])",
    ),
    (
        Kind::Histogram("request_duration_seconds"),
        "MEAN",
        "sum(rate(request_duration_seconds_sum[R])) / sum(rate(request_duration_seconds_count[R]))",
    ),
    (
        Kind::Histogram("request_duration_seconds"),
        "EVENT_COUNT",
        "sum(INCREASE(request_duration_seconds_count)) * SCALE",
    ),
    (
        Kind::Histogram("request_duration_seconds"),
        "MIN",
        "histogram_quantile(0, sum by (le) (rate(request_duration_seconds_bucket[R])))",
    ),
    (
        Kind::Histogram("request_duration_seconds"),
        "PERCENTILE_50",
        "histogram_quantile(0.5, sum by (le) (rate(request_duration_seconds_bucket[R])))",
    ),
    (
        Kind::Histogram("request_duration_seconds"),
        "PERCENTILE_99",
        "histogram_quantile(0.99, sum by (le) (rate(request_duration_seconds_bucket[R])))",
    ),
    (
        Kind::Histogram("deviation_seconds"),
        "MEAN",
        "histogram_sum(sum(rate(deviation_seconds[R]))) / histogram_count(sum(rate(deviation_seconds[R])))",
    ),
    (
        Kind::Histogram("deviation_seconds"),
        "EVENT_COUNT",
        "sum(HISTOGRAM_INCREASE(deviation_seconds)) * SCALE",
    ),
    (
        Kind::Histogram("deviation_seconds"),
        "MIN",
        "histogram_quantile(0, sum(rate(deviation_seconds[R])))",
    ),
    (
        Kind::Histogram("deviation_seconds"),
        "PERCENTILE_25",
        "histogram_quantile(0.25, sum(rate(deviation_seconds[R])))",
    ),
    (
        Kind::Histogram("deviation_seconds"),
        "PERCENTILE_75",
        "histogram_quantile(0.75, sum(rate(deviation_seconds[R])))",
    ),
    (
        Kind::Histogram("deviation_seconds"),
        "MAX",
        "histogram_quantile(1, sum(rate(deviation_seconds[R])))",
    ),
    (
        Kind::PromQl(harness::oracle::Expression::TwiceTheTemperature),
        "MEAN",
        "avg_over_time((2 * room_temperature)[W:15s])",
    ),
    (
        Kind::PromQl(harness::oracle::Expression::LargestLoad),
        "MIN",
        "min_over_time((max(max_over_time(load[2m])))[W:15s])",
    ),
];

const WIDTHS: [i64; 3] = [7_000, MINUTE, 15 * MINUTE];

async fn agrees(store: Store, url: &str) -> Result<()> {
    // Thanos has the samples from before its sidecars started.
    if store != Store::Thanos {
        load(store, url).await?;
    }
    let all = as_stored(store, samples::everything());
    let http = http_client();
    let closed = i64::from(store == Store::Prometheus2);
    let mut differences = Vec::new();
    for (kind, method, promql) in RULES {
        for width in WIDTHS {
            let question = Question {
                kind: kind.clone(),
                conditions: Vec::new(),
                start: START + HOUR + 12_345,
                end: if width < MINUTE {
                    START + HOUR + 30 * MINUTE
                } else {
                    START + 5 * HOUR
                },
                aggregation: Some((method, width)),
            };
            let expected = answer(store, &all, &question);
            if matches!(expected, Expected::NotRepresentable(_)) {
                continue;
            }
            let window = width.max(MINUTE);
            let promql = whole_increases(promql, window, store == Store::Prometheus2)
                .replace("[W", &format!("[{}ms", width - closed))
                .replace("[R]", &format!("[{}ms]", window - closed))
                .replace("[S]", &format!("[{}ms]", MINUTE - closed))
                .replace("SCALE", &format!("{width} / {window}"));
            let points = range(&http, url, &promql, &question, width)
                .await
                .with_context(|| promql.clone())?;
            let body = json!({
                "_type": "MetricsResponse",
                "telemetry": {
                    "_type": "AggregatedMetricTelemetry",
                    "points": points,
                    "dataFormat": ["value", "startTimestamp", "endTimestamp"],
                    "isPartial": matches!(expected, Expected::Points { partial: true, .. }),
                },
            });
            let answer = Answer {
                status: 200,
                headers: Default::default(),
                body: body.to_string(),
            };
            if let Err(error) = compare(&expected, &answer, 1e-9) {
                differences.push(format!("W = {width} ms, {method}: {promql}\n    {error:#}"));
            }
        }
    }
    if !differences.is_empty() {
        bail!(
            "{}: {} differences\n{}",
            store.name(),
            differences.len(),
            differences.join("\n")
        );
    }
    Ok(())
}

/// Writes `INCREASE(s)` and `HISTOGRAM_INCREASE(s)`, the increase over exactly the window `R` from
/// the samples inside it. A closed range of that length may have one more sample, at its start;
/// without it, growth goes on as in the millisecond before.
fn whole_increases(promql: &str, window: i64, closed: bool) -> String {
    for (name, (open, close)) in [
        ("HISTOGRAM_INCREASE(", ("histogram_count(", ")")),
        ("INCREASE(", ("", "")),
    ] {
        if let Some((before, rest)) = promql.split_once(name)
            && let Some((series, after)) = rest.split_once(')')
        {
            let over = |range: i64| format!("{open}increase({series}[{range}ms]){close}");
            let inside = |range: i64| format!("count_over_time({series}[{range}ms])");
            let increase = if closed {
                format!(
                    "(({} and {} == {}) or 2 * {} - {})",
                    over(window),
                    inside(window),
                    inside(window - 1),
                    over(window - 1),
                    over(window - 2)
                )
            } else {
                over(window)
            };
            return format!("{before}{increase}{after}");
        }
    }
    promql.to_owned()
}

/// The points of a range query at the last millisecond of each bucket: NaN as zero, without ±Inf.
async fn range(
    http: &reqwest::Client,
    url: &str,
    promql: &str,
    question: &Question,
    width: i64,
) -> Result<Vec<Value>> {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let parameters = [
        ("query", promql.to_owned()),
        (
            "start",
            seconds(question.start.div_euclid(width) * width + width - 1),
        ),
        ("end", seconds(question.end.div_euclid(width) * width - 1)),
        ("step", seconds(width)),
        ("nocache", "1".to_owned()),
    ];
    let response = http
        .post(format!("{url}/api/v1/query_range"))
        .form(&parameters)
        .send()
        .await?;
    let body: Value = response.json().await?;
    let series = body["data"]["result"]
        .as_array()
        .with_context(|| body.to_string())?;
    let [one] = &series[..] else {
        bail!("{} series", series.len())
    };
    let points = one["values"]
        .as_array()
        .context("no values")?
        .iter()
        .filter_map(|pair| {
            let last = (pair[0].as_f64()? * 1000.0).round() as i64;
            let value: f64 = pair[1].as_str()?.parse().ok()?;
            let value = if value.is_nan() { 0.0 } else { value };
            value
                .is_finite()
                .then(|| json!([value, last + 1 - width, last + 1]))
        });
    Ok(points.collect())
}

#[tokio::test]
async fn it_agrees_with_prometheus_2() -> Result<()> {
    let server = Prometheus::start_2().await?;
    agrees(Store::Prometheus2, &server.url()).await
}

#[tokio::test]
async fn it_agrees_with_prometheus_3() -> Result<()> {
    let server = Prometheus::start_3().await?;
    agrees(Store::Prometheus3, &server.url()).await
}

#[tokio::test]
async fn it_agrees_with_victoriametrics() -> Result<()> {
    let server = VictoriaMetrics::start().await?;
    agrees(Store::VictoriaMetrics, &server.url()).await
}

#[tokio::test]
async fn it_agrees_with_victoriametrics_of_this_year() -> Result<()> {
    let server = VictoriaMetrics::start_recent().await?;
    agrees(Store::RecentVictoriaMetrics, &server.url()).await
}

#[tokio::test]
async fn it_agrees_with_thanos() -> Result<()> {
    let server = Thanos::of_everything().await?;
    agrees(Store::Thanos, &server.url()).await
}

#[tokio::test]
async fn it_agrees_with_mimir() -> Result<()> {
    let server = Mimir::start().await?;
    agrees(Store::Mimir, &server.url()).await
}
