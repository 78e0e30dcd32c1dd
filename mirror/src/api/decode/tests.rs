//! Bodies, and what they are or why they are not requests.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::model::time::Timestamp;
use crate::plan::kind::QueryKind;
use crate::plan::selector::{Matcher, Selector};

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
    request(&metrics(change), ApiMethod::Metric).expect_err("a fault")
}

#[test]
fn a_metrics_request_is_read_with_all_its_parts() {
    let read = request(&metrics(|_| ()), ApiMethod::Metric).expect("a request");
    let matchers = vec![Matcher::one_of(
        "job",
        ["a", "2", "2.0", "true", "b"].map(str::to_owned).to_vec(),
    )];
    let expected = MetricQuery {
        kind: QueryKind::Gauge(Selector::new("up", matchers)),
        start: Timestamp(1_000),
        end: Timestamp(2_000),
        limit: None,
        aggregation: Some(Aggregation {
            method: Method::Percentile(0.95),
            name: "PERCENTILE_95",
            bucket: Millis(60_000),
        }),
    };
    assert_eq!(read.query, Query::Metric(expected));
    assert_eq!(
        Value::Object(read.connection_details),
        json!({"target": "a"})
    );
}

/// A request whose second condition has these elements in its set.
fn with_elements(elements: &[Value]) -> Result<Request, DecodeError> {
    let body = metrics(|body| {
        body["query"]["conditions"][1]["value"]["value"] = json!(elements);
    });
    request(&body, ApiMethod::Metric)
}

#[test]
fn conditions_are_bounded_in_number_elements_and_bytes() {
    let message = |result: Result<Request, DecodeError>| result.expect_err("too much").to_string();
    let too_long =
        "the conditions take up more than 131072 bytes in a query: ask for fewer or shorter values";

    let elements = |count: usize| vec![json!("a"); count];
    assert!(with_elements(&elements(10_000)).is_ok());
    assert_eq!(
        message(with_elements(&elements(10_001))),
        "query.conditions[1].value.value: must have at most 10000 elements"
    );
    // A short number is written in several ways.
    assert!(with_elements(&vec![json!(1e308); 10_000]).is_ok());
    assert_eq!(
        message(with_elements(&vec![json!(1e20); 10_000])),
        format!("query.conditions[1].value.value: {too_long}")
    );
    let of_length = |length: usize| [json!("a".repeat(length))];
    assert!(with_elements(&of_length(131_000)).is_ok());
    assert_eq!(
        message(with_elements(&of_length(131_072))),
        format!("query.conditions[1].value.value: {too_long}")
    );
    let set = json!({"_type": "InSetValue", "value": vec!["a".repeat(16); 3_000]});
    assert_eq!(
        message(with_elements(&vec![set; 6])),
        format!("query.conditions[1].value.value[2].value: {too_long}")
    );

    let conditions = |count: usize| {
        let body = metrics(|body| {
            let all = body["query"]["conditions"]
                .as_array_mut()
                .expect("an array");
            let condition = all[1].clone();
            all.resize(count, condition);
        });
        request(&body, ApiMethod::Metric)
    };
    assert!(conditions(200).is_ok());
    assert_eq!(
        message(conditions(201)),
        "query.conditions: must have at most 200 entries"
    );

    let named = |key: &str, name: &str| {
        let body = metrics(|body| {
            let condition = &mut body["query"]["conditions"][0];
            condition["key"] = json!(key);
            condition["value"]["value"] = json!(name);
        });
        request(&body, ApiMethod::Metric)
    };
    assert_eq!(
        message(named("__counter__", &"a".repeat(131_072))),
        format!("query.conditions[0].value.value: {too_long}")
    );
    assert!(named("~", &"a".repeat(262_144)).is_ok());
    assert_eq!(
        message(named("~", &"a".repeat(262_145))),
        "query.conditions[0].value.value: must have at most 262144 bytes"
    );
}

#[rstest]
#[case("field", "query.field: must have at most 4096 bytes")]
#[case(
    "fieldValuePrefix",
    "query.fieldValuePrefix: must have at most 4096 bytes"
)]
fn what_becomes_part_of_a_url_is_bounded(#[case] field: &str, #[case] expected: &str) {
    let of_length = |length: usize| {
        let mut query = json!({"field": "job", "startTime": 0, "endTime": 1});
        query[field] = json!("a".repeat(length));
        let body = json!({"connectionDetails": {}, "query": query});
        request(body.to_string().as_bytes(), ApiMethod::FieldValues)
    };
    assert!(of_length(4_096).is_ok());
    assert_eq!(
        of_length(4_097).expect_err("too long").to_string(),
        expected
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
    let fault = request(b"{\"a\": }", ApiMethod::Metric).expect_err("a fault");
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
    assert!(request(&nested(64), ApiMethod::Metric).is_ok());
    let fault = request(&nested(65), ApiMethod::Metric).expect_err("too deep");
    assert_eq!(
        fault,
        DecodeError::Malformed("the body is nested deeper than 64 levels".to_owned())
    );
}

#[test]
fn brackets_in_strings_are_not_nesting() {
    assert_eq!(nesting(br#"{"a": "[[[[\"[[{", "b": []}"#), 2);
    for extra in [json!("[".repeat(100)), json!(vec![json!([]); 100])] {
        let body = metrics(|body| body["connectionDetails"]["extra"] = extra.clone());
        assert!(request(&body, ApiMethod::Metric).is_ok());
    }
}

/// A request for the values of a field as a client sends it.
fn values(change: impl FnOnce(&mut Value)) -> Result<ValuesQuery, DecodeError> {
    let mut body = json!({
        "_type": "FieldValuesRequest",
        "connectionDetails": {},
        "query": {
            "_type": "FieldValuesQuery",
            "field": {"fieldName": "__gauge__", "fieldType": "STRING", "classified": false, "_type": "FieldDescriptor"},
            "conditions": [], "startTime": 1_000, "endTime": 2_000, "limit": 100_500, "offset": 0, "latestFirst": true,
        },
    });
    change(&mut body);
    let body = body.to_string();
    match request(body.as_bytes(), ApiMethod::FieldValues)?.query {
        Query::FieldValues(query) => Ok(query),
        other => panic!("not a query of values: {other:?}"),
    }
}

fn set(pointer: &'static str, value: Value) -> impl FnOnce(&mut Value) {
    move |body| {
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        match body.pointer_mut(parent).expect("a field of the example") {
            Value::Array(elements) => elements[field.parse::<usize>().expect("an index")] = value,
            object => object[field] = value,
        }
    }
}

fn remove(pointer: &'static str) -> impl FnOnce(&mut Value) {
    move |body| {
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        let parent = body.pointer_mut(parent).expect("a field of the example");
        let removed = parent.as_object_mut().expect("an object").remove(field);
        assert!(removed.is_some(), "{pointer} is there to be removed");
    }
}

#[rstest]
#[case::a_descriptor(json!({"fieldName": "job", "fieldType": "STRING", "classified": false, "_type": "FieldDescriptor"}))]
#[case::our_shorthand(json!("job"))]
#[case::the_name_alone(json!({"fieldName": "job"}))]
#[case::nulls(json!({"fieldName": "job", "fieldType": null, "classified": null, "_type": null}))]
#[case::more_than_we_know(json!({"fieldName": "job", "_type": "FieldDescriptor", "displayName": "Job", "unit": {"a": [1]}}))]
#[case::classified(json!({"fieldName": "job", "fieldType": "STRING", "classified": true, "_type": "FieldDescriptor"}))]
fn a_field_is_a_descriptor_or_its_name(#[case] field: Value) {
    let read = values(set("/query/field", field)).expect("a request");
    assert_eq!(read.field, "job");
}

#[rstest]
#[case(json!(null), "query.field: is missing")]
#[case(json!(""), "query.field: must not be empty")]
#[case(json!(7), "query.field: must be a FieldDescriptor or the name of a field")]
#[case(json!(["job"]), "query.field: must be a FieldDescriptor or the name of a field")]
#[case(json!({}), "query.field.fieldName: is missing")]
#[case(json!({"fieldName": null}), "query.field.fieldName: is missing")]
#[case(json!({"fieldName": ""}), "query.field.fieldName: must not be empty")]
#[case(json!({"fieldName": 7}), "query.field.fieldName: must be a string")]
#[case(json!({"fieldName": "job", "fieldType": 7}), "query.field.fieldType: must be a string")]
#[case(json!({"fieldName": "job", "_type": "Field"}), "query.field._type: FieldDescriptor is expected here, not \"Field\"")]
fn a_field_that_cannot_be_one_is_told_why(#[case] field: Value, #[case] message: &str) {
    let fault = values(set("/query/field", field)).expect_err("a fault");
    assert_eq!(fault, DecodeError::Malformed(message.to_owned()));
}

#[rstest]
#[case("BOOLEAN")]
#[case("NUMBER")]
#[case("string")]
fn every_field_is_a_text(#[case] field_type: &str) {
    let field = json!({"fieldName": "job", "fieldType": field_type, "_type": "FieldDescriptor"});
    let fault = values(set("/query/field", field)).expect_err("a fault");
    assert_eq!(fault, DecodeError::Unsupported(field_type.to_owned()));
}

#[rstest]
#[case::null("__gauge__", json!(null), "")]
#[case::empty("__gauge__", json!(""), "")]
#[case::a_prefix("__gauge__", json!("node_cpu_"), "node_cpu_")]
#[case::our_pattern("__gauge__", json!("node_cpu_*"), "node_cpu_")]
#[case::everything("__counter__", json!("*"), "")]
#[case::no_separator("__histogram__", json!("node*"), "node")]
#[case::only_the_last_star_is_ours("__summary__", json!("a*b**"), "a*b*")]
#[case::a_star_inside("__gauge__", json!("a*b"), "a*b")]
#[case::a_backslash_is_no_escape("__gauge__", json!(r"a\*"), r"a\")]
#[case::dots("__gauge__", json!("http.server.*"), "http.server.")]
#[case::a_labels_star_is_its_own("path", json!("/api/*"), "/api/*")]
#[case::two_of_them("path", json!("**"), "**")]
#[case::and_its_backslash("path", json!(r"C:\*"), r"C:\*")]
#[case::names_as_a_label("__name__", json!("node_*"), "node_*")]
fn a_prefix_may_be_a_pattern_that_we_sent(
    #[case] field: &str,
    #[case] sent: Value,
    #[case] prefix: &str,
) {
    let descriptor = json!({"fieldName": field, "fieldType": "STRING", "_type": "FieldDescriptor"});
    for field in [json!(field), descriptor] {
        let read = values(|body| {
            body["query"]["field"] = field;
            body["query"]["fieldValuePrefix"] = sent.clone();
        });
        assert_eq!(read.expect("a request").prefix, prefix);
    }
}

#[test]
fn a_prefix_that_is_absent_is_empty() {
    assert_eq!(values(|_| ()).expect("a request").prefix, "");
}

#[rstest]
#[case(json!(2_147_483_647), None)]
#[case(json!(2_147_483_647.0), None)]
#[case(json!(4_294_967_296_i64), None)]
#[case(json!(i64::MAX), None)]
#[case(json!(u64::MAX), None)]
#[case(json!(1e300), None)]
#[case(json!(null), None)]
#[case(json!(100_500), Some(100_500))]
#[case(json!(100_500.0), Some(100_500))]
#[case(json!(2_147_483_646), Some(2_147_483_646))]
#[case(json!(1), Some(1))]
fn a_limit_that_means_all_is_none(#[case] sent: Value, #[case] limit: Option<u64>) {
    let read = values(set("/query/limit", sent)).expect("a request");
    assert_eq!(read.fields.limit, limit);
}

#[rstest]
#[case("/query/limit")]
#[case("/query/offset")]
#[case("/query/latestFirst")]
#[case("/query/conditions")]
#[case("/_type")]
#[case("/query/_type")]
#[case("/query/field/_type")]
#[case("/query/field/fieldType")]
#[case("/query/field/classified")]
fn what_may_be_absent_may_be_null(#[case] pointer: &'static str) {
    let whole = values(|_| ()).expect("a request");
    let absent = values(remove(pointer)).expect("a request without it");
    assert_eq!(values(set(pointer, Value::Null)), Ok(absent.clone()));
    if pointer != "/query/limit" {
        assert_eq!(absent, whole);
    }
}

#[rstest]
#[case(json!(0), 0)]
#[case(json!(20.0), 20)]
#[case(json!(2e1), 20)]
#[case(json!(1e300), i64::MAX as u64)]
fn an_offset_is_a_whole_number(#[case] sent: Value, #[case] offset: u64) {
    assert_eq!(
        values(set("/query/offset", sent))
            .expect("a request")
            .offset,
        offset
    );
}

#[rstest]
#[case("/query/latestFirst", json!(true))]
#[case("/query/latestFirst", json!(false))]
#[case("/query/latestFirst", json!("yes"))]
#[case("/query/metricField", json!("value"))]
#[case("/query/metricField", json!({"_type": "MetricField", "fieldName": "value"}))]
#[case("/query/metricField", json!(null))]
#[case("/query/offset", json!(0))]
#[case("/query/fieldValuePrefix", json!("x"))]
#[case("/new", json!([{"_type": "Surprise"}]))]
#[case("/query/new", json!({"_type": "Surprise"}))]
#[case("/query/aggregation/new", json!({"_type": "Surprise"}))]
#[case("/query/conditions/0/new", json!({"_type": "Surprise"}))]
#[case("/query/conditions/0/value/new", json!({"_type": "Surprise"}))]
fn what_means_nothing_for_a_metric_changes_nothing(
    #[case] pointer: &'static str,
    #[case] value: Value,
) {
    let plain = request(&metrics(|_| ()), ApiMethod::Metric).expect("a request");
    let decorated = request(&metrics(set(pointer, value)), ApiMethod::Metric);
    assert_eq!(decorated, Ok(plain));
}

#[rstest]
#[case("/_type")]
#[case("/query/_type")]
#[case("/query/aggregation/_type")]
#[case("/query/conditions/0/_type")]
#[case("/query/conditions/0/value/_type")]
#[case("/query/conditions/1/_type")]
#[case("/query/conditions/1/value/_type")]
#[case("/query/conditions/1/value/value/3/_type")]
#[case("/query/latestFirst")]
#[case("/query/metricField")]
#[case("/query/limit")]
fn a_type_that_its_place_makes_plain_may_be_left_out(#[case] pointer: &'static str) {
    let plain = request(&metrics(|_| ()), ApiMethod::Metric).expect("a request");
    let without = request(&metrics(remove(pointer)), ApiMethod::Metric);
    assert_eq!(without.as_ref(), Ok(&plain));
    let null = request(&metrics(set(pointer, Value::Null)), ApiMethod::Metric);
    assert_eq!(null, Ok(plain));
}

#[rstest]
#[case("/_type", "_type")]
#[case("/query/_type", "query._type")]
#[case("/query/aggregation/_type", "query.aggregation._type")]
#[case("/query/conditions/1/_type", "query.conditions[1]._type")]
#[case("/query/conditions/1/value/_type", "query.conditions[1].value._type")]
#[case(
    "/query/conditions/1/value/value/3/_type",
    "query.conditions[1].value.value[3]._type"
)]
fn a_type_is_a_text(#[case] pointer: &'static str, #[case] path: &str) {
    for value in [json!(7), json!({}), json!(["MetricsRequest"])] {
        let message = format!("{path}: must be a string");
        assert_eq!(
            refused(set(pointer, value)),
            DecodeError::Malformed(message)
        );
    }
}

#[rstest]
#[case(json!("1.5"), &["1.5"])]
#[case(json!(""), &[""])]
#[case(json!(2), &["2", "2.0"])]
#[case(json!(2.0), &["2", "2.0"])]
#[case(json!(0.5), &["0.5"])]
#[case(json!(true), &["true"])]
#[case(json!(["a", 2, false, {"value": "b", "_type": "StringValue"}, {"value": 3}]), &["a", "2", "2.0", "false", "b", "3", "3.0"])]
fn a_value_without_its_type_has_the_one_that_fits(#[case] value: Value, #[case] texts: &[&str]) {
    let body = metrics(|body| body["query"]["conditions"][1]["value"] = json!({"value": value}));
    let Query::Metric(read) = request(&body, ApiMethod::Metric).expect("a request").query else {
        panic!("not a metric query");
    };
    let texts = texts.iter().map(ToString::to_string).collect();
    let matchers = vec![Matcher::one_of("job", texts)];
    assert_eq!(read.kind, QueryKind::Gauge(Selector::new("up", matchers)));
}

#[rstest]
#[case(json!({}), "query.conditions[1].value.value: is missing")]
#[case(json!({"value": null}), "query.conditions[1].value.value: is missing")]
#[case(json!({"value": {}}), "query.conditions[1].value.value: must be a text, a number, true, false, or an array")]
#[case(json!({"value": 1, "_type": "StringValue"}), "query.conditions[1].value.value: must be a string")]
#[case(json!({"value": "1", "_type": "DoubleValue"}), "query.conditions[1].value.value: must be a number")]
#[case(json!({"value": "true", "_type": "BooleanValue"}), "query.conditions[1].value.value: must be true or false")]
#[case(json!({"value": "a", "_type": "InSetValue"}), "query.conditions[1].value.value: must be an array")]
#[case(json!({"value": [null], "_type": "InSetValue"}), "query.conditions[1].value.value[0]: must be an object")]
#[case(json!({"value": [{"value": 1, "_type": "StringValue"}], "_type": "InSetValue"}), "query.conditions[1].value.value[0].value: must be a string")]
fn a_value_that_is_not_of_its_type_names_its_field(#[case] value: Value, #[case] message: &str) {
    let fault = refused(|body| body["query"]["conditions"][1]["value"] = value);
    assert_eq!(fault, DecodeError::Malformed(message.to_owned()));
}

#[rstest]
#[case(json!(null))]
#[case(json!([]))]
fn conditions_may_be_none(#[case] conditions: Value) {
    let read = values(set("/query/conditions", conditions)).expect("a request");
    assert_eq!((read.fields.kind, read.fields.matchers), (None, vec![]));
}

#[rstest]
#[case::null(set("/query/aggregation", Value::Null))]
#[case::absent(remove("/query/aggregation"))]
fn without_an_aggregation_the_points_are_raw(#[case] change: impl FnOnce(&mut Value)) {
    let read = request(&metrics(change), ApiMethod::Metric).expect("a request");
    let Query::Metric(read) = read.query else {
        panic!("not a metric query");
    };
    assert_eq!(read.aggregation, None);
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    let plain = request(&metrics(|_| ()), ApiMethod::Metric).expect("a request");
    let floats = metrics(|body| {
        let query = &mut body["query"];
        query["startTime"] = json!(1_000.0);
        query["endTime"] = json!(2_000.0);
        query["limit"] = json!(2_147_483_647.0);
        query["aggregation"]["bucketSizeMillis"] = json!(60_000.0);
    });
    assert_eq!(request(&floats, ApiMethod::Metric), Ok(plain));
    let scientific = String::from_utf8(metrics(|_| ())).expect("text");
    let scientific = scientific.replace(":60000", ":6.0e4");
    let read = request(scientific.as_bytes(), ApiMethod::Metric);
    assert!(read.is_ok(), "{read:?}");
}

#[test]
fn an_explanation_finds_the_type_in_the_request_or_in_its_query() {
    let plain = request(&metrics(|_| ()), ApiMethod::Explain).expect("a request");
    assert_eq!(
        request(&metrics(remove("/_type")), ApiMethod::Explain),
        Ok(plain)
    );
    let nowhere = metrics(|body| {
        remove("/_type")(body);
        remove("/query/_type")(body);
    });
    let fault = DecodeError::Malformed("_type: is missing".to_owned());
    assert_eq!(request(&nowhere, ApiMethod::Explain), Err(fault));
}

#[test]
fn a_message_does_not_grow_with_the_text_that_it_quotes() {
    let long = "x".repeat(1 << 19);
    let quoted = "x".repeat(80) + "…";
    for (pointer, message) in [
        (
            "/_type",
            format!("_type: MetricsRequest is expected here, not {quoted:?}"),
        ),
        (
            "/query/conditions/0/_type",
            format!(
                "query.conditions[0]._type: EqualityCondition is the only one there is, not {quoted:?}"
            ),
        ),
    ] {
        let fault = refused(|body| *body.pointer_mut(pointer).expect("a field") = json!(long));
        assert_eq!(fault, DecodeError::Malformed(message));
    }
    for pointer in [
        "/query/conditions/0/value/_type",
        "/query/conditions/1/value/_type",
        "/query/aggregation/method",
    ] {
        let fault = refused(|body| *body.pointer_mut(pointer).expect("a field") = json!(long));
        assert_eq!(fault, DecodeError::Unsupported(quoted.clone()));
    }
}

proptest! {
    #[test]
    fn no_body_makes_the_decoder_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = request(&body, ApiMethod::Explain);
    }
}
