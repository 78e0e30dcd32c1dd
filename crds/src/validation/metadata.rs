//! `metadata`, which the API server checks by itself and the schema does not describe.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::{bounds, join};
use crate::validation::suggest::closest;
use crate::{Fault, patterns};

/// What `ObjectMeta` has.
const FIELDS: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Checks `metadata` of a document.
pub(super) fn check(document: &Value, faults: &mut Vec<Fault>) {
    let metadata = match document.get("metadata") {
        Some(metadata @ Value::Object(_)) => metadata,
        None | Some(Value::Null) => {
            faults.push(name_is_missing());
            return;
        }
        Some(other) => {
            faults.push(bounds::wrong_type("metadata", "an object", other));
            return;
        }
    };
    let fields = metadata
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str());
    for field in fields.filter(|field| !FIELDS.contains(field)) {
        let fault = Fault::new(join("metadata", field), "is not a known field");
        faults.push(match closest(field, FIELDS.iter().copied()) {
            Some(meant) => fault.hint(format!("did you mean {meant}?")),
            None => fault,
        });
    }
    for (field, most) in [("name", 253), ("namespace", 63)] {
        match metadata.get(field) {
            None | Some(Value::Null) if field == "name" => faults.push(name_is_missing()),
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => {
                // A name is held to the narrower rule of the document; this is what Kubernetes asks
                // of every namespace.
                let schema = serde_json::json!({ "minLength": 1, "maxLength": most, "pattern": patterns::DNS_LABEL });
                if field == "namespace" {
                    bounds::check(
                        "metadata.namespace",
                        &Value::String(text.clone()),
                        &schema,
                        faults,
                    );
                }
            }
            Some(other) => faults.push(bounds::wrong_type(&join("metadata", field), "text", other)),
        }
    }
    if faults.is_empty()
        && let Err(error) = serde_json::from_value::<ObjectMeta>(metadata.clone())
    {
        faults.push(Fault::new(
            "metadata",
            format!("is not the metadata of a Kubernetes object: {error}"),
        ));
    }
}

fn name_is_missing() -> Fault {
    Fault::new("metadata.name", "is missing").hint("The name of the mirror, such as production")
}
