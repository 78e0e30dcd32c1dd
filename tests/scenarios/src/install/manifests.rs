//! The same without Helm: the manifests of `dist/`.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::previous::{Previous, definition_is_current, definition_is_older};
use super::witness::Witness;
use super::{PATCHED, RELEASE, delete_roles, no_right_was_missing, start_over};
use crate::operator_pods::{self, SYSTEM};
use crate::programs::run;
use crate::scene::Scene;

pub(super) async fn kubectl_apply_installs_upgrades_and_goes_back(scene: &Scene) -> Result<()> {
    life(scene, "kubectl apply", &[]).await
}

pub(super) async fn server_side_apply_installs_upgrades_and_goes_back(scene: &Scene) -> Result<()> {
    life(scene, "kubectl apply --server-side", &["--server-side"]).await
}

async fn life(scene: &Scene, by: &str, how: &[&str]) -> Result<()> {
    start_over(scene).await?;
    let previous = Previous::new(scene).await?;
    let (before, today) = (
        previous.manifests(),
        scene.place().file("dist/install.yaml"),
    );
    let apply = async |file: &str| -> Result<()> {
        run("kubectl", &[&["apply"], how, &["-f", file]].concat()).await?;
        Ok(())
    };
    let audit = &scene.common.audit;
    let start = audit.end()?;
    apply(&before).await?;
    operator_pods::all_run().await?;
    definition_is_older().await?;
    let mirror = Witness::create(scene, by).await?;

    let since = audit.end()?;
    apply(&today).await?;
    definition_is_current().await?;
    let what = format!("{by}: upgrade");
    mirror.is_untouched(&what, since).await?;
    let applied = versions(&today).await?;
    apply(&today).await?;
    let again = versions(&today).await?;
    ensure!(again == applied, "from {applied:?} to {again:?}");
    run("kubectl", &[&["diff"], how, &["-f", &today]].concat()).await?;
    scene.claim(format!(
        "{by}: a second time changes nothing, and kubectl diff is empty"
    ));

    apply(&before).await?;
    definition_is_older().await?;
    let what = format!("{by}: back to the previous files");
    mirror.is_untouched(&what, since).await?;

    // Later, rights may go before the operator has let go of its lease.
    no_right_was_missing(scene, start)?;
    scene.remove_namespace(SYSTEM).await?;
    delete_roles().await?;
    definition_is_older().await?;
    mirror.serves_on(by).await?;
    scene.claim(format!(
        "{by}: the operator is removed; definition, resource and mirror stay, and the mirror answers"
    ));

    let since = audit.end()?;
    apply(&today).await?;
    let what = format!("{by}: a second install adopts what is there");
    mirror.is_untouched(&what, since).await?;
    no_right_was_missing(scene, since)?;
    scene.claim(format!("{by}: no request of the operator was denied"));
    Ok(())
}

/// The objects of a file, with the versions that they have in the cluster.
async fn versions(file: &str) -> Result<Vec<String>> {
    let list = run("kubectl", &["get", "-f", file, "-o", "json"]).await?;
    let list: Value = serde_json::from_str(&list)?;
    let items = list["items"].as_array().context("no list")?;
    let versions = items.iter().map(|object| {
        let metadata = &object["metadata"];
        let (name, version) = (&metadata["name"], &metadata["resourceVersion"]);
        format!("{} {name} {version}", object["kind"])
    });
    Ok(versions.collect())
}

pub(super) async fn kustomize_patches_image_and_namespace(scene: &Scene) -> Result<()> {
    start_over(scene).await?;
    let folder = scene.place().file("examples/kustomize");
    let rendered = run("kubectl", &["kustomize", &folder]).await?;
    ensure!(!rendered.contains(SYSTEM), "{SYSTEM} is left: {rendered}");
    run("kubectl", &["apply", "--server-side", "-k", &folder]).await?;

    let mirrors = scene.within(PATCHED);
    let deployment = mirrors.object("Deployment", RELEASE).await?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap_or_default();
    let patched = image.starts_with("registry.example.com/");
    ensure!(patched, "the operator's image is {image}");
    let mut variables = container["env"].as_array().into_iter().flatten();
    let patched = variables.any(|variable| {
        let value = variable["value"].as_str().unwrap_or_default();
        value.starts_with("registry.example.com/prometheus-mirror:")
    });
    ensure!(patched, "the mirrors' image is not patched: {container}");
    let bindings = scene.within("");
    let binding = bindings.object("ClusterRoleBinding", RELEASE).await?;
    let subject = &binding["subjects"][0]["namespace"];
    ensure!(subject == PATCHED, "the binding is for {subject}");
    let namespace = bindings.object("Namespace", PATCHED).await?;
    let level = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    ensure!(level == "restricted", "the namespace admits {level}");
    scene.claim("image and namespace are patched, in rights, too");
    delete_roles().await?;
    mirrors.close().await
}
