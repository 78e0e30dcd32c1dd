//! Section 4: metric queries.

use anyhow::Result;
use harness::servers::{MirrorConfig, Reply, Upstream};
use serde_json::{Value, json};

use super::*;

/// When the sample of this index was taken.
fn at(index: i64) -> i64 {
    BASE + 15_000 * index
}

fn buckets(points: Value) -> Value {
    json!({
        "telemetry": {
            "points": points, "dataFormat": ["value", "startTimestamp", "endTimestamp"], "isPartial": false,
            "_type": "AggregatedMetricTelemetry"
        },
        "_type": "MetricsResponse",
    })
}

#[tokio::test]
async fn a_raw_answer_is_this_text_with_the_stores_own_digits() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let answer = client
        .post("/api/metric", &metric(gauge("temperature")))
        .await?;
    let points = format!(
        "[0.1,{}],[1e+22,{}],[-3,{}],[0.30000000000000004,{}]",
        at(0),
        at(1),
        at(2),
        at(3)
    );
    let expected = format!(
        r#"{{"telemetry":{{"points":[{points}],"dataFormat":["value","timestamp"],"isPartial":false,"_type":"RawMetricTelemetry"}},"_type":"MetricsResponse"}}"#
    );
    assert_eq!((answer.status, answer.body), (200, expected));
    Ok(())
}

#[tokio::test]
async fn digits_that_no_computer_would_print_are_copied_all_the_same() -> Result<()> {
    let seconds = BASE / 1000;
    let samples = [(seconds, "1.50"), (seconds + 15, "-0.0e-07")];
    let upstream = Upstream::always(Reply::samples(&samples)).await?;
    let (_mirror, client) =
        start(&MirrorConfig::for_targets(&[("scripted", upstream.url())])).await?;
    let answer = client.post("/api/metric", &metric(gauge("x"))).await?;
    let points = format!(r#""points":[[1.50,{}],[-0.0e-07,{}]]"#, at(0), at(1));
    assert!(answer.body.contains(&points), "{}", answer.body);
    Ok(())
}

#[tokio::test]
async fn raw_points_are_what_the_query_kind_says() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let table = [
        (
            json!([equals("__counter__", "requests_total")]),
            json!([[2.0, at(1)], [2.0, at(2)], [1.0, at(3)]]),
        ),
        (
            json!([equals("__histogram__", "latency")]),
            json!([[1.5, at(1)]]),
        ),
        (
            json!([equals("__summary__", "pause_seconds")]),
            json!([[0.25, at(1)]]),
        ),
        (
            json!([equals("__gauge__", "load"), equals("place", "loft")]),
            json!([[3, at(0)], [6, at(1)]]),
        ),
        // An expression has a point at each scrape interval, also where its series has ended a
        // moment ago.
        (
            json!([equals("~", "10 * load"), equals("index", "0")]),
            json!([
                [10, at(0)],
                [20, at(1)],
                [20, at(2)],
                [20, at(3)],
                [20, at(4)]
            ]),
        ),
    ];
    for (conditions, points) in table {
        let answer = client
            .post("/api/metric", &metric(conditions.clone()))
            .await?;
        assert_eq!(outcome(&answer), (200, raw(points, false)), "{conditions}");
    }
    Ok(())
}

#[tokio::test]
async fn aggregated_points_are_a_value_and_the_bounds_of_a_bucket() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let table = [
        ("SUM", 12.0),
        ("MEAN", 3.0),
        ("MIN", 1.0),
        ("MAX", 6.0),
        ("EVENT_COUNT", 4.0),
        ("PERCENTILE_50", 2.5),
    ];
    for (method, value) in table {
        let answer = client
            .post("/api/metric", &aggregated(gauge("load"), method))
            .await?;
        let mut body = answer.json();
        // Whether the store writes 12 or 12.0 says nothing.
        let got = &mut body["telemetry"]["points"][0][0];
        *got = json!(got.as_f64());
        let expected = buckets(json!([[value, BASE, BASE + MINUTE]]));
        assert_eq!((answer.status, body), (200, expected), "{method}");
    }
    Ok(())
}

#[tokio::test]
async fn points_are_the_oldest_ones_ascending_whatever_latest_first_says() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let all = json!([[0.1, at(0)], [1e22, at(1)], [-3, at(2)], [0.1 + 0.2, at(3)]]);
    let first = |count: usize| Value::Array(all.as_array().unwrap()[..count].to_vec());
    let table = [
        (json!(2), first(2), true),
        (json!(3), first(3), true),
        (json!(4), first(4), false),
        (json!(2_147_483_647), first(4), false),
        (Value::Null, first(4), false),
        // The first point is at the start, which a caller who continues has already; one more takes
        // it further.
        (json!(1), first(2), true),
    ];
    for (limit, points, partial) in table {
        for latest_first in [true, false] {
            let mut request = metric(gauge("temperature"));
            request["query"]["limit"] = limit.clone();
            request["query"]["latestFirst"] = json!(latest_first);
            let answer = client.post("/api/metric", &request).await?;
            let expected = raw(points.clone(), partial);
            assert_eq!(outcome(&answer), (200, expected), "limit {limit}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_series_without_samples_in_the_range_is_an_empty_answer() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let hour = 60 * MINUTE;
    for aggregation in [None, Some(("MEAN", MINUTE))] {
        let conditions = gauge("paused");
        let (start, end) = (BASE + hour, BASE + 2 * hour);
        let answer = client
            .metric(&conditions, start, end, None, aggregation)
            .await?;
        let empty = match aggregation {
            None => raw(json!([]), false),
            Some(_) => buckets(json!([])),
        };
        assert_eq!(outcome(&answer), (200, empty));
    }
    Ok(())
}
