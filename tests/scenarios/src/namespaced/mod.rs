//! The operator with rights in some namespaces only, and with namespaces chosen by their labels,
//! with the rights that the chart gives for each; then what resources may not do. The operator is a
//! process here, and its pods are fake.

mod absent;
mod limited;
mod limits;
mod refused;
mod rivals;
mod scopes;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::operator_pods::SYSTEM;
use crate::programs::{established, run};
use crate::scene::Scene;
use crate::suite::{Suite, alone};

pub(crate) fn suite() -> Suite {
    // One operator at a time: they share a lease.
    let scenarios = alone![
        scopes:
            only_watched_namespaces_are_read,
            only_namespaces_with_the_label_are_reconciled;
        absent: a_missing_namespace_holds_up_no_other;
        rivals: of_two_operators_the_second_stands_back;
        refused:
            objects_of_other_namespaces_are_hidden_until_opened,
            denied_fields_and_large_templates_are_refused,
            a_pod_that_is_only_labelled_is_left_alone,
            flags_that_cannot_work_are_refused;
        limits: eighty_large_resources_fit_into_the_memory_of_a_pod;
    ];
    Suite {
        prepare,
        scenarios: scenarios.into(),
        describe: &[&["get", "pmirror,pods", "-A"]],
    }
}

fn prepare(scene: &Scene) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async {
        let definition = scene.place().file("dist/crds.yaml");
        run("kubectl", &["apply", "--server-side", "-f", &definition]).await?;
        established().await?;
        scene.restricted_namespace(SYSTEM).await?;
        let listener = fake_pods::listen().await?;
        tokio::spawn(fake_pods::run(scene.cluster().client.clone(), listener));
        Ok(())
    })
}

/// A new namespace with a mirror `shop` in it.
async fn team(scene: &Scene, name: &str) -> Result<Scene> {
    let team = scene.within(name);
    team.open().await?;
    let target = serde_json::json!({"name": "cluster", "url": "http://prometheus:9090"});
    let spec = serde_json::json!({
        "apiKeySecretRef": {"name": "mirror-key"}, "targets": [target],
    });
    team.mirror("shop", &spec).await?;
    Ok(team)
}
