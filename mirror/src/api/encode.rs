//! Answers as the Mirror API spells them. Points are written straight into the response: there may
//! be tens of thousands.

mod instants;

use bytes::Bytes;
use serde_json::{Value, json};

use self::instants::Instants;
use crate::execute::Telemetry;
use crate::plan::fields::{FieldValue, Listing};

/// About how many bytes the answer of a field name query has.
#[must_use]
pub fn size_of_names(names: &Listing<String>) -> usize {
    const FRAME: usize = 96;
    FRAME
        + names
            .entries
            .iter()
            .map(|name| FRAME + name.len())
            .sum::<usize>()
}

/// About how many bytes the answer of a field value query has.
#[must_use]
pub fn size_of_values(values: &Listing<FieldValue>) -> usize {
    const FRAME: usize = 96;
    let length = |value: &FieldValue| match value {
        FieldValue::Complete(text) | FieldValue::Pattern(text) => FRAME / 2 + text.len(),
    };
    FRAME + values.entries.iter().map(length).sum::<usize>()
}

/// About how many bytes the answer of a metric query has.
#[must_use]
pub fn size_of_points(telemetry: &Telemetry) -> usize {
    // One or two instants of 13 digits, brackets, commas, and the value.
    128 + telemetry.points.len() * 34 + telemetry.points.text_length()
}

/// A JSON string.
fn string(text: &mut Vec<u8>, value: &str) {
    // Neither writing to a Vec nor a text as JSON can fail.
    let _ = serde_json::to_writer(text, value);
}

/// The answer of a connection test: OK, or the error that a query would have got.
#[must_use]
pub fn connection(failure: Option<Value>) -> Bytes {
    match failure {
        None => body(&json!({"status": "OK", "_type": "TestConnectionResponse"})),
        Some(error) => {
            body(&json!({"status": "FAILURE", "error": error, "_type": "TestConnectionResponse"}))
        }
    }
}

/// The answer of a field name query.
#[must_use]
pub fn field_names(names: &Listing<String>) -> Bytes {
    let mut text = Vec::with_capacity(size_of_names(names));
    text.extend_from_slice(br#"{"_type":"FieldNamesResponse","fields":["#);
    for (index, name) in names.entries.iter().enumerate() {
        text.extend_from_slice(if index == 0 { b"" } else { b"," });
        let field = br#"{"_type":"FieldDescriptor","classified":false,"fieldName":"#;
        text.extend_from_slice(field);
        string(&mut text, name);
        text.extend_from_slice(br#","fieldType":"STRING"}"#);
    }
    let end = format!(r#"],"isPartial":{}}}"#, names.is_partial);
    text.extend_from_slice(end.as_bytes());
    Bytes::from(text)
}

/// The answer of a field value query.
#[must_use]
pub fn field_values(values: &Listing<FieldValue>) -> Bytes {
    let mut text = Vec::with_capacity(size_of_values(values));
    let begin = format!(
        r#"{{"_type":"FieldValuesResponse","isPartial":{},"values":["#,
        values.is_partial
    );
    text.extend_from_slice(begin.as_bytes());
    for (index, value) in values.entries.iter().enumerate() {
        text.extend_from_slice(if index == 0 { b"" } else { b"," });
        let (kind, value) = match value {
            FieldValue::Complete(value) => ("CompleteValue", value),
            FieldValue::Pattern(pattern) => ("FieldValuePattern", pattern),
        };
        text.extend_from_slice(format!(r#"{{"_type":"{kind}","value":"#).as_bytes());
        string(&mut text, value);
        text.push(b'}');
    }
    text.extend_from_slice(b"]}");
    Bytes::from(text)
}

/// The answer of a metric query.
#[must_use]
pub fn metric(telemetry: &Telemetry) -> Bytes {
    let mut text = Vec::with_capacity(size_of_points(telemetry));
    text.extend_from_slice(br#"{"telemetry":{"points":["#);
    let mut instants = Instants::default();
    for (index, (at, value)) in telemetry.points.iter().enumerate() {
        text.extend_from_slice(if index == 0 { b"[" } else { b",[" });
        text.extend_from_slice(value.as_bytes());
        instants.write(&mut text, at);
        if let Some(width) = telemetry.bucket {
            instants.write(&mut text, at.plus(width));
        }
        text.push(b']');
    }
    let (format, kind) = match telemetry.bucket {
        None => (r#"["value","timestamp"]"#, "RawMetricTelemetry"),
        Some(_) => (
            r#"["value","startTimestamp","endTimestamp"]"#,
            "AggregatedMetricTelemetry",
        ),
    };
    let end = format!(
        r#"],"dataFormat":{format},"isPartial":{},"_type":"{kind}"}},"_type":"MetricsResponse"}}"#,
        telemetry.is_partial()
    );
    text.extend_from_slice(end.as_bytes());
    Bytes::from(text)
}

/// Any JSON.
#[must_use]
pub fn body(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::Missing;
    use crate::model::series::Samples;
    use crate::model::time::{Millis, Timestamp};

    fn telemetry(bucket: Option<Millis>) -> Telemetry {
        let mut points = Samples::default();
        points.push(Timestamp(60_000), "0.10");
        points.push(Timestamp(120_000), "-3e+22");
        Telemetry {
            points,
            bucket,
            missing: Missing {
                beyond_limit: true,
                ..Missing::default()
            },
            remarks: Vec::new(),
        }
    }

    fn read(body: &Bytes) -> Value {
        serde_json::from_slice(body).expect("JSON")
    }

    #[test]
    fn raw_points_are_a_value_and_an_instant() {
        assert_eq!(
            read(&metric(&telemetry(None))),
            json!({
                "telemetry": {
                    "points": [[0.10, 60_000], [-3e22, 120_000]], "dataFormat": ["value", "timestamp"], "isPartial": true,
                    "_type": "RawMetricTelemetry"
                },
                "_type": "MetricsResponse"
            })
        );
    }

    #[test]
    fn aggregated_points_are_a_value_and_the_bounds_of_a_bucket() {
        assert_eq!(
            read(&metric(&telemetry(Some(Millis(60_000))))),
            json!({
                "telemetry": {
                    "points": [[0.10, 60_000, 120_000], [-3e22, 120_000, 180_000]],
                    "dataFormat": ["value", "startTimestamp", "endTimestamp"], "isPartial": true,
                    "_type": "AggregatedMetricTelemetry"
                },
                "_type": "MetricsResponse"
            })
        );
    }

    #[test]
    fn values_are_copied_digit_for_digit() {
        let text = metric(&telemetry(None));
        assert!(
            text.starts_with(br#"{"telemetry":{"points":[[0.10,60000],[-3e+22,120000]]"#),
            "{text:?}"
        );
    }

    #[test]
    fn fields_and_values_are_described() {
        let names = Listing {
            entries: vec!["job".to_owned()],
            is_partial: false,
        };
        assert_eq!(
            read(&field_names(&names)),
            json!({
                "fields": [{"_type": "FieldDescriptor", "classified": false, "fieldName": "job", "fieldType": "STRING"}],
                "isPartial": false, "_type": "FieldNamesResponse"
            })
        );
        let values = Listing {
            entries: vec![
                FieldValue::Complete("up".to_owned()),
                FieldValue::Pattern("node_*".to_owned()),
            ],
            is_partial: true,
        };
        assert_eq!(
            read(&field_values(&values)),
            json!({
                "values": [{"value": "up", "_type": "CompleteValue"}, {"value": "node_*", "_type": "FieldValuePattern"}],
                "isPartial": true, "_type": "FieldValuesResponse"
            })
        );
    }
}
