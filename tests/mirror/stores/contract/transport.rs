//! Sections 1 and 2: paths, headers, keys, sizes, and what all requests have in common.

use anyhow::Result;
use harness::client::{Answer, Client, equals};
use harness::servers::{MirrorConfig, Reply, Upstream, eventually};
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn the_root_tells_name_and_version() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let (http, base) = client.http();
    let answer = client.send(http.get(format!("{base}/"))).await?;
    let about = json!({"app": "Prometheus Mirror", "version": env!("CARGO_PKG_VERSION")});
    assert_eq!(outcome(&answer), (200, about));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    Ok(())
}

#[tokio::test]
async fn health_and_metrics_live_on_the_admin_port_and_the_api_on_the_other() -> Result<()> {
    let (mirror, client) = start(&config().await?).await?;
    let admin = mirror.admin().0;
    let (http, api) = client.http();
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = client.send(http.get(format!("{admin}{path}"))).await?;
        assert_eq!((answer.status, answer.header(KEY)), (200, None), "{path}");
        let answer = client.send(http.get(format!("{api}{path}"))).await?;
        assert_eq!(outcome(&answer), (404, no_such_path(path)));
    }
    // A message must not grow with the request.
    let long = format!("/{}", "p".repeat(10_000));
    let answer = client.send(http.get(format!("{api}{long}"))).await?;
    let shown = format!("/{}…", "p".repeat(79));
    assert_eq!(outcome(&answer), (404, no_such_path(&shown)));
    let answer = client
        .send(http.post(format!("{admin}/api/metric")))
        .await?;
    assert_eq!((answer.status, answer.header(KEY)), (404, None));
    Ok(())
}

fn no_such_path(path: &str) -> Value {
    let details = format!(
        "there is no {path}; there are POST /api/connection, /api/field/name, /api/field/value, /api/metric, /api/explain, /api/why and /api/describe, and GET / and /openapi.json"
    );
    remote("no such method", &details)
}

#[tokio::test]
async fn every_answer_but_the_401_carries_the_key() -> Result<()> {
    let silent = Upstream::always(Reply::Hang(Vec::new())).await?;
    let targets = [
        ("live", store().await?.url()),
        ("dead", DEAD.to_owned()),
        ("silent", silent.url().to_owned()),
    ];
    let targets = targets.each_ref().map(|(name, url)| (*name, url.as_str()));
    let (_mirror, client) = start(&MirrorConfig::for_targets(&targets)).await?;
    let (http, base) = client.http();
    let post = |body: &Value| http.post(format!("{base}/api/metric")).json(body);
    let hanging = json!({"target": "silent", "requestTimeout": 300});
    let table = [
        (200, http.get(format!("{base}/"))),
        (200, post(&metric(gauge("temperature")))),
        (400, post(&json!({}))),
        (404, http.get(format!("{base}/elsewhere"))),
        (404, post(&metric(gauge("unheard_of")))),
        (405, http.get(format!("{base}/api/metric"))),
        (
            413,
            http.post(format!("{base}/api/metric"))
                .body("x".repeat(1 << 21)),
        ),
        (422, post(&aggregated(gauge("temperature"), "MEDIAN"))),
        (
            502,
            post(&to(metric(gauge("x")), json!({"target": "dead"}))),
        ),
        (504, post(&to(metric(gauge("x")), hanging))),
    ];
    for (status, request) in table {
        let answer = client.send(request).await?;
        assert_eq!(
            (answer.status, answer.header(KEY)),
            (status, Some("test-key")),
            "{}",
            answer.body
        );
    }
    let refused = client
        .send(http.get(format!("{base}/")).header(KEY, "wrong"))
        .await?;
    assert_eq!((refused.status, refused.header(KEY)), (401, None));
    Ok(())
}

#[tokio::test]
async fn doubled_and_trailing_slashes_reach_the_same_method() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let request = metric(gauge("temperature"));
    let plain = client.post("/api/metric", &request).await?;
    assert_eq!(plain.status, 200, "{}", plain.body);
    for path in ["//api/metric", "/api/metric/", "//api//metric//"] {
        let answer = client.post(path, &request).await?;
        assert_eq!((answer.status, &answer.body), (200, &plain.body), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn another_http_method_is_refused_and_told_which_one_is_right() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let (http, base) = client.http();
    for path in [
        "/api/connection",
        "/api/field/name",
        "/api/field/value",
        "/api/metric",
        "/api/explain",
        "/api/why",
        "/api/describe",
    ] {
        for request in [
            http.get(format!("{base}{path}")),
            http.put(format!("{base}{path}")),
        ] {
            let answer = client.send(request).await?;
            let expected = remote("wrong HTTP method", &format!("{path} takes POST"));
            assert_eq!(outcome(&answer), (405, expected));
            assert_eq!(answer.header("allow"), Some("POST"));
        }
    }
    Ok(())
}

/// `GET /` with one more header.
async fn with_header(client: &Client, name: &str, value: &str) -> Result<Answer> {
    let (http, base) = client.http();
    client
        .send(http.get(format!("{base}/")).header(name, value))
        .await
}

#[tokio::test]
async fn a_key_that_is_sent_must_be_right() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let table = [
        (KEY, "test-key", 200),
        ("x-mirror-api-key", "test-key", 200),
        (KEY, "wrong", 401),
        (KEY, "test-key2", 401),
        (KEY, "test-ke", 401),
        (KEY, "", 401),
        ("Authorization", "Bearer test-key", 200),
        ("Authorization", "bearer test-key", 200),
        ("Authorization", "Bearer wrong", 401),
        // Of another scheme, so for somebody else, for example a proxy.
        ("Authorization", "Basic dXNlcjpwYXNzd29yZA==", 200),
    ];
    for (name, value, status) in table {
        let answer = with_header(&client, name, value).await?;
        assert_eq!(answer.status, status, "{name}: {value}");
        let shown = answer.header(KEY);
        assert_eq!(
            shown,
            (status == 200).then_some("test-key"),
            "{name}: {value}"
        );
        if status == 401 {
            let expected = remote("unauthorized", "the API key is missing or wrong");
            assert_eq!(answer.json(), expected);
        }
    }
    Ok(())
}

#[tokio::test]
async fn where_the_key_is_required_requests_without_it_are_refused() -> Result<()> {
    let config = config()
        .await?
        .with("server", json!({"requireApiKey": true}));
    let (_mirror, client) = start(&config).await?;
    let request = metric(gauge("temperature"));
    let without = client.post("/api/metric", &request).await?;
    assert_eq!((without.status, without.header(KEY)), (401, None));
    let (http, base) = client.http();
    let request = http.post(format!("{base}/api/metric")).json(&request);
    let with = client.send(request.header(KEY, "test-key")).await?;
    assert_eq!((with.status, with.header(KEY)), (200, Some("test-key")));
    Ok(())
}

#[tokio::test]
async fn a_key_is_replaced_without_a_restart_and_the_previous_one_is_accepted_meanwhile()
-> Result<()> {
    let mut config = config().await?;
    let (mirror, client) = start(&config).await?;
    let shows = |expected: &'static str| {
        let client = client.clone();
        eventually("the other key", move || {
            let client = client.clone();
            async move {
                let (http, base) = client.http();
                let answer = client.send(http.get(format!("{base}/"))).await?;
                Ok((answer.header(KEY) == Some(expected)).then_some(()))
            }
        })
    };
    let key = |name: &str, value: &str| (name.to_owned(), value.to_owned());

    config.keys = vec![key("apiKey", "new"), key("previousApiKey", "test-key")];
    mirror.reconfigure(&config)?;
    shows("new").await?;
    for accepted in ["new", "test-key"] {
        let answer = with_header(&client, KEY, accepted).await?;
        assert_eq!((answer.status, answer.header(KEY)), (200, Some(accepted)));
    }
    assert_eq!(with_header(&client, KEY, "other").await?.status, 401);

    config.keys = vec![key("apiKey", "newest")];
    mirror.reconfigure(&config)?;
    shows("newest").await?;
    assert_eq!(with_header(&client, KEY, "test-key").await?.status, 401);
    assert!(mirror.process().is_running());
    Ok(())
}

#[tokio::test]
async fn an_old_key_is_never_answered_with_the_new_one() -> Result<()> {
    let sample = json!({"status": "success", "data": {"resultType": "vector", "result": []}});
    let late = Reply::Late(std::time::Duration::from_secs(3), sample.to_string());
    let upstream = Upstream::always(late).await?;
    let mut config = MirrorConfig::for_targets(&[("slow", upstream.url())])
        .with("server", json!({"requireApiKey": true}));
    let (mirror, client) = start(&config).await?;
    let request = json!({"_type": "TestConnectionRequest", "connectionDetails": {}});
    let (http, base) = client.http();
    let held = http.post(format!("{base}/api/connection")).json(&request);
    let held = client.send(held.header(KEY, "test-key"));
    let replaced = async {
        eventually("the request under way", || async {
            Ok((!upstream.requests().is_empty()).then_some(()))
        })
        .await?;
        config.keys = vec![("apiKey".to_owned(), "new".to_owned())];
        mirror.reconfigure(&config)?;
        eventually("the new key", || async {
            let answer = with_header(&client, KEY, "test-key").await?;
            Ok((answer.status == 401).then_some(()))
        })
        .await
    };
    let (answer, replaced) = tokio::join!(held, replaced);
    replaced?;
    let answer = answer?;
    assert_eq!((answer.status, answer.header(KEY)), (200, Some("test-key")));
    Ok(())
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_unknown_types_refused() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let plain = client
        .post("/api/metric", &metric(gauge("temperature")))
        .await?;
    let mut decorated = metric(gauge("temperature"));
    decorated["new"] = json!([1]);
    decorated["connectionDetails"]["new"] = json!({"a": null});
    decorated["query"]["new"] = json!("x");
    decorated["query"]["latestFirst"] = json!(true);
    decorated["query"]["metricField"] = json!({"_type": "MetricField", "fieldName": "value"});
    decorated["query"]["conditions"][0]["new"] = json!(true);
    decorated["query"]["conditions"][0]["value"]["new"] = json!(0);
    let answer = client.post("/api/metric", &decorated).await?;
    assert_eq!((answer.status, answer.body), (200, plain.body));

    let table = [
        (
            "/_type",
            "_type: MetricsRequest is expected here, not \"New\"",
        ),
        (
            "/query/_type",
            "query._type: MetricsQuery is expected here, not \"New\"",
        ),
        (
            "/query/conditions/0/_type",
            "query.conditions[0]._type: EqualityCondition is the only one there is, not \"New\"",
        ),
        (
            "/query/aggregation/_type",
            "query.aggregation._type: Aggregation is expected here, not \"New\"",
        ),
    ];
    for (field, details) in table {
        let mut request = aggregated(gauge("temperature"), "MEAN");
        *request.pointer_mut(field).unwrap() = json!("New");
        let answer = client.post("/api/metric", &request).await?;
        assert_eq!(
            outcome(&answer),
            (400, remote("malformed request", details))
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_body_may_have_64_levels_and_one_mebibyte() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    // The body itself is the first level.
    let nested = |levels: usize| {
        let mut request = metric(gauge("temperature"));
        request["ignored"] = (0..levels - 1).fold(json!(0), |inner, _| json!([inner]));
        request
    };
    let answer = client.post("/api/metric", &nested(64)).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let details = "the body is nested deeper than 64 levels";
    let too_deep = (400, remote("malformed request", details));
    let answer = client.post("/api/metric", &nested(65)).await?;
    assert_eq!(outcome(&answer), too_deep);
    let (http, base) = client.http();
    let brackets = http
        .post(format!("{base}/api/metric"))
        .body("[".repeat(1 << 19));
    assert_eq!(outcome(&client.send(brackets).await?), too_deep);

    let sized = |bytes: usize| {
        let mut text = metric(gauge("temperature")).to_string();
        text.push_str(&" ".repeat(bytes - text.len()));
        client.send(http.post(format!("{base}/api/metric")).body(text))
    };
    let answer = sized(1 << 20).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let expected = remote("request too large", "the body is larger than 1048576 bytes");
    assert_eq!(outcome(&sized((1 << 20) + 1).await?), (413, expected));
    Ok(())
}

#[tokio::test]
async fn a_refusal_reaches_clients_that_send_much_before_they_listen() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let (http, base) = client.http();
    let url = |path: &str| format!("{base}{path}");
    for (status, request) in [
        (401, http.post(url("/api/metric")).header(KEY, "wrong")),
        (404, http.post(url("/elsewhere"))),
        (405, http.put(url("/api/metric"))),
        (413, http.post(url("/api/metric"))),
    ] {
        let answer = client.send(request.body("x".repeat(8 << 20))).await?;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    Ok(())
}

/// The label `id` of the series of `matched` that satisfy the conditions.
async fn matched(client: &Client, conditions: &[Value]) -> Result<Vec<String>> {
    let all = [&[equals("__gauge__", "matched")], conditions].concat();
    let query = json!({
        "_type": "FieldValuesQuery", "field": "id", "conditions": all, "startTime": BASE, "endTime": BASE + MINUTE
    });
    let request = json!({"_type": "FieldValuesRequest", "connectionDetails": {}, "query": query});
    let answer = client.post("/api/field/value", &request).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    let values = body["values"].as_array().unwrap().iter();
    Ok(values
        .map(|value| value["value"].as_str().unwrap().to_owned())
        .collect())
}

#[tokio::test]
async fn conditions_match_labels_by_the_type_of_their_value() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let condition = |key: &str, kind: &str, value: Value| json!({"_type": "EqualityCondition", "key": key, "value": {"_type": kind, "value": value}});
    let both = ["two", "two point zero"];
    let table: [(Vec<Value>, &[&str]); 10] = [
        (
            vec![condition("ver", "StringValue", json!("2.00"))],
            &["two point zero zero"],
        ),
        (vec![condition("ver", "DoubleValue", json!(2.0))], &both),
        (vec![condition("ver", "DoubleValue", json!(2))], &both),
        (vec![condition("ver", "DoubleValue", json!(0.5))], &["half"]),
        (
            vec![condition("flag", "BooleanValue", json!(true))],
            &["half"],
        ),
        (
            vec![condition("flag", "BooleanValue", json!(false))],
            &["dot star"],
        ),
        (
            vec![condition("ver", "InSetValue", json!(["2", "0.5"]))],
            &["half", "two"],
        ),
        // Elements are texts and not expressions.
        (
            vec![condition("ver", "InSetValue", json!([".*", "2|0.5"]))],
            &["dot star"],
        ),
        (
            vec![
                condition("ver", "InSetValue", json!(["2", "0.5"])),
                condition("flag", "BooleanValue", json!(true)),
            ],
            &["half"],
        ),
        (
            vec![condition("ver", "StringValue", json!("\"} or {x=\""))],
            &[],
        ),
    ];
    for (conditions, expected) in table {
        assert_eq!(
            matched(&client, &conditions).await?,
            expected,
            "{conditions:?}"
        );
    }
    Ok(())
}
