//! Every way to install the operator: Helm 3, Helm 4, `kubectl apply`, kustomize. Each goes through
//! installation, a mirror, an upgrade from the previous commit, removal and a second installation,
//! and the mirror must not notice any of it.

mod definition;
mod helm;
mod manifests;
mod namespaces;
mod previous;
mod values;
mod witness;

use anyhow::{Result, ensure};
use futures::future::LocalBoxFuture;

use crate::helm_program::Helm;
use crate::operator_pods::{MANAGED, PODS, SYSTEM};
use crate::programs::{DEFINITION, run};
use crate::scene::Scene;
use crate::suite::{Suite, alone};
use crate::wait::eventually;

pub(crate) fn suite() -> Suite {
    // One installation at a time: there is one definition.
    let scenarios = alone![
        values:
            helm_lint_finds_nothing,
            bad_values_are_refused_and_nothing_is_made;
        helm:
            helm_3_installs_upgrades_rolls_back_and_removes,
            helm_4_installs_upgrades_rolls_back_and_removes;
        definition: a_definition_from_elsewhere_is_left_alone_or_adopted;
        namespaces:
            watched_namespaces_need_no_cluster_role,
            only_selected_namespaces_are_reconciled;
        manifests:
            kubectl_apply_installs_upgrades_and_goes_back,
            server_side_apply_installs_upgrades_and_goes_back,
            kustomize_patches_image_and_namespace;
    ];
    Suite {
        prepare,
        scenarios: scenarios.into(),
        describe: &[
            &["get", "pmirror,pods", "-A"],
            &["-n", SYSTEM, "describe", "pods"],
            &["-n", SYSTEM, "logs", "-l", PODS, "--tail=20"],
        ],
    }
}

/// The release, and the name of what it makes for the whole cluster.
const RELEASE: &str = cluster_client::OPERATOR;
/// Where the example for kustomize installs it.
const PATCHED: &str = "mirrors";
/// The selector of what an installation made.
const INSTALLED: &str = "app.kubernetes.io/instance=prometheus-mirror-operator";
/// What an installation needs until it is ready.
const WAIT: [&str; 3] = ["--wait", "--timeout", "180s"];

fn prepare(scene: &Scene) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async {
        scene.place().load_images().await?;
        scene.place().start_prometheus().await
    })
}

fn chart(scene: &Scene) -> String {
    scene.place().file("charts/prometheus-mirror-operator")
}

/// Installs the release from a chart.
async fn install(helm: &Helm<'_>, chart: &str, flags: &[&str]) -> Result<()> {
    helm.run(&[&["install", RELEASE, chart], flags].concat())
        .await?;
    Ok(())
}

/// Removes the release and waits until nothing of it is left.
async fn uninstall(helm: &Helm<'_>) -> Result<()> {
    helm.run(&[&["uninstall", RELEASE], &WAIT[..]].concat())
        .await?;
    // Helm 3 does not wait for pods that end.
    const ALL: &str = "all,serviceaccount,role,rolebinding,clusterrole,clusterrolebinding,pdb,\
                       netpol";
    eventually("nothing of the release is left", async || {
        let left = ["get", ALL, "-A", "-l", INSTALLED, "-o", "name"];
        let left = run("kubectl", &left).await?;
        ensure!(left.is_empty(), "left: {left}");
        Ok(())
    })
    .await
}

/// Removes everything that an installation has left, mirrors and definition included.
pub(crate) async fn start_over(scene: &Scene) -> Result<()> {
    let definition = ["get", DEFINITION, "--ignore-not-found", "-o", "name"];
    if !run("kubectl", &definition).await?.is_empty() {
        // Before their definition: the garbage collector takes minutes to find that an owner's kind
        // is gone.
        run("kubectl", &["delete", "pmirror", "--all", "-A", "--wait"]).await?;
    }
    eventually("no mirror has a pod", async || {
        let pods = ["get", "pods", "-A", "-l", MANAGED, "-o", "name"];
        let pods = run("kubectl", &pods).await?;
        ensure!(pods.is_empty(), "pods: {pods}");
        Ok(())
    })
    .await?;
    delete_roles().await?;
    for namespace in [SYSTEM, PATCHED] {
        scene.remove_namespace(namespace).await?;
    }
    let definition = ["delete", DEFINITION, "--ignore-not-found", "--wait"];
    run("kubectl", &definition).await?;
    Ok(())
}

/// Deletes the operator's rights: those of the whole cluster, and those that an installation for
/// some namespaces left there.
async fn delete_roles() -> Result<()> {
    const ROLES: &str = "clusterrole,clusterrolebinding,role,rolebinding";
    run("kubectl", &["delete", ROLES, "-A", "-l", INSTALLED]).await?;
    Ok(())
}

/// Fails if a request of the operator's was denied since the audit log ended there.
fn no_right_was_missing(scene: &Scene, since: usize) -> Result<()> {
    let mut denied = scene.common.audit.requests_since(since)?;
    ensure!(!denied.is_empty(), "the operator made no request");
    denied.retain(|request| request.denied);
    ensure!(denied.is_empty(), "the operator lacks rights: {denied:?}");
    Ok(())
}
