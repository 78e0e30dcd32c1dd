//! Names of objects, whatever the release and its overrides are called.

use serde_json::{Value, json};

use crate::helm::{MIRROR, OPERATOR, chart, identity, needed, template, with};

/// Everything that a chart can make.
fn everything(name: &str) -> Value {
    let more = match name {
        OPERATOR => json!({
            "metrics": {"serviceMonitor": {"enabled": true}, "prometheusRule": {"enabled": true}},
            "dashboards": {"enabled": true}, "tests": {"enabled": true},
        }),
        _ => json!({
            "monitor": {}, "networkPolicy": {}, "podDisruptionBudget": {}, "ingress": {"host": "a.b"},
            "autoscaling": {"maxReplicas": 3}, "httpRoute": {"parentRefs": [{"name": "gateway"}]},
            "apiKeySecretRef": null, "global": {"apiKey": "key"}, "tests": {"enabled": true},
        }),
    };
    with(&needed(name), &more)
}

/// Whether the API server takes the name of such an object.
fn fits(object: &Value) -> bool {
    let name = object["metadata"]["name"].as_str().unwrap();
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends = |name: &str| {
        let alphanumeric = |c: char| c.is_ascii_alphanumeric();
        name.starts_with(alphanumeric) && name.ends_with(alphanumeric)
    };
    let longest = if object["kind"] == "ConfigMap" {
        253
    } else {
        63
    };
    name.len() <= longest && name.chars().all(letters) && ends(name)
}

/// Whether all labels fit, those of pods included.
fn labels_fit(object: &Value) -> bool {
    let places = [
        "/metadata/labels",
        "/spec/selector/matchLabels",
        "/spec/template/metadata/labels",
    ];
    let labels = places
        .iter()
        .filter_map(|place| object.pointer(place)?.as_object());
    labels.flatten().all(|(_, value)| {
        let value = value.as_str().unwrap();
        value.len() <= 63 && !value.ends_with(['-', '.', '_'])
    })
}

#[test]
fn the_longest_names_fit_everywhere() {
    // 53 characters are the longest that Helm takes. Cut off, it would end with a dash.
    let release = format!("{}-{}", "a".repeat(49), "bcd");
    let long = format!("{}-{}", "c".repeat(49), "d".repeat(13));
    for name in [OPERATOR, MIRROR] {
        for overrides in [
            json!({}),
            json!({ "nameOverride": long }),
            json!({ "fullnameOverride": long }),
            json!({"fullnameOverride": "m", "nameOverride": "n"}),
        ] {
            let values = with(&everything(name), &overrides);
            let objects = template(&chart(name), &release, &values).unwrap();
            assert!(objects.len() > 8, "{name}: {}", objects.len());
            for object in &objects {
                let what = format!("{name} {overrides}: {}", identity(object));
                assert!(
                    object["kind"] == "CustomResourceDefinition" || fits(object),
                    "{what}"
                );
                assert!(labels_fit(object), "{what}");
            }
            let mut names: Vec<_> = objects.iter().map(identity).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(
                names.len(),
                objects.len(),
                "{name} {overrides}: a name is there twice"
            );
        }
    }
}
