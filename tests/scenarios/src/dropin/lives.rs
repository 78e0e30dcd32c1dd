//! From the installation of a release to its end.

use anyhow::{Result, ensure};

use super::{RELEASE, TARGET, chart, install, objects};
use crate::helm_program::Helm;
use crate::mirror_api::{answers_with_key, connects, has_points};
use crate::programs::{established, feed, run};
use crate::scene::Scene;
use crate::wait::eventually;

pub(super) async fn helm_4_installs_a_mirror_and_removes_it(scene: &Scene) -> Result<()> {
    life(scene, &Helm::new(scene, 4).await?).await
}

pub(super) async fn helm_3_installs_a_mirror_and_removes_it(scene: &Scene) -> Result<()> {
    life(scene, &Helm::new(scene, 3).await?).await
}

async fn life(scene: &Scene, helm: &Helm<'_>) -> Result<()> {
    let by = &helm.name;
    install(scene, helm, &["--set", "global.apiKey=first-key"]).await?;
    let url = scene.address(RELEASE).await?;
    // The node's proxy hears of a new Service a moment after Helm.
    eventually("the Service answers", async || connects(&url).await).await?;
    answers_with_key(&url, "first-key").await?;
    eventually("there are points", async || has_points(&url).await).await?;
    scene.claim(format!(
        "{by}: a query through the Service answers with points and the key"
    ));
    let rights = scene
        .kubectl(&["get", "role,rolebinding", "-o", "name"])
        .await?;
    ensure!(rights.is_empty(), "there are rights: {rights}");
    scene.claim(format!(
        "{by}: no Role, no RoleBinding, Pod Security restricted"
    ));
    helm.run(&["test", RELEASE, "--timeout", "3m"]).await?;
    scene.claim(format!(
        "{by}: helm test asks the targets and, through the Service, the mirror"
    ));
    helm.run(&["uninstall", RELEASE, "--wait"]).await?;
    eventually("nothing is left", async || {
        let left = objects(scene).await?;
        ensure!(left.is_empty(), "left: {}", left.join(" "));
        Ok(())
    })
    .await?;
    scene.claim(format!("{by}: nothing is left after helm uninstall"));
    Ok(())
}

pub(super) async fn with_the_operator_enabled_only_the_resource_is_made(
    scene: &Scene,
) -> Result<()> {
    let helm = Helm::new(scene, 4).await?;
    let chart = chart(scene);
    let definition = scene.place().file("crds/prometheusmirrors.yaml");
    run("kubectl", &["apply", "-f", &definition]).await?;
    established().await?;
    let enabled = ["--set", "operator.enabled=true"];
    for values in std::fs::read_dir(scene.place().root.join("charts/prometheusmirror/ci"))? {
        let values = values?.path().display().to_string();
        // Not through `helm install --dry-run=server`: that asks less of the API server.
        let template = ["template", RELEASE, &chart, "-f", &values];
        let resource = helm.run(&[&template[..], &enabled].concat()).await?;
        let apply = [
            "-n",
            &scene.namespace,
            "apply",
            "--server-side",
            "--dry-run=server",
        ];
        feed("kubectl", &[&apply[..], &["-f", "-"]].concat(), &resource).await?;
    }
    scene.claim(
        "with operator.enabled=true the API server accepts the resource of every values file",
    );
    let install = [
        "install",
        RELEASE,
        &chart,
        "--set",
        "global.apiKey=first-key",
    ];
    helm.run(&[&install, &TARGET[..], &enabled].concat())
        .await?;
    let made = scene
        .kubectl(&["get", "pmirror,deploy", "-o", "name"])
        .await?;
    let expected = format!("prometheusmirror.prometheus-mirror.io/{RELEASE}");
    ensure!(made.trim() == expected, "not the resource alone: {made}");
    helm.run(&["uninstall", RELEASE, "--wait"]).await?;
    scene.claim("and installs it instead of a Deployment");
    Ok(())
}
