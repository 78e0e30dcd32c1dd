//! The kinds of objects: the resource, and what the operator makes for it.

use std::borrow::Cow;

use crds::PrometheusMirror;
use kube::Resource as _;
use kube::core::{ApiResource, GroupVersionKind};

/// The kind of the resource, for watches that take it as it is, valid or not.
#[must_use]
pub fn mirror_resource() -> ApiResource {
    ApiResource::erase::<PrometheusMirror>(&())
}

/// The kind of an object that is kept as text. A byte, because it is part of every key of a store,
/// where the texts of an [`ApiResource`] would take as much memory as some of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    /// The resource.
    Mirror,
    /// A child.
    Child(Kind),
}

impl Stored {
    /// Group, version, kind and plural.
    pub(super) fn names(self) -> [Cow<'static, str>; 4] {
        type Mirror = PrometheusMirror;
        match self {
            Self::Mirror => [
                Mirror::group(&()),
                Mirror::version(&()),
                Mirror::kind(&()),
                Mirror::plural(&()),
            ],
            Self::Child(kind) => kind.names().map(Cow::Borrowed),
        }
    }
}

/// A kind of child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    ServiceAccount,
    ConfigMap,
    Service,
    NetworkPolicy,
    Deployment,
    PodDisruptionBudget,
    HorizontalPodAutoscaler,
    Ingress,
    HttpRoute,
    ServiceMonitor,
}

impl Kind {
    /// All kinds, in the order in which they are applied.
    pub const ALL: [Self; 10] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Service,
        Self::NetworkPolicy,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
        Self::Ingress,
        Self::HttpRoute,
        Self::ServiceMonitor,
    ];

    /// Whether a mirror can answer without it.
    #[must_use]
    pub fn is_optional(self) -> bool {
        let needed = [
            Self::ServiceAccount,
            Self::ConfigMap,
            Self::Service,
            Self::Deployment,
        ];
        !needed.contains(&self)
    }

    /// Group, version, kind and plural.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let [group, version, kind, plural] = self.names();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// The same as texts.
    const fn names(self) -> [&'static str; 4] {
        match self {
            Self::ServiceAccount => ["", "v1", "ServiceAccount", "serviceaccounts"],
            Self::ConfigMap => ["", "v1", "ConfigMap", "configmaps"],
            Self::Service => ["", "v1", "Service", "services"],
            Self::NetworkPolicy => [
                "networking.k8s.io",
                "v1",
                "NetworkPolicy",
                "networkpolicies",
            ],
            Self::Deployment => ["apps", "v1", "Deployment", "deployments"],
            Self::PodDisruptionBudget => [
                "policy",
                "v1",
                "PodDisruptionBudget",
                "poddisruptionbudgets",
            ],
            Self::HorizontalPodAutoscaler => [
                "autoscaling",
                "v2",
                "HorizontalPodAutoscaler",
                "horizontalpodautoscalers",
            ],
            Self::Ingress => ["networking.k8s.io", "v1", "Ingress", "ingresses"],
            Self::HttpRoute => ["gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"],
            Self::ServiceMonitor => [
                "monitoring.coreos.com",
                "v1",
                "ServiceMonitor",
                "servicemonitors",
            ],
        }
    }
}
