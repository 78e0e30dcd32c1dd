//! Whether an object is as it should be. Pure.

use std::fmt;

use serde_json::Value;

use crate::controller::{lists, quantity};

/// A field that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, such as `spec.template.spec.containers[mirror].image`.
    pub path: String,
    /// What it should be.
    pub wanted: Value,
    /// What it is; null if it is not there.
    pub found: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, wanted) = (shortened(&self.found), shortened(&self.wanted));
        let path = &self.path;
        match self.found {
            Value::Null => write!(f, "{path} is missing, not {wanted}"),
            _ => write!(f, "{path} is {found}, not {wanted}"),
        }
    }
}

fn shortened(value: &Value) -> String {
    const MOST: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The fields in which an object is not as it should be. Empty if it [`contains`] what is wanted.
pub(super) fn differences(there: &Value, wanted: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    differ(there, wanted, "", &mut found);
    found
}

fn differ(there: &Value, wanted: &Value, path: &str, found: &mut Vec<Difference>) {
    if contains(there, wanted) {
        return;
    }
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{name}");
                match (there.get(name), wanted) {
                    (Some(Value::Array(there)), Value::Array(wanted)) => {
                        differ_in_list(there, wanted, name, &path, found);
                    }
                    (Some(there), wanted) => differ(there, wanted, &path, found),
                    (None, wanted) => differ(&Value::Null, wanted, &path, found),
                }
            }
        }
        // What is empty may be missing.
        (Value::Null, wanted) if is_empty(wanted) => {}
        _ => found.push(Difference {
            path: path.to_owned(),
            wanted: wanted.clone(),
            found: there.clone(),
        }),
    }
}

fn differ_in_list(
    there: &[Value],
    wanted: &[Value],
    name: &str,
    path: &str,
    found: &mut Vec<Difference>,
) {
    let key = lists::named(name).and_then(|list| list.key);
    let shared = lists::named(name).is_some_and(|list| list.is_shared);
    if !shared && there.len() != wanted.len() {
        let (there, wanted) = (Value::from(there), Value::from(wanted));
        return differ(&there, &wanted, path, found);
    }
    for (index, wanted) in wanted.iter().enumerate() {
        if shared && there.iter().any(|there| contains(there, wanted)) {
            continue;
        }
        let label = key.map(|key| &wanted[key]);
        let same = |there: &&Value| key.is_some_and(|key| there[key] == wanted[key]);
        let item = if shared {
            there.iter().find(same)
        } else {
            there.get(index)
        };
        let label = match label {
            Some(Value::String(label)) => label.clone(),
            Some(Value::Number(label)) => label.to_string(),
            _ => index.to_string(),
        };
        let path = format!("{path}[{label}]");
        differ(item.unwrap_or(&Value::Null), wanted, &path, found);
    }
}

/// Whether everything that is wanted is there. More may be there: defaults, and fields of others.
pub(super) fn contains(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            wanted
                .iter()
                .all(|(name, wanted)| match (there.get(name), wanted) {
                    (Some(Value::Array(there)), Value::Array(wanted))
                        if lists::named(name).is_some_and(|list| list.is_shared) =>
                    {
                        wanted
                            .iter()
                            .all(|wanted| there.iter().any(|there| contains(there, wanted)))
                    }
                    (Some(there), wanted) => contains(there, wanted),
                    // The API server drops what is empty.
                    (None, wanted) => is_empty(wanted),
                })
        }
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len()
                && there
                    .iter()
                    .zip(wanted)
                    .all(|(there, wanted)| contains(there, wanted))
        }
        _ => there == wanted || same_quantity(there, wanted),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
    }
}

/// Quantities come back in another form than they were sent: `0.5` as `500m`, `1024Mi` as `1Gi`.
fn same_quantity(there: &Value, wanted: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::String(text) => quantity::number(text),
        Value::Number(number) => number.as_f64(),
        _ => None,
    };
    match (number(there), number(wanted)) {
        (Some(there), Some(wanted)) => (there - wanted).abs() <= f64::EPSILON * there.abs(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn items_that_others_add_to_shared_lists_are_no_difference_elsewhere_they_are() {
        let wanted = json!({"containers": [{"name": "mirror", "args": ["serve"]}]});
        let there =
            |containers: Value| json!({"containers": containers, "dnsPolicy": "ClusterFirst"});
        let sidecar = json!({"name": "sidecar"});
        assert!(contains(
            &there(json!([sidecar, {"name": "mirror", "args": ["serve"], "tty": false}])),
            &wanted
        ));
        assert!(!contains(&there(json!([sidecar])), &wanted));
        assert!(!contains(
            &there(json!([{"name": "mirror", "args": ["serve", "-v"]}])),
            &wanted
        ));
    }

    #[test]
    fn a_difference_is_named_by_its_field_with_both_values() {
        let wanted = json!({"spec": {
            "replicas": 2, "paused": false, "ports": [{"port": 1}],
            "containers": [{"name": "mirror", "image": "a", "args": ["x"], "env": [{"name": "E", "value": "1"}]}],
        }});
        let there = json!({"spec": {
            "replicas": 2, "ports": [{"port": 1}], "more": true,
            "containers": [{"name": "other"}, {"name": "mirror", "image": "b", "args": ["x", "y"]}],
        }});
        let texts: Vec<_> = differences(&there, &wanted)
            .iter()
            .map(Difference::to_string)
            .collect();
        let of_container = "spec.containers[mirror]";
        assert_eq!(
            texts,
            [
                format!(r#"{of_container}.args is ["x","y"], not ["x"]"#),
                format!(r#"{of_container}.env is missing, not [{{"name":"E","value":"1"}}]"#),
                format!(r#"{of_container}.image is "b", not "a""#),
            ]
        );
        assert_eq!(differences(&wanted, &wanted), []);
    }

    #[test]
    fn quantities_are_the_same_in_every_form() {
        for (one, other) in [
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("1", "1000m"),
            ("1e3", "1k"),
        ] {
            assert!(contains(&json!(one), &json!(other)), "{one} {other}");
        }
        for (one, other) in [("1", "1m"), ("1Gi", "1G"), ("a", "b"), ("1x", "1")] {
            assert!(!contains(&json!(one), &json!(other)), "{one} {other}");
        }
    }
}
