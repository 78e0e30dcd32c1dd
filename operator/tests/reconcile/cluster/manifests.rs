//! Objects as users and controllers write them.

use serde_json::{Value, json};

use super::HERE;

/// The resource as a user writes it.
pub(crate) fn shop(spec: Value) -> Value {
    let mut shop = json!({
        "apiVersion": "prometheus-mirror.io/v1alpha1", "kind": "PrometheusMirror",
        "metadata": {"name": "shop", "namespace": HERE, "uid": "uid-shop"},
        "spec": {
            "apiKeySecretRef": {"name": "mirror-key"},
            "targets": [{"name": "cluster", "url": "http://prometheus:9090"}],
        },
    });
    let fields = spec.as_object().into_iter().flatten();
    fields.for_each(|(name, value)| shop["spec"][name] = value.clone());
    shop
}

/// The Secret with the resource's key.
pub(crate) fn key() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mirror-key", "namespace": HERE},
        "data": {"apiKey": "c2VjcmV0"},
    })
}

/// The policy that adds sidecars, and its binding.
pub(crate) fn policies() -> [Value; 2] {
    let of = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": {"name": "sidecar"}, "spec": spec,
        })
    };
    let mirrors =
        json!({"apiVersion": "prometheus-mirror.io/v1alpha1", "kind": "PrometheusMirror"});
    [
        of("MutatingAdmissionPolicy", json!({ "paramKind": mirrors })),
        of(
            "MutatingAdmissionPolicyBinding",
            json!({"policyName": "sidecar"}),
        ),
    ]
}

/// An object that `owner` controls, with the labels of a mirror's.
pub(crate) fn controlled(kind: &str, name: &str, owner: &Value, rest: Value) -> Value {
    let mut object = rest;
    object["apiVersion"] = json!(if kind == "Pod" { "v1" } else { "apps/v1" });
    object["kind"] = json!(kind);
    object["metadata"] = json!({
        "name": name, "namespace": HERE,
        "labels": {
            "app.kubernetes.io/name": "prometheus-mirror", "app.kubernetes.io/instance": "shop",
            "app.kubernetes.io/managed-by": "prometheus-mirror-operator",
        },
        "ownerReferences": [{
            "apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": true,
            "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        }],
    });
    object
}
