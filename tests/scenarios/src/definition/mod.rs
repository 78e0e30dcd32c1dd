//! The PrometheusMirror definition on a real API server.

mod applied;
mod documents;
mod resource;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::programs::{established, run};
use crate::scene::Scene;
use crate::suite::{Suite, alone, together};

pub(crate) fn suite() -> Suite {
    let scenarios = together![
        resource: a_fresh_resource_is_not_taken_for_a_finished_one,
            kubectl_shows_and_scales_a_resource,
            kubectl_explain_says_what_is_written_down;
        documents:
            valid_documents_are_accepted_and_stay_as_they_are,
            invalid_documents_are_refused_in_the_expected_words;
    ];
    let applied = alone![applied: kubectl_applies_the_definition_both_ways;];
    Suite {
        prepare,
        scenarios: applied.into_iter().chain(scenarios).collect(),
        describe: &[],
    }
}

fn file(scene: &Scene) -> String {
    scene.place().file("crds/prometheusmirrors.yaml")
}

fn prepare(scene: &Scene) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async {
        run(
            "kubectl",
            &[
                "apply",
                "--server-side",
                "--force-conflicts",
                "-f",
                &file(scene),
            ],
        )
        .await?;
        established().await
    })
}
