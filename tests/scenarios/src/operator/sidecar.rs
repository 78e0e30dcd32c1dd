//! Mode Sidecar: a Prometheus that listens on loopback only, and the mirror in its pods.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rollouts::renamed_mirror;
use crate::mirror_api::{Clients, Question, answers_with_key, connects, has_points};
use crate::programs::run;
use crate::scene::Scene;
use crate::wait::eventually;

/// The label that asks for the sidecar of a resource.
const INJECT: &str = "prometheus-mirror.io/inject";
/// The name of the sidecar's container.
const SIDECAR: &str = "prometheus-mirror";

fn spec(more: &Value) -> Value {
    let mut spec = json!({
        "mode": "Sidecar",
        "apiKeySecretRef": {"name": "mirror-key"},
        "targets": [{"name": "cluster", "url": "http://localhost:9090"}],
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    spec
}

/// A StatefulSet of a Prometheus that listens on loopback only, whose pods ask for the sidecar of
/// `mirror`. It goes on answering for a moment after it is to end, so that a Service can notice.
fn locked_prometheus(scene: &Scene, mirror: &str, pods: u32) -> Value {
    let labels = json!({"app": "prometheus", INJECT: mirror});
    let ready = [
        "/bin/promtool",
        "check",
        "ready",
        "--url=http://localhost:9090",
    ];
    let container = json!({
        "name": "prometheus", "image": "prom/prometheus:v3.10.0", "imagePullPolicy": "IfNotPresent",
        "args": [
            "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus",
            "--web.listen-address=127.0.0.1:9090",
        ],
        "readinessProbe": {"exec": {"command": ready}, "periodSeconds": 5, "timeoutSeconds": 15},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": "/prometheus"}],
    });
    let template = json!({
        "metadata": {"labels": labels},
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65534, "runAsGroup": 65534, "fsGroup": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    });
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "prometheus", "namespace": scene.namespace},
        "spec": {
            "serviceName": "prometheus", "replicas": pods, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "prometheus"}}, "template": template,
        },
    })
}

/// The policy, as a user installs it.
async fn install_policy(scene: &Scene) -> Result<()> {
    let file = scene.place().file("dist/sidecar-injection.yaml");
    run("kubectl", &["apply", "--server-side", "-f", &file]).await?;
    Ok(())
}

async fn apply(scene: &Scene, manifest: &Value) -> Result<()> {
    scene.kubectl_with(&["apply", "-f", "-"], manifest).await?;
    Ok(())
}

/// The policy, the resource, and then the pods of a Prometheus with the label: the resource is
/// ready, and the URL of its Service.
async fn locked(scene: &Scene, more: &Value, pods: u32) -> Result<String> {
    install_policy(scene).await?;
    scene.mirror("shop", &spec(more)).await?;
    scene
        .becomes("shop", "Ready", "False NoPods", &[INJECT])
        .await?;
    apply(scene, &locked_prometheus(scene, "shop", pods)).await?;
    scene.ready("shop").await?;
    let url = scene.address("shop").await?;
    eventually("the Service answers", async || connects(&url).await).await?;
    Ok(url)
}

/// The pods of the Prometheus, in order.
async fn pods(scene: &Scene) -> Result<Vec<Value>> {
    let mut pods = scene.objects("pods", "app=prometheus").await?;
    pods.sort_by_key(|pod| pod["metadata"]["name"].to_string());
    Ok(pods)
}

/// The sidecar in a pod, if it has one.
fn sidecar(pod: &Value) -> Option<&Value> {
    let mut first = pod["spec"]["initContainers"].as_array()?.iter();
    first.find(|container| container["name"] == SIDECAR)
}

fn ip(pod: &Value) -> Result<&str> {
    pod["status"]["podIP"].as_str().context("no address")
}

async fn opens(pod: &Value, port: u16) -> Result<bool> {
    let connected = timeout(Duration::from_secs(5), TcpStream::connect((ip(pod)?, port))).await;
    Ok(matches!(connected, Ok(Ok(_))))
}

/// How many pods are labelled, injected, current and serving.
async fn counts(scene: &Scene) -> Result<[i64; 4]> {
    let status = &scene.object("PrometheusMirror", "shop").await?["status"]["sidecar"];
    Ok(["labelled", "injected", "current", "serving"]
        .map(|name| status[name].as_i64().unwrap_or_default()))
}

/// Waits until both pods have the current sidecar and serve.
async fn both_serve(scene: &Scene) -> Result<()> {
    eventually("both pods serve", async || {
        let counts = counts(scene).await?;
        ensure!(counts == [2; 4], "{counts:?}");
        Ok(())
    })
    .await?;
    scene.ready("shop").await?;
    Ok(())
}

/// Waits until the Service leads to both pods.
async fn both_are_endpoints(scene: &Scene) -> Result<()> {
    eventually("both pods are endpoints", async || {
        let slices = scene
            .objects("endpointslices", "kubernetes.io/service-name=shop")
            .await?;
        let all = slices
            .iter()
            .filter_map(|slice| slice["endpoints"].as_array());
        let ready = all
            .flatten()
            .filter(|end| end["conditions"]["ready"] == true);
        let ready = ready.count();
        ensure!(ready == 2, "{ready} are");
        Ok(())
    })
    .await
}

pub(super) async fn a_locked_prometheus_is_read_through_its_sidecars(scene: &Scene) -> Result<()> {
    let url = locked(scene, &json!({}), 2).await?;
    eventually("points come", async || has_points(&url).await).await?;
    ensure!(counts(scene).await? == [2; 4], "{:?}", counts(scene).await?);
    scene
        .becomes("shop", "SidecarsCurrent", "True UpToDate", &[])
        .await?;
    for kind in ["deployments", "serviceaccounts"] {
        let own = scene.names(kind, "app.kubernetes.io/instance=shop").await?;
        ensure!(own.is_empty(), "{own:?}");
    }
    for pod in pods(scene).await? {
        ensure!(opens(&pod, 9900).await?, "no mirror listens");
        ensure!(
            !opens(&pod, 9090).await?,
            "Prometheus is reached from outside its pod"
        );
    }
    scene.claim("two labelled pods answer through the Service; their Prometheus cannot be reached");

    scene.secret("mirror-key", &[("apiKey", "another")]).await?;
    eventually("the new key", async || {
        answers_with_key(&url, "another").await
    })
    .await?;
    scene.claim("a changed key reaches sidecars");
    // Each has the whole series once it has read itself, so one of them is enough.
    for one in ["prometheus-0", "prometheus-1"] {
        for pod in pods(scene).await? {
            let alone = format!("http://{}:9900", ip(&pod)?);
            eventually("each has points", async || has_points(&alone).await).await?;
        }
        both_are_endpoints(scene).await?;
        let clients = Clients::asking(Question::Points, &[&url], &["another"]).await?;
        scene.kubectl(&["delete", "pod", one]).await?;
        has_points(&url).await?;
        let answered = clients.lose_nothing().await?;
        let pod = format!("pod/{one}");
        let ready = ["wait", "--for=condition=Ready", "--timeout=180s", &pod];
        eventually(format!("{one} is back"), async || {
            scene.kubectl(&ready).await
        })
        .await?;
        scene.claim(format!("{answered} requests while {one} ends, none failed"));
    }
    Ok(())
}

pub(super) async fn sidecars_are_replaced_only_on_request(scene: &Scene) -> Result<()> {
    let url = locked(scene, &json!({}), 2).await?;
    let before = pods(scene).await?;
    let image = renamed_mirror(scene, "prometheus-mirror:sidecar").await?;
    scene.change("shop", &json!({"image": image})).await?;
    let names = ["prometheus-0", "prometheus-1", "restartPods"];
    scene
        .becomes("shop", "SidecarsCurrent", "False SidecarOutdated", &names)
        .await?;
    scene.ready("shop").await?;
    ensure!(
        counts(scene).await? == [2, 2, 0, 2],
        "{:?}",
        counts(scene).await?
    );
    let uids = |pods: &[Value]| -> Vec<Value> {
        pods.iter()
            .map(|pod| pod["metadata"]["uid"].clone())
            .collect()
    };
    ensure!(
        uids(&pods(scene).await?) == uids(&before),
        "a pod was replaced"
    );
    scene.claim("pods with an older sidecar are named and left alone");

    let clients = Clients::asking(Question::Connection, &[&url], &["key"]).await?;
    scene
        .change("shop", &json!({"sidecar": {"restartPods": true}}))
        .await?;
    scene
        .becomes("shop", "SidecarsCurrent", "True UpToDate", &[])
        .await?;
    both_serve(scene).await?;
    let answered = clients.lose_nothing().await?;
    let after = pods(scene).await?;
    ensure!(after.len() == 2, "{} pods", after.len());
    for pod in &after {
        let has = &sidecar(pod).context("no sidecar")?["image"];
        ensure!(has == image, "the image: {has}");
    }
    scene.claim(format!(
        "restartPods replaces them one by one: {answered} requests, none failed"
    ));
    Ok(())
}

pub(super) async fn pods_from_before_the_resource_are_named_and_restarted(
    scene: &Scene,
) -> Result<()> {
    install_policy(scene).await?;
    apply(scene, &locked_prometheus(scene, "shop", 2)).await?;
    let rollout = [
        "rollout",
        "status",
        "statefulset/prometheus",
        "--timeout=180s",
    ];
    scene.kubectl(&rollout).await?;
    ensure!(
        pods(scene).await?.iter().all(|pod| sidecar(pod).is_none()),
        "a sidecar of nobody"
    );
    scene.claim("a label without a resource changes nothing");
    // In another namespace, a resource of that name, and pods of its own.
    let other = scene.within(&format!("{}-2", scene.namespace));
    other.open().await?;
    other.mirror("shop", &spec(&json!({}))).await?;
    other.becomes("shop", "Ready", "False NoPods", &[]).await?;
    scene.kubectl(&["delete", "pod", "prometheus-1"]).await?;
    scene.kubectl(&rollout).await?;
    ensure!(
        pods(scene).await?.iter().all(|pod| sidecar(pod).is_none()),
        "of another namespace"
    );
    other.close().await?;
    scene.claim("nor does a resource of that name in another namespace");

    scene.mirror("shop", &spec(&json!({}))).await?;
    let names = ["Pods prometheus-0, prometheus-1", "restartPods"];
    scene
        .becomes("shop", "Stalled", "True SidecarMissing", &names)
        .await?;
    scene
        .change("shop", &json!({"sidecar": {"restartPods": true}}))
        .await?;
    both_serve(scene).await?;
    let url = scene.address("shop").await?;
    connects(&url).await?;
    scene.claim("pods from before the resource are named, and restarted on request");
    Ok(())
}

/// A Deployment or a DaemonSet whose pod does nothing but ask for the sidecar of `shop`.
fn idle(scene: &Scene, kind: &str) -> Value {
    let labels = json!({"app": kind, INJECT: "shop"});
    let container = json!({
        "name": "idle", "image": "localhost/pause:1", "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"},
        },
    });
    json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": kind.to_lowercase(), "namespace": scene.namespace},
        "spec": {
            "selector": {"matchLabels": {"app": kind}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    })
}

pub(super) async fn deployments_and_daemon_sets_restart_their_pods_on_request(
    scene: &Scene,
) -> Result<()> {
    install_policy(scene).await?;
    for kind in ["Deployment", "DaemonSet"] {
        apply(scene, &idle(scene, kind)).await?;
        let name = format!("{kind}/{}", kind.to_lowercase());
        scene
            .kubectl(&["rollout", "status", &name, "--timeout=180s"])
            .await?;
    }
    scene.mirror("shop", &spec(&json!({}))).await?;
    scene
        .becomes("shop", "Stalled", "True SidecarMissing", &["Pods "])
        .await?;
    scene
        .change("shop", &json!({"sidecar": {"restartPods": true}}))
        .await?;
    both_serve(scene).await?;
    scene.claim("the pods of a Deployment and of a DaemonSet are restarted on request");
    Ok(())
}

pub(super) async fn sidecars_outlive_their_resource(scene: &Scene) -> Result<()> {
    let url = locked(scene, &json!({}), 1).await?;
    scene
        .change("shop", &json!({"paused": true, "workers": 3}))
        .await?;
    scene.becomes("shop", "Paused", "True ", &[]).await?;
    let document = scene.document("shop").await?;
    ensure!(!document.contains("workers: 3"), "it was changed");
    scene.kubectl(&["delete", "pod", "prometheus-0"]).await?;
    eventually("the next pod answers", async || connects(&url).await).await?;
    scene.claim("a paused resource changes nothing, and the next pod has its sidecar");

    scene.delete("PrometheusMirror", "shop").await?;
    scene.vanishes("Service", "shop").await?;
    scene.vanishes("ConfigMap", "shop-mirror").await?;
    let pod = pods(scene).await?.remove(0);
    ensure!(opens(&pod, 9900).await?, "the sidecar ended");
    let ready = [
        "wait",
        "--for=condition=Ready",
        "pod/prometheus-0",
        "--timeout=60s",
    ];
    scene.kubectl(&ready).await?;
    scene.kubectl(&["delete", "pod", "prometheus-0"]).await?;
    let next = eventually("the next pod", async || match pods(scene).await?.pop() {
        Some(next) if next["metadata"]["uid"] != pod["metadata"]["uid"] => Ok(next),
        _ => bail!("not there"),
    })
    .await?;
    ensure!(
        sidecar(&next).is_none(),
        "a sidecar of a resource that is gone"
    );
    scene
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "pod/prometheus-0",
            "--timeout=180s",
        ])
        .await?;
    scene.claim(
        "a removed resource takes its objects along; the pod stays, the next has no sidecar",
    );
    Ok(())
}
