//! What GitOps pipelines do: apply again and again, compare, and wait for health. Argo CD and Flux
//! do not run here; their definitions, the interpreter of their health checks and their library do.

mod drift;
mod examples;
mod health;
mod states;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::operator_pods::{self, DEPLOYMENT, PODS, SYSTEM, system};
use crate::programs::{established, run};
use crate::scene::Scene;
use crate::suite::{Suite, alone, together};

pub(crate) fn suite() -> Suite {
    let together = together![
        examples: the_api_server_accepts_the_examples;
        drift:
            a_second_server_side_apply_changes_nothing,
            a_second_client_side_apply_changes_nothing,
            objects_of_the_chart_show_no_difference,
            the_chart_hands_its_mirror_over_to_the_operator;
    ];
    // It stops the operators, which others need.
    let last = alone![states: argo_cd_and_flux_see_every_state;];
    Suite {
        prepare,
        scenarios: together.into_iter().chain(last).collect(),
        describe: &[
            &["get", "pmirror,pods", "-A"],
            &["-n", SYSTEM, "logs", "-l", PODS, "--tail=20"],
        ],
    }
}

fn prepare(scene: &Scene) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async {
        scene.place().load_images().await?;
        scene.place().start_prometheus().await?;
        let manifests = scene.place().file("dist/install.yaml");
        run("kubectl", &["apply", "--server-side", "-f", &manifests]).await?;
        established().await?;
        // A run before may have stopped them, and the images may be newer than those that run.
        system(&["rollout", "restart", DEPLOYMENT]).await?;
        operator_pods::scale(2).await
    })
}
