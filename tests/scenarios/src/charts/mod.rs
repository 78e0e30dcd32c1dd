//! What the charts render, as a real API server keeps it, and releases that get in each other's
//! way. Nothing runs in the pods here.

mod kept;
mod releases;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::programs::{established, run};
use crate::scene::Scene;
use crate::suite::{Suite, alone};
use crate::wait::eventually;

pub(crate) fn suite() -> Suite {
    // The operator's chart makes objects of the whole cluster.
    let scenarios = alone![
        kept:
            objects_of_the_operators_chart_are_kept_as_rendered,
            objects_of_the_mirrors_chart_are_kept_as_rendered,
            kustomize_renders_both_charts;
        releases:
            two_releases_of_one_name_leave_each_other_alone,
            releases_with_the_longest_name_are_installed,
            helm_runs_a_test_that_is_not_in_the_template;
    ];
    Suite {
        prepare,
        scenarios: scenarios.into(),
        describe: &[&["get", "pmirror,deploy", "-A"]],
    }
}

/// The charts, by their names.
const OPERATOR: &str = "prometheus-mirror-operator";
const MIRROR: &str = "prometheusmirror";
/// What the mirror's chart cannot do without.
const NEEDED: [&str; 4] = [
    "--set",
    "apiKeySecretRef.name=mirror-key",
    "--set",
    "targets[0].name=cluster,targets[0].url=http://prometheus:9090",
];

fn prepare(scene: &Scene) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async {
        let place = scene.place();
        let definitions = run(&place.file("tests/cluster/definitions/files"), &[]).await?;
        let own = place.file("crds/prometheusmirrors.yaml");
        for file in definitions.lines().chain([own.as_str()]) {
            let apply = ["apply", "--server-side", "--force-conflicts", "-f", file];
            run("kubectl", &apply).await?;
        }
        let wait = ["wait", "--for=condition=Established", "crd", "--all"];
        eventually("all definitions are established", async || {
            run("kubectl", &wait).await.map(drop)
        })
        .await?;
        established().await
    })
}
