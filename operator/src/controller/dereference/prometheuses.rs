//! The Prometheus objects of the Prometheus Operator that targets name.

use super::PrometheusFacts;
use super::referrer::Referrer;
use crate::cluster::caches::Caches;
use crate::cluster::prometheus::PrometheusObject;
use crate::cluster::references::NamespacedName;

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
    let sharing = caches.governed_by(namespace, &facts.service);
    facts.shares_service = sharing.len() > 1;
    Ok(facts)
}

/// The numbers are those that the Prometheus Operator runs: at least one shard, and no replicas
/// only where that is asked for.
fn prometheus_facts(prometheus: &PrometheusObject) -> PrometheusFacts {
    let count = |number: i64| usize::try_from(number).unwrap_or(1);
    let route_prefix = prometheus.route_prefix.as_deref();
    PrometheusFacts {
        service: prometheus.governing_service().to_owned(),
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
}
