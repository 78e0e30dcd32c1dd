//! Removing fields of the pod template: `spec.podTemplateRemove`.
//!
//! A path is that of JSON Pointer (RFC 6901), but an item of a list is named by the field that
//! tells such items apart in Kubernetes, so that a path means the same when the list grows.

use serde_json::Value;

use crate::controller::lists;

/// Removes what a path names. A path that names nothing removes nothing: one list of paths is for
/// clusters whose templates differ.
pub(super) fn remove(template: &mut Value, path: &str) {
    let mut names = path.split('/').skip(1).map(unescaped).peekable();
    let (mut here, mut list) = (template, String::new());
    while let Some(name) = names.next() {
        let is_last = names.peek().is_none();
        here = match here {
            Value::Object(fields) if is_last => {
                fields.remove(&name);
                return;
            }
            Value::Object(fields) => match fields.get_mut(&name) {
                Some(field) => field,
                None => return,
            },
            Value::Array(items) => {
                let Some(at) = items.iter().position(|item| is_named(item, &list, &name)) else {
                    return;
                };
                if is_last {
                    items.remove(at);
                    return;
                }
                &mut items[at]
            }
            _ => return,
        };
        list = name;
    }
}

/// Whether an item of the list has this name.
fn is_named(item: &Value, list: &str, name: &str) -> bool {
    let key = lists::named(list).and_then(|list| list.key);
    match key.map(|key| &item[key]) {
        Some(Value::String(text)) => text == name,
        Some(Value::Number(number)) => number.to_string() == name,
        _ => false,
    }
}

/// A name within a path: `~1` is a `/`, as in the names of labels.
fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_removes_a_field_or_a_named_item_and_nothing_else() {
        let template = json!({
            "metadata": {"annotations": {"example.com/a": "b", "c~d": "e"}},
            "spec": {
                "securityContext": {"runAsUser": 65532, "runAsNonRoot": true},
                "containers": [
                    {"name": "beside", "resources": {"limits": {"cpu": "1"}}},
                    {"name": "mirror", "args": ["serve"], "ports": [{"containerPort": 9901}], "resources": {"limits": {"memory": "1Gi"}}},
                ],
                "topologySpreadConstraints": [
                    {"topologyKey": "kubernetes.io/hostname"}, {"topologyKey": "topology.kubernetes.io/zone"},
                ],
            },
        });
        let cases = [
            (
                "/spec/securityContext/runAsUser",
                "/spec/securityContext",
                json!({"runAsNonRoot": true}),
            ),
            (
                "/metadata/annotations/example.com~1a",
                "/metadata/annotations",
                json!({"c~d": "e"}),
            ),
            (
                "/metadata/annotations/c~0d",
                "/metadata/annotations",
                json!({"example.com/a": "b"}),
            ),
            (
                "/spec/containers/mirror/resources/limits",
                "/spec/containers/1/resources",
                json!({}),
            ),
            (
                "/spec/containers/mirror/ports/9901",
                "/spec/containers/1/ports",
                json!([]),
            ),
            (
                "/spec/topologySpreadConstraints/kubernetes.io~1hostname",
                "/spec/topologySpreadConstraints",
                json!([{"topologyKey": "topology.kubernetes.io/zone"}]),
            ),
        ];
        for (path, at, left) in cases {
            let mut removed = template.clone();
            remove(&mut removed, path);
            let mut expected = template.clone();
            *expected.pointer_mut(at).unwrap() = left;
            assert_eq!(removed, expected, "{path}");
        }
    }

    #[test]
    fn a_path_that_names_nothing_removes_nothing() {
        let template = json!({"spec": {"containers": [{"name": "mirror", "args": ["serve"]}]}});
        for path in [
            "/spec/hostNetwork",
            "/spec/containers/0",
            "/spec/containers/other/args",
            "/spec/containers/mirror/args/0",
            "/spec/containers/mirror/args/serve",
            "/spec/containers/mirror/name/deeper",
        ] {
            let mut removed = template.clone();
            remove(&mut removed, path);
            assert_eq!(removed, template, "{path}");
        }
    }
}
