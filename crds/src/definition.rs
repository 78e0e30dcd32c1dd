//! The `CustomResourceDefinition`.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;
use serde_json::{Number, Value, json};

use crate::spec::PrometheusMirror;
use crate::{API_VERSION, rules};

/// The `CustomResourceDefinition` of `PrometheusMirror`, as it is installed into clusters.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    let mut crd = PrometheusMirror::crd();
    let schemas = crd
        .spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut());
    for root in schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
        tidy(root);
        say_defaults_in_lists(root, false);
        root.x_kubernetes_validations = serde_json::from_value(rules::schema(rules::DOCUMENT)).ok();
        if let Some(status) = root
            .properties
            .as_mut()
            .and_then(|fields| fields.get_mut("status"))
        {
            // kstatus, Flux and `helm --wait` treat a resource without a status as ready.
            status.default = Some(JSON(json!({ "observedGeneration": -1 })));
        }
    }
    crd
}

/// [`crd`] as the YAML that is committed as `crds/prometheusmirrors.yaml`.
///
/// # Errors
/// Never in practice: the definition has nothing that YAML cannot hold.
pub fn crd_yaml() -> Result<String, serde_yaml::Error> {
    let mut crd =
        serde_json::to_value(crd()).map_err(<serde_yaml::Error as serde::ser::Error>::custom)?;
    write_whole_numbers_as_integers(&mut crd);
    let yaml = serde_yaml::to_string(&crd)?;
    Ok(format!(
        "# Generated from the types in crds/src by `make generate`. Do not edit.\n{yaml}"
    ))
}

/// The OpenAPI schema within [`crd`], as JSON: that of `crds/prometheusmirrors.yaml`, because to
/// generate it is most of what the mirror would do at its start. Read once: the operator validates
/// a document in every reconcile.
pub(crate) fn schema() -> &'static Value {
    const TEXT: &str = include_str!(concat!(env!("OUT_DIR"), "/schema.json"));
    // The build script wrote it. Without a schema, no field would be a known one.
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(TEXT).unwrap_or_default());
    &SCHEMA
}

/// The same, of the types as they are now: for what is generated together with the definition.
pub(crate) fn generated_schema() -> Value {
    let version = crd()
        .spec
        .versions
        .into_iter()
        .find(|version| API_VERSION.ends_with(&version.name));
    let schema = version.and_then(|version| version.schema?.open_api_v3_schema);
    let mut schema = serde_json::to_value(schema).unwrap_or_default();
    write_whole_numbers_as_integers(&mut schema);
    schema
}

/// Removes what the derive leaves behind in this schema and all within it:
///
/// * `nullable`, which every optional field has. Without it the API server treats `field: null` as
///   if the field were absent, as it does for its own types; with it, null would be stored and
///   `has(self.field)` would be true.
/// * the line breaks of doc comments within a paragraph of a description.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        let paragraphs: Vec<_> = description
            .split("\n\n")
            .map(|paragraph| paragraph.replace('\n', " "))
            .collect();
        *description = paragraphs.join("\n\n");
    }
    schema
        .properties
        .iter_mut()
        .flat_map(|fields| fields.values_mut())
        .for_each(tidy);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

/// Moves the defaults of fields within lists into the descriptions; [`crate::parse`] fills them in.
///
/// Tools that compare a manifest with the stored object (a client-side `kubectl apply`, Argo CD)
/// treat a list in a custom resource as one value. If the API server added a field to an item, the
/// two would never be equal.
fn say_defaults_in_lists(schema: &mut JSONSchemaProps, in_list: bool) {
    if let Some(default) = schema.default.take_if(|_| in_list) {
        let default = match default.0 {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let description = schema.description.get_or_insert_default();
        if !description.is_empty() {
            description.push(' ');
        }
        description.push_str(&format!("Default: {default}."));
    }
    for field in schema
        .properties
        .iter_mut()
        .flat_map(|all| all.values_mut())
    {
        say_defaults_in_lists(field, in_list);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        say_defaults_in_lists(items, true);
    }
}

/// Bounds are floating-point numbers in the Rust type and would be written as `maximum: 100.0`.
fn write_whole_numbers_as_integers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a fraction or a lost digit is seen by the comparison"
            )]
            let whole = number.as_f64().map(|float| (float, float as i64));
            #[expect(
                clippy::cast_precision_loss,
                clippy::float_cmp,
                reason = "exactly equal or left as it is"
            )]
            if let Some((_, whole)) = whole.filter(|(float, whole)| *whole as f64 == *float) {
                *number = Number::from(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(write_whole_numbers_as_integers),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(write_whole_numbers_as_integers),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_validated_with_the_schema_of_the_types() {
        let generated = generated_schema();
        assert!(generated["properties"]["spec"].is_object());
        assert!(*schema() == generated, "run `make generate`");
    }
}
