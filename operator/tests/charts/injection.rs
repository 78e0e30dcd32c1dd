//! The policy that injects sidecars is installed where it can work.

use serde_json::{Value, json};

use crate::helm::{OPERATOR, chart, named, template_for};

const POLICY: &str = "MutatingAdmissionPolicy";
const BINDING: &str = "MutatingAdmissionPolicyBinding";
const API: &str = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";
const NEW: &[&str] = &["--kube-version", "1.37.0", "--api-versions", API];
/// As `helm template` takes a cluster to be, unless it is told more.
const UNKNOWN: &[&str] = &["--kube-version", "1.37.0"];
const OLD: &[&str] = &["--kube-version", "1.35.0"];

fn rendered(cluster: &[&str], values: &Value) -> Result<Vec<Value>, String> {
    template_for(cluster, &chart(OPERATOR), "mirrors", values)
}

#[test]
fn the_policy_comes_with_the_api_or_when_it_is_asked_for() {
    let asked = |injection: bool| json!({"sidecar": {"injection": injection}});
    let limited = json!({"watchNamespaces": ["team-a"]});
    for (cluster, values, expected) in [
        (NEW, json!({}), true),
        (UNKNOWN, json!({}), false),
        (OLD, json!({}), false),
        // It belongs to the whole cluster, and these values are for those who may not.
        (NEW, limited, false),
        (NEW, asked(false), false),
        (UNKNOWN, asked(true), true),
    ] {
        let objects = rendered(cluster, &values).unwrap();
        let name = "mirrors-prometheus-mirror-operator-sidecar";
        let expected: &[&str] = if expected { &[name] } else { &[] };
        for kind in [POLICY, BINDING] {
            assert_eq!(
                named(&objects, kind),
                expected,
                "{kind} {cluster:?} {values}"
            );
        }
        let binding = objects.iter().find(|object| object["kind"] == BINDING);
        let policy = binding.map(|binding| binding["spec"]["policyName"].clone());
        assert!(policy.is_none_or(|policy| policy == name), "{values}");
    }
}

#[test]
fn with_watched_namespaces_it_looks_at_those_alone() {
    let values = json!({
        "watchNamespaces": ["team-a", "team-b", "team-a"], "sidecar": {"injection": true},
    });
    let objects = rendered(NEW, &values).unwrap();
    let policy = objects.iter().find(|object| object["kind"] == POLICY);
    let constraints = &policy.unwrap()["spec"]["matchConstraints"];
    let name = "kubernetes.io/metadata.name";
    let expected = json!({"matchExpressions": [{
        "key": name, "operator": "In", "values": ["team-a", "team-b"],
    }]});
    assert_eq!(constraints["namespaceSelector"], expected);
}

#[test]
fn a_cluster_without_the_api_cannot_be_asked_for_it() {
    let said = rendered(OLD, &json!({"sidecar": {"injection": true}})).unwrap_err();
    let expected = "sidecar.injection: it needs MutatingAdmissionPolicy of Kubernetes 1.36, and this is v1.35.0";
    assert!(said.contains(expected), "{said}");
}
