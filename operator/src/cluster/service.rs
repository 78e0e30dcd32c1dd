//! A Service, as far as the operator looks at it: its ports, where it leads, and who may refer to
//! it. There may be any number of them in a cluster.

use crds::contract::annotations;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::known::text;
use super::policy::LONGEST_ALLOW_FROM;
use super::reported::Part;
use super::store::Kept;

/// What is known of a Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownService {
    namespace: Box<str>,
    name: Box<str>,
    /// The annotation that says who may refer to it.
    pub allow_from: Option<Box<str>>,
    /// Its ports.
    pub ports: Box<[Port]>,
    /// Whether it is headless.
    pub is_headless: bool,
    /// Whether it selects pods.
    pub selects: bool,
    /// The name that it is an alias of.
    pub external_name: Option<Box<str>>,
}

/// A port.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name, where it has one.
    pub name: Option<Box<str>>,
    /// Its number.
    pub number: i32,
    /// That of the pods.
    pub target: Option<IntOrString>,
}

impl From<ServicePort> for Port {
    fn from(port: ServicePort) -> Self {
        Self {
            name: port.name.map(Into::into),
            number: port.port,
            target: port.target_port,
        }
    }
}

impl Kept for KnownService {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// They are looked up by name only.
    fn group(&self) -> Option<&str> {
        None
    }
}

impl Part for KnownService {
    type Whole = Service;
}

impl From<Service> for KnownService {
    fn from(service: Service) -> Self {
        let metadata = service.metadata;
        let allow_from = metadata.annotations.as_ref();
        let allow_from = allow_from.and_then(|all| all.get(annotations::ALLOW_FROM));
        let allow_from = allow_from.filter(|names| names.len() <= LONGEST_ALLOW_FROM);
        let spec = service.spec.unwrap_or_default();
        let is_alias = spec.type_.as_deref() == Some("ExternalName");
        Self {
            namespace: text(metadata.namespace.as_deref()),
            name: text(metadata.name.as_deref()),
            allow_from: allow_from.map(|names| names.as_str().into()),
            ports: spec.ports.into_iter().flatten().map(Port::from).collect(),
            is_headless: spec.cluster_ip.as_deref() == Some("None"),
            selects: spec.selector.is_some_and(|selector| !selector.is_empty()),
            external_name: spec.external_name.filter(|_| is_alias).map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_service_its_ports_its_kind_and_who_may_refer_to_it_are_kept() {
        let read = |annotations: serde_json::Value, spec: serde_json::Value| {
            let metadata = json!({"name": "s", "namespace": "n", "annotations": annotations});
            let service = json!({"metadata": metadata, "spec": spec});
            KnownService::from(serde_json::from_value::<Service>(service).unwrap())
        };
        let headless = read(
            json!({annotations::ALLOW_FROM: "a,b", "other": "c"}),
            json!({
                "clusterIP": "None", "selector": {"app": "a"}, "externalName": "x",
                "ports": [{"name": "web", "port": 80, "targetPort": "http", "nodePort": 30_000}],
            }),
        );
        let expected = KnownService {
            namespace: "n".into(),
            name: "s".into(),
            allow_from: Some("a,b".into()),
            ports: Box::new([Port {
                name: Some("web".into()),
                number: 80,
                target: Some(IntOrString::String("http".to_owned())),
            }]),
            is_headless: true,
            selects: true,
            external_name: None,
        };
        assert_eq!(headless, expected);
        let long = "x".repeat(LONGEST_ALLOW_FROM + 1);
        let alias = read(
            json!({annotations::ALLOW_FROM: long}),
            json!({"type": "ExternalName", "externalName": "db.example.com", "selector": {}}),
        );
        let expected = KnownService {
            namespace: "n".into(),
            name: "s".into(),
            external_name: Some("db.example.com".into()),
            ..KnownService::default()
        };
        assert_eq!(alias, expected);
    }
}
