//! Bodies, and what they are or why they are not requests.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

fn metrics(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut body = json!({
        "_type": "MetricsRequest",
        "connectionDetails": {"target": "a"},
        "query": {
            "_type": "MetricsQuery",
            "conditions": [
                {"key": "__gauge__", "value": {"value": "up", "_type": "StringValue"}, "_type": "EqualityCondition"},
                {"key": "job", "value": {"value": ["a", 2.0, true, {"value": "b", "_type": "StringValue"}], "_type": "InSetValue"}, "_type": "EqualityCondition"},
            ],
            "startTime": 1_000, "endTime": 2_000, "limit": 2_147_483_647, "latestFirst": true, "metricField": "value",
            "aggregation": {"method": "PERCENTILE_95", "bucketSizeMillis": 60_000, "_type": "Aggregation"},
        },
    });
    change(&mut body);
    body.to_string().into_bytes()
}

fn refused(change: impl FnOnce(&mut Value)) -> DecodeError {
    request(&metrics(change), Some(RequestType::Metric)).expect_err("a fault")
}

#[test]
fn a_metrics_request_is_read_with_all_its_parts() {
    let read = request(&metrics(|_| ()), Some(RequestType::Metric)).expect("a request");
    let matchers = vec![Matcher::one_of(
        "job",
        ["a", "2", "2.0", "true", "b"].map(str::to_owned).to_vec(),
    )];
    let expected = MetricRequest {
        kind: Kind::Gauge(Selector::new("up", matchers)),
        start: Timestamp(1_000),
        end: Timestamp(2_000),
        limit: None,
        aggregation: Some(Aggregation {
            method: Method::Percentile(0.95),
            bucket: Millis(60_000),
        }),
        method: Some("PERCENTILE_95".to_owned()),
    };
    assert_eq!(read.query, Query::Metric(expected));
    assert_eq!(
        Value::Object(read.connection_details),
        json!({"target": "a"})
    );
}

#[rstest]
#[case("/query/startTime", json!(null), "query.startTime: is missing")]
#[case("/query/startTime", json!("now"), "query.startTime: must be a whole number")]
#[case("/query/startTime", json!(-1), "query.startTime: must be milliseconds since 1970, no later than the year 9999")]
#[case("/query/startTime", json!(3_000), "query.startTime: 3000 is after the endTime 2000")]
#[case("/query/limit", json!(0), "query.limit: must be at least 1; leave it out for no limit")]
#[case("/query/limit", json!(-5), "query.limit: must not be negative")]
#[case("/query/_type", json!("FieldNamesQuery"), "query._type: MetricsQuery is expected here, not \"FieldNamesQuery\"")]
#[case("/_type", json!("Surprise"), "_type: MetricsRequest is expected here, not \"Surprise\"")]
#[case("/connectionDetails", json!(null), "connectionDetails: is missing")]
#[case("/query", json!([]), "query: must be an object")]
#[case("/query/conditions", json!({}), "query.conditions: must be an array")]
#[case("/query/conditions/0/key", json!(7), "query.conditions[0].key: must be a string")]
#[case("/query/conditions/1/key", json!(""), "query.conditions[1].key: must not be empty")]
#[case("/query/conditions/1/key", json!("__counter__"), "query.conditions[1].key: __counter__ says which metric is meant, but __gauge__ does already")]
#[case("/query/conditions/1/_type", json!("Like"), "query.conditions[1]._type: EqualityCondition is the only one there is, not \"Like\"")]
#[case("/query/conditions/1/value/value", json!([]), "query.conditions[1].value.value: must have at least one element")]
#[case("/query/conditions/1/value/value/0", json!([]), "query.conditions[1].value.value[0]: must be an object")]
#[case("/query/aggregation/bucketSizeMillis", json!(0), "query.aggregation.bucketSizeMillis: must be at least 1")]
#[case("/query/aggregation/bucketSizeMillis", json!(1.5), "query.aggregation.bucketSizeMillis: must be a whole number")]
fn a_fault_names_its_field(#[case] pointer: &str, #[case] value: Value, #[case] message: &str) {
    let fault = refused(|body| *body.pointer_mut(pointer).expect("a field of the example") = value);
    assert_eq!(fault, DecodeError::Malformed(message.to_owned()));
}

#[rstest]
#[case("/query/conditions/0/value/_type", json!("InSetValue"), "InSetValue")]
#[case("/query/conditions/1/value/_type", json!("DateValue"), "DateValue")]
#[case("/query/aggregation/method", json!("MEDIAN"), "MEDIAN")]
fn a_type_without_meaning_is_named(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] mirror_type: &str,
) {
    let fault = refused(|body| *body.pointer_mut(pointer).expect("a field of the example") = value);
    assert_eq!(fault, DecodeError::Unsupported(mirror_type.to_owned()));
}

#[test]
fn a_metric_query_without_a_metric_is_not_found() {
    assert_eq!(
        refused(|body| body["query"]["conditions"] = json!([])),
        DecodeError::NoKind
    );
}

#[test]
fn a_body_that_is_no_json_says_where() {
    let fault = request(b"{\"a\": }", Some(RequestType::Metric)).expect_err("a fault");
    assert_eq!(
        fault,
        DecodeError::Malformed(
            "the body is not JSON: expected value at line 1 column 7".to_owned()
        )
    );
}

#[test]
fn sixty_four_levels_are_read_and_sixty_five_are_not() {
    let nested = |depth: usize| {
        metrics(|body| {
            // The root and the details are two levels.
            let inner = "[".repeat(depth - 2) + &"]".repeat(depth - 2);
            body["connectionDetails"]["extra"] = serde_json::from_str(&inner).expect("JSON");
        })
    };
    assert!(request(&nested(64), Some(RequestType::Metric)).is_ok());
    let fault = request(&nested(65), Some(RequestType::Metric)).expect_err("too deep");
    assert_eq!(
        fault,
        DecodeError::Malformed("the body is nested deeper than 64 levels".to_owned())
    );
}

#[test]
fn brackets_in_strings_are_not_nesting() {
    assert_eq!(nesting(br#"{"a": "[[[[\"[[{", "b": []}"#), 2);
}

proptest! {
    #[test]
    fn no_body_makes_the_decoder_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = request(&body, None);
    }
}
