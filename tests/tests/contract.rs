//! The Mirror API's contract, section by section of `docs/mirror-api.md`, on the running binary before a real Prometheus.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::client::{Answer, Client, any_of, equals, telemetry};
use harness::oracle::Store;
use harness::samples::{HOUR, MINUTE, START};
use harness::servers::{Mirror, MirrorConfig, Prometheus, load};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const KEY: &str = "x-mirror-api-key";

/// One Prometheus for all tests of this file.
async fn prometheus() -> Result<&'static Prometheus> {
    static SERVER: OnceCell<Prometheus> = OnceCell::const_new();
    let start = async || {
        let server = Prometheus::start_2().await?;
        load(Store::Prometheus2, &server.url()).await?;
        Ok(server)
    };
    SERVER.get_or_try_init(start).await
}

/// A mirror with the targets `a` (the default) and `b`, which are the same server under two names of this machine.
async fn config() -> Result<MirrorConfig> {
    let port = prometheus().await?.port();
    let (a, b) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
    );
    Ok(MirrorConfig::for_targets(&[("a", &a), ("b", &b)]))
}

async fn start(config: &MirrorConfig) -> Result<(Mirror, Client)> {
    let mirror = Mirror::start(config).await?;
    let client = Client::new(&mirror.url());
    Ok((mirror, client))
}

/// A port that accepts connections and never answers.
fn hanging_server() -> Result<(std::net::TcpListener, String)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((listener, url))
}

fn gauge() -> Value {
    json!([equals("__gauge__", "room_temperature")])
}

async fn ask(client: &Client, conditions: &Value) -> Result<Answer> {
    client
        .metric(
            conditions,
            START + HOUR,
            START + 2 * HOUR,
            None,
            Some(("MEAN", MINUTE)),
        )
        .await
}

async fn ask_with(client: &Client, details: Value) -> Result<Answer> {
    let mut request = client.metric_request(
        &gauge(),
        START + HOUR,
        START + 2 * HOUR,
        None,
        Some(("MEAN", MINUTE)),
    );
    request["connectionDetails"] = details;
    client.post("/api/metric", &request).await
}

fn fields_request(kind: &str, query: Value) -> Value {
    let mut query = query;
    query["_type"] = json!(format!("{kind}Query"));
    query["startTime"] = json!(START + HOUR);
    query["endTime"] = json!(START + 2 * HOUR);
    if query.get("conditions").is_none() {
        query["conditions"] = json!([]);
    }
    json!({"_type": format!("{kind}Request"), "connectionDetails": {}, "query": query})
}

#[tokio::test]
async fn section_1_every_path_and_method_has_its_answer_and_the_key() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let (http, base) = client.http();
    let body = client
        .metric_request(&gauge(), START + HOUR, START + 2 * HOUR, None, None)
        .to_string();
    let too_large = format!("{body}{}", " ".repeat(1024 * 1024));
    let just_fits = format!("{body}{}", " ".repeat(1024 * 1024 - body.len()));
    let nested = |depth: usize| {
        body.replacen(
            '{',
            &format!("{{\"x\":{}{},", "[".repeat(depth), "]".repeat(depth)),
            1,
        )
    };
    let post = |path: &str, body: &str| http.post(format!("{base}{path}")).body(body.to_owned());
    let rows = [
        ("GET /", http.get(format!("{base}/")), 200),
        ("the plain path", post("/api/metric", &body), 200),
        ("two slashes", post("//api/metric", &body), 200),
        ("a slash at the end", post("/api/metric/", &body), 200),
        ("another path", post("/api/nothing", &body), 404),
        (
            "GET of a method",
            http.get(format!("{base}/api/metric")),
            405,
        ),
        (
            "PUT of a method",
            http.put(format!("{base}/api/metric")),
            405,
        ),
        ("no body", post("/api/metric", ""), 400),
        ("no JSON", post("/api/metric", "<html>"), 400),
        (
            "another request's type",
            post("/api/connection", &body),
            400,
        ),
        ("a body of 1 MiB", post("/api/metric", &just_fits), 200),
        ("a body of more", post("/api/metric", &too_large), 413),
        (
            "63 levels in a field that is ignored",
            post("/api/metric", &nested(63)),
            200,
        ),
        ("65 levels", post("/api/metric", &nested(65)), 400),
        ("100,000 levels", post("/api/metric", &nested(100_000)), 400),
    ];
    for (what, request, status) in rows {
        let answer = client.send(request).await?;
        ensure!(
            answer.status == status,
            "{what}: {} {}",
            answer.status,
            answer.body
        );
        ensure!(answer.header(KEY) == Some("test-key"), "{what}: no key");
        let content_type = answer.header("content-type").unwrap_or_default();
        ensure!(
            content_type.starts_with("application/json"),
            "{what}: {content_type}"
        );
        ensure!(!answer.json().is_null(), "{what}: {}", answer.body);
    }
    let root = client.send(http.get(format!("{base}/"))).await?.json();
    assert_eq!(root["app"], "Prometheus Mirror");
    assert!(root["version"].is_string());
    Ok(())
}

#[tokio::test]
async fn section_1_a_wrong_key_gets_401_and_no_key_back() -> Result<()> {
    for required in [false, true] {
        let config = config()
            .await?
            .with("server", json!({"requireApiKey": required}));
        let (_mirror, client) = start(&config).await?;
        let (http, base) = client.http();
        let root = || http.get(format!("{base}/"));
        let rows = [
            ("no key", root(), if required { 401 } else { 200 }),
            ("the key", root().header(KEY, "test-key"), 200),
            (
                "as a bearer",
                root().header("Authorization", "Bearer test-key"),
                200,
            ),
            ("a wrong key", root().header(KEY, "test-kez"), 401),
            ("the key and more", root().header(KEY, "test-key2"), 401),
            ("an empty key", root().header(KEY, ""), 401),
            (
                "a wrong bearer",
                root().header("Authorization", "Bearer nonsense"),
                401,
            ),
        ];
        for (what, request, status) in rows {
            let answer = client.send(request).await?;
            ensure!(
                answer.status == status,
                "{what}, required: {required}: {} {}",
                answer.status,
                answer.body
            );
            ensure!(
                answer.header(KEY).is_none() == (status == 401),
                "{what}: {:?}",
                answer.header(KEY)
            );
            ensure!(
                !answer.body.contains("test-key"),
                "{what}: the body has the key"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn section_1_unknown_fields_are_ignored_and_unknown_types_refused() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let request = || {
        client.metric_request(
            &gauge(),
            START + HOUR,
            START + 2 * HOUR,
            None,
            Some(("MEAN", MINUTE)),
        )
    };
    let mut extended = request();
    extended["more"] = json!({"deep": [1, 2]});
    extended["query"]["metricField"] = json!("value");
    extended["query"]["latestFirst"] = json!(true);
    assert_eq!(client.post("/api/metric", &extended).await?.status, 200);
    let change = |path: &str, value: Value| {
        let mut changed = request();
        if let Some(place) = changed.pointer_mut(path) {
            *place = value;
        }
        changed
    };
    let rows = [
        ("/_type", json!("Nonsense"), 400, "RemoteMirrorError"),
        ("/query/_type", json!("Nonsense"), 400, "RemoteMirrorError"),
        (
            "/query/conditions/0/value/_type",
            json!("DateValue"),
            422,
            "UnsupportedFieldTypeError",
        ),
        (
            "/query/aggregation/method",
            json!("MEDIAN"),
            422,
            "UnsupportedFieldTypeError",
        ),
        (
            "/query/aggregation/bucketSizeMillis",
            json!(0),
            400,
            "RemoteMirrorError",
        ),
        (
            "/query/aggregation/bucketSizeMillis",
            json!(-60_000),
            400,
            "RemoteMirrorError",
        ),
        (
            "/query/startTime",
            json!("yesterday"),
            400,
            "RemoteMirrorError",
        ),
        (
            "/query/startTime",
            json!(START + 3 * HOUR),
            400,
            "RemoteMirrorError",
        ),
        ("/query/endTime", Value::Null, 400, "RemoteMirrorError"),
        ("/query", Value::Null, 400, "RemoteMirrorError"),
        ("/connectionDetails", Value::Null, 400, "RemoteMirrorError"),
    ];
    for (path, value, status, kind) in rows {
        let answer = client
            .post("/api/metric", &change(path, value.clone()))
            .await?;
        let body = answer.json();
        ensure!(
            answer.status == status && body["_type"] == kind,
            "{path} = {value}: {} {}",
            answer.status,
            answer.body
        );
    }
    Ok(())
}

#[tokio::test]
async fn section_2_conditions_match_as_their_types_say() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let double = |value: Value| json!({"_type": "EqualityCondition", "key": "index", "value": {"_type": "DoubleValue", "value": value}});
    let load = equals("__gauge__", "load");
    let rows = [
        ("a string", json!([load, equals("index", "2")]), true),
        ("a whole double", json!([load, double(json!(2.0))]), true),
        ("a set", json!([load, any_of("index", &["2", "99"])]), true),
        (
            "a string that is no value",
            json!([load, equals("index", "99")]),
            false,
        ),
        (
            "an attempt to leave the literal",
            json!([load, equals("index", "2\"} or vector(1) #")]),
            false,
        ),
        (
            "a regex in a set is no regex",
            json!([load, any_of("index", &[".*", ".+"])]),
            false,
        ),
    ];
    for (what, conditions, found) in rows {
        let answer = ask(&client, &conditions).await?;
        ensure!(
            answer.status == if found { 200 } else { 404 },
            "{what}: {} {}",
            answer.status,
            answer.body
        );
    }
    Ok(())
}

#[tokio::test]
async fn section_3_connection_details_choose_a_declared_target_and_nothing_else() -> Result<()> {
    let port = prometheus().await?.port();
    let (_mirror, client) = start(&config().await?).await?;
    let (_listener, undeclared) = hanging_server()?;
    let rows = [
        ("none", json!({}), 200),
        ("by name", json!({"target": "b"}), 200),
        (
            "by host and port",
            json!({"host": "localhost", "port": port}),
            200,
        ),
        (
            "by host, port and scheme",
            json!({"host": "localhost", "port": port, "scheme": "http"}),
            200,
        ),
        (
            "by URL",
            json!({"url": format!("http://localhost:{port}")}),
            200,
        ),
        (
            "by URL with a slash",
            json!({"url": format!("http://localhost:{port}/")}),
            200,
        ),
        (
            "other keys are ignored",
            json!({"target": "a", "colour": "blue"}),
            200,
        ),
        ("an unknown name", json!({"target": "c"}), 502),
        (
            "another scheme",
            json!({"host": "localhost", "port": port, "scheme": "https"}),
            502,
        ),
        ("an undeclared server", json!({"url": undeclared}), 502),
        ("a file", json!({"url": "file:///etc/passwd"}), 400),
    ];
    for (what, details, status) in rows {
        let answer = ask_with(&client, details).await?;
        ensure!(
            answer.status == status,
            "{what}: {} {}",
            answer.status,
            answer.body
        );
        if status == 502 {
            let body = answer.json();
            assert_eq!(body["_type"], "MetricStoreConnectionError", "{what}");
            let text = body["details"].as_str().unwrap_or_default();
            ensure!(
                text.contains("is not a target of this mirror; it has: a, b"),
                "{what}: {text}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn section_3_request_targets_allow_what_they_name() -> Result<()> {
    let port = prometheus().await?.port();
    let config = MirrorConfig::for_targets(&[("a", &format!("http://127.0.0.1:{port}"))]).with(
        "requestTargets",
        json!({"hosts": ["localhost"], "ports": [port]}),
    );
    let (_mirror, client) = start(&config).await?;
    let rows = [
        ("allowed", json!({"host": "localhost", "port": port}), 200),
        (
            "another port",
            json!({"host": "localhost", "port": port - 1}),
            502,
        ),
        (
            "another host",
            json!({"host": "127.0.0.2", "port": port}),
            502,
        ),
    ];
    for (what, details, status) in rows {
        let answer = ask_with(&client, details).await?;
        ensure!(
            answer.status == status,
            "{what}: {} {}",
            answer.status,
            answer.body
        );
    }
    Ok(())
}

#[tokio::test]
async fn section_3_a_request_sets_its_time_out_and_what_a_nan_is() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let special = json!([equals("__gauge__", "special")]);
    let mut request = client.metric_request(&special, START, START + 6 * HOUR, None, None);
    let zero = telemetry(&client.post("/api/metric", &request).await?)?;
    request["connectionDetails"] = json!({"nan_interpretation": "NONE"});
    let none = telemetry(&client.post("/api/metric", &request).await?)?;
    ensure!(none.points.len() < zero.points.len(), "NaN is left out");
    ensure!(none.partial && zero.partial, "±Inf has no JSON");

    let (_listener, hanging) = hanging_server()?;
    let (_mirror, client) = start(&MirrorConfig::for_targets(&[("hanging", &hanging)])).await?;
    for details in [
        json!({"requestTimeout": 300}),
        json!({"request_timeout_seconds": 0.3}),
    ] {
        let begin = std::time::Instant::now();
        let answer = ask_with(&client, details.clone()).await?;
        ensure!(
            answer.status == 504,
            "{details}: {} {}",
            answer.status,
            answer.body
        );
        assert_eq!(answer.json()["_type"], "MetricStoreConnectionError");
        ensure!(
            begin.elapsed() < Duration::from_secs(10),
            "{details} took {:?}",
            begin.elapsed()
        );
    }
    Ok(())
}

#[tokio::test]
async fn section_4_a_connection_test_asks_the_target() -> Result<()> {
    let free = harness::servers::free_port()?;
    let url = prometheus().await?.url();
    let config = MirrorConfig::for_targets(&[
        ("good", &url),
        ("gone", &format!("http://127.0.0.1:{free}")),
    ]);
    let (_mirror, client) = start(&config).await?;
    let test =
        |details: Value| json!({"_type": "TestConnectionRequest", "connectionDetails": details});
    let good = client.post("/api/connection", &test(json!({}))).await?;
    assert_eq!(
        (good.status, good.json()),
        (
            200,
            json!({"status": "OK", "_type": "TestConnectionResponse"})
        )
    );
    for target in ["gone", "unknown"] {
        let answer = client
            .post("/api/connection", &test(json!({"target": target})))
            .await?;
        let body = answer.json();
        assert_eq!(answer.status, 200);
        assert_eq!(
            (&body["status"], &body["_type"]),
            (&json!("FAILURE"), &json!("TestConnectionResponse"))
        );
        assert_eq!(body["error"]["_type"], "MetricStoreConnectionError");
        ensure!(
            body["error"]["details"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{body}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn section_4_field_names_are_the_kinds_and_then_the_labels() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let names = async |query: Value| -> Result<(Vec<String>, bool)> {
        let answer = client
            .post("/api/field/name", &fields_request("FieldNames", query))
            .await?;
        let body = answer.json();
        ensure!(
            answer.status == 200 && body["_type"] == "FieldNamesResponse",
            "{} {}",
            answer.status,
            answer.body
        );
        let fields = body["fields"].as_array().context("no fields")?;
        let name = |field: &Value| -> Result<String> {
            let name = field["fieldName"].as_str().context("no name")?;
            let whole = json!({"_type": "FieldDescriptor", "classified": false, "fieldName": name, "fieldType": "STRING"});
            ensure!(*field == whole, "{field}");
            Ok(name.to_owned())
        };
        let names = fields.iter().map(name).collect::<Result<_>>()?;
        Ok((names, body["isPartial"].as_bool().context("no isPartial")?))
    };
    let kinds = [
        "__counter__",
        "__gauge__",
        "__histogram__",
        "__summary__",
        "~",
    ];
    let labels = [
        "index", "instance", "job", "kind", "le", "path", "place", "quantile", "room", "size",
    ];
    let (all, partial) = names(json!({})).await?;
    assert_eq!(
        (all, partial),
        (
            [&kinds[..], &labels[..]]
                .concat()
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
            false
        )
    );
    let (of_load, _) = names(json!({"conditions": [equals("__gauge__", "load")]})).await?;
    assert_eq!(of_load, [&kinds[..], &["index", "place"]].concat());
    Ok(())
}

#[tokio::test]
async fn section_4_field_values_are_sorted_before_offset_and_limit() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let values = async |query: Value| -> Result<(Vec<Value>, bool)> {
        let answer = client
            .post("/api/field/value", &fields_request("FieldValues", query))
            .await?;
        let body = answer.json();
        ensure!(
            answer.status == 200 && body["_type"] == "FieldValuesResponse",
            "{} {}",
            answer.status,
            answer.body
        );
        let values = body["values"].as_array().context("no values")?.clone();
        Ok((values, body["isPartial"].as_bool().context("no isPartial")?))
    };
    let complete = |names: &[&str]| -> Vec<Value> {
        names
            .iter()
            .map(|name| json!({"value": name, "_type": "CompleteValue"}))
            .collect()
    };
    let le = ["+Inf", "0.1", "0.25", "0.5", "1", "10", "2.5"];
    assert_eq!(
        values(json!({"field": "le"})).await?,
        (complete(&le), false)
    );
    assert_eq!(
        values(json!({"field": "le", "offset": 2})).await?,
        (complete(&le[2..]), false)
    );
    assert_eq!(
        values(json!({"field": "le", "offset": 1, "limit": 2})).await?,
        (complete(&le[1..3]), true)
    );
    assert_eq!(
        values(json!({"field": "le", "fieldValuePrefix": "1"})).await?,
        (complete(&["1", "10"]), false)
    );
    assert_eq!(
        values(json!({"field": "le", "fieldValuePrefix": "0.", "limit": 3})).await?,
        (complete(&le[1..4]), false)
    );
    let of_shop =
        json!({"field": "job", "conditions": [equals("__counter__", "http_requests_total")]});
    assert_eq!(values(of_shop).await?, (complete(&["shop"]), false));
    // No metadata in this store: the naming conventions tell counters, histograms and summaries.
    assert_eq!(
        values(json!({"field": "__counter__"})).await?,
        (complete(&["bytes_total", "http_requests_total"]), false)
    );
    let (histograms, _) = values(json!({"field": "__histogram__"})).await?;
    ensure!(
        histograms.contains(&complete(&["request_duration_seconds"])[0]),
        "{histograms:?}"
    );
    let (summaries, _) = values(json!({"field": "__summary__"})).await?;
    ensure!(
        summaries.contains(&complete(&["gc_pause_seconds"])[0]),
        "{summaries:?}"
    );
    let (gauges, _) = values(json!({"field": "__gauge__"})).await?;
    ensure!(
        gauges.contains(&complete(&["room_temperature"])[0]),
        "{gauges:?}"
    );
    Ok(())
}

#[tokio::test]
async fn section_5_every_cause_has_its_error() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let not_found = ("MetricNotFoundError", 404);
    let remote = ("RemoteMirrorError", 400);
    let unsupported = ("UnsupportedFieldTypeError", 422);
    let of = |kind: &str, name: &str| json!([equals(kind, name)]);
    let two_kinds = json!([
        equals("__gauge__", "load"),
        equals("__counter__", "bytes_total")
    ]);
    let rows = [
        (
            "no such series",
            of("__gauge__", "nothing"),
            Some("MEAN"),
            not_found,
            "nothing",
        ),
        (
            "no such label value",
            json!([equals("__gauge__", "load"), equals("index", "x")]),
            Some("MEAN"),
            not_found,
            "load",
        ),
        (
            "no query kind",
            json!([equals("index", "1")]),
            Some("MEAN"),
            not_found,
            "__gauge__",
        ),
        ("two query kinds", two_kinds, Some("MEAN"), remote, ""),
        (
            "several raw series",
            of("__gauge__", "load"),
            None,
            remote,
            "place",
        ),
        (
            "several series of an expression",
            of("~", "load"),
            Some("MEAN"),
            remote,
            "place",
        ),
        (
            "no such quantile",
            json!([
                equals("__summary__", "gc_pause_seconds"),
                equals("instance", "a"),
                equals("quantile", "0.5")
            ]),
            Some("PERCENTILE_90"),
            unsupported,
            "",
        ),
        (
            "the smallest of a summary",
            of("__summary__", "gc_pause_seconds"),
            Some("MIN"),
            unsupported,
            "MIN",
        ),
        (
            "bad PromQL",
            of("~", "sum(load"),
            Some("MEAN"),
            remote,
            "parse error",
        ),
    ];
    for (what, conditions, method, (kind, status), says) in rows {
        let aggregation = method.map(|method| (method, MINUTE));
        let answer = client
            .metric(
                &conditions,
                START + HOUR,
                START + 2 * HOUR,
                None,
                aggregation,
            )
            .await?;
        let found =
            answer.json()["_type"] == kind && answer.status == status && answer.body.contains(says);
        ensure!(found, "{what}: {} {}", answer.status, answer.body);
    }
    // A series that exists and has no sample here is no error.
    let empty = client
        .metric(
            &gauge(),
            START + 135 * MINUTE,
            START + 140 * MINUTE,
            None,
            None,
        )
        .await?;
    let empty = telemetry(&empty)?;
    assert_eq!((empty.points.len(), empty.partial), (0, false));
    Ok(())
}

#[tokio::test]
async fn section_5_unreachable_stores_and_full_queues_have_theirs() -> Result<()> {
    let (_listener, hanging) = hanging_server()?;
    let gone = format!("http://127.0.0.1:{}", harness::servers::free_port()?);
    let config = MirrorConfig::for_targets(&[("gone", &gone), ("hanging", &hanging)])
        .with("workers", json!(1));
    let (_mirror, client) = start(&config).await?;
    let answer = ask(&client, &gauge()).await?;
    ensure!(
        answer.status == 502 && answer.json()["_type"] == "MetricStoreConnectionError",
        "{} {}",
        answer.status,
        answer.body
    );

    let requests = (0..300).map(|index| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut request =
                client.metric_request(&gauge(), START + index, START + HOUR + index, None, None);
            request["connectionDetails"] = json!({"target": "hanging", "requestTimeout": 2_000});
            client.post("/api/metric", &request).await
        })
    });
    let mut statuses = std::collections::BTreeMap::new();
    for request in requests.collect::<Vec<_>>() {
        let answer = request.await??;
        *statuses.entry(answer.status).or_insert(0) += 1;
        if answer.status == 503 {
            assert_eq!(answer.json()["_type"], "RemoteMirrorError");
            let seconds = answer
                .header("retry-after")
                .and_then(|text| text.parse::<u32>().ok());
            ensure!(
                seconds.is_some_and(|seconds| seconds >= 1),
                "Retry-After is {seconds:?}"
            );
        }
    }
    ensure!(
        statuses.keys().all(|status| [503, 504].contains(status)),
        "{statuses:?}"
    );
    ensure!(statuses.contains_key(&503), "{statuses:?}");
    Ok(())
}

#[tokio::test]
async fn section_5_always_500_changes_the_status_and_nothing_else() -> Result<()> {
    let config = config()
        .await?
        .with("server", json!({"errorStatus": "Always500"}));
    let (_mirror, client) = start(&config).await?;
    let rows = [
        (
            "MetricNotFoundError",
            json!([equals("__gauge__", "nothing")]),
        ),
        ("RemoteMirrorError", json!([equals("~", "sum(load")])),
    ];
    for (kind, conditions) in rows {
        let answer = ask(&client, &conditions).await?;
        assert_eq!(
            (answer.status, &answer.json()["_type"]),
            (500, &json!(kind))
        );
    }
    assert_eq!(ask(&client, &gauge()).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn section_6_explain_tells_what_would_be_sent() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let request = client.metric_request(
        &gauge(),
        START + HOUR,
        START + 2 * HOUR,
        None,
        Some(("MEAN", MINUTE)),
    );
    let answer = client.post("/api/explain", &request).await?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
    for part in [
        "sum(sum_over_time(room_temperature[59999ms]))",
        "\"a\"",
        "closed",
    ] {
        ensure!(
            answer.body.contains(part),
            "{part} is not in {}",
            answer.body
        );
    }
    Ok(())
}
