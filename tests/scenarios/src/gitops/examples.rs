//! The examples for Argo CD and Flux, read by an API server that knows every field of theirs.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::programs::run;
use crate::scene::Scene;
use crate::wait::eventually;

const NAMESPACES: [&str; 3] = ["argocd", "flux-system", "observability"];
const EXAMPLES: [&str; 6] = [
    "argocd/application.yaml",
    "argocd/mirrors/mirror.yaml",
    "flux/kustomizations.yaml",
    "flux/operator/release.yaml",
    "flux/mirrors/mirror.yaml",
    "fleet/mirrors/mirror.yaml",
];
const HEALTH: &str = "resource.customizations.health.prometheus-mirror.io_PrometheusMirror";

pub(super) async fn the_api_server_accepts_the_examples(scene: &Scene) -> Result<()> {
    let place = scene.place();
    let definitions = run(&place.file("tests/cluster/gitops-definitions/files"), &[]).await?;
    for file in definitions.lines() {
        run("kubectl", &["apply", "--server-side", "-f", file]).await?;
    }
    let wait = ["wait", "--for=condition=Established", "crd", "--all"];
    let wait = [&wait[..], &["--timeout=30s"]].concat();
    eventually("all definitions are established", async || {
        run("kubectl", &wait).await.map(drop)
    })
    .await?;
    for namespace in NAMESPACES {
        scene.remove_namespace(namespace).await?;
        run("kubectl", &["create", "namespace", namespace]).await?;
    }
    let apply = ["apply", "--server-side", "--force-conflicts"];
    let only_check = ["--dry-run=server", "--validate=strict", "-f"];
    for example in EXAMPLES {
        let file = place.file(&format!("examples/{example}"));
        run("kubectl", &[&apply[..], &only_check, &[&file]].concat()).await?;
    }
    for folder in ["examples/flux/operator", "examples/flux/mirrors"] {
        run("kubectl", &["kustomize", &place.file(folder)]).await?;
    }
    scene.claim("the API server accepts the examples with the definitions of Argo CD and Flux");

    let argocd = scene.within("argocd");
    argocd.config_map("argocd-cm", &[]).await?;
    let patch = place.file("examples/argocd/argocd-cm.yaml");
    let patch = ["patch", "configmap", "argocd-cm", "--patch-file", &patch];
    argocd.kubectl(&patch).await?;
    let patched = argocd.object("ConfigMap", "argocd-cm").await?;
    let script = std::fs::read_to_string(place.file("examples/argocd/health.lua"))?;
    let (found, expected) = (&patched["data"][HEALTH], json!(script));
    ensure!(
        *found == expected,
        "argocd-cm.yaml puts {found} into argocd-cm"
    );
    scene.claim("argocd-cm.yaml patches health.lua into argocd-cm");
    for namespace in NAMESPACES {
        scene.within(namespace).close().await?;
    }
    Ok(())
}
