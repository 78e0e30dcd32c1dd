//! The answers of the two methods of fields.

use super::Findings;
use super::members::{array, has_type, is_boolean, is_text, join, members, partial};
use crate::conform::json::Json;

/// A list that may be cut.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::conform) struct Listing<T> {
    pub entries: Vec<T>,
    pub is_partial: bool,
}

/// The names of fields.
pub(in crate::conform) fn field_names(
    json: &Json,
    found: &mut Findings,
) -> Option<Listing<String>> {
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
pub(in crate::conform) enum FieldValue {
    Complete(String),
    Pattern(String),
}

/// The values of a field.
pub(in crate::conform) fn field_values(
    json: &Json,
    found: &mut Findings,
) -> Option<Listing<FieldValue>> {
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
