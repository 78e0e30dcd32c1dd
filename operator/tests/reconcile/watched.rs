//! Which changes lead to a reconcile: the controller runs as it does in a cluster.

use serde_json::json;

use crate::cluster::{Before, MIRROR, key};

#[tokio::test]
async fn the_arrival_of_a_secret_reconciles_the_resource() {
    let cluster = Before::without_key(json!({})).run().await;
    cluster
        .eventually(|| {
            cluster
                .conditions()
                .contains(&"Stalled True SecretMissing".into())
        })
        .await;
    assert!(cluster.api.get(&format!("deployments/{MIRROR}")).is_none());
    cluster.api.put(key());
    cluster
        .eventually(|| cluster.api.get(&format!("deployments/{MIRROR}")).is_some())
        .await;
}

#[tokio::test]
async fn a_resource_becomes_ready_as_its_pods_do() {
    let cluster = Before::new(json!({})).run().await;
    cluster
        .eventually(|| cluster.api.get(&format!("deployments/{MIRROR}")).is_some())
        .await;
    cluster.rolls_out();
    cluster
        .eventually(|| cluster.condition("Ready")["status"] == "True")
        .await;
    // Deleting a child is noticed at once.
    cluster.api.remove("services/shop");
    cluster
        .eventually(|| cluster.api.get("services/shop").is_some())
        .await;
}

#[tokio::test]
async fn a_failed_reconcile_is_tried_again_without_a_change() {
    let before = Before::new(json!({}));
    let broken = crate::api_server::Refusal::new(500, "InternalError", "etcdserver: no leader");
    before.api.fails("apply services/shop", 1, broken);
    let cluster = before.run().await;
    cluster
        .eventually(|| cluster.api.get(&format!("deployments/{MIRROR}")).is_some())
        .await;
}
