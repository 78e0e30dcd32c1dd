//! The field whose value cannot be read, where the API server does not name it. Pure.

use serde_json::Value;

/// The path of a field whose value a message of the API server is about, if it can be told.
pub(super) fn field(manifest: &Value, message: &str) -> Option<String> {
    let fits: fn(&str, &Value) -> bool = if message.contains("quantities must match") {
        |parent, value| !["limits", "requests"].contains(&parent) || is_quantity(value)
    } else if message.contains("cannot convert float64 to int") {
        |parent, value| ["limits", "requests"].contains(&parent) || !value.is_f64()
    } else {
        return None;
    };
    misfit(manifest, "", "", fits)
}

/// The first value that does not fit. `parent` is the name of the object that it is in.
fn misfit(
    value: &Value,
    path: &str,
    parent: &str,
    fits: fn(&str, &Value) -> bool,
) -> Option<String> {
    let name = path.rsplit('.').next().unwrap_or_default();
    match value {
        Value::Object(fields) => fields.iter().find_map(|(field, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            misfit(value, &format!("{path}{dot}{field}"), name, fits)
        }),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| {
                let label = item["name"].as_str().map(str::to_owned);
                let label = label.unwrap_or_else(|| index.to_string());
                misfit(item, &format!("{path}[{label}]"), name, fits)
            })
        }
        value => (!fits(parent, value)).then(|| path.to_owned()),
    }
}

/// Whether the API server reads a value as a quantity.
fn is_quantity(value: &Value) -> bool {
    let Value::String(text) = value else {
        return value.is_number();
    };
    let number = text.trim_start_matches(['+', '-']);
    let unit = number.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let in_unit = |c: char| "eEinumkKMGTP+-".contains(c) || c.is_ascii_digit();
    number.len() > unit.len() && unit.chars().all(in_unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_field_that_cannot_be_read_is_found() {
        let manifest = |memory: Value, seconds: Value| {
            json!({"spec": {
                "terminationGracePeriodSeconds": seconds,
                "containers": [{"name": "mirror", "image": "1 Gi", "resources": {
                    "limits": {"cpu": 0.5, "memory": memory}, "requests": {"cpu": "1e3"},
                }}],
            }})
        };
        let quantity = "quantities must match the regular expression";
        let whole = "cannot convert float64 to int64";
        let memory = Some("spec.containers[mirror].resources.limits.memory".to_owned());
        assert_eq!(field(&manifest(json!("1 Gi"), json!(1)), quantity), memory);
        assert_eq!(field(&manifest(json!(true), json!(1)), quantity), memory);
        assert_eq!(field(&manifest(json!("1Gi"), json!(1)), quantity), None);
        let seconds = Some("spec.terminationGracePeriodSeconds".to_owned());
        assert_eq!(field(&manifest(json!("1Gi"), json!(1.5)), whole), seconds);
        assert_eq!(field(&manifest(json!("1 Gi"), json!(1.5)), "other"), None);
    }
}
