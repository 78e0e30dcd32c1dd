//! From what a reference led to, to the URL of a server.

use crds::Scheme;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::list;
use crate::controller::dereference::{PrometheusFacts, ServiceFacts};

pub(super) fn service_url(
    reference: &crds::ServiceRef,
    namespace: &str,
    facts: &ServiceFacts,
) -> Result<String, String> {
    let name = &reference.name;
    let port = match &reference.port {
        IntOrString::Int(wanted) => facts.ports.iter().find(|(_, number)| number == wanted),
        IntOrString::String(wanted) => facts
            .ports
            .iter()
            .find(|(name, _)| name.as_deref() == Some(wanted)),
    };
    let Some((_, port)) = port else {
        let ports: Vec<_> = facts
            .ports
            .iter()
            .map(|(name, number)| {
                name.as_ref()
                    .map_or(number.to_string(), |name| format!("{name} ({number})"))
            })
            .collect();
        let wanted = match &reference.port {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(name) => name.clone(),
        };
        return Err(format!(
            "Service {namespace}/{name} has no port {wanted} (hint: its ports: {})",
            list(&ports)
        ));
    };
    let scheme = match reference.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let path = reference
        .path
        .as_deref()
        .unwrap_or_default()
        .trim_end_matches('/');
    Ok(format!("{scheme}://{name}.{namespace}.svc:{port}{path}"))
}

pub(super) fn prometheus_url(facts: &PrometheusFacts, namespace: &str) -> String {
    let scheme = if facts.tls { "https" } else { "http" };
    let path = facts.route_prefix.trim_end_matches('/');
    format!("{scheme}://{}.{namespace}.svc:9090{path}", facts.service)
}
