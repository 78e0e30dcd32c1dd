//! Section 5: one shape per cause.

use anyhow::Result;
use harness::servers::{MirrorConfig, Reply, Upstream, eventually};
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn a_request_that_is_malformed_is_told_where() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let changed = |field: &str, value: Value| {
        let mut request = aggregated(gauge("temperature"), "MEAN");
        *request.pointer_mut(field).unwrap() = value;
        request
    };
    let table = [
        (json!([]), "the body must be an object"),
        (json!({}), "connectionDetails: is missing"),
        (
            changed("/connectionDetails", json!("x")),
            "connectionDetails: must be an object",
        ),
        (changed("/query", Value::Null), "query: is missing"),
        (
            changed("/query/startTime", Value::Null),
            "query.startTime: is missing",
        ),
        (
            changed("/query/startTime", json!("now")),
            "query.startTime: must be a whole number",
        ),
        (
            changed("/query/startTime", json!(-1)),
            "query.startTime: must be milliseconds since 1970, no later than the year 9999",
        ),
        (
            changed("/query/startTime", json!(BASE + MINUTE + 1)),
            "query.startTime: 1709251260001 is after the endTime 1709251260000",
        ),
        (
            changed("/query/conditions", json!({})),
            "query.conditions: must be an array",
        ),
        (
            changed("/query/conditions/0/value", json!("x")),
            "query.conditions[0].value: must be an object",
        ),
        (
            changed("/query/aggregation/bucketSizeMillis", json!(0)),
            "query.aggregation.bucketSizeMillis: must be at least 1",
        ),
        (
            metric(json!([equals("__gauge__", "a"), equals("~", "b")])),
            "query.conditions[1].key: ~ says which metric is meant, but __gauge__ does already",
        ),
    ];
    for (request, details) in table {
        let answer = client.post("/api/metric", &request).await?;
        assert_eq!(
            outcome(&answer),
            (400, remote("malformed request", details))
        );
    }
    let (http, base) = client.http();
    for text in ["", "{", "nonsense", "{} {}"] {
        let answer = client
            .send(http.post(format!("{base}/api/metric")).body(text))
            .await?;
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["summary"]),
            (400, &json!("malformed request"))
        );
        let details = body["details"].as_str().unwrap();
        assert!(details.starts_with("the body is not JSON: "), "{details}");
    }
    Ok(())
}

#[tokio::test]
async fn a_metric_that_is_not_there_is_named() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let not_found = |metric: &str, details: &str| {
        let body = json!({"_type": "MetricNotFoundError", "metric": metric, "details": details});
        (404, body)
    };
    let absent = |metric: &str| {
        let details = format!("no series of {metric:?} matches the conditions");
        not_found(metric, &details)
    };
    let no_kind = "no condition says which metric is meant: one of __counter__, __gauge__, __histogram__, __summary__, ~ is needed";
    let table = [
        (json!([]), not_found("", no_kind)),
        (json!([equals("place", "hall")]), not_found("", no_kind)),
        (gauge("unheard_of"), absent("unheard_of")),
        (gauge("with \"quotes\""), absent("with \"quotes\"")),
        (gauge(""), absent("")),
        (
            json!([equals("__gauge__", "load"), equals("place", "cellar")]),
            not_found(
                "load",
                "no series of \"load\" matches the conditions: place=\"cellar\" excludes all of them",
            ),
        ),
        (
            json!([
                equals("__gauge__", "load"),
                equals("place", "hall"),
                equals("name", "x")
            ]),
            not_found(
                "load",
                "no series of \"load\" matches the conditions: name=\"x\" excludes all of them (no series of this metric has the label \"name\")",
            ),
        ),
        (
            json!([equals("__counter__", "nothing_total")]),
            absent("nothing_total"),
        ),
        (
            json!([equals("__histogram__", "nothing")]),
            absent("nothing"),
        ),
        (json!([equals("__summary__", "nothing")]), absent("nothing")),
    ];
    for (conditions, expected) in table {
        for request in [
            metric(conditions.clone()),
            aggregated(conditions.clone(), "MEAN"),
        ] {
            let answer = client.post("/api/metric", &request).await?;
            assert_eq!(outcome(&answer), expected, "{conditions}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn more_than_one_series_are_told_apart_by_their_labels() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let details = r#"2 series match and one is needed; they differ in: index ("0", "1"), place ("hall", "loft")"#;
    let expected = (400, remote("too many series", details));
    for request in [
        metric(gauge("load")),
        metric(json!([equals("~", "load")])),
        aggregated(json!([equals("~", "load")]), "MEAN"),
    ] {
        let answer = client.post("/api/metric", &request).await?;
        assert_eq!(outcome(&answer), expected);
    }
    Ok(())
}

#[tokio::test]
async fn the_stores_own_complaint_about_an_expression_is_passed_on() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    for request in [
        metric(json!([equals("~", "sum(")])),
        aggregated(json!([equals("~", "sum(")]), "MEAN"),
    ] {
        let answer = client.post("/api/metric", &request).await?;
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["_type"], &body["summary"]),
            (
                400,
                &json!("RemoteMirrorError"),
                &json!("Prometheus refused the query")
            )
        );
        let details = body["details"].as_str().unwrap();
        assert!(details.contains("parse error"), "{details}");
    }
    Ok(())
}

#[tokio::test]
async fn a_type_without_a_meaning_is_named() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let typed = |key: &str, kind: &str, value: Value| json!([{"_type": "EqualityCondition", "key": key, "value": {"_type": kind, "value": value}}]);
    let table = [
        (aggregated(gauge("load"), "MEDIAN"), "MEDIAN"),
        (
            metric(typed("__gauge__", "DoubleValue", json!(1))),
            "DoubleValue",
        ),
        (metric(typed("place", "MapValue", json!({}))), "MapValue"),
        (
            aggregated(
                json!([equals("__summary__", "pause_seconds")]),
                "PERCENTILE_99",
            ),
            "PERCENTILE_99",
        ),
        (
            aggregated(json!([equals("__summary__", "pause_seconds")]), "MIN"),
            "MIN",
        ),
    ];
    for (request, mirror_type) in table {
        let answer = client.post("/api/metric", &request).await?;
        let body = json!({"_type": "UnsupportedFieldTypeError", "mirrorType": mirror_type});
        assert_eq!(outcome(&answer), (422, body));
    }
    Ok(())
}

#[tokio::test]
async fn a_store_that_cannot_be_asked_is_named_and_its_url_is_not() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let request = to(metric(gauge("x")), json!({"target": "dead"}));
    let answer = client.post("/api/metric", &request).await?;
    let details = "target dead cannot be reached: Connection refused (os error 111)";
    assert_eq!(outcome(&answer), (502, connection_error(details)));

    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    let locked = "HTTP/1.1 403 Forbidden\r\ncontent-length: 16\r\n\r\nno, token=secret";
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://user:secret@elsewhere/login?token=secret\r\ncontent-length: 0\r\n\r\n";
    let starting =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 17\r\n\r\nService not ready";
    for (reply, part) in [
        (page, "answered an HTML page: is there a sign-in in front"),
        (
            locked,
            "refused the credentials: it answered 403 Forbidden: no, token=***",
        ),
        (
            moved,
            "answered with a redirect to http://elsewhere/login, is the URL right?",
        ),
        (
            starting,
            "answered 503 Service Unavailable: Service not ready",
        ),
    ] {
        let upstream = Upstream::always(Reply::Bytes(reply.into())).await?;
        let (_mirror, client) =
            start(&MirrorConfig::for_targets(&[("bad", upstream.url())])).await?;
        let answer = client.post("/api/metric", &metric(gauge("x"))).await?;
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["_type"]),
            (502, &json!("MetricStoreConnectionError")),
            "{body}"
        );
        let details = body["details"].as_str().unwrap();
        assert!(
            details.starts_with("target bad ") && details.contains(part),
            "{details}"
        );
        assert!(
            !details.contains("secret") && !details.contains(upstream.url()),
            "{details}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_full_queue_and_a_deadline_in_it_are_503_with_a_time_to_come_back() -> Result<()> {
    let silent = Upstream::always(Reply::Hang(Vec::new())).await?;
    let config = MirrorConfig::for_targets(&[("silent", silent.url())]).with("workers", json!(1));
    let (mirror, client) = start(&config).await?;
    // Each in a range of its own: equal requests share a call.
    let ask = |index: i64| {
        let client = client.clone();
        async move {
            let from = BASE + index;
            client
                .metric(&gauge("x"), from, from + MINUTE, None, None)
                .await
        }
    };
    let metrics = format!("{}/metrics", mirror.admin().0);
    let queued = |expected: usize| {
        let line =
            format!("prometheus_mirror_upstream_queue_depth{{target=\"silent\"}} {expected}");
        let (client, metrics) = (client.clone(), metrics.clone());
        eventually("the queue", move || {
            let (client, metrics, line) = (client.clone(), metrics.clone(), line.clone());
            async move {
                let text = client.send(client.http().0.get(metrics)).await?.body;
                Ok(text.lines().any(|found| found == line).then_some(()))
            }
        })
    };
    let mut waiting = tokio::task::JoinSet::new();
    waiting.spawn(ask(0));
    eventually("the first call", || async {
        Ok((silent.requests().len() == 1).then_some(()))
    })
    .await?;

    let mut hurried = metric(gauge("y"));
    hurried["connectionDetails"]["requestTimeout"] = json!(300);
    let answer = client.post("/api/metric", &hurried).await?;
    let details = "no worker became free before the deadline";
    assert_eq!(outcome(&answer), (503, remote("too busy", details)));
    assert_eq!(answer.header("retry-after"), Some("5"));
    queued(0).await?;

    // Ten calls may wait for a worker.
    (1..=10).for_each(|index| drop(waiting.spawn(ask(index))));
    queued(10).await?;
    let answer = ask(11).await?;
    let expected = remote("too busy", "too many queries are waiting");
    assert_eq!(outcome(&answer), (503, expected));
    assert_eq!(
        (answer.header("retry-after"), answer.header(KEY)),
        (Some("5"), Some("test-key"))
    );
    Ok(())
}

#[tokio::test]
async fn every_typed_error_can_be_a_500_with_the_same_body() -> Result<()> {
    let config = config()
        .await?
        .with("server", json!({"errorStatus": "Always500"}));
    let (_mirror, client) = start(&config).await?;
    let table = [
        (json!({}), "RemoteMirrorError"),
        (metric(gauge("unheard_of")), "MetricNotFoundError"),
        (
            aggregated(gauge("load"), "MEDIAN"),
            "UnsupportedFieldTypeError",
        ),
        (
            to(metric(gauge("load")), json!({"target": "dead"})),
            "MetricStoreConnectionError",
        ),
    ];
    for (request, kind) in table {
        let answer = client.post("/api/metric", &request).await?;
        let body = answer.json();
        assert_eq!((answer.status, &body["_type"]), (500, &json!(kind)));
    }
    // No error of a type: neither path nor key is a matter of the Mirror API.
    let (http, base) = client.http();
    let answer = client.send(http.get(format!("{base}/x"))).await?;
    assert_eq!(answer.status, 404);
    let answer = client
        .send(http.get(format!("{base}/")).header(KEY, "x"))
        .await?;
    assert_eq!(answer.status, 401);
    Ok(())
}
