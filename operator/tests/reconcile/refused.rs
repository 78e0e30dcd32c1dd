//! What is not built, and why.

use operator::cluster::policy::{CrossNamespace, Field};
use operator::cluster::scope::Scope;
use serde_json::json;

use crate::cluster::{Before, Cluster, HERE, MIRROR, SHOP, key};

/// What there is to see when nothing was built, and nothing but the status and events was written.
fn nothing_is_built(cluster: &Cluster, reason: &str) {
    assert_eq!(
        cluster.conditions(),
        [
            format!("Ready False {reason}"),
            format!("Stalled True {reason}"),
            "TargetsReachable Unknown NotAsked".to_owned(),
        ]
    );
    assert_eq!(
        cluster.writes(),
        ["apply prometheusmirrors/shop/status", "create events"]
    );
    assert_eq!(
        cluster.events().last().unwrap(),
        &format!("Warning {reason} {}", cluster.says())
    );
}

#[tokio::test]
async fn an_invalid_spec_stalls_and_nothing_is_built() {
    let cluster = Cluster::with(json!({"replicas": -1, "workers": 0})).await;
    cluster.reconciles().await;
    nothing_is_built(&cluster, "InvalidSpec");
    let said = cluster.says();
    assert!(
        said.contains("spec.replicas") && said.contains("spec.workers"),
        "{said}"
    );
}

#[tokio::test]
async fn an_invalid_change_leaves_what_runs_as_it_is() {
    let cluster = Cluster::ready(json!({})).await;
    let children = || {
        cluster
            .api
            .all(&["serviceaccounts", "configmaps", "services", "deployments"])
    };
    let before = children();
    cluster.set(&json!({"replicas": -1}));
    cluster.reconciles().await;
    assert_eq!(children(), before);
    assert_eq!(
        cluster.conditions(),
        [
            "Ready False InvalidSpec",
            "Stalled True InvalidSpec",
            "TargetsReachable True Reachable"
        ]
    );
    cluster.set(&json!({"replicas": null}));
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn a_missing_secret_is_named_with_its_field() {
    let cluster = Before::without_key(json!({})).start().await;
    cluster.reconciles().await;
    nothing_is_built(&cluster, "SecretMissing");
    assert_eq!(
        cluster.says(),
        "spec.apiKeySecretRef: there is no Secret mirror-key in namespace observability \
         (hint: create it, or name another one)"
    );
    cluster.api.put(key());
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn a_missing_key_of_a_config_map_is_named() {
    let ca = json!({"name": "trusted", "key": "ca.crt"});
    let target =
        json!({"name": "cluster", "url": "https://prometheus:9090", "tls": {"caConfigMapRef": ca}});
    let before = Before::new(json!({"targets": [target]}));
    before.api.put(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trusted", "namespace": HERE},
        "data": {"other.crt": ""},
    }));
    let cluster = before.start().await;
    cluster.reconciles().await;
    nothing_is_built(&cluster, "ConfigMapKeyMissing");
    let said = cluster.says();
    assert!(
        said.contains("ConfigMap trusted has no key ca.crt"),
        "{said}"
    );
    assert!(said.contains("its keys: other.crt"), "{said}");
}

#[tokio::test]
async fn a_paused_resource_is_left_as_it_is() {
    let cluster = Cluster::ready(json!({})).await;
    cluster.set(&json!({"paused": true, "replicas": 4}));
    cluster.api.remove("services/shop");
    cluster.reconciles().await;
    assert_eq!(cluster.writes(), ["apply prometheusmirrors/shop/status"]);
    assert_eq!(
        cluster.conditions(),
        [
            "Ready True Serving",
            "TargetsReachable True Reachable",
            "Paused True Paused"
        ]
    );
    cluster.reconciles().await;
    assert_eq!(cluster.requests(), [""; 0]);
    cluster.set(&json!({"paused": false}));
    cluster.becomes_ready().await;
    assert!(cluster.api.get("services/shop").is_some());
}

#[tokio::test]
async fn a_field_that_the_clusters_owner_denies_stalls() {
    let mut before = Before::new(json!({"image": "elsewhere/mirror:1"}));
    before.policy.denied = vec![Field::Image];
    let cluster = before.start().await;
    cluster.reconciles().await;
    nothing_is_built(&cluster, "FieldDenied");
    let said = cluster.says();
    assert!(
        said.starts_with("spec.image: denied in this cluster"),
        "{said}"
    );
}

#[tokio::test]
async fn a_service_elsewhere_needs_its_owners_permission() {
    let service = json!({"name": "prometheus", "namespace": "finance", "port": "web"});
    let spec = json!({"targets": [{"name": "cluster", "service": service}]});
    let there = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "prometheus", "namespace": "finance"},
        "spec": {"ports": [{"name": "web", "port": 9090}]},
    });
    let before = Before::new(spec.clone());
    before.api.put(there.clone());
    let cluster = before.start().await;
    cluster.reconciles().await;
    nothing_is_built(&cluster, "ServiceMissing");
    let said = cluster.says();
    assert!(
        said.contains("finance/prometheus does not exist, or is not open"),
        "{said}"
    );
    cluster.api.edit("services/prometheus", |service| {
        let allowed = json!({"prometheus-mirror.io/allow-from": HERE});
        service["metadata"]["annotations"] = allowed;
    });
    cluster.becomes_ready().await;
    let url = "http://prometheus.finance.svc:9090";
    assert_eq!(cluster.status()["targets"][0]["url"], url);

    let mut before = Before::new(spec);
    before.policy.cross_namespace = CrossNamespace::Never;
    before.api.put(there);
    let cluster = before.start().await;
    cluster.reconciles().await;
    nothing_is_built(&cluster, "ServiceMissing");
}

#[tokio::test]
async fn a_resource_in_a_namespace_not_selected_is_ignored() {
    let mut before = Before::new(json!({}));
    before.scope = Scope::Selected("mirrors=yes".to_owned());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HERE}});
    before.api.put(namespace);
    let cluster = before.start().await;
    cluster.reconciles().await;
    assert_eq!(cluster.requests(), [""; 0]);
    cluster
        .api
        .edit(&format!("namespaces/{HERE}"), |namespace| {
            namespace["metadata"]["labels"] = json!({"mirrors": "yes"});
        });
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn no_child_is_made_for_a_resource_that_is_gone() {
    let cluster = Cluster::ready(json!({})).await;
    let shop = cluster.known();
    // Children go with the resource, and the watch of their kind may be ahead of the resource's.
    cluster.api.remove(SHOP);
    assert!(cluster.api.get(&format!("deployments/{MIRROR}")).is_none());
    cluster.reconcile_object(shop).await.unwrap();
    assert_eq!(cluster.writes(), [""; 0]);
}
