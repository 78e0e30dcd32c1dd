//! The calls of the target that an answer took, beside the answer: in a header, so that the body
//! stays what StackState gets. Only the console's port has it.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::model::notes::{CallMade, Notes};

/// Has the calls as JSON.
static CALLS_HEADER: HeaderName = HeaderName::from_static("x-mirror-calls");

/// The longest value of the header, in bytes: browsers and HTTP libraries take several times as
/// much.
const LONGEST: usize = 16 << 10;

/// Answers a request, and says which calls that took.
pub(in crate::http) async fn show(mut request: Request, next: Next) -> Response {
    let notes = Arc::new(Notes::describing_calls());
    request.extensions_mut().insert(Arc::clone(&notes));
    let mut response = next.run(request).await;
    if notes.read().calls > 0
        && let Ok(value) = HeaderValue::from_str(&written(&notes))
    {
        response.headers_mut().insert(CALLS_HEADER.clone(), value);
    }
    response
}

/// The calls that have ended, in that order, and how many more there are.
fn written(notes: &Notes) -> String {
    let mut text = String::from(r#"{"calls":["#);
    let mut shown = 0;
    for call in notes.calls_made() {
        let call = in_ascii(&described(call).to_string());
        if text.len() + call.len() > LONGEST {
            break;
        }
        text.push_str(if shown > 0 { "," } else { "" });
        text.push_str(&call);
        shown += 1;
    }
    let more = notes.read().calls.saturating_sub(shown);
    // Writing to a string cannot fail.
    let _ = write!(text, r#"],"more":{more}}}"#);
    text
}

fn described(call: CallMade) -> Value {
    let mut described = json!({
        "path": call.path,
        "promql": call.promql,
        "ms": call.duration.as_micros() as f64 / 1e3,
    });
    match call.result {
        Ok(answer) => {
            described["method"] = json!(if answer.is_post { "POST" } else { "GET" });
            described["status"] = json!(answer.status);
            described["bytes"] = json!(answer.bytes);
            described["samples"] = json!(answer.samples);
        }
        Err(error) => described["error"] = json!(error),
    }
    described
}

/// JSON with all but the visible characters of ASCII and the space escaped, as headers need it.
fn in_ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::notes::CallAnswer;

    fn call(promql: &str, result: Result<CallAnswer, String>) -> CallMade {
        CallMade {
            path: "/api/v1/query".to_owned(),
            promql: Some(promql.to_owned()),
            duration: Duration::from_micros(12_345),
            result,
        }
    }

    fn read(notes: &Notes) -> Value {
        let written = written(notes);
        assert!(HeaderValue::from_str(&written).is_ok(), "{written}");
        assert!(written.len() <= LONGEST + 32, "{} bytes", written.len());
        serde_json::from_str(&written).unwrap()
    }

    #[test]
    fn calls_are_written_as_json_that_a_header_can_carry() {
        let notes = Notes::describing_calls();
        let answer = CallAnswer {
            is_post: true,
            status: 200,
            bytes: 456,
            samples: 7,
        };
        let awkward = "a{b=\"ü😀\n\u{7f}\"}";
        for result in [Ok(answer), Err("it is gone".to_owned())] {
            notes.call(None);
            notes.ended(call(awkward, result));
        }
        // Under way when the answer was there.
        notes.call(None);
        let expected = json!({"calls": [
            {"path": "/api/v1/query", "promql": awkward, "ms": 12.345, "method": "POST",
             "status": 200, "bytes": 456, "samples": 7},
            {"path": "/api/v1/query", "promql": awkward, "ms": 12.345, "error": "it is gone"},
        ], "more": 1});
        assert_eq!(read(&notes), expected);
    }

    #[test]
    fn more_than_a_header_takes_is_counted() {
        let notes = Notes::describing_calls();
        for _ in 0..40 {
            notes.call(None);
            notes.ended(call(&"ü".repeat(500), Err(String::new())));
        }
        let read = read(&notes);
        let shown = read["calls"].as_array().map_or(0, Vec::len);
        assert!((1..40).contains(&shown), "{shown}");
        assert_eq!(read["more"], json!(40 - shown));
    }
}
