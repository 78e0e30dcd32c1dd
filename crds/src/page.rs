//! The schema as a page for people.

use std::fmt::Write as _;

use serde_json::Value;

use crate::definition::generated_schema;
use crate::patterns;

/// Every field of the resource in Markdown: path, type, default, bounds and description, and the
/// rules between fields.
#[must_use]
pub fn resource_reference() -> String {
    let schema = &generated_schema();
    let mut page = String::from(
        "# PrometheusMirror: every field\n\n\
         Generated from the types in `crds/src` by `make generate`. Do not edit.\n\n\
         `apiVersion: prometheus-mirror.io/v1alpha1`, `kind: PrometheusMirror`, namespaced, short name `pmirror`.\n\n",
    );
    let description = schema["description"].as_str().unwrap_or_default();
    page += &format!(
        "{description}\n\n`[]` stands for each entry of a list and `{{}}` for each entry of a map.\n"
    );
    for part in ["spec", "status"] {
        page += &format!(
            "\n## {part}\n\n| field | type | default | bounds | description |\n|---|---|---|---|---|\n"
        );
        fields(part, &schema["properties"][part], &mut page);
    }
    page += "\n## Rules\n\nConstraints beyond types and bounds. A document that breaks a rule is refused with this message.\n\n\
             | where | rule |\n|---|---|\n";
    rules("", schema, &mut page);
    page
}

fn fields(path: &str, schema: &Value, page: &mut String) {
    let required = &schema["required"];
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let must = required
            .as_array()
            .is_some_and(|required| required.contains(&Value::from(name.as_str())));
        let default = match &field["default"] {
            Value::Null if must => "**required**".to_owned(),
            Value::Null => String::new(),
            default => format!("`{}`", default.to_string().trim_matches('"')),
        };
        let description = field["description"].as_str().unwrap_or_default();
        let cells = [
            format!("`{path}`"),
            type_name(field),
            default,
            bounds(field),
            description.to_owned(),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| {} |", cells.join(" | "));
        within(&path, field).for_each(|(path, schema)| fields(&path, schema, page));
    }
}

/// What is inside a field: itself if it has fields, or the entries of a list or map.
fn within<'a>(path: &str, schema: &'a Value) -> impl Iterator<Item = (String, &'a Value)> {
    let inside = [
        ("", Some(schema)),
        ("[]", schema.get("items")),
        ("{}", schema.get("additionalProperties")),
    ];
    let path = path.to_owned();
    inside
        .into_iter()
        .filter_map(move |(suffix, schema)| Some((format!("{path}{suffix}"), schema?)))
}

fn rules(path: &str, schema: &Value, page: &mut String) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let place = if path.is_empty() {
            "the document"
        } else {
            path
        };
        let _ = writeln!(
            page,
            "| `{place}` | {} |",
            rule["message"].as_str().unwrap_or_default()
        );
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        rules(&crate::validation::join(path, name), field, page);
    }
    within(path, schema)
        .skip(1)
        .for_each(|(path, schema)| rules(&path, schema, page));
}

fn type_name(schema: &Value) -> String {
    if schema["x-kubernetes-int-or-string"] == true {
        return "integer or string".to_owned();
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", type_name(&schema["items"])),
        Some("object") if schema.get("additionalProperties").is_some() => {
            format!("map of {}", type_name(&schema["additionalProperties"]))
        }
        other => other.unwrap_or("any").to_owned(),
    }
}

fn bounds(schema: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(allowed) = schema["enum"].as_array() {
        let allowed: Vec<_> = allowed
            .iter()
            .filter_map(Value::as_str)
            .map(|name| format!("`{name}`"))
            .collect();
        parts.push(allowed.join(", "));
    }
    for (least, most, unit) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " entries"),
        ("minProperties", "maxProperties", " entries"),
    ] {
        match (schema[least].as_i64(), schema[most].as_i64()) {
            (Some(least), Some(most)) => parts.push(format!("{least} to {most}{unit}")),
            (Some(least), None) => parts.push(format!("at least {least}{unit}")),
            (None, Some(most)) => parts.push(format!("at most {most}{unit}")),
            (None, None) => {}
        }
    }
    if let Some(pattern) = patterns::ALL
        .iter()
        .find(|pattern| schema["pattern"] == pattern.regex)
    {
        parts.push(pattern.meaning.to_owned());
    }
    match (
        schema["x-kubernetes-list-type"].as_str(),
        schema["x-kubernetes-list-map-keys"][0].as_str(),
    ) {
        (Some("set"), _) => parts.push("entries are unique".to_owned()),
        (Some("map"), Some(key)) => parts.push(format!("`{key}` is unique")),
        _ => {}
    }
    for inside in ["items", "additionalProperties"]
        .into_iter()
        .filter_map(|inside| schema.get(inside))
    {
        let inside = bounds(inside);
        if !inside.is_empty() {
            parts.push(format!("each: {inside}"));
        }
    }
    parts.join("; ")
}
