//! What an operator makes for a mirror: restored, removed, left alone.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{ready_mirror, usual};
use crate::operator_pods::MANAGED;
use crate::programs::run;
use crate::scene::Scene;
use crate::wait::{eventually, timed};

pub(super) async fn deleted_and_edited_children_are_restored(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    for (kind, name) in [
        ("Service", "shop"),
        ("Deployment", "shop-mirror"),
        ("ConfigMap", "shop-mirror"),
        ("ServiceAccount", "shop-mirror"),
    ] {
        let uid = async || {
            let object = scene.object(kind, name).await?;
            anyhow::Ok(object["metadata"]["uid"].clone())
        };
        let before = uid().await?;
        scene.delete(kind, name).await?;
        let took = timed(format!("{kind} {name} is back"), async || {
            ensure!(uid().await? != before, "it is the one before");
            Ok(())
        })
        .await?;
        scene.claim(format!(
            "{kind} {name} is back {took:?} after it was deleted"
        ));
    }
    let ports = json!({"spec": {"ports": [{"name": "api", "port": 1234}]}});
    scene.merge("Service", "shop", &ports).await?;
    let took = timed("the Service has its port", async || {
        let address = scene.address("shop").await?;
        ensure!(address.ends_with(":9900"), "{address}");
        Ok(())
    })
    .await?;
    scene.claim(format!("an edited Service is restored after {took:?}"));
    scene.ready("shop").await?;
    scene
        .kubectl(&["annotate", "deploy", "shop-mirror", "somebody=else"])
        .await?;
    scene
        .kubectl(&["scale", "pmirror", "shop", "--replicas=2"])
        .await?;
    scene
        .becomes("shop", "Ready", "True Serving", &["2 of 2"])
        .await?;
    let deployment = scene.object("Deployment", "shop-mirror").await?;
    let others = &deployment["metadata"]["annotations"]["somebody"];
    ensure!(others == "else", "another's annotation is gone");
    scene.claim("kubectl scale works, and another writer's annotation stays");
    Ok(())
}

/// Waits until a mirror has these optional children and no others.
async fn has_optional_children(scene: &Scene, kinds: &str, number: usize) -> Result<()> {
    eventually(format!("{number} of {kinds}"), async || {
        let found = scene.names(kinds, MANAGED).await?;
        ensure!(found.len() == number, "there are: {}", found.join(" "));
        Ok(())
    })
    .await
}

pub(super) async fn optional_children_come_and_go(scene: &Scene) -> Result<()> {
    const KINDS: &str = "pdb,networkpolicy,ingress,hpa";
    ready_mirror(scene).await?;
    let options = json!({
        "podDisruptionBudget": {}, "networkPolicy": {}, "ingress": {"host": "a.example"},
        "monitor": {}, "httpRoute": {"parentRefs": [{"name": "g"}]},
        "autoscaling": {"minReplicas": 2, "maxReplicas": 3},
    });
    scene.change("shop", &options).await?;
    has_optional_children(scene, KINDS, 4).await?;
    let words = ["HTTPRoute", "not installed"];
    let said = scene
        .becomes("shop", "Degraded", "True ApiMissing", &words)
        .await?;
    scene.ready("shop").await?;
    let replicas = async || {
        let deployment = scene.object("Deployment", "shop-mirror").await?;
        anyhow::Ok(deployment["spec"]["replicas"].clone())
    };
    let found = replicas().await?;
    ensure!(found == 2, "the autoscaler's start has {found} replicas");
    scene.delete("Deployment", "shop-mirror").await?;
    let took = timed(
        "the Deployment is back with the fewest replicas",
        async || {
            let found = replicas().await?;
            ensure!(found == 2, "{found} replicas");
            Ok(())
        },
    );
    let took = took.await?;
    scene.claim(format!(
        "a Deployment made again with an autoscaler has 2 replicas after {took:?}"
    ));
    scene.claim(format!(
        "optional children are made, and missing APIs are named: {said}"
    ));
    let mut spec = usual();
    spec["replicas"] = json!(2);
    scene.mirror("shop", &spec).await?;
    has_optional_children(scene, KINDS, 0).await?;
    scene.ready("shop").await?;
    scene.claim("and removed when they are no longer asked for");
    Ok(())
}

/// What has a child's owner and labels under a name that no child has, as after an upgrade that
/// names children differently.
pub(super) async fn children_no_longer_wanted_are_removed(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    for kind in ["Deployment", "ConfigMap", "ServiceAccount"] {
        let child = scene.object(kind, "shop-mirror").await?;
        let metadata = &child["metadata"];
        let mut former = json!({
            "apiVersion": child["apiVersion"], "kind": child["kind"],
            "metadata": {
                "name": "shop-former", "namespace": scene.namespace,
                "labels": metadata["labels"], "ownerReferences": metadata["ownerReferences"],
            },
        });
        if let Value::Object(spec) = &child["spec"] {
            former["spec"] = json!(spec);
            former["spec"]["replicas"] = json!(0);
        }
        scene.kubectl_with(&["create", "-f", "-"], &former).await?;
        let took = scene.vanishes(kind, "shop-former").await?;
        scene.claim(format!(
            "a {kind} that is owned and not wanted is gone after {took:?}"
        ));
    }
    Ok(())
}

pub(super) async fn a_conflicting_object_is_left_alone(scene: &Scene) -> Result<()> {
    scene
        .kubectl(&["create", "service", "clusterip", "taken", "--tcp=80"])
        .await?;
    scene.mirror("taken", &usual()).await?;
    let words = ["Service taken exists"];
    let said = scene
        .becomes("taken", "Stalled", "True NameTaken", &words)
        .await?;
    let owners = &scene.object("Service", "taken").await?["metadata"]["ownerReferences"];
    ensure!(owners.is_null(), "it was adopted: {owners}");
    scene.claim(format!("a conflicting object is left alone: {said}"));
    scene.delete("Service", "taken").await?;
    let took = scene.ready("taken").await?;
    scene.claim(format!("and Ready {took:?} after it was gone"));
    Ok(())
}

pub(super) async fn an_api_installed_later_is_used(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    let options = json!({"monitor": {}, "httpRoute": {"parentRefs": [{"name": "g"}]}});
    scene.change("shop", &options).await?;
    scene
        .becomes("shop", "Degraded", "True ApiMissing", &[])
        .await?;
    install_definitions(scene).await?;
    let used = scene.appears("HTTPRoute", "shop-mirror").await?;
    scene.appears("ServiceMonitor", "shop-mirror").await?;
    scene.claim(format!(
        "an API that is installed later is used {used:?} afterwards"
    ));
    eventually("Degraded is over", async || {
        let resource = scene.object("PrometheusMirror", "shop").await?;
        let degraded = cluster_client::condition(&resource, "Degraded");
        ensure!(degraded.is_none(), "{degraded:?}");
        Ok(())
    })
    .await?;
    scene.delete("HTTPRoute", "shop-mirror").await?;
    let took = scene.appears("HTTPRoute", "shop-mirror").await?;
    scene.claim(format!("a deleted HTTPRoute is back after {took:?}"));
    scene.mirror("shop", &usual()).await?;
    has_optional_children(scene, "httproute,servicemonitor", 0).await?;
    scene.ready("shop").await?;
    scene.claim("HTTPRoute and ServiceMonitor go when they are no longer asked for");
    Ok(())
}

/// The files with other projects' definitions.
async fn definitions(scene: &Scene) -> Result<Vec<String>> {
    let files = run(&scene.place().file("tests/cluster/definitions/files"), &[]).await?;
    Ok(files.lines().map(str::to_owned).collect())
}

/// Installs other projects' definitions, if they are not there.
pub(super) async fn install_definitions(scene: &Scene) -> Result<()> {
    for file in definitions(scene).await? {
        run("kubectl", &["apply", "--server-side", "-f", &file]).await?;
    }
    Ok(())
}

/// Removes them: a run before on the same cluster may have left them.
pub(super) async fn remove_definitions(scene: &Scene) -> Result<()> {
    for file in definitions(scene).await? {
        let delete = ["delete", "--ignore-not-found", "--wait=true", "-f", &file];
        run("kubectl", &delete).await?;
    }
    Ok(())
}
