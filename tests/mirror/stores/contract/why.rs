//! Why a metric request has no points.

use harness::client::equals;

use super::*;

/// The same request for another stretch of time.
fn at(mut request: Value, start: i64, end: i64) -> Value {
    request["query"]["startTime"] = json!(start);
    request["query"]["endTime"] = json!(end);
    request
}

fn why(reason: &str, message: &str) -> Value {
    json!({"target": "live", "reason": reason, "message": message})
}

#[tokio::test]
async fn a_request_without_points_is_told_why() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let hour = 60 * MINUTE;
    let expression = |promql: &str| equals("~", promql);
    let several = json!([expression("load"), equals("place", "cellar")]);
    let one = json!([expression("temperature"), equals("room", "cellar")]);
    let table = [
        (
            metric(gauge("temperature")),
            json!({"target": "live", "reason": "Points", "message": "there are 4 points", "points": 4}),
        ),
        (
            at(aggregated(gauge("load"), "SUM"), BASE, BASE + 30_000),
            json!({
                "target": "live", "reason": "NoBucketIsOver", "ends": BASE + MINUTE,
                "message": "no bucket of this length is over: the first one ends at 2024-03-01T00:01:00Z",
            }),
        ),
        (
            at(
                aggregated(gauge("temperature"), "MEAN"),
                BASE - 3 * MINUTE,
                BASE + 30_000,
            ),
            json!({
                "target": "live", "reason": "LastBucketIsNotOver", "ends": BASE + MINUTE,
                "message": "all samples in this range lie in its last bucket, which the range cuts off: it ends at 2024-03-01T00:01:00Z; let the range end then or later",
            }),
        ),
        (
            to(
                at(metric(gauge("special")), BASE, BASE + 1_000),
                json!({"nan_interpretation": "NONE"}),
            ),
            json!({
                "target": "live", "reason": "OnlyNaN", "points": 1,
                "message": "every value is NaN, and NaN is left out here: by nanInterpretation of the target or nan_interpretation of the request",
            }),
        ),
        (
            at(
                aggregated(json!([equals("__counter__", "paused")]), "MEAN"),
                BASE,
                BASE + MINUTE,
            ),
            why(
                "TooFewSamples",
                "there are samples in this range, but too few for a point: a rate needs two in one bucket, so ask for larger buckets",
            ),
        ),
        (
            metric(several),
            why(
                "NoResultChosen",
                "the expression has results, and none satisfies the conditions; they differ in: index (\"0\", \"1\"), place (\"hall\", \"loft\")",
            ),
        ),
        (
            metric(one),
            why(
                "NoResultChosen",
                "the expression has one result, and its labels do not satisfy the conditions",
            ),
        ),
        (
            metric(json!([expression("load > 100")])),
            why("NoResult", "the expression has no result in this range"),
        ),
    ];
    for (request, expected) in table {
        let answer = client.post("/api/why", &request).await?;
        assert_eq!(outcome(&answer), (200, expected), "{request}");
    }
    // Its last sample is 45 s after the first.
    let last = BASE + 45_000;
    for later in [2 * hour, 5 * 24 * hour] {
        let request = at(
            metric(gauge("temperature")),
            BASE + later,
            BASE + later + hour,
        );
        let answer = client.post("/api/why", &request).await?.json();
        assert_eq!(answer["reason"], "NoSamples", "{answer}");
        assert_eq!(answer["firstAfter"], json!(null), "{answer}");
        let found = answer["lastBefore"].as_i64().unwrap();
        assert!((last..last + 2 * MINUTE).contains(&found), "{answer}");
    }
    let request = at(
        metric(gauge("temperature")),
        BASE - 9 * hour,
        BASE - 8 * hour,
    );
    let answer = client.post("/api/why", &request).await?.json();
    let found = answer["firstAfter"].as_i64().unwrap();
    assert!((BASE - 2 * MINUTE..=BASE).contains(&found), "{answer}");
    Ok(())
}

#[tokio::test]
async fn what_is_an_error_is_the_same_error_when_asked_why() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    for request in [
        metric(gauge("nosuch")),
        metric(json!([
            equals("__gauge__", "load"),
            equals("place", "cellar")
        ])),
        metric(gauge("load")),
        metric(json!([])),
        to(metric(gauge("load")), json!({"target": "dead"})),
        json!({"_type": "FieldNamesRequest"}),
    ] {
        let expected = outcome(&client.post("/api/metric", &request).await?);
        assert_ne!(expected.0, 200, "{request}");
        let answer = client.post("/api/why", &request).await?;
        assert_eq!(outcome(&answer), expected, "{request}");
    }
    Ok(())
}
