//! From what a reference led to, to the URLs of servers.

use crds::{Reason, Scheme, ServiceRef};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::list;
use crate::controller::dereference::{PodFacts, PrometheusFacts, ServiceFacts};

/// Why a reference leads to no URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dead {
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// The server that a Service as a whole is.
pub(super) fn service_url(
    reference: &ServiceRef,
    namespace: &str,
    facts: &ServiceFacts,
) -> Result<String, Dead> {
    if let Some(host) = &facts.external_name {
        return external_url(reference, namespace, facts, host);
    }
    let (_, port) = port(reference, namespace, facts)?;
    let port = facts.pod_ports.get(port).unwrap_or(port);
    let host = format!("{}.{namespace}.svc", reference.name);
    Ok(url(reference, &host, *port))
}

/// The server that a Service is an alias of, by its own name: its certificate and its virtual host
/// are for that. Such a Service rarely has ports, so a number is taken as it is.
fn external_url(
    reference: &ServiceRef,
    namespace: &str,
    facts: &ServiceFacts,
    host: &str,
) -> Result<String, Dead> {
    let number = match (port(reference, namespace, facts), &reference.port) {
        (Ok((_, number)), _) | (Err(_), IntOrString::Int(number)) => *number,
        (Err(_), IntOrString::String(name)) => {
            let service = &reference.name;
            return Err(Dead {
                reason: Reason::ServiceMissing,
                message: format!(
                    "Service {namespace}/{service} is an alias of {host} and has no port named {name} (hint: write the port's number)"
                ),
            });
        }
    };
    Ok(url(reference, host, number))
}

/// The servers that the pods of a headless Service are.
pub(super) fn pod_urls(
    reference: &ServiceRef,
    namespace: &str,
    facts: &ServiceFacts,
    pods: &[PodFacts],
) -> Result<Vec<String>, Dead> {
    let (port, _) = port(reference, namespace, facts)?;
    let service = format!("Service {namespace}/{}", reference.name);
    if !facts.is_headless {
        return Err(unusable(format!(
            "{service} is not headless, so its pods cannot be queried one by one (hint: name a Service with clusterIP: None, or leave out pods)"
        )));
    }
    if !facts.selects {
        return Err(unusable(format!(
            "{service} has no selector, so its pods are not known (hint: list the servers under replicas or shards)"
        )));
    }
    if pods.is_empty() {
        return Err(unusable(format!(
            "{service} has no pods (hint: compare its selector with the labels of the pods)"
        )));
    }
    let port = port.as_deref().unwrap_or_default();
    let urls = pods.iter().map(|pod| {
        let Some(number) = pod.ports.get(port) else {
            return Err(unusable(format!(
                "{} of {service} has no port for the Service's port {} (hint: compare its targetPort with the ports of the pod)",
                pod.host,
                wanted(reference)
            )));
        };
        Ok(url(reference, &pod.host, *number))
    });
    urls.collect()
}

/// The servers of a Prometheus object: the replicas of each shard.
pub(super) fn prometheus_urls(
    facts: &PrometheusFacts,
    namespace: &str,
    name: &str,
) -> Result<Vec<Vec<String>>, Dead> {
    let object = format!("Prometheus {namespace}/{name}");
    if facts.listens_locally {
        return Err(unusable(format!(
            "{object} accepts connections from within its own pods only (hint: remove spec.listenLocal from it, or name the Service of the proxy in front of it under service)"
        )));
    }
    if facts.replicas == 0 {
        return Err(unusable(format!(
            "{object} has no replicas (hint: set its spec.replicas to 1 or more)"
        )));
    }
    bounded(&object, "replicas", facts.replicas, crds::MOST_REPLICAS)?;
    bounded(&object, "shards", facts.shards, crds::MOST_SHARDS)?;
    let scheme = if facts.tls { "https" } else { "http" };
    let path = facts.route_prefix.trim_end_matches('/');
    let url = |host: &str| format!("{scheme}://{host}.{namespace}.svc:9090{path}");
    let service = &facts.service;
    if (facts.shards, facts.replicas) == (1, 1) && !facts.shares_service {
        return Ok(vec![vec![url(service)]]);
    }
    let shards = (0..facts.shards).map(|shard| {
        // The names of the StatefulSets and of their pods, as the Prometheus Operator gives them.
        let set = match shard {
            0 => format!("prometheus-{name}"),
            shard => format!("prometheus-{name}-shard-{shard}"),
        };
        let replicas = (0..facts.replicas).map(|replica| format!("{set}-{replica}"));
        let urls = replicas.map(|pod| match is_label(&pod) {
            true => Ok(url(&format!("{pod}.{service}"))),
            false => Err(unusable(format!(
                "{object} has pods that DNS does not know, because {pod} is no DNS label (hint: give it a shorter name without dots, or make a Service for it and name that under service)"
            ))),
        });
        urls.collect()
    });
    shards.collect()
}

/// So many of them can be asked for one answer.
pub(super) fn bounded(of: &str, what: &str, number: usize, most: usize) -> Result<(), Dead> {
    if number <= most {
        return Ok(());
    }
    Err(unusable(format!(
        "{of} has {number} {what}, and at most {most} can be queried (hint: write the url of a Thanos Querier in front of them)"
    )))
}

fn unusable(message: String) -> Dead {
    Dead {
        reason: Reason::ServersUnusable,
        message,
    }
}

fn is_label(name: &str) -> bool {
    let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 63 && name.bytes().all(label)
}

/// The port of a Service that a reference names.
fn port<'a>(
    reference: &ServiceRef,
    namespace: &str,
    facts: &'a ServiceFacts,
) -> Result<&'a (Option<String>, i32), Dead> {
    let mut ports = facts.ports.iter();
    let found = ports.find(|(name, number)| match &reference.port {
        IntOrString::Int(wanted) => number == wanted,
        IntOrString::String(wanted) => name.as_ref() == Some(wanted),
    });
    found.ok_or_else(|| {
        let shown = |(name, number): &(Option<String>, i32)| match name {
            Some(name) => format!("{name} ({number})"),
            None => number.to_string(),
        };
        let ports: Vec<_> = facts.ports.iter().map(shown).collect();
        let message = format!(
            "Service {namespace}/{} has no port {} (hint: its ports: {})",
            reference.name,
            wanted(reference),
            list(&ports)
        );
        Dead {
            reason: Reason::ServiceMissing,
            message,
        }
    })
}

fn wanted(reference: &ServiceRef) -> String {
    match &reference.port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    }
}

fn url(reference: &ServiceRef, host: &str, port: i32) -> String {
    let scheme = match reference.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let path = reference.path.as_deref().unwrap_or_default();
    format!("{scheme}://{host}:{port}{}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn facts(shards: usize, replicas: usize) -> PrometheusFacts {
        PrometheusFacts {
            service: "prometheus-operated".to_owned(),
            route_prefix: "/".to_owned(),
            shards,
            replicas,
            ..PrometheusFacts::default()
        }
    }

    fn urls(facts: &PrometheusFacts, name: &str) -> Result<Vec<Vec<String>>, String> {
        prometheus_urls(facts, "monitoring", name).map_err(|dead| dead.message)
    }

    #[test]
    fn each_pod_of_a_prometheus_object_has_a_url() {
        let pod = |pod: &str| format!("http://{pod}.prometheus-operated.monitoring.svc:9090");
        let alone = "http://prometheus-operated.monitoring.svc:9090".to_owned();
        assert_eq!(urls(&facts(1, 1), "k8s"), Ok(vec![vec![alone]]));
        let shared = PrometheusFacts {
            shares_service: true,
            ..facts(1, 1)
        };
        let own = vec![vec![pod("prometheus-k8s-0")]];
        assert_eq!(urls(&shared, "k8s"), Ok(own));
        let pair = vec![vec![pod("prometheus-k8s-0"), pod("prometheus-k8s-1")]];
        assert_eq!(urls(&facts(1, 2), "k8s"), Ok(pair));
        let shards = vec![
            vec![pod("prometheus-k8s-0"), pod("prometheus-k8s-1")],
            vec![
                pod("prometheus-k8s-shard-1-0"),
                pod("prometheus-k8s-shard-1-1"),
            ],
        ];
        assert_eq!(urls(&facts(2, 2), "k8s"), Ok(shards));
        let secured = PrometheusFacts {
            service: "own".to_owned(),
            route_prefix: "/p/".to_owned(),
            tls: true,
            ..facts(2, 1)
        };
        let expected = [
            ["https://prometheus-a-0.own.monitoring.svc:9090/p".to_owned()].to_vec(),
            ["https://prometheus-a-shard-1-0.own.monitoring.svc:9090/p".to_owned()].to_vec(),
        ];
        assert_eq!(urls(&secured, "a"), Ok(expected.to_vec()));
    }

    #[test]
    fn a_prometheus_object_that_cannot_be_queried_says_why() {
        let local = PrometheusFacts {
            listens_locally: true,
            ..facts(1, 1)
        };
        let name = "n".repeat(60);
        let said = [
            urls(&local, "k8s"),
            urls(&facts(1, 0), "k8s"),
            urls(&facts(1, 5), "k8s"),
            urls(&facts(17, 1), "k8s"),
            urls(&facts(2, 1), "a.b"),
            urls(&facts(2, 1), &name),
        ]
        .map(Result::unwrap_err);
        let thanos = "can be queried (hint: write the url of a Thanos Querier in front of them)";
        let names = "is no DNS label (hint: give it a shorter name without dots, or make a Service for it and name that under service)";
        assert_eq!(
            said,
            [
                "Prometheus monitoring/k8s accepts connections from within its own pods only (hint: remove spec.listenLocal from it, or name the Service of the proxy in front of it under service)".to_owned(),
                "Prometheus monitoring/k8s has no replicas (hint: set its spec.replicas to 1 or more)".to_owned(),
                format!("Prometheus monitoring/k8s has 5 replicas, and at most 4 {thanos}"),
                format!("Prometheus monitoring/k8s has 17 shards, and at most 16 {thanos}"),
                format!("Prometheus monitoring/a.b has pods that DNS does not know, because prometheus-a.b-0 {names}"),
                format!("Prometheus monitoring/{name} has pods that DNS does not know, because prometheus-{name}-0 {names}"),
            ]
        );
    }

    fn url_of(reference: Value, facts: &ServiceFacts) -> Result<String, String> {
        let reference = serde_json::from_value(reference).unwrap();
        service_url(&reference, "monitoring", facts).map_err(|dead| dead.message)
    }

    #[test]
    fn a_headless_service_is_asked_on_the_port_of_its_pods() {
        let mut facts = ServiceFacts {
            ports: vec![(Some("web".to_owned()), 80)],
            is_headless: true,
            ..ServiceFacts::default()
        };
        let reference = json!({"name": "p", "port": "web"});
        let url = |port: u16| Ok(format!("http://p.monitoring.svc:{port}"));
        assert_eq!(url_of(reference.clone(), &facts), url(80));
        facts.pod_ports = [(80, 9090)].into();
        assert_eq!(url_of(reference, &facts), url(9090));
    }

    #[test]
    fn an_alias_is_asked_by_the_name_that_its_certificate_has() {
        let mut facts = ServiceFacts {
            external_name: Some("metrics.example.com".to_owned()),
            ..ServiceFacts::default()
        };
        let secured = json!({"name": "p", "port": 443, "scheme": "https", "path": "/x/"});
        let url = "https://metrics.example.com:443/x".to_owned();
        assert_eq!(url_of(secured, &facts), Ok(url));
        let named = json!({"name": "p", "port": "web"});
        let said = "Service monitoring/p is an alias of metrics.example.com and has no port named web (hint: write the port's number)";
        assert_eq!(url_of(named.clone(), &facts), Err(said.to_owned()));
        facts.ports = vec![(Some("web".to_owned()), 9090)];
        let url = "http://metrics.example.com:9090".to_owned();
        assert_eq!(url_of(named, &facts), Ok(url));
    }

    /// What the pods of a Service lead to, whose `web` port has a name for each pod.
    fn pods_of(
        port: Value,
        change: impl FnOnce(&mut ServiceFacts, &mut Vec<PodFacts>),
    ) -> Result<Vec<String>, String> {
        let reference = json!({"name": "p", "port": port, "pods": "Replicas", "path": "/x/"});
        let reference = serde_json::from_value(reference).unwrap();
        let mut facts = ServiceFacts {
            ports: vec![(Some("web".to_owned()), 80)],
            is_headless: true,
            selects: true,
            ..ServiceFacts::default()
        };
        let pod = |host: &str, port: i32| PodFacts {
            host: host.to_owned(),
            ports: [("web".to_owned(), port)].into(),
        };
        let mut pods = vec![pod("p-0.p.monitoring.svc", 9090), pod("[fd00::1]", 9091)];
        change(&mut facts, &mut pods);
        pod_urls(&reference, "monitoring", &facts, &pods).map_err(|dead| dead.message)
    }

    #[test]
    fn each_pod_of_a_headless_service_has_a_url_with_its_own_port() {
        let expected = [
            "http://p-0.p.monitoring.svc:9090/x",
            "http://[fd00::1]:9091/x",
        ];
        let expected = expected.map(str::to_owned).to_vec();
        assert_eq!(pods_of(json!("web"), |_, _| {}), Ok(expected.clone()));
        assert_eq!(pods_of(json!(80), |_, _| {}), Ok(expected.clone()));
        let unnamed = |facts: &mut ServiceFacts, pods: &mut Vec<PodFacts>| {
            facts.ports[0].0 = None;
            for pod in pods {
                pod.ports = pod
                    .ports
                    .values()
                    .map(|port| (String::new(), *port))
                    .collect();
            }
        };
        assert_eq!(pods_of(json!(80), unnamed), Ok(expected));
    }

    #[test]
    fn a_service_without_pods_to_query_says_why() {
        let said = [
            pods_of(json!(9090), |_, _| {}),
            pods_of(json!(80), |facts, _| facts.is_headless = false),
            pods_of(json!(80), |facts, _| facts.selects = false),
            pods_of(json!(80), |_, pods| pods.clear()),
            pods_of(json!(80), |_, pods| pods[1].ports.clear()),
        ]
        .map(Result::unwrap_err);
        assert_eq!(
            said,
            [
                "Service monitoring/p has no port 9090 (hint: its ports: web (80))",
                "Service monitoring/p is not headless, so its pods cannot be queried one by one (hint: name a Service with clusterIP: None, or leave out pods)",
                "Service monitoring/p has no selector, so its pods are not known (hint: list the servers under replicas or shards)",
                "Service monitoring/p has no pods (hint: compare its selector with the labels of the pods)",
                "[fd00::1] of Service monitoring/p has no port for the Service's port 80 (hint: compare its targetPort with the ports of the pod)",
            ]
        );
    }
}
