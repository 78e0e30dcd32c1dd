//! Which changes lead to a reconcile: the controller runs as it does in a cluster.

use serde_json::json;

use crate::api_server::Refusal;
use crate::cluster::{Before, Cluster, MIRROR, key};

#[tokio::test]
async fn the_arrival_of_a_secret_reconciles_the_resource() {
    let cluster = Before::without_key(json!({})).run().await;
    let stalled = || cluster.condition("Stalled")["reason"] == "SecretMissing";
    cluster.eventually(stalled).await;
    cluster.rests().await;
    let deployment = || cluster.api.get(&format!("deployments/{MIRROR}"));
    assert!(deployment().is_none());
    cluster.api.put(key());
    cluster.eventually(|| deployment().is_some()).await;
}

#[tokio::test]
async fn a_resource_becomes_ready_as_its_pods_do() {
    let cluster = Before::new(json!({})).run().await;
    let deployment = || cluster.api.get(&format!("deployments/{MIRROR}"));
    cluster.eventually(|| deployment().is_some()).await;
    cluster.rolls_out();
    let ready = || cluster.condition("Ready")["status"] == "True";
    cluster.eventually(ready).await;
}

#[tokio::test]
async fn a_child_that_is_deleted_is_noticed_at_once() {
    let cluster = Before::new(json!({})).run().await;
    let deployment = || cluster.api.get(&format!("deployments/{MIRROR}"));
    cluster.eventually(|| deployment().is_some()).await;
    cluster.rolls_out();
    let ready = || cluster.condition("Ready")["status"] == "True";
    cluster.eventually(ready).await;
    cluster.rests().await;
    // By itself it would look again in half a minute, which is later than this waits.
    cluster.api.remove("services/shop");
    let service = || cluster.api.get("services/shop");
    cluster.eventually(|| service().is_some()).await;
}

#[tokio::test]
async fn a_failed_reconcile_is_tried_again_without_a_change() {
    let before = Before::new(json!({}));
    // The first write: nothing has changed that a watch could tell.
    let broken = Refusal::new(500, "InternalError", "etcdserver: no leader");
    before.api.fails("apply serviceaccounts", 1, broken);
    let cluster = before.run().await;
    let deployment = || cluster.api.get(&format!("deployments/{MIRROR}"));
    cluster.eventually(|| deployment().is_some()).await;
}

#[tokio::test]
async fn a_new_operator_knows_at_once_what_an_unchanged_resource_refers_to() {
    let before = Cluster::ready(json!({})).await;
    let cluster = Before::as_left_by(&before).run().await;
    cluster.rests().await;
    cluster.api.remove("secrets/mirror-key");
    let stalled = || cluster.condition("Stalled")["reason"] == "SecretMissing";
    cluster.eventually(stalled).await;
}
