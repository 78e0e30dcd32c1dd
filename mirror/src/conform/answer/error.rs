//! Errors of the contract.

use super::Findings;
use super::members::{is_text, join, members};
use crate::conform::json::Json;
use crate::conform::report::clipped;

/// The contract's four errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conform) enum ErrorKind {
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

    pub(super) const fn name(self) -> &'static str {
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

    pub(in crate::conform) fn of(body: &Json) -> Option<Self> {
        let name = body.member("_type")?.text()?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An error of the contract.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::conform) struct MirrorError {
    pub kind: ErrorKind,
    pub status: u16,
    /// In one line.
    pub text: String,
}

/// An error's members, and what it says in one line.
pub(super) fn error(json: &Json, path: &str, kind: ErrorKind, found: &mut Findings) -> String {
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
