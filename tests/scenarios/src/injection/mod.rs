//! The policy that injects sidecars, on a real API server: which pods it changes and how, and what
//! can be pasted instead.
//!
//! No operator runs: the policy needs none. The status that the operator would write comes from the
//! same code, by way of its program.

mod injectors;
mod pods;
mod printed;

use anyhow::{Context as _, Result, ensure};
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use crate::programs::{established, feed, run};
use crate::scene::Scene;
use crate::suite::{Suite, alone, together};
use crate::wait::eventually;

/// The name of the policy and its binding.
const POLICY: &str = "prometheus-mirror-operator-sidecar";
/// The name of the container.
const SIDECAR: &str = "prometheus-mirror";
/// On pods: whose sidecar they should carry.
const LABEL: &str = "prometheus-mirror.io/inject";
/// On pods: the hash of the sidecar that they carry.
const ANNOTATION: &str = "prometheus-mirror.io/sidecar";
/// On pods: the hash of the sidecar that is in their template.
const PASTED: &str = "prometheus-mirror.io/pasted-sidecar";

pub(crate) fn suite() -> Suite {
    let together = together![
        pods:
            a_labelled_pod_gets_the_sidecar_and_nothing_else_changes,
            what_a_pod_has_stays_in_its_order,
            a_pod_that_runs_as_root_starts_too,
            a_pod_with_resources_of_its_own_starts_too,
            pods_that_do_not_fit_are_left_alone,
            a_status_that_makes_no_sense_stops_no_pod;
        injectors: other_policies_may_come_before_and_after;
        printed:
            a_pasted_sidecar_is_what_the_operator_rendered,
            a_workload_takes_the_printed_patch,
            the_example_component_takes_its_place,
            a_prometheus_object_takes_the_printed_patch;
    ];
    let last = alone![pods: without_the_policy_pods_start_as_they_are;];
    Suite {
        prepare,
        scenarios: together.into_iter().chain(last).collect(),
        describe: &[&["get", "mutatingadmissionpolicies", "-o", "yaml"]],
    }
}

fn prepare(scene: &Scene) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async {
        let definition = scene.place().file("dist/crds.yaml");
        run("kubectl", &["apply", "--server-side", "-f", &definition]).await?;
        established().await?;
        install_policy(scene).await
    })
}

async fn install_policy(scene: &Scene) -> Result<()> {
    let policy = scene.place().file("dist/sidecar-injection.yaml");
    let apply = ["apply", "--server-side", "--validate=strict", "-f", &policy];
    run("kubectl", &apply).await?;
    Ok(())
}

/// A resource of mode Sidecar; `more` replaces fields of its spec.
fn resource(name: &str, more: &Value) -> Value {
    let mut spec = json!({
        "mode": "Sidecar",
        "apiKeySecretRef": {"name": "mirror-key"},
        "targets": [{"name": "cluster", "url": "http://localhost:9090"}],
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "prometheus-mirror.io/v1alpha1", "kind": "PrometheusMirror",
        "metadata": {"name": name}, "spec": spec,
    })
}

/// What `sidecar` prints of a resource.
async fn print(scene: &Scene, resource: &Value, form: &str) -> Result<String> {
    let operator = scene.place().operator.display().to_string();
    let arguments = ["sidecar", "--file", "-", "--output", form];
    feed(&operator, &arguments, &resource.to_string()).await
}

/// The sidecar of a resource: `{hash, container, volumes, imagePullSecrets}`.
async fn render(scene: &Scene, resource: &Value) -> Result<Value> {
    let patch: Value = serde_yaml::from_str(&print(scene, resource, "pod-patch").await?)?;
    let template = &patch["spec"]["template"];
    let secrets = template["spec"].get("imagePullSecrets");
    Ok(json!({
        "hash": template["metadata"]["annotations"][PASTED],
        "container": template["spec"]["initContainers"][0],
        "volumes": template["spec"]["volumes"],
        "imagePullSecrets": secrets.cloned().unwrap_or_else(|| json!([])),
    }))
}

/// Makes a resource with the status that the operator would give it. Returns the sidecar.
async fn rendered(scene: &Scene, name: &str, more: &Value) -> Result<Value> {
    let resource = resource(name, more);
    let sidecar = render(scene, &resource).await?;
    scene.kubectl_with(&["apply", "-f", "-"], &resource).await?;
    set_status(scene, name, &sidecar).await?;
    Ok(sidecar)
}

async fn set_status(scene: &Scene, name: &str, sidecar: &Value) -> Result<()> {
    let status = json!({"status": {"sidecar": sidecar}}).to_string();
    let patch = [
        "patch",
        "pmirror",
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ];
    scene.kubectl(&patch).await?;
    Ok(())
}

/// A Prometheus of a restricted namespace, as somebody's StatefulSet has it.
fn pod(more: &Value) -> Value {
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": "prometheus", "image": "prom/prometheus:v3.10.0",
            "ports": [{"name": "web", "containerPort": 9090}],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "prometheus"}, "spec": spec})
}

/// The same with the label.
fn labelled(mirror: &str, more: &Value) -> Value {
    let mut pod = pod(more);
    pod["metadata"]["labels"] = json!({ LABEL: mirror });
    pod
}

/// Lets the scenario's namespace admit pods that are not restricted.
async fn unrestricted(scene: &Scene) -> Result<()> {
    let label = "pod-security.kubernetes.io/enforce=privileged";
    let namespace = scene.namespace.as_str();
    run(
        "kubectl",
        &["label", "--overwrite", "namespace", namespace, label],
    )
    .await?;
    Ok(())
}

/// A pod as the API server would make it.
async fn admitted(scene: &Scene, pod: &Value) -> Result<Value> {
    let create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    Ok(serde_json::from_str(
        &scene.kubectl_with(&create, pod).await?,
    )?)
}

/// The same of a pod that gets a sidecar, once the policy knows of the resource.
async fn injected(scene: &Scene, pod: &Value, sidecar: &Value) -> Result<Value> {
    eventually("the pod has its sidecar", async || {
        let made = admitted(scene, pod).await?;
        let hash = &made["metadata"]["annotations"][ANNOTATION];
        ensure!(*hash == sidecar["hash"], "annotation: {hash}");
        Ok(made)
    })
    .await
}

/// The names of the items of a list.
fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item["name"].as_str()).collect()
}

/// The item of a list with this name.
fn item<'a>(list: &'a Value, name: &str) -> Result<&'a Value> {
    let mut items = list.as_array().into_iter().flatten();
    items
        .find(|item| item["name"] == name)
        .with_context(|| format!("no {name} in {list}"))
}

/// Fails unless the sidecar is the only one of these init containers.
fn has_only(init_containers: &Value, sidecar: &Value) -> Result<()> {
    ensure!(names(init_containers) == [SIDECAR]);
    covers(&init_containers[0], &sidecar["container"], "container")
}

/// Every field of `expected` is in `found`, where the API server has added its defaults.
fn covers(found: &Value, expected: &Value, path: &str) -> Result<()> {
    match (found, expected) {
        (Value::Object(_), Value::Object(fields)) => fields
            .iter()
            .try_for_each(|(name, field)| covers(&found[name], field, &format!("{path}.{name}"))),
        (Value::Array(left), Value::Array(right)) => {
            ensure!(
                left.len() == right.len(),
                "{path}: {found} is not {expected}"
            );
            let mut pairs = left.iter().zip(right).enumerate();
            pairs.try_for_each(|(index, (left, right))| {
                covers(left, right, &format!("{path}[{index}]"))
            })
        }
        _ => {
            ensure!(found == expected, "{path}: {found} is not {expected}");
            Ok(())
        }
    }
}
