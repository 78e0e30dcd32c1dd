//! The `CustomResourceDefinition`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps,
};
use kube::CustomResourceExt as _;
use serde_json::{Value, json};

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
        forget_nullable(root);
        root.x_kubernetes_validations = serde_json::from_value(rules::schema(rules::DOCUMENT)).ok();
        if let Some(status) = root
            .properties
            .as_mut()
            .and_then(|fields| fields.get_mut("status"))
        {
            // kstatus, Flux and `helm --wait` take a resource without a status for a finished one.
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
    let yaml = serde_yaml::to_string(&crd())?;
    Ok(format!(
        "# Generated from the types in crds/src by `make generate`. Do not edit.\n{yaml}"
    ))
}

/// The OpenAPI schema within [`crd`], as JSON.
pub(crate) fn schema() -> Value {
    let version = crd()
        .spec
        .versions
        .into_iter()
        .find(|version| API_VERSION.ends_with(&version.name));
    let schema = version.and_then(|version| version.schema?.open_api_v3_schema);
    serde_json::to_value(schema).unwrap_or_default()
}

/// Removes `nullable`, which the derive gives to every optional field. Without it the API server treats `field: null` as if the
/// field were absent, as it does for its own types; with it, null would be stored and `has(self.field)` would be true.
fn forget_nullable(schema: &mut JSONSchemaProps) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    };

    schema.nullable = None;
    schema
        .properties
        .iter_mut()
        .flat_map(|fields| fields.values_mut())
        .for_each(forget_nullable);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        forget_nullable(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        forget_nullable(values);
    }
}
