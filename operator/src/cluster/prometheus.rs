//! An object of the Prometheus Operator's kind Prometheus, as far as the operator looks at it. A
//! tenant may write up to a megabyte and a half into one; only this is kept, and nothing else is
//! built while an answer of the API server is read.

use std::borrow::Cow;

use kube::Resource;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::store::{Kept, Watched, name_of, namespace_of};
use super::trim::only_allow_from;

/// A Prometheus object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrometheusObject {
    /// Its names, its version, and who may refer to it.
    metadata: ObjectMeta,
    /// `spec.serviceName`.
    pub service: Option<String>,
    /// `spec.routePrefix`.
    pub route_prefix: Option<String>,
    /// Whether `spec.web.tlsConfig` is there.
    pub tls: bool,
    /// `spec.shards`.
    pub shards: Option<i64>,
    /// `spec.replicas`.
    pub replicas: Option<i64>,
    /// `spec.listenLocal`.
    pub listen_local: bool,
}

impl PrometheusObject {
    /// The Service that leads to its pods.
    #[must_use]
    pub fn governing_service(&self) -> &str {
        let service = self.service.as_deref();
        service.unwrap_or("prometheus-operated")
    }
}

impl Kept for PrometheusObject {
    fn namespace(&self) -> &str {
        namespace_of(self)
    }

    fn name(&self) -> &str {
        name_of(self)
    }

    /// The Service that leads to its pods.
    fn group(&self) -> Option<&str> {
        Some(self.governing_service())
    }
}

impl Watched for PrometheusObject {
    type Kept = Self;

    fn kept(&self) -> Self {
        self.clone()
    }
}

#[derive(Deserialize)]
struct Whole {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<Spec>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    service_name: Option<String>,
    route_prefix: Option<String>,
    web: Option<Web>,
    shards: Option<i64>,
    replicas: Option<i64>,
    listen_local: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Web {
    tls_config: Option<IgnoredAny>,
}

impl<'de> Deserialize<'de> for PrometheusObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Whole { mut metadata, spec } = Whole::deserialize(deserializer)?;
        let spec = spec.unwrap_or_default();
        only_allow_from(&mut metadata);
        metadata.managed_fields = None;
        Ok(Self {
            metadata,
            service: spec.service_name,
            route_prefix: spec.route_prefix,
            tls: spec.web.is_some_and(|web| web.tls_config.is_some()),
            shards: spec.shards,
            replicas: spec.replicas,
            listen_local: spec.listen_local.unwrap_or_default(),
        })
    }
}

impl Resource for PrometheusObject {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        Cow::Borrowed("Prometheus")
    }

    fn group(_: &()) -> Cow<'_, str> {
        Cow::Borrowed("monitoring.coreos.com")
    }

    fn version(_: &()) -> Cow<'_, str> {
        Cow::Borrowed("v1")
    }

    fn plural(_: &()) -> Cow<'_, str> {
        Cow::Borrowed("prometheuses")
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn of_a_prometheus_object_only_what_leads_to_its_pods_is_kept() {
        let read = |metadata: Value, spec: Value| {
            let object = json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": metadata, "spec": spec});
            serde_json::from_value::<PrometheusObject>(object).unwrap()
        };
        let metadata = json!({
            "name": "k8s", "namespace": "monitoring", "resourceVersion": "7", "labels": {"a": "b"},
            "annotations": {"prometheus-mirror.io/allow-from": "*", "other": "o"},
            "managedFields": [{"manager": "kubectl"}],
        });
        let kept = json!({
            "name": "k8s", "namespace": "monitoring", "resourceVersion": "7",
            "annotations": {"prometheus-mirror.io/allow-from": "*"},
        });
        let whole = PrometheusObject {
            metadata: serde_json::from_value(kept).unwrap(),
            service: Some("s".to_owned()),
            route_prefix: Some("/p".to_owned()),
            tls: true,
            shards: Some(3),
            replicas: Some(2),
            listen_local: true,
        };
        let spec = json!({
            "serviceName": "s", "routePrefix": "/p", "web": {"tlsConfig": {}}, "shards": 3,
            "replicas": 2, "listenLocal": true, "containers": [{"name": "c"}],
        });
        assert_eq!(read(metadata, spec), whole);
        let metadata = json!({"name": "k8s"});
        let smallest = PrometheusObject {
            metadata: serde_json::from_value(metadata.clone()).unwrap(),
            ..PrometheusObject::default()
        };
        assert_eq!(
            read(metadata, json!({"web": {"tlsConfig": null}})),
            smallest
        );
    }
}
