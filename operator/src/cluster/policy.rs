//! What the cluster's owner lets the resources of its tenants do. Pure: from flags, a spec and an
//! annotation to a yes or a no.

use clap::ValueEnum;
use crds::{PrometheusMirrorSpec, ServiceType};

/// The longest value of [`crds::contract::annotations::ALLOW_FROM`] that is read, in bytes. A
/// longer one counts as absent.
pub const LONGEST_ALLOW_FROM: usize = 16 << 10;

/// What the flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether `service` and `prometheus` may name objects of other namespaces.
    pub cross_namespace: CrossNamespace,
    /// The fields that no resource may set.
    pub denied: Vec<Field>,
}

/// Whether a target may name a Service or Prometheus object of another namespace.
///
/// The operator reads these objects with its own rights, and its conditions tell a tenant what it
/// found. So a reference is a question about a namespace that the tenant may have no right to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum CrossNamespace {
    /// None
    Never,
    /// Those whose annotation prometheus-mirror.io/allow-from names the resource's namespace, or *
    #[default]
    Annotated,
    /// All
    Always,
}

/// A field of `spec` that the cluster's owner can deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum Field {
    PodTemplate,
    Image,
    #[value(name = "service.type")]
    ServiceType,
    #[value(name = "service.annotations")]
    ServiceAnnotations,
    Ingress,
    #[value(name = "ingress.annotations")]
    IngressAnnotations,
    HttpRoute,
    NetworkPolicy,
    Monitor,
    Autoscaling,
    PodDisruptionBudget,
    #[value(name = "sidecar.restartPods")]
    SidecarRestartPods,
}

impl Policy {
    /// The denied fields that a spec sets, by their paths.
    #[must_use]
    pub fn denied_by(&self, spec: &PrometheusMirrorSpec) -> Vec<String> {
        let set = self.denied.iter().filter(|field| field.is_set(spec));
        set.map(|field| format!("spec.{}", field.name())).collect()
    }
}

impl CrossNamespace {
    /// Whether a resource in `namespace` may refer to an object of another one with this
    /// annotation.
    #[must_use]
    pub fn allows(self, annotation: Option<&str>, namespace: &str) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Annotated => annotation.is_some_and(|allowed| {
                let mut names = allowed.split(',').map(str::trim);
                names.any(|name| name == "*" || name == namespace)
            }),
        }
    }
}

impl Field {
    /// As the flag and the chart write it: the path below `spec`.
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn is_set(self, spec: &PrometheusMirrorSpec) -> bool {
        let service = spec.service.as_ref();
        let ingress = spec.ingress.as_ref();
        match self {
            // Taking away what keeps a pod within its bounds is shaping it, too.
            Self::PodTemplate => {
                spec.pod_template.is_some() || !spec.pod_template_remove.is_empty()
            }
            Self::Image => spec.image.is_some(),
            Self::ServiceType => {
                service.is_some_and(|service| service.type_ != ServiceType::ClusterIP)
            }
            Self::ServiceAnnotations => {
                service.is_some_and(|service| !service.annotations.is_empty())
            }
            Self::Ingress => ingress.is_some(),
            Self::IngressAnnotations => {
                ingress.is_some_and(|ingress| !ingress.annotations.is_empty())
            }
            Self::HttpRoute => spec.http_route.is_some(),
            Self::NetworkPolicy => spec.network_policy.is_some(),
            Self::Monitor => spec.monitor.is_some(),
            Self::Autoscaling => spec.autoscaling.is_some(),
            Self::PodDisruptionBudget => spec.pod_disruption_budget.is_some(),
            Self::SidecarRestartPods => {
                let sidecar = spec.sidecar.as_ref();
                sidecar.is_some_and(|sidecar| sidecar.restart_pods)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_object_is_open_to_the_namespaces_that_its_annotation_names() {
        use CrossNamespace::{Always, Annotated, Never};
        let allows = [
            (Annotated, Some("team-a"), true),
            (Annotated, Some("team-b, team-a ,team-c"), true),
            (Annotated, Some("*"), true),
            (Annotated, Some("team-b,*"), true),
            (Annotated, Some("team-ab"), false),
            (Annotated, Some("team-*"), false),
            (Annotated, Some(""), false),
            (Annotated, None, false),
            (Never, Some("*"), false),
            (Always, None, true),
        ];
        for (mode, annotation, expected) in allows {
            let allowed = mode.allows(annotation, "team-a");
            assert_eq!(allowed, expected, "{mode:?} {annotation:?}");
        }
    }

    fn spec(more: Value) -> PrometheusMirrorSpec {
        let targets = json!([{"name": "a", "url": "http://a"}]);
        let mut spec = json!({"apiKeySecretRef": {"name": "key"}, "targets": targets});
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    /// For each field a part of a spec that sets it.
    fn setting(field: Field) -> Value {
        match field {
            Field::PodTemplate => json!({"podTemplate": {}}),
            Field::Image => json!({"image": "i"}),
            Field::ServiceType => json!({"service": {"type": "NodePort"}}),
            Field::ServiceAnnotations => json!({"service": {"annotations": {"a": "b"}}}),
            Field::Ingress => json!({"ingress": {"host": "h"}}),
            Field::IngressAnnotations => {
                json!({"ingress": {"host": "h", "annotations": {"a": "b"}}})
            }
            Field::HttpRoute => json!({"httpRoute": {"parentRefs": [{"name": "g"}]}}),
            Field::NetworkPolicy => json!({"networkPolicy": {}}),
            Field::Monitor => json!({"monitor": {}}),
            Field::Autoscaling => json!({"autoscaling": {"maxReplicas": 2}}),
            Field::PodDisruptionBudget => json!({"podDisruptionBudget": {}}),
            Field::SidecarRestartPods => json!({"sidecar": {"restartPods": true}}),
        }
    }

    #[test]
    fn who_may_not_shape_pods_may_not_remove_fields_of_them_either() {
        let policy = Policy {
            denied: vec![Field::PodTemplate],
            ..Policy::default()
        };
        let removes = spec(json!({"podTemplateRemove": ["/spec/securityContext"]}));
        assert_eq!(policy.denied_by(&removes), ["spec.podTemplate"]);
    }

    #[test]
    fn each_field_can_be_denied_by_its_path_and_alone() {
        for field in Field::value_variants() {
            let policy = Policy {
                denied: vec![*field],
                ..Policy::default()
            };
            let spec_with_it = spec(setting(*field));
            let path = format!("spec.{}", field.name());
            assert_eq!(policy.denied_by(&spec_with_it), [path]);
            assert!(Policy::default().denied_by(&spec_with_it).is_empty());
            assert!(policy.denied_by(&spec(json!({}))).is_empty());
            let path = setting(*field);
            let pointer = format!("/{}", field.name().replace('.', "/"));
            assert!(
                path.pointer(&pointer).is_some(),
                "{pointer} is a path of spec"
            );
        }
    }
}
