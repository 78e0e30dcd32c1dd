//! Members of an object, held against those that are due.

use std::collections::BTreeSet;

use super::Findings;
use crate::conform::finding::Fault;
use crate::conform::json::Json;
use crate::conform::report::clipped;

pub(super) fn partial(json: &Json, path: &str, found: &mut Findings) -> bool {
    let Some(said) = json.member("isPartial") else {
        return false;
    };
    is_boolean(said, &join(path, "isPartial"), found);
    *said == Json::Bool(true)
}

pub(super) fn array<'a>(json: &'a Json, path: &str, found: &mut Findings) -> Option<&'a [Json]> {
    match json {
        Json::Array(elements) => Some(elements),
        other => {
            other_type(other, path, "an array", found);
            None
        }
    }
}

pub(super) fn is_text(json: &Json, path: &str, found: &mut Findings) {
    if json.text().is_none() {
        other_type(json, path, "a string", found);
    }
}

pub(super) fn is_boolean(json: &Json, path: &str, found: &mut Findings) {
    if !matches!(json, Json::Bool(_)) {
        other_type(json, path, "a boolean", found);
    }
}

pub(super) fn other_type(json: &Json, path: &str, due: &str, found: &mut Findings) {
    found.add(Fault::MemberType, || {
        format!("{path} is {}, not {due}", json.kind())
    });
}

/// A `_type` that is missing is found as a missing member.
pub(super) fn has_type(json: &Json, path: &str, due: &str, found: &mut Findings) {
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
pub(super) fn members(json: &Json, path: &str, due: &[&str], found: &mut Findings) {
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

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
