//! The Service that StackState reads from. It has the resource's own name.

use crds::ServiceType;
use crds::contract::API_PORT;
use serde_json::{Value, json};

use super::{Kind, ValidatedMirror, api_port, object, selector_labels};

pub(super) fn build(mirror: &ValidatedMirror) -> Value {
    let service = mirror.spec.service.clone().unwrap_or_default();
    let type_ = match service.type_ {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    let mut rest = json!({
        "spec": {
            "type": type_,
            "selector": selector_labels(mirror),
            // By name: while a change of the port rolls out, each pod is reached on the port that
            // it has. And a labelled pod that has no sidecar yet is not reached at all.
            "ports": [{"name": API_PORT, "port": mirror.spec.port, "targetPort": api_port(mirror), "protocol": "TCP"}],
        },
    });
    // The API server's defaults stay where nothing is asked for.
    let asked_for = [
        ("ipFamilyPolicy", json!(service.ip_family_policy)),
        ("ipFamilies", json!(service.ip_families)),
        ("loadBalancerClass", json!(service.load_balancer_class)),
        (
            "loadBalancerSourceRanges",
            json!(service.load_balancer_source_ranges),
        ),
        (
            "externalTrafficPolicy",
            json!(service.external_traffic_policy),
        ),
    ];
    for (field, value) in asked_for {
        if !value.is_null() && value != json!([]) {
            rest["spec"][field] = value;
        }
    }
    if !service.annotations.is_empty() {
        rest["metadata"] = json!({ "annotations": service.annotations });
    }
    object(mirror, Kind::Service, &mirror.name, rest)
}

/// What to enter as data source URL in StackState.
pub(super) fn endpoint(mirror: &ValidatedMirror) -> String {
    let tls = mirror
        .spec
        .server
        .as_ref()
        .is_some_and(|server| server.tls.is_some());
    let scheme = if tls { "https" } else { "http" };
    format!(
        "{scheme}://{}.{}.svc:{}",
        mirror.name, mirror.namespace, mirror.spec.port
    )
}
