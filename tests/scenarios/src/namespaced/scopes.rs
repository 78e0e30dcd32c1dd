//! Which namespaces an operator looks at.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::limited::Operator;
use super::team;
use crate::operator_pods::SYSTEM;
use crate::programs::run;
use crate::scene::Scene;
use crate::wait::eventually;

/// Fails if an operator made something here.
async fn is_untouched(team: &Scene) -> Result<()> {
    let children = team
        .kubectl(&["get", "deployments,services", "-o", "name"])
        .await?;
    ensure!(
        children.is_empty(),
        "children in {}: {children}",
        team.namespace
    );
    Ok(())
}

async fn label(namespace: &str, label: &str) -> Result<()> {
    run(
        "kubectl",
        &["label", "--overwrite", "namespace", namespace, label],
    )
    .await?;
    Ok(())
}

pub(super) async fn only_watched_namespaces_are_read(scene: &Scene) -> Result<()> {
    let watched = [team(scene, "team-a").await?, team(scene, "team-b").await?];
    let other = team(scene, "team-c").await?;
    let values = ["--set-json", r#"watchNamespaces=["team-a","team-b"]"#];
    let flags = ["--watch-namespaces", "team-a,team-b"];
    let operator = Operator::start(scene, &values, &flags).await?;
    for team in &watched {
        team.ready("shop").await?;
    }
    scene.claim("resources in the watched namespaces become Ready with Roles in these only");
    is_untouched(&other).await?;
    scene.claim("and another namespace's is left alone");
    let allowed = ["team-a", "team-b", SYSTEM];
    let mut elsewhere = operator.requests()?;
    elsewhere.retain(|request| !allowed.contains(&request.namespace.as_str()));
    ensure!(elsewhere.is_empty(), "asked elsewhere: {elsewhere:?}");
    let requests = operator.stop().await?;
    scene.claim(format!(
        "of {requests} requests none was for the whole cluster or another namespace, or denied"
    ));
    Ok(())
}

pub(super) async fn only_namespaces_with_the_label_are_reconciled(scene: &Scene) -> Result<()> {
    let team = team(scene, "team-c").await?;
    let witness = super::team(scene, "team-a").await?;
    label("team-c", "mirrors=off").await?;
    label("team-a", "mirrors=on").await?;
    let values = ["--set-string", "namespaceSelector=mirrors=on"];
    let flags = ["--namespace-selector", "mirrors=on"];
    let operator = Operator::start(scene, &values, &flags).await?;
    // It leads and knows what there is.
    witness.ready("shop").await?;
    is_untouched(&team).await?;
    scene.claim("a namespace whose labels do not match is left alone");
    label("team-c", "mirrors=on").await?;
    team.ready("shop").await?;
    scene.claim("a namespace whose labels match now is not: its resource becomes Ready");
    label("team-c", "mirrors=off").await?;
    // Until it has heard of the label.
    tokio::time::sleep(Duration::from_secs(2)).await;
    team.delete("Service", "shop").await?;
    witness.delete("Service", "shop").await?;
    witness.appears("Service", "shop").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let service = team.exists("Service", "shop").await?;
    ensure!(
        !service,
        "a child came back in a namespace that does not match any more"
    );
    let deployment = team.exists("Deployment", "shop-mirror").await?;
    ensure!(deployment, "the children went with the label");
    scene.claim("a namespace whose labels match no more is left alone, and keeps its children");
    label("team-c", "mirrors=on").await?;
    eventually("the child is back", async || {
        team.object("Service", "shop").await
    })
    .await?;
    scene.claim("and is restored when they match again");
    operator.stop().await?;
    scene.claim("no request was denied");
    Ok(())
}
