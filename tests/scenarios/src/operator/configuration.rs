//! Changes of what a mirror serves, and what is wrong with it.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{ready_mirror, usual, with_target};
use crate::mirror_api::{answers_with_key, connects};
use crate::programs::run;
use crate::scene::Scene;
use crate::wait::{eventually, timed};

pub(super) async fn a_changed_target_is_served_by_the_same_pods(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    let pods = scene.pods("shop").await?;
    let ip = [
        "get",
        "service",
        "prometheus",
        "-o",
        "jsonpath={.spec.clusterIP}",
    ];
    let ip = run("kubectl", &[&["-n", "monitoring"], &ip[..]].concat()).await?;
    let target = |port: u16| json!([{"name": "cluster", "url": format!("http://{ip}:{port}")}]);
    let patch = |port| json!([{"op": "replace", "path": "/spec/targets", "value": target(port)}]);
    let change = async |port| {
        let patch = patch(port).to_string();
        scene
            .kubectl(&["patch", "pmirror", "shop", "--type=json", "-p", &patch])
            .await
    };
    change(9090).await?;
    let took = scene.ready("shop").await?;
    ensure!(
        scene.pods("shop").await? == pods,
        "a change of the document replaced pods"
    );
    scene.claim(format!(
        "a changed target is in force after {took:?}, in the same pods"
    ));
    change(9).await?;
    let state = "False Unreachable";
    let said = scene
        .becomes("shop", "TargetsReachable", state, &["cluster:"])
        .await?;
    scene.claim(format!("an unreachable target is named: {said}"));
    scene.mirror("shop", &usual()).await?;
    scene
        .becomes("shop", "TargetsReachable", "True ", &[])
        .await?;
    scene.claim("and is reachable again when it is fixed");
    Ok(())
}

pub(super) async fn a_changed_key_is_served(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    let url = scene.address("shop").await?;
    eventually("it has its key", async || {
        answers_with_key(&url, "key").await
    })
    .await?;
    let pods = scene.pods("shop").await?;
    scene
        .secret("mirror-key", &[("apiKey", "second-key")])
        .await?;
    let served = async || answers_with_key(&url, "second-key").await;
    let took = timed("the second key is served", served).await?;
    ensure!(
        scene.pods("shop").await? == pods,
        "a changed key replaced pods"
    );
    scene.claim(format!(
        "a changed key is in force after {took:?}, in the same pods"
    ));
    Ok(())
}

pub(super) async fn a_missing_secret_or_key_is_named(scene: &Scene) -> Result<()> {
    let mut spec = usual();
    spec["apiKeySecretRef"] = json!({"name": "other-key"});
    scene.mirror("other", &spec).await?;
    let missing = ["there is no Secret other-key"];
    let said = scene
        .becomes("other", "Stalled", "True SecretMissing", &missing)
        .await?;
    let made = scene.names(
        "deploy,service,configmap",
        "app.kubernetes.io/instance=other",
    );
    let made = made.await?;
    ensure!(
        made.is_empty(),
        "children of an invalid resource: {}",
        made.join(" ")
    );
    scene.claim(format!("a missing Secret: {said}"));
    scene.secret("other-key", &[("key", "x")]).await?;
    let words = ["has no key apiKey", "its keys: key"];
    let said = scene
        .becomes("other", "Stalled", "True SecretKeyMissing", &words)
        .await?;
    scene.claim(format!("a missing key: {said}"));
    scene.secret("other-key", &[("apiKey", "x")]).await?;
    let took = scene.ready("other").await?;
    scene.claim(format!("and Ready {took:?} after it was fixed"));
    scene.event("SecretMissing").await?;
    scene.delete("Secret", "other-key").await?;
    scene
        .becomes("other", "Stalled", "True SecretMissing", &[])
        .await?;
    let ready = &scene.object("Deployment", "other-mirror").await?["status"]["readyReplicas"];
    ensure!(ready == 1, "the pod went with the Secret: {ready}");
    scene.claim("a Secret deleted later stalls the resource and leaves its pods alone");
    Ok(())
}

pub(super) async fn what_the_mirror_refuses_is_reported(scene: &Scene) -> Result<()> {
    let key = async |value: &str| scene.secret("mirror-key", &[("apiKey", value)]).await;
    let refused = "True ConfigurationRefused";
    key("").await?;
    scene.mirror("bad", &usual()).await?;
    let words = ["secrets/mirror-key/apiKey is empty"];
    let said = scene.becomes("bad", "Stalled", refused, &words).await?;
    scene.claim(format!(
        "what the mirror has against its configuration: {said}"
    ));
    key("good").await?;
    let took = scene.ready("bad").await?;
    scene.claim(format!(
        "and Ready {took:?} after it was fixed, in spite of the kubelet's back-off"
    ));
    // The pod that gave up may still be on its way out.
    let pods = scene.has_pods("bad", 1).await?;
    let url = scene.address("bad").await?;
    eventually("it answers", async || answers_with_key(&url, "good").await).await?;
    key("").await?;
    let words = ["keeps serving the one before"];
    let said = scene.becomes("bad", "Stalled", refused, &words).await?;
    answers_with_key(&url, "good").await?;
    scene.claim(format!(
        "a running mirror keeps serving what it had: {said}"
    ));
    key("better").await?;
    let took = scene.ready("bad").await?;
    answers_with_key(&url, "better").await?;
    ensure!(scene.pods("bad").await? == pods, "the pod was replaced");
    scene.claim(format!("and takes the fixed one over after {took:?}"));
    Ok(())
}

pub(super) async fn a_refused_pod_template_changes_nothing(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    let generation = async || {
        let deployment = scene.object("Deployment", "shop-mirror").await?;
        anyhow::Ok(deployment["metadata"]["generation"].clone())
    };
    let before = generation().await?;
    let containers = json!([{"name": "mirror", "imagePullPolicy": "Sometimes"}]);
    let template = json!({"spec": {"containers": containers}});
    scene
        .change("shop", &json!({"workers": 7, "podTemplate": template}))
        .await?;
    let words = ["imagePullPolicy"];
    let said = scene
        .becomes("shop", "Stalled", "True Refused", &words)
        .await?;
    ensure!(generation().await? == before, "the Deployment was written");
    let document = scene.document("shop").await?;
    ensure!(
        !document.contains("workers: 7"),
        "the document was written: {document}"
    );
    scene.claim(format!(
        "a pod template that the API server refuses changes nothing: {said}"
    ));
    scene.mirror("shop", &usual()).await?;
    scene.ready("shop").await?;
    Ok(())
}

pub(super) async fn with_one_target_down_the_other_is_served(scene: &Scene) -> Result<()> {
    let up = json!({
        "name": "up",
        "service": {"name": "prometheus", "namespace": "monitoring", "port": 9090},
    });
    let down = |port: u16| {
        let url = format!("http://prometheus.monitoring.svc:{port}");
        json!({"name": "down", "url": url})
    };
    let mut spec = with_target(&up);
    spec["targets"] = json!([up, down(9)]);
    spec["defaultTarget"] = json!("up");
    scene.mirror("pair", &spec).await?;
    scene.ready("pair").await?;
    let state = "False Unreachable";
    let said = scene
        .becomes("pair", "TargetsReachable", state, &["down:"])
        .await?;
    let status = &scene.object("PrometheusMirror", "pair").await?["status"];
    let targets = &status["targets"];
    let found = json!({
        "of": status["reachableTargets"],
        "targets": [
            [targets[0]["name"], targets[0]["reachable"]],
            [targets[1]["name"], targets[1]["reachable"]],
        ],
    });
    let expected = json!({"of": "1/2", "targets": [["up", true], ["down", false]]});
    ensure!(found == expected, "the targets' status: {found}");
    let url = scene.address("pair").await?;
    eventually("the target that is up answers", async || {
        connects(&url).await
    })
    .await?;
    scene.claim(format!(
        "with one of two targets down, the other is served: {said}"
    ));
    spec["targets"] = json!([up, down(9090)]);
    scene.mirror("pair", &spec).await?;
    scene
        .becomes("pair", "TargetsReachable", "True ", &[])
        .await?;
    scene.claim("and both are reachable when it is fixed");
    Ok(())
}
