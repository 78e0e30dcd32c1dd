//! Speaks the Mirror API as StackState does.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::oracle::{Kind, Question};
use crate::servers::http_client;

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The points of a metric answer.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Value (as the digits that came), start and end of each point; a raw point starts and ends at
    /// its timestamp.
    pub points: Vec<(String, i64, i64)>,
    /// `isPartial`
    pub partial: bool,
}

/// Looks at every answer: HTTP method and path of the request, and what came.
#[derive(Clone)]
struct Check(Arc<CheckFn>);

type CheckFn = dyn Fn(&str, &str, &Answer) -> Result<()> + Send + Sync;

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}

/// A client of one mirror.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    connection: Value,
    check: Option<Check>,
}

impl Client {
    /// A client of the mirror at `base`, asking its default target.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self {
            http: http_client(),
            base: base.to_owned(),
            connection: json!({}),
            check: None,
        }
    }

    /// One that asks with another HTTP client.
    #[must_use]
    pub fn with_http(base: &str, http: reqwest::Client) -> Self {
        Self {
            http,
            base: base.to_owned(),
            connection: json!({}),
            check: None,
        }
    }

    /// The same for the target of this name.
    #[must_use]
    pub fn of_target(mut self, target: &str) -> Self {
        self.connection = json!({"target": target});
        self
    }

    /// The same, whose every answer must pass a check. That gets the HTTP method and the path of
    /// the request, and the answer.
    #[must_use]
    pub fn checked_by(
        mut self,
        check: impl Fn(&str, &str, &Answer) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.check = Some(Check(Arc::new(check)));
        self
    }

    /// The HTTP client and the base URL, for requests of another form.
    #[must_use]
    pub fn http(&self) -> (&reqwest::Client, &str) {
        (&self.http, &self.base)
    }

    /// Posts JSON to a path.
    ///
    /// # Errors
    /// If there is no HTTP answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.http.post(format!("{}{path}", self.base)).json(body))
            .await
    }

    /// Sends any request.
    ///
    /// # Errors
    /// If there is no HTTP answer, or it does not pass this client's check.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let request = request.build()?;
        let (method, url) = (request.method().clone(), request.url().clone());
        let response = self.http.execute(request).await?;
        let answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await?,
        };
        // Other servers, such as the admin port, are not what is checked.
        if let Some(Check(check)) = &self.check
            && url.as_str().starts_with(&self.base)
        {
            check(method.as_str(), url.path(), &answer).with_context(|| {
                format!("{method} {}: {} {}", url.path(), answer.status, answer.body)
            })?;
        }
        Ok(answer)
    }

    /// A `MetricsRequest`.
    #[must_use]
    pub fn metric_request(
        &self,
        conditions: &Value,
        start: i64,
        end: i64,
        limit: Option<u64>,
        aggregation: Option<(&str, i64)>,
    ) -> Value {
        let mut query = json!({
            "_type": "MetricsQuery",
            "conditions": conditions,
            "startTime": start,
            "endTime": end,
        });
        if let Some(limit) = limit {
            query["limit"] = json!(limit);
        }
        if let Some((method, width)) = aggregation {
            query["aggregation"] =
                json!({"_type": "Aggregation", "method": method, "bucketSizeMillis": width});
        }
        json!({"_type": "MetricsRequest", "connectionDetails": self.connection, "query": query})
    }

    /// Asks for a metric.
    ///
    /// # Errors
    /// If there is no HTTP answer.
    pub async fn metric(
        &self,
        conditions: &Value,
        start: i64,
        end: i64,
        limit: Option<u64>,
        aggregation: Option<(&str, i64)>,
    ) -> Result<Answer> {
        self.post(
            "/api/metric",
            &self.metric_request(conditions, start, end, limit, aggregation),
        )
        .await
    }

    /// Asks an oracle's question.
    ///
    /// # Errors
    /// If there is no HTTP answer.
    pub async fn ask(&self, question: &Question, limit: Option<u64>) -> Result<Answer> {
        self.metric(
            &conditions(question),
            question.start,
            question.end,
            limit,
            question.aggregation,
        )
        .await
    }
}

/// A condition.
#[must_use]
pub fn equals(key: &str, value: &str) -> Value {
    json!({"_type": "EqualityCondition", "key": key, "value": {"_type": "StringValue", "value": value}})
}

/// A condition that holds for any of the values.
#[must_use]
pub fn any_of(key: &str, values: &[&str]) -> Value {
    json!({"_type": "EqualityCondition", "key": key, "value": {"_type": "InSetValue", "value": values}})
}

/// The conditions of a question: its query kind first.
#[must_use]
pub fn conditions(question: &Question) -> Value {
    let kind = match &question.kind {
        Kind::Gauge(name) => equals("__gauge__", name),
        Kind::Counter(name) => equals("__counter__", name),
        Kind::Histogram(name) => equals("__histogram__", name),
        Kind::Summary(name) => equals("__summary__", name),
        Kind::PromQl(expression) => equals("~", expression.text()),
    };
    let labels = question
        .conditions
        .iter()
        .map(|(label, values)| match values[..] {
            [one] => equals(label, one),
            _ => any_of(label, values),
        });
    Value::Array(std::iter::once(kind).chain(labels).collect())
}

/// Reads a metric answer, checking everything about its shape.
///
/// # Errors
/// If the answer is an error, or not as the Mirror API wants it.
pub fn telemetry(answer: &Answer) -> Result<Telemetry> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Body {
        telemetry: Inner,
        #[serde(rename = "_type")]
        kind: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Inner {
        points: Vec<Vec<Box<RawValue>>>,
        data_format: Vec<String>,
        is_partial: bool,
        #[serde(rename = "_type")]
        kind: String,
    }
    ensure!(
        answer.status == 200,
        "HTTP {}: {}",
        answer.status,
        answer.body
    );
    let body: Body = serde_json::from_str(&answer.body)
        .with_context(|| answer.body.chars().take(300).collect::<String>())?;
    ensure!(body.kind == "MetricsResponse", "_type {}", body.kind);
    let raw = match body.telemetry.kind.as_str() {
        "RawMetricTelemetry" => true,
        "AggregatedMetricTelemetry" => false,
        other => anyhow::bail!("telemetry of _type {other}"),
    };
    let format: &[&str] = if raw {
        &["value", "timestamp"]
    } else {
        &["value", "startTimestamp", "endTimestamp"]
    };
    ensure!(
        body.telemetry.data_format == format,
        "dataFormat {:?}",
        body.telemetry.data_format
    );
    let point = |fields: &Vec<Box<RawValue>>| -> Result<(String, i64, i64)> {
        ensure!(
            fields.len() == format.len(),
            "a point of {} fields",
            fields.len()
        );
        let start = fields[1].get().parse()?;
        let end = fields.last().map_or("", |field| field.get()).parse()?;
        Ok((fields[0].get().to_owned(), start, end))
    };
    Ok(Telemetry {
        points: body
            .telemetry
            .points
            .iter()
            .map(point)
            .collect::<Result<_>>()?,
        partial: body.telemetry.is_partial,
    })
}
