//! Other policies that change the same pods.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{ANNOTATION, SIDECAR, admitted, covers, item, labelled, names, rendered, unrestricted};
use crate::programs::{feed, run};
use crate::scene::Scene;
use crate::wait::eventually;

/// A policy and its binding that add an init container to pods with the label `mesh`, at a place.
fn injector(name: &str, namespace: &str, path: &str) -> Value {
    let container = format!(r#"{{"name": "{name}", "image": "other", "restartPolicy": "Always"}}"#);
    let add = format!(
        r#"has(object.spec.initContainers)
            ? [JSONPatch{{op: "add", path: "{path}", value: {container}}}]
            : [JSONPatch{{op: "add", path: "/spec/initContainers", value: [{container}]}}]"#
    );
    let absent = format!(
        "!has(object.spec.initContainers) || !object.spec.initContainers.exists(c, c.name == '{name}')"
    );
    let chosen = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let api = "admissionregistration.k8s.io/v1";
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "IfNeeded",
                "matchConstraints": {
                    "namespaceSelector": chosen,
                    "resourceRules": [{
                        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
                    }],
                },
                "matchConditions": [{"name": "absent", "expression": absent}],
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": add}}],
            },
        },
        {
            "apiVersion": api, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name},
        },
    ]})
}

/// Policies are called in the order of their names: one is called before ours and one after.
pub(super) async fn other_policies_may_come_before_and_after(scene: &Scene) -> Result<()> {
    let others = [
        ("a-first", "/spec/initContainers/0"),
        ("z-last", "/spec/initContainers/-"),
    ];
    for (name, path) in others {
        let manifest = injector(name, &scene.namespace, path).to_string();
        feed("kubectl", &["apply", "-f", "-"], &manifest).await?;
    }
    unrestricted(scene).await?;
    let sidecar = rendered(scene, "shop", &json!({})).await?;
    let pod = labelled("shop", &json!({}));
    let made = eventually("all have been there", async || {
        let made = admitted(scene, &pod).await?;
        let found = names(&made["spec"]["initContainers"]).len();
        ensure!(found == 3, "{found} init containers");
        Ok(made)
    })
    .await;
    for (name, _) in others {
        for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
            run("kubectl", &["delete", kind, name]).await?;
        }
    }
    let made = made?;
    let containers = &made["spec"]["initContainers"];
    let mut found = names(containers);
    scene.claim(format!("each is there once: {}", found.join(", ")));
    found.sort_unstable();
    ensure!(found == ["a-first", SIDECAR, "z-last"]);
    covers(
        item(containers, SIDECAR)?,
        &sidecar["container"],
        "container",
    )?;
    ensure!(made["metadata"]["annotations"][ANNOTATION] == sidecar["hash"]);
    ensure!(names(&made["spec"]["volumes"]) == ["prometheus-mirror-configuration"]);
    Ok(())
}
