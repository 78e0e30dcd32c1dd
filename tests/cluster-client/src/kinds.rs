//! The kinds of objects that tests read and write.

use anyhow::{Context as _, Result};
use kube::api::ApiResource;
use kube::core::GroupVersionKind;

/// Group, version, kind and plural.
pub type Kind = (&'static str, &'static str, &'static str, &'static str);

/// A mirror.
pub const MIRROR: Kind = (
    "prometheus-mirror.io",
    "v1alpha1",
    "PrometheusMirror",
    "prometheusmirrors",
);
/// What the operator makes of it.
pub const CHILDREN: [Kind; 10] = [
    ("", "v1", "ConfigMap", "configmaps"),
    ("", "v1", "Service", "services"),
    ("", "v1", "ServiceAccount", "serviceaccounts"),
    ("apps", "v1", "Deployment", "deployments"),
    (
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
    ),
    (
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
    ),
    ("networking.k8s.io", "v1", "Ingress", "ingresses"),
    (
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
    (
        "monitoring.coreos.com",
        "v1",
        "ServiceMonitor",
        "servicemonitors",
    ),
];
/// What the Deployment makes.
pub const GRANDCHILDREN: [Kind; 2] = [
    ("apps", "v1", "ReplicaSet", "replicasets"),
    ("", "v1", "Pod", "pods"),
];

/// Every other kind that can occur in a manifest of a test.
const OTHERS: [Kind; 10] = [
    ("", "v1", "Namespace", "namespaces"),
    ("", "v1", "Secret", "secrets"),
    (
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRole",
        "clusterroles",
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
    ),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles"),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "RoleBinding",
        "rolebindings",
    ),
    ("coordination.k8s.io", "v1", "Lease", "leases"),
    ("monitoring.coreos.com", "v1", "Prometheus", "prometheuses"),
    ("events.k8s.io", "v1", "Event", "events"),
];

/// A kind by its name.
///
/// # Errors
/// If the tests do not know it.
pub fn kind(name: &str) -> Result<Kind> {
    let all = CHILDREN.into_iter().chain(GRANDCHILDREN).chain(OTHERS);
    all.chain([MIRROR])
        .find(|kind| kind.2 == name)
        .with_context(|| format!("the tests know no kind {name}"))
}

pub(crate) fn resource((group, version, kind, plural): Kind) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}
