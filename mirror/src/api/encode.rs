//! Answers as the Mirror API spells them.

mod instants;
mod points;

use bytes::Bytes;
use serde_json::{Value, json};

pub use self::points::Points;
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

/// Any JSON.
#[must_use]
pub fn body(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Bytes) -> Value {
        serde_json::from_slice(body).expect("JSON")
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
