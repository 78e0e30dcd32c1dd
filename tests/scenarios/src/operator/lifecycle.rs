//! From the creation of a mirror to its end.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{ready_mirror, usual};
use crate::mirror_api::{answers_with_key, connects, has_points};
use crate::operator_pods::MANAGED;
use crate::scene::Scene;
use crate::wait::{eventually, timed};

/// Kinds of what an operator makes, and what is made of that.
const ALL: &str = "deploy,pods,service,configmap,serviceaccount,pdb,networkpolicy,ingress,hpa";

pub(crate) async fn a_new_mirror_becomes_ready_and_answers(scene: &Scene) -> Result<()> {
    let manifest = cluster_client::mirror(&scene.namespace, "shop", &usual());
    scene.kubectl_with(&["apply", "-f", "-"], &manifest).await?;
    let took = scene.ready("shop").await?;
    scene.claim(format!("Ready {took:?} after kubectl apply"));
    let url = scene.address("shop").await?;
    // The node's proxy hears of a new Service a moment after us, and the Prometheus scrapes itself
    // first.
    eventually("the Service answers", async || connects(&url).await).await?;
    answers_with_key(&url, "key").await?;
    eventually("there are points", async || has_points(&url).await).await?;
    scene.claim("the Mirror API answers through the Service, with points and the key");
    scene
        .becomes("shop", "TargetsReachable", "True Reachable", &[])
        .await?;
    let status = &scene.object("PrometheusMirror", "shop").await?["status"];
    let version = &status["targets"][0]["version"];
    ensure!(
        version == "3.10.0",
        "the target's version in the status: {version}"
    );
    scene.claim("the pods reach their target, and the status says so, with its version");
    Ok(())
}

pub(crate) async fn a_pod_asks_the_mirror_by_its_dns_name(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    let url = format!("http://shop.{}.svc:9900", scene.namespace);
    let query = ["query", "--mirror", &url, "--gauge", "up", "--from", "5m"];
    let asked = [
        &["exec", "deploy/shop-mirror", "--", "/prometheus-mirror"],
        &query[..],
    ]
    .concat();
    eventually("a pod asks by name", async || {
        let said = scene.kubectl(&asked).await?;
        ensure!(said.lines().any(|line| line.ends_with("  1")), "{said}");
        Ok(())
    })
    .await?;
    scene.claim("a pod asks the mirror by its DNS name");
    Ok(())
}

pub(super) async fn paused_holds_changes_back(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    scene
        .change("shop", &json!({"paused": true, "workers": 9}))
        .await?;
    scene.becomes("shop", "Paused", "True ", &[]).await?;
    let document = scene.document("shop").await?;
    ensure!(
        !document.contains("workers: 9"),
        "a paused resource was written: {document}"
    );
    scene.change("shop", &json!({"paused": false})).await?;
    scene.ready("shop").await?;
    let document = scene.document("shop").await?;
    ensure!(
        document.contains("workers: 9"),
        "the change was lost: {document}"
    );
    scene.claim("paused holds changes back until it is over");
    Ok(())
}

pub(super) async fn nothing_is_left_of_a_deleted_mirror(scene: &Scene) -> Result<()> {
    let mut spec = usual();
    spec["podDisruptionBudget"] = json!({});
    spec["networkPolicy"] = json!({});
    spec["ingress"] = json!({"host": "a.example"});
    spec["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 2});
    scene.mirror("shop", &spec).await?;
    scene.ready("shop").await?;
    let made = scene.names(ALL, MANAGED).await?;
    ensure!(made.len() == 9, "not one of each kind: {}", made.join(" "));
    scene.delete("PrometheusMirror", "shop").await?;
    let took = timed("nothing is left", async || {
        let left = scene.names(ALL, MANAGED).await?;
        ensure!(left.is_empty(), "left: {}", left.join(" "));
        Ok(())
    })
    .await?;
    scene.claim(format!(
        "nothing is left {took:?} after the resource was deleted"
    ));
    Ok(())
}
