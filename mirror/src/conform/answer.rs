//! Answers, held against the contract member by member. What is wrong is written down, and what can
//! still be used is used, so that one fault does not look like ten.

mod error;
mod fields;
mod members;
mod points;

use self::error::error;
pub(super) use self::error::{ErrorKind, MirrorError};
pub(super) use self::fields::{FieldValue, Listing, field_names, field_values};
use self::members::{has_type, is_text, members};
#[cfg(test)]
pub(super) use self::points::Point;
pub(super) use self::points::{Telemetry, telemetry};
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

/// The methods of the Mirror API. A check of mirrors has a table of its own: the mirror's could be
/// wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Connection,
    FieldNames,
    FieldValues,
    Metric,
}

impl Endpoint {
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

/// What became of a request.
#[derive(Debug, PartialEq)]
pub(super) enum Reading<T> {
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
    method: Endpoint,
    found: &mut Findings,
    decode: impl FnOnce(&Json, &mut Findings) -> Option<T>,
) -> Reading<T> {
    let Reply { status, body, .. } = reply;
    let is_success = (200..300).contains(status);
    if (300..400).contains(status) {
        found.add(Fault::Redirected, || format!("HTTP {status}"));
        return Reading::Broken;
    }
    let document = match Json::parse(body) {
        Ok(document) => document,
        Err(why) => {
            unreadable(reply, method, why, is_success, found);
            return Reading::Broken;
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
            return Reading::Broken;
        }
        let status = *status;
        return Reading::Error(MirrorError { kind, status, text });
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
        return Reading::Broken;
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
    decoded.map_or(Reading::Broken, Reading::Good)
}

fn unreadable(
    reply: &Reply,
    method: Endpoint,
    why: Unreadable,
    is_success: bool,
    found: &mut Findings,
) {
    match why {
        Unreadable::TooManyParts => {
            found.add(too_large(method), || "over a million entries".to_owned());
        }
        Unreadable::NotJson if is_success => found.add(Fault::NotJson, || not_json(reply)),
        Unreadable::NotJson => found.add(Fault::ErrorUntyped, || {
            format!("HTTP {}: {}", reply.status, not_json(reply))
        }),
    }
}

/// A list of everything may well be long, points may not.
pub(super) const fn too_large(method: Endpoint) -> What {
    match method {
        Endpoint::FieldNames | Endpoint::FieldValues => What::Note(Note::ListingTooLarge),
        Endpoint::Connection | Endpoint::Metric => What::Fault(Fault::AnswerTooLarge),
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

#[cfg(test)]
mod tests;
