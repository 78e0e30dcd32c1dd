//! Two operators that see the same resource.

use std::time::Duration;

use kube::runtime::controller::Action;
use serde_json::{Value, json};

use crate::cluster::{Before, Cluster, MIRROR, SHOP};

const ANOTHER: &str = "elsewhere/prometheus-mirror-operator";

/// The other operator puts its name there, and a Deployment as it makes it.
fn another_writes(cluster: &Cluster) {
    cluster.api.edit(SHOP, |shop| {
        shop["status"]["operator"] = json!(ANOTHER);
    });
    cluster
        .api
        .edit(&format!("deployments/{MIRROR}"), |deployment| {
            let containers = &mut deployment["spec"]["template"]["spec"]["containers"];
            containers[0]["image"] = json!("prometheus-mirror:2");
        });
}

fn image(cluster: &Cluster) -> Value {
    let deployment = cluster.api.get(&format!("deployments/{MIRROR}")).unwrap();
    deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

#[tokio::test]
async fn whoever_is_answered_stands_back() {
    let cluster = Cluster::ready(json!({})).await;
    another_writes(&cluster);
    let again = cluster.reconciles().await;
    assert_eq!(again, Action::requeue(Duration::from_secs(10)));
    let claim = ["merge prometheusmirrors/shop/status"];
    assert_eq!(cluster.writes(), claim);
    assert_eq!(cluster.status()["operator"], "system/operator");
    assert_eq!(cluster.status()["conditions"][0]["reason"], "Serving");

    another_writes(&cluster);
    cluster.set(&json!({"replicas": 3}));
    let before = cluster.status();
    let again = cluster.reconciles().await;
    assert_eq!(again, Action::requeue(Duration::from_secs(600)));
    let event = "Warning AnotherOperator Operator elsewhere/prometheus-mirror-operator looks after \
                 this resource, so system/operator stands back. Uninstall one of them, or let them \
                 watch different namespaces";
    assert_eq!(cluster.events().last().unwrap(), event);
    cluster.requests();
    cluster.reconciles().await;
    assert_eq!(cluster.requests(), [""; 0]);
    assert_eq!(cluster.status(), before);
    assert_eq!(image(&cluster), "prometheus-mirror:2");
}

#[tokio::test]
async fn an_operator_that_is_gone_is_succeeded() {
    let before = Before::new(json!({}));
    before
        .api
        .edit(SHOP, |shop| shop["status"] = json!({"operator": ANOTHER}));
    let cluster = before.start().await;
    cluster.reconciles().await;
    assert_eq!(cluster.writes(), ["merge prometheusmirrors/shop/status"]);
    cluster.claimed_long_ago();
    cluster.becomes_ready().await;
    assert_eq!(cluster.status()["operator"], "system/operator");
    assert_eq!(image(&cluster), "prometheus-mirror:1");
}

#[tokio::test]
async fn an_operator_without_a_name_in_the_status_goes_on() {
    let cluster = Cluster::ready(json!({})).await;
    cluster.api.edit(SHOP, |shop| {
        shop["status"].as_object_mut().unwrap().remove("operator");
    });
    cluster.reconciles().await;
    assert_eq!(cluster.writes(), ["apply prometheusmirrors/shop/status"]);
    assert_eq!(cluster.status()["operator"], "system/operator");
    cluster.reconciles().await;
    assert_eq!(cluster.writes(), [""; 0]);
}
