//! Which pods get a sidecar, and what else of them changes: nothing.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    ANNOTATION, POLICY, SIDECAR, admitted, covers, has_only, injected, install_policy, item,
    labelled, names, pod, rendered, resource, set_status, unrestricted,
};
use crate::programs::run;
use crate::scene::Scene;
use crate::wait::eventually;

pub(super) async fn a_labelled_pod_gets_the_sidecar_and_nothing_else_changes(
    scene: &Scene,
) -> Result<()> {
    let sidecar = rendered(scene, "shop", &json!({})).await?;
    let mut made = injected(scene, &labelled("shop", &json!({})), &sidecar).await?;
    let spec = &made["spec"];
    has_only(&spec["initContainers"], &sidecar)?;
    covers(&spec["volumes"], &sidecar["volumes"], "volumes")?;
    scene.claim("a labelled pod of a restricted namespace gets container, volume and annotation");
    let again = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "again", "labels": made["metadata"]["labels"],
            "annotations": made["metadata"]["annotations"],
        },
        "spec": spec,
    });
    ensure!(
        admitted(scene, &again).await?["spec"] == *spec,
        "it was changed again"
    );
    scene.claim("a pod that has it is not changed again");
    let mut plain = admitted(scene, &pod(&json!({}))).await?;
    let spec = made["spec"].as_object_mut().context("no spec")?;
    spec.remove("initContainers");
    spec.remove("volumes");
    ensure!(
        made["spec"] == plain["spec"].take(),
        "something else differs: {made}"
    );
    scene.claim("and nothing else of its spec differs from the same pod without the label");
    Ok(())
}

pub(super) async fn what_a_pod_has_stays_in_its_order(scene: &Scene) -> Result<()> {
    let registries = json!({"imagePullSecrets": [{"name": "ours"}, {"name": "theirs"}]});
    let sidecar = rendered(scene, "shop", &registries).await?;
    let restricted = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let container =
        |name: &str| json!({"name": name, "image": "other", "securityContext": restricted});
    let mut native = container("proxy");
    native["restartPolicy"] = json!("Always");
    let mut full = labelled(
        "shop",
        &json!({
            "initContainers": [container("first"), native],
            "imagePullSecrets": [{"name": "theirs"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
        }),
    );
    full["metadata"]["annotations"] = json!({"a": "b", ANNOTATION: "copied from elsewhere"});
    let made = injected(scene, &full, &sidecar).await?;
    let spec = &made["spec"];
    ensure!(names(&spec["initContainers"]) == ["first", "proxy", SIDECAR]);
    ensure!(names(&spec["volumes"]) == ["data", "prometheus-mirror-configuration"]);
    ensure!(names(&spec["imagePullSecrets"]) == ["theirs", "ours"]);
    ensure!(made["metadata"]["annotations"]["a"] == "b");
    scene.claim("the sidecar is the last init container; what the pod had stays before it");
    let made = injected(scene, &labelled("shop", &json!({})), &sidecar).await?;
    ensure!(names(&made["spec"]["imagePullSecrets"]) == ["ours", "theirs"]);
    scene.claim("a pod without pull secrets gets those of the resource");
    Ok(())
}

/// As an older chart runs it. The kubelet would not start a container that must not be root in a
/// pod that is, and nothing after it.
pub(super) async fn a_pod_that_runs_as_root_starts_too(scene: &Scene) -> Result<()> {
    unrestricted(scene).await?;
    let sidecar = rendered(scene, "shop", &json!({})).await?;
    let root = labelled("shop", &json!({"securityContext": {"runAsUser": 0}}));
    let made = injected(scene, &root, &sidecar).await?;
    ensure!(made["spec"]["securityContext"]["runAsUser"] == 0);
    ensure!(made["spec"]["initContainers"][0]["securityContext"]["runAsUser"] == 65532);
    scene.claim("in a pod that runs as root the sidecar has a user of its own");
    let other = labelled("shop", &json!({"securityContext": {"runAsUser": 1000}}));
    let made = injected(scene, &other, &sidecar).await?;
    let user = &made["spec"]["initContainers"][0]["securityContext"]["runAsUser"];
    ensure!(user.is_null(), "user {user}");
    scene.claim("in any other it runs as the pod's");
    Ok(())
}

/// The API server refuses a pod whose containers ask for more than the pod has.
pub(super) async fn a_pod_with_resources_of_its_own_starts_too(scene: &Scene) -> Result<()> {
    let more = json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}});
    let sidecar = rendered(scene, "shop", &more).await?;
    let small = json!({"cpu": "10m", "memory": "32Mi"});
    for resources in [
        json!({"requests": small}),
        json!({"limits": small}),
        json!({"requests": small, "limits": {"cpu": "100m", "memory": "64Mi"}}),
    ] {
        let pod = labelled("shop", &json!({ "resources": resources }));
        let made = injected(scene, &pod, &sidecar).await?;
        ensure!(names(&made["spec"]["initContainers"]) == [SIDECAR]);
        let own = &made["spec"]["initContainers"][0]["resources"];
        ensure!(*own == json!({}), "the sidecar has its own: {own}");
    }
    scene.claim("in a pod that has resources for all containers, the sidecar shares them");
    let plain = injected(scene, &labelled("shop", &json!({})), &sidecar).await?;
    covers(
        &plain["spec"]["initContainers"][0]["resources"],
        &more["resources"],
        "resources",
    )?;
    scene.claim("in any other it has what its resource says");
    Ok(())
}

pub(super) async fn pods_that_do_not_fit_are_left_alone(scene: &Scene) -> Result<()> {
    let sidecar = rendered(scene, "shop", &json!({})).await?;
    injected(scene, &labelled("shop", &json!({})), &sidecar).await?;
    let own = json!({"mode": "Deployment"});
    rendered(scene, "own", &json!({})).await?;
    scene.change("own", &own).await?;
    scene
        .kubectl_with(&["apply", "-f", "-"], &resource("new", &json!({})))
        .await?;
    let elsewhere = scene.within(&format!("{}-elsewhere", scene.namespace));
    elsewhere.open().await?;
    let foreign_sidecar = rendered(&elsewhere, "foreign", &json!({})).await?;
    let container = |name: &str, port: u16| {
        let mut container = pod(&json!({}))["spec"]["containers"][0].clone();
        container["name"] = json!(name);
        container["ports"] = json!([{"containerPort": port}]);
        container
    };
    let named = json!({"containers": [container(SIDECAR, 9090)]});
    let first = json!({"initContainers": [container(SIDECAR, 9090)]});
    let volume = json!([{"name": "prometheus-mirror-configuration", "emptyDir": {}}]);
    let on_port = |port| json!({"containers": [container("other", port)]});
    let cases = [
        ("no label", pod(&json!({}))),
        ("a label without a resource", labelled("nobody", &json!({}))),
        (
            "a resource of another namespace",
            labelled("foreign", &json!({})),
        ),
        ("a resource of mode Deployment", labelled("own", &json!({}))),
        (
            "a resource that is not rendered yet",
            labelled("new", &json!({})),
        ),
        ("a container of that name", labelled("shop", &named)),
        ("an init container of that name", labelled("shop", &first)),
        (
            "a volume of that name",
            labelled("shop", &json!({ "volumes": volume })),
        ),
        (
            "another container on the API port",
            labelled("shop", &on_port(9900)),
        ),
        (
            "another container on the admin port",
            labelled("shop", &on_port(9901)),
        ),
    ];
    let mut first = container("first", 9900);
    first["ports"][0]["protocol"] = json!("TCP");
    let mut over_udp = container("other", 9901);
    over_udp["ports"][0]["protocol"] = json!("UDP");
    let no_collision = json!({"initContainers": [first], "containers": [over_udp]});
    injected(scene, &labelled("shop", &no_collision), &sidecar).await?;
    scene.claim("ports over UDP and of init containers that end are no obstacle");
    for (what, pod) in &cases {
        let made = admitted(scene, pod)
            .await
            .with_context(|| (*what).to_owned())?;
        is_unchanged(&made, pod).with_context(|| (*what).to_owned())?;
        scene.claim(format!("left alone: {what}"));
    }
    let foreign = labelled("foreign", &json!({}));
    injected(&elsewhere, &foreign, &foreign_sidecar).await?;
    scene.delete("PrometheusMirror", "shop").await?;
    eventually("a deleted resource injects nothing", async || {
        let pod = labelled("shop", &json!({}));
        is_unchanged(&admitted(scene, &pod).await?, &pod)
    })
    .await?;
    scene.claim("left alone: a resource that was deleted");
    elsewhere.close().await
}

/// Nothing was added to a pod.
fn is_unchanged(made: &Value, pod: &Value) -> Result<()> {
    let annotation = &made["metadata"]["annotations"][ANNOTATION];
    ensure!(annotation.is_null(), "it has the annotation");
    for list in ["containers", "initContainers", "volumes"] {
        let (made, asked) = (&made["spec"][list], &pod["spec"][list]);
        ensure!(names(made) == names(asked), "{list}: {made}");
    }
    Ok(())
}

/// Whatever is in the status, a Prometheus starts.
pub(super) async fn a_status_that_makes_no_sense_stops_no_pod(scene: &Scene) -> Result<()> {
    let sidecar = rendered(scene, "shop", &json!({})).await?;
    let pod = labelled("shop", &json!({}));
    injected(scene, &pod, &sidecar).await?;
    let broken = json!({"hash": "h", "container": {"ports": null}, "volumes": []});
    set_status(scene, "shop", &broken).await?;
    eventually("the policy fails, and the pod is made", async || {
        is_unchanged(&admitted(scene, &pod).await?, &pod)
    })
    .await?;
    scene.claim("a pod is made although the policy fails");
    Ok(())
}

pub(super) async fn without_the_policy_pods_start_as_they_are(scene: &Scene) -> Result<()> {
    let sidecar = rendered(scene, "shop", &json!({})).await?;
    let pod = labelled("shop", &json!({}));
    let made = injected(scene, &pod, &sidecar).await?;
    item(&made["spec"]["initContainers"], SIDECAR)?;
    for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
        run("kubectl", &["delete", kind, POLICY]).await?;
    }
    eventually("nothing is injected", async || {
        is_unchanged(&admitted(scene, &pod).await?, &pod)
    })
    .await?;
    scene.claim("without the policy a labelled pod is made as it is");
    install_policy(scene).await?;
    injected(scene, &pod, &sidecar).await?;
    scene.claim("and gets its sidecar when the policy is there again");
    Ok(())
}
