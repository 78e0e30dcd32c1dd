//! What would have a pod refused that gets the sidecar. In mode Sidecar that pod is a Prometheus,
//! and it must start whatever is wrong with its mirror. So such a resource is not rendered, and
//! pods get the sidecar that was rendered before.

use std::collections::BTreeMap;

use crds::{Fault, Mode, PrometheusMirrorSpec, Reason};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::json;

use super::{Invalid, invalid};
use crate::controller::quantity;

/// Resources that a node shares out in any amount. Kubernetes has further rules for all others.
const ORDINARY: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Refuses a sidecar with which Kubernetes would refuse a pod.
///
/// # Errors
/// All fields that are to blame.
pub(super) fn check(spec: &PrometheusMirrorSpec) -> Result<(), Invalid> {
    if spec.mode != Mode::Sidecar {
        return Ok(());
    }
    let mut faults = resources(spec);
    let references = crds::references(&json!(spec)).into_iter();
    let outside = references.filter(|reference| reference.key == "..");
    faults.extend(outside.map(|reference| {
        Fault::new(reference.field, "the key .. cannot be mounted").hint("name another key")
    }));
    if faults.is_empty() {
        return Ok(());
    }
    Err(invalid(Reason::InvalidSpec, &faults))
}

/// What is wrong with `spec.resources`.
fn resources(spec: &PrometheusMirrorSpec) -> Vec<Fault> {
    let none = BTreeMap::new();
    let asked = spec.resources.as_ref();
    let limits = asked
        .and_then(|asked| asked.limits.as_ref())
        .unwrap_or(&none);
    let requests = asked
        .and_then(|asked| asked.requests.as_ref())
        .unwrap_or(&none);
    let mut faults = Vec::new();
    for (field, quantities) in [("limits", limits), ("requests", requests)] {
        let names = quantities.keys().map(String::as_str);
        faults.extend(names.filter(|name| !ORDINARY.contains(name)).map(|name| {
            let message = "a sidecar may only have cpu, memory and ephemeral-storage, because the pod of Prometheus could be refused";
            Fault::new(format!("spec.resources.{field}.{name}"), message).hint("leave it out")
        }));
    }
    for (name, request) in requests {
        if let Some(limit) = limits.get(name).filter(|limit| is_more(request, limit)) {
            let message = format!(
                "{} is more than the limit, {}, and the pod of Prometheus would be refused",
                request.0, limit.0
            );
            let fault = Fault::new(format!("spec.resources.requests.{name}"), message);
            faults.push(fault.hint("lower it, or raise the limit"));
        }
    }
    faults
}

/// Whether Kubernetes would call one quantity larger than another. What the schema refuses is not
/// compared.
fn is_more(left: &Quantity, right: &Quantity) -> bool {
    // Numbers that are equal when written differently may differ in the last digit.
    match (quantity::number(&left.0), quantity::number(&right.0)) {
        (Some(left), Some(right)) => left > right * (1.0 + 1e-12),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn said(mode: &str, resources: Value) -> Option<String> {
        let spec = serde_json::from_value(json!({
            "mode": mode, "resources": resources,
            "apiKeySecretRef": {"name": "key"}, "targets": [{"name": "a", "url": "http://a"}],
        }));
        check(&spec.unwrap()).err().map(|invalid| invalid.message)
    }

    #[test]
    fn a_key_that_leads_out_of_its_folder_is_refused() {
        let refused = |mode: &str| {
            let spec = serde_json::from_value(json!({
                "mode": mode, "apiKeySecretRef": {"name": "key", "key": ".."},
                "targets": [{"name": "a", "url": "http://a"}],
            }));
            check(&spec.unwrap()).err().map(|invalid| invalid.message)
        };
        assert_eq!(
            refused("Sidecar").unwrap(),
            "spec.apiKeySecretRef: the key .. cannot be mounted (hint: name another key)"
        );
        assert_eq!(refused("Deployment"), None);
    }

    #[test]
    fn resources_that_have_a_pod_refused_are_named() {
        let requests = json!({"requests": {"cpu": "1500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "512Mi"}});
        assert_eq!(
            said("Sidecar", requests.clone()).unwrap(),
            "spec.resources.requests.cpu: 1500m is more than the limit, 1, and the pod of Prometheus would be refused (hint: lower it, or raise the limit); \
             spec.resources.requests.memory: 1Gi is more than the limit, 512Mi, and the pod of Prometheus would be refused (hint: lower it, or raise the limit)"
        );
        assert_eq!(
            said("Sidecar", json!({"limits": {"gpu": "1"}})).unwrap(),
            "spec.resources.limits.gpu: a sidecar may only have cpu, memory and ephemeral-storage, because the pod of Prometheus could be refused (hint: leave it out)"
        );
        // Of the mirror's own pods the Deployment says it.
        assert_eq!(said("Deployment", requests), None);
    }

    #[test]
    fn quantities_are_compared_in_any_unit() {
        for (request, limit) in [
            ("500m", "0.5"),
            ("1Gi", "1024Mi"),
            ("1k", "1000"),
            ("0.1", "100m"),
            ("1G", "1Gi"),
        ] {
            let resources = json!({"requests": {"cpu": request}, "limits": {"cpu": limit}});
            assert_eq!(said("Sidecar", resources), None, "{request} {limit}");
        }
        for (request, limit) in [
            ("501m", "0.5"),
            ("1Gi", "1G"),
            ("1Ei", "1E"),
            ("2", "1999m"),
        ] {
            let resources = json!({"requests": {"cpu": request}, "limits": {"cpu": limit}});
            assert!(said("Sidecar", resources).is_some(), "{request} {limit}");
        }
        assert_eq!(
            said(
                "Sidecar",
                json!({"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}})
            ),
            None
        );
    }
}
