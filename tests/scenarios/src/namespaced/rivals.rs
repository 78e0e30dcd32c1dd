//! Two operators that look at the same namespaces, as two releases do.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::limited::Operator;
use super::team;
use crate::operator_pods::SYSTEM;
use crate::scene::Scene;
use crate::wait::eventually;

/// A release of another name, with the first one's ServiceAccount.
const RIVAL: [&str; 2] = [
    "--set=fullnameOverride=rival",
    "--set=serviceAccount.name=prometheus-mirror-operator",
];
const FLAGS: [&str; 6] = [
    "--lease",
    "rival",
    "--image",
    "prometheus-mirror:rival",
    "--admin-listen",
    "127.0.0.1:8081",
];
/// Long enough for a hundred writes, if they undid each other's work.
const QUIET: Duration = Duration::from_secs(40);

async fn image(team: &Scene) -> Result<Value> {
    let deployment = team.object("Deployment", "shop-mirror").await?;
    Ok(deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone())
}

async fn looks_after(team: &Scene, operator: &str) -> Result<()> {
    eventually(format!("{operator} looks after it"), async || {
        let resource = team.object("PrometheusMirror", "shop").await?;
        let named = &resource["status"]["operator"];
        ensure!(named == operator, "status.operator is {named}");
        Ok(())
    })
    .await
}

pub(super) async fn of_two_operators_the_second_stands_back(scene: &Scene) -> Result<()> {
    let name = |lease: &str| format!("{SYSTEM}/{lease}");
    let first_name = name("prometheus-mirror-operator");
    let team = team(scene, "team-c").await?;
    let mut first = Operator::start(scene, &[], &[]).await?;
    team.ready("shop").await?;
    looks_after(&team, &first_name).await?;
    let ours = image(&team).await?;
    let before = team.object("Deployment", "shop-mirror").await?;

    first.grant(&RIVAL).await?;
    let second = first.beside(&FLAGS).await?;
    let said = team.event("AnotherOperator").await?;
    scene.claim(format!("an event says so: {said}"));
    looks_after(&team, &first_name).await?;
    // The first one waits for an answer, too.
    team.writes_end(QUIET).await?;
    scene.claim(format!("nothing was written in {QUIET:?}"));
    let deployment = team.object("Deployment", "shop-mirror").await?;
    let generation = |of: &Value| of["metadata"]["generation"].clone();
    ensure!(
        generation(&deployment) == generation(&before),
        "the Deployment was changed in between"
    );
    team.change("shop", &json!({"replicas": 3})).await?;
    team.becomes("shop", "Ready", "True Serving", &["3 of 3"])
        .await?;
    ensure!(image(&team).await? == ours, "the second one's image");
    scene.claim("the first one goes on, with its image, as if it were alone");

    second.stop().await?;
    // What Helm would take with the first release belongs to both here.
    let second = first.succeeded_by(&FLAGS).await?;
    looks_after(&team, &name("rival")).await?;
    eventually("the second one's image is rolled out", async || {
        let image = image(&team).await?;
        ensure!(image == "prometheus-mirror:rival", "{image}");
        Ok(())
    })
    .await?;
    team.ready("shop").await?;
    scene.claim("one that is started after the first has ended takes over");
    second.stop().await?;
    Ok(())
}
