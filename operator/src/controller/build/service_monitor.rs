//! The ServiceMonitor of the Prometheus Operator, and a headless Service of its own: the admin port
//! must not be reachable through the Service that StackState reads from.

use crds::Monitor;
use crds::contract::{ADMIN_PORT, ADMIN_PORT_NUMBER, labels, pages};
use serde_json::{Value, json};

use super::{Kind, ValidatedMirror, admin_port, child_name, object, selector_labels};

/// Tells the Service for scraping from the one for StackState.
const COMPONENT: &str = "metrics";

pub(super) fn build_service(mirror: &ValidatedMirror) -> Value {
    let rest = json!({
        "metadata": { "labels": { labels::COMPONENT: COMPONENT } },
        "spec": {
            "clusterIP": "None",
            "selector": selector_labels(mirror),
            "ports": [{"name": ADMIN_PORT, "port": ADMIN_PORT_NUMBER, "targetPort": admin_port(mirror), "protocol": "TCP"}],
        },
    });
    object(mirror, Kind::Service, &service_name(mirror), rest)
}

/// A Service's name has at most 63 characters, and a resource's up to 50.
fn service_name(mirror: &ValidatedMirror) -> String {
    let name = format!("{}-metrics", child_name(mirror));
    if name.len() > 63 {
        format!("{}-metrics", mirror.name)
    } else {
        name
    }
}

pub(super) fn build(mirror: &ValidatedMirror, asked: &Monitor) -> Value {
    let mut endpoint = json!({ "port": ADMIN_PORT, "path": pages::METRICS });
    if let Some(interval) = &asked.interval {
        endpoint["interval"] = json!(interval);
    }
    let rest = json!({
        "metadata": { "labels": asked.labels },
        "spec": {
            "selector": { "matchLabels": { labels::INSTANCE: mirror.name, labels::COMPONENT: COMPONENT } },
            "endpoints": [endpoint],
        },
    });
    object(mirror, Kind::ServiceMonitor, &child_name(mirror), rest)
}
