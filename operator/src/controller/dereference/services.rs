//! The Services that targets name, and the pods of headless ones.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::referrer::Referrer;
use super::{PodFacts, ServiceFacts};
use crate::cluster::caches::Caches;
use crate::cluster::references::NamespacedName;
use crate::cluster::service::{KnownService, Port};
use crate::cluster::slice::Slice;

pub(super) fn service(
    caches: &Caches,
    from: Referrer<'_>,
    at: &NamespacedName,
) -> Result<ServiceFacts, String> {
    let service = permitted_service(caches, from, at)?;
    let ports = service.ports.iter();
    let ports = ports.map(|port| (port.name.as_deref().map(str::to_owned), port.number));
    let external_name = service.external_name.as_deref();
    Ok(ServiceFacts {
        ports: ports.collect(),
        is_headless: service.is_headless,
        selects: service.selects,
        pod_ports: match service.is_headless {
            true => pod_ports(
                &service.ports,
                caches.slices_of(at).iter().map(AsRef::as_ref),
            ),
            false => BTreeMap::new(),
        },
        external_name: external_name.map(|name| name.trim_end_matches('.').to_owned()),
    })
}

/// The numbers of pods' ports that differ from the Service's. That of a port by name is known from
/// the slices, if all pods have the same.
fn pod_ports<'a>(
    ports: &[Port],
    slices: impl Iterator<Item = &'a Slice> + Clone,
) -> BTreeMap<i32, i32> {
    let differing = ports.iter().filter_map(|port| {
        let number = match port.target.as_ref()? {
            IntOrString::Int(number) => *number,
            IntOrString::String(_) => {
                let name = port.name.as_deref().unwrap_or_default();
                let mut numbers = slices.clone().filter_map(|slice| slice.ports.get(name));
                let first = *numbers.next()?;
                numbers.all(|number| *number == first).then_some(first)?
            }
        };
        (number != port.number).then_some((port.number, number))
    });
    differing.collect()
}

/// The Service, if there is one and the referrer may know of it.
fn permitted_service(
    caches: &Caches,
    from: Referrer<'_>,
    at: &NamespacedName,
) -> Result<Arc<KnownService>, String> {
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
    let slices = caches.slices_of(at);
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::{Value, json};

    use super::*;

    fn read(service: Value) -> KnownService {
        KnownService::from(serde_json::from_value::<Service>(service).unwrap())
    }

    #[test]
    fn a_headless_service_says_which_ports_its_pods_have_elsewhere() {
        let ports = |targets: [Value; 4]| {
            let port = |(index, target): (usize, Value)| json!({"name": format!("p{index}"), "port": 80 + index, "targetPort": target});
            let spec =
                json!({"ports": targets.into_iter().enumerate().map(port).collect::<Value>()});
            read(json!({ "metadata": {}, "spec": spec })).ports
        };
        let slice = |one: i32, two: i32| {
            let mut slice = Slice::default();
            slice.ports = [("p1".to_owned(), one), ("p2".to_owned(), two)].into();
            slice
        };
        // By number, by name, by a name that pods disagree about, and as it is.
        let ports = ports([json!(9090), json!("web"), json!("other"), json!(83)]);
        let slices = [slice(9091, 7), slice(9091, 8)];
        let found = pod_ports(&ports, slices.iter());
        assert_eq!(found, BTreeMap::from([(80, 9090), (81, 9091)]));
        assert_eq!(pod_ports(&ports, [].iter()), BTreeMap::from([(80, 9090)]));
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
}
