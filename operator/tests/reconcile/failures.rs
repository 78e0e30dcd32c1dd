//! What happens when the API server refuses, fails or is ahead.

use std::time::Duration;

use kube::runtime::controller::Action;
use serde_json::{Value, json};

use crate::api_server::Refusal;
use crate::cluster::{Before, Cluster, MIRROR, controlled, forbidden};

fn broken() -> Refusal {
    Refusal::new(500, "InternalError", "etcdserver: request timed out")
}

fn children(cluster: &Cluster) -> Vec<Value> {
    cluster
        .api
        .all(&["serviceaccounts", "configmaps", "services", "deployments"])
}

#[tokio::test]
async fn a_server_error_is_tried_again_later_each_time() {
    let cluster = Cluster::with(json!({})).await;
    cluster.api.always_fails("apply services/shop", broken());
    for seconds in [1, 2, 4] {
        let (error, again) = cluster.fails_to_reconcile().await;
        assert!(error.starts_with("cannot write Service shop: "), "{error}");
        assert_eq!(again, Action::requeue(Duration::from_secs(seconds)));
    }
    cluster.api.works_again();
    cluster.becomes_ready().await;
    // A success counts from the beginning again.
    cluster.api.remove("services/shop");
    cluster.api.fails("apply services/shop", 1, broken());
    let (_, again) = cluster.fails_to_reconcile().await;
    assert_eq!(again, Action::requeue(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_failure_at_any_write_leaves_nothing_that_stays_half() {
    let without = Cluster::ready(json!({})).await;
    let writes = [
        "serviceaccounts",
        "configmaps",
        "services",
        "deployments",
        "prometheusmirrors",
    ];
    for write in writes {
        let cluster = Cluster::with(json!({})).await;
        cluster.api.fails(&format!("apply {write}/"), 1, broken());
        cluster.fails_to_reconcile().await;
        cluster.becomes_ready().await;
        let specs = |cluster: &Cluster| {
            let children = children(cluster).into_iter();
            let parts = children.map(|child| json!([child["spec"], child["data"]]));
            parts.collect::<Vec<_>>()
        };
        assert_eq!(specs(&cluster), specs(&without), "{write}");
        assert_eq!(cluster.conditions(), without.conditions(), "{write}");
    }
}

#[tokio::test]
async fn a_missing_right_is_named_in_the_condition() {
    let cluster = Cluster::with(json!({})).await;
    let why =
        "services \"shop\" is forbidden: User \"operator\" cannot patch resource \"services\"";
    cluster
        .api
        .always_fails("apply services/shop", forbidden(why));
    let again = cluster.reconciles().await;
    assert_eq!(
        cluster.conditions()[..2],
        ["Ready False Forbidden", "Stalled True Forbidden"]
    );
    let said = cluster.says();
    assert!(
        said.starts_with("cannot write Service shop: ") && said.contains(why),
        "{said}"
    );
    // No watch says when the right is there.
    assert_eq!(again, Action::requeue(Duration::from_secs(30)));
    cluster.api.works_again();
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn an_exceeded_quota_is_said_in_the_api_servers_words() {
    let cluster = Cluster::with(json!({})).await;
    let why = "services \"shop\" is forbidden: exceeded quota: compute, requested: services=1, \
               used: services=5, limited: services=5";
    cluster.api.fails("apply services/shop", 1, forbidden(why));
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[1], "Stalled True Denied");
    assert!(
        cluster.says().contains("exceeded quota: compute"),
        "{}",
        cluster.says()
    );
}

#[tokio::test]
async fn a_webhook_that_denies_a_child_is_named() {
    let cluster = Cluster::with(json!({})).await;
    let why = "admission webhook \"validate.kyverno.svc-fail\" denied the request: resource \
               Service/observability/shop was blocked due to the following policies: owners";
    let denial = Refusal::new(400, "", why);
    cluster.api.always_fails("apply services/shop", denial);
    let again = cluster.reconciles().await;
    assert_eq!(
        cluster.conditions()[..2],
        ["Ready False Denied", "Stalled True Denied"]
    );
    assert_eq!(cluster.says(), format!("Service shop: {why}"));
    // No watch says when the policy has changed.
    assert_eq!(again, Action::requeue(Duration::from_secs(30)));
    cluster.api.works_again();
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn what_fails_again_and_again_is_in_the_status() {
    let cluster = Cluster::with(json!({})).await;
    let why = "Internal error occurred: failed calling webhook \"w\": no endpoints available";
    let down = Refusal::new(500, "InternalError", why);
    cluster
        .api
        .always_fails("apply services/shop", down.clone());
    for expected in [0, 0, 1, 0] {
        cluster.writes();
        cluster.fails_to_reconcile().await;
        let mut writes = cluster.writes();
        writes.retain(|write| write.ends_with("/status"));
        assert_eq!(writes.len(), expected, "{writes:?}");
    }
    assert_eq!(
        cluster.conditions(),
        [
            "Ready False ApplyFailing",
            "Reconciling True ApplyFailing",
            "TargetsReachable Unknown NotAsked"
        ]
    );
    // In the API server's words, without the client library's.
    assert_eq!(cluster.says(), format!("cannot write Service shop: {why}"));
    let warning = format!("Warning ApplyFailing {}", cluster.says());
    assert_eq!(cluster.events().last(), Some(&warning));
    cluster.api.works_again();
    cluster.becomes_ready().await;

    // What is served is served still.
    cluster.api.remove("services/shop");
    cluster.api.always_fails("apply services/shop", down);
    for _ in 0..3 {
        cluster.fails_to_reconcile().await;
    }
    assert_eq!(
        cluster.conditions(),
        [
            "Ready True Serving",
            "Reconciling True ApplyFailing",
            "TargetsReachable True Reachable"
        ]
    );
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_named_with_its_field() {
    let template = json!({"metadata": {"annotations": {"x": true}}});
    let cluster = Cluster::with(json!({"podTemplate": template})).await;
    let why = "failed to create typed patch object (observability/shop-mirror; apps/v1, \
               Kind=Deployment): .spec.template.metadata.annotations.x: expected string, got \
               &value.valueUnstructured{Value:true}";
    let answer = Refusal::new(500, "", why);
    cluster.api.always_fails("apply deployments", answer);
    cluster.reconciles().await;
    assert_eq!(children(&cluster), [json!(null); 0]);
    assert_eq!(cluster.conditions()[1], "Stalled True Refused");
    assert_eq!(
        cluster.says(),
        "Deployment shop-mirror: spec.template.metadata.annotations.x: expected string, got true \
         (hint: write it in quotes)"
    );
}

#[tokio::test]
async fn a_webhook_that_knows_no_dry_run_hinders_nothing() {
    let template = json!({"metadata": {"annotations": {"x": "y"}}});
    let cluster = Cluster::with(json!({"podTemplate": template})).await;
    let why = "admission webhook \"w\" does not support dry run";
    let answer = Refusal::new(400, "BadRequest", why);
    cluster
        .api
        .always_fails("apply deployments/shop-mirror (dry run)", answer);
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn secrets_that_cannot_be_watched_are_not_called_missing() {
    let before = Before::new(json!({}));
    before
        .api
        .fails("list secrets", 1, forbidden("secrets is forbidden"));
    let cluster = before.start().await;
    cluster.reconciles().await;
    assert_eq!(
        cluster.conditions()[..2],
        ["Ready False Forbidden", "Stalled True Forbidden"]
    );
    let said = cluster.says();
    assert!(said.starts_with("Secrets cannot be watched: "), "{said}");
    assert_eq!(children(&cluster), [json!(null); 0]);
}

#[tokio::test]
async fn a_refused_pod_template_leaves_every_child_as_it_is() {
    let cluster = Cluster::ready(json!({})).await;
    let before = children(&cluster);
    let template = json!({"spec": {"containers": [{"name": "mirror", "imagePullPolicy": "x"}]}});
    cluster.set(&json!({"port": 9800, "podTemplate": template}));
    let why =
        "Deployment.apps \"shop-mirror\" is invalid: imagePullPolicy: Unsupported value: \"x\"";
    let refusal = Refusal::new(422, "Invalid", why);
    cluster.api.fails(
        "apply deployments/shop-mirror (dry run)",
        1,
        refusal.clone(),
    );
    // A list of somebody else's may be in the way, so a merge is tried, too.
    cluster
        .api
        .fails("merge deployments/shop-mirror (dry run)", 1, refusal);
    cluster.reconciles().await;
    assert_eq!(children(&cluster), before);
    assert_eq!(
        cluster.conditions()[..2],
        ["Ready False Refused", "Stalled True Refused"]
    );
    assert_eq!(cluster.says(), format!("Deployment shop-mirror: {why}"));
}

#[tokio::test]
async fn a_child_that_somebody_made_in_between_is_not_overwritten() {
    let cluster = Cluster::ready(json!({})).await;
    let owner = json!({"apiVersion": "v1", "kind": "Other", "metadata": {"name": "o", "uid": "o"}});
    let mut theirs = controlled(
        "Ingress",
        "shop-mirror",
        &owner,
        json!({"spec": {"rules": []}}),
    );
    theirs["metadata"]["labels"] = json!({});
    cluster.set(&json!({"ingress": {"host": "mirror.example.org"}}));
    // The operator has asked and found nothing when somebody makes it.
    let not_found = Refusal::new(404, "NotFound", "ingresses \"shop-mirror\" not found");
    cluster.api.fails("get ingresses/shop-mirror", 1, not_found);
    cluster.api.put(theirs);
    let before = cluster.api.get("ingresses/shop-mirror");
    cluster.reconciles().await;
    assert_eq!(cluster.api.get("ingresses/shop-mirror"), before);
    assert_eq!(cluster.conditions()[0], "Ready False NameTaken");
}

#[tokio::test]
async fn a_child_of_that_name_that_came_after_ours_is_not_written_to() {
    let cluster = Cluster::ready(json!({})).await;
    cluster.set(&json!({"replicas": 2}));
    let successor = Refusal::new(409, "Conflict", "Precondition failed: UID in precondition");
    cluster
        .api
        .fails("apply deployments/shop-mirror", 1, successor);
    let (error, _) = cluster.fails_to_reconcile().await;
    assert!(
        error.starts_with("cannot write Deployment shop-mirror: "),
        "{error}"
    );
    let bodies = cluster.api.asked();
    let written = bodies
        .iter()
        .find(|asked| asked.resource == "deployments")
        .unwrap();
    let uid = cluster.api.get(&format!("deployments/{MIRROR}")).unwrap()["metadata"]["uid"].clone();
    assert_eq!(written.body["metadata"]["uid"], uid);
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn events_that_cannot_be_written_hinder_nothing() {
    let cluster = Cluster::with(json!({})).await;
    cluster
        .api
        .always_fails("create events", forbidden("events is forbidden"));
    cluster.becomes_ready().await;
    assert_eq!(cluster.events(), [""; 0]);
}
