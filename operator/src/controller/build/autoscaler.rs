//! The HorizontalPodAutoscaler.

use crds::Autoscaling;
use serde_json::{Value, json};

use super::{Kind, ValidatedMirror, child_name, object};

pub(super) fn build(mirror: &ValidatedMirror, asked: &Autoscaling) -> Value {
    let target = json!({ "type": "Utilization", "averageUtilization": asked.target_cpu_utilization_percentage });
    let spec = json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": child_name(mirror)},
        "minReplicas": asked.min_replicas,
        "maxReplicas": asked.max_replicas,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    });
    object(
        mirror,
        Kind::HorizontalPodAutoscaler,
        &child_name(mirror),
        json!({ "spec": spec }),
    )
}
