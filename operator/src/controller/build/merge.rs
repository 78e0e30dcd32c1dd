//! Merging a piece of a manifest over another, as `spec.podTemplate` over the pod template that the
//! operator makes.
//!
//! Maps are merged field by field, null removes a field, and lists whose items have a key in
//! Kubernetes are merged item by item; any other list takes the place of the one before. That is
//! what `kubectl` does when it patches, on JSON, so that fields newer than this program come
//! through.

use serde_json::{Map, Value};

use crate::controller::lists;

/// Merges `over` into `base`.
pub(super) fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                if value.is_null() {
                    base.remove(&name);
                    continue;
                }
                let key = lists::named(&name).and_then(|list| list.key);
                match (base.get_mut(&name), key, value) {
                    (Some(Value::Array(items)), Some(key), Value::Array(over)) => {
                        merge_items(items, over, key)
                    }
                    (Some(field), _, value) => merge(field, value),
                    (None, _, value) => {
                        let mut field = Value::Null;
                        merge(&mut field, value);
                        base.insert(name, field);
                    }
                }
            }
        }
        // Into an empty map, so that a null in the middle of nothing removes nothing and is gone.
        (base, over @ Value::Object(_)) => {
            *base = Value::Object(Map::new());
            merge(base, over);
        }
        (base, over) => *base = over,
    }
}

fn merge_items(items: &mut Vec<Value>, over: Vec<Value>, key: &str) {
    for item in over {
        let same = |known: &&mut Value| !item[key].is_null() && known[key] == item[key];
        match items.iter_mut().find(same) {
            Some(known) => merge(known, item),
            None => items.push(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_merge_nulls_remove_keyed_lists_merge_by_key_and_other_lists_are_replaced() {
        let mut base = json!({
            "metadata": {"labels": {"a": "1", "b": "2"}},
            "spec": {
                "containers": [{"name": "mirror", "image": "m", "args": ["serve"], "env": [{"name": "X", "value": "1"}]}],
                "tolerations": [{"key": "old"}],
                "securityContext": {"runAsNonRoot": true, "fsGroup": 1},
            },
        });
        merge(
            &mut base,
            json!({
                "metadata": {"labels": {"b": "3", "c": "4"}},
                "spec": {
                    "containers": [{"name": "mirror", "env": [{"name": "X", "value": "2"}, {"name": "Y", "value": "3"}], "args": ["serve", "-v"]}, {"name": "other"}],
                    "tolerations": [{"key": "new"}],
                    "securityContext": {"fsGroup": null},
                    "resources": {"limits": {"memory": null}},
                    "fieldOfTomorrow": {"x": 1},
                },
            }),
        );
        assert_eq!(
            base,
            json!({
                "metadata": {"labels": {"a": "1", "b": "3", "c": "4"}},
                "spec": {
                    "containers": [
                        {"name": "mirror", "image": "m", "args": ["serve", "-v"], "env": [{"name": "X", "value": "2"}, {"name": "Y", "value": "3"}]},
                        {"name": "other"},
                    ],
                    "tolerations": [{"key": "new"}],
                    "securityContext": {"runAsNonRoot": true},
                    "resources": {"limits": {}},
                    "fieldOfTomorrow": {"x": 1},
                },
            })
        );
    }
}
