//! The HTTPRoute of the Gateway API.

use crds::HttpRoute;
use serde_json::{Value, json};

use super::{Kind, ValidatedMirror, child_name, object};

pub(super) fn build(mirror: &ValidatedMirror, asked: &HttpRoute) -> Value {
    let mut spec = json!({
        "parentRefs": asked.parent_refs,
        "rules": [{"backendRefs": [{"name": mirror.name, "port": mirror.spec.port}]}],
    });
    if !asked.hostnames.is_empty() {
        spec["hostnames"] = json!(asked.hostnames);
    }
    object(
        mirror,
        Kind::HttpRoute,
        &child_name(mirror),
        json!({ "spec": spec }),
    )
}
