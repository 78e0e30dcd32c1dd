//! The NetworkPolicy: who may connect to which port.

use crds::NetworkPolicy;
use crds::contract::{ADMIN_PORT, API_PORT};
use serde_json::{Value, json};

use super::{Defaults, Kind, ValidatedMirror, child_name, object, selector_labels};

pub(super) fn build(mirror: &ValidatedMirror, asked: &NetworkPolicy, defaults: &Defaults) -> Value {
    // The kubelet's probes come from the node and are let through anyway.
    let mut admin = json!({ "ports": [{"port": ADMIN_PORT, "protocol": "TCP"}] });
    admin["from"] = if mirror.spec.monitor.is_some() {
        // Who scrapes is not known here.
        json!([{ "namespaceSelector": {} }])
    } else {
        json!([{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": defaults.operator_namespace } } }])
    };
    let mut ingress = vec![admin];
    // A rule with an empty list of peers would let everyone in.
    if !asked.allowed_from.is_empty() {
        ingress.push(
            json!({ "from": asked.allowed_from, "ports": [{"port": API_PORT, "protocol": "TCP"}] }),
        );
    }
    let spec = json!({
        "podSelector": { "matchLabels": selector_labels(mirror) },
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    });
    object(
        mirror,
        Kind::NetworkPolicy,
        &child_name(mirror),
        json!({ "spec": spec }),
    )
}
