//! What would go around a target's enforced matchers: a request that may name its server itself,
//! and another target without them.
//!
//! Only names and addresses as they are written are looked at here. Where they lead is found out
//! when a connection is made (`prometheus/guard.rs`).

use std::net::IpAddr;

use crds::Fault;
use serde_json::Value;

use super::hosts::{canonical_host, host_pattern};
use super::servers;

/// A declared target's server.
struct Server<'a> {
    target: &'a str,
    /// The path of its URL.
    path: String,
    host: String,
    port: u16,
    enforced: bool,
}

/// The servers of a document's targets, as far as their URLs are sound.
fn servers(document: &Value) -> Vec<Server<'_>> {
    let targets = document["spec"]["targets"].as_array();
    let targets = targets.into_iter().flatten().enumerate();
    let mut servers = Vec::new();
    for (index, declared) in targets {
        let matchers = declared["enforcedMatchers"].as_array();
        let enforced = matchers.is_some_and(|matchers| !matchers.is_empty());
        let places = servers::declared(&format!("spec.targets[{index}]"), declared);
        servers.extend(places.iter().flatten().filter_map(|place| {
            let url = place.url()?;
            Some(Server {
                target: declared["name"].as_str().unwrap_or_default(),
                path: place.field("url"),
                host: canonical_host(url.host_str()?),
                port: url.port_or_known_default()?,
                enforced,
            })
        }));
    }
    servers
}

/// Reports entries of `requestTargets` under which a request could name the server of a target with
/// enforced matchers.
pub(super) fn check(document: &Value, faults: &mut Vec<Fault>) {
    let allowed = &document["spec"]["requestTargets"];
    let (Some(hosts), Some(ports)) = (allowed["hosts"].as_array(), allowed["ports"].as_array())
    else {
        return;
    };
    let servers = servers(document);
    for (index, host) in hosts.iter().enumerate() {
        let Some(pattern) = host.as_str().map(host_pattern) else {
            continue;
        };
        let met = servers.iter().find(|server| {
            server.enforced
                && ports.contains(&Value::from(server.port))
                && could_meet(&server.host, &pattern)
        });
        if let Some(met) = met {
            let (target, port) = (met.target, met.port);
            let message = format!(
                "leads on port {port} to the server of target {target}, around its enforcedMatchers"
            );
            let hint = "leave it out, or declare what else it stands for as targets";
            faults.push(
                Fault::new(format!("spec.requestTargets.hosts[{index}]"), message).hint(hint),
            );
        }
    }
}

/// Notes targets that read a server without the matchers that another target of it has.
pub(super) fn notice(document: &Value, notices: &mut Vec<Fault>) {
    let servers = servers(document);
    for open in servers.iter().filter(|server| !server.enforced) {
        let narrowed = servers.iter().find(|server| {
            server.enforced && (&server.host, server.port) == (&open.host, open.port)
        });
        if let Some(narrowed) = narrowed {
            let message = format!(
                "is the server of target {}, here without its enforcedMatchers",
                narrowed.target
            );
            let hint =
                "a client may name any target: give those who must not a mirror of their own";
            notices.push(Fault::new(open.path.clone(), message).hint(hint));
        }
    }
}

/// Whether a request that `pattern` allows could name `host`, both in their canonical form. A
/// resolver completes names with the domains that it searches, so `prometheus`,
/// `prometheus.monitoring` and `prometheus.monitoring.svc.cluster.local` may be one server.
fn could_meet(host: &str, pattern: &str) -> bool {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let is_here = |text: &str| {
        let address = text.parse::<IpAddr>();
        let named = text == "localhost" || text.ends_with(".localhost");
        named || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
    };
    if let Some(domain) = pattern.strip_prefix("*.") {
        return !is_address(host) && ends_within(host, domain);
    }
    if host == pattern || is_here(host) && is_here(pattern) {
        return true;
    }
    let begins = |long: &str, short: &str| {
        long.strip_prefix(short)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    !is_address(host) && !is_address(pattern) && (begins(host, pattern) || begins(pattern, host))
}

/// Whether `host`, completed or as it is, may be something in `domain`: its last labels are the
/// first ones of the domain, or all.
fn ends_within(host: &str, domain: &str) -> bool {
    let dots = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
    dots.into_iter().any(|end| {
        domain
            .strip_prefix(end)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            || end == domain
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(url: &str, host: &str, ports: &[u16]) -> Vec<String> {
        let document = json!({"spec": {
            "targets": [{"name": "a", "url": url, "enforcedMatchers": [{"name": "team", "value": "a"}]}],
            "requestTargets": {"hosts": [host], "ports": ports},
        }});
        let mut faults = Vec::new();
        check(&document, &mut faults);
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn what_a_request_may_name_must_not_lead_to_an_enforced_server() {
        for (url, host) in [
            ("http://prometheus:9090", "prometheus"),
            ("http://Prometheus.:9090/prefix", "PROMETHEUS"),
            ("https://prometheus:9090", "prometheus."),
            (
                "http://prometheus:9090",
                "prometheus.monitoring.svc.cluster.local",
            ),
            (
                "http://prometheus.monitoring.svc:9090",
                "prometheus.monitoring",
            ),
            ("http://prometheus.monitoring.svc:9090", "*.svc"),
            ("http://prometheus.monitoring.svc:9090", "*.Monitoring.SVC."),
            (
                "http://prometheus.monitoring.svc:9090",
                "*.svc.cluster.local",
            ),
            ("http://10.0.0.7:9090", "10.0.0.7"),
            ("http://0x0a000007:9090", "10.0.0.7"),
            ("http://[::ffff:10.0.0.7]:9090", "10.0.0.7"),
            ("http://[fd00::1]:9090", "FD00:0::1"),
            ("http://localhost:9090", "127.0.0.1"),
            ("http://127.1:9090", "localhost"),
            ("http://[::1]:9090", "127.0.0.2"),
        ] {
            let expected = "spec.requestTargets.hosts[0]: leads on port 9090 to the server of target a, around its enforcedMatchers (hint: leave it out, or declare what else it stands for as targets)";
            assert_eq!(faults(url, host, &[80, 9090]), [expected], "{url} {host}");
            assert_eq!(faults(url, host, &[80]), [""; 0], "{url} {host}");
        }
        assert_eq!(faults("http://a", "a", &[80]).len(), 1);
        assert_eq!(faults("https://a", "a", &[443]).len(), 1);
    }

    #[test]
    fn what_leads_elsewhere_may_stand_beside_enforced_matchers() {
        for (url, host) in [
            ("http://prometheus:9090", "prometheus-2"),
            ("http://prometheus.a.svc:9090", "prometheus.b.svc"),
            ("http://prometheus.a.svc:9090", "*.b.svc"),
            ("http://svc:9090", "*.svc"),
            ("http://prometheus.example.com:9090", "*.svc.cluster.local"),
            ("http://10.0.0.7:9090", "10.0.0.70"),
            ("http://10.0.0.7:9090", "*.7"),
        ] {
            assert_eq!(faults(url, host, &[9090]), [""; 0], "{url} {host}");
        }
    }

    #[test]
    fn each_server_of_a_target_is_looked_at() {
        let enforced = json!([{"name": "team", "value": "a"}]);
        let pair = json!([{"url": "http://a:9090"}, {"url": "http://b:9090"}]);
        let document = json!({"spec": {
            "targets": [
                {"name": "pair", "shards": [{"replicas": pair}], "enforcedMatchers": enforced},
                {"name": "open", "replicas": [{"url": "http://c"}, {"url": "http://b:9090/x"}]},
            ],
            "requestTargets": {"hosts": ["b"], "ports": [9090]},
        }});
        let (mut faults, mut notices) = (Vec::new(), Vec::new());
        check(&document, &mut faults);
        notice(&document, &mut notices);
        let paths =
            |found: &[Fault]| -> Vec<_> { found.iter().map(|fault| fault.path.clone()).collect() };
        assert_eq!(
            (paths(&faults), paths(&notices)),
            (
                vec!["spec.requestTargets.hosts[0]".to_owned()],
                vec!["spec.targets[1].replicas[1].url".to_owned()]
            )
        );
    }

    #[test]
    fn a_second_target_of_an_enforced_server_is_noted() {
        let enforced = json!([{"name": "team", "value": "a"}]);
        let document = json!({"spec": {"targets": [
            {"name": "a", "url": "http://prometheus:80/x", "enforcedMatchers": enforced},
            {"name": "b", "url": "http://Prometheus./y"},
            {"name": "c", "url": "http://prometheus:81"},
            {"name": "d", "url": "http://prometheus", "enforcedMatchers": enforced},
        ]}});
        let mut notices = Vec::new();
        notice(&document, &mut notices);
        let notices: Vec<_> = notices.iter().map(Fault::to_string).collect();
        assert_eq!(
            notices,
            [
                "spec.targets[1].url: is the server of target a, here without its enforcedMatchers (hint: a client may name any target: give those who must not a mirror of their own)"
            ]
        );
    }
}
