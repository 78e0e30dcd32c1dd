//! The operator as `dist/install.yaml` installs it: what a user would do, and what can go wrong.

mod children;
mod configuration;
mod identity;
mod leaders;
pub(crate) mod lifecycle;
mod others;
mod plugin;
mod prometheus;
mod rights;
mod rollouts;
mod several;
mod sidecar;

use anyhow::Result;
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use crate::operator_pods::{self, DEPLOYMENT, PODS, SYSTEM, system};
use crate::programs::run;
use crate::scene::Scene;
use crate::suite::{Suite, alone, together};

pub(crate) fn suite() -> Suite {
    let together = together![
        leaders: nothing_is_written_while_nothing_happens;
        lifecycle:
            a_new_mirror_becomes_ready_and_answers,
            a_pod_asks_the_mirror_by_its_dns_name,
            paused_holds_changes_back,
            nothing_is_left_of_a_deleted_mirror;
        configuration:
            a_changed_target_is_served_by_the_same_pods,
            a_changed_key_is_served,
            a_missing_secret_or_key_is_named,
            what_the_mirror_refuses_is_reported,
            a_refused_pod_template_changes_nothing,
            with_one_target_down_the_other_is_served;
        plugin: the_plugin_does_what_its_user_may_do;
        identity: a_token_of_the_service_account_is_accepted;
        children:
            deleted_and_edited_children_are_restored,
            optional_children_come_and_go,
            children_no_longer_wanted_are_removed,
            a_conflicting_object_is_left_alone;
        others:
            what_keeps_pods_away_is_reported,
            policies_that_deny_or_rewrite_are_named,
            what_others_add_stays_or_goes;
        rollouts:
            replaced_pods_lose_no_request,
            scaling_loses_no_request,
            a_new_image_loses_no_request,
            a_new_port_loses_no_request,
            a_new_document_loses_no_request;
        sidecar:
            a_locked_prometheus_is_read_through_its_sidecars,
            sidecars_are_replaced_only_on_request,
            pods_from_before_the_resource_are_named_and_restarted,
            deployments_and_daemon_sets_restart_their_pods_on_request,
            sidecars_outlive_their_resource;
    ];
    let first = alone![children: an_api_installed_later_is_used;];
    let objects = together![
        prometheus: a_prometheus_object_is_followed, a_secured_prometheus_is_read;
    ];
    // One after the other: they run the same servers.
    let several = alone![
        several:
            every_pod_of_a_prometheus_object_is_reached,
            scaling_a_prometheus_object_loses_no_request,
            a_pod_of_a_pair_ends_and_no_request_is_lost;
    ];
    let last = alone![
        leaders:
            a_restart_of_the_operator_writes_nothing,
            another_operator_leads_when_the_leader_is_killed,
            another_operator_leads_when_the_leader_ends,
            another_operator_leads_when_the_leader_is_frozen,
            operators_outlive_the_api_server;
        rights: every_right_is_used_and_none_is_missing;
    ];
    Suite {
        prepare,
        scenarios: together
            .into_iter()
            .chain(first)
            .chain(objects)
            .chain(several)
            .chain(last)
            .collect(),
        describe: &[
            &["get", "pods", "-A"],
            &["-n", SYSTEM, "logs", "-l", PODS, "--tail=30"],
        ],
    }
}

pub(crate) fn prepare(scene: &Scene) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(install(scene))
}

async fn install(scene: &Scene) -> Result<()> {
    let place = scene.place();
    place.load_images().await?;
    place.start_prometheus().await?;
    // Client-side, as the README has it.
    run(
        "kubectl",
        &["apply", "-f", &place.file("dist/install.yaml")],
    )
    .await?;
    // Before the operators start: scenarios claim what they do without these.
    children::remove_definitions(scene).await?;
    // The images may be newer than those that run.
    system(&["rollout", "restart", DEPLOYMENT]).await?;
    operator_pods::all_run().await?;
    scene.claim("the operator is installed and ready");
    Ok(())
}

/// The spec that most scenarios begin with.
pub(crate) fn usual() -> Value {
    json!({
        "apiKeySecretRef": {"name": "mirror-key"},
        "targets": [{
            "name": "cluster",
            "service": {"name": "prometheus", "namespace": "monitoring", "port": "web"},
        }],
    })
}

/// The same with another target.
pub(crate) fn with_target(target: &Value) -> Value {
    let mut spec = usual();
    spec["targets"] = json!([target]);
    spec
}

/// A mirror `shop` that is ready.
pub(crate) async fn ready_mirror(scene: &Scene) -> Result<()> {
    scene.mirror("shop", &usual()).await?;
    scene.ready("shop").await?;
    Ok(())
}
