//! The PodDisruptionBudget.

use crds::PodDisruptionBudget;
use serde_json::{Value, json};

use super::{Kind, ValidatedMirror, child_name, object, selector_labels};

pub(super) fn build(mirror: &ValidatedMirror, asked: &PodDisruptionBudget) -> Value {
    let mut spec = json!({ "selector": { "matchLabels": selector_labels(mirror) } });
    match (&asked.min_available, &asked.max_unavailable) {
        (Some(pods), _) => spec["minAvailable"] = json!(pods),
        (None, Some(pods)) => spec["maxUnavailable"] = json!(pods),
        (None, None) => spec["maxUnavailable"] = json!(1),
    }
    // Pods that are not ready answer nobody: they may go at any time, or a broken rollout blocks
    // the draining of nodes.
    spec["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
    object(
        mirror,
        Kind::PodDisruptionBudget,
        &child_name(mirror),
        json!({ "spec": spec }),
    )
}
