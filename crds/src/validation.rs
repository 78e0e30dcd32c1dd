//! Finds every fault of a document, by walking the schema that the API server enforces.
//!
//! The walk goes down the document and the schema together. At each value it checks, in this order,
//! the type, the bounds, what is inside, and last the rules; the content of a value with the wrong
//! type is not checked, and rules are skipped for a value that is already refused, so that one
//! mistake gives one fault.

mod bounds;
mod metadata;
mod suggest;

use serde_json::{Map, Value};

use crate::definition::schema;
use crate::{API_VERSION, Fault, KIND, PrometheusMirror, rules};
use suggest::{closest, list};

/// Every fault of a document, in the order of the schema's fields.
///
/// It refuses what the API server refuses, and with the same message where that comes from a rule.
/// Beyond that it refuses unknown fields, which the API server drops with a warning, because nobody
/// would see a warning about a file.
#[must_use]
pub fn validate(document: &Value) -> Vec<Fault> {
    let Some(fields) = document.as_object() else {
        return vec![bounds::wrong_type("", "a PrometheusMirror", document)];
    };
    let mut faults = Vec::new();
    identity(fields, "apiVersion", API_VERSION, &mut faults);
    identity(fields, "kind", KIND, &mut faults);
    if !faults.is_empty() {
        // All fields of another kind would be unknown here.
        return faults;
    }
    metadata::check(document, &mut faults);
    Walk {
        faults: &mut faults,
    }
    .document(document, schema());
    faults
}

/// Reads a document into its type.
///
/// # Errors
/// Everything that is wrong with it, as from [`validate`].
pub fn parse(document: &Value) -> Result<PrometheusMirror, Vec<Fault>> {
    let faults = validate(document);
    if !faults.is_empty() {
        return Err(faults);
    }
    read(document)
}

/// Reads a document that the API server has stored into its type. Rules that came later than the
/// first release do not count: the resource may be older.
///
/// # Errors
/// Everything else that is wrong with it.
pub fn parse_stored(document: &Value) -> Result<PrometheusMirror, Vec<Fault>> {
    let mut faults = validate(document);
    faults.retain(|fault| fault.message != rules::DRAINABLE.message);
    if !faults.is_empty() {
        return Err(faults);
    }
    read(document)
}

fn read(document: &Value) -> Result<PrometheusMirror, Vec<Fault>> {
    let mut document = document.clone();
    prune_nulls(&mut document, schema());
    serde_json::from_value(document).map_err(|error| vec![Fault::new("", error.to_string())])
}

fn identity(fields: &Map<String, Value>, field: &str, expected: &str, faults: &mut Vec<Fault>) {
    match fields.get(field) {
        Some(Value::String(found)) if found == expected => {}
        Some(Value::String(found)) => {
            faults.push(Fault::new(field, format!("must be {expected}, is {found}")))
        }
        Some(other) => faults.push(bounds::wrong_type(field, expected, other)),
        None => {
            faults.push(Fault::new(field, "is missing").hint(format!("write {field}: {expected}")))
        }
    }
}

struct Walk<'a> {
    faults: &'a mut Vec<Fault>,
}

impl Walk<'_> {
    fn document(&mut self, document: &Value, schema: &Value) {
        self.fields("", document, schema);
        self.rules("", document, schema);
    }

    fn value(&mut self, path: &str, value: &Value, schema: &Value) {
        if let Err(fault) = bounds::check_type(path, value, schema) {
            self.faults.push(fault);
            return;
        }
        let before = self.faults.len();
        bounds::check(path, value, schema, self.faults);
        let sound = self.faults.len() == before;
        match value {
            Value::Object(_) => self.fields(path, value, schema),
            Value::Array(items) => self.items(path, items, schema),
            _ => {}
        }
        if sound {
            self.rules(path, value, schema);
        }
    }

    fn fields(&mut self, path: &str, value: &Value, schema: &Value) {
        let (Some(fields), None) = (
            value.as_object(),
            schema.get("x-kubernetes-preserve-unknown-fields"),
        ) else {
            return;
        };
        let known = schema["properties"].as_object();
        for (name, field) in fields {
            let at = join(path, name);
            match (
                known.and_then(|known| known.get(name)),
                schema.get("additionalProperties"),
            ) {
                (Some(_), _) if path.is_empty() && name == "metadata" => {}
                (Some(_), _) if field.is_null() => {}
                (Some(schema), _) | (None, Some(schema)) => self.value(&at, field, schema),
                (None, None)
                    if path.is_empty()
                        && ["apiVersion", "kind", "metadata"].contains(&name.as_str()) => {}
                (None, None) => self.faults.push(unknown_field(&at, name, known)),
            }
        }
        let required = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        for name in required.filter(|name| fields.get(*name).is_none_or(Value::is_null)) {
            let misspelt = fields
                .keys()
                .any(|field| intended(field, known) == Some(name));
            if !misspelt {
                self.faults.push(missing_field(
                    &join(path, name),
                    &schema["properties"][name],
                ));
            }
        }
    }

    fn items(&mut self, path: &str, items: &[Value], schema: &Value) {
        for (index, item) in items.iter().enumerate() {
            self.value(&format!("{path}[{index}]"), item, &schema["items"]);
        }
        let keys: Vec<_> = schema["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        let identity = |item: &Value| match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => Some(item.clone()),
            Some("map") => keys
                .iter()
                .map(|key| item.get(key.as_str()?).cloned())
                .collect(),
            _ => None,
        };
        for (index, item) in items.iter().enumerate() {
            let Some(identity_here) = identity(item) else {
                continue;
            };
            let first = items[..index]
                .iter()
                .position(|earlier| identity(earlier).as_ref() == Some(&identity_here));
            if let Some(first) = first {
                let at = keys
                    .first()
                    .and_then(|key| key.as_str())
                    .map_or_else(String::new, |key| format!(".{key}"));
                let shown = item.pointer(&at.replace('.', "/")).unwrap_or(item);
                let message = format!("must be unique, but {shown} is also at {path}[{first}]{at}");
                self.faults
                    .push(Fault::new(format!("{path}[{index}]{at}"), message));
            }
        }
    }

    fn rules(&mut self, path: &str, value: &Value, schema: &Value) {
        let rules = schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten();
        let mut rules = rules
            .filter_map(|rule| rules::find(rule["rule"].as_str()?))
            .peekable();
        if rules.peek().is_none() {
            return;
        }
        let meant = as_meant(value, schema);
        for rule in rules.filter(|rule| !(rule.holds)(&meant)) {
            self.faults.push(Fault::new(path, rule.message));
        }
    }
}

/// The value with misspelt fields under the names that were probably meant, so that `ulr` is
/// reported as unknown and not once more as a missing `url`.
fn as_meant(value: &Value, schema: &Value) -> Value {
    let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return value.clone();
    };
    let meant = |name: &String| match intended(name, Some(known)) {
        Some(intended) if !fields.contains_key(intended) => intended.to_owned(),
        _ => name.clone(),
    };
    fields
        .iter()
        .map(|(name, field)| (meant(name), field.clone()))
        .collect()
}

/// The known field that an unknown one probably stands for.
fn intended<'a>(field: &str, known: Option<&'a Map<String, Value>>) -> Option<&'a str> {
    let known = known?;
    if known.contains_key(field) {
        None
    } else {
        closest(field, known.keys().map(String::as_str))
    }
}

fn unknown_field(path: &str, name: &str, known: Option<&Map<String, Value>>) -> Fault {
    let fault = Fault::new(path, "is not a known field");
    match (intended(name, known), known) {
        (Some(intended), _) => fault.hint(format!("did you mean {intended}?")),
        (None, Some(known)) => fault.hint(format!("known here: {}", list(known.keys()))),
        (None, None) => fault,
    }
}

fn missing_field(path: &str, schema: &Value) -> Fault {
    let fault = Fault::new(path, "is missing");
    let description = schema["description"].as_str().unwrap_or_default();
    match description.split_inclusive(". ").next().map(str::trim_end) {
        Some(sentence) if !sentence.is_empty() => fault.hint(sentence.trim_end_matches('.')),
        _ => fault,
    }
}

/// Removes null fields that the schema knows, as the API server does.
fn prune_nulls(value: &mut Value, schema: &Value) {
    if schema.get("x-kubernetes-preserve-unknown-fields").is_some() {
        return;
    }
    match value {
        Value::Object(fields) => {
            if let Some(known) = schema["properties"].as_object() {
                fields.retain(|name, field| !(field.is_null() && known.contains_key(name)));
            }
            for (name, field) in fields {
                prune_nulls(
                    field,
                    schema["properties"]
                        .get(name)
                        .unwrap_or(&schema["additionalProperties"]),
                );
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| prune_nulls(item, &schema["items"])),
        _ => {}
    }
}

/// The path of a field. Names that would not read as one part are quoted.
#[must_use]
pub fn join(path: &str, field: &str) -> String {
    let plain = !field.is_empty()
        && field
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match (path.is_empty(), plain) {
        (true, true) => field.to_owned(),
        (false, true) => format!("{path}.{field}"),
        (_, false) => format!("{path}[{field:?}]"),
    }
}
