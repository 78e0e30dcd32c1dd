//! What `helm template` prints is for kubectl, kustomize, cdk8s and others that run no hooks.

use serde_json::{Value, json};

use crate::helm::{MIRROR, OPERATOR, chart, copy, identity, needed, template, with};

fn hooks(objects: &[Value]) -> Vec<String> {
    let hooks = objects
        .iter()
        .filter(|object| !object["metadata"]["annotations"]["helm.sh/hook"].is_null());
    hooks.map(identity).collect()
}

#[test]
fn without_helm_nothing_is_left_to_a_hook() {
    for name in [OPERATOR, MIRROR] {
        let rendered =
            |values: &Value| template(&chart(name), "r", &with(&needed(name), values)).unwrap();
        assert!(hooks(&rendered(&json!({}))).is_empty(), "{name}");
        let asked = hooks(&rendered(&json!({"tests": {"enabled": true}})));
        assert_eq!(asked.len(), 1, "{name}: {asked:?}");
        let refused = hooks(&rendered(&json!({"tests": {"enabled": false}})));
        assert!(refused.is_empty(), "{name}");
    }
}

#[test]
fn the_same_values_always_render_the_same() {
    for name in [OPERATOR, MIRROR] {
        let key = json!({"global": {"apiKey": "key"}, "apiKeySecretRef": null});
        let key = if name == MIRROR { key } else { json!({}) };
        let rendered = || template(&chart(name), "r", &with(&needed(name), &key)).unwrap();
        assert_eq!(rendered(), rendered(), "{name}");
    }
}

#[test]
fn every_object_has_its_namespace() {
    const OF_THE_CLUSTER: [&str; 3] = [
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleBinding",
    ];
    for name in [OPERATOR, MIRROR] {
        for object in template(&chart(name), "r", &needed(name)).unwrap() {
            let of_the_cluster = OF_THE_CLUSTER.contains(&object["kind"].as_str().unwrap());
            let namespace = &object["metadata"]["namespace"];
            let expected = if of_the_cluster {
                Value::Null
            } else {
                json!("monitoring")
            };
            assert_eq!(namespace, &expected, "{name}: {}", identity(&object));
        }
    }
}

#[test]
fn quantities_are_those_that_the_api_server_keeps() {
    let cases = [
        (json!("20m"), "20m"),
        (json!("1000m"), "1"),
        (json!("1500m"), "1500m"),
        (json!(1), "1"),
        (json!("0.5"), "500m"),
        (json!("0.25"), "250m"),
        (json!("1.50"), "1500m"),
        (json!("2.0"), "2"),
        (json!(0), "0"),
        (json!("0Mi"), "0"),
        (json!("1024Mi"), "1Gi"),
        (json!("131072Ki"), "128Mi"),
        (json!("0.5Gi"), "512Mi"),
        (json!("1.5Gi"), "1536Mi"),
        (json!("512Mi"), "512Mi"),
        (json!(134_217_728), "134217728"),
        (json!("64000k"), "64M"),
        (json!("010M"), "10M"),
        // What has no shorter form, or is rarely written, is left alone.
        (json!("0.1Gi"), "0.1Gi"),
        (json!("0.0001"), "0.0001"),
    ];
    for (given, expected) in cases {
        let resources = json!({"resources": {"limits": {"memory": given}}});
        for name in [OPERATOR, MIRROR] {
            let values = with(&needed(name), &resources);
            let objects = template(&chart(name), "r", &values).unwrap();
            let mut deployments = objects
                .iter()
                .filter(|object| object["kind"] == "Deployment");
            let container =
                &deployments.next().unwrap()["spec"]["template"]["spec"]["containers"][0];
            let found = &container["resources"]["limits"]["memory"];
            assert_eq!(found, expected, "{name} {given}");
        }
    }
}

/// Git changes line ends on Windows, unless it is told otherwise.
#[test]
fn line_ends_of_windows_change_nothing() {
    fn convert(folder: &std::path::Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                convert(&path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(&path, text.replace('\n', "\r\n")).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for name in [OPERATOR, MIRROR] {
        let converted = folder.path().join(name);
        copy(&chart(name), &converted);
        convert(&converted);
        let values = match name {
            OPERATOR => {
                json!({"dashboards": {"enabled": true}, "metrics": {"prometheusRule": {"enabled": true}}})
            }
            _ => json!({}),
        };
        let values = with(&needed(name), &values);
        let original = template(&chart(name), "r", &values).unwrap();
        let converted = template(&converted, "r", &values).unwrap();
        for (original, converted) in original.iter().zip(&converted) {
            assert_eq!(original, converted, "{name}: {}", identity(original));
        }
        assert_eq!(original.len(), converted.len());
    }
}
