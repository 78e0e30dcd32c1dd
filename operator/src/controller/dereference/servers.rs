//! The servers that targets name: Services and Prometheus objects, where the resource may know of
//! them.

use std::sync::Arc;

use crds::contract::annotations;
use kube::{Resource, ResourceExt as _};

use super::{PrometheusFacts, ServiceFacts};
use crate::cluster::caches::Caches;
use crate::cluster::policy::CrossNamespace;
use crate::cluster::prometheus::PrometheusObject;
use crate::cluster::references::NamespacedName;

/// Who refers, and how far that may lead.
#[derive(Clone, Copy, Debug)]
pub struct Referrer<'a> {
    /// The resource's namespace.
    pub namespace: &'a str,
    /// What holds for objects of other namespaces.
    pub cross_namespace: CrossNamespace,
}

impl Referrer<'_> {
    /// Why an object of another namespace cannot be referred to. The words are the same whether the
    /// object does not exist or is not open to this namespace: whoever may make a resource must not
    /// learn from it what others have.
    fn closed(self, kind: &str, (namespace, name): &NamespacedName) -> String {
        if self.cross_namespace == CrossNamespace::Never {
            return format!(
                "{kind} objects of other namespaces cannot be used in this cluster (hint: write the url instead)"
            );
        }
        format!(
            "{kind} {namespace}/{name} does not exist, or is not open to namespace {own} (hint: its owner can open it, kubectl -n {namespace} annotate {command} {name} {annotation}={own}; or write its url instead)",
            own = self.namespace,
            annotation = annotations::ALLOW_FROM,
            command = kind.to_lowercase(),
        )
    }

    /// The object, if there is one and the referrer may know of it.
    fn permitted<K: Resource>(
        self,
        kind: &str,
        at: &NamespacedName,
        there: Option<Arc<K>>,
    ) -> Result<Arc<K>, String> {
        let (namespace, name) = at;
        if namespace == self.namespace || self.cross_namespace == CrossNamespace::Always {
            return there
                .ok_or_else(|| format!("there is no {kind} {name} in namespace {namespace}"));
        }
        there
            .filter(|there| {
                let annotation = there.annotations().get(annotations::ALLOW_FROM);
                let annotation = annotation.map(String::as_str);
                self.cross_namespace.allows(annotation, self.namespace)
            })
            .ok_or_else(|| self.closed(kind, at))
    }
}

pub(super) fn service(
    caches: &Caches,
    from: Referrer<'_>,
    at: &NamespacedName,
) -> Result<ServiceFacts, String> {
    let (namespace, name) = at;
    if !caches.scope.sees(namespace) {
        return Err(format!(
            "the operator does not watch namespace {namespace} (hint: write the Service's url instead)"
        ));
    }
    let service = from.permitted("Service", at, caches.services.get(namespace, name))?;
    let ports = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten());
    Ok(ServiceFacts {
        ports: ports.map(|port| (port.name.clone(), port.port)).collect(),
    })
}

pub(super) fn prometheus(
    caches: &Caches,
    from: Referrer<'_>,
    at: &NamespacedName,
) -> Result<PrometheusFacts, String> {
    let (namespace, name) = at;
    if let Some(why) = caches.prometheuses.unavailable() {
        return Err(format!(
            "Prometheus objects (monitoring.coreos.com) cannot be read: {why}"
        ));
    }
    if !caches.scope.sees(namespace) {
        return Err(format!("the operator does not watch namespace {namespace}"));
    }
    let object = from.permitted("Prometheus", at, caches.prometheuses.get(namespace, name))?;
    let facts = prometheus_facts(&object);
    if !leads_to_a_url(&facts) {
        return Err(format!(
            "Prometheus {namespace}/{name} has a serviceName or a routePrefix that is no part of a URL"
        ));
    }
    let sharing = caches.prometheuses.filter(|other| {
        other.meta().namespace == object.meta().namespace
            && prometheus_facts(other).service == facts.service
    });
    if sharing.len() > 1 {
        // A query would be answered by any of them. How many there are is not said: they may not be
        // open to this namespace.
        return Err(format!(
            "Service {} leads to other Prometheus objects of namespace {namespace}, too (hint: make a Service for this one and name it under service)",
            facts.service
        ));
    }
    Ok(facts)
}

fn prometheus_facts(prometheus: &PrometheusObject) -> PrometheusFacts {
    let or =
        |value: &Option<String>, default: &str| value.clone().unwrap_or_else(|| default.to_owned());
    PrometheusFacts {
        service: or(&prometheus.service, "prometheus-operated"),
        route_prefix: or(&prometheus.route_prefix, "/"),
        tls: prometheus.tls,
    }
}

/// Whether what the owner of a Prometheus object wrote can be part of a URL, and means nothing else
/// there. The resource's own fields have the same bounds by its schema.
fn leads_to_a_url(facts: &PrometheusFacts) -> bool {
    let PrometheusFacts {
        service,
        route_prefix,
        ..
    } = facts;
    let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let path = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
    (1..=63).contains(&service.len())
        && service.bytes().all(label)
        && route_prefix.len() <= 1024
        && route_prefix.bytes().all(path)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(annotations: Value) -> Arc<k8s_openapi::api::core::v1::Service> {
        let metadata = json!({"name": "db", "namespace": "finance", "annotations": annotations});
        Arc::new(serde_json::from_value(json!({ "metadata": metadata })).unwrap())
    }

    fn said(
        cross_namespace: CrossNamespace,
        at: (&str, &str),
        there: Option<Arc<k8s_openapi::api::core::v1::Service>>,
    ) -> Result<(), String> {
        let from = Referrer {
            namespace: "team-a",
            cross_namespace,
        };
        let at = (at.0.to_owned(), at.1.to_owned());
        from.permitted("Service", &at, there).map(|_| ())
    }

    #[test]
    fn what_is_absent_and_what_is_closed_in_another_namespace_sound_the_same() {
        let at = ("finance", "db");
        let closed = [
            None,
            Some(service(json!({}))),
            Some(service(json!({annotations::ALLOW_FROM: "team-b"}))),
        ];
        let message = "Service finance/db does not exist, or is not open to namespace team-a (hint: its owner can open it, \
                       kubectl -n finance annotate service db prometheus-mirror.io/allow-from=team-a; or write its url instead)";
        for there in closed.clone() {
            let found = said(CrossNamespace::Annotated, at, there);
            assert_eq!(found, Err(message.to_owned()));
        }
        let opened = Some(service(json!({annotations::ALLOW_FROM: "team-b,team-a"})));
        assert_eq!(said(CrossNamespace::Annotated, at, opened.clone()), Ok(()));
        let message = "Service objects of other namespaces cannot be used in this cluster (hint: write the url instead)";
        for there in closed.into_iter().chain([opened]) {
            let found = said(CrossNamespace::Never, at, there);
            assert_eq!(found, Err(message.to_owned()));
        }
    }

    #[test]
    fn a_prometheus_object_leads_to_its_own_service_only() {
        let leads = |service: &str, route_prefix: &str| {
            leads_to_a_url(&PrometheusFacts {
                service: service.to_owned(),
                route_prefix: route_prefix.to_owned(),
                tls: false,
            })
        };
        assert!(leads("prometheus-operated", "/") && leads("p", "") && leads("p", "/a/b_c~1.2"));
        for service in [
            "",
            "elsewhere.example.com/?",
            "a@b",
            "A",
            "a:1",
            &"a".repeat(64),
        ] {
            assert!(!leads(service, "/"), "{service}");
        }
        for prefix in ["/?a=b", "/#a", "/a b", "/ä", "/\n", &"/".repeat(1025)] {
            assert!(!leads("p", prefix), "{prefix}");
        }
    }

    #[test]
    fn in_its_own_namespace_a_resource_learns_what_there_is_whatever_the_switch() {
        let own = ("team-a", "db");
        let absent = Err("there is no Service db in namespace team-a".to_owned());
        let other = Err("there is no Service db in namespace finance".to_owned());
        use CrossNamespace::{Always, Annotated, Never};
        for mode in [Never, Annotated, Always] {
            assert_eq!(said(mode, own, Some(service(json!({})))), Ok(()));
            assert_eq!(said(mode, own, None), absent);
        }
        assert_eq!(
            said(Always, ("finance", "db"), Some(service(json!({})))),
            Ok(())
        );
        assert_eq!(said(Always, ("finance", "db"), None), other);
    }
}
