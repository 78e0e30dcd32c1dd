//! A definition that somebody else has installed.

use anyhow::{Result, ensure};

use super::previous::definition_is_current;
use super::{chart, install, start_over, uninstall};
use crate::helm_program::Helm;
use crate::operator_pods::SYSTEM;
use crate::programs::{DEFINITION, run};
use crate::scene::Scene;

/// Without operators, which take their time to end.
const IDLE: [&str; 4] = [
    "--set",
    "replicas=0",
    "--set",
    "podDisruptionBudget.enabled=false",
];

pub(super) async fn a_definition_from_elsewhere_is_left_alone_or_adopted(
    scene: &Scene,
) -> Result<()> {
    start_over(scene).await?;
    let definition = scene.place().file("dist/crds.yaml");
    let chart = chart(scene);
    let system = scene.within(SYSTEM);
    scene.restricted_namespace(SYSTEM).await?;
    let server_side = ["apply", "--server-side", "-f", &definition];
    run("kubectl", &server_side).await?;
    for version in [3, 4] {
        let helm = Helm::new(&system, version).await?;
        let mine = [&["install", super::RELEASE, &chart], &IDLE[..]].concat();
        helm.refuses("prometheusmirrors.prometheus-mirror.io", &mine)
            .await?;
        let without = [&IDLE[..], &["--set", "crds.install=false"]].concat();
        install(&helm, &chart, &without).await?;
        uninstall(&helm).await?;
        definition_is_current().await?;
        scene.claim(format!(
            "{}: a definition from elsewhere is left alone with crds.install=false",
            helm.name
        ));
    }
    let adopting = [&IDLE[..], &["--take-ownership"]].concat();
    for (version, apply) in [(3, &server_side[..]), (4, &["apply", "-f", &definition])] {
        run("kubectl", &["delete", DEFINITION, "--wait"]).await?;
        run("kubectl", apply).await?;
        let helm = Helm::new(&system, version).await?;
        install(&helm, &chart, &adopting).await?;
        ensure!(is_of_the_release().await?, "it was not adopted");
        uninstall(&helm).await?;
        definition_is_current().await?;
        scene.claim(format!(
            "{}: --take-ownership adopts it, and uninstall keeps it",
            helm.name
        ));
    }
    Ok(())
}

/// Whether the definition says that it belongs to the release.
async fn is_of_the_release() -> Result<bool> {
    const NAME: &str = r"jsonpath={.metadata.annotations.meta\.helm\.sh/release-name}";
    let release = run("kubectl", &["get", DEFINITION, "-o", NAME]).await?;
    Ok(release == super::RELEASE)
}
