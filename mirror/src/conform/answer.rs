//! Answers, held against the contract member by member. What is wrong is written down, and what can
//! still be used is used, so that one fault does not look like ten.

use std::collections::BTreeSet;

use super::finding::{Fault, Note, What};
use super::json::{Json, Unreadable};
use super::report::clipped;

/// What was found in one answer: each kind once, with its first example.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Findings(pub Vec<(What, String)>);

impl Findings {
    pub(super) fn add(&mut self, what: impl Into<What>, detail: impl FnOnce() -> String) {
        let what = what.into();
        if !self.0.iter().any(|(known, _)| *known == what) {
            self.0.push((what, detail()));
        }
    }

    /// No fault. Notes do no harm.
    pub(super) fn is_sound(&self) -> bool {
        !(self.0.iter()).any(|(what, _)| matches!(what, What::Fault(_)))
    }
}

/// An HTTP response as far as it matters.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    /// `Content-Type`, if it is text.
    pub content_type: Option<String>,
    /// `Content-Encoding`: nothing asked for one.
    pub encoding: Option<String>,
}

/// The methods of the Mirror API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Connection,
    FieldNames,
    FieldValues,
    Metric,
}

impl Method {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Connection => "/api/connection",
            Self::FieldNames => "/api/field/name",
            Self::FieldValues => "/api/field/value",
            Self::Metric => "/api/metric",
        }
    }

    const fn response_type(self) -> &'static str {
        match self {
            Self::Connection => "TestConnectionResponse",
            Self::FieldNames => "FieldNamesResponse",
            Self::FieldValues => "FieldValuesResponse",
            Self::Metric => "MetricsResponse",
        }
    }
}

/// The contract's four errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorKind {
    Connection,
    NotFound,
    Unsupported,
    Remote,
}

impl ErrorKind {
    const ALL: [Self; 4] = [
        Self::Connection,
        Self::NotFound,
        Self::Unsupported,
        Self::Remote,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Connection => "MetricStoreConnectionError",
            Self::NotFound => "MetricNotFoundError",
            Self::Unsupported => "UnsupportedFieldTypeError",
            Self::Remote => "RemoteMirrorError",
        }
    }

    /// The members besides `_type`, all of them strings.
    const fn members(self) -> &'static [&'static str] {
        match self {
            Self::Connection => &["details"],
            Self::NotFound => &["metric", "details"],
            Self::Unsupported => &["mirrorType"],
            Self::Remote => &["summary", "details"],
        }
    }

    fn of(body: &Json) -> Option<Self> {
        let name = body.member("_type")?.text()?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An error of the contract.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MirrorError {
    pub kind: ErrorKind,
    pub status: u16,
    /// In one line.
    pub text: String,
}

/// What became of a request.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome<T> {
    /// The response that was due.
    Good(T),
    /// An error as the contract has it.
    Error(MirrorError),
    /// Something else, or nothing; the fault is written down.
    Broken,
}

/// Reads an answer of `method`; `decode` reads its own members.
pub(super) fn read<T>(
    reply: &Reply,
    method: Method,
    found: &mut Findings,
    decode: impl FnOnce(&Json, &mut Findings) -> Option<T>,
) -> Outcome<T> {
    let Reply { status, body, .. } = reply;
    let is_success = (200..300).contains(status);
    if (300..400).contains(status) {
        found.add(Fault::Redirected, || format!("HTTP {status}"));
        return Outcome::Broken;
    }
    let document = match Json::parse(body) {
        Ok(document) => document,
        Err(Unreadable::TooManyParts) => {
            found.add(too_large(method), || "over a million entries".to_owned());
            return Outcome::Broken;
        }
        Err(Unreadable::NotJson) if is_success => {
            found.add(Fault::NotJson, || not_json(reply));
            return Outcome::Broken;
        }
        Err(Unreadable::NotJson) => {
            found.add(Fault::ErrorUntyped, || {
                format!("HTTP {status}: {}", not_json(reply))
            });
            return Outcome::Broken;
        }
    };
    let json = &document.json;
    let media = (reply.content_type.as_deref()).and_then(|value| value.split(';').next());
    if !media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
        found.add(Note::ContentType, || {
            format!("it is {:?}", reply.content_type.as_deref().map(clipped))
        });
    }
    if let Some(kind) = ErrorKind::of(json) {
        let text = error(json, "", kind, found);
        if is_success {
            found.add(Fault::ErrorIn200, || format!("HTTP {status}: {text}"));
            return Outcome::Broken;
        }
        let status = *status;
        return Outcome::Error(MirrorError { kind, status, text });
    }
    let said = json.member("_type").and_then(Json::text);
    if !is_success && said != Some(method.response_type()) {
        found.add(Fault::ErrorUntyped, || {
            let said = said.map_or_else(
                || "no `_type`".to_owned(),
                |said| format!("`_type` {:?}", clipped(said)),
            );
            format!("HTTP {status} with {said}")
        });
        return Outcome::Broken;
    }
    if *status != 200 {
        found.add(Fault::StatusWrong, || format!("HTTP {status}"));
    }
    has_type(json, "", method.response_type(), found);
    let was_sound = found.is_sound();
    let decoded = decode(json, found);
    if document.had_bare_constants && was_sound && found.is_sound() {
        // Somewhere else than where `decode` found a null.
        found.add(Fault::NotJson, || {
            "it has a bare NaN or Infinity".to_owned()
        });
    }
    decoded.map_or(Outcome::Broken, Outcome::Good)
}

/// A list of everything may well be long, points may not.
pub(super) const fn too_large(method: Method) -> What {
    match method {
        Method::FieldNames | Method::FieldValues => What::Note(Note::ListingTooLarge),
        Method::Connection | Method::Metric => What::Fault(Fault::AnswerTooLarge),
    }
}

fn not_json(reply: &Reply) -> String {
    let beginning = &reply.body[..reply.body.len().min(400)];
    let text = String::from_utf8_lossy(beginning);
    match &reply.encoding {
        Some(encoding) => format!(
            "it is encoded ({}), and that was not asked for",
            clipped(encoding)
        ),
        None if text.trim().is_empty() => "it is empty".to_owned(),
        None => format!("it begins with {:?}", clipped(text.trim())),
    }
}

/// An error's members, and what it says in one line.
fn error(json: &Json, path: &str, kind: ErrorKind, found: &mut Findings) -> String {
    let mut names = vec!["_type"];
    names.extend(kind.members());
    members(json, path, &names, found);
    let texts = kind.members().iter().map(|name| {
        let value = json.member(name);
        if let Some(value) = value {
            is_text(value, &join(path, name), found);
        }
        value.and_then(Json::text).unwrap_or_default()
    });
    let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
    clipped(&format!("{}: {}", kind.name(), texts.join(": ")))
}

/// The connection works, or why it does not.
pub(super) fn connection(json: &Json, found: &mut Findings) -> Option<Result<(), String>> {
    let status = json.member("status");
    if let Some(status) = status {
        is_text(status, "status", found);
    }
    match status.and_then(Json::text) {
        Some("FAILURE") => {
            members(json, "", &["status", "error", "_type"], found);
            let failure = json.member("error")?;
            let kind = ErrorKind::Connection;
            has_type(failure, "error", kind.name(), found);
            Some(Err(error(failure, "error", kind, found)))
        }
        said => {
            members(json, "", &["status", "_type"], found);
            if let Some(said) = said
                && said != "OK"
            {
                found.add(Fault::MemberType, || {
                    format!("status: OK or FAILURE is due, not {:?}", clipped(said))
                });
            }
            said.map(|_| Ok(()))
        }
    }
}

/// A list that may be cut.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listing<T> {
    pub entries: Vec<T>,
    pub is_partial: bool,
}

/// The names of fields.
pub(super) fn field_names(json: &Json, found: &mut Findings) -> Option<Listing<String>> {
    listing(json, "fields", found, |field, path, found| {
        let names = ["_type", "classified", "fieldName", "fieldType"];
        members(field, path, &names, found);
        has_type(field, path, "FieldDescriptor", found);
        if let Some(classified) = field.member("classified") {
            is_boolean(classified, &join(path, "classified"), found);
        }
        for name in ["fieldName", "fieldType"] {
            if let Some(value) = field.member(name) {
                is_text(value, &join(path, name), found);
            }
        }
        field.member("fieldName")?.text().map(str::to_owned)
    })
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FieldValue {
    Complete(String),
    Pattern(String),
}

/// The values of a field.
pub(super) fn field_values(json: &Json, found: &mut Findings) -> Option<Listing<FieldValue>> {
    listing(json, "values", found, |value, path, found| {
        members(value, path, &["value", "_type"], found);
        if let Some(text) = value.member("value") {
            is_text(text, &join(path, "value"), found);
        }
        let text = value.member("value")?.text()?.to_owned();
        match value.member("_type")?.text() {
            Some("CompleteValue") => Some(FieldValue::Complete(text)),
            Some("FieldValuePattern") => Some(FieldValue::Pattern(text)),
            _ => {
                has_type(value, path, "CompleteValue or FieldValuePattern", found);
                None
            }
        }
    })
}

fn listing<T>(
    json: &Json,
    name: &str,
    found: &mut Findings,
    entry: impl Fn(&Json, &str, &mut Findings) -> Option<T>,
) -> Option<Listing<T>> {
    members(json, "", &[name, "isPartial", "_type"], found);
    let is_partial = partial(json, "", found);
    let elements = array(json.member(name)?, name, found)?;
    let entries = elements.iter().enumerate();
    let entries = entries
        .filter_map(|(index, element)| entry(element, &format!("{name}[{index}]"), found))
        .collect();
    Some(Listing {
        entries,
        is_partial,
    })
}

/// A point: where it starts, in epoch milliseconds, and for a bucket where it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub value: f64,
    pub start: i64,
    pub end: i64,
}

/// Points of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Telemetry {
    /// As they came, without those that are no points.
    pub points: Vec<Point>,
    pub is_partial: bool,
    /// Nothing is wrong with the answer, so that others can be compared with it.
    pub is_sound: bool,
}

/// The points of a metric, aggregated or raw.
pub(super) fn telemetry(json: &Json, aggregated: bool, found: &mut Findings) -> Option<Telemetry> {
    members(json, "", &["telemetry", "_type"], found);
    let inner = json.member("telemetry")?;
    let names = ["points", "dataFormat", "isPartial", "_type"];
    members(inner, "telemetry", &names, found);
    let (due, format): (_, &[&str]) = if aggregated {
        (
            "AggregatedMetricTelemetry",
            &["value", "startTimestamp", "endTimestamp"],
        )
    } else {
        ("RawMetricTelemetry", &["value", "timestamp"])
    };
    has_type(inner, "telemetry", due, found);
    let is_partial = partial(inner, "telemetry", found);
    let mut is_known_format = true;
    if let Some(said) = inner.member("dataFormat") {
        let said = array(said, "telemetry.dataFormat", found)?;
        is_known_format = said
            .iter()
            .map(Json::text)
            .eq(format.iter().map(|&name| Some(name)));
        if !is_known_format {
            let said: Vec<String> = (said.iter().take(4))
                .map(|name| name.text().map_or(name.kind().to_owned(), clipped))
                .collect();
            found.add(Fault::DataFormat, || {
                format!("{} is due, not {}", format.join(", "), said.join(", "))
            });
        }
    }
    let elements = array(inner.member("points")?, "telemetry.points", found)?;
    let points = if is_known_format {
        let points = elements.iter().enumerate();
        points
            .filter_map(|(index, element)| point(element, index, format.len(), found))
            .collect()
    } else {
        // They mean something else.
        Vec::new()
    };
    Some(Telemetry {
        points,
        is_partial,
        is_sound: found.is_sound(),
    })
}

fn point(json: &Json, index: usize, fields: usize, found: &mut Findings) -> Option<Point> {
    let here = || format!("telemetry.points[{index}]");
    let Json::Array(elements) = json else {
        found.add(Fault::PointShape, || {
            format!("{} is {}, not an array", here(), json.kind())
        });
        return None;
    };
    let (value, times) = match elements.split_first() {
        Some(parts) if elements.len() == fields => parts,
        _ => {
            found.add(Fault::PointShape, || {
                format!("{} has {} elements, not {fields}", here(), elements.len())
            });
            return None;
        }
    };
    let mut time = |json: &Json| match json {
        Json::Number(_, Some(whole)) => Some(*whole),
        Json::Number(number, None) if number.fract() == 0.0 && number.abs() < 9e15 => {
            found.add(Note::TimestampAsFloat, || format!("{number:?}"));
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            Some(*number as i64)
        }
        other => {
            found.add(Fault::PointShape, || {
                format!(
                    "a timestamp of {} is {}, not a whole number",
                    here(),
                    other.kind()
                )
            });
            None
        }
    };
    let start = time(times.first()?)?;
    let end = time(times.last()?)?;
    match value {
        Json::Number(value, _) => Some(Point {
            value: *value,
            start,
            end,
        }),
        other => {
            found.add(Fault::ValueNotANumber, || {
                format!("the value of {} is {}", here(), other.kind())
            });
            None
        }
    }
}

fn partial(json: &Json, path: &str, found: &mut Findings) -> bool {
    let Some(said) = json.member("isPartial") else {
        return false;
    };
    is_boolean(said, &join(path, "isPartial"), found);
    *said == Json::Bool(true)
}

fn array<'a>(json: &'a Json, path: &str, found: &mut Findings) -> Option<&'a [Json]> {
    match json {
        Json::Array(elements) => Some(elements),
        other => {
            other_type(other, path, "an array", found);
            None
        }
    }
}

fn is_text(json: &Json, path: &str, found: &mut Findings) {
    if json.text().is_none() {
        other_type(json, path, "a string", found);
    }
}

fn is_boolean(json: &Json, path: &str, found: &mut Findings) {
    if !matches!(json, Json::Bool(_)) {
        other_type(json, path, "a boolean", found);
    }
}

fn other_type(json: &Json, path: &str, due: &str, found: &mut Findings) {
    found.add(Fault::MemberType, || {
        format!("{path} is {}, not {due}", json.kind())
    });
}

/// A `_type` that is missing is found as a missing member.
fn has_type(json: &Json, path: &str, due: &str, found: &mut Findings) {
    let Some(said) = json.member("_type") else {
        return;
    };
    match said.text() {
        Some(said) if said == due => {}
        Some(said) => found.add(Fault::TypeWrong, || {
            format!(
                "{}: {due} is due, not {:?}",
                join(path, "_type"),
                clipped(said)
            )
        }),
        None => other_type(said, &join(path, "_type"), "a string", found),
    }
}

/// Exactly these members, each once.
fn members(json: &Json, path: &str, due: &[&str], found: &mut Findings) {
    let Json::Object(members) = json else {
        let path = if path.is_empty() { "the body" } else { path };
        other_type(json, path, "an object", found);
        return;
    };
    for name in due {
        if json.member(name).is_none() {
            found.add(Fault::MemberMissing, || join(path, name));
        }
    }
    let mut seen = BTreeSet::new();
    for (name, _) in members {
        if !due.contains(&name.as_str()) {
            found.add(Fault::MemberExtra, || join(path, &clipped(name)));
        } else if !seen.insert(name) {
            found.add(Fault::MemberTwice, || join(path, name));
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
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
        let read = read(&body, Method::FieldNames, &mut found, field_names);
        let listing = Listing {
            entries: vec!["job".to_owned()],
            is_partial: false,
        };
        assert_eq!((read, found), (Outcome::Good(listing), Findings::default()));
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
            Method::FieldNames,
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
            Method::Metric,
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
            Method::Connection,
            &mut found,
            connection,
        );
        assert_eq!(read, expected.map_or(Outcome::Broken, Outcome::Good));
        assert_eq!(names(&found), faults);
    }

    #[test]
    fn what_a_mirror_says_is_quoted_in_one_short_line() {
        let body = format!(
            r#"{{"_type":"RemoteMirrorError","summary":"\u001b[31m{}","details":"a\nb"}}"#,
            "x".repeat(1000)
        );
        let mut found = Findings::default();
        let Outcome::Error(error) = read(&reply(400, &body), Method::Metric, &mut found, |_, _| {
            Some(())
        }) else {
            panic!("no error")
        };
        assert!(error.text.chars().count() < 250, "{}", error.text);
        assert!(!error.text.contains(char::is_control), "{:?}", error.text);
    }
}
