//! Whether an object is as it should be. Pure.

use serde_json::Value;

use crate::controller::lists;

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
    let quantity = |value: &Value| match value {
        Value::String(text) => quantity(text),
        Value::Number(number) => number.as_f64(),
        _ => None,
    };
    match (quantity(there), quantity(wanted)) {
        (Some(there), Some(wanted)) => (there - wanted).abs() <= f64::EPSILON * there.abs(),
        _ => false,
    }
}

fn quantity(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| number * factor)
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
