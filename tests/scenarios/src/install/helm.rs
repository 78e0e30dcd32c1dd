//! From the installation of a release to its end and its return.

use anyhow::{Result, ensure};

use super::previous::{Previous, definition_is_current, definition_is_older};
use super::witness::Witness;
use super::{RELEASE, WAIT, chart, install, no_right_was_missing, start_over, uninstall};
use crate::helm_program::Helm;
use crate::operator_pods::SYSTEM;
use crate::scene::Scene;

pub(super) async fn helm_3_installs_upgrades_rolls_back_and_removes(scene: &Scene) -> Result<()> {
    life(scene, 3).await
}

pub(super) async fn helm_4_installs_upgrades_rolls_back_and_removes(scene: &Scene) -> Result<()> {
    life(scene, 4).await
}

async fn life(scene: &Scene, version: u8) -> Result<()> {
    start_over(scene).await?;
    let previous = Previous::new(scene).await?;
    let system = scene.within(SYSTEM);
    let helm = Helm::new(&system, version).await?;
    let (by, audit, today) = (&helm.name, &scene.common.audit, chart(scene));
    let start = audit.end()?;
    scene.restricted_namespace(SYSTEM).await?;
    install(&helm, &previous.chart(), &WAIT).await?;
    definition_is_older().await?;
    scene.claim(format!(
        "{by}: helm install --wait, into a namespace that enforces Pod Security restricted"
    ));
    is_healthy(scene, &helm).await?;
    let mirror = Witness::create(scene, by).await?;

    let since = audit.end()?;
    let upgrade = ["upgrade", RELEASE, &today, "--set", "log.level=debug"];
    helm.run(&[&upgrade, &WAIT[..]].concat()).await?;
    definition_is_current().await?;
    scene.claim(format!("{by}: helm upgrade updates the definition"));
    let what = format!("{by}: upgrade of chart, definition and operator");
    mirror.is_untouched(&what, since).await?;

    let since = audit.end()?;
    helm.run(&[&["rollback", RELEASE, "1"], &WAIT[..]].concat())
        .await?;
    definition_is_older().await?;
    let what = format!("{by}: rollback of the same");
    mirror.is_untouched(&what, since).await?;

    // Later, rights may go before the operator has let go of its lease.
    no_right_was_missing(scene, start)?;
    uninstall(&helm).await?;
    definition_is_older().await?;
    mirror.serves_on(by).await?;
    scene.claim(format!(
        "{by}: helm uninstall removes the operator; definition, resource and mirror stay, and the \
         mirror answers"
    ));

    let since = audit.end()?;
    install(&helm, &today, &WAIT).await?;
    definition_is_current().await?;
    let what = format!("{by}: a second install adopts what is there");
    mirror.is_untouched(&what, since).await?;
    no_right_was_missing(scene, since)?;
    scene.claim(format!("{by}: no request of the operator was denied"));
    uninstall(&helm).await?;
    definition_is_current().await
}

async fn is_healthy(scene: &Scene, helm: &Helm<'_>) -> Result<()> {
    let by = &helm.name;
    let notes = helm.run(&["get", "notes", RELEASE]).await?;
    let next = "kubectl -n observability wait --for=condition=Ready";
    ensure!(notes.contains(next), "the notes do not say {next}: {notes}");
    helm.run(&["test", RELEASE, "--timeout", "180s"]).await?;
    scene.claim(format!(
        "{by}: helm test finds the operator healthy; the notes say what to do next"
    ));
    Ok(())
}
