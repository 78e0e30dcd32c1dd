//! Changes during which clients ask without a pause and lose nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::ready_mirror;
use crate::mirror_api::{Clients, answers_with_key};
use crate::programs::run;
use crate::scene::Scene;
use crate::wait::eventually;

/// A mirror that answers through its Service.
async fn serving_mirror(scene: &Scene) -> Result<String> {
    ready_mirror(scene).await?;
    let url = scene.address("shop").await?;
    eventually("the Service answers", async || {
        answers_with_key(&url, "key").await
    })
    .await?;
    Ok(url)
}

/// Clients ask before, throughout and after a change of the mirror's spec, until the last of the
/// old pods is gone and some more requests were answered.
async fn loses_nothing(
    scene: &Scene,
    what: &str,
    spec: &Value,
    pods: usize,
    urls: &[&str],
) -> Result<()> {
    let clients = Clients::start(urls, &["key"]).await?;
    scene.change("shop", spec).await?;
    scene.ready("shop").await?;
    scene
        .kubectl(&["rollout", "status", "deploy/shop-mirror", "--timeout=180s"])
        .await?;
    scene.has_pods("shop", pods).await?;
    let answered = clients
        .lose_nothing()
        .await
        .with_context(|| format!("while {what}"))?;
    scene.claim(format!("{answered} requests while {what}, none failed"));
    Ok(())
}

pub(super) async fn replaced_pods_lose_no_request(scene: &Scene) -> Result<()> {
    let url = serving_mirror(scene).await?;
    let before = scene.pods("shop").await?;
    let template = json!({"metadata": {"annotations": {"rolled": "out"}}});
    let spec = json!({"podTemplate": template});
    loses_nothing(scene, "all pods are replaced", &spec, 1, &[&url]).await?;
    ensure!(scene.pods("shop").await? != before, "no pod was replaced");
    Ok(())
}

pub(super) async fn scaling_loses_no_request(scene: &Scene) -> Result<()> {
    let url = serving_mirror(scene).await?;
    let replicas = |number: usize| json!({"replicas": number});
    loses_nothing(scene, "replicas go from 1 to 3", &replicas(3), 3, &[&url]).await?;
    loses_nothing(scene, "replicas go from 3 to 1", &replicas(1), 1, &[&url]).await
}

pub(super) async fn a_new_image_loses_no_request(scene: &Scene) -> Result<()> {
    let url = serving_mirror(scene).await?;
    let image = renamed_mirror(scene, "prometheus-mirror:again").await?;
    let spec = json!({ "image": image });
    loses_nothing(scene, "the image changes", &spec, 1, &[&url]).await?;
    let pods = scene
        .objects("pods", &crate::scene::pods_of("shop"))
        .await?;
    let images: Vec<_> = pods
        .iter()
        .map(|pod| &pod["spec"]["containers"][0]["image"])
        .collect();
    ensure!(images == [image], "the pods' images: {images:?}");
    Ok(())
}

pub(super) async fn a_new_port_loses_no_request(scene: &Scene) -> Result<()> {
    let url = serving_mirror(scene).await?;
    let moved = url.replace(":9900", ":9950");
    let spec = json!({"port": 9950});
    let what = "the port changes from 9900 to 9950, asking both";
    loses_nothing(scene, what, &spec, 1, &[&url, &moved]).await?;
    let endpoint = &scene.object("PrometheusMirror", "shop").await?["status"]["endpoint"];
    let expected = format!("http://shop.{}.svc:9950", scene.namespace);
    ensure!(
        endpoint == &expected,
        "the endpoint does not follow the port: {endpoint}"
    );
    Ok(())
}

pub(super) async fn a_new_document_loses_no_request(scene: &Scene) -> Result<()> {
    let url = serving_mirror(scene).await?;
    let before = scene.pods("shop").await?;
    let target = json!({
        "name": "cluster", "url": "http://prometheus.monitoring.svc:9090", "requestTimeout": "5s",
        "service": null,
    });
    let spec = json!({"workers": 3, "targets": [target]});
    loses_nothing(scene, "target and limits change", &spec, 1, &[&url]).await?;
    ensure!(scene.pods("shop").await? == before, "pods were replaced");
    Ok(())
}

/// Gives the node the mirror's image under another name.
pub(super) async fn renamed_mirror<'a>(scene: &Scene, image: &'a str) -> Result<&'a str> {
    let folder = tempfile::tempdir()?;
    let archive = scene.place().images.join("prometheus-mirror.tar");
    let renamed = rename(&archive, image, folder.path()).await?;
    scene.place().load(&renamed).await?;
    Ok(image)
}

/// An image archive with the same content under another name.
async fn rename(archive: &Path, image: &str, folder: &Path) -> Result<PathBuf> {
    let unpacked = folder.join("unpacked");
    std::fs::create_dir(&unpacked)?;
    let (unpacked_name, archive) = (
        unpacked.display().to_string(),
        archive.display().to_string(),
    );
    run("tar", &["-C", &unpacked_name, "-xf", &archive]).await?;
    let manifest = unpacked.join("manifest.json");
    let mut content: Value = serde_json::from_slice(&std::fs::read(&manifest)?)?;
    content[0]["RepoTags"] = json!([format!("docker.io/library/{image}")]);
    std::fs::write(&manifest, content.to_string())?;
    let renamed = folder.join("renamed.tar");
    let renamed_name = renamed.display().to_string();
    run("tar", &["-C", &unpacked_name, "-cf", &renamed_name, "."]).await?;
    Ok(renamed)
}
