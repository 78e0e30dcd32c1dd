//! Without the policy: what `sidecar` prints, pasted.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{
    LABEL, PASTED, SIDECAR, admitted, covers, has_only, item, names, pod, print, render, rendered,
    resource,
};
use crate::programs::{fails, output, run};
use crate::scene::Scene;
use crate::wait::eventually;

pub(super) async fn a_pasted_sidecar_is_what_the_operator_rendered(scene: &Scene) -> Result<()> {
    let operator = scene.place().operator.display().to_string();
    let namespace = scene.namespace.as_str();
    let ask = async |name: &str| {
        let arguments = ["sidecar", name, "--namespace", namespace];
        let output = output(&operator, &arguments, "").await?;
        let said = [output.stdout, output.stderr].concat();
        anyhow::Ok(String::from_utf8_lossy(&said).into_owned())
    };
    let said = ask("shop").await?;
    let expected = format!("there is no PrometheusMirror shop in namespace {namespace}");
    ensure!(said.contains(&expected), "{said}");
    scene
        .kubectl_with(&["apply", "-f", "-"], &resource("shop", &json!({})))
        .await?;
    let said = ask("shop").await?;
    ensure!(
        said.contains("the operator has not rendered the sidecar of shop yet"),
        "{said}"
    );
    rendered(scene, "shop", &json!({})).await?;
    let from_manifest = print(scene, &resource("shop", &json!({})), "pod-patch").await?;
    ensure!(ask("shop").await? == from_manifest, "they differ");
    scene.claim("from the status and from the manifest the same is printed");
    let said = fails(&operator, &["sidecar", "--file", "/nowhere"]).await?;
    ensure!(said.contains("cannot read /nowhere"), "{said}");
    scene.claim("and what is missing is named");
    Ok(())
}

/// A StatefulSet of somebody else's, with a volume of its own.
fn workload() -> Value {
    let labels = json!({"app": "prometheus"});
    let mut spec = pod(&json!({}))["spec"].take();
    spec["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "prometheus"},
        "spec": {
            "replicas": 0, "serviceName": "prometheus", "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    })
}

pub(super) async fn a_workload_takes_the_printed_patch(scene: &Scene) -> Result<()> {
    let registry = json!({"imagePullSecrets": [{"name": "registry"}]});
    let sidecar = rendered(scene, "shop", &registry).await?;
    scene
        .kubectl_with(&["apply", "-f", "-"], &workload())
        .await?;
    let patch = print(scene, &resource("shop", &registry), "pod-patch").await?;
    for _ in 0..2 {
        scene
            .kubectl(&["patch", "statefulset", "prometheus", "-p", &patch])
            .await?;
    }
    let mut template = template(scene).await?;
    let spec = &template["spec"];
    has_only(&spec["initContainers"], &sidecar)?;
    let mut volumes = names(&spec["volumes"]);
    volumes.sort_unstable();
    ensure!(volumes == ["data", "prometheus-mirror-configuration"]);
    covers(
        item(&spec["volumes"], volumes[1])?,
        &sidecar["volumes"][0],
        "volume",
    )?;
    ensure!(names(&spec["imagePullSecrets"]) == ["registry"]);
    scene.claim("a StatefulSet takes the patch, and the same patch again changes nothing");
    template["apiVersion"] = json!("v1");
    template["kind"] = json!("Pod");
    template["metadata"]["name"] = json!("prometheus-0");
    let made = admitted(scene, &template).await?;
    ensure!(made["metadata"]["labels"][LABEL] == "shop");
    ensure!(made["metadata"]["annotations"][PASTED] == sidecar["hash"]);
    ensure!(names(&made["spec"]["initContainers"]) == [SIDECAR]);
    scene.claim("where the policy is installed, too, its pods have one sidecar");
    Ok(())
}

pub(super) async fn the_example_component_takes_its_place(scene: &Scene) -> Result<()> {
    let folder = tempfile::tempdir_in(scene.place().file("examples"))?;
    let kustomization = json!({"resources": ["prometheus.yaml"], "components": ["../sidecar"]});
    for (file, content) in [
        ("prometheus.yaml", workload()),
        ("kustomization.yaml", kustomization),
    ] {
        std::fs::write(folder.path().join(file), content.to_string())?;
    }
    let folder = folder.path().display().to_string();
    scene.kubectl(&["apply", "-k", &folder]).await?;
    let mirror = scene.object("PrometheusMirror", "production").await?;
    let rendered = render(scene, &mirror).await?;
    let template = template(scene).await?;
    ensure!(template["metadata"]["labels"][LABEL] == "production");
    ensure!(template["metadata"]["annotations"][PASTED] == rendered["hash"]);
    let spec = &template["spec"];
    covers(
        item(&spec["initContainers"], SIDECAR)?,
        &rendered["container"],
        "container",
    )?;
    let mut volumes = names(&spec["volumes"]);
    volumes.sort_unstable();
    ensure!(volumes == ["data", "prometheus-mirror-configuration"]);
    scene.claim("examples/sidecar adds a mirror to the StatefulSet of a kustomization");
    Ok(())
}

/// Its pod template, as it is in the cluster.
async fn template(scene: &Scene) -> Result<Value> {
    let workload = scene
        .kubectl(&["get", "statefulset", "prometheus", "-o", "json"])
        .await?;
    let mut workload: Value = serde_json::from_str(&workload)?;
    Ok(workload["spec"]["template"].take())
}

pub(super) async fn a_prometheus_object_takes_the_printed_patch(scene: &Scene) -> Result<()> {
    let files = run(&scene.place().file("tests/cluster/definitions/files"), &[]).await?;
    let definition = files
        .lines()
        .find(|file| file.ends_with("_prometheuses.yaml"));
    let definition = definition.unwrap_or_default();
    run("kubectl", &["apply", "--server-side", "-f", definition]).await?;
    let object = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
        "metadata": {"name": "k8s"}, "spec": {"listenLocal": true},
    });
    eventually("there are Prometheus objects", async || {
        scene.kubectl_with(&["apply", "-f", "-"], &object).await
    })
    .await?;
    let patch = print(scene, &resource("shop", &json!({})), "prometheus").await?;
    scene
        .kubectl(&["patch", "prometheus", "k8s", "--type=merge", "-p", &patch])
        .await?;
    let taken: Value = serde_json::from_str(
        &scene
            .kubectl(&["get", "prometheus", "k8s", "-o", "json"])
            .await?,
    )?;
    // A field that the definition does not know is dropped in silence.
    let patch: Value = serde_yaml::from_str(&patch)?;
    covers(&taken["spec"], &patch["spec"], "spec")?;
    scene.claim("a Prometheus object takes every field of the patch");
    Ok(())
}
