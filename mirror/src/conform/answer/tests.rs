//! Answers, and the breaches of the contract that are found in them.

use rstest::rstest;

use super::*;

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status,
        body: body.as_bytes().to_vec(),
        content_type: Some("application/json; charset=UTF-8".to_owned()),
        encoding: None,
    }
}

fn names(found: &Findings) -> Vec<&'static str> {
    found.0.iter().map(|(what, _)| what.name()).collect()
}

const FIELD: &str =
    r#"{"_type":"FieldDescriptor","classified":false,"fieldName":"job","fieldType":"STRING"}"#;

fn names_response(fields: &str) -> String {
    format!(r#"{{"fields":[{fields}],"isPartial":false,"_type":"FieldNamesResponse"}}"#)
}

#[test]
fn an_answer_of_the_contract_has_no_finding() {
    let mut found = Findings::default();
    let body = reply(200, &names_response(FIELD));
    let read = read(&body, Endpoint::FieldNames, &mut found, field_names);
    let listing = Listing {
        entries: vec!["job".to_owned()],
        is_partial: false,
    };
    assert_eq!((read, found), (Reading::Good(listing), Findings::default()));
}

#[rstest]
#[case(200, "<html>", &["not-json"])]
#[case(502, "<html>", &["error-untyped"])]
#[case(500, r#"{"message":"no"}"#, &["error-untyped"])]
#[case(302, "", &["redirected"])]
#[case(500, &names_response(FIELD), &["status-wrong"])]
#[case(200, r#"{"_type":"RemoteMirrorError","summary":"a","details":"b"}"#, &["error-in-200"])]
#[case(400, r#"{"_type":"RemoteMirrorError","summary":"a","details":"b"}"#, &[])]
#[case(400, r#"{"_type":"RemoteMirrorError","summary":"a"}"#, &["member-missing"])]
#[case(422, r#"{"_type":"UnsupportedFieldTypeError","mirrorType":3}"#, &["member-type"])]
#[case(200, r#"{"fields":[],"isPartial":false,"_type":"FieldValuesResponse"}"#, &["type-wrong"])]
#[case(200, r#"{"fields":[],"isPartial":false,"_type":null}"#, &["member-type"])]
#[case(200, r#"{"fields":[],"isPartial":false}"#, &["member-missing"])]
#[case(200, r#"{"fields":[],"isPartial":"no","_type":"FieldNamesResponse"}"#, &["member-type"])]
#[case(200, r#"{"fields":{},"isPartial":false,"_type":"FieldNamesResponse"}"#, &["member-type"])]
#[case(200, r#"{"fields":[],"isPartial":false,"more":1,"_type":"FieldNamesResponse"}"#, &["member-extra"])]
#[case(200, r#"{"fields":[],"fields":[],"isPartial":false,"_type":"FieldNamesResponse"}"#, &["member-twice"])]
#[case(200, r#"{"fields":[],"isPartial":NaN,"_type":"FieldNamesResponse"}"#, &["member-type"])]
#[case(200, "[]", &["member-type"])]
#[case(200, &names_response(r#"{"_type":"Field","classified":false,"fieldName":"job","fieldType":"STRING"}"#), &["type-wrong"])]
#[case(200, &names_response(r#"{"_type":"FieldDescriptor","classified":0,"fieldName":1,"fieldType":"STRING"}"#), &["member-type"])]
fn each_breach_of_a_listing_is_named(
    #[case] status: u16,
    #[case] body: &str,
    #[case] expected: &[&str],
) {
    let mut found = Findings::default();
    let _ = read(
        &reply(status, body),
        Endpoint::FieldNames,
        &mut found,
        field_names,
    );
    assert_eq!(names(&found), expected, "{found:?}");
}

#[rstest]
#[case("[[1.5,60000,120000],[2,120000,180000]]", &[])]
#[case("[[1.5,60000.0,120000.0]]", &["timestamp-as-float"])]
#[case("[[\"1.5\",60000,120000]]", &["value-not-a-number"])]
#[case("[[NaN,60000,120000]]", &["value-not-a-number"])]
#[case("[[null,60000,120000]]", &["value-not-a-number"])]
#[case("[[1,60000]]", &["point-shape"])]
#[case("[[1,60000,\"120000\"]]", &["point-shape"])]
#[case("[[1,60000.5,120000]]", &["point-shape"])]
#[case("[{\"value\":1}]", &["point-shape"])]
#[case("[[]]", &["point-shape"])]
#[case("null", &["member-type"])]
fn each_breach_of_points_is_named(#[case] points: &str, #[case] expected: &[&str]) {
    let body = format!(
        r#"{{"telemetry":{{"points":{points},"dataFormat":["value","startTimestamp","endTimestamp"],"isPartial":false,"_type":"AggregatedMetricTelemetry"}},"_type":"MetricsResponse"}}"#
    );
    let mut found = Findings::default();
    let _ = read(
        &reply(200, &body),
        Endpoint::Metric,
        &mut found,
        |json, found| telemetry(json, true, found),
    );
    assert_eq!(names(&found), expected, "{found:?}");
}

#[rstest]
#[case(r#"{"status":"OK","_type":"TestConnectionResponse"}"#, Some(Ok(())), &[])]
#[case(
    r#"{"status":"FAILURE","error":{"_type":"MetricStoreConnectionError","details":"x"},"_type":"TestConnectionResponse"}"#,
    Some(Err("MetricStoreConnectionError: x".to_owned())), &[]
)]
#[case(r#"{"status":"FAILURE","_type":"TestConnectionResponse"}"#, None, &["member-missing"])]
#[case(r#"{"status":"Fine","_type":"TestConnectionResponse"}"#, Some(Ok(())), &["member-type"])]
#[case(r#"{"status":"OK","error":null,"_type":"TestConnectionResponse"}"#, Some(Ok(())), &["member-extra"])]
fn a_connection_test_is_ok_or_a_failure(
    #[case] body: &str,
    #[case] expected: Option<Result<(), String>>,
    #[case] faults: &[&str],
) {
    let mut found = Findings::default();
    let read = read(
        &reply(200, body),
        Endpoint::Connection,
        &mut found,
        connection,
    );
    assert_eq!(read, expected.map_or(Reading::Broken, Reading::Good));
    assert_eq!(names(&found), faults);
}

#[test]
fn what_a_mirror_says_is_quoted_in_one_short_line() {
    let body = format!(
        r#"{{"_type":"RemoteMirrorError","summary":"\u001b[31m{}","details":"a\nb"}}"#,
        "x".repeat(1000)
    );
    let mut found = Findings::default();
    let Reading::Error(error) = read(&reply(400, &body), Endpoint::Metric, &mut found, |_, _| {
        Some(())
    }) else {
        panic!("no error")
    };
    assert!(error.text.chars().count() < 250, "{}", error.text);
    assert!(!error.text.contains(char::is_control), "{:?}", error.text);
}
