//! `query`: in the terminal, exactly what StackState would be answered.
//!
//! The request is made as the JSON that StackState sends and handed to the router that serves it,
//! or with `--mirror` posted to a running mirror, so there is no second way to an answer.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::table::Point;
use super::{Failure, plot, print, table};
use crate::api::About;
use crate::api::state::AppState;
use crate::cli::args::{Output, QueryArgs};
use crate::http::handle::PARTIAL_HEADER;
use crate::http::keys::API_KEY_HEADER;
use crate::model::api_method::ApiMethod;
use crate::model::time::Timestamp;
use crate::plan::kind::KindName;
use crate::prometheus::remarks::{Meaning, Remark};
use crate::prometheus::root_cause;
use crate::settings;
use crate::telemetry::metrics::Metrics;

/// The longest wait for a running mirror: its own longest request timeout, and a little for the
/// way.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(605);
/// Lines of a chart proper.
const PLOT_HEIGHT: usize = 15;

/// Asks, and prints the answer.
///
/// # Errors
/// If the configuration has faults or the answer is an error.
pub async fn run(args: QueryArgs) -> Result<(), Failure> {
    let mirror = Mirror::new(&args)?;
    let now = Timestamp::now();
    let (from, to) = (args.from.at(now), args.to.at(now));
    if from >= to {
        return Err(Failure(format!(
            "--from ({}) is not before --to ({})",
            table::rfc3339(from),
            table::rfc3339(to)
        )));
    }
    let request = request(&args, from, to).to_string();
    let answered = mirror.ask(ApiMethod::Metric.path(), &request).await;
    let explanation = if args.explain {
        Some(mirror.ask(ApiMethod::Explain.path(), &request).await?.body)
    } else {
        None
    };
    let text = match (args.output, &explanation) {
        (Output::Json, None) => answered?.body + "\n",
        (Output::Json, Some(explanation)) => {
            // Not parsed and printed again: the digits are to be seen as they are answered.
            format!(
                "{{\"explanation\":{explanation},\"answer\":{}}}\n",
                answered?.body
            )
        }
        (output, explanation) => {
            if let Some(explanation) = explanation {
                let explained: Value =
                    serde_json::from_str(explanation).map_err(Failure::from_error)?;
                // Also where there is no answer: then it is needed most.
                print(&(outline(&explained, 0) + "\n"))?;
            }
            let answered = answered?;
            let answer: Answer =
                serde_json::from_str(&answered.body).map_err(Failure::from_error)?;
            let points = answer.points()?;
            let drawn = match output {
                Output::Plot => plot::render(&points, from, to, &canvas()),
                _ => table::render(&points),
            };
            drawn + &footnotes(answer.telemetry.is_partial, &answered)
        }
    };
    print(&text)
}

/// What is told below the points: why the answer is partial, and what the store remarks.
fn footnotes(is_partial: bool, answered: &Answered) -> String {
    let because = |reason: &str| answered.partial.split(", ").any(|one| one == reason);
    let mut lines = Vec::new();
    if because("limit") {
        lines.push(
            "partial: there is more; ask again from the last point, or raise --limit".to_owned(),
        );
    }
    if because("store") {
        lines.push(
            "partial: the store left something out; asking again from the last point does not bring it"
                .to_owned(),
        );
    }
    if because("value") {
        lines.push(
            "partial: values of +Inf or -Inf are left out, JSON has no number for them".to_owned(),
        );
    }
    if is_partial && lines.is_empty() {
        lines.push("partial: this mirror does not say why".to_owned());
    }
    lines.extend(answered.remarks.iter().map(|remark| {
        let says = match remark.meaning {
            Meaning::DataMissing => "the store warns",
            Meaning::Comment => "the store comments",
        };
        format!("{says}: {}", remark.text)
    }));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What a mirror answered.
struct Answered {
    body: String,
    /// The value of [`PARTIAL_HEADER`]; empty if there is none.
    partial: String,
    /// What the store said. A running mirror keeps that in its log.
    remarks: Vec<Remark>,
}

/// Who answers.
enum Mirror {
    /// This process, with the configuration of a file.
    Here {
        router: axum::Router,
        key: HeaderValue,
    },
    /// A running one.
    At {
        url: reqwest::Url,
        http: reqwest::Client,
        key: Option<HeaderValue>,
    },
}

impl Mirror {
    fn new(args: &QueryArgs) -> Result<Self, Failure> {
        let settings = args
            .document
            .given()
            .map(|document| settings::load(&document.source()))
            .transpose()
            .map_err(Failure::from_error)?;
        let key = settings
            .as_ref()
            .map(|settings| settings.api_keys.current.header_value());
        match (&args.mirror, settings, key) {
            (Some(url), _, key) => Ok(Self::At {
                url: url.clone(),
                http: reqwest::Client::builder()
                    .no_proxy()
                    .timeout(ANSWER_TIMEOUT)
                    .build()
                    .map_err(Failure::from_error)?,
                key,
            }),
            (None, Some(settings), Some(key)) => Ok(Self::Here {
                router: crate::http::router::app(AppState::new(settings, Metrics::new())),
                key,
            }),
            (None, ..) => Err(Failure(
                "name a manifest with --file, or a running mirror with --mirror".into(),
            )),
        }
    }

    /// The body of the answer to a request.
    async fn ask(&self, path: &str, request: &str) -> Result<Answered, Failure> {
        let partial = |headers: &HeaderMap| {
            let value = headers.get(&PARTIAL_HEADER);
            let text = value.and_then(|value| value.to_str().ok());
            text.unwrap_or_default().to_owned()
        };
        let (status, body, partial, remarks) = match self {
            Self::Here { router, key } => {
                let request = Request::post(path)
                    .header(header::CONTENT_TYPE, "application/json")
                    .header(API_KEY_HEADER.clone(), key)
                    .body(Body::from(request.to_owned()))
                    .map_err(Failure::from_error)?;
                let response = match router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                let status = response.status();
                let partial = partial(response.headers());
                let about = response.extensions().get::<About>();
                let remarks = about.map(|about| about.remarks.clone());
                let body = to_bytes(response.into_body(), usize::MAX).await;
                (
                    status,
                    body.map_err(Failure::from_error)?,
                    partial,
                    remarks.unwrap_or_default(),
                )
            }
            Self::At { url, http, key } => {
                let mut address = url.clone();
                address.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
                let mut asked = http
                    .post(address)
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(request.to_owned());
                if let Some(key) = key {
                    asked = asked.header(API_KEY_HEADER.clone(), key);
                }
                let unreachable = |error: reqwest::Error| {
                    Failure(format!("{url} does not answer: {}", root_cause(&error)))
                };
                let response = asked.send().await.map_err(unreachable)?;
                let status = response.status();
                let partial = partial(response.headers());
                let body = response.bytes().await.map_err(unreachable)?;
                (status, body, partial, Vec::new())
            }
        };
        if status != StatusCode::OK {
            return Err(Failure(error_text(status, &body)));
        }
        Ok(Answered {
            body: String::from_utf8(body.to_vec()).map_err(Failure::from_error)?,
            partial,
            remarks,
        })
    }
}

fn canvas() -> plot::Canvas {
    let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
    plot::Canvas {
        width: width.clamp(20, 240),
        height: PLOT_HEIGHT,
        zone: TimeZone::system(),
    }
}

/// The request as StackState writes it.
fn request(args: &QueryArgs, from: Timestamp, to: Timestamp) -> Value {
    let equals =
        |key: &str, value: Value| json!({"_type": "EqualityCondition", "key": key, "value": value});
    let string = |value: &str| json!({"_type": "StringValue", "value": value});
    let kinds = [
        (KindName::Gauge, &args.gauge),
        (KindName::Counter, &args.counter),
        (KindName::Histogram, &args.histogram),
        (KindName::Summary, &args.summary),
        (KindName::Expression, &args.promql),
    ];
    let mut conditions: Vec<Value> = kinds
        .iter()
        .filter_map(|(kind, name)| name.as_ref().map(|name| equals(kind.key(), string(name))))
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in &args.labels {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    for name in names {
        let values: Vec<&str> = args
            .labels
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect();
        let value = match values[..] {
            [one] => string(one),
            _ => {
                json!({"_type": "InSetValue", "value": values})
            }
        };
        conditions.push(equals(name, value));
    }
    let mut query = json!({
        "_type": "MetricsQuery",
        "conditions": conditions,
        "startTime": from.0,
        "endTime": to.0,
    });
    if let Some(limit) = args.limit {
        query["limit"] = json!(limit);
    }
    if let Some((bucket, method)) = args.bucket.zip(args.method) {
        query["aggregation"] = json!({"_type": "Aggregation", "method": method, "bucketSizeMillis": u64::try_from(bucket.as_millis()).unwrap_or(u64::MAX)});
    }
    let connection = args
        .target
        .as_ref()
        .map_or_else(|| json!({}), |target| json!({"target": target}));
    json!({"_type": "MetricsRequest", "connectionDetails": connection, "query": query})
}

#[derive(Deserialize)]
struct Answer {
    telemetry: Telemetry,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Telemetry {
    points: Vec<Vec<f64>>,
    is_partial: bool,
}

impl Answer {
    fn points(&self) -> Result<Vec<Point>, Failure> {
        // Milliseconds since the epoch are far below 2^53.
        let time = |ms: f64| Timestamp(ms as i64);
        let point = |fields: &Vec<f64>| match fields[..] {
            [value, at] => Ok(Point {
                value,
                at: time(at),
                end: None,
            }),
            [value, start, end] => Ok(Point {
                value,
                at: time(start),
                end: Some(time(end)),
            }),
            _ => Err(Failure(format!("a point has {} fields", fields.len()))),
        };
        self.telemetry.points.iter().map(point).collect()
    }
}

/// An error body in one line: what it says, without the wire's names.
fn error_text(status: StatusCode, body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let parts: Vec<&str> = ["summary", "details", "mirrorType"]
        .iter()
        .filter_map(|key| body[key].as_str())
        .filter(|text| !text.is_empty())
        .collect();
    match (body["_type"].as_str(), parts.is_empty()) {
        (Some(kind), false) => format!("{kind}: {}", parts.join(": ")),
        (Some(kind), true) => kind.to_owned(),
        (None, _) => format!("the mirror answers {status}"),
    }
}

/// A JSON value as indented lines, strings without quotes: PromQL stays readable and can be pasted.
fn outline(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let leaf = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let nested = |value: &Value| {
        matches!(value, Value::Object(fields) if !fields.is_empty())
            || matches!(value, Value::Array(items) if !items.is_empty())
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "_type")
            .map(|(name, value)| {
                if nested(value) {
                    format!("{indent}{name}:\n{}", outline(value, depth + 1))
                } else {
                    format!("{indent}{name}: {}\n", leaf(value))
                }
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                if nested(item) {
                    let inner = outline(item, depth + 1);
                    format!("{indent}- {}", inner.trim_start())
                } else {
                    format!("{indent}- {}\n", leaf(item))
                }
            })
            .collect(),
        value => format!("{indent}{}\n", leaf(value)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn parsed(extra: &[&str]) -> QueryArgs {
        let cli = Cli::try_parse_from(
            ["prometheus-mirror", "query", "-f", "x"]
                .iter()
                .chain(extra),
        )
        .unwrap();
        match cli.command {
            Command::Query(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_partial_answer_says_why_and_the_store_is_quoted() {
        let answered = |partial: &str, remarks: Vec<Remark>| Answered {
            body: String::new(),
            partial: partial.to_owned(),
            remarks,
        };
        let info = Remark::warning("PromQL info: metric might not be a counter (1:6)");
        let down = Remark::warning("No StoreAPIs matched for this query");
        let table = [
            (false, answered("", vec![]), ""),
            (
                true,
                answered("limit", vec![]),
                "partial: there is more; ask again from the last point, or raise --limit\n",
            ),
            (
                false,
                answered("", vec![info]),
                "the store comments: PromQL info: metric might not be a counter (1:6)\n",
            ),
            (
                true,
                answered("store, value", vec![down]),
                "partial: the store left something out; asking again from the last point does not bring it\n\
                 partial: values of +Inf or -Inf are left out, JSON has no number for them\n\
                 the store warns: No StoreAPIs matched for this query\n",
            ),
            (
                true,
                answered("", vec![]),
                "partial: this mirror does not say why\n",
            ),
        ];
        for (is_partial, answered, expected) in table {
            assert_eq!(footnotes(is_partial, &answered), expected);
        }
    }

    #[test]
    fn the_request_is_what_stackstate_writes() {
        let args = parsed(&[
            "--gauge",
            "up",
            "-l",
            "job=a=b",
            "-l",
            "zone=x",
            "-l",
            "zone=y",
            "--target",
            "t",
            "--limit",
            "5",
            "--bucket",
            "1m",
            "--method",
            "PERCENTILE_95",
        ]);
        let condition = |key: &str, value: Value| json!({"_type": "EqualityCondition", "key": key, "value": value});
        let string = |value: &str| json!({"_type": "StringValue", "value": value});
        let expected = json!({
            "_type": "MetricsRequest",
            "connectionDetails": {"target": "t"},
            "query": {
                "_type": "MetricsQuery",
                "conditions": [
                    condition("__gauge__", string("up")),
                    condition("job", string("a=b")),
                    condition("zone", json!({"_type": "InSetValue", "value": ["x", "y"]})),
                ],
                "startTime": 1,
                "endTime": 2,
                "limit": 5,
                "aggregation": {"_type": "Aggregation", "method": "PERCENTILE_95", "bucketSizeMillis": 60_000},
            },
        });
        assert_eq!(request(&args, Timestamp(1), Timestamp(2)), expected);
    }

    #[test]
    fn an_error_body_becomes_one_line() {
        let line = |body: Value| error_text(StatusCode::NOT_FOUND, body.to_string().as_bytes());
        assert_eq!(
            line(
                json!({"_type": "MetricNotFoundError", "metric": "m", "details": "no series matches"})
            ),
            "MetricNotFoundError: no series matches"
        );
        assert_eq!(
            line(json!({"_type": "RemoteMirrorError", "summary": "a", "details": "b"})),
            "RemoteMirrorError: a: b"
        );
        assert_eq!(
            error_text(StatusCode::NOT_FOUND, b"<html>"),
            "the mirror answers 404 Not Found"
        );
    }

    #[test]
    fn an_explanation_is_outlined_with_its_promql_unquoted() {
        let explained = json!({"calls": [{"promql": "sum(up{a=\"b\"})", "step": 5}], "none": []});
        assert_eq!(
            outline(&explained, 0),
            "calls:\n  - promql: sum(up{a=\"b\"})\n    step: 5\nnone: []\n"
        );
    }
}
