//! Requests exactly as StackState writes them, member by member and in its order. They share
//! nothing with the types that the mirror reads: a mistake there must not hide here.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// "All", as StackState writes it.
pub(super) const NO_LIMIT: u64 = 2_147_483_647;
/// The limit of StackState's metric queries.
pub(super) const METRIC_LIMIT: u64 = 100_500;

/// A condition on the series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Condition {
    key: String,
    value: TypedValue,
    #[serde(rename = "_type")]
    _type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct TypedValue {
    value: Value,
    #[serde(rename = "_type")]
    _type: &'static str,
}

impl Condition {
    fn new(key: &str, value: Value, value_type: &'static str) -> Self {
        Self {
            key: key.to_owned(),
            value: TypedValue {
                value,
                _type: value_type,
            },
            _type: "EqualityCondition",
        }
    }

    pub(super) fn text(key: &str, value: &str) -> Self {
        Self::new(key, json!(value), "StringValue")
    }

    pub(super) fn number(key: &str, value: f64) -> Self {
        Self::new(key, json!(value), "DoubleValue")
    }

    pub(super) fn truth(key: &str, value: bool) -> Self {
        Self::new(key, json!(value), "BooleanValue")
    }

    pub(super) fn one_of(key: &str, values: &[&str]) -> Self {
        Self::new(key, json!(values), "InSetValue")
    }
}

/// The field of a field value query.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Field {
    /// What StackState sends.
    #[serde(rename_all = "camelCase")]
    Descriptor {
        field_name: String,
        field_type: &'static str,
        classified: bool,
        #[serde(rename = "_type")]
        _type: &'static str,
    },
    /// What some mirrors want instead.
    Name(String),
}

impl Field {
    pub(super) fn descriptor(name: &str) -> Self {
        Self::Descriptor {
            field_name: name.to_owned(),
            field_type: "STRING",
            classified: false,
            _type: "FieldDescriptor",
        }
    }
}

/// How points are aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Aggregation {
    pub method: &'static str,
    /// In milliseconds.
    pub bucket_size_millis: i64,
    #[serde(rename = "_type")]
    _type: &'static str,
}

impl Aggregation {
    pub(super) const fn new(method: &'static str, bucket_size_millis: i64) -> Self {
        Self {
            method,
            bucket_size_millis,
            _type: "Aggregation",
        }
    }
}

/// From one instant to another, in epoch milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub start: i64,
    pub end: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionRequest<'a> {
    #[serde(rename = "_type")]
    _type: &'static str,
    connection_details: &'a Map<String, Value>,
}

/// The body of a connection test.
pub(super) fn connection(connection_details: &Map<String, Value>) -> Vec<u8> {
    bytes(&ConnectionRequest {
        _type: "TestConnectionRequest",
        connection_details,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a, Q> {
    connection_details: &'a Map<String, Value>,
    query: Q,
    #[serde(rename = "_type")]
    _type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FieldNamesQuery<'a> {
    conditions: &'a [Condition],
    start_time: i64,
    end_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    latest_first: bool,
    #[serde(rename = "_type")]
    _type: &'static str,
}

/// The body of a field name request.
pub(super) fn field_names(
    connection_details: &Map<String, Value>,
    conditions: &[Condition],
    range: Range,
    limit: Option<u64>,
) -> Vec<u8> {
    bytes(&Request {
        connection_details,
        query: FieldNamesQuery {
            conditions,
            start_time: range.start,
            end_time: range.end,
            limit,
            latest_first: true,
            _type: "FieldNamesQuery",
        },
        _type: "FieldNamesRequest",
    })
}

/// Which values of a field.
#[derive(Clone, Debug)]
pub(super) struct ValuesQuery<'a> {
    pub conditions: &'a [Condition],
    pub field: Field,
    pub prefix: Option<&'a str>,
    pub range: Range,
    pub limit: Option<u64>,
    pub offset: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FieldValuesQuery<'a> {
    conditions: &'a [Condition],
    field: &'a Field,
    #[serde(skip_serializing_if = "Option::is_none")]
    field_value_prefix: Option<&'a str>,
    start_time: i64,
    end_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    offset: usize,
    latest_first: bool,
    #[serde(rename = "_type")]
    _type: &'static str,
}

/// The body of a field value request.
pub(super) fn field_values(
    connection_details: &Map<String, Value>,
    query: &ValuesQuery<'_>,
) -> Vec<u8> {
    bytes(&Request {
        connection_details,
        query: FieldValuesQuery {
            conditions: query.conditions,
            field: &query.field,
            field_value_prefix: query.prefix,
            start_time: query.range.start,
            end_time: query.range.end,
            limit: query.limit,
            offset: query.offset,
            latest_first: true,
            _type: "FieldValuesQuery",
        },
        _type: "FieldValuesRequest",
    })
}

/// Which points of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MetricQuery {
    pub conditions: Vec<Condition>,
    pub range: Range,
    pub limit: u64,
    /// None: raw points.
    pub aggregation: Option<Aggregation>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MetricsQuery<'a> {
    conditions: &'a [Condition],
    metric_field: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregation: Option<Aggregation>,
    start_time: i64,
    end_time: i64,
    limit: u64,
    #[serde(rename = "_type")]
    _type: &'static str,
}

/// The body of a metric request.
pub(super) fn metric(connection_details: &Map<String, Value>, query: &MetricQuery) -> Vec<u8> {
    bytes(&Request {
        connection_details,
        query: MetricsQuery {
            conditions: &query.conditions,
            metric_field: "value",
            aggregation: query.aggregation,
            start_time: query.range.start,
            end_time: query.range.end,
            limit: query.limit,
            _type: "MetricsQuery",
        },
        _type: "MetricsRequest",
    })
}

fn bytes(request: &impl Serialize) -> Vec<u8> {
    // Members with names and values that all have a form in JSON: it cannot fail.
    serde_json::to_vec(request).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range {
        start: 1_795_840_000_137,
        end: 1_795_843_600_137,
    };

    fn details() -> Map<String, Value> {
        let details = json!({"host": "prometheus.example", "nan_interpretation": "ZERO", "port": 9090, "requestTimeout": 20000});
        details.as_object().cloned().unwrap()
    }

    const DETAILS: &str = r#""connectionDetails":{"host":"prometheus.example","nan_interpretation":"ZERO","port":9090,"requestTimeout":20000}"#;
    const TIMES: &str = r#""startTime":1795840000137,"endTime":1795843600137"#;

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn a_connection_test_is_what_stackstate_writes() {
        let expected = format!(r#"{{"_type":"TestConnectionRequest",{DETAILS}}}"#);
        assert_eq!(text(connection(&details())), expected);
    }

    #[test]
    fn a_field_name_request_is_what_stackstate_writes() {
        let conditions = [
            Condition::text("__counter__", "http_requests_total"),
            Condition::number("shard", 2.0),
            Condition::truth("canary", true),
        ];
        let conditions_text = concat!(
            r#"{"key":"__counter__","value":{"value":"http_requests_total","_type":"StringValue"},"_type":"EqualityCondition"},"#,
            r#"{"key":"shard","value":{"value":2.0,"_type":"DoubleValue"},"_type":"EqualityCondition"},"#,
            r#"{"key":"canary","value":{"value":true,"_type":"BooleanValue"},"_type":"EqualityCondition"}"#
        );
        let expected = |conditions: &str, limit: &str| {
            format!(
                r#"{{{DETAILS},"query":{{"conditions":[{conditions}],{TIMES},{limit}"latestFirst":true,"_type":"FieldNamesQuery"}},"_type":"FieldNamesRequest"}}"#
            )
        };
        assert_eq!(
            text(field_names(&details(), &conditions, RANGE, Some(NO_LIMIT))),
            expected(conditions_text, r#""limit":2147483647,"#)
        );
        assert_eq!(
            text(field_names(&details(), &[], RANGE, None)),
            expected("", "")
        );
    }

    #[test]
    fn a_field_value_request_is_what_stackstate_writes() {
        let conditions = [Condition::one_of("job", &["api", "web"])];
        let query = |field: Field, prefix| ValuesQuery {
            conditions: &conditions,
            field,
            prefix,
            range: RANGE,
            limit: Some(NO_LIMIT),
            offset: 0,
        };
        let expected = |field: &str, prefix: &str| {
            format!(
                r#"{{{DETAILS},"query":{{"conditions":[{{"key":"job","value":{{"value":["api","web"],"_type":"InSetValue"}},"_type":"EqualityCondition"}}],"field":{field},{prefix}{TIMES},"limit":2147483647,"offset":0,"latestFirst":true,"_type":"FieldValuesQuery"}},"_type":"FieldValuesRequest"}}"#
            )
        };
        let descriptor = r#"{"fieldName":"__gauge__","fieldType":"STRING","classified":false,"_type":"FieldDescriptor"}"#;
        let body = field_values(
            &details(),
            &query(Field::descriptor("__gauge__"), Some("node_cpu_*")),
        );
        assert_eq!(
            text(body),
            expected(descriptor, r#""fieldValuePrefix":"node_cpu_*","#)
        );
        let body = field_values(&details(), &query(Field::Name("job".to_owned()), None));
        assert_eq!(text(body), expected(r#""job""#, ""));
    }

    #[test]
    fn a_metric_request_is_what_stackstate_writes() {
        let query = |aggregation| MetricQuery {
            conditions: vec![Condition::text("__gauge__", "go_goroutines")],
            range: RANGE,
            limit: METRIC_LIMIT,
            aggregation,
        };
        let expected = |aggregation: &str| {
            format!(
                r#"{{{DETAILS},"query":{{"conditions":[{{"key":"__gauge__","value":{{"value":"go_goroutines","_type":"StringValue"}},"_type":"EqualityCondition"}}],"metricField":"value",{aggregation}{TIMES},"limit":100500,"_type":"MetricsQuery"}},"_type":"MetricsRequest"}}"#
            )
        };
        assert_eq!(text(metric(&details(), &query(None))), expected(""));
        assert_eq!(
            text(metric(
                &details(),
                &query(Some(Aggregation::new("MAX", 3_600_000)))
            )),
            expected(
                r#""aggregation":{"method":"MAX","bucketSizeMillis":3600000,"_type":"Aggregation"},"#
            )
        );
    }
}
