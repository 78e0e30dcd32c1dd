//! The document against the decoder: what one takes, the other does, field by field.

use std::collections::BTreeSet;
use std::path::Path;

use jsonschema::Validator;
use rstest::rstest;
use serde_json::{Map, Value, json};

use super::DOCUMENT;
use crate::api::decode::{self, DecodeError, reads};
use crate::model::api_method::ApiMethod;
use crate::settings::choose::ConnectionDetails;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("JSON")
}

/// The document's schema of this name.
fn validator(schema: &str) -> Validator {
    let root = json!({
        "$ref": format!("#/components/schemas/{schema}"),
        "components": document()["components"],
    });
    jsonschema::validator_for(&root).expect("a schema")
}

/// A message of the contract.
fn message(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/mirror/stores/contract/data")
        .join(file);
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

fn is_read(body: &Value, method: ApiMethod) -> bool {
    match decode::request(body.to_string().as_bytes(), method) {
        Ok(_) | Err(DecodeError::NoKind) => true,
        Err(DecodeError::Malformed(fault)) => fault.contains(" is after the endTime "),
        Err(DecodeError::Unsupported(_)) => false,
    }
}

/// Pointers to everything in a value, the value itself first.
fn pointers(value: &Value) -> Vec<String> {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .map(|(i, v)| (i.to_string(), v))
            .collect(),
        _ => Vec::new(),
    };
    let inner = members.into_iter().flat_map(|(name, value)| {
        pointers(value)
            .into_iter()
            .map(move |rest| format!("/{name}{rest}"))
    });
    std::iter::once(String::new()).chain(inner).collect()
}

#[test]
fn the_document_is_of_this_version() {
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[rstest]
#[case("connection.request.json", ApiMethod::Connection)]
#[case("field-names.request.json", ApiMethod::FieldNames)]
#[case("field-names.empty.request.json", ApiMethod::FieldNames)]
#[case("field-values.request.json", ApiMethod::FieldValues)]
#[case("field-values.kind.request.json", ApiMethod::FieldValues)]
#[case("field-values.pattern.request.json", ApiMethod::FieldValues)]
#[case("metric.raw.request.json", ApiMethod::Metric)]
#[case("metric.aggregated.request.json", ApiMethod::Metric)]
#[case("metric.expression.request.json", ApiMethod::Metric)]
fn the_decoder_and_the_schema_take_the_same(#[case] file: &str, #[case] method: ApiMethod) {
    let validator = validator(method.request_type());
    let request = message(file);
    assert!(validator.is_valid(&request) && is_read(&request, method));
    let others = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(7),
        json!(7.0),
        json!(1.5),
        json!(1e300),
        json!(""),
        json!("x"),
        json!("STRING"),
        json!([]),
        json!(["x", 1, true]),
        json!([[]]),
        json!([null]),
        json!([{}]),
        json!({}),
        json!({"value": "x"}),
        json!({"value": ["x", {"value": 1}]}),
        json!({"fieldName": "x"}),
        json!({"key": "x", "value": {"value": 1}}),
        json!({"method": "MEAN", "bucketSizeMillis": 1}),
    ];
    let (mut taken, mut refused) = (0, 0);
    for pointer in pointers(&request) {
        // How details choose a target is tried below.
        if pointer.starts_with("/connectionDetails/") {
            continue;
        }
        let changed = others.iter().map(|other| {
            let mut body = request.clone();
            *body.pointer_mut(&pointer).expect("it was found there") = other.clone();
            body
        });
        let removed = pointer.rsplit_once('/').and_then(|(parent, name)| {
            let mut body = request.clone();
            body.pointer_mut(parent)?.as_object_mut()?.remove(name)?;
            Some(body)
        });
        for body in changed.chain(removed) {
            let is_read = is_read(&body, method);
            *(if is_read { &mut taken } else { &mut refused }) += 1;
            assert_eq!(validator.is_valid(&body), is_read, "at {pointer:?}: {body}");
        }
    }
    assert!(
        taken > 0 && refused > 20,
        "{taken} taken, {refused} refused"
    );
}

/// The paths of a schema's properties as the decoder writes them. What is ignored is not read.
fn properties(schema: &Value, document: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        // A value within a set of values is read as the set is, and so on.
        if name.ends_with("/Ignored") || path.matches("value").count() > 3 {
            found.remove(path);
            return;
        }
        properties(
            document.pointer(&name[1..]).expect("a schema"),
            document,
            path,
            found,
        );
    }
    for all in ["anyOf", "oneOf"] {
        for schema in schema[all].as_array().into_iter().flatten() {
            properties(schema, document, path, found);
        }
    }
    if !schema["items"].is_null() {
        properties(&schema["items"], document, &format!("{path}[]"), found);
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        found.insert(path.clone());
        if name != "connectionDetails" {
            properties(schema, document, &path, found);
        }
    }
}

#[rstest]
#[case("connection.request.json", ApiMethod::Connection)]
#[case("field-names.request.json", ApiMethod::FieldNames)]
#[case("field-values.request.json", ApiMethod::FieldValues)]
#[case("metric.aggregated.request.json", ApiMethod::Metric)]
fn the_decoder_reads_the_properties_of_the_schema_and_no_others(
    #[case] file: &str,
    #[case] method: ApiMethod,
) {
    let document = document();
    let mut expected = BTreeSet::new();
    let schema = &document["components"]["schemas"][method.request_type()];
    properties(schema, &document, "", &mut expected);

    // One that has all there is.
    let mut request = message(file);
    if let Some(conditions) = request["query"]["conditions"].as_array_mut() {
        let set = json!([{"value": [{"value": "x"}], "_type": "InSetValue"}]);
        conditions.push(json!({"key": "x", "value": {"value": set, "_type": "InSetValue"}}));
    }
    reads::take();
    decode::request(request.to_string().as_bytes(), method).expect("a request");
    let read: BTreeSet<String> = reads::take()
        .into_iter()
        .filter(|path| path.matches("value").count() <= 3)
        .collect();
    expected.retain(|path| path.matches("value").count() <= 3);
    assert_eq!(read, expected);
}

#[test]
fn the_properties_of_connection_details_are_those_that_mean_something() {
    let document = document();
    let schema = &document["components"]["schemas"]["ConnectionDetails"]["properties"];
    let names: Vec<&String> = schema.as_object().expect("properties").keys().collect();
    for name in names {
        let mut details = Map::new();
        details.insert("host".to_owned(), json!("a"));
        details.insert("port".to_owned(), json!(9090));
        details.insert(name.clone(), json!([]));
        let fault = ConnectionDetails::parse(&details)
            .expect_err("a fault")
            .to_string();
        assert!(
            fault.starts_with(&format!("connectionDetails.{name} ")),
            "{fault}"
        );
        assert!(
            !validator("ConnectionDetails").is_valid(&Value::Object(details)),
            "{name}"
        );
    }
    let validator = validator("ConnectionDetails");
    for details in [
        json!({}),
        json!({"target": "a", "new": [1]}),
        json!({"host": "a", "port": 9090, "scheme": null, "path": ""}),
        json!({"host": "a", "port": "9090", "requestTimeout": "20000", "nan_interpretation": "zero"}),
        json!({"host": "a", "port": 9090, "request_timeout_seconds": 1.5}),
        json!({"url": "http://a:9090", "requestTimeout": 20_000.0}),
    ] {
        let parsed = ConnectionDetails::parse(details.as_object().expect("an object"));
        assert!(
            parsed.is_ok() && validator.is_valid(&details),
            "{details}: {parsed:?}"
        );
    }
}

#[rstest]
#[case("connection.ok.response.json", "TestConnectionResponse")]
#[case("connection.failure.response.json", "TestConnectionResponse")]
#[case("field-names.response.json", "FieldNamesResponse")]
#[case("field-values.response.json", "FieldValuesResponse")]
#[case("metric.raw.response.json", "MetricsResponse")]
#[case("metric.aggregated.response.json", "MetricsResponse")]
#[case("error.connection.json", "MetricStoreConnectionError")]
#[case("error.not-found.json", "MetricNotFoundError")]
#[case("error.unsupported.json", "UnsupportedFieldTypeError")]
#[case("error.other.json", "RemoteMirrorError")]
fn an_answer_of_the_contract_fits_its_schema_and_nothing_more_or_less_does(
    #[case] file: &str,
    #[case] schema: &str,
) {
    let validator = validator(schema);
    let answer = message(file);
    assert!(validator.is_valid(&answer));
    for pointer in pointers(&answer) {
        let mut body = answer.clone();
        if let Some(object) = body.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            object.insert("new".to_owned(), json!(1));
            assert!(!validator.is_valid(&body), "more at {pointer:?}");
        }
        let Some((parent, name)) = pointer.rsplit_once('/') else {
            continue;
        };
        let mut body = answer.clone();
        if let Some(object) = body.pointer_mut(parent).and_then(Value::as_object_mut) {
            // A failure without its error would say OK.
            object.remove(name);
            assert!(!validator.is_valid(&body), "without {pointer:?}");
        }
    }
}
