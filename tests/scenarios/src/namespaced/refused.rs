//! What resources may not do, and flags that cannot work.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::limited::{Operator, refuses_to_start};
use super::team;
use crate::scene::Scene;

const VALUES: [&str; 2] = ["--set-json", r#"denyFields=["podTemplate","ingress"]"#];
const FLAGS: [&str; 2] = ["--deny-fields", "podTemplate,ingress"];

fn target(target: &Value) -> Value {
    json!({ "targets": [target] })
}

fn service(port: u16) -> Value {
    let service = json!({"name": "payroll", "namespace": "finance", "port": port});
    // A merge leaves what is not named: the URL goes.
    target(&json!({"name": "cluster", "service": service}))
}

/// What the resource says of being stalled, whatever the reason.
async fn message(team: &Scene) -> Result<String> {
    let resource = team.object("PrometheusMirror", "shop").await?;
    let stalled = cluster_client::condition(&resource, "Stalled");
    Ok(stalled.context("it is not stalled")?.message)
}

pub(super) async fn objects_of_other_namespaces_are_hidden_until_opened(
    scene: &Scene,
) -> Result<()> {
    let finance = scene.within("finance");
    finance.open().await?;
    let payroll = [
        "create",
        "service",
        "clusterip",
        "payroll",
        "--tcp=5432:5432",
    ];
    finance.kubectl(&payroll).await?;
    let team = team(scene, "team-c").await?;
    let operator = Operator::start(scene, &VALUES, &FLAGS).await?;
    team.ready("shop").await?;
    team.change("shop", &service(1)).await?;
    let closed = team
        .becomes("shop", "Stalled", "True ServiceMissing", &[])
        .await?;
    ensure!(
        !closed.contains("5432"),
        "another namespace's ports are shown: {closed}"
    );
    finance.delete("Service", "payroll").await?;
    team.kubectl(&["annotate", "pmirror", "shop", "look=again"])
        .await?;
    // Nothing changes that could be waited for.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let absent = message(&team).await?;
    ensure!(
        absent == closed,
        "an absent Service and a closed one differ: {absent}"
    );
    scene.claim(format!(
        "a closed Service of another namespace looks like none: {closed}"
    ));
    finance.kubectl(&payroll).await?;
    let open = "prometheus-mirror.io/allow-from=team-a,team-c";
    finance
        .kubectl(&["annotate", "service", "payroll", open])
        .await?;
    let words = ["has no port 1 (hint: its ports: 5432-5432 (5432))"];
    let said = team.becomes("shop", "Stalled", "True ", &words).await?;
    scene.claim(format!(
        "one that its owner has opened is described: {said}"
    ));
    team.change("shop", &service(5432)).await?;
    team.ready("shop").await?;
    scene.claim("and can be read");
    operator.stop().await?;
    Ok(())
}

pub(super) async fn denied_fields_and_large_templates_are_refused(scene: &Scene) -> Result<()> {
    let team = team(scene, "team-c").await?;
    let operator = Operator::start(scene, &VALUES, &FLAGS).await?;
    team.ready("shop").await?;
    let pods = team.pods("shop").await?;
    let denied = json!({"podTemplate": {}, "ingress": {"host": "shop.example.com"}});
    team.change("shop", &denied).await?;
    let said = team
        .becomes("shop", "Stalled", "True FieldDenied", &[])
        .await?;
    ensure!(team.pods("shop").await? == pods, "the pods changed");
    ensure!(
        team.names("ingress", "app!=none").await?.is_empty(),
        "there is an Ingress"
    );
    scene.claim(format!(
        "denied fields are refused, and what runs stays: {said}"
    ));
    team.change("shop", &json!({"podTemplate": null, "ingress": null}))
        .await?;
    team.ready("shop").await?;
    let annotations = json!({"big": "x".repeat(80_000)});
    let template = json!({"metadata": {"annotations": annotations}});
    team.change("shop", &json!({ "podTemplate": template }))
        .await?;
    let said = team
        .becomes("shop", "Stalled", "True TooLarge", &[])
        .await?;
    scene.claim(format!("so is a large pod template: {said}"));
    team.change("shop", &json!({"podTemplate": null})).await?;
    team.ready("shop").await?;
    operator.stop().await?;
    scene.claim("no request was denied, with the rights that denyFields leaves");
    Ok(())
}

pub(super) async fn a_pod_that_is_only_labelled_is_left_alone(scene: &Scene) -> Result<()> {
    let team = team(scene, "team-c").await?;
    let operator = Operator::start(scene, &VALUES, &FLAGS).await?;
    team.ready("shop").await?;
    let labels = json!({
        "app.kubernetes.io/name": "prometheus-mirror", "app.kubernetes.io/instance": "shop",
        "app.kubernetes.io/managed-by": "prometheus-mirror-operator",
    });
    let context = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "labelled", "labels": labels},
        "spec": {"containers": [{"name": "x", "image": "x", "securityContext": context}]},
    });
    team.kubectl_with(&["create", "-f", "-"], &pod).await?;
    // The operator hears of it, and of what it does next.
    team.change("shop", &json!({"workers": 7})).await?;
    team.ready("shop").await?;
    let pod = team.object("Pod", "labelled").await?;
    let notified = &pod["metadata"]["annotations"]["prometheus-mirror.io/configuration"];
    ensure!(
        notified.is_null(),
        "a pod that is only labelled was notified: {notified}"
    );
    scene.claim("a pod with a mirror's labels and no controller of its own is left alone");
    operator.stop().await?;
    Ok(())
}

pub(super) async fn flags_that_cannot_work_are_refused(scene: &Scene) -> Result<()> {
    let both = ["--watch-namespaces", "a", "--namespace-selector", "b=c"];
    let (said, code) = refuses_to_start(scene, &both).await?;
    ensure!(
        said.contains("cannot be used with") && code == 2,
        "exit code {code}: {said}"
    );
    scene.claim("--watch-namespaces and --namespace-selector together are refused");
    let (said, code) = refuses_to_start(scene, &["--namespace-selector", "a in b"]).await?;
    let named = said.contains("--namespace-selector a in b is no label selector");
    ensure!(named && code == 1, "exit code {code}: {said}");
    scene.claim("a selector that is none is refused");
    Ok(())
}
