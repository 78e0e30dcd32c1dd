//! What a resource gets, and what is done to it later.

use serde_json::{Value, json};

use crate::api_server::Verb;
use crate::cluster::{Before, Cluster, HERE, MIRROR, SHOP, controlled};

const CHILDREN: [&str; 4] = ["serviceaccounts", "configmaps", "services", "deployments"];

/// Without what only the API server knows, and with the hash of what was applied as a word.
fn as_manifest(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|name, _| !["uid", "resourceVersion", "generation"].contains(&name.as_str()));
    let hash = &mut object["metadata"]["annotations"]["prometheus-mirror.io/applied"];
    assert_eq!(hash.as_str().map(str::len), Some(64));
    *hash = json!("SHA-256");
    let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
    if let Some(begun) = annotations.get_mut("prometheus-mirror.io/configuration") {
        assert_eq!(begun.as_str().map(str::len), Some(64));
        *begun = json!("SHA-256");
    }
    object
}

#[tokio::test]
async fn a_new_resource_gets_its_children_and_nothing_else() {
    let cluster = Cluster::with(json!({})).await;
    cluster.reconciles().await;
    assert_eq!(
        cluster.requests(),
        [
            // Which keys it has.
            "get secrets/mirror-key",
            "apply serviceaccounts/shop-mirror",
            "apply configmaps/shop-mirror",
            "apply services/shop",
            "apply deployments/shop-mirror",
            "apply prometheusmirrors/shop/status",
            "create events",
        ]
    );
    let children = cluster.api.all(&CHILDREN).into_iter().map(as_manifest);
    let expected: Vec<Value> = serde_yaml::from_str(include_str!("children.yaml")).unwrap();
    for (child, expected) in children.zip(&expected) {
        assert_eq!(child, *expected);
    }
    assert_eq!(cluster.api.all(&CHILDREN).len(), expected.len());
}

#[tokio::test]
async fn nothing_is_asked_or_written_when_nothing_changed() {
    let cluster = Cluster::ready(json!({})).await;
    cluster.reconciles().await;
    assert_eq!(cluster.requests(), [""; 0]);
}

#[tokio::test]
async fn a_child_that_somebody_changed_is_repaired() {
    let cluster = Cluster::ready(json!({})).await;
    let mut expected = cluster.api.get("services/shop").unwrap();
    cluster.api.edit("services/shop", |service| {
        service["spec"]["ports"][0]["port"] = json!(80);
        service["metadata"]["annotations"]["theirs"] = json!("stays");
    });
    cluster.reconciles().await;
    assert_eq!(cluster.writes(), ["apply services/shop", "create events"]);
    let repaired = cluster.api.get("services/shop").unwrap();
    expected["metadata"]["annotations"]["theirs"] = json!("stays");
    assert_eq!(as_manifest(repaired), as_manifest(expected));
    assert_eq!(
        cluster.events().last().unwrap(),
        "Normal Updated Updated Service shop"
    );
}

#[tokio::test]
async fn a_child_that_somebody_deleted_is_made_again() {
    let cluster = Cluster::ready(json!({})).await;
    cluster.api.remove("services/shop");
    cluster.reconciles().await;
    assert_eq!(
        cluster.requests(),
        [
            "get services/shop",
            // Is the resource there still? Children go with it.
            "list prometheusmirrors",
            "apply services/shop",
            // Created has been said before.
            "merge events",
        ]
    );
}

#[tokio::test]
async fn an_object_of_somebody_else_is_left_alone() {
    let before = Before::new(json!({}));
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop", "namespace": HERE},
        "spec": {"ports": [{"port": 80}]},
    });
    before.api.put(theirs);
    let theirs = before.api.get("services/shop");
    let cluster = before.start().await;
    cluster.reconciles().await;
    assert_eq!(cluster.api.get("services/shop"), theirs);
    assert_eq!(
        cluster.conditions(),
        [
            "Ready False NameTaken",
            "Stalled True NameTaken",
            "TargetsReachable Unknown NotAsked"
        ]
    );
    assert!(
        cluster
            .says()
            .starts_with("Service shop exists and does not belong to this resource")
    );
    assert!(cluster.api.get(&format!("deployments/{MIRROR}")).is_some());
    // It makes way.
    cluster.api.remove("services/shop");
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn a_child_of_an_earlier_resource_is_waited_for() {
    let before = Before::new(json!({}));
    let mut earlier = json!({
        "apiVersion": "prometheus-mirror.io/v1alpha1", "kind": "PrometheusMirror",
        "metadata": {"name": "shop", "uid": "uid-before"},
    });
    before.api.put(controlled(
        "Deployment",
        MIRROR,
        &earlier,
        json!({"spec": {}}),
    ));
    let there = before.api.get(&format!("deployments/{MIRROR}"));
    let cluster = before.start().await;
    cluster.reconciles().await;
    assert_eq!(cluster.api.get(&format!("deployments/{MIRROR}")), there);
    assert_eq!(cluster.conditions()[0], "Ready False Replacing");
    assert_eq!(cluster.conditions()[1], "Reconciling True Replacing");
    earlier.take();
    cluster.api.remove(&format!("deployments/{MIRROR}"));
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn a_child_that_is_no_longer_asked_for_is_removed() {
    let ingress = json!({"host": "mirror.example.org"});
    let cluster = Cluster::ready(json!({"ingress": ingress, "podDisruptionBudget": {}})).await;
    assert!(cluster.api.get("ingresses/shop-mirror").is_some());
    let there = cluster.api.all(&["poddisruptionbudgets", "ingresses"]);
    cluster.set(&json!({"ingress": null, "podDisruptionBudget": null}));
    cluster.reconciles().await;
    // Not one of the same name that came later.
    let asked = cluster.api.asked();
    let deletions = asked.iter().filter(|asked| asked.verb == Verb::Delete);
    let uids: Vec<_> = deletions
        .clone()
        .map(|asked| asked.body["preconditions"]["uid"].clone())
        .collect();
    let expected = there.iter().map(|object| object["metadata"]["uid"].clone());
    assert_eq!(uids, expected.collect::<Vec<_>>());
    assert_eq!(
        deletions.map(ToString::to_string).collect::<Vec<_>>(),
        [
            "delete poddisruptionbudgets/shop-mirror",
            "delete ingresses/shop-mirror"
        ]
    );
    assert_eq!(
        cluster.api.all(&["ingresses", "poddisruptionbudgets"]),
        [json!(null); 0]
    );
}

#[tokio::test]
async fn a_new_image_changes_the_deployment_and_no_other_child() {
    let cluster = Cluster::ready(json!({})).await;
    cluster.set(&json!({"image": "prometheus-mirror:2"}));
    cluster.reconciles().await;
    let asked: Vec<_> = cluster.api.asked();
    let children: Vec<_> = asked
        .iter()
        .filter(|asked| asked.verb == Verb::Apply)
        .collect();
    assert_eq!(
        children.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            // A template that the API server refuses must leave the other children as they are.
            "apply deployments/shop-mirror (dry run)",
            "apply deployments/shop-mirror",
            "apply prometheusmirrors/shop/status",
        ]
    );
    let deployment = cluster.api.get(&format!("deployments/{MIRROR}")).unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "prometheus-mirror:2");
    assert_eq!(cluster.conditions()[0], "Ready False RollingOut");
}

#[tokio::test]
async fn a_new_port_is_in_service_deployment_document_and_url() {
    let cluster = Cluster::ready(json!({})).await;
    cluster.set(&json!({"port": 9800}));
    cluster.reconciles().await;
    assert_eq!(
        cluster.writes()[..3],
        [
            "apply configmaps/shop-mirror",
            "apply services/shop",
            "apply deployments/shop-mirror"
        ]
    );
    assert_eq!(
        cluster.api.get("services/shop").unwrap()["spec"]["ports"][0]["port"],
        9800
    );
    assert_eq!(
        cluster.status()["endpoint"],
        "http://shop.observability.svc:9800"
    );
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn an_autoscaler_takes_the_replicas_over() {
    let cluster = Cluster::ready(json!({"replicas": 3})).await;
    cluster.set(&json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}));
    cluster.reconciles().await;
    let replicas = || {
        let deployment = cluster.api.get(&format!("deployments/{MIRROR}")).unwrap();
        deployment["spec"]["replicas"].clone()
    };
    assert_eq!(replicas(), 3);
    cluster
        .api
        .edit(&format!("deployments/{MIRROR}"), |deployment| {
            deployment["spec"]["replicas"] = json!(5);
        });
    cluster.becomes_ready().await;
    assert_eq!(replicas(), 5);
}

#[tokio::test]
async fn children_whose_api_is_absent_are_named() {
    let before = Before::new(json!({"monitor": {}}));
    before.api.lacks("servicemonitors");
    before.api.lacks("httproutes");
    before.api.lacks("prometheuses");
    let cluster = before.start().await;
    cluster.becomes_ready().await;
    let degraded = cluster.condition("Degraded");
    assert_eq!(
        (&degraded["status"], &degraded["reason"]),
        (&json!("True"), &json!("ApiMissing"))
    );
    assert_eq!(
        degraded["message"],
        "ServiceMonitor shop-mirror: its API is not installed in this cluster"
    );
}

#[tokio::test]
async fn memory_limits_that_do_not_fit_are_named_while_it_serves() {
    let cluster = Cluster::with(json!({"workers": 29})).await;
    cluster.becomes_ready().await;
    let says = "spec.workers: 29 workers need 528 MiB of memory for large answers at once, and the \
                limit is 512 MiB (hint: raise the limit or lower the workers: until then, requests \
                that find no memory wait, and may be answered with 503)";
    let degraded = cluster.condition("Degraded");
    let said = ["status", "reason", "message"].map(|part| degraded[part].as_str().unwrap());
    assert_eq!(said, ["True", "MemoryTooSmall", says]);
    assert_eq!(cluster.condition("Stalled"), json!(null));
    let event = format!("Warning MemoryTooSmall {says}");
    let events = cluster.events();
    assert_eq!(events.iter().filter(|said| **said == event).count(), 1);
    cluster.set(&json!({"workers": 28}));
    cluster.becomes_ready().await;
    assert_eq!(cluster.condition("Degraded"), json!(null));
}

#[tokio::test]
async fn the_memory_limit_of_a_pod_template_counts() {
    let memory = |limit| {
        let container = json!({"name": "mirror", "resources": {"limits": {"memory": limit}}});
        json!({"workers": 29, "podTemplate": {"spec": {"containers": [container]}}})
    };
    let cluster = Cluster::ready(memory("1Gi")).await;
    assert_eq!(cluster.condition("Degraded"), json!(null));
    cluster.set(&memory("256Mi"));
    cluster.becomes_ready().await;
    assert_eq!(cluster.condition("Degraded")["reason"], "MemoryTooSmall");
}

#[tokio::test]
async fn a_child_whose_api_was_removed_is_named_and_others_change() {
    let cluster = Cluster::ready(json!({"monitor": {}})).await;
    cluster.api.lacks("servicemonitors");
    cluster.set(&json!({"monitor": {"interval": "5m"}, "port": 9950}));
    for _ in 0..4 {
        cluster.reconciles().await;
        cluster.rolls_out();
        cluster.time_passes();
    }
    assert_eq!(cluster.condition("Ready")["status"], "True");
    assert_eq!(
        cluster.condition("Degraded")["message"],
        "ServiceMonitor shop-mirror: its API is not installed in this cluster"
    );
    let service = cluster.api.get("services/shop").unwrap();
    assert_eq!(service["spec"]["ports"][0]["port"], 9950);
}

#[tokio::test]
async fn a_resource_that_is_being_deleted_is_left_alone() {
    let cluster = Cluster::ready(json!({})).await;
    cluster.api.edit(SHOP, |shop| {
        shop["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    cluster.api.remove("services/shop");
    cluster.reconciles().await;
    assert_eq!(cluster.requests(), [""; 0]);
}
