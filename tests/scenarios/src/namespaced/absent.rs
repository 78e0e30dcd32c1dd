//! Namespaces that are to be watched, but are not there.

use anyhow::{Result, ensure};
use serde_json::json;

use super::limited::Operator;
use super::team;
use crate::scene::Scene;
use crate::wait::eventually;

const FLAGS: [&str; 2] = ["--watch-namespaces", "team-a,team-b"];
const RIGHTS_IN_A: [&str; 2] = ["--set", "watchNamespaces={team-a}"];
const RIGHTS_IN_BOTH: [&str; 2] = ["--set", "watchNamespaces={team-a,team-b}"];

/// The operator's metrics say this of both namespaces.
async fn readable(operator: &Operator<'_>, a: u8, b: u8) -> Result<()> {
    eventually(format!("team-a: {a}, team-b: {b}"), async || {
        let page = operator.metrics().await?;
        let found: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("prometheus_mirror_operator_namespace_readable{"))
            .collect();
        for (namespace, value) in [("team-a", a), ("team-b", b)] {
            let wanted = format!("{{watched_namespace=\"{namespace}\"}} {value}");
            ensure!(
                found.iter().any(|line| line.ends_with(&wanted)),
                "{found:?}"
            );
        }
        Ok(())
    })
    .await
}

/// A change of the resource is applied.
async fn follows(team: &Scene, workers: u8) -> Result<()> {
    team.change("shop", &json!({ "workers": workers })).await?;
    team.ready("shop").await?;
    let document = team.document("shop").await?;
    ensure!(
        document.contains(&format!("workers: {workers}")),
        "{document}"
    );
    Ok(())
}

pub(super) async fn a_missing_namespace_holds_up_no_other(scene: &Scene) -> Result<()> {
    scene.remove_namespace("team-b").await?;
    let here = team(scene, "team-a").await?;
    let mut operator = Operator::start(scene, &RIGHTS_IN_A, &FLAGS).await?;
    here.ready("shop").await?;
    readable(&operator, 1, 0).await?;
    let log = operator.log()?;
    let named = log
        .lines()
        .any(|line| line.contains("cannot read a watched namespace") && line.contains("team-b"));
    ensure!(named, "the log does not name team-b: {log}");
    scene.claim("absent at start: the other is reconciled, metric and log name the missing one");

    let there = team(scene, "team-b").await?;
    follows(&here, 2).await?;
    readable(&operator, 1, 0).await?;
    operator.grant(&RIGHTS_IN_BOTH).await?;
    there.ready("shop").await?;
    readable(&operator, 1, 1).await?;
    scene.claim("without the RoleBinding nothing changes; with it, the resource becomes Ready");

    scene.remove_namespace("team-b").await?;
    readable(&operator, 1, 0).await?;
    follows(&here, 3).await?;
    scene.claim("deleted: the other goes on, and the metric says so");

    let there = team(scene, "team-b").await?;
    operator.grant(&RIGHTS_IN_BOTH).await?;
    there.ready("shop").await?;
    follows(&there, 4).await?;
    readable(&operator, 1, 1).await?;
    scene.claim("back: taken up again, without a restart");
    operator.stop_although_denied(&["team-b"]).await?;
    scene.claim("no request in another namespace was denied");
    Ok(())
}
