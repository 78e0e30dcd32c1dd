//! What the status and events say of the pods.

use std::time::Duration;

use kube::runtime::controller::Action;
use serde_json::{Value, json};

use crate::api_server::Refusal;
use crate::cluster::{Cluster, MIRROR, SHOP, key};
use crate::pods::Serving;

/// The status without its times.
fn timeless(mut status: Value) -> Value {
    let conditions = status["conditions"].as_array_mut().into_iter().flatten();
    for condition in conditions {
        condition
            .as_object_mut()
            .unwrap()
            .remove("lastTransitionTime");
    }
    let targets = status["targets"].as_array_mut().into_iter().flatten();
    for target in targets {
        target.as_object_mut().unwrap().remove("lastProbeTime");
    }
    status
}

#[tokio::test]
async fn a_resource_whose_pods_serve_it_is_ready() {
    let cluster = Cluster::ready(json!({"replicas": 2})).await;
    assert_eq!(
        timeless(cluster.status()),
        json!({
            "observedGeneration": 1,
            "operator": "system/operator",
            "endpoint": "http://shop.observability.svc:9900",
            "selector": "app.kubernetes.io/instance=shop,app.kubernetes.io/name=prometheus-mirror",
            "replicas": 2, "readyReplicas": 2, "reachableTargets": "1/1",
            "targets": [{
                "name": "cluster", "url": "http://prometheus:9090", "reachable": true,
                "version": "3.5.0",
            }],
            "conditions": [
                {
                    "type": "Ready", "status": "True", "reason": "Serving", "observedGeneration": 1,
                    "message": "2 of 2 pods serve the current configuration.",
                },
                {
                    "type": "TargetsReachable", "status": "True", "reason": "Reachable",
                    "observedGeneration": 1, "message": "Every pod reaches all 1 targets.",
                },
            ],
        })
    );
    let again = cluster.reconciles().await;
    assert_eq!(again, Action::requeue(Duration::from_secs(30)));
}

#[tokio::test]
async fn a_status_is_written_once_and_only_if_it_changed() {
    let cluster = Cluster::with(json!({})).await;
    cluster.reconciles().await;
    cluster.rolls_out();
    let mut versions = Vec::new();
    for _ in 0..6 {
        cluster.api.asked();
        let before = cluster.status();
        cluster.reconciles().await;
        let mut writes = cluster.writes();
        writes.retain(|write| write.ends_with("/status"));
        assert_eq!(writes.len(), usize::from(cluster.status() != before));
        versions.push(writes.len());
        cluster.time_passes();
    }
    assert_eq!(versions, [1, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn what_stays_as_it_is_makes_no_second_event() {
    let cluster = Cluster::ready(json!({})).await;
    let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
    cluster.pod_is(&waiting);
    for _ in 0..3 {
        cluster.reconciles().await;
        cluster.time_passes();
    }
    let mut events = cluster.events();
    events.retain(|event| event.starts_with("Warning"));
    let said = cluster.says();
    assert_eq!(events, [format!("Warning PodsFailing {said}")]);
    assert!(said.ends_with(": ErrImagePull: no such image"), "{said}");
}

#[tokio::test]
async fn a_pod_that_cannot_start_is_quoted_in_the_condition() {
    let cluster = Cluster::ready(json!({})).await;
    let message = "prometheus-mirror: secrets/mirror-key/apiKey: is empty";
    cluster.pod_is(&json!({"terminated": {"exitCode": 1, "reason": "Error", "message": message}}));
    cluster.reconciles().await;
    assert_eq!(
        cluster.conditions()[..2],
        [
            "Ready False ConfigurationRefused",
            "Stalled True ConfigurationRefused"
        ]
    );
    assert!(cluster.says().ends_with(message), "{}", cluster.says());
    cluster.pod_is(&json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}));
    cluster.reconciles().await;
    assert_eq!(
        cluster.conditions()[..2],
        ["Ready False PodsFailing", "Reconciling True PodsFailing"]
    );
}

#[tokio::test]
async fn a_paused_rollout_says_how_it_goes_on() {
    let cluster = Cluster::ready(json!({})).await;
    let deployment = format!("deployments/{MIRROR}");
    cluster.api.edit(&deployment, |deployment| {
        deployment["spec"]["paused"] = json!(true);
    });
    cluster.rolls_out();
    cluster.reconciles().await;
    assert_eq!(
        cluster.conditions()[0],
        "Ready True Serving",
        "nothing waits"
    );
    cluster.api.edit(&deployment, |deployment| {
        deployment["status"]["updatedReplicas"] = json!(0);
    });
    cluster.reconciles().await;
    let conditions = ["Ready False RolloutPaused", "Stalled True RolloutPaused"];
    assert_eq!(cluster.conditions()[..2], conditions);
    assert_eq!(
        cluster.says(),
        "0 of 1 pods are up to date, 1 are ready, 1 exist. The Deployment is paused: kubectl -n \
         observability rollout resume deployment/shop-mirror lets it go on."
    );
}

#[tokio::test]
async fn pods_that_are_not_ready_yet_are_counted() {
    let cluster = Cluster::ready(json!({"replicas": 3})).await;
    cluster
        .api
        .edit(&format!("deployments/{MIRROR}"), |deployment| {
            deployment["status"]["readyReplicas"] = json!(1);
        });
    let again = cluster.reconciles().await;
    assert_eq!(
        cluster.conditions()[..2],
        ["Ready False RollingOut", "Reconciling True RollingOut"]
    );
    assert_eq!(
        cluster.says(),
        "3 of 3 pods are up to date, 1 are ready, 3 exist."
    );
    assert_eq!(again, Action::requeue(Duration::from_secs(1)));
    cluster
        .api
        .edit(&format!("deployments/{MIRROR}"), |deployment| {
            deployment["status"]["conditions"] =
                json!([{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]);
        });
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[1], "Stalled True RollingOut");
}

#[tokio::test]
async fn a_pod_that_refuses_the_new_document_is_named() {
    let cluster = Cluster::ready(json!({})).await;
    let serving = Serving::document(&cluster.document());
    let refuses_newer = true;
    cluster.pods.serve(
        "192.0.2.1",
        Serving {
            refuses_newer,
            ..serving
        },
    );
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[1], "Stalled True ConfigurationRefused");
    assert!(
        cluster.says().contains("keeps serving the one before"),
        "{}",
        cluster.says()
    );
}

#[tokio::test]
async fn a_target_that_no_pod_reaches_is_in_the_status() {
    let cluster = Cluster::ready(json!({})).await;
    let serving = Serving::document(&cluster.document());
    let target = Err("connection refused".to_owned());
    cluster
        .pods
        .serve("192.0.2.1", Serving { target, ..serving });
    let again = cluster.reconciles().await;
    assert_eq!(
        cluster.conditions(),
        ["Ready True Serving", "TargetsReachable False Unreachable"]
    );
    let status = cluster.status();
    assert_eq!(
        (
            &status["reachableTargets"],
            &status["targets"][0]["reachable"]
        ),
        (&json!("0/1"), &json!(false))
    );
    assert_eq!(
        cluster.events().last().unwrap(),
        "Warning Unreachable cluster: connection refused"
    );
    assert_eq!(again, Action::requeue(Duration::from_secs(10)));
}

#[tokio::test]
async fn pods_that_serve_the_document_before_are_reminded() {
    let cluster = Cluster::ready(json!({})).await;
    cluster.set(&json!({"workers": 7}));
    for _ in 0..2 {
        cluster.reconciles().await;
        cluster.time_passes();
    }
    assert_eq!(
        cluster.conditions()[..2],
        [
            "Ready False ConfigurationSpreading",
            "Reconciling True ConfigurationSpreading"
        ]
    );
    assert_eq!(
        cluster.says(),
        "0 of 1 pods serve the current configuration."
    );
    let pod = cluster.api.all(&["pods"]).remove(0);
    let told = &pod["metadata"]["annotations"]["prometheus-mirror.io/configuration"];
    assert!(told.as_str().unwrap().ends_with(".1"), "{told}");
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn a_new_key_is_brought_to_the_attention_of_the_pods() {
    let cluster = Cluster::ready(json!({})).await;
    let told = || {
        let pod = cluster.api.all(&["pods"]).remove(0);
        pod["metadata"]["annotations"]["prometheus-mirror.io/configuration"].clone()
    };
    let before = told();
    cluster.api.edit("secrets/mirror-key", |secret| {
        secret["data"]["apiKey"] = json!("bmV3")
    });
    cluster.reconciles().await;
    assert_ne!(told(), before);
    assert_eq!(
        cluster.conditions()[0],
        "Ready False ConfigurationSpreading"
    );
    let writes = cluster.writes();
    let pod = cluster.api.all(&["pods"]).remove(0);
    let expected = [
        format!("merge pods/{}", pod["metadata"]["name"].as_str().unwrap()),
        "merge deployments/shop-mirror".to_owned(),
        "apply prometheusmirrors/shop/status".to_owned(),
    ];
    assert_eq!(writes[..3], expected);
    cluster.becomes_ready().await;
}

const CONFIGURATION: &str = "prometheus-mirror.io/configuration";

/// What pods were notified of.
fn notified(cluster: &Cluster) -> Vec<Value> {
    let pods = cluster.api.all(&["pods"]).into_iter();
    let of = |pod: Value| pod["metadata"]["annotations"][CONFIGURATION].clone();
    pods.map(of).collect()
}

/// What the pods of the Deployment began with.
fn begun(cluster: &Cluster) -> Value {
    let deployment = cluster.api.get("deployments/shop-mirror").unwrap();
    deployment["metadata"]["annotations"][CONFIGURATION].clone()
}

fn change_key(cluster: &Cluster) {
    cluster.api.edit("secrets/mirror-key", |secret| {
        secret["data"]["apiKey"] = json!("bmV3")
    });
}

#[tokio::test]
async fn a_pod_that_was_made_with_its_configuration_is_not_written() {
    let cluster = Cluster::ready(json!({"replicas": 2})).await;
    let none = Value::Null;
    assert_eq!(notified(&cluster), [none.clone(), none.clone()]);
    change_key(&cluster);
    cluster.becomes_ready().await;
    assert_eq!(notified(&cluster), [begun(&cluster), begun(&cluster)]);

    // Another pod reads the new key when it starts.
    cluster
        .api
        .edit(SHOP, |shop| shop["spec"]["replicas"] = json!(3));
    cluster.becomes_ready().await;
    assert_eq!(notified(&cluster), [begun(&cluster), begun(&cluster), none]);
}

#[tokio::test]
async fn what_pods_began_with_is_what_it_was_until_all_are_notified_and_that_is_noted() {
    let fails = [
        ("merge pods/", "cannot write Pod shop-"),
        // After all have been notified.
        ("merge deployments/", "cannot write Deployment shop-"),
    ];
    for (request, said) in fails {
        let cluster = Cluster::ready(json!({"replicas": 2})).await;
        let before = begun(&cluster);
        change_key(&cluster);
        let refusal = Refusal::new(500, "InternalError", "etcdserver: request timed out");
        cluster.api.fails(request, 1, refusal);
        let (words, _) = cluster.fails_to_reconcile().await;
        assert!(words.starts_with(said), "{words}");
        assert_eq!(begun(&cluster), before, "{request}");
        cluster.becomes_ready().await;
        let present = begun(&cluster);
        assert_eq!(
            notified(&cluster),
            [present.clone(), present.clone()],
            "{request}"
        );
        assert_ne!(present, before, "{request}");
    }
}

#[tokio::test]
async fn pods_of_a_deployment_that_says_nothing_are_notified() {
    let cluster = Cluster::ready(json!({})).await;
    let before = begun(&cluster);
    cluster.api.edit("deployments/shop-mirror", |deployment| {
        let annotations = &mut deployment["metadata"]["annotations"];
        annotations.as_object_mut().unwrap().remove(CONFIGURATION);
    });
    cluster.reconciles().await;
    assert_eq!(notified(&cluster), std::slice::from_ref(&before));
    assert_eq!(begun(&cluster), before);
}

#[tokio::test]
async fn a_pod_that_gave_up_makes_way_for_one_with_the_new_key() {
    let cluster = Cluster::ready(json!({})).await;
    cluster.pod_is(&json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "empty"}}));
    cluster.reconciles().await;
    let pod = cluster.api.all(&["pods"]).remove(0)["metadata"]["name"].clone();
    cluster.api.asked();
    cluster.api.put(key());
    cluster.api.edit("secrets/mirror-key", |secret| {
        secret["data"]["apiKey"] = json!("bmV3")
    });
    cluster.reconciles().await;
    assert_eq!(
        cluster.writes()[0],
        format!("delete pods/{}", pod.as_str().unwrap())
    );
    cluster.becomes_ready().await;
}

/// Kubernetes calls the pods ready, and has for ten minutes.
fn pods_are_ready_for_kubernetes(cluster: &Cluster, annotation: &str) {
    let ready = k8s_openapi::jiff::Timestamp::now() - Duration::from_secs(600);
    for pod in cluster.api.all(&["pods"]) {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        cluster.api.edit(&format!("pods/{name}"), |pod| {
            pod["metadata"]["annotations"][annotation] = json!("yes");
            pod["status"]["conditions"] = json!([{
                "type": "Ready", "status": "True", "lastTransitionTime": ready.to_string(),
            }]);
        });
    }
}

#[tokio::test]
async fn pods_that_do_not_answer_the_operator_are_reported_and_served_by() {
    let cluster = Cluster::with(json!({})).await;
    cluster.reconciles().await;
    cluster.rolls_out();
    cluster.pods.are_silent();
    pods_are_ready_for_kubernetes(&cluster, "other");
    cluster.reconciles().await;
    let mut reasons = Vec::new();
    for _ in 0..4 {
        cluster.reconciles().await;
        reasons.push(cluster.conditions()[0].clone());
        if cluster.conditions()[0].ends_with("PodsNotAnswering") {
            let said = cluster.says();
            assert!(
                said.contains("1 of 1 do not answer the operator on port 9901: shop-mirror-"),
                "{said}"
            );
        }
        cluster.time_passes();
    }
    assert_eq!(
        reasons,
        [
            "Ready False ConfigurationSpreading",
            "Ready False PodsNotAnswering",
            "Ready True ServingUnchecked",
            "Ready True ServingUnchecked",
        ]
    );
    let unknown = "TargetsReachable Unknown NotAsked".to_owned();
    assert_eq!(cluster.conditions()[1], unknown);
    assert_eq!(
        cluster.condition("TargetsReachable")["message"],
        cluster.says()
    );

    // They answer again.
    cluster.rolls_out();
    cluster.becomes_ready().await;
    assert_eq!(cluster.conditions()[0], "Ready True Serving");
}

#[tokio::test]
async fn in_a_mesh_the_readiness_of_kubernetes_decides_at_once() {
    let cluster = Cluster::with(json!({})).await;
    cluster.reconciles().await;
    cluster.rolls_out();
    cluster.pods.are_silent();
    pods_are_ready_for_kubernetes(&cluster, "sidecar.istio.io/status");
    cluster.reconciles().await;
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[0], "Ready True ServingUnchecked");
    cluster.set(&json!({"podChecks": "Always"}));
    for _ in 0..5 {
        cluster.reconciles().await;
        cluster.time_passes();
    }
    assert_eq!(cluster.conditions()[0], "Ready False PodsNotAnswering");
}

#[tokio::test]
async fn pods_that_shall_not_be_asked_are_not() {
    let cluster = Cluster::with(json!({"podChecks": "Never"})).await;
    cluster.reconciles().await;
    cluster.rolls_out();
    let refuses_newer = true;
    let serving = Serving::document("another");
    let answer = Serving {
        refuses_newer,
        ..serving
    };
    cluster.pods.serve("192.0.2.1", answer);
    cluster.becomes_ready().await;
    assert_eq!(cluster.conditions()[0], "Ready True ServingUnchecked");
    let again = cluster.reconciles().await;
    assert_eq!(again, Action::requeue(Duration::from_secs(30)));
}

#[tokio::test]
async fn replicas_that_the_autoscaler_overrides_are_noted() {
    let autoscaling = json!({"minReplicas": 1, "maxReplicas": 3});
    let cluster = Cluster::with(json!({"autoscaling": autoscaling})).await;
    cluster.reconciles().await;
    // As the API server's default has it.
    cluster
        .api
        .edit(&format!("deployments/{MIRROR}"), |deployment| {
            deployment["spec"]["replicas"] = json!(1);
        });
    cluster.becomes_ready().await;
    assert!(!cluster.says().contains("Note"), "{}", cluster.says());
    cluster.set(&json!({"replicas": 3}));
    cluster.becomes_ready().await;
    assert_eq!(
        cluster.says(),
        "1 of 1 pods serve the current configuration. Note: spec.replicas (3) has no effect, \
         because spec.autoscaling sets the number of pods: change its minReplicas (1)."
    );
}
