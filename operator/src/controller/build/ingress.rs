//! The Ingress.

use crds::Ingress;
use crds::contract::API_PORT;
use serde_json::{Value, json};

use super::{Kind, ValidatedMirror, child_name, object};

pub(super) fn build(mirror: &ValidatedMirror, asked: &Ingress) -> Value {
    let backend = json!({ "service": {"name": mirror.name, "port": {"name": API_PORT}} });
    let path = json!({ "path": asked.path, "pathType": "Prefix", "backend": backend });
    let mut spec = json!({ "rules": [{"host": asked.host, "http": {"paths": [path]}}] });
    if let Some(class) = &asked.class_name {
        spec["ingressClassName"] = json!(class);
    }
    if let Some(secret) = &asked.tls_secret_name {
        spec["tls"] = json!([{"hosts": [asked.host], "secretName": secret}]);
    }
    let mut rest = json!({ "spec": spec });
    if !asked.annotations.is_empty() {
        rest["metadata"] = json!({ "annotations": asked.annotations });
    }
    object(mirror, Kind::Ingress, &child_name(mirror), rest)
}
