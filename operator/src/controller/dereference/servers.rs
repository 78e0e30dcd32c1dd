//! The servers that targets name: Services and Prometheus objects, where the resource may know of
//! them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crds::contract::annotations;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource, ResourceExt as _};

use super::{PodFacts, PrometheusFacts, ServiceFacts};
use crate::cluster::caches::Caches;
use crate::cluster::policy::CrossNamespace;
use crate::cluster::prometheus::PrometheusObject;
use crate::cluster::references::NamespacedName;
use crate::cluster::slice::Slice;

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
    /// object does not exist or is not open to this namespace: a user who may create a resource
    /// must not learn from it what others have.
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
    let service = permitted_service(caches, from, at)?;
    let Some(spec) = service.spec.as_ref() else {
        return Ok(ServiceFacts::default());
    };
    let ports = spec.ports.iter().flatten();
    let is_headless = spec.cluster_ip.as_deref() == Some("None");
    let is_alias = spec.type_.as_deref() == Some("ExternalName");
    let external_name = spec.external_name.as_deref().filter(|_| is_alias);
    Ok(ServiceFacts {
        ports: ports.map(|port| (port.name.clone(), port.port)).collect(),
        is_headless,
        selects: spec.selector.is_some(),
        pod_ports: match is_headless {
            true => pod_ports(spec, slices_of(caches, at).iter().map(AsRef::as_ref)),
            false => BTreeMap::new(),
        },
        external_name: external_name.map(|name| name.trim_end_matches('.').to_owned()),
    })
}

/// The numbers of pods' ports that differ from the Service's. That of a port by name is known from
/// the slices, if all pods have the same.
fn pod_ports<'a>(
    spec: &ServiceSpec,
    slices: impl Iterator<Item = &'a Slice> + Clone,
) -> BTreeMap<i32, i32> {
    let ports = spec.ports.iter().flatten();
    let differing = ports.filter_map(|port| {
        let number = match port.target_port.as_ref()? {
            IntOrString::Int(number) => *number,
            IntOrString::String(_) => {
                let name = port.name.as_deref().unwrap_or_default();
                let mut numbers = slices.clone().filter_map(|slice| slice.ports.get(name));
                let first = *numbers.next()?;
                numbers.all(|number| *number == first).then_some(first)?
            }
        };
        (number != port.port).then_some((port.port, number))
    });
    differing.collect()
}

/// What is known of the pods of a headless Service.
fn slices_of(caches: &Caches, (namespace, name): &NamespacedName) -> Vec<Arc<Slice>> {
    caches.slices.filter(|slice| {
        slice.meta().namespace.as_deref() == Some(namespace) && slice.service == *name
    })
}

/// The Service, if there is one and the referrer may know of it.
fn permitted_service(
    caches: &Caches,
    from: Referrer<'_>,
    at: &NamespacedName,
) -> Result<Arc<Service>, String> {
    let (namespace, name) = at;
    if !caches.scope.sees(namespace) {
        return Err(format!(
            "the operator does not watch namespace {namespace} (hint: write the Service's url instead)"
        ));
    }
    from.permitted("Service", at, caches.services.get(namespace, name))
}

/// The pods of a headless Service. Who may know of it may know of them: DNS tells everyone.
pub(super) fn pods(
    caches: &Caches,
    from: Referrer<'_>,
    at: &NamespacedName,
) -> Result<Vec<PodFacts>, String> {
    permitted_service(caches, from, at)?;
    if let Some(why) = caches.slices.unavailable() {
        return Err(format!(
            "EndpointSlices (discovery.k8s.io) cannot be read: {why}"
        ));
    }
    let slices = slices_of(caches, at);
    Ok(in_order(at, slices.iter().map(AsRef::as_ref)))
}

/// The pods of a Service's slices, each once, in an order that no change of another pod changes:
/// the first replica is the preferred one. The tenth pod of a StatefulSet comes after the ninth.
///
/// What is not ready is one of them: it may answer again in a moment, and leaving out a shard makes
/// every sum wrong. Only a pod that ends is left out, unless its successor will have its name.
fn in_order<'a>(
    (namespace, service): &NamespacedName,
    slices: impl Iterator<Item = &'a Slice>,
) -> Vec<PodFacts> {
    let mut pods = BTreeMap::new();
    for slice in slices {
        for endpoint in &slice.endpoints {
            let host = match &endpoint.hostname {
                Some(hostname) => format!("{hostname}.{service}.{namespace}.svc"),
                None if endpoint.ends => continue,
                None => match endpoint.address {
                    IpAddr::V4(address) => address.to_string(),
                    IpAddr::V6(address) => format!("[{address}]"),
                },
            };
            let facts = PodFacts {
                host,
                ports: slice.ports.clone(),
            };
            // With two families of addresses, each pod is in two slices.
            let pod = &endpoint.pod;
            let addresses: &mut BTreeMap<_, _> = pods.entry((pod.len(), pod)).or_default();
            addresses.insert(endpoint.address, facts);
        }
    }
    let first = |addresses: BTreeMap<IpAddr, PodFacts>| addresses.into_values().next();
    pods.into_values().filter_map(first).collect()
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
    let mut facts = prometheus_facts(&object);
    if !leads_to_a_url(&facts) {
        return Err(format!(
            "Prometheus {namespace}/{name} has a serviceName or a routePrefix that is no part of a URL"
        ));
    }
    let sharing = caches.prometheuses.filter(|other| {
        other.meta().namespace == object.meta().namespace
            && governing_service(other) == facts.service
    });
    facts.shares_service = sharing.len() > 1;
    Ok(facts)
}

fn governing_service(prometheus: &PrometheusObject) -> &str {
    let service = prometheus.service.as_deref();
    service.unwrap_or("prometheus-operated")
}

/// The numbers are those that the Prometheus Operator runs: at least one shard, and no replicas
/// only where that is asked for.
fn prometheus_facts(prometheus: &PrometheusObject) -> PrometheusFacts {
    let count = |number: i64| usize::try_from(number).unwrap_or(1);
    let route_prefix = prometheus.route_prefix.as_deref();
    PrometheusFacts {
        service: governing_service(prometheus).to_owned(),
        route_prefix: route_prefix.unwrap_or("/").to_owned(),
        tls: prometheus.tls,
        shards: count(prometheus.shards.unwrap_or(1)).max(1),
        replicas: count(prometheus.replicas.unwrap_or(1)),
        listens_locally: prometheus.listen_local,
        shares_service: false,
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

    #[test]
    fn a_headless_service_says_which_ports_its_pods_have_elsewhere() {
        let ports = |targets: [Value; 4]| {
            let port = |(index, target): (usize, Value)| json!({"name": format!("p{index}"), "port": 80 + index, "targetPort": target});
            let spec =
                json!({"ports": targets.into_iter().enumerate().map(port).collect::<Value>()});
            serde_json::from_value::<ServiceSpec>(spec).unwrap()
        };
        let slice = |one: i32, two: i32| {
            let mut slice = Slice::default();
            slice.ports = [("p1".to_owned(), one), ("p2".to_owned(), two)].into();
            slice
        };
        // By number, by name, by a name that pods disagree about, and as it is.
        let spec = ports([json!(9090), json!("web"), json!("other"), json!(83)]);
        let slices = [slice(9091, 7), slice(9091, 8)];
        let found = pod_ports(&spec, slices.iter());
        assert_eq!(found, BTreeMap::from([(80, 9090), (81, 9091)]));
        assert_eq!(pod_ports(&spec, [].iter()), BTreeMap::from([(80, 9090)]));
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
    fn pods_come_in_the_order_of_their_numbers_and_once() {
        let slice = |endpoints: Value| -> Slice {
            let metadata = json!({"name": "s", "namespace": "finance"});
            let ports = json!([{"name": "web", "port": 9090}]);
            serde_json::from_value(
                json!({"metadata": metadata, "ports": ports, "endpoints": endpoints}),
            )
            .unwrap()
        };
        let pod = |pod: &str, address: &str, hostname: Option<&str>, conditions: Value| {
            json!({
                "addresses": [address], "hostname": hostname, "conditions": conditions,
                "targetRef": {"kind": "Pod", "name": pod},
            })
        };
        let (ready, not_ready) = (json!({"ready": true}), json!({"ready": false}));
        let ends = json!({"ready": false, "terminating": true});
        let slices = [
            slice(json!([
                pod("db-10", "10.0.0.1", Some("db-10"), ready.clone()),
                pod("db-9", "10.0.0.2", Some("db-9"), ends.clone()),
                pod("db-x", "fd00::3", None, not_ready.clone()),
            ])),
            slice(json!([
                pod("db-y", "10.0.0.4", None, ends),
                pod("db-10", "fd00::1", Some("db-10"), ready.clone()),
                pod("db-xx", "fd00::5", None, ready.clone()),
                pod("db-xx", "10.0.0.5", None, ready),
            ])),
        ];
        let at = ("finance".to_owned(), "db".to_owned());
        let hosts = [
            "db-9.db.finance.svc",
            "[fd00::3]",
            "db-10.db.finance.svc",
            "10.0.0.5",
        ];
        let expected = hosts.map(|host| PodFacts {
            host: host.to_owned(),
            ports: [("web".to_owned(), 9090)].into(),
        });
        assert_eq!(in_order(&at, slices.iter()), expected);
        assert_eq!(in_order(&at, slices.iter().rev()), expected);
    }

    #[test]
    fn numbers_are_those_that_the_prometheus_operator_runs() {
        let counted = |spec: Value| {
            let object = json!({"metadata": {"name": "k8s"}, "spec": spec});
            let facts = prometheus_facts(&serde_json::from_value(object).unwrap());
            (facts.shards, facts.replicas)
        };
        let numbers = [
            json!({}),
            json!({"shards": 0, "replicas": 0}),
            json!({"shards": -1, "replicas": -1}),
            json!({"shards": 3, "replicas": 2}),
        ];
        assert_eq!(numbers.map(counted), [(1, 1), (1, 0), (1, 1), (3, 2)]);
    }

    #[test]
    fn a_prometheus_object_leads_to_its_own_service_only() {
        let leads = |service: &str, route_prefix: &str| {
            leads_to_a_url(&PrometheusFacts {
                service: service.to_owned(),
                route_prefix: route_prefix.to_owned(),
                ..PrometheusFacts::default()
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
