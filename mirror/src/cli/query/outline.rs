//! JSON for people.

use serde_json::Value;

/// A JSON value as indented lines, strings without quotes: PromQL stays readable and can be pasted.
pub(super) fn outline(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let leaf = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let nested = |value: &Value| {
        matches!(value, Value::Object(fields) if !fields.is_empty())
            || matches!(value, Value::Array(items) if !items.is_empty())
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "_type")
            .map(|(name, value)| {
                if nested(value) {
                    format!("{indent}{name}:\n{}", outline(value, depth + 1))
                } else {
                    format!("{indent}{name}: {}\n", leaf(value))
                }
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                if nested(item) {
                    let inner = outline(item, depth + 1);
                    format!("{indent}- {}", inner.trim_start())
                } else {
                    format!("{indent}- {}\n", leaf(item))
                }
            })
            .collect(),
        value => format!("{indent}{}\n", leaf(value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_explanation_is_outlined_with_its_promql_unquoted() {
        let explained = json!({"calls": [{"promql": "sum(up{a=\"b\"})", "step": 5}], "none": []});
        assert_eq!(
            outline(&explained, 0),
            "calls:\n  - promql: sum(up{a=\"b\"})\n    step: 5\nnone: []\n"
        );
    }
}
