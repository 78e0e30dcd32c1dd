//! Addresses of both families, in Services and in targets.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::mirror_api::connects;
use crate::operator::{ready_mirror, usual, with_target};
use crate::operator_pods::rest;
use crate::programs::run;
use crate::scene::{Scene, url_host};
use crate::wait::eventually;

/// The addresses of the pod with the Prometheus.
async fn prometheus_addresses() -> Result<Vec<String>> {
    let pods = [
        "-n",
        "monitoring",
        "get",
        "pods",
        "-l",
        "app=prometheus",
        "-o",
        "json",
    ];
    let pods: Value = serde_json::from_str(&run("kubectl", &pods).await?)?;
    let addresses = pods["items"][0]["status"]["podIPs"].as_array();
    let addresses = addresses.context("no addresses")?.iter();
    Ok(addresses
        .filter_map(|address| address["ip"].as_str().map(str::to_owned))
        .collect())
}

pub(super) async fn servers_are_read_by_their_addresses(scene: &Scene) -> Result<()> {
    let addresses = prometheus_addresses().await?;
    let target = |(index, ip): (usize, &String)| {
        let url = format!("http://{}:9090", url_host(ip));
        json!({"name": format!("by-address-{index}"), "url": url})
    };
    let mut spec = usual();
    spec["targets"] = addresses.iter().enumerate().map(target).collect();
    spec["defaultTarget"] = json!("by-address-0");
    // The headless Service has another number than its pods.
    scene
        .cluster()
        .apply(&json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "prometheus-headless", "namespace": "monitoring",
                "annotations": {"prometheus-mirror.io/allow-from": "*"},
            },
            "spec": {
                "clusterIP": "None", "selector": {"app": "prometheus"},
                "ports": [{"name": "web", "port": 80, "targetPort": 9090}],
            },
        }))
        .await?;
    let service = json!({"name": "prometheus-headless", "namespace": "monitoring", "port": "web"});
    let mut pods = service.clone();
    pods["pods"] = json!("Replicas");
    let targets = spec["targets"].as_array_mut().context("targets")?;
    targets.push(json!({"name": "headless", "service": service}));
    targets.push(json!({"name": "pods", "service": pods}));
    scene.mirror("shop", &spec).await?;
    scene.ready("shop").await?;
    scene
        .becomes("shop", "TargetsReachable", "True Reachable", &[])
        .await?;
    scene.claim(format!(
        "a Prometheus is read by {}, by a headless Service with another port, and as its pods",
        addresses.join(" and ")
    ));
    Ok(())
}

pub(super) async fn an_alias_is_read_by_the_name_that_it_stands_for(scene: &Scene) -> Result<()> {
    scene
        .cluster()
        .apply(&json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "alias", "namespace": scene.namespace},
            "spec": {
                "type": "ExternalName",
                "externalName": "prometheus.monitoring.svc.cluster.local",
            },
        }))
        .await?;
    let target = json!({"name": "cluster", "service": {"name": "alias", "port": 9090}});
    scene.mirror("shop", &with_target(&target)).await?;
    scene.ready("shop").await?;
    scene
        .becomes("shop", "TargetsReachable", "True Reachable", &[])
        .await?;
    let document = scene.document("shop").await?;
    let url = "http://prometheus.monitoring.svc.cluster.local:9090";
    ensure!(document.contains(url), "{document}");
    scene.claim("a Service of type ExternalName without ports is read by its name");
    Ok(())
}

/// The addresses of the Service `shop`.
async fn addresses(scene: &Scene) -> Result<Vec<String>> {
    let service = scene.object("Service", "shop").await?;
    let addresses = service["spec"]["clusterIPs"].as_array();
    let addresses = addresses.context("no addresses")?.iter();
    Ok(addresses
        .filter_map(|ip| ip.as_str().map(str::to_owned))
        .collect())
}

pub(super) async fn a_service_of_both_families_is_left_alone(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    let families = prometheus_addresses().await?.len();
    let both = json!({"service": {"ipFamilyPolicy": "PreferDualStack"}});
    scene.change("shop", &both).await?;
    let found = eventually("the Service has an address of each family", async || {
        let found = addresses(scene).await?;
        ensure!(found.len() == families, "{found:?}");
        Ok(found)
    })
    .await?;
    scene.ready("shop").await?;
    for ip in &found {
        let url = format!("http://{}:9900", url_host(ip));
        eventually("the Service answers", async || connects(&url).await).await?;
    }
    let version = async || {
        let service = scene.object("Service", "shop").await?;
        anyhow::Ok(service["metadata"]["resourceVersion"].clone())
    };
    let before = version().await?;
    rest().await;
    ensure!(version().await? == before, "the Service is written again");
    // Without the field, the API server keeps what there is.
    let neither = json!({"service": {"ipFamilyPolicy": null}});
    scene.change("shop", &neither).await?;
    scene.ready("shop").await?;
    ensure!(addresses(scene).await? == found, "other addresses");
    scene.claim(format!(
        "a Service that may have both families answers on {}, and is written once",
        found.join(" and ")
    ));
    Ok(())
}

pub(super) async fn a_field_that_cannot_change_says_what_to_do(scene: &Scene) -> Result<()> {
    let with_class = |class: &str| {
        let mut spec = usual();
        spec["service"] = json!({"type": "LoadBalancer", "loadBalancerClass": class});
        spec
    };
    scene.mirror("shop", &with_class("example.com/a")).await?;
    scene.ready("shop").await?;
    scene.mirror("shop", &with_class("example.com/b")).await?;
    let words = ["loadBalancerClass", "delete Service shop"];
    let said = scene
        .becomes("shop", "Ready", "False Refused", &words)
        .await?;
    scene.claim(format!("another class of load balancer is refused: {said}"));
    scene.delete("Service", "shop").await?;
    scene.ready("shop").await?;
    let class = &scene.object("Service", "shop").await?["spec"]["loadBalancerClass"];
    ensure!(class == "example.com/b", "{class}");
    scene.claim("when its Service has been deleted, it has the new class");
    Ok(())
}
