//! What a body says that is not the answer of Prometheus that is due.

use serde_json::Value;

use super::markup;
use super::quote::{Secrets, first_line, quote};
use crate::prometheus::decode::small;

/// How deeply a message is looked for.
const DEPTH: usize = 4;

/// Fields of an error's JSON that hold its message, the most telling first.
const MESSAGES: [&str; 12] = [
    "message",
    "Message",
    "error_description",
    "errorMessage",
    "error_message",
    "error",
    "errors",
    "detail",
    "details",
    "msg",
    "reason",
    "title",
];

/// What a body says. Texts are fit for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::prometheus) enum Said {
    /// Nothing.
    Nothing,
    /// An error in Prometheus' form, its message not yet cut for a message of ours.
    Complaint {
        /// `errorType`
        kind: String,
        /// `error`
        message: String,
    },
    /// The message of other JSON, or the first line of plain text.
    Words(String),
    /// A page, and its title if it has one.
    Html(Option<String>),
    /// XML, reduced to its text.
    Xml(String),
    /// JSON without a message.
    Json(String),
    /// Data that are no text.
    Data,
}

impl Said {
    /// What `body` says, which may be cut off; `content_type` is what its head calls it.
    pub(in crate::prometheus) fn of(
        content_type: Option<&str>,
        body: &[u8],
        secrets: &Secrets,
    ) -> Self {
        if body.starts_with(b"\x1f\x8b") {
            return Self::Data;
        }
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Self::Nothing;
        }
        if text.starts_with(['{', '[']) {
            if let Some((kind, message)) = small::decode_error(text.as_bytes()) {
                return Self::Complaint { kind, message };
            }
            let message = serde_json::from_str::<Value>(text)
                .ok()
                .and_then(|json| message(&json, DEPTH));
            return match message {
                Some(message) => Self::Words(quote(&message, secrets)),
                None => Self::Json(first_line(text, secrets)),
            };
        }
        let says_html = content_type.is_some_and(|kind| {
            let kind = kind.trim_start().to_ascii_lowercase();
            kind.starts_with("text/html") || kind.starts_with("application/xhtml")
        });
        if says_html || markup::is_html(text) {
            let title = markup::title(text).map(|title| quote(&title, secrets));
            return Self::Html(title.filter(|title| !title.is_empty()));
        }
        if markup::is_markup(text) {
            return Self::Xml(quote(&markup::text(text), secrets));
        }
        let beginning = || text.chars().take(256);
        let odd = beginning().filter(|c| *c == '\u{fffd}' || c.is_control() && !c.is_whitespace());
        if odd.count() * 8 > beginning().count() {
            return Self::Data;
        }
        Self::Words(first_line(text, secrets))
    }
}

/// The message in an error's JSON, wherever the well-known forms have it.
fn message(json: &Value, depth: usize) -> Option<String> {
    if depth == 0 {
        return None;
    }
    match json {
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Array(values) => values.iter().find_map(|value| message(value, depth - 1)),
        Value::Object(fields) => {
            // RFC 6749: the code, and perhaps more.
            if let (Some(Value::String(code)), Some(Value::String(more))) =
                (fields.get("error"), fields.get("error_description"))
            {
                return Some(format!("{code}: {more}"));
            }
            let found = MESSAGES.iter().filter_map(|name| fields.get(*name));
            let mut found = found.filter_map(|value| message(value, depth - 1));
            found.next().or_else(|| {
                // Amazon's kind of error, behind the name of a service.
                let kind = fields
                    .get("__type")
                    .or_else(|| fields.get("code"))?
                    .as_str()?;
                Some(kind.rsplit('#').next().unwrap_or(kind).to_owned())
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(content_type: &str, body: &str) -> Said {
        Said::of(Some(content_type), body.as_bytes(), &Secrets::default())
    }

    fn words(text: &str) -> Said {
        Said::Words(text.to_owned())
    }

    #[test]
    fn messages_are_found_in_the_forms_that_servers_have() {
        let table = [
            (r#"{"message":"Rate exceeded"}"#, "Rate exceeded"),
            (
                r#"{"Message":"User is not authorized"}"#,
                "User is not authorized",
            ),
            (
                r#"{"error":"invalid_token","error_description":"it has expired"}"#,
                "invalid_token: it has expired",
            ),
            (
                r#"{"error":{"code":403,"message":"Permission denied","status":"X"}}"#,
                "Permission denied",
            ),
            (r#"[{"error":{"code":401,"message":"no"}}]"#, "no"),
            (
                r#"{"errors":[{"message":"first"},{"message":"second"}]}"#,
                "first",
            ),
            (
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no endpoints available for service \"p\"","reason":"ServiceUnavailable","code":503}"#,
                "no endpoints available for service \"p\"",
            ),
            (
                r#"{"type":"about:blank","title":"Forbidden","detail":"no scope","status":403}"#,
                "no scope",
            ),
            (
                r#"{"__type":"com.amazon#AccessDeniedException"}"#,
                "AccessDeniedException",
            ),
            (
                r#"{"code":401,"msg":"unauthenticated: token=abc"}"#,
                "unauthenticated: token=***",
            ),
            (r#"{"traceId":"","message":" ","detail":"x"}"#, "x"),
        ];
        for (body, expected) in table {
            assert_eq!(said("application/json", body), words(expected), "{body}");
        }
    }

    #[test]
    fn a_body_is_known_for_what_it_is() {
        let complaint = Said::Complaint {
            kind: "bad_data".to_owned(),
            message: "x".to_owned(),
        };
        let table = [
            ("", " \r\n", Said::Nothing),
            (
                "application/json",
                r#"{"status":"error","errorType":"bad_data","error":"x"}"#,
                complaint,
            ),
            (
                "application/json",
                r#"{"a":1}"#,
                Said::Json(r#"{"a":1}"#.to_owned()),
            ),
            (
                "application/json",
                r#"{"message":"cut of"#,
                Said::Json(r#"{"message":"cut of"#.to_owned()),
            ),
            (
                "text/html; charset=utf-8",
                "<title>Sign in</title>",
                Said::Html(Some("Sign in".to_owned())),
            ),
            (
                "text/plain",
                "<!doctype html><title>A</title>",
                Said::Html(Some("A".to_owned())),
            ),
            ("text/html", "please sign in", Said::Html(None)),
            (
                "application/xml",
                "<Error><Message>no</Message></Error>",
                Said::Xml("no".to_owned()),
            ),
            (
                "text/plain",
                "\n 404 page not found\nx",
                words("404 page not found"),
            ),
            ("text/plain", "a < b", words("a < b")),
            ("", "\u{1}\u{2}\u{3}\u{4}a", Said::Data),
            ("", "\u{1f}", Said::Data),
        ];
        for (content_type, body, expected) in table {
            assert_eq!(said(content_type, body), expected, "{body:?}");
        }
        let gzip = Said::of(None, b"\x1f\x8b\x08\x00", &Secrets::default());
        assert_eq!(gzip, Said::Data);
    }

    #[test]
    fn deep_json_is_not_followed() {
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        assert!(matches!(said("", &deep), Said::Json(_)));
        let deeper = "{\"error\":".repeat(5_000);
        assert!(matches!(said("", &deeper), Said::Json(_)));
    }
}
