//! Section 4: connection tests, field names and field values; and what would be sent for all that.

use anyhow::Result;
use harness::servers::{MirrorConfig, Reply, Upstream};
use reqwest::Url;
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn a_connection_test_says_whether_queries_work() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let test = |connection: Value| json!({"_type": "TestConnectionRequest", "connectionDetails": connection});
    let failure = |details: &str| json!({"status": "FAILURE", "error": connection_error(details), "_type": "TestConnectionResponse"});
    let table = [
        (
            json!({"target": "live"}),
            json!({"status": "OK", "_type": "TestConnectionResponse"}),
        ),
        (
            json!({"target": "dead"}),
            failure("target dead cannot be reached: Connection refused (os error 111)"),
        ),
        (
            json!({"target": "x"}),
            failure("x is not a target of this mirror; it has: live, dead"),
        ),
    ];
    for (connection, expected) in table {
        let answer = client
            .post("/api/connection", &test(connection.clone()))
            .await?;
        assert_eq!(outcome(&answer), (200, expected), "{connection}");
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_test_fails_where_the_store_refuses_the_credentials() -> Result<()> {
    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned();
    let upstream = Upstream::always(Reply::Bytes(refusal.into())).await?;
    let (_mirror, client) =
        start(&MirrorConfig::for_targets(&[("locked", upstream.url())])).await?;
    let request = json!({"_type": "TestConnectionRequest", "connectionDetails": {}});
    let answer = client.post("/api/connection", &request).await?;
    let details = "target locked refused the credentials: it answered 401 Unauthorized";
    let expected = json!({"status": "FAILURE", "error": connection_error(details), "_type": "TestConnectionResponse"});
    assert_eq!(outcome(&answer), (200, expected));
    Ok(())
}

fn names_request(conditions: Value, limit: Value) -> Value {
    let query = json!({
        "_type": "FieldNamesQuery", "conditions": conditions, "startTime": BASE, "endTime": BASE + MINUTE, "limit": limit
    });
    json!({"_type": "FieldNamesRequest", "connectionDetails": {}, "query": query})
}

#[tokio::test]
async fn field_names_are_the_query_kinds_and_then_the_labels_sorted() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    const KINDS: [&str; 5] = [
        "__counter__",
        "__gauge__",
        "__histogram__",
        "__summary__",
        "~",
    ];
    let labels = [
        "flag", "id", "index", "job", "le", "place", "quantile", "room", "ver",
    ];
    let table: [(Value, Value, &[&str], bool); 7] = [
        (json!([]), Value::Null, &labels, false),
        (json!([]), json!(2_147_483_647), &labels, false),
        (json!([]), json!(7), &labels[..2], true),
        (json!([]), json!(14), &labels, false),
        (gauge("load"), Value::Null, &["index", "place"], false),
        (
            json!([equals("__histogram__", "latency")]),
            Value::Null,
            &[],
            false,
        ),
        (
            json!([equals("room", "attic")]),
            Value::Null,
            &["room"],
            false,
        ),
    ];
    for (conditions, limit, labels, partial) in table {
        let answer = client
            .post(
                "/api/field/name",
                &names_request(conditions.clone(), limit.clone()),
            )
            .await?;
        let fields: Vec<Value> = KINDS
            .iter()
            .chain(labels)
            .map(|name| json!({"_type": "FieldDescriptor", "classified": false, "fieldName": name, "fieldType": "STRING"}))
            .collect();
        let expected =
            json!({"fields": fields, "isPartial": partial, "_type": "FieldNamesResponse"});
        assert_eq!(outcome(&answer), (200, expected), "{conditions}, {limit}");
    }
    Ok(())
}

fn values_request(field: &str, more: Value) -> Value {
    let mut query = json!({
        "_type": "FieldValuesQuery", "field": field, "conditions": [], "startTime": BASE, "endTime": BASE + MINUTE
    });
    query
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({"_type": "FieldValuesRequest", "connectionDetails": {}, "query": query})
}

/// Names ending in `*` are patterns.
fn values(names: &[&str], partial: bool) -> (u16, Value) {
    let values: Vec<Value> = names
        .iter()
        .map(|name| {
            let kind = if name.ends_with("_*") {
                "FieldValuePattern"
            } else {
                "CompleteValue"
            };
            json!({"value": name, "_type": kind})
        })
        .collect();
    (
        200,
        json!({"values": values, "isPartial": partial, "_type": "FieldValuesResponse"}),
    )
}

#[tokio::test]
async fn field_values_are_sorted_before_offset_and_limit() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let gauges = [
        "load",
        "matched",
        "node_cpu_0",
        "node_cpu_1",
        "node_cpu_2",
        "node_cpu_3",
        "node_disk_0",
        "node_disk_1",
        "node_disk_2",
        "node_disk_3",
        "node_net_0",
        "node_net_1",
        "node_net_2",
        "node_net_3",
        "paused",
        "special",
        "temperature",
    ];
    let table: [(&str, Value, &[&str], bool); 17] = [
        ("place", json!({}), &["hall", "loft"], false),
        ("place", json!({"limit": 1}), &["hall"], true),
        (
            "place",
            json!({"limit": 1, "latestFirst": true}),
            &["hall"],
            true,
        ),
        ("place", json!({"offset": 1}), &["loft"], false),
        ("place", json!({"offset": 1, "limit": 1}), &["loft"], false),
        ("place", json!({"offset": 2}), &[], false),
        ("place", json!({"fieldValuePrefix": "l"}), &["loft"], false),
        ("place", json!({"fieldValuePrefix": ".*"}), &[], false),
        (
            "place",
            json!({"conditions": [equals("__gauge__", "load"), equals("index", "0")]}),
            &["hall"],
            false,
        ),
        ("no_such_label", json!({}), &[], false),
        // Where the target has no metadata, the conventions tell the kinds apart.
        ("__gauge__", json!({}), &gauges, false),
        ("__counter__", json!({}), &["requests_total"], false),
        ("__histogram__", json!({}), &["latency"], false),
        ("__summary__", json!({}), &["pause_seconds"], false),
        ("~", json!({}), &[], false),
        (
            "__gauge__",
            json!({"limit": 10}),
            &[
                "load",
                "matched",
                "node_*",
                "paused",
                "special",
                "temperature",
            ],
            false,
        ),
        (
            "__gauge__",
            json!({"limit": 10, "fieldValuePrefix": "node_"}),
            &["node_cpu_*", "node_disk_*", "node_net_*"],
            false,
        ),
    ];
    for (field, more, expected, partial) in table {
        let answer = client
            .post("/api/field/value", &values_request(field, more.clone()))
            .await?;
        assert_eq!(
            outcome(&answer),
            values(expected, partial),
            "{field}, {more}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn where_the_target_has_metadata_it_tells_the_kinds_apart() -> Result<()> {
    let upstream = Upstream::start(|head| {
        let data = if head.starts_with("GET /api/v1/metadata") {
            let of = |kind: &str| json!([{"type": kind, "help": "", "unit": ""}]);
            json!({"odd_total": of("gauge"), "visitors": of("counter"), "spread": of("histogram")})
        } else {
            json!(["visitors", "spread", "odd_total", "even_total"])
        };
        Reply::Json(json!({"status": "success", "data": data}).to_string())
    })
    .await?;
    let (_mirror, client) =
        start(&MirrorConfig::for_targets(&[("scripted", upstream.url())])).await?;
    let table: [(&str, &[&str]); 4] = [
        ("__gauge__", &["odd_total"]),
        ("__counter__", &["even_total", "visitors"]),
        ("__histogram__", &["spread"]),
        ("__summary__", &[]),
    ];
    for (field, expected) in table {
        let answer = client
            .post("/api/field/value", &values_request(field, json!({})))
            .await?;
        assert_eq!(outcome(&answer), values(expected, false), "{field}");
    }
    Ok(())
}

/// The calls that an upstream got since the first `skipped`, as an explanation writes them.
fn calls(upstream: &Upstream, skipped: usize) -> Vec<(String, Vec<(String, String)>)> {
    let parse = |head: &String| {
        let path = head.split(' ').nth(1).unwrap();
        let url = Url::parse(&format!("http://x{path}")).unwrap();
        let parameters = url.query_pairs().into_owned();
        let parameters = parameters
            .filter(|(name, _)| name != "timeout" && name != "nocache")
            .collect();
        (url.path().to_owned(), parameters)
    };
    upstream
        .requests()
        .iter()
        .skip(skipped)
        .map(parse)
        .collect()
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

#[tokio::test]
async fn an_explanation_is_what_the_same_request_then_sends() -> Result<()> {
    let samples = [(BASE / 1000, "1")];
    let upstream = Upstream::start(move |_| Reply::samples(&samples)).await?;
    let (_mirror, client) =
        start(&MirrorConfig::for_targets(&[("scripted", upstream.url())])).await?;
    // What the store can do is asked first, and then known.
    client
        .post("/api/explain", &aggregated(gauge("x"), "SUM"))
        .await?;

    let known = upstream.requests().len();
    let explained = client.post("/api/explain", &metric(gauge("x"))).await?;
    let promql = "x[60001ms]";
    let expected = json!({
        "target": "scripted", "method": null, "kind": "__gauge__", "metric": "x", "rangeWindows": "left-open",
        "scrapeIntervalMillis": 15_000, "promql": promql, "upstreamCalls": 1,
        "calls": [{"api": "/api/v1/query", "time": BASE + MINUTE}], "points": "the stored samples",
    });
    assert_eq!(outcome(&explained), (200, expected));
    assert_eq!(upstream.requests().len(), known, "nothing is sent for it");
    client.post("/api/metric", &metric(gauge("x"))).await?;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let parameters = vec![pair("query", promql), pair("time", &seconds(BASE + MINUTE))];
    assert_eq!(
        calls(&upstream, known),
        [("/api/v1/query".to_owned(), parameters)]
    );

    let known = upstream.requests().len();
    let request = aggregated(gauge("x"), "SUM");
    let explained = client.post("/api/explain", &request).await?;
    let (promql, last) = ("sum(sum_over_time(x[1m]))", BASE + MINUTE - 1);
    let expected = json!({
        "target": "scripted", "method": "SUM", "kind": "__gauge__", "metric": "x", "rangeWindows": "left-open",
        "scrapeIntervalMillis": 15_000, "promql": promql, "upstreamCalls": 1, "window": "1m",
        "buckets": {"count": 1, "first": BASE, "end": BASE + MINUTE},
        "calls": [{"api": "/api/v1/query_range", "start": last, "end": last, "stepMillis": MINUTE}],
    });
    assert_eq!(outcome(&explained), (200, expected));
    client.post("/api/metric", &request).await?;
    let parameters = vec![
        pair("query", promql),
        pair("start", &seconds(last)),
        pair("end", &seconds(last)),
        pair("step", &seconds(MINUTE)),
    ];
    assert_eq!(
        calls(&upstream, known),
        [("/api/v1/query_range".to_owned(), parameters)]
    );
    Ok(())
}

#[tokio::test]
async fn field_requests_are_explained_as_well() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let table = [
        (
            names_request(gauge("load"), Value::Null),
            json!({"api": "/api/v1/labels", "match": "load", "start": BASE, "end": BASE + MINUTE}),
        ),
        (
            values_request("place", json!({})),
            json!({"api": "/api/v1/label/place/values", "match": null, "start": BASE, "end": BASE + MINUTE}),
        ),
    ];
    for (request, call) in table {
        let answer = client.post("/api/explain", &request).await?;
        let expected = json!({"target": "live", "calls": [call], "upstreamCalls": 1});
        assert_eq!(outcome(&answer), (200, expected));
    }
    let request = json!({"_type": "TestConnectionRequest", "connectionDetails": {}});
    let answer = client.post("/api/explain", &request).await?;
    let details = "_type: \"TestConnectionRequest\" cannot be explained; MetricsRequest can, and the two of fields";
    assert_eq!(
        outcome(&answer),
        (400, remote("malformed request", details))
    );
    Ok(())
}
