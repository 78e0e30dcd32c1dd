//! Requests that ask for far more than they need, on a real server: each is answered in the
//! contract's words, and soon.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::client::{Answer, Client, equals};
use harness::remote_write;
use harness::samples::{MINUTE, SCRAPE, START, Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus};
use serde_json::{Value, json};

/// Far more than any of these takes, and far less than a loop over pairs of series.
const SOON: Duration = Duration::from_secs(10);

const SERIES: usize = 10_000;

/// A gauge with so many series of two samples each.
fn wide() -> Vec<Series> {
    (0..SERIES)
        .map(|index| {
            let mut series = Series::new("wide", &[("instance", &format!("{index:05}"))]);
            let at = |scrape: i64| Sample {
                at: START + scrape * SCRAPE,
                value: 1.0,
            };
            series.samples = (0..2).map(at).collect();
            series
        })
        .collect()
}

/// Summary and details of an error with status 400.
fn bad_request(answer: &Answer) -> Result<(String, String)> {
    let body = answer.json();
    ensure!(answer.status == 400, "{} {}", answer.status, answer.body);
    ensure!(body["_type"] == "RemoteMirrorError", "{}", answer.body);
    let text = |field: &str| body[field].as_str().map(str::to_owned);
    text("summary").zip(text("details")).context("no words")
}

async fn soon(client: &Client, path: &str, request: &Value) -> Result<Answer> {
    let began = Instant::now();
    let answer = client.post(path, request).await?;
    ensure!(began.elapsed() < SOON, "after {:?}", began.elapsed());
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_asks_for_far_too_much_is_refused_soon_and_in_words() -> Result<()> {
    let server = Prometheus::start_2().await?;
    remote_write::load(&server.url(), &wide()).await?;
    let mirror = Mirror::start(&MirrorConfig::for_targets(&[("store", &server.url())])).await?;
    let client = Client::new(&mirror.url());
    let (start, end) = (START - MINUTE, START + MINUTE);

    // Many series where one is needed.
    let several = "10000 series match and one is needed; they differ in: instance (\"00000\", \"00001\", \"00002\", …)";
    for (key, aggregation) in [
        ("__gauge__", None),
        ("~", None),
        ("~", Some(("MEAN", MINUTE))),
    ] {
        let conditions = json!([equals(key, "wide")]);
        let request = client.metric_request(&conditions, start, end, None, aggregation);
        let answer = soon(&client, "/api/metric", &request).await?;
        let expected = ("too many series".to_owned(), several.to_owned());
        ensure!(bad_request(&answer)? == expected, "{}", answer.body);
    }

    // All time in buckets of a second.
    let conditions = json!([equals("~", "nosuch")]);
    let of_all_time = client.metric_request(&conditions, 0, end, None, Some(("MEAN", 1_000)));
    let answer = soon(&client, "/api/metric", &of_all_time).await?;
    let (summary, details) = bad_request(&answer)?;
    ensure!(summary == "too many calls", "{summary}");
    ensure!(
        details.contains("more than 200 API calls of Prometheus")
            && details.contains("spec.limits.upstreamCallsPerRequest"),
        "{details}"
    );

    // A few bytes that become hundreds each.
    for (count, expected) in [
        (10_001, "must have at most 10000 elements"),
        (100_000, "its lists may have 20000 together"),
    ] {
        let numbers = vec![json!(1e308); count];
        let set = json!({"key": "instance", "value": {"_type": "InSetValue", "value": numbers}});
        let conditions = json!([equals("__gauge__", "wide"), set]);
        let request = client.metric_request(&conditions, start, end, None, Some(("MEAN", MINUTE)));
        for path in ["/api/metric", "/api/explain"] {
            let answer = soon(&client, path, &request).await?;
            let (summary, details) = bad_request(&answer)?;
            ensure!(
                summary == "malformed request" && details.ends_with(expected),
                "{summary}: {details}"
            );
        }
    }

    // Names and beginnings that no URL takes.
    for (field, prefix) in [
        ("f".repeat(1_000_000), String::new()),
        ("instance".to_owned(), "p".repeat(100_000)),
        ("..".to_owned(), String::new()),
        (".".to_owned(), "x".repeat(4_000)),
    ] {
        let query = json!({"_type": "FieldValuesQuery", "conditions": [], "field": field, "fieldValuePrefix": prefix,
            "startTime": start, "endTime": end});
        let request =
            json!({"_type": "FieldValuesRequest", "connectionDetails": {}, "query": query});
        let answer = soon(&client, "/api/field/value", &request).await?;
        ensure!(
            [200, 400].contains(&answer.status),
            "{} {}",
            answer.status,
            answer.body
        );
    }
    // None of this is the store's failure.
    let admin = client.http().0.get(format!("{}/metrics", mirror.admin().0));
    let metrics = client.send(admin).await?.body;
    for outcome in ["unreachable", "timeout", "too_large"] {
        let of_outcome = format!("outcome=\"{outcome}\"");
        let counted = metrics
            .lines()
            .filter(|line| line.starts_with("prometheus_mirror_upstream_requests_total"))
            .find(|line| line.contains(&of_outcome));
        ensure!(counted.is_none(), "{counted:?}");
    }
    Ok(())
}
