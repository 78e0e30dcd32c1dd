//! The generated definition: what clusters and people get.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;

fn committed(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> Value {
    let crd = serde_json::to_value(crds::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Calls `see` with every schema and its path.
fn walk(path: &str, schema: &Value, see: &mut dyn FnMut(&str, &Value)) {
    see(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, see);
    }
    for inside in ["items", "additionalProperties"] {
        if let Some(schema) = schema.get(inside) {
            walk(&format!("{path}[]"), schema, see);
        }
    }
}

/// The paths of all schemas about which `wrong` is true.
fn all_that(wrong: impl Fn(&str, &Value) -> bool) -> Vec<String> {
    let mut paths = Vec::new();
    walk("", &root(), &mut |path, schema| {
        if wrong(path, schema) {
            paths.push(path.to_owned());
        }
    });
    paths
}

#[test]
fn the_committed_definition_is_the_generated_one() {
    assert!(
        committed("prometheusmirrors.yaml") == crds::crd_yaml().unwrap(),
        "run `make generate`"
    );
}

#[test]
fn the_committed_reference_page_is_the_generated_one() {
    assert!(
        committed("../docs/resource-reference.md") == crds::resource_reference(),
        "run `cargo run -p prometheus-mirror-crds --example resource-reference > docs/resource-reference.md`"
    );
}

#[test]
fn the_definition_fits_into_the_annotation_of_a_client_side_apply() {
    let bytes = serde_json::to_vec(&crds::crd()).unwrap().len();
    assert!(bytes < 262_144, "{bytes} bytes");
}

#[test]
fn every_field_has_a_description() {
    let silent = all_that(|path, schema| {
        let field = !path.ends_with("[]") && !["", ".metadata"].contains(&path);
        let kubernetes_own = [".apiVersion", ".kind"].contains(&path);
        field
            && !kubernetes_own
            && schema["description"]
                .as_str()
                .is_none_or(|text| text.len() < 10)
    });
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn every_text_list_and_map_is_bounded() {
    let boundless = all_that(|path, schema| {
        let in_kubernetes_own = [".apiVersion", ".kind"].contains(&path);
        let bounded = match schema["type"].as_str() {
            Some("string") => ["maxLength", "enum", "format"]
                .iter()
                .any(|bound| schema.get(bound).is_some()),
            Some("array") => {
                schema.get("maxItems").is_some() && schema.get("x-kubernetes-list-type").is_some()
            }
            Some("object") => {
                schema.get("additionalProperties").is_none()
                    || schema.get("maxProperties").is_some()
            }
            Some("integer") => {
                path == ".status.observedGeneration" || schema.get("minimum").is_some()
            }
            _ => true,
        };
        !in_kubernetes_own && !bounded
    });
    assert_eq!(boundless, Vec::<String>::new());
}

#[test]
fn there_are_no_floats_no_unsigned_integers_and_no_nulls() {
    let bad = all_that(|_, schema| {
        schema["type"] == "number"
            || schema["format"]
                .as_str()
                .is_some_and(|format| format.starts_with("uint"))
            || schema.get("nullable").is_some()
    });
    assert_eq!(bad, Vec::<String>::new());
}

#[test]
fn nothing_inside_a_list_has_a_default_that_the_api_server_would_add() {
    let defaulted = all_that(|path, schema| path.contains("[]") && schema.get("default").is_some());
    assert_eq!(defaulted, Vec::<String>::new());
}

#[test]
fn every_rule_of_the_schema_is_in_the_list_and_every_rule_of_the_list_in_the_schema() {
    let mut attached = std::collections::BTreeSet::new();
    walk("", &root(), &mut |_, schema| {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            attached.insert((
                rule["rule"].as_str().unwrap().to_owned(),
                rule["message"].as_str().unwrap().to_owned(),
            ));
        }
    });
    let listed = crds::rules::ALL
        .iter()
        .copied()
        .flatten()
        .map(|rule| (rule.cel.to_owned(), rule.message.to_owned()));
    assert_eq!(attached, listed.collect());
}

#[test]
fn every_pattern_of_the_schema_has_words() {
    let wordless = all_that(|_, schema| {
        let pattern = schema["pattern"].as_str();
        pattern.is_some_and(|pattern| {
            crds::patterns::ALL
                .iter()
                .all(|known| known.regex != pattern)
        })
    });
    assert_eq!(wordless, Vec::<String>::new());
}

#[test]
fn a_fresh_resource_has_a_status_that_nobody_takes_for_finished() {
    assert_eq!(
        root()["properties"]["status"]["default"],
        serde_json::json!({ "observedGeneration": -1 })
    );
}
