//! The definition itself, as `kubectl apply` sees it.

use anyhow::{Result, ensure};

use super::file;
use crate::programs::{DEFINITION, established, run};
use crate::scene::Scene;

pub(super) async fn kubectl_applies_the_definition_both_ways(scene: &Scene) -> Result<()> {
    let file = file(scene);
    let version = "jsonpath={.metadata.resourceVersion}";
    for how in [&["apply"][..], &["apply", "--server-side"]] {
        run("kubectl", &["delete", "-f", &file, "--wait=true"]).await?;
        let apply = [how, &["-f", &file]].concat();
        run("kubectl", &apply).await?;
        established().await?;
        let before = run("kubectl", &["get", DEFINITION, "-o", version]).await?;
        run("kubectl", &apply).await?;
        let after = run("kubectl", &["get", DEFINITION, "-o", version]).await?;
        ensure!(
            after == before,
            "a second time changes the definition: {}",
            apply.join(" ")
        );
    }
    let conditions = "jsonpath={range .status.conditions[*]}{.type}={.status} {end}";
    let conditions = run("kubectl", &["get", DEFINITION, "-o", conditions]).await?;
    let expected = "NamesAccepted=True Established=True ";
    ensure!(
        conditions == expected,
        "the API server objects to the schema: {conditions}"
    );
    scene.claim(
        "kubectl apply takes the definition, client-side and server-side, and twice is once",
    );
    Ok(())
}
