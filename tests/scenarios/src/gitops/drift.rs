//! Differences between what a pipeline applied and what there is.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::helm_program::Helm;
use crate::scene::Scene;
use crate::wait::eventually;

const NAME: &str = "production";
const AS_ARGO_CD: [&str; 2] = ["--server-side", "--field-manager=argocd-controller"];
/// How long a resource that nobody writes stays as it is.
const STEADY: Duration = Duration::from_secs(3);

/// Durations and quantities are written as nobody would normalise them, so that a rewritten one
/// would show.
fn spec() -> Value {
    json!({
        "apiKeySecretRef": {"name": "mirror-key"},
        "targets": [{
            "name": "cluster", "url": "http://prometheus.monitoring.svc:9090",
            "requestTimeout": "90s",
        }],
        "resources": {"requests": {"cpu": "0.1"}, "limits": {"memory": "131072Ki"}},
        "podDisruptionBudget": {},
        "networkPolicy": {"allowedFrom": [{"podSelector": {}}]},
    })
}

pub(super) async fn a_second_server_side_apply_changes_nothing(scene: &Scene) -> Result<()> {
    applied_twice(scene, "server-side apply", &AS_ARGO_CD).await
}

pub(super) async fn a_second_client_side_apply_changes_nothing(scene: &Scene) -> Result<()> {
    applied_twice(scene, "client-side apply", &[]).await
}

async fn applied_twice(scene: &Scene, what: &str, how: &[&str]) -> Result<()> {
    let manifest = cluster_client::mirror(&scene.namespace, NAME, &spec());
    let from_stdin = ["-f", "-"];
    let apply = [&["apply"], how, &from_stdin].concat();
    scene.kubectl_with(&apply, &manifest).await?;
    scene.ready(NAME).await?;
    let before = steady_version(scene).await?;
    let said = scene.kubectl_with(&apply, &manifest).await?;
    let after = version(scene).await?;
    ensure!(after == before, "the second time changed something: {said}");
    // It fails if there is a difference.
    let diff = [&["diff"], how, &from_stdin].concat();
    scene.kubectl_with(&diff, &manifest).await?;
    scene.claim(format!(
        "{what}: applying again changes nothing, and kubectl diff finds nothing, with the operator \
         at work"
    ));
    scene.delete("PrometheusMirror", NAME).await
}

async fn version(scene: &Scene) -> Result<Value> {
    let resource = scene.object("PrometheusMirror", NAME).await?;
    Ok(resource["metadata"]["resourceVersion"].clone())
}

/// The version of the resource when the operator has written what it wants to.
async fn steady_version(scene: &Scene) -> Result<Value> {
    eventually("the resource stays as it is", async || {
        let before = version(scene).await?;
        tokio::time::sleep(STEADY).await;
        let after = version(scene).await?;
        ensure!(after == before, "it went from {before} to {after}");
        Ok(after)
    })
    .await
}

/// The API server's defaults are no difference either.
pub(super) async fn objects_of_the_chart_show_no_difference(scene: &Scene) -> Result<()> {
    let helm = Helm::new(scene, 4).await?;
    let chart = scene.place().file("charts/prometheusmirror");
    let values = format!("{chart}/ci/minimal-values.yaml");
    let template = ["template", "prometheusmirror", &chart, "--no-hooks"];
    let rendered = helm
        .run(&[&template[..], &["-f", &values]].concat())
        .await?;
    let files = tempfile::tempdir()?;
    let file = files.path().join("chart.yaml");
    std::fs::write(&file, rendered)?;
    let file = file.display().to_string();
    let with_file = |command| [&[command], &AS_ARGO_CD[..], &["-f", &file]].concat();
    scene.kubectl(&with_file("apply")).await?;
    let deployment = "deploy/prometheusmirror-mirror";
    let rollout = ["rollout", "status", deployment, "--timeout=180s"];
    scene.kubectl(&rollout).await?;
    scene.kubectl(&with_file("diff")).await?;
    scene.claim("the objects of charts/prometheusmirror show no difference once they run");
    Ok(())
}

/// The way from the drop-in chart to the operator, as docs/migrating.md has it.
pub(super) async fn the_chart_hands_its_mirror_over_to_the_operator(scene: &Scene) -> Result<()> {
    const RELEASE: &str = "prometheusmirror";
    let helm = Helm::new(scene, 4).await?;
    let chart = scene.place().file("charts/prometheusmirror");
    let target = "targets[0].url=http://prometheus.monitoring.svc:9090";
    let values = ["--set", "global.apiKey=key,targets[0].name=cluster"];
    let values = [&values[..], &["--set", target]].concat();
    let install = ["install", RELEASE, &chart, "--wait", "--timeout", "180s"];
    helm.run(&[&install, &values[..]].concat()).await?;
    let enabled = ["--set", "operator.enabled=true"];
    let upgrade = ["upgrade", RELEASE, &chart];
    helm.run(&[&upgrade, &values[..], &enabled].concat())
        .await?;
    scene.ready(RELEASE).await?;
    let service = scene.object("Service", RELEASE).await?;
    let owner = &service["metadata"]["ownerReferences"][0]["kind"];
    ensure!(owner == "PrometheusMirror", "the Service is {owner}'s");
    scene.claim(
        "helm upgrade --set operator.enabled=true hands the mirror over to the operator, under the \
         same name",
    );
    helm.run(&["uninstall", RELEASE, "--wait"]).await?;
    Ok(())
}
