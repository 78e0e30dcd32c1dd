//! Whether the memory limits of a mirror fit each other and the workers.

use crds::contract::CONTAINER;
use serde_json::{Value, json};

use super::Progress;
use crate::cluster::kind::Kind;

/// What does not fit, in words.
pub(super) fn unfit(progress: &Progress) -> Option<String> {
    let spec = &progress.mirror.spec;
    let of_template = spec.pod_template.as_ref();
    let of_template = of_template.and_then(|template| container(template).get("resources"));
    let resources = match of_template {
        // It was merged into the others.
        Some(_) => built(progress)["resources"].clone(),
        None => json!(spec.resources),
    };
    let settings = json!({
        "workers": spec.workers,
        "limits": spec.limits,
        "resources": resources,
    });
    crds::memory::unfit(&settings).map(|unfit| unfit.to_string())
}

/// The mirror's container as it was built.
fn built(progress: &Progress) -> &Value {
    let mut children = progress.built.children.iter();
    let deployment = children.find(|child| child.kind == Kind::Deployment);
    deployment.map_or(&Value::Null, |deployment| {
        container(&deployment.manifest["spec"]["template"])
    })
}

/// The mirror's container in a pod template.
fn container(template: &Value) -> &Value {
    let mut containers = template["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten();
    let named = containers.find(|container| container["name"] == CONTAINER);
    named.unwrap_or(&Value::Null)
}
