//! An answer that is a success and not Prometheus': what it is instead, in words for the user.

use super::refusal::PAGE_HINT;
use super::{Client, MAX_ERROR_BYTES, PATIENCE};
use crate::prometheus::StoreError;
use crate::prometheus::decode::{DecodeError, Decoder};
use crate::prometheus::http::{Body, Said, Secrets};

/// UTF-8's byte order mark, which JSON must not begin with.
const MARK: &[u8] = b"\xef\xbb\xbf";

impl Client {
    /// What a success says that does not begin as JSON does. `begun` is what came.
    pub(super) async fn foreign(
        &self,
        content_type: Option<&str>,
        begun: &[u8],
        mut body: Body,
        secrets: &Secrets,
    ) -> StoreError {
        let beginning = body.beginning(begun, MAX_ERROR_BYTES, PATIENCE).await;
        self.not_json(content_type, &beginning, secrets)
    }

    fn not_json(
        &self,
        content_type: Option<&str>,
        beginning: &[u8],
        secrets: &Secrets,
    ) -> StoreError {
        let name = &self.name;
        let message = match Said::of(content_type, beginning, secrets) {
            Said::Html(title) => {
                let title = title.map_or_else(String::new, |title| format!(" titled \"{title}\""));
                format!("{name} answered an HTML page{title}: {PAGE_HINT}")
            }
            Said::Xml(text) if text.is_empty() => {
                format!("{name} answered XML instead of Prometheus' JSON: is the URL right?")
            }
            Said::Xml(text) => {
                format!("{name} answered XML instead of Prometheus' JSON: {text}")
            }
            Said::Data if beginning.starts_with(b"\x1f\x8b") => format!(
                "{name} answered gzip data without saying so: does a proxy drop the header Content-Encoding?"
            ),
            Said::Data => format!(
                "{name} answered data that are no text instead of Prometheus' JSON: is the URL right?"
            ),
            Said::Words(text) if is_exposition(&text) => format!(
                "{name} answered a page of metrics instead of Prometheus' JSON: does the URL lead to an exporter, or end in /metrics?"
            ),
            Said::Words(text)
                if !["null", "true", "false"].contains(&text.as_str())
                    && !begins_as_json(beginning.strip_prefix(MARK).unwrap_or(beginning)) =>
            {
                format!("{name} answered text instead of Prometheus' JSON: {text}")
            }
            _ => return self.not_prometheus(&reason(beginning)),
        };
        StoreError::Unreachable(message)
    }
}

/// Whether a body that begins with this byte begins with a value of JSON other than a word.
pub(super) fn begins_json(first: u8) -> bool {
    matches!(first, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9')
}

/// Whether a body begins with a value of JSON other than a word.
fn begins_as_json(body: &[u8]) -> bool {
    first_byte(body).is_none_or(begins_json)
}

/// The first byte that is not white space.
pub(super) fn first_byte(body: &[u8]) -> Option<u8> {
    body.iter()
        .copied()
        .find(|byte| !byte.is_ascii_whitespace())
}

fn is_exposition(first_line: &str) -> bool {
    first_line.starts_with("# HELP ") || first_line.starts_with("# TYPE ")
}

/// Why a body is not JSON of Prometheus.
fn reason(body: &[u8]) -> String {
    if body.starts_with(MARK) {
        return "it begins with a byte order mark".to_owned();
    }
    let mut decoder = Decoder::default();
    let end = match decoder.push(body) {
        Ok(()) => decoder.finish().err(),
        Err(error) => Some(error),
    };
    end.map_or_else(
        || "it is not what was asked for".to_owned(),
        |error: DecodeError| error.to_string(),
    )
}
