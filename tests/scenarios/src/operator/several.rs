//! Targets of several servers: the pods of a Prometheus object, made as the Prometheus Operator
//! makes them, and of its Service.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::children::install_definitions;
use super::prometheus::{apply, monitoring, prometheus};
use super::with_target;
use crate::mirror_api::{Clients, Question, has_points};
use crate::scene::{Scene, url_host};
use crate::wait::eventually;

/// The object, and the mirror of it.
const PAIR: &str = "pair";
/// The Service that the object names, so that it shares none with other scenarios' objects.
const SERVICE: &str = "pair-operated";

pub(super) async fn every_pod_of_a_prometheus_object_is_reached(scene: &Scene) -> Result<()> {
    install_definitions(scene).await?;
    govern(scene).await?;
    runs(scene, 2, 2).await?;
    let object = json!({"name": PAIR, "namespace": "monitoring"});
    let target = json!({"name": "cluster", "prometheus": object});
    scene.mirror(PAIR, &with_target(&target)).await?;
    queries(scene, 4).await?;
    let status = &scene.object("PrometheusMirror", PAIR).await?["status"];
    let servers = status["targets"][0]["servers"].as_array();
    let urls: Vec<_> = servers
        .into_iter()
        .flatten()
        .map(|server| &server["url"])
        .collect();
    let url = |pod: &str| {
        json!(format!(
            "http://prometheus-pair{pod}.pair-operated.monitoring.svc:9090"
        ))
    };
    let expected = ["-0", "-1", "-shard-1-0", "-shard-1-1"].map(url);
    ensure!(urls == expected.each_ref(), "other servers: {urls:?}");
    scene.claim("each pod of 2 shards of 2 replicas is reached by its own name");
    let pods = scene.pods(PAIR).await?;
    runs(scene, 1, 2).await?;
    queries(scene, 2).await?;
    runs(scene, 1, 1).await?;
    queries(scene, 1).await?;
    ensure!(
        scene.pods(PAIR).await? == pods,
        "the mirror's pod was replaced"
    );
    scene.claim("fewer shards and replicas are followed by the same pod");
    let local = json!({"spec": {"listenLocal": true}}).to_string();
    monitoring(&["patch", "prometheus", PAIR, "--type=merge", "-p", &local]).await?;
    let state = "True ServersUnusable";
    let said = scene
        .becomes(PAIR, "Stalled", state, &["listenLocal"])
        .await?;
    scene.claim(format!("an object that listens locally is named: {said}"));
    monitoring(&["delete", "prometheus", PAIR]).await?;
    Ok(())
}

pub(super) async fn scaling_a_prometheus_object_loses_no_request(scene: &Scene) -> Result<()> {
    install_definitions(scene).await?;
    runs(scene, 1, 1).await?;
    govern(scene).await?;
    let target = json!({
        "name": "cluster", "prometheus": {"name": PAIR, "namespace": "monitoring"},
        // A shard is in the object before its pods run, and out of it after they ended.
        "partialResponses": true,
    });
    scene.mirror(PAIR, &with_target(&target)).await?;
    scene.ready(PAIR).await?;
    let url = scene.address(PAIR).await?;
    eventually("there are points", async || has_points(&url).await).await?;
    let pods = scene.pods(PAIR).await?;
    let steps = [(1, 2), (1, 1), (2, 1), (2, 2), (1, 2)];
    for (shards, replicas) in steps {
        let clients = Clients::asking(Question::Points, &[&url], &["key"]).await?;
        runs(scene, shards, replicas).await?;
        queries(scene, shards * replicas).await?;
        have_scraped(shards * replicas).await?;
        let answered = clients.lose_nothing().await;
        let what = format!("the object gets {shards} shards of {replicas} replicas");
        let answered = answered.with_context(|| format!("while {what}"))?;
        scene.claim(format!("{answered} requests while {what}, none failed"));
    }
    ensure!(
        scene.pods(PAIR).await? == pods,
        "the mirror's pod was replaced"
    );
    scene.claim("its pods stayed the same");
    Ok(())
}

pub(super) async fn a_pod_of_a_pair_ends_and_no_request_is_lost(scene: &Scene) -> Result<()> {
    install_definitions(scene).await?;
    govern(scene).await?;
    runs(scene, 1, 2).await?;
    let service =
        json!({"name": SERVICE, "namespace": "monitoring", "port": "web", "pods": "Replicas"});
    let target = json!({"name": "cluster", "service": service});
    scene.mirror(PAIR, &with_target(&target)).await?;
    queries(scene, 2).await?;
    have_scraped(2).await?;
    let url = scene.address(PAIR).await?;
    eventually("there are points", async || has_points(&url).await).await?;
    let clients = Clients::asking(Question::Points, &[&url], &["key"]).await?;
    monitoring(&["delete", "pod", "prometheus-pair-0", "--grace-period=1"]).await?;
    rolled_out("prometheus-pair").await?;
    queries(scene, 2).await?;
    let answered = clients
        .lose_nothing()
        .await
        .context("while a pod is replaced")?;
    scene.claim(format!(
        "{answered} requests while the preferred pod of a Service is replaced, none failed"
    ));
    let objects = ["delete", "prometheus,statefulset,service", "-l", "of=pair"];
    monitoring(&objects).await?;
    Ok(())
}

/// The object, with so many shards and replicas, and after it what the Prometheus Operator runs for
/// it.
async fn runs(scene: &Scene, shards: usize, replicas: usize) -> Result<()> {
    let spec = json!({"serviceName": SERVICE, "shards": shards, "replicas": replicas});
    let mut object = prometheus(scene, PAIR, &spec);
    object["metadata"]["labels"] = json!({"of": PAIR});
    apply(&object).await?;
    let name = |shard: usize| match shard {
        0 => format!("prometheus-{PAIR}"),
        shard => format!("prometheus-{PAIR}-shard-{shard}"),
    };
    for shard in 0..shards {
        apply(&stateful_set(&name(shard), shard, replicas).await?).await?;
        rolled_out(&name(shard)).await?;
    }
    let gone = name(shards);
    monitoring(&["delete", "statefulset", &gone, "--ignore-not-found"]).await?;
    Ok(())
}

async fn rolled_out(set: &str) -> Result<()> {
    let set = format!("statefulset/{set}");
    monitoring(&["rollout", "status", &set, "--timeout=180s"]).await?;
    Ok(())
}

/// Waits until each of so many servers has samples: one that is just ready has none to stand in for
/// another with.
async fn have_scraped(servers: usize) -> Result<()> {
    eventually(format!("{servers} servers have samples"), async || {
        let label = "operator.prometheus.io/name=pair";
        let ips = "jsonpath={.items[*].status.podIP}";
        let ips = monitoring(&["get", "pods", "-l", label, "-o", ips]).await?;
        let mut with_samples = 0;
        for ip in ips.split_whitespace() {
            let url = format!("http://{}:9090/api/v1/query?query=up", url_host(ip));
            let said = reqwest::get(&url).await?.text().await?;
            ensure!(said.contains(r#""value":["#), "{ip} says {said}");
            with_samples += 1;
        }
        ensure!(with_samples >= servers, "{with_samples} have");
        Ok(())
    })
    .await
}

/// A StatefulSet of the Prometheus that the other scenarios read.
async fn stateful_set(name: &str, shard: usize, replicas: usize) -> Result<Value> {
    let deployment = monitoring(&["get", "deploy", "prometheus", "-o", "json"]).await?;
    let deployment: Value = serde_json::from_str(&deployment)?;
    let mut template = deployment["spec"]["template"].clone();
    let labels = json!({"operator.prometheus.io/name": PAIR, "operator.prometheus.io/shard": shard.to_string()});
    template["metadata"]["labels"] = labels.clone();
    Ok(json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": "monitoring", "labels": {"of": PAIR}},
        "spec": {
            "serviceName": SERVICE, "replicas": replicas, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels}, "template": template,
        },
    }))
}

/// The Service that governs them all.
async fn govern(scene: &Scene) -> Result<()> {
    let opened = json!({"prometheus-mirror.io/allow-from": format!("other,{}", scene.namespace)});
    apply(&json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": SERVICE, "namespace": "monitoring", "labels": {"of": PAIR},
            "annotations": opened,
        },
        "spec": {
            "clusterIP": "None", "selector": {"operator.prometheus.io/name": PAIR},
            "ports": [{"name": "web", "port": 9090, "targetPort": "web"}],
        },
    }))
    .await
}

/// Waits until the mirror's pod reaches so many servers.
async fn queries(scene: &Scene, servers: usize) -> Result<()> {
    scene.ready(PAIR).await?;
    eventually(format!("{servers} servers are reached"), async || {
        let status = &scene.object("PrometheusMirror", PAIR).await?["status"];
        let target = &status["targets"][0];
        let listed = target["servers"].as_array().map_or(1, Vec::len);
        let up = |server: &Value| server["reachable"] == true;
        let all = target["servers"]
            .as_array()
            .is_none_or(|all| all.iter().all(up));
        ensure!(listed == servers && all && up(target), "{target}");
        Ok(())
    })
    .await
}
