//! The NetworkPolicy: who may connect to which port.
//!
//! A policy that selects a pod closes all ports that no policy opens. A pod with a sidecar is
//! somebody else's, so all ports but the mirror's are opened to everyone there, as they were.

use crds::contract::{ADMIN_PORT, ADMIN_PORT_NUMBER, API_PORT};
use crds::{Mode, NetworkPolicy};
use serde_json::{Value, json};

use super::{Defaults, Kind, ValidatedMirror, child_name, object, selector_labels};

/// The lowest and the highest number of a port.
const PORTS: (i32, i32) = (1, 65535);

pub(super) fn build(mirror: &ValidatedMirror, asked: &NetworkPolicy, defaults: &Defaults) -> Value {
    let is_sidecar = mirror.spec.mode == Mode::Sidecar;
    let (api, admin) = if is_sidecar {
        // By number: not every network plugin looks for a port's name in init containers.
        (json!(mirror.spec.port), json!(ADMIN_PORT_NUMBER))
    } else {
        (json!(API_PORT), json!(ADMIN_PORT))
    };
    // The kubelet's probes come from the node and are let through anyway.
    let mut to_admin = json!({ "ports": [{"port": admin, "protocol": "TCP"}] });
    to_admin["from"] = if mirror.spec.monitor.is_some() {
        // Who scrapes is not known here.
        json!([{ "namespaceSelector": {} }])
    } else {
        json!([{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": defaults.operator_namespace } } }])
    };
    let mut ingress = vec![to_admin];
    // A rule with an empty list of peers would let everyone in.
    if !asked.allowed_from.is_empty() {
        ingress.push(
            json!({ "from": asked.allowed_from, "ports": [{"port": api, "protocol": "TCP"}] }),
        );
    }
    if is_sidecar {
        ingress.push(json!({ "ports": others(mirror.spec.port) }));
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

/// All ports but those of a mirror with this API port.
fn others(api: i32) -> Vec<Value> {
    let admin = i32::from(ADMIN_PORT_NUMBER);
    let (low, high) = (api.min(admin), api.max(admin));
    let ranges = [
        ("TCP", PORTS.0, low - 1),
        ("TCP", low + 1, high - 1),
        ("TCP", high + 1, PORTS.1),
        ("UDP", PORTS.0, PORTS.1),
        ("SCTP", PORTS.0, PORTS.1),
    ];
    let ranges = ranges.into_iter().filter(|(_, first, last)| first <= last);
    ranges
        .map(|(protocol, first, last)| match first == last {
            true => json!({ "protocol": protocol, "port": first }),
            false => json!({ "protocol": protocol, "port": first, "endPort": last }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::build::tests::{defaults, mirror};

    #[test]
    fn what_else_a_pod_with_a_sidecar_listens_on_stays_open() {
        let peer = json!({"podSelector": {"matchLabels": {"app": "stackstate"}}});
        let spec = json!({"mode": "Sidecar", "networkPolicy": {"allowedFrom": [peer]}});
        let mirror = mirror(spec);
        let asked = mirror.spec.network_policy.clone().unwrap();
        let operator = json!({"matchLabels": {"kubernetes.io/metadata.name": "system"}});
        let expected = json!({
            "podSelector": {"matchLabels": {"prometheus-mirror.io/inject": "production"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"namespaceSelector": operator}],
                    "ports": [{"port": 9901, "protocol": "TCP"}],
                },
                {"from": [peer], "ports": [{"port": 9900, "protocol": "TCP"}]},
                {"ports": [
                    {"protocol": "TCP", "port": 1, "endPort": 9899},
                    {"protocol": "TCP", "port": 9902, "endPort": 65535},
                    {"protocol": "UDP", "port": 1, "endPort": 65535},
                    {"protocol": "SCTP", "port": 1, "endPort": 65535},
                ]},
            ],
        });
        assert_eq!(build(&mirror, &asked, &defaults())["spec"], expected);
    }

    #[test]
    fn every_port_but_the_mirrors_two_is_in_one_range() {
        for api in [1, 2, 80, 9899, 9900, 9902, 9903, 65534, 65535] {
            let ranges = others(api);
            let tcp = ranges.iter().filter(|range| range["protocol"] == "TCP");
            let mut open: Vec<i64> = tcp
                .flat_map(|range| {
                    let first = range["port"].as_i64().unwrap();
                    first..=range["endPort"].as_i64().unwrap_or(first)
                })
                .collect();
            open.sort_unstable();
            let closed = [i64::from(api), 9901];
            let expected: Vec<i64> = (1..=65535).filter(|port| !closed.contains(port)).collect();
            assert!(open == expected, "{api}: {ranges:?}");
        }
    }
}
