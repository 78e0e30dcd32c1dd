//! `conform` towards a small mirror of this test's own that can be given each fault by name: each
//! is found, and no other is.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows a test's functions, not their helpers"
)]

use std::str::FromStr as _;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures::future::join_all;
use http::{HeaderMap, StatusCode};
use mirror::conform::{Fault, MirrorUrl, Options, Report, Verdict, run};
use mirror::settings::ApiKey;
use serde_json::{Value, json};

const KEY: &str = "the-key-of-the-mirror";
const HEADER: &str = "x-mirror-api-key";
const MINUTE: i64 = 60_000;
/// Raw points are so far apart, in milliseconds.
const STEP: i64 = 15_000;

/// A mirror that keeps the contract but for one thing.
#[derive(Clone, Copy)]
struct Faulty(&'static str);

impl Faulty {
    async fn start(self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(self);
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    fn is(self, fault: &str) -> bool {
        self.0 == fault
    }
}

fn error(kind: &str, members: Value) -> (u16, Value) {
    let status = match kind {
        "MetricNotFoundError" => 404,
        "MetricStoreConnectionError" => 502,
        _ => 400,
    };
    let mut body = members;
    body["_type"] = json!(kind);
    (status, body)
}

fn refused(why: &str) -> (u16, Value) {
    error(
        "RemoteMirrorError",
        json!({"summary": "refused", "details": why}),
    )
}

async fn answer(State(faulty): State<Faulty>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let presented = parts.headers.get(HEADER).map(|key| key.as_bytes().to_vec());
    let is_stranger = match presented {
        Some(key) => key != KEY.as_bytes(),
        None => faulty.is("(wants its key)"),
    };
    if faulty.is("key-refused") || is_stranger {
        let (_, body) = refused("the key");
        let key = faulty.is("key-given-away").then_some(KEY);
        return respond(401, body.to_string().into(), key);
    }
    let path = parts.uri.path();
    let (mut status, json) = if faulty.is("double-slash-refused") && path.starts_with("//") {
        let (_, body) = refused("no such path");
        (404, body)
    } else {
        reply(faulty, path.trim_start_matches('/'), &body)
    };
    let is_max = String::from_utf8_lossy(&body).contains("\"MAX\"");
    let mut text = json.to_string();
    let mut key = Some(KEY);
    match faulty.0 {
        "error-untyped" if status == 404 => text = "not found".to_owned(),
        "key-missing-on-errors" if status >= 400 => key = None,
        _ if !is_max => {}
        "key-missing" => key = None,
        "key-wrong" | "key-changes" => key = Some("another"),
        "not-json" => text = "<html>".to_owned(),
        "status-wrong" => status = 201,
        "redirected" => status = 302,
        "error-in-200" => {
            text = json!({"_type": "UnsupportedFieldTypeError", "mirrorType": "MAX"}).to_string();
        }
        "member-twice" => text = text.replacen("{", r#"{"_type":"MetricsResponse","#, 1),
        "value-not-a-number" => text = text.replacen("[[null,", "[[NaN,", 1),
        "answer-too-large" => text = format!("{}{text}", " ".repeat(17 << 20)),
        "too-slow" => tokio::time::sleep(Duration::from_secs(60)).await,
        "no-answer" => {
            let cut = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
            return Response::new(Body::from_stream(cut));
        }
        _ => {}
    }
    respond(status, text.into(), key)
}

fn respond(status: u16, body: Body, key: Option<&str>) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert("content-type", "application/json".parse().unwrap());
    if let Some(key) = key {
        headers.insert(HEADER, key.parse().unwrap());
    }
    response
}

fn reply(faulty: Faulty, path: &str, body: &[u8]) -> (u16, Value) {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return if faulty.is("broken-json-accepted") {
            (200, points(Vec::new(), true, false))
        } else {
            refused("the body is not JSON")
        };
    };
    let query = &request["query"];
    let (own, of_query) = match path {
        "api/connection" => ("TestConnectionRequest", ""),
        "api/field/name" => ("FieldNamesRequest", "FieldNamesQuery"),
        "api/field/value" => ("FieldValuesRequest", "FieldValuesQuery"),
        "api/metric" => ("MetricsRequest", "MetricsQuery"),
        _ => {
            return error(
                "RemoteMirrorError",
                json!({"summary": "no such path", "details": ""}),
            );
        }
    };
    let mut types = vec![(&request["_type"], own)];
    if !of_query.is_empty() {
        types.push((&query["_type"], of_query));
    }
    if query["aggregation"].is_object() {
        types.push((&query["aggregation"]["_type"], "Aggregation"));
    }
    for condition in query["conditions"].as_array().into_iter().flatten() {
        types.push((&condition["_type"], "EqualityCondition"));
        if faulty.is("value-type-refused") && condition["value"]["_type"] == "DoubleValue" {
            return refused("a DoubleValue");
        }
    }
    for (said, due) in types {
        if said.is_null() && faulty.is("absent-type-refused") {
            return refused("_type is missing");
        }
        if !said.is_null() && said != due && !faulty.is("wrong-type-accepted") {
            return refused("wrong _type");
        }
    }
    let limit = query["limit"]
        .as_f64()
        .map_or(usize::MAX, |limit| limit as usize);
    if faulty.is("limit-all-refused") && limit == 2_147_483_647 {
        return refused("the limit");
    }
    let is_null = |name: &str| query.get(name).is_some_and(Value::is_null);
    if faulty.is("optional-members-refused") && is_null("metricField")
        || faulty.is("null-aggregation-refused") && is_null("aggregation")
        || faulty.is("floats-refused") && query["startTime"].is_f64()
    {
        return refused("that form");
    }
    match path {
        "api/connection" => connection(faulty, &request),
        "api/field/name" => field_names(),
        "api/field/value" => field_values(faulty, query, limit),
        _ => metric(faulty, query, limit),
    }
}

fn connection(faulty: Faulty, request: &Value) -> (u16, Value) {
    let (_, cause) = error(
        "MetricStoreConnectionError",
        json!({"details": "nobody there"}),
    );
    let failure = json!({"status": "FAILURE", "error": cause, "_type": "TestConnectionResponse"});
    if request["connectionDetails"]["host"].is_string() {
        return if faulty.is("connection-failure-as-error") {
            (500, cause)
        } else {
            (200, failure)
        };
    }
    if faulty.is("connection-failed") {
        return (200, failure);
    }
    (
        200,
        json!({"status": "OK", "_type": "TestConnectionResponse"}),
    )
}

fn field_names() -> (u16, Value) {
    let names = [
        "__counter__",
        "__gauge__",
        "__histogram__",
        "~",
        "instance",
        "job",
    ];
    let fields = names.map(|name| json!({"_type": "FieldDescriptor", "classified": false, "fieldName": name, "fieldType": "STRING"}));
    (
        200,
        json!({"fields": fields, "isPartial": false, "_type": "FieldNamesResponse"}),
    )
}

fn names_of(field: &str) -> Vec<String> {
    match field {
        "__gauge__" => ["cpu", "disk", "net"]
            .iter()
            .flat_map(|part| (0..10).map(move |index| format!("node_{part}_{index}")))
            .chain(["up".to_owned()])
            .collect(),
        "__counter__" => vec!["requests_total".to_owned()],
        "__histogram__" => vec!["latency".to_owned()],
        "instance" => vec!["a:1".to_owned(), "b:1".to_owned(), "b:2".to_owned()],
        _ => vec!["shop".to_owned()],
    }
}

fn field_values(faulty: Faulty, query: &Value, limit: usize) -> (u16, Value) {
    let field = if faulty.is("field-object-refused") {
        let Some(name) = query["field"].as_str() else {
            return refused("query.field must be a string");
        };
        name
    } else {
        query["field"]["fieldName"].as_str().unwrap()
    };
    let said = query["fieldValuePrefix"].as_str().unwrap_or_default();
    let pattern = said.strip_suffix('*');
    let prefix = match pattern {
        _ if faulty.is("pattern-not-refined") => said,
        None if faulty.is("prefix-ignored") => "",
        pattern => pattern.unwrap_or(said),
    };
    let mut values = names_of(field);
    values.retain(|value| value.starts_with(prefix));
    if faulty.is("values-incomplete") && !said.is_empty() && pattern.is_none() {
        values.pop();
    }
    let offset = query["offset"].as_f64().unwrap_or(0.0) as usize;
    let values: Vec<String> = values.into_iter().skip(offset).collect();
    let complete = |value: &String| json!({"value": value, "_type": "CompleteValue"});
    let mut entries: Vec<Value> = Vec::new();
    if values.len() > limit && limit >= 10 {
        for value in &values {
            let end = value[prefix.len()..]
                .find('_')
                .map(|at| prefix.len() + at + 1);
            let entry = end.map_or_else(
                || complete(value),
                |end| json!({"value": format!("{}*", &value[..end]), "_type": "FieldValuePattern"}),
            );
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
    } else {
        entries = values.iter().take(limit).map(complete).collect();
    }
    let is_partial = limit < 10 && values.len() > limit;
    (
        200,
        json!({"values": entries, "isPartial": is_partial, "_type": "FieldValuesResponse"}),
    )
}

type Point = (f64, i64, i64);

fn points(points: Vec<Point>, aggregated: bool, is_partial: bool) -> Value {
    let points: Vec<Value> = points
        .into_iter()
        .map(|(value, start, end)| {
            if aggregated {
                json!([value, start, end])
            } else {
                json!([value, start])
            }
        })
        .collect();
    let (format, kind): (&[&str], _) = if aggregated {
        (
            &["value", "startTimestamp", "endTimestamp"],
            "AggregatedMetricTelemetry",
        )
    } else {
        (&["value", "timestamp"], "RawMetricTelemetry")
    };
    json!({"telemetry": {"points": points, "dataFormat": format, "isPartial": is_partial, "_type": kind}, "_type": "MetricsResponse"})
}

fn metric(faulty: Faulty, query: &Value, limit: usize) -> (u16, Value) {
    let conditions = query["conditions"].as_array().unwrap();
    let (kind, name) = (
        &conditions[0]["key"],
        conditions[0]["value"]["value"].as_str().unwrap(),
    );
    let aggregation = &query["aggregation"];
    let aggregated = aggregation.is_object();
    if !names_of(kind.as_str().unwrap())
        .iter()
        .any(|known| known == name)
    {
        return if faulty.is("unknown-metric") {
            (200, points(Vec::new(), aggregated, false))
        } else {
            error(
                "MetricNotFoundError",
                json!({"metric": name, "details": "no such metric"}),
            )
        };
    }
    let is_single = conditions
        .iter()
        .any(|condition| condition["key"] == "instance");
    if !aggregated && kind == "__counter__" && !is_single {
        return refused("several series match");
    }
    let number = |value: &Value| value.as_f64().unwrap() as i64;
    let (start, end) = (number(&query["startTime"]), number(&query["endTime"]));
    let width = if aggregated {
        number(&aggregation["bucketSizeMillis"])
    } else {
        0
    };
    let method = aggregation["method"].as_str().unwrap_or_default();
    if faulty.is("method-refused") && method == "PERCENTILE_98"
        || faulty.is("request-refused") && width == 5 * MINUTE
    {
        return refused(method);
    }
    let value = |at: i64| (at / STEP % 97) as f64 + 0.5;
    let mut all: Vec<Point> = if aggregated {
        (start.div_euclid(width)..end.div_euclid(width))
            .map(|index| (value(index * width), index * width, (index + 1) * width))
            .collect()
    } else {
        (-(-start).div_euclid(STEP)..=end.div_euclid(STEP))
            .map(|index| (value(index * STEP), index * STEP, index * STEP))
            .collect()
    };
    if faulty.is("nothing-to-read") {
        all.clear();
    }
    if let Some(first) = all.first_mut()
        && faulty.is("bucket-changed")
        && first.1 < start
    {
        // Only what is left of it.
        first.0 *= 0.9;
    }
    let mut is_partial = all.len() > limit;
    if is_partial {
        match faulty.0 {
            "limit-exceeded" => all.truncate(limit + 1),
            "pages-incomplete" => drop(all.drain(..all.len() - limit)),
            _ => all.truncate(limit),
        }
        is_partial = !faulty.is("cut-not-partial");
    }
    if faulty.is("partial-endless") && !aggregated {
        let crumbs = vec![(1.0, start, start), (1.0, start + 1, start + 1)];
        return (200, points(crumbs, false, true));
    }
    if method != "MAX" {
        return (200, points(all, aggregated, is_partial));
    }
    spoil(faulty, &mut all, width);
    let mut body = points(
        all,
        true,
        is_partial || faulty.is("partial-without-progress"),
    );
    let telemetry = &mut body["telemetry"];
    match faulty.0 {
        "type-wrong" => telemetry["_type"] = json!("RawMetricTelemetry"),
        "member-missing" => drop(telemetry.as_object_mut().unwrap().remove("isPartial")),
        "member-extra" => telemetry["more"] = json!(1),
        "value-not-a-number" => telemetry["points"][0][0] = Value::Null,
        "member-type" => telemetry["isPartial"] = json!("false"),
        "data-format" => {
            telemetry["dataFormat"] = json!(["startTimestamp", "endTimestamp", "value"])
        }
        "point-shape" => drop(telemetry["points"][0].as_array_mut().unwrap().pop()),
        _ => {}
    }
    (200, body)
}

/// What can be wrong with buckets themselves.
fn spoil(faulty: Faulty, all: &mut Vec<Point>, width: i64) {
    match faulty.0 {
        "points-unsorted" => all.reverse(),
        "points-duplicate" => all.insert(1, all[0]),
        "point-outside-range" => {
            let at = all[0].1 - 9 * width;
            all.insert(0, (1.0, at, at + width));
        }
        "bucket-width" => all[3].2 -= 1,
        "bucket-unaligned" => all[3] = (all[3].0, all[3].1 + 1, all[3].2 + 1),
        _ => {}
    }
}

fn options(url: &str) -> Options {
    // Every test but the first of a process finds it installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Options {
        api_key: ApiKey::parse(KEY),
        streams: 24,
        interval: Duration::from_millis(50),
        ..Options::new(MirrorUrl::from_str(url).unwrap())
    }
}

async fn report_of(fault: &'static str, change: impl FnOnce(&mut Options)) -> Report {
    let mut options = options(&Faulty(fault).start().await);
    change(&mut options);
    run(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_found_by_its_name_and_no_other_is() {
    let mut wrong = Vec::new();
    for some in Fault::ALL.chunks(8) {
        let reports = some.iter().map(|fault| async {
            let report = report_of(fault.name(), |options| match fault {
                Fault::KeyChanges => options.api_key = None,
                Fault::TooSlow => options.timeout = Duration::from_millis(700),
                _ => {}
            });
            (fault.name(), report.await)
        });
        for (name, report) in join_all(reports).await {
            if report.faults != [name] {
                wrong.push(format!(
                    "{name}: found {:?}\n{}",
                    report.faults,
                    report.table()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_mirror_that_keeps_the_contract_has_no_fault_and_every_check_was_done() {
    for slash in ["", "/"] {
        let url = Faulty("").start().await + slash;
        let report = run(options(&url)).await.unwrap();
        assert!(report.kept, "{}", report.table());
        let checks: Vec<_> = (report.checks.iter())
            // A busy machine may need longer than the interval for a round.
            .map(|check| (check.name, check.verdict, check.notes.len()))
            .map(|(name, verdict, notes)| {
                (name, verdict, if name == "polling" { 0 } else { notes })
            })
            .collect();
        let names = [
            "connection",
            "connection-failure",
            "double-slash",
            "field-names",
            "gauge-names",
            "counter-names",
            "histogram-names",
            "label-values",
            "metrics",
            "conditions",
            "raw",
            "aggregated",
            "paging",
            "moving-window",
            "long-range",
            "request-forms",
            "refusals",
            "wrong-key",
            "polling",
            "key",
        ];
        assert_eq!(checks, names.map(|name| (name, Verdict::Kept, 0)));
        let text = format!(
            "{}{}",
            report.table(),
            serde_json::to_string(&report).unwrap()
        );
        assert!(!text.contains(KEY), "the key must not be printed");
    }
}

#[tokio::test]
async fn a_url_that_ends_in_a_slash_is_tried_without_it_before_all_else_is_called_faulty() {
    let url = Faulty("double-slash-refused").start().await + "/";
    let report = run(options(&url)).await.unwrap();
    assert_eq!(
        report.faults,
        ["double-slash-refused"],
        "{}",
        report.table()
    );
    assert_eq!(report.checks[0].verdict, Verdict::Fault);
    let read = report
        .checks
        .iter()
        .find(|check| check.name == "aggregated");
    assert_eq!(read.unwrap().verdict, Verdict::Kept);
}

#[tokio::test]
async fn a_mirror_that_wants_its_key_gets_it_only_then() {
    let report = report_of("(wants its key)", |_| {}).await;
    assert!(report.kept, "{}", report.table());
    assert_eq!(report.checks[0].notes[0].name, "key-required");
    let without = report_of("(wants its key)", |options| options.api_key = None).await;
    assert_eq!(without.faults, ["key-refused"], "{}", without.table());
}

#[tokio::test]
async fn where_nobody_listens_one_fault_says_so_and_nothing_more_is_asked() {
    let report = run(options("http://127.0.0.1:1")).await.unwrap();
    assert_eq!(report.faults, ["no-answer"]);
    let requests: u64 = report.checks.iter().map(|check| check.requests).sum();
    assert_eq!(requests, 1, "{}", report.table());
}
