//! An operator for some namespaces.

use anyhow::{Result, ensure};

use super::previous::definition_is_current;
use super::witness::{Witness, create_mirror, was_not_looked_at};
use super::{
    INSTALLED, RELEASE, WAIT, chart, install, no_right_was_missing, start_over, uninstall,
};
use crate::helm_program::Helm;
use crate::operator_pods::SYSTEM;
use crate::programs::{established, run};
use crate::scene::Scene;

/// A namespace with a mirror and without its Secret, beside the scenario's.
async fn other(scene: &Scene) -> Result<Scene> {
    let other = scene.within("other");
    scene.remove_namespace(&other.namespace).await?;
    scene.restricted_namespace(&other.namespace).await?;
    create_mirror(&other).await?;
    Ok(other)
}

pub(super) async fn watched_namespaces_need_no_cluster_role(scene: &Scene) -> Result<()> {
    start_over(scene).await?;
    // An operator without cluster roles can't install it.
    let definition = scene.place().file("dist/crds.yaml");
    run("kubectl", &["apply", "--server-side", "-f", &definition]).await?;
    established().await?;
    let start = scene.common.audit.end()?;
    scene.restricted_namespace(SYSTEM).await?;
    let other = other(scene).await?;
    let system = scene.within(SYSTEM);
    let (helm, chart) = (Helm::new(&system, 4).await?, chart(scene));
    let watched = format!("watchNamespaces={{{}}}", scene.namespace);
    let values = ["--set", &watched, "--set", "crds.install=false"];

    let template = [&["template", RELEASE, &chart], &values[..]].concat();
    let rendered = helm.run(&template).await?;
    let of_the_cluster = rendered.lines().find(|line| {
        line.starts_with("kind: Cluster") || line.starts_with("kind: CustomResourceDefinition")
    });
    ensure!(of_the_cluster.is_none(), "rendered: {of_the_cluster:?}");
    install(&helm, &chart, &[&values[..], &WAIT].concat()).await?;
    let roles = "clusterrole,clusterrolebinding";
    let roles = run("kubectl", &["get", roles, "-l", INSTALLED, "-o", "name"]).await?;
    ensure!(roles.is_empty(), "there are {roles}");
    scene.claim("watchNamespaces: no ClusterRole is rendered, and none is there");

    Witness::create(scene, "watchNamespaces").await?;
    was_not_looked_at(&other).await?;
    no_right_was_missing(scene, start)?;
    scene.claim(
        "watchNamespaces: the operator works with Roles only, was denied nothing, and leaves other \
         namespaces alone",
    );
    uninstall(&helm).await?;
    other.close().await
}

pub(super) async fn only_selected_namespaces_are_reconciled(scene: &Scene) -> Result<()> {
    const LABEL: &str = "mirrors=yes";
    start_over(scene).await?;
    scene.restricted_namespace(SYSTEM).await?;
    let system = scene.within(SYSTEM);
    let (helm, chart) = (Helm::new(&system, 4).await?, chart(scene));
    install(&helm, &chart, &WAIT).await?;
    definition_is_current().await?;
    let mirror = Witness::create(scene, "every namespace").await?;
    uninstall(&helm).await?;

    let start = scene.common.audit.end()?;
    let other = other(scene).await?;
    let select = async |namespace: &str| -> Result<()> {
        run("kubectl", &["label", "namespace", namespace, LABEL]).await?;
        Ok(())
    };
    select(&scene.namespace).await?;
    let values = ["--set", "namespaceSelector=mirrors=yes"];
    install(&helm, &chart, &[&values[..], &WAIT].concat()).await?;
    mirror.is_untouched("namespaceSelector", start).await?;
    was_not_looked_at(&other).await?;
    select(&other.namespace).await?;
    other
        .becomes("shop", "Stalled", "True SecretMissing", &[])
        .await?;
    no_right_was_missing(scene, start)?;
    scene.claim(
        "namespaceSelector: only namespaces with the label are looked at, from the moment they \
         have it; nothing was denied",
    );
    uninstall(&helm).await?;
    other.close().await
}
