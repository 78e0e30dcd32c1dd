//! Every message of the contract, a file each in `data`: the requests as they stand, and the
//! answers member by member.
//!
//! The test puts in place what a file cannot know: the target, and the hour. The names in the files
//! are those of the samples here.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};

use super::*;

/// The full hour in which the files' time range begins. It becomes [`BASE`].
const HOUR: i64 = 1_795_838_400_000;

/// A file of the contract.
fn file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("mirror/stores/contract/data");
    serde_json::from_slice(&std::fs::read(path.join(name)).unwrap()).unwrap()
}

/// Moves every instant of a message to the hour of the samples.
fn moved(mut message: Value) -> Value {
    match &mut message {
        Value::Object(members) => {
            for member in members.values_mut() {
                *member = moved(member.take());
            }
        }
        Value::Array(elements) => {
            for element in elements {
                *element = moved(element.take());
            }
        }
        Value::Number(number) if number.as_i64().is_some_and(|number| number >= HOUR) => {
            return json!(number.as_i64().unwrap() - HOUR + BASE);
        }
        _ => {}
    }
    message
}

/// A request of the contract, sent to the target at a port of this machine.
fn request(name: &str, port: u16) -> Value {
    let mut request = moved(file(&format!("{name}.request.json")));
    request["connectionDetails"]["host"] = json!("127.0.0.1");
    request["connectionDetails"]["port"] = json!(port);
    request
}

/// Where nothing listens: the port of [`DEAD`].
const DEAD_PORT: u16 = 1;

/// Says where two messages differ in their members, in the types of those, or in a `_type`. Of a
/// list, each element must be like one of the example's; texts and numbers may be others.
fn same_members(example: &Value, answer: &Value, path: &str) -> Result<()> {
    match (example, answer) {
        (Value::Object(expected), Value::Object(got)) => {
            let keys = |object: &Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            ensure!(keys(expected) == keys(got), "{path}: {answer}");
            for (key, example) in expected {
                ensure!(
                    key != "_type" || got[key] == *example,
                    "{path}._type: {}",
                    got[key]
                );
                same_members(example, &got[key], &format!("{path}.{key}"))?;
            }
            Ok(())
        }
        // A point, or the names of its parts.
        (Value::Array(expected), Value::Array(got))
            if !expected.is_empty() && !expected[0].is_object() && !expected[0].is_array() =>
        {
            ensure!(expected.len() == got.len(), "{path}: {answer}");
            expected
                .iter()
                .zip(got)
                .try_for_each(|(example, element)| same_members(example, element, path))
        }
        (Value::Array(expected), Value::Array(got)) => {
            ensure!(!got.is_empty(), "{path} is empty");
            for (index, element) in got.iter().enumerate() {
                let path = format!("{path}[{index}]");
                let is_like = |example: &Value| same_members(example, element, &path).is_ok();
                ensure!(expected.iter().any(is_like), "{path}: {element}");
            }
            Ok(())
        }
        // An instant is whole, a value need not be.
        (Value::Number(expected), Value::Number(got)) if expected.is_i64() => {
            ensure!(got.is_i64(), "{path}: {answer}");
            Ok(())
        }
        _ => {
            let of = std::mem::discriminant::<Value>;
            ensure!(of(example) == of(answer), "{path}: {answer}");
            Ok(())
        }
    }
}

/// Values as floats, rounded: whether a store writes 1 or 1.0 says nothing, and 95.00000000000001
/// not much.
fn rounded(mut answer: Value) -> Value {
    let points = answer.pointer_mut("/telemetry/points");
    for point in points.and_then(Value::as_array_mut).into_iter().flatten() {
        point[0] = json!((point[0].as_f64().unwrap() * 1e9).round() / 1e9);
    }
    answer
}

/// The samples that the files ask for.
fn samples() -> Vec<Series> {
    // Seconds after the hour; the range begins at 1,600.137.
    let series = |name: &str, labels: &[(&str, &str)], values: &[(i64, f64)]| {
        let mut series = Series::new(name, labels);
        let sample = |&(second, value): &(i64, f64)| Sample {
            at: BASE + 1000 * second,
            value,
        };
        series.samples = values.iter().map(sample).collect();
        series
    };
    let here = [("instance", "10.0.0.7:8080"), ("job", "api")];
    let mut all = vec![
        series(
            "http_requests_total",
            &here,
            &[(1586, 0.0), (1601, 15.0), (1616, 52.5)],
        ),
        series(
            "http_requests_total",
            &[("job", "web"), ("shard", "2"), ("canary", "true")],
            &[(1601, 1.0)],
        ),
        series(
            "http_requests_total",
            &[("job", "web"), ("shard", "3"), ("zone", "b")],
            &[(1601, 1.0)],
        ),
        series("go_goroutines", &here, &[(1601, 1.0)]),
        series(
            "go_goroutines",
            &[("instance", "web-1"), ("job", "web")],
            &[(1601, 7.0)],
        ),
        series(
            "go_goroutines",
            &[("instance", "db-1"), ("job", "db")],
            &[(1601, 7.0)],
        ),
    ];
    for index in 0..6 {
        let name = format!("node_cpu_{index}");
        all.push(series(
            &name,
            &[("instance", "web-1"), ("job", "web")],
            &[(1601, 1.0)],
        ));
        let name = format!("node_disk_{index}");
        all.push(series(
            &name,
            &[("instance", "web-1"), ("job", "web")],
            &[(1601, 1.0)],
        ));
    }
    all.push(series(
        "node_cpu_9",
        &[("instance", "db-1"), ("job", "db")],
        &[(1601, 1.0)],
    ));
    // All observations are below 0.1, so that the quantile of any window is 0.095.
    let steps: Vec<(i64, f64)> = (0..=20)
        .map(|step| (1590 + 15 * step, 30.0 * step as f64))
        .collect();
    for le in ["0.1", "+Inf"] {
        let labels = [
            ("instance", "10.0.0.7:8080"),
            ("name", "payment"),
            ("le", le),
        ];
        all.push(series("request_duration_seconds_bucket", &labels, &steps));
    }
    all
}

/// A mirror whose target at this port has those samples. Nothing listens at its other one.
async fn shop() -> Result<(Mirror, Client, u16)> {
    static STORE: OnceCell<Prometheus> = OnceCell::const_new();
    let store = STORE
        .get_or_try_init(|| async {
            let prometheus = Prometheus::start_2().await?;
            remote_write::load(&prometheus.url(), &samples()).await?;
            anyhow::Ok(prometheus)
        })
        .await?;
    let config = MirrorConfig::for_targets(&[("shop", &store.url()), ("dead", DEAD)]);
    let (mirror, client) = start(&config).await?;
    Ok((mirror, client, store.port()))
}

/// The answers in full. The files' values are examples; these are the samples'.
fn answers() -> BTreeMap<&'static str, (&'static str, &'static str, Value)> {
    let fields = |labels: &[&str]| {
        let kinds = [
            "__counter__",
            "__gauge__",
            "__histogram__",
            "__summary__",
            "~",
        ];
        let fields: Vec<Value> = kinds
            .iter()
            .chain(labels)
            .map(|name| json!({"_type": "FieldDescriptor", "classified": false, "fieldName": name, "fieldType": "STRING"}))
            .collect();
        json!({"fields": fields, "isPartial": false, "_type": "FieldNamesResponse"})
    };
    let values = |names: &[&str]| {
        let values: Vec<Value> = names
            .iter()
            .map(|name| json!({"value": name, "_type": "CompleteValue"}))
            .collect();
        json!({"values": values, "isPartial": false, "_type": "FieldValuesResponse"})
    };
    let cpus: Vec<String> = (0..6).map(|index| format!("node_cpu_{index}")).collect();
    let cpus = values(&cpus.iter().map(String::as_str).collect::<Vec<_>>());
    // From the minute in which the range begins to the one in which the last rate can be computed.
    let minutes: Vec<Value> = (26..=32)
        .map(|minute| json!([95.0, BASE + minute * MINUTE, BASE + (minute + 1) * MINUTE]))
        .collect();
    let expression = json!({
        "telemetry": {
            "points": minutes, "dataFormat": ["value", "startTimestamp", "endTimestamp"], "isPartial": false,
            "_type": "AggregatedMetricTelemetry"
        },
        "_type": "MetricsResponse",
    });
    let (names, kinds, metric) = ("/api/field/name", "/api/field/value", "/api/metric");
    BTreeMap::from([
        (
            "connection",
            (
                "/api/connection",
                "connection.ok",
                file("connection.ok.response.json"),
            ),
        ),
        (
            "field-names",
            (names, "field-names", fields(&["canary", "job", "shard"])),
        ),
        (
            "field-names.empty",
            (
                names,
                "field-names",
                fields(&["canary", "instance", "job", "le", "name", "shard", "zone"]),
            ),
        ),
        (
            "field-values",
            (kinds, "field-values", values(&["10.0.0.7:8080", "web-1"])),
        ),
        ("field-values.kind", (kinds, "field-values", cpus.clone())),
        ("field-values.pattern", (kinds, "field-values", cpus)),
        // These two are the files themselves.
        (
            "metric.raw",
            (
                metric,
                "metric.raw",
                moved(file("metric.raw.response.json")),
            ),
        ),
        (
            "metric.aggregated",
            (
                metric,
                "metric.aggregated",
                moved(file("metric.aggregated.response.json")),
            ),
        ),
        (
            "metric.expression",
            (metric, "metric.aggregated", expression),
        ),
    ])
}

#[tokio::test]
async fn every_request_of_the_contract_is_answered_member_by_member() -> Result<()> {
    let (_mirror, client, shop) = shop().await?;
    for (name, (path, response, expected)) in answers() {
        let answer = client.post(path, &request(name, shop)).await?;
        let body = rounded(answer.json());
        let example = file(&format!("{response}.response.json"));
        same_members(&example, &body, name)?;
        assert_eq!((answer.status, body), (200, rounded(expected)), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn numbers_may_all_be_floats_and_types_may_all_be_left_out() -> Result<()> {
    fn change(value: &mut Value, change_one: &impl Fn(&mut Value)) {
        change_one(value);
        match value {
            Value::Object(members) => members
                .values_mut()
                .for_each(|member| change(member, change_one)),
            Value::Array(elements) => elements
                .iter_mut()
                .for_each(|element| change(element, change_one)),
            _ => {}
        }
    }
    let (_mirror, client, shop) = shop().await?;
    for (name, (path, _, expected)) in answers() {
        let mut floats = request(name, shop);
        change(&mut floats["query"], &|value| {
            if let Value::Number(number) = value {
                *value = json!(number.as_f64());
            }
        });
        let (mut absent, mut null) = (request(name, shop), request(name, shop));
        change(&mut absent, &|value| {
            value.as_object_mut().map(|members| members.remove("_type"));
        });
        change(&mut null, &|value| {
            if let Some(said) = value.get_mut("_type") {
                *said = Value::Null;
            }
        });
        for request in [floats, absent, null] {
            let answer = client.post(path, &request).await?;
            let got = (answer.status, rounded(answer.json()));
            assert_eq!(got, (200, rounded(expected.clone())), "{name}: {request}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn names_that_are_too_many_are_answered_with_patterns_as_well() -> Result<()> {
    let (_mirror, client, shop) = shop().await?;
    let mut request = request("field-values.kind", shop);
    request["query"]["fieldValuePrefix"] = json!("");
    request["query"]["limit"] = json!(10);
    let answer = client.post("/api/field/value", &request).await?;
    same_members(
        &file("field-values.response.json"),
        &answer.json(),
        "values",
    )?;
    let expected = json!({
        "values": [
            {"value": "go_goroutines", "_type": "CompleteValue"},
            {"value": "node_*", "_type": "FieldValuePattern"},
        ],
        "isPartial": false, "_type": "FieldValuesResponse",
    });
    assert_eq!(outcome(&answer), (200, expected));
    Ok(())
}

#[tokio::test]
async fn every_error_of_the_contract_is_answered_member_by_member() -> Result<()> {
    let (_mirror, client, shop) = shop().await?;
    let mut unknown = request("metric.aggregated", shop);
    unknown["query"]["conditions"][1]["value"]["value"] = json!("nowhere");
    let mut upside_down = request("metric.raw", shop);
    upside_down["query"]["endTime"] = json!(1);
    let mut boolean = request("field-values", shop);
    boolean["query"]["field"]["fieldType"] = json!("BOOLEAN");
    let table = [
        (
            "error.connection",
            "/api/metric",
            request("metric.raw", DEAD_PORT),
            502,
        ),
        ("error.not-found", "/api/metric", unknown, 404),
        ("error.other", "/api/metric", upside_down, 400),
        ("error.unsupported", "/api/field/value", boolean, 422),
        (
            "connection.failure.response",
            "/api/connection",
            request("connection", DEAD_PORT),
            200,
        ),
    ];
    for (name, path, request, status) in table {
        let answer = client.post(path, &request).await?;
        let (example, body) = (file(&format!("{name}.json")), answer.json());
        same_members(&example, &body, name)?;
        // What a placeholder stands for is another test's matter.
        let mut filled = example.clone();
        for pointer in ["/details", "/summary", "/error/details"] {
            if let (Some(placeholder), Some(text)) =
                (filled.pointer_mut(pointer), body.pointer(pointer))
            {
                assert!(*text != "" && *text != "…", "{name}: {body}");
                *placeholder = text.clone();
            }
        }
        assert_eq!((answer.status, body), (status, filled), "{name}");
    }
    Ok(())
}

/// The names of the files in `data`, without `.json`.
fn files() -> Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mirror/stores/contract/data");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(".json"));
        names.push(name.context("not a message")?.to_owned());
    }
    names.sort();
    Ok(names)
}

#[test]
fn every_file_is_tried() -> Result<()> {
    let answers = answers();
    let requests = answers.keys().map(|name| format!("{name}.request"));
    let responses = answers
        .values()
        .map(|(_, response, _)| format!("{response}.response"));
    let errors = [
        "connection.failure.response",
        "error.connection",
        "error.not-found",
        "error.other",
        "error.unsupported",
    ];
    let mut tried: Vec<String> = requests
        .chain(responses)
        .chain(errors.map(str::to_owned))
        .collect();
    tried.sort();
    tried.dedup();
    assert_eq!(tried, files()?);
    Ok(())
}

#[test]
fn members_that_differ_are_noticed() {
    let example = file("metric.raw.response.json");
    assert!(same_members(&example, &example, "").is_ok());
    for (pointer, value) in [
        ("/telemetry/_type", json!("AggregatedMetricTelemetry")),
        ("/telemetry/isPartial", json!(null)),
        ("/telemetry/points", json!([])),
        ("/telemetry/points/0", json!([1.0])),
        ("/telemetry/points/1/1", json!(1.5)),
        ("/telemetry/points/1/0", json!("1")),
        ("/telemetry", json!({})),
    ] {
        let mut other = example.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        assert!(same_members(&example, &other, "").is_err(), "{other}");
    }
    let mut more = example.clone();
    more["new"] = json!(1);
    assert!(same_members(&example, &more, "").is_err());
}

/// Blocks of JSON in a page, each with the file that the comment before it names.
fn shown(page: &str) -> Result<BTreeMap<String, Value>> {
    let mut shown = BTreeMap::new();
    for part in page.split("<!-- contract: ").skip(1) {
        let (name, rest) = part
            .split_once(" -->\n```json\n")
            .context("a comment, then a block")?;
        let (block, _) = rest.split_once("```").context("the end of the block")?;
        let block = serde_json::from_str(block).with_context(|| name.to_owned())?;
        shown.insert(name.to_owned(), block);
    }
    Ok(shown)
}

#[test]
fn the_page_shows_the_messages_as_they_are() -> Result<()> {
    let shown = shown(include_str!("../../../../docs/mirror-api.md"))?;
    for (name, block) in &shown {
        assert_eq!(*block, file(&format!("{name}.json")), "{name}");
    }
    // The other requests differ from these by what they ask for only.
    let variants = [
        "field-names.empty.request",
        "field-values.kind.request",
        "metric.expression.request",
        "metric.raw.request",
    ];
    let expected: Vec<String> = files()?
        .into_iter()
        .filter(|name| !variants.contains(&name.as_str()))
        .collect();
    assert_eq!(shown.into_keys().collect::<Vec<_>>(), expected);
    Ok(())
}
